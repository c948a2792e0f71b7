"""`RadarDetector`: the paper's whole recipe with scikit-learn's interface (Fig. 1, slides 9 and 10)."""

from collections.abc import Iterable, Iterator
from functools import partial
from math import ceil
from numbers import Integral, Real

import numpy as np
import torch
from diffusers import UNet2DModel
from sklearn.utils.validation import check_is_fitted

from radar_nb.data.images import load_images, stack_alike, to_tensor
from radar_nb.data.ranges import range_of
from radar_nb.method.base import ImageDetector, check_arguments, some_pixels
from radar_nb.method.features import KERNELS, blur, extract_features, random_views, sobel_magnitude
from radar_nb.method.forest import DECISIONS, one_class_model
from radar_nb.method.noise_map import READINGS, NoisePredictor, fixed_noise, in_patches, in_tiles, noise_map
from radar_nb.method.training import TrainingConfig, train
from radar_nb.method.unet import image_channels
from radar_nb.storage.errors import InputError
from radar_nb.storage.pretrained import Pretrained

LIMITS = {"timestep": (Integral, 0, 999), "contamination": (Real, 1e-6, 0.5),
          "random_state": (Integral, 0, 2**32 - 1), "patch_size": (Integral, 1, 1024),
          **dict.fromkeys(("stride", "window", "window_step", "longest_side"), (Integral, 1, 10**6)),
          "calibration_points": (Integral, 0, 10**7)}
CHOICES = {"reading": READINGS, "decision": DECISIONS, "blur": KERNELS, "sobel": KERNELS[1:]}


class RadarDetector(Pretrained, ImageDetector):
    """Detect and segment anomalies with one U-Net call for each image.

    Args:
        timestep: the one `t` of the forward step and of the U-Net call.
        reading: what goes into the U-Net and what is taken out, see `radar_nb.method.noise_map`.
        contamination: share of normal images that may be called anomalous; sets the threshold.
        random_state: seed of the split, the training, the noise and the forest.
        unet: a U-Net trained elsewhere, also in another engine; None trains one in `fit`.
        training: how to train it.
        patch_size: side of the patches, pixels, and of the smallest image; None takes the training's.
        stride: pixels from one patch to the next; the paper takes every position, 1. None sends whole images
            through.
        blur: side of the Gaussian kernel before Sobel, pixels; 1 for none.
        sobel: side of Sobel's kernel, pixels.
        window: side of the windows of the local norm, pixels; window_step: from one window to the next.
        decision: `isolation_forest` (abstract) or `lof`, the local outlier factor (slide 9).
        longest_side: larger images are shrunk to this many pixels, and their maps have the shrunken size.
        calibration_points: the forest is given at least so many points; where there are fewer calibration
            images, each gives several crops of its Sobel map.

    Attributes:
        unet_: the U-Net; calibration_features_: `(M, 2)`; forest_: the one-class model fitted on them;
        offset_: threshold of the score; pixel_threshold_: of the anomaly map; channels_: 1 or 3;
        value_range_: what counts as white in files of more than 8 bits, found in those of `fit`.
    """

    tile = 512        # images with a longer side go through the U-Net in tiles of so many pixels; None: whole
    patch_batch = 64  # patches in one call of the U-Net

    def __init__(self, timestep: int = 1, reading: str = "predicted", contamination: float = 0.05,
                 random_state: int = 0, *, unet: UNet2DModel | None = None,
                 training: TrainingConfig | None = None,
                 patch_size: int | None = None, stride: int | None = None, blur: int = 5, sobel: int = 5,
                 window: int = 20, window_step: int = 1, decision: str = "isolation_forest",
                 longest_side: int | None = None, calibration_points: int = 200):
        self.timestep = timestep
        self.reading = reading
        self.contamination = contamination
        self.random_state = random_state
        self.unet = unet
        self.training = training
        self.patch_size = patch_size
        self.stride = stride
        self.blur = blur
        self.sobel = sobel
        self.window = window
        self.window_step = window_step
        self.decision = decision
        self.longest_side = longest_side
        self.calibration_points = calibration_points

    # --- learning ------------------------------------------------------------------------------------------

    def fit(self, images: Iterable, y: object = None) -> "RadarDetector":
        """Learn what normal images look like.

        Without `unet`, a U-Net is trained on most of the images and the forest is fitted on the others. With
        `unet`, all images calibrate: give images that the U-Net was **not** trained on. It knows those better
        than any new image, and a forest fitted on them calls new normal images anomalous.

        Raises:
            InputError: a bad image, too few images, or an argument out of range.
        """
        self._check_arguments()
        self.value_range_ = range_of(images)
        if self.unet is None:
            learnt, images = self._hold_out(list(images))
            config = self._training()
            read = partial(load_images, smallest=self.smallest_side, value_range=self.value_range_)
            calibrate = read(images) if config.patience else None
            self.unet_ = train(read(learnt), config, calibrate=calibrate, progress=True).unet
        else:
            self.unet_ = self.unet
        self.channels_ = image_channels(self.unet_)
        self._calibrate(images)
        return self

    def _calibrate(self, images: Iterable) -> None:
        """Fit the forest and the pixel threshold on held-out normal images."""
        rng = np.random.default_rng(self.random_state)
        images = list(images)
        if len(images) < 2:
            raise InputError(f"images: {len(images)} to calibrate on; give at least 2, better hundreds")
        crops = ceil(self.calibration_points / len(images))  # 1, the map itself, where there are enough
        features, pixels = [], []
        for sobel_map in self._calibration_maps(images):  # one after the other: they are large
            views = random_views(self._inner(sobel_map), crops, rng)
            features += [self._extract(view[None]) for view in views]
            pixels.append(some_pixels(self._smooth(sobel_map[None]), rng))
        self.calibration_features_ = np.concatenate(features)
        self._set_pixel_threshold(pixels)
        self._fit_forest()

    def _calibration_maps(self, images: list) -> Iterator[np.ndarray]:
        for _, maps in self._noise_maps(images):
            yield from self._sobel(maps)

    def _fit_forest(self) -> None:
        features = self._decided_on(self.calibration_features_)
        self.forest_ = self._one_class_model(len(features)).fit(features)
        # What LOF says of its own points: asked again, each would be its own nearest neighbour.
        if self.decision == "lof":
            scores = self.forest_[-1].negative_outlier_factor_
        else:
            scores = self.forest_.score_samples(features)
        self.offset_ = float(np.quantile(scores, self.contamination))

    # --- deciding ------------------------------------------------------------------------------------------

    def noise_maps(self, images: Iterable) -> np.ndarray | list[np.ndarray]:
        """The noise map of each image (paper Fig. 4): `(N, C, H, W)` float32, a list where sizes differ."""
        return stack_alike(map_ for _, maps in self._noise_maps(images) for map_ in maps)

    def features(self, images: Iterable) -> np.ndarray:
        """Global and local norm of each image's Sobel map: `(N, 2)`."""
        features = [self._extract(self._inner(self._sobel(maps))) for _, maps in self._noise_maps(images)]
        return np.concatenate(features or [np.empty((0, 2))])

    def score_samples(self, images: Iterable) -> np.ndarray:
        """Score of each image, `(N,)`: higher is more normal, as in scikit-learn."""
        features = self.features(images)
        return self.forest_.score_samples(self._decided_on(features)) if len(features) else np.empty(0)

    def inspect(self, images: Iterable) -> Iterator[dict]:
        """For each image, from one U-Net call: `image`, `noise_map`, `sobel`, `anomaly_map`, `mask`,
        `features`, `score`, `normal`. Memory does not grow with the number of images."""
        for batch, noise in self._noise_maps(images):
            sobel = self._sobel(noise)
            smooth = self._smooth(sobel)
            features = self._extract(self._inner(sobel))
            scores = self.forest_.score_samples(self._decided_on(features))
            for index, image in enumerate(batch):
                yield {"image": image, "noise_map": noise[index], "sobel": sobel[index],
                       "anomaly_map": smooth[index], "mask": smooth[index] > self.pixel_threshold_,
                       "features": features[index], "score": float(scores[index]),
                       "normal": bool(scores[index] >= self.offset_)}

    # --- the parts: what a variant changes -----------------------------------------------------------------

    @property
    def smallest_side(self) -> int:
        """Least height and width of an image, pixels: the side of a patch."""
        return self.patch_size or self._training().patch_size

    def _training(self) -> TrainingConfig:
        return self.training or TrainingConfig(seed=self.random_state)

    def _check_arguments(self) -> None:
        check_arguments(self, LIMITS, CHOICES)

    def _timesteps(self) -> tuple[int, ...]:
        return (self.timestep,)

    def _noise_maps(self, images: Iterable) -> Iterator[tuple[list[np.ndarray], np.ndarray]]:
        """Batches of images of one size and their noise maps `(N, C, H, W)`; timesteps are channels."""
        for batch in self._batches(images):
            x0 = torch.stack([to_tensor(image) for image in batch]).to(self.unet_.device)
            maps = [self._noise_map(x0, timestep) for timestep in self._timesteps()]
            yield batch, (torch.cat(maps, dim=1) if maps[1:] else maps[0]).float().cpu().numpy()

    def _noise_map(self, x0: torch.Tensor, timestep: int, draw: int = 0) -> torch.Tensor:
        return noise_map(self._eps_theta(x0), x0, timestep, self.reading, self._noise(x0, draw))

    def _batch_size(self, shape: tuple[int, ...]) -> int:
        tiled = self.stride is None and self.tile is not None and max(shape[:2]) > self.tile
        return 1 if tiled else super()._batch_size(shape)  # a tile is enough for one call

    def _eps_theta(self, x0: torch.Tensor) -> NoisePredictor:
        if self.stride is not None:
            return in_patches(self.unet_, self.smallest_side, self.stride, self.patch_batch)
        return in_tiles(self.unet_, self.tile or max(x0.shape[-2:]))

    def _noise(self, x0: torch.Tensor, draw: int = 0) -> torch.Tensor:
        """The noise of the forward step: the same for every image, so a score depends on its image alone."""
        return fixed_noise(x0.shape[1:], self.random_state + draw).to(x0).expand_as(x0)

    def _sobel(self, noise: np.ndarray) -> np.ndarray:
        """Noise maps `(N, C, H, W)` to Sobel maps `(N, H, W)`."""
        return sobel_magnitude(blur(noise, self.blur), self.sobel)

    def _inner(self, maps: np.ndarray) -> np.ndarray:
        """The part of the maps that the features are taken from: all of it."""
        return maps

    def _extract(self, maps: np.ndarray) -> np.ndarray:
        return extract_features(maps, min(self.window, *maps.shape[1:]), self.window_step)

    def _decided_on(self, features: np.ndarray) -> np.ndarray:
        """The features as the forest gets them."""
        return features

    def _one_class_model(self, points: int):
        return one_class_model(self.decision, self.contamination, self.random_state, points)

    # --- saving: see Pretrained ----------------------------------------------------------------------------

    def _state(self) -> tuple[dict, dict[str, np.ndarray]]:
        """Settings and arrays from which `_restore` makes the same detector; the forest is fitted again."""
        check_is_fitted(self, "forest_")
        settings = self.get_params(deep=False)
        del settings["unet"], settings["training"]
        settings |= {"patch_size": self.smallest_side, "pixel_threshold": self.pixel_threshold_,
                     "value_range": self.value_range_}
        return settings, {"features": self.calibration_features_}

    @classmethod
    def _restore(cls, settings: dict, arrays: dict[str, np.ndarray], unet: UNet2DModel) -> "RadarDetector":
        """The detector that `_state` told of. What belongs to it is taken out of `arrays`."""
        threshold, value_range = settings.pop("pixel_threshold"), settings.pop("value_range", None)
        detector = cls(**settings, unet=unet)
        if value_range is not None and value_range < 1:
            raise InputError(f"value_range={value_range!r}: give a whole number from 1")
        detector.value_range_ = value_range
        detector._check_arguments()
        detector.unet_, detector.channels_ = unet, image_channels(unet)
        detector.pixel_threshold_ = float(threshold)
        detector.calibration_features_ = arrays.pop("features")
        detector._fit_forest()
        return detector
