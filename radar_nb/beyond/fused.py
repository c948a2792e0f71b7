"""`FusedDetector`: all that the paper's one U-Net call says, in one score. Beyond the paper.

RADAR reads two norms of the noise map and hands them to a forest. On synthetic surfaces that is enough. On
photographs, exposure and texture vary more between normal images than a defect changes, and each reading
fails on another surface. Here three views of the same call (`radar_nb.beyond.views`) become maps of how
unusual a place is among normal images in such surroundings (`radar_nb.beyond.usual`), and are fused with
equal weights: nothing is chosen for a data set.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from numbers import Integral, Real

import numpy as np
import torch
from diffusers import UNet2DModel
from scipy import ndimage
from sklearn.utils.validation import check_is_fitted

from radar_nb.beyond.limits import upper_limit
from radar_nb.beyond.usual import Usual, draw_cells
from radar_nb.beyond.views import CELL, VIEWS, cell_views, hidden_layers, surroundings
from radar_nb.data.images import load_images, to_tensor
from radar_nb.data.ranges import range_of
from radar_nb.method.base import ImageDetector, check_arguments, some_pixels
from radar_nb.method.noise_map import fixed_noise, noise_map, whole_image
from radar_nb.method.training import TrainingConfig, train
from radar_nb.method.unet import image_channels
from radar_nb.storage.errors import InputError
from radar_nb.storage.pretrained import Pretrained

TIMESTEP = 1       # the paper's
BORDER = 2         # cells at the edge that do not count: the network cannot see beyond it
QUANTILE = 0.995   # of a map, is its score: one odd speck does not decide
FOLDS = 5
LEARNT_FROM = 100  # the most images that the usual values are learnt from
_LIMITS = {"contamination": (Real, 1e-6, 0.5), "random_state": (Integral, 0, 2**32 - 1),
           "patch_size": (Integral, 1, 1024), "longest_side": (Integral, 32, 2048)}


class FusedDetector(Pretrained, ImageDetector):
    """Detect and segment anomalies from three views of one U-Net call.

    Args:
        contamination: share of normal images that may be called anomalous; sets the threshold.
        random_state: seed of the split, the training and the noise.
        unet: a U-Net trained elsewhere; None trains one in `fit`.
        training: how to train it.
        patch_size: smallest side of an image, pixels; None takes the training's.
        longest_side: larger images are shrunk to this many pixels, and their maps have the shrunken size.

    Attributes:
        unet_, channels_, offset_, pixel_threshold_, value_range_: as `RadarDetector`'s.
        usual_: what is usual; scale_: `(2, 3)`, spread of both readings of each view's map.
        calibration_features_: `(M, 7)`, of each calibration image the scores of these six maps and of the
            fused one.
    """

    def __init__(self, contamination: float = 0.05, random_state: int = 0, *,
                 unet: UNet2DModel | None = None, training: TrainingConfig | None = None,
                 patch_size: int | None = None, longest_side: int | None = 512):
        self.contamination = contamination
        self.random_state = random_state
        self.unet = unet
        self.training = training
        self.patch_size = patch_size
        self.longest_side = longest_side

    # --- learning ------------------------------------------------------------------------------------------

    def fit(self, images: Iterable, y: object = None, *, learnt: Sequence = ()) -> "FusedDetector":
        """Learn what normal images look like.

        Args:
            images: normal images. With `unet`, such as it was **not** trained on.
            learnt: more normal images, best those that `unet` was trained on. The usual values are learnt
                from them, and all of `images` set scales and thresholds. Without them that is done in turns,
                four fifths for the other fifth, and takes twice the time.

        Raises:
            InputError: a bad image, too few images, or an argument out of range.
        """
        check_arguments(self, _LIMITS, {})
        self.value_range_ = range_of(images)
        images = list(images)
        if self.unet is None:
            learnt, images = self._hold_out(images)
            read = partial(load_images, smallest=self.smallest_side, longest_side=self.longest_side,
                           value_range=self.value_range_)
            self.unet_ = train(read(learnt), self._training(), progress=True).unet
        else:
            self.unet_ = self.unet
        self.channels_ = image_channels(self.unet_)
        if len(images) < 2 or (not len(learnt) and len(images) < 4):
            raise InputError(f"images: {len(images)} to calibrate on; give at least 4, better 60")
        self._calibrate(self._unusual(images, learnt))
        return self

    def _unusual(self, images: list, learnt: Sequence) -> list[np.ndarray]:
        """Maps of the calibration images, from usual values that were learnt on others."""
        if len(learnt):
            chosen = learnt[::-(-len(learnt) // LEARNT_FROM)]
            usual = Usual.learn(self._drawn(chosen))
            self.usual_ = usual.with_positions(self._readings(chosen, usual))
            return self._readings(images, self.usual_)
        drawn, folds = self._drawn(images), min(FOLDS, len(images))
        found: list = [None] * len(images)
        for fold in range(folds):
            usual = Usual.learn([cells for index, cells in enumerate(drawn) if index % folds != fold])
            found[fold::folds] = self._readings(images[fold::folds], usual)
        self.usual_ = Usual.learn(drawn).with_positions(found)
        others = [self.usual_.with_positions([each for index, each in enumerate(found) if index % folds != k])
                  for k in range(folds)]
        return [others[index % folds].positions_off(map_) for index, map_ in enumerate(found)]

    def _readings(self, images: Iterable, usual: Usual) -> list[np.ndarray]:
        return [readings for _, _, batch in self._measured(images, usual) for readings in batch]

    def _drawn(self, images: Iterable) -> list:
        rng, drawn = np.random.default_rng(self.random_state), []
        for _, _, views, places in self._called(images):
            drawn += draw_cells(views, places, rng)
        return drawn

    def _calibrate(self, maps: list[np.ndarray]) -> None:
        """Scales, fused scores and both thresholds from the maps of calibration images."""
        inner = [_inner(map_).reshape(2 * len(VIEWS), -1) for map_ in maps]
        usual = [np.median(np.abs(np.concatenate(each))) for each in zip(*inner, strict=True)]
        self.scale_ = 1.4826 * np.reshape(usual, (2, len(VIEWS))) + 1e-6
        self.calibration_features_ = np.stack([self._features(map_) for map_ in maps])
        rng = np.random.default_rng(self.random_state)
        pixels = [some_pixels(self._anomaly_map(map_, CELL * np.array(map_.shape[2:])), rng) for map_ in maps]
        self._set_pixel_threshold(pixels)
        self._set_limit()

    def _set_limit(self) -> None:
        self.offset_ = -upper_limit(self._fuse(self.calibration_features_), self.contamination)

    # --- deciding ------------------------------------------------------------------------------------------

    def inspect(self, images: Iterable) -> Iterator[dict]:
        """For each image, from one U-Net call: `image`, `noise_map`, `anomaly_map`, `mask`, `features` (how
        unusual, in each map and fused), `score`, `normal`. Memory does not grow with the number of images.
        """
        check_is_fitted(self, "usual_")
        for batch, noise, unusual in self._measured(images, self.usual_):
            for image, noise_map_, maps in zip(batch, noise, unusual, strict=True):
                features = self._features(maps)
                score = -float(self._fuse(features[None])[0])
                anomaly_map = self._anomaly_map(maps, image.shape[:2])
                yield {"image": image, "noise_map": noise_map_, "anomaly_map": anomaly_map,
                       "mask": anomaly_map > self.pixel_threshold_, "features": features, "score": score,
                       "normal": score >= self.offset_}

    @property
    def smallest_side(self) -> int:
        """Least height and width of an image, pixels: the side of a patch."""
        return self.patch_size or self._training().patch_size

    def _training(self) -> TrainingConfig:
        return self.training or TrainingConfig(seed=self.random_state)

    def _called(self, images: Iterable) -> Iterator[tuple]:
        """Batches of images, their noise maps, the views of the one U-Net call, and the surroundings."""
        for batch in self._batches(images):
            x0 = torch.stack([to_tensor(image) for image in batch])
            # The same noise for every image, so a score depends on its image alone.
            eps = fixed_noise(x0.shape[1:], self.random_state).expand_as(x0)
            with hidden_layers(self.unet_) as hidden:
                device = self.unet_.device
                noise = noise_map(whole_image(self.unet_), x0.to(device), TIMESTEP, eps=eps.to(device)).cpu()
            views = cell_views(noise.float(), [layer.cpu() for layer in hidden], self.unet_)
            yield batch, noise.float().numpy(), views, surroundings(x0)

    def _measured(self, images: Iterable, usual: Usual) -> Iterator[tuple]:
        """Batches of images, their noise maps, and both readings of their maps `(N, 2, 3, h, w)`."""
        for batch, noise, views, places in self._called(images):
            yield batch, noise, usual.readings(views, places)

    def _features(self, maps: np.ndarray) -> np.ndarray:
        """Score of each of the six maps and of the fused map, `(7,)`, from maps `(2, 3, h, w)`."""
        several = np.concatenate([maps.reshape(-1, *maps.shape[2:]), self._fused(maps)[None]])
        return np.quantile(_inner(ndimage.gaussian_filter(several, (0, 1, 1))), QUANTILE, axis=(1, 2))

    def _fuse(self, features: np.ndarray) -> np.ndarray:
        """How unusual images are, `(N,)`: half the fused map's z, half the mean of the six maps' z."""
        normal = self.calibration_features_
        z = (features - np.median(normal, axis=0)) / (normal.std(axis=0) + 1e-9)
        return (z[:, :-1].mean(axis=1) + z[:, -1]) / 2

    def _fused(self, maps: np.ndarray) -> np.ndarray:
        return (maps / self.scale_[..., None, None]).mean(axis=(0, 1))

    def _anomaly_map(self, maps: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """The fused map, smoothed, in the image's size; the border takes the value of its nearest cell."""
        fused = ndimage.gaussian_filter(self._fused(maps), 1)
        edged = np.pad(_inner(fused), [(width, width) for width in _border(fused)], mode="edge")
        large = torch.nn.functional.interpolate(torch.from_numpy(edged).float()[None, None],
                                                scale_factor=CELL, mode="bilinear")
        return large[0, 0, :shape[0], :shape[1]].numpy()

    # --- saving: see Pretrained ----------------------------------------------------------------------------

    def _state(self) -> tuple[dict, dict[str, np.ndarray]]:
        check_is_fitted(self, "usual_")
        settings = self.get_params(deep=False)
        del settings["unet"], settings["training"]
        settings |= {"patch_size": self.smallest_side, "pixel_threshold": self.pixel_threshold_,
                     "value_range": self.value_range_}
        return settings, {"features": self.calibration_features_, "scale": self.scale_} | self.usual_.arrays

    @classmethod
    def _restore(cls, settings: dict, arrays: dict[str, np.ndarray], unet: UNet2DModel) -> "FusedDetector":
        threshold, value_range = settings.pop("pixel_threshold"), settings.pop("value_range", None)
        detector = cls(**settings, unet=unet)
        if value_range is not None and value_range < 1:
            raise InputError(f"value_range={value_range!r}: give a whole number from 1")
        detector.value_range_ = value_range
        check_arguments(detector, _LIMITS, {})
        detector.unet_, detector.channels_ = unet, image_channels(unet)
        detector.pixel_threshold_ = float(threshold)
        detector.calibration_features_, detector.scale_ = arrays.pop("features"), arrays.pop("scale")
        names = [name for name in arrays if name.split("_")[0] in ("mean", "precision", "usual", "lowest",
                                                                   "highest", "position")]
        detector.usual_ = Usual({name: arrays.pop(name) for name in names})
        detector._set_limit()
        return detector


def _border(map_: np.ndarray) -> tuple[int, int]:
    """`BORDER`, less on maps so small that nothing would be left."""
    height, width = map_.shape[-2:]
    return min(BORDER, (height - 1) // 4), min(BORDER, (width - 1) // 4)


def _inner(map_: np.ndarray) -> np.ndarray:
    down, across = _border(map_)
    return map_[..., down:map_.shape[-2] - down, across:map_.shape[-1] - across]
