"""RADAR with options beyond the paper: other maps, other decisions, several timesteps (notebook 10)."""

from collections.abc import Iterable, Iterator
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DModel

from radar_nb.beyond.decisions import DECISIONS, outlier_model
from radar_nb.beyond.fused import FusedDetector
from radar_nb.beyond.maps import (
    fit_covariance,
    mahalanobis_map,
    scale_space,
    standardise_rows_and_columns,
)
from radar_nb.method.base import check_arguments
from radar_nb.method.detector import CHOICES, LIMITS, RadarDetector
from radar_nb.method.features import blur, global_norm, window_norms
from radar_nb.method.noise_map import HALO, NoisePredictor, in_tilings
from radar_nb.method.training import TrainingConfig
from radar_nb.storage.errors import InputError
from radar_nb.storage.pretrained import saved_class

MAPS = ("sobel", "magnitude", "covariance")
# The kit's recipe before the authors' slides were known: our own generalisation of the paper's one step.
NOISE_FREE = {"timestep": 200, "reading": "noise_free", "blur": 1, "sobel": 3, "window": 17}
_LIMITS = LIMITS | {"smoothing": (Real, 0, 1000), "pixel_quantile": (Real, 0, 1),
                    "calibration_share": (Real, 0, 1), "batch_size": (Integral, 1, 10**6),
                    "tile": (Integral, 4 * HALO, 10**6), "tilings": (Integral, 1, 64),
                    "draws": (Integral, 1, 1000), "local_quantile": (Real, 1e-9, 1)}
_CHOICES = CHOICES | {"decision": DECISIONS, "map_kind": MAPS, "standardise": (True, False),
                      "one_sided": (True, False)}


class VariantDetector(RadarDetector):
    """`RadarDetector` with every part open to change. Its defaults are the paper's recipe.

    Args:
        timestep: one, or several, a U-Net call each, whose maps count together.
        decision: also `mahalanobis`, `one_class_svm` or `local_norm` (that feature alone).
        map_kind: `sobel`; `magnitude` takes the noise map's own size; `covariance` the Mahalanobis distance
            of each pixel's `scale_space` from that of the calibration images.
        standardise: divide each map by what is usual in each pixel's row and column.
        local_quantile: this quantile of the windows' norms in the place of the largest: one odd speck does
            not decide.
        one_sided: features below the calibration images' median count as the median, so that a surface more
            quiet than usual is not called anomalous.
        border: pixels at the edge of each map that do not count, and take the value of their nearest inner
            pixel.
        smoothing, pixel_quantile, calibration_share, batch_size: see `ImageDetector`.
        tile: images with a longer side go through the U-Net in tiles of so many pixels; None for whole
            images.
        tilings: patches edge to edge, over the image so many times (`in_tilings`); not together with
            `stride`.
        draws: average the noise maps of so many draws of the forward step's noise, a U-Net call each.
        others: arguments of `RadarDetector`.
    """

    def __init__(self, timestep: int | tuple[int, ...] = 1, reading: str = "predicted",
                 contamination: float = 0.05, random_state: int = 0, *, unet: UNet2DModel | None = None,
                 training: TrainingConfig | None = None, patch_size: int | None = None,
                 stride: int | None = None, blur: int = 5, sobel: int = 5, window: int = 20,
                 window_step: int = 1, decision: str = "isolation_forest", longest_side: int | None = None,
                 calibration_points: int = 200, map_kind: str = "sobel", standardise: bool = False,
                 local_quantile: float = 1.0, one_sided: bool = False, border: int = 0,
                 smoothing: float = 3.0,
                 pixel_quantile: float = 0.999, calibration_share: float = 0.3, batch_size: int = 8,
                 tile: int | None = 512, tilings: int | None = None, draws: int = 1):
        super().__init__(timestep, reading, contamination, random_state, unet=unet, training=training,
                         patch_size=patch_size, stride=stride, blur=blur, sobel=sobel, window=window,
                         window_step=window_step, decision=decision, longest_side=longest_side,
                         calibration_points=calibration_points)
        self.map_kind = map_kind
        self.standardise = standardise
        self.local_quantile = local_quantile
        self.one_sided = one_sided
        self.border = border
        self.smoothing = smoothing
        self.pixel_quantile = pixel_quantile
        self.calibration_share = calibration_share
        self.batch_size = batch_size
        self.tile = tile
        self.tilings = tilings
        self.draws = draws

    def _check_arguments(self) -> None:
        check_arguments(self, _LIMITS, _CHOICES)
        if not self._timesteps():
            raise InputError(f"timestep={self.timestep!r}: give at least one")
        if self.stride is not None and self.tilings is not None:
            raise InputError(f"tilings={self.tilings!r}: choose either this or stride, not both")
        most = self.smallest_side // 2 - 2
        if not isinstance(self.border, Integral) or not 0 <= self.border <= most:
            raise InputError(f"border={self.border!r}: choose 0 to {most}, less than half a patch")

    def _timesteps(self) -> tuple[int, ...]:
        return tuple(self.timestep) if isinstance(self.timestep, Iterable) else (self.timestep,)

    def _calibration_maps(self, images: list) -> Iterator[np.ndarray]:
        if self.map_kind != "covariance":
            return super()._calibration_maps(images)
        noise = [map_ for _, maps in self._noise_maps(images) for map_ in maps]
        self.covariance_ = fit_covariance([scale_space(map_) for map_ in noise])
        return (self._sobel(map_[None])[0] for map_ in noise)

    def _eps_theta(self, x0: torch.Tensor) -> NoisePredictor:
        if self.tilings is None:
            return super()._eps_theta(x0)
        return in_tilings(self.unet_, self.smallest_side, self.tilings, self.patch_batch)

    def _noise_map(self, x0: torch.Tensor, timestep: int) -> torch.Tensor:
        of_one_draw = super()._noise_map
        return sum(of_one_draw(x0, timestep, draw) for draw in range(self.draws)) / self.draws

    def _sobel(self, noise: np.ndarray) -> np.ndarray:
        if self.map_kind == "covariance":
            maps = np.stack([mahalanobis_map(scale_space(map_), *self.covariance_) for map_ in noise])
        elif self.map_kind == "magnitude":
            maps = np.sqrt(np.square(blur(noise, self.blur)).sum(axis=1))
        else:
            maps = super()._sobel(noise)
        if self.standardise:
            maps = np.stack([standardise_rows_and_columns(map_) for map_ in maps])
        width = self.border
        if not width:
            return maps
        return np.pad(self._inner(maps), ((0, 0), (width, width), (width, width)), mode="edge")

    def _inner(self, maps: np.ndarray) -> np.ndarray:
        return maps[..., self.border:maps.shape[-2] - self.border, self.border:maps.shape[-1] - self.border]

    def _extract(self, maps: np.ndarray) -> np.ndarray:
        if self.local_quantile == 1:
            return super()._extract(maps)
        norms = window_norms(maps, min(self.window, *maps.shape[1:]), self.window_step)
        return np.stack([global_norm(maps), np.quantile(norms, self.local_quantile, axis=(1, 2))], axis=1)

    def _decided_on(self, features: np.ndarray) -> np.ndarray:
        if not self.one_sided:
            return features
        return np.maximum(features, np.median(self.calibration_features_, axis=0))

    def _one_class_model(self, points: int):
        return outlier_model(self.decision, self.contamination, self.random_state, points)

    def _state(self) -> tuple[dict, dict[str, np.ndarray]]:
        settings, arrays = super()._state()
        if self.map_kind == "covariance":
            arrays |= dict(zip(("mean", "precision"), self.covariance_, strict=True))
        return settings, arrays

    @classmethod
    def _restore(cls, settings: dict, arrays: dict[str, np.ndarray], unet: UNet2DModel) -> "VariantDetector":
        detector = super()._restore(settings, arrays, unet)
        if detector.map_kind == "covariance":
            detector.covariance_ = arrays.pop("mean"), arrays.pop("precision")
        return detector


def noise_free_detector(**options) -> VariantDetector:
    """The kit's recipe before the slides were known: the clean image goes in as if it were x_200, no blur."""
    return VariantDetector(**(NOISE_FREE | options))


def load_detector(folder: str | Path) -> RadarDetector | FusedDetector:
    """Load a saved `RadarDetector`, `VariantDetector` or `FusedDetector`, whichever the folder holds.

    Raises:
        InputError: the folder does not hold a detector, or it is damaged.
    """
    classes = {"VariantDetector": VariantDetector, "FusedDetector": FusedDetector}
    return classes.get(saved_class(folder), RadarDetector).from_pretrained(folder)
