"""`RadarDetector`: the whole method behind scikit-learn's interface (paper section 3, Fig. 1)."""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from math import ceil
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DModel
from safetensors.numpy import save
from scipy import ndimage
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted

from radar_nb.beyond.decisions import DECISIONS, outlier_model
from radar_nb.method.diffusion import HALO, READINGS, image_channels, noise_map
from radar_nb.storage.unet_folder import load_unet, save_unet
from radar_nb.beyond.onnx import ENGINES, make_engine
from radar_nb.beyond.export import write_onnx
from radar_nb.method.features import (
    extract_features, fit_covariance, mahalanobis_map, scale_space, sobel_magnitude,
    standardise_rows_and_columns,
)
from radar_nb.data.images import load_images, stack_alike, to_tensor
from radar_nb.storage.errors import InputError
from radar_nb.storage.untrusted import check_values, read_json, read_tensors
from radar_nb.method.training import TrainingConfig, train

MAPS = ("sobel", "magnitude", "covariance")
LARGEST_PATCH = 1024


class RadarDetector(OutlierMixin, BaseEstimator):
    """Detect and segment anomalies from one U-Net call an image.

    Images are arrays `(H, W)` or `(H, W, 3)`, uint8 or float in [0, 1], of any sizes from one patch up, or paths,
    in any iterable: a list, an array `(N, H, W)` or `(N, H, W, 3)`, a generator.

    Args:
        timestep: the one `t` at which the U-Net is asked; or several, a call each, whose maps count together.
        reading: what goes in and comes out, see `radar_nb.method.diffusion.noise_map`.
        contamination: share of normal images that may be called anomalous; sets the Isolation Forest's threshold.
        random_state: seed of the split, the training, the noise and the forest.
        unet: a U-Net trained elsewhere; None trains one in `fit`.
        training: how to train it; its patch size is also the smallest image.
        stride: None sends whole images through the U-Net; a number cuts overlapping patches, as the paper does.
        window: side of the sliding window of the local norm, pixels.
        smoothing: deviation of the Gaussian that smooths the Sobel map into the anomaly map, pixels.
        pixel_quantile: a pixel is anomalous above this quantile of the calibration images' anomaly maps.
        calibration_share: share of the images that `fit` holds out to calibrate on, when it trains the U-Net.
        calibration_points: at least so many points are given to the forest; where there are fewer calibration
            images, each gives several crops of its Sobel map.
        batch_size: images of one size in one call.
        longest_side: larger images are shrunk to this many pixels, and their maps have the shrunken size.
        engine: what computes the U-Net: `torch`, or `onnx` (ONNX Runtime, on a CPU up to twice as fast; the same maps to 1e-4).
        tile: images with a longer side go through the U-Net in overlapping tiles of at most so many pixels a side, see
            `radar_nb.method.diffusion.noise_map`: memory and time grow with the area alone. None sends whole images of any size.

    Beyond the paper, for ablations and for hard images (notebook 10); the defaults are the paper's recipe:
        map_kind: `sobel`; `magnitude` takes the noise map's own size; `covariance` the Mahalanobis distance of each pixel's
            `scale_space` from that of the calibration images.
        standardise: divide each map by what is usual in each pixel's row and column.
        local_quantile: this quantile of the windows' norms in the place of the largest.
        decision: `mahalanobis`, `one_class_svm` or `local_norm` (that feature alone) in the place of the Isolation Forest.
        one_sided: features below the calibration images' median count as the median, so that a surface more quiet
            than usual is not called anomalous.
        border: pixels at the edge of each map that do not count, and take the value of their nearest inner pixel.

    Attributes:
        unet_: the U-Net; calibration_features_: `(M, 2)`; forest_: the Isolation Forest (or `decision`) on them;
        offset_: threshold of the score; pixel_threshold_: of the anomaly map; channels_: 1 or 3.
    """

    def __init__(self, timestep: int | tuple[int, ...] = 200, reading: str = "noise_free", contamination: float = 0.05,
                 random_state: int = 0, *, unet: UNet2DModel | None = None, training: TrainingConfig | None = None,
                 stride: int | None = None, window: int = 17, smoothing: float = 3.0, pixel_quantile: float = 0.999,
                 calibration_share: float = 0.3, calibration_points: int = 200, batch_size: int = 8,
                 longest_side: int | None = None, engine: str = "torch", map_kind: str = "sobel", standardise: bool = False, local_quantile: float = 1.0,
                 decision: str = "isolation_forest", one_sided: bool = False, border: int = 0, tile: int | None = 512):
        self.timestep = timestep
        self.reading = reading
        self.contamination = contamination
        self.random_state = random_state
        self.unet = unet
        self.training = training
        self.stride = stride
        self.window = window
        self.smoothing = smoothing
        self.pixel_quantile = pixel_quantile
        self.calibration_share = calibration_share
        self.calibration_points = calibration_points
        self.batch_size = batch_size
        self.longest_side = longest_side
        self.engine = engine
        self.map_kind = map_kind
        self.standardise = standardise
        self.local_quantile = local_quantile
        self.decision = decision
        self.one_sided = one_sided
        self.border = border
        self.tile = tile

    # --- learning ------------------------------------------------------------------------------------------

    def fit(self, images: Iterable, y: object = None) -> "RadarDetector":
        """Learn what normal images look like.

        Without `unet`, a U-Net is trained on most of the images and the forest is fitted on the others. With
        `unet`, all images calibrate: give images that the U-Net was **not** trained on, for it knows those better
        than any new one, and a forest fitted on them calls new normal images anomalous.

        Raises:
            InputError: a bad image, too few images, or a parameter out of range.
        """
        self._check_parameters()
        if self.unet is None:
            images = list(images)
            held_out = max(2, round(self.calibration_share * len(images)))
            if len(images) < held_out + 1:
                raise InputError(f"images: {len(images)} found; give at least 3, two of them to calibrate on")
            order = np.random.default_rng(self.random_state).permutation(len(images))
            learnt, images = ([images[i] for i in part] for part in (order[held_out:], order[:held_out]))
            self.unet_ = train(learnt, self._training(), progress=False, calibrate=images if self._training().patience else None).unet
        else:
            self.unet_ = self.unet
        self.channels_ = image_channels(self.unet_)
        self._calibrate(images)
        return self

    def _calibrate(self, images: Iterable) -> None:
        """Fit the forest and the pixel threshold on held-out normal images."""
        rng = np.random.default_rng(self.random_state)
        features, pixels = [], []
        noise = [maps for _, maps in self._noise_maps(images)]
        if self.map_kind == "covariance":
            self.covariance_ = fit_covariance([scale_space(map_) for maps in noise for map_ in maps])
        sobel_maps = [sobel for maps in noise for sobel in self._sobel(maps)]
        if len(sobel_maps) < 2:
            raise InputError(f"images: {len(sobel_maps)} to calibrate on; give at least 2, hundreds are better")
        crops = ceil(self.calibration_points / len(sobel_maps))  # 1, the map itself, where there are enough
        for sobel in sobel_maps:
            features += [self._extract(view[None]) for view in _views(self._inner(sobel), crops, rng)]
            pixels.append(rng.choice(self._smooth(sobel[None]).ravel(), 4000))
        self.calibration_features_ = np.concatenate(features)
        self.pixel_threshold_ = float(np.quantile(np.concatenate(pixels), self.pixel_quantile))
        self._fit_forest()

    def _fit_forest(self) -> None:
        self.forest_ = outlier_model(self.decision, self.contamination, self.random_state)
        features = self._one_sided(self.calibration_features_)
        self.offset_ = float(np.quantile(self.forest_.fit(features).score_samples(features), self.contamination))

    # --- deciding ------------------------------------------------------------------------------------------

    def noise_maps(self, images: Iterable) -> np.ndarray | list[np.ndarray]:
        """The noise map of each image (paper Fig. 4): `(N, C, H, W)` float32, a list where sizes differ."""
        return stack_alike(map_ for _, maps in self._noise_maps(images) for map_ in maps)

    def features(self, images: Iterable) -> np.ndarray:
        """Global and local norm of each image's Sobel map: `(N, 2)`."""
        return np.concatenate([self._extract(self._inner(maps)) for maps in self._sobel_maps(images)]
                              or [np.empty((0, 2))])

    def score_samples(self, images: Iterable) -> np.ndarray:
        """Score of each image, `(N,)`: higher is more normal, as in scikit-learn."""
        features = self.features(images)
        return self.forest_.score_samples(self._one_sided(features)) if len(features) else np.empty(0)

    def decision_function(self, images: Iterable) -> np.ndarray:
        """`score_samples` minus the threshold, `(N,)`: negative is anomalous."""
        return self.score_samples(images) - self.offset_

    def predict(self, images: Iterable) -> np.ndarray:
        """`(N,)`: +1 normal, -1 anomalous."""
        return np.where(self.decision_function(images) < 0, -1, 1)

    def anomaly_maps(self, images: Iterable) -> np.ndarray | list[np.ndarray]:
        """Smoothed Sobel map of each image, higher is more anomalous: `(N, H, W)` float32, a list where sizes differ."""
        return stack_alike(map_ for maps in self._sobel_maps(images) for map_ in self._smooth(maps))

    def segment(self, images: Iterable) -> np.ndarray | list[np.ndarray]:
        """Mask of each image, True where it is anomalous: `(N, H, W)` bool, a list where sizes differ."""
        return stack_alike(map_ > self.pixel_threshold_ for maps in self._sobel_maps(images) for map_ in self._smooth(maps))

    def inspect(self, images: Iterable) -> Iterator[dict]:
        """For each image, from one U-Net call: `image`, `noise_map`, `sobel`, `anomaly_map`, `mask`, `features`,
        `score`, `normal`. Memory does not grow with the number of images."""
        for batch, noise in self._noise_maps(images):
            sobel = self._sobel(noise)
            smooth = self._smooth(sobel)
            features = self._extract(self._inner(sobel))
            scores = self.forest_.score_samples(self._one_sided(features))
            for index, image in enumerate(batch):
                yield {"image": image, "noise_map": noise[index], "sobel": sobel[index], "anomaly_map": smooth[index],
                       "mask": smooth[index] > self.pixel_threshold_, "features": features[index],
                       "score": float(scores[index]), "normal": bool(scores[index] >= self.offset_)}

    # --- keeping -------------------------------------------------------------------------------------------

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the U-Net as diffusers does, with `detector.json` and `calibration.safetensors` beside it.

        The forest is not written: it is fitted again, from the same features and seed, when loaded. Nothing here
        is a pickle.
        """
        check_is_fitted(self, "forest_")
        tensors = {"features": self.calibration_features_}
        if self.map_kind == "covariance":
            tensors |= dict(zip(("mean", "precision"), self.covariance_, strict=True))
        config = {name: value for name, value in self.get_params(deep=False).items() if name not in ("unet", "training")}
        config |= {"patch_size": self.smallest_side, "pixel_threshold": self.pixel_threshold_}
        others = {"calibration.safetensors": save(tensors), "detector.json": (json.dumps(config, indent=2) + "\n").encode()}
        save_unet(self.unet_, folder, others)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "RadarDetector":
        """Load what `save_pretrained` wrote. Nothing in the folder is trusted, see `load_unet`; the detector must answer, too.

        Raises:
            InputError: the folder does not hold a detector, or it is damaged.
        """
        folder = Path(folder)
        try:
            config = read_json(folder / "detector.json")
            defaults = cls(training=TrainingConfig()).get_params(deep=False)
            del defaults["unet"], defaults["training"]
            check_values(folder / "detector.json", config, defaults | {"patch_size": 32, "pixel_threshold": 0.0, "tile": None})
            patch_size, threshold = config.pop("patch_size"), config.pop("pixel_threshold")
            if not 1 <= patch_size <= LARGEST_PATCH:
                raise InputError(f"patch_size={patch_size}: choose 1 to {LARGEST_PATCH}")
            detector = cls(**config, unet=load_unet(folder), training=TrainingConfig(patch_size=patch_size))
            detector._check_parameters()
            tensors = {name: tensor.numpy() for name, tensor in read_tensors(folder / "calibration.safetensors").items()}
            detector.calibration_features_, detector.pixel_threshold_ = tensors.pop("features"), float(threshold)
            if detector.map_kind == "covariance":
                detector.covariance_ = tensors.pop("mean"), tensors.pop("precision")
            if tensors:
                raise InputError(f"calibration.safetensors: {min(tensors)[:80]!r} does not belong there")
            detector.unet_, detector.channels_ = detector.unet, image_channels(detector.unet)
            detector._fit_forest()
            detector._probe()
        except Exception as error:  # numbers that do not fit together fail in many ways
            raise InputError(f"{folder}: not a saved detector ({error}); give a folder that save_pretrained wrote") from None
        return detector

    def export(self, path: str | Path) -> None:
        """Write U-Net, Sobel and both features as one ONNX model, for programs without Python.

        Input `image` `(N, C, H, W)` float32 in [-1, 1], sides multiples of the U-Net's grid; outputs `noise_map`, `sobel_map`, `features`.
        The threshold and the forest are not in it: `features` beyond those of calibration images are anomalous.

        Raises:
            InputError: options that the model does not hold (it is the paper's recipe with the noise-free reading), or onnx is not installed.
        """
        check_is_fitted(self, "unet_")
        held = {"reading": "noise_free", "stride": None, "map_kind": "sobel", "standardise": False, "local_quantile": 1.0, "border": 0}
        for name, value in held.items():
            if getattr(self, name) != value:
                raise InputError(f"{name}={getattr(self, name)!r}: an exported model holds {name}={value!r} only")
        if len(self._timesteps()) > 1:
            raise InputError(f"timestep={self.timestep}: an exported model holds one timestep")
        write_onnx(path, self.unet_, self._timesteps()[0], self.window)

    def _probe(self) -> None:
        """Score one image of noise: what cannot is refused when it is loaded, not when it is needed."""
        shape = (self.smallest_side, self.smallest_side) + ((3,) if self.channels_ == 3 else ())
        image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        if not np.isfinite(self.score_samples([image])).all() or not np.isfinite(self.offset_):
            raise InputError("its score is not finite")

    @property
    def smallest_side(self) -> int:
        """Least height and width of an image, pixels: the side of a patch."""
        return self._training().patch_size

    # --- the parts -----------------------------------------------------------------------------------------

    def _training(self) -> TrainingConfig:
        return self.training or TrainingConfig(seed=self.random_state)

    def _check_parameters(self) -> None:
        if self.reading not in READINGS:
            raise InputError(f"reading={self.reading!r}: choose one of {', '.join(READINGS)}")
        if not 0 < self.contamination <= 0.5:
            raise InputError(f"contamination={self.contamination}: choose more than 0, and at most 0.5")
        if not self._timesteps() or not all(0 <= timestep < 1000 for timestep in self._timesteps()):
            raise InputError(f"timestep={self.timestep}: choose 0 to 999")
        for name, least, most in (("window", 1, 10**6), ("smoothing", 0, 1000), ("batch_size", 1, 10**6), ("stride", 1, 10**6),
                                  ("calibration_points", 0, 10**7), ("random_state", 0, 2**32 - 1), ("longest_side", 1, 10**6), ("pixel_quantile", 0, 1),
                                  ("tile", 4 * HALO, 10**6)):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise InputError(f"{name}={value}: choose {least} to {most}")
        if self.engine not in ENGINES:
            raise InputError(f"engine={self.engine!r}: choose one of {', '.join(ENGINES)}")
        if self.decision not in DECISIONS:
            raise InputError(f"decision={self.decision!r}: choose one of {', '.join(DECISIONS)}")
        if self.map_kind not in MAPS:
            raise InputError(f"map_kind={self.map_kind!r}: choose one of {', '.join(MAPS)}")
        if not 0 < self.local_quantile <= 1:
            raise InputError(f"local_quantile={self.local_quantile}: choose more than 0, and at most 1")
        if not 0 <= 2 * self.border < self._training().patch_size - 2:
            raise InputError(f"border={self.border}: choose 0 to {self._training().patch_size // 2 - 2}, less than half a patch")

    def _asked(self):
        """The U-Net, or what stands for it: made once, and again where the U-Net or the engine is another."""
        if getattr(self, "_engine", (None, None))[:2] != (self.engine, self.unet_):
            self._engine = self.engine, self.unet_, make_engine(self.engine, self.unet_)
        return self._engine[2]

    def _timesteps(self) -> tuple[int, ...]:
        return tuple(self.timestep) if isinstance(self.timestep, Iterable) else (self.timestep,)

    def _sobel(self, noise: np.ndarray) -> np.ndarray:
        """Noise maps `(N, C, H, W)` to Sobel maps, or what takes their place, `(N, H, W)`; several timesteps count as channels."""
        if self.map_kind == "covariance":
            maps = np.stack([mahalanobis_map(scale_space(map_), *self.covariance_) for map_ in noise])
        else:
            maps = sobel_magnitude(noise) if self.map_kind == "sobel" else np.sqrt(np.square(noise).sum(axis=1))
        if self.standardise:
            maps = np.stack([standardise_rows_and_columns(map_) for map_ in maps])
        width = self.border
        return np.pad(self._inner(maps), ((0, 0), (width, width), (width, width)), mode="edge") if width else maps

    def _inner(self, maps: np.ndarray) -> np.ndarray:
        return maps[..., self.border:maps.shape[-2] - self.border, self.border:maps.shape[-1] - self.border]

    def _extract(self, maps: np.ndarray) -> np.ndarray:
        return extract_features(maps, min(self.window, *maps.shape[1:]), self.local_quantile)

    def _one_sided(self, features: np.ndarray) -> np.ndarray:
        return np.maximum(features, np.median(self.calibration_features_, axis=0)) if self.one_sided else features

    def _smooth(self, sobel_maps: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(sobel_maps, (0, self.smoothing, self.smoothing))

    def _sobel_maps(self, images: Iterable) -> Iterator[np.ndarray]:
        return (self._sobel(maps) for _, maps in self._noise_maps(images))

    def _noise_maps(self, images: Iterable) -> Iterator[tuple[list[np.ndarray], np.ndarray]]:
        """Batches of images of one size, with their noise maps `(N, C, H, W)`; several timesteps are further channels."""
        check_is_fitted(self, "unet_")
        patch_size, unet = self.smallest_side, self._asked()
        loaded = load_images(images, patch_size, self.channels_, self.longest_side)
        for shape, run in groupby(loaded, key=np.shape):
            tiled = self.stride is None and self.tile is not None and max(shape[:2]) > self.tile
            count = 1 if tiled else self.batch_size  # a tile is as much as the U-Net should see at once
            while batch := list(islice(run, count)):
                x0 = torch.stack([to_tensor(image) for image in batch]).to(self.unet_.device)
                maps = [noise_map(unet, x0, timestep, self.reading, eps=self._noise(x0), patch_size=patch_size,
                                  stride=self.stride, tile=self.tile) for timestep in self._timesteps()]
                yield batch, torch.cat(maps, dim=1).float().cpu().numpy()

    def _noise(self, x0: torch.Tensor) -> torch.Tensor:
        """The noise of the readings that add some: the same for every image, so a score depends on its image alone."""
        generator = torch.Generator().manual_seed(self.random_state)
        return torch.randn(x0.shape[1:], generator=generator).to(x0).expand_as(x0)


def _views(sobel: np.ndarray, crops: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The map itself, then `crops - 1` random crops of 70 to 100 % of each side."""
    yield sobel
    for _ in range(crops - 1):
        height, width = (ceil(side * rng.uniform(0.7, 1)) for side in sobel.shape)
        row, column = rng.integers(sobel.shape[0] - height + 1), rng.integers(sobel.shape[1] - width + 1)
        yield sobel[row:row + height, column:column + width]
