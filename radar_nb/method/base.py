"""What RADAR and the methods it is compared with share: the split, the decision, maps and masks."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, islice
from numbers import Integral

import numpy as np
from scipy import ndimage
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted

from radar_nb.data.images import load_images, stack_alike
from radar_nb.storage.errors import InputError


class ImageDetector(OutlierMixin, BaseEstimator):
    """A detector of anomalous images with scikit-learn's interface, and maps and masks beside it.

    A method fills in `fit`, which sets `channels_`, `offset_` and `pixel_threshold_`, and `inspect`. All else
    follows.

    Images are arrays `(H, W)` or `(H, W, 3)`, uint8 or float in [0, 1], of any sizes from `smallest_side` up,
    or paths, in any iterable: a list, an array `(N, H, W)` or `(N, H, W, 3)`, a generator.

    Attributes:
        channels_: 1 for grey images, 3 for RGB; offset_: an image with a lower score is anomalous;
        pixel_threshold_: a pixel whose value in the anomaly map is above it is anomalous.
    """

    # The same for every method, so that maps and scores are compared, not settings.
    smallest_side = 32       # least height and width of an image, pixels
    longest_side = None      # larger images are shrunk to this many pixels; None keeps them
    smoothing = 3.0          # standard deviation of the Gaussian that smooths each anomaly map, pixels
    pixel_quantile = 0.999   # a pixel is anomalous above this quantile of the calibration images' maps
    calibration_share = 0.3  # share of the images that `fit` holds out to calibrate on, where it has to
    batch_size = 8           # images of one size that go through together ...
    batch_pixels = 2**19     # ... but on a CPU at most so many pixels: 8 of 256 x 256, 2 of 512 x 512
    value_range_ = None      # what counts as white in files of more than 8 bits, if `fit` found that

    def inspect(self, images: Iterable) -> Iterator[dict]:
        """For each image: `image`, `anomaly_map` `(H, W)`, `mask`, `score` (higher is more normal), `normal`.

        Memory does not grow with the number of images.
        """
        raise NotImplementedError

    def score_samples(self, images: Iterable) -> np.ndarray:
        """Score of each image, `(N,)`: higher is more normal, as in scikit-learn."""
        return np.array([finding["score"] for finding in self.inspect(images)])

    def decision_function(self, images: Iterable) -> np.ndarray:
        """`score_samples` minus the threshold, `(N,)`: negative is anomalous."""
        return self.score_samples(images) - self.offset_

    def predict(self, images: Iterable) -> np.ndarray:
        """`(N,)`: +1 normal, -1 anomalous."""
        return np.where(self.decision_function(images) < 0, -1, 1)

    def anomaly_maps(self, images: Iterable) -> np.ndarray | list[np.ndarray]:
        """Anomaly map of each image: `(N, H, W)` float32, a list where sizes differ."""
        return stack_alike(finding["anomaly_map"] for finding in self.inspect(images))

    def segment(self, images: Iterable) -> np.ndarray | list[np.ndarray]:
        """Mask of each image, True where it is anomalous: `(N, H, W)` bool, a list where sizes differ."""
        return stack_alike(finding["mask"] for finding in self.inspect(images))

    def _hold_out(self, images: list) -> tuple[list, list]:
        """Split normal images at random into those to learn from and those to calibrate on."""
        held_out = max(2, round(self.calibration_share * len(images)))
        if len(images) < held_out + 1:
            raise InputError(f"images: {len(images)} found; give at least 3, two of them to calibrate on")
        order = np.random.default_rng(self.random_state).permutation(len(images))
        return [images[i] for i in order[held_out:]], [images[i] for i in order[:held_out]]

    def _batches(self, images: Iterable) -> Iterator[list[np.ndarray]]:
        """Neighbouring images of one size, `batch_size` at most, read and checked one after the other."""
        check_is_fitted(self, "channels_")
        loaded = load_images(images, self.smallest_side, self.channels_, self.longest_side,
                             self.value_range_)
        for shape, run in groupby(loaded, key=np.shape):
            while batch := list(islice(run, self._batch_size(shape))):
                yield batch

    def _batch_size(self, shape: tuple[int, ...]) -> int:
        """On a CPU fewer of large images: nothing is won by more, and their hidden layers fill the memory."""
        if self._on_gpu:
            return self.batch_size
        return max(1, min(self.batch_size, self.batch_pixels // (shape[0] * shape[1])))

    @property
    def _on_gpu(self) -> bool:
        return hasattr(self, "unet_") and self.unet_.device.type != "cpu"

    def _smooth(self, maps: np.ndarray) -> np.ndarray:
        """Maps `(N, H, W)` smoothed into anomaly maps, float32."""
        return ndimage.gaussian_filter(maps.astype(np.float32), (0, self.smoothing, self.smoothing))

    def _set_pixel_threshold(self, samples: list[np.ndarray]) -> None:
        """From pixels of the calibration images' anomaly maps."""
        self.pixel_threshold_ = float(np.quantile(np.concatenate(samples), self.pixel_quantile))


def some_pixels(anomaly_map: np.ndarray, rng: np.random.Generator, count: int = 4000) -> np.ndarray:
    """`count` values of a map, drawn with replacement: enough for its quantiles."""
    return rng.choice(anomaly_map.ravel(), count)


def check_arguments(detector: BaseEstimator, limits: Mapping[str, tuple],
                    choices: Mapping[str, tuple]) -> None:
    """Check a detector's arguments; those that are None, or that it does not have, are skipped.

    Args:
        limits: of an argument, its kind (`Integral` or `Real`), least and largest value.
        choices: of an argument, its possible values.

    Raises:
        InputError: naming the argument, what was found and what is possible.
    """
    for name, possible in choices.items():
        value = getattr(detector, name)
        if value not in possible:
            raise InputError(f"{name}={value!r}: choose one of {', '.join(map(str, possible))}")
    for name, (kind, least, most) in limits.items():
        values = getattr(detector, name, None)
        for value in values if isinstance(values, tuple) else (values,):
            right = isinstance(value, kind) and not isinstance(value, bool)
            if value is not None and not (right and least <= value <= most):
                number = "a whole number" if kind is Integral else "a number"
                raise InputError(f"{name}={values!r}: choose {least:g} to {most:g}" if right else
                                 f"{name}={values!r}: give {number} from {least:g} to {most:g}")
