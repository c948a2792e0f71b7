"""The methods that RADAR is compared with: what all of them share, and what those on the same U-Net share."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from diffusers import UNet2DModel

from radar_nb.data.images import load_images, to_tensor
from radar_nb.method.base import ImageDetector, some_pixels
from radar_nb.method.training import TrainingConfig, train
from radar_nb.method.unet import image_channels
from radar_nb.storage.errors import InputError


def as_float(image: np.ndarray) -> np.ndarray:
    """An image, uint8 or float in [0, 1], as float32 in [0, 1]."""
    return image / np.float32(255) if image.dtype == np.uint8 else image.astype(np.float32)


class Rival(ImageDetector):
    """A detector whose two thresholds come from normal calibration images at a stated false-alarm rate.

    A method says in `_learn` what it takes from training images, and in `_measure` how anomalous each pixel
    and each image is.

    Args:
        contamination: share of normal images that may be called anomalous: the image threshold is that
            quantile of the calibration images' scores.
        random_state: seed of the split and of what the method draws.

    Attributes:
        calibration_scores_: of the calibration images, `(N,)`, higher is more normal; and `ImageDetector`'s.
    """

    def __init__(self, contamination: float = 0.05, random_state: int = 0):
        self.contamination = contamination
        self.random_state = random_state

    def _check(self) -> None:
        """Raise InputError where an argument is out of range."""
        if not 0 < self.contamination <= 0.5:
            raise InputError(f"contamination={self.contamination}: choose more than 0, and at most 0.5")

    def _learn(self, images: list[np.ndarray]) -> None:
        """Learn from normal images; a method that has nothing to learn leaves this out."""

    def _measure(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Measure images of one size.

        Args:
            images: `(N, H, W)` or `(N, H, W, 3)` float32 in [0, 1].

        Returns:
            anomaly maps `(N, H, W)` and scores `(N,)`, higher for more anomalous; None for the scores takes
            the largest value of each smoothed map.
        """
        raise NotImplementedError

    def fit(self, images: Iterable, y: object = None, calibrate: Iterable | None = None) -> "Rival":
        """Learn from normal `images`, then set both thresholds on the normal images `calibrate`.

        Without `calibrate`, a share of the images is held out for it.

        Raises:
            InputError: a bad image, too few images, or an argument out of range.
        """
        self._check()
        images = list(load_images(images, self.smallest_side))
        if calibrate is None:
            images, calibrate = self._hold_out(images)
        elif not images:
            raise InputError("images=[]: no images to learn from; give at least one")
        self.channels_ = 1 if images[0].ndim == 2 else 3
        self._learn(images)
        rng = np.random.default_rng(self.random_state)
        scores, pixels = [], []
        for _, maps, batch_scores in self._measured(calibrate):
            scores += batch_scores.tolist()
            pixels += [some_pixels(anomaly_map, rng) for anomaly_map in maps]
        if len(scores) < 2:
            raise InputError(f"calibrate: {len(scores)} images; give at least 2, hundreds are better")
        self.calibration_scores_ = -np.array(scores)
        self.offset_ = -float(np.quantile(scores, 1 - self.contamination))
        self._set_pixel_threshold(pixels)
        return self

    def inspect(self, images: Iterable) -> Iterator[dict]:
        """For each image: `image`, `anomaly_map`, `mask`, `score`, `normal`; see `ImageDetector.inspect`."""
        for batch, maps, scores in self._measured(images):
            for image, anomaly_map, score in zip(batch, maps, -scores, strict=True):
                mask = anomaly_map > self.pixel_threshold_
                yield {"image": image, "anomaly_map": anomaly_map, "mask": mask, "score": float(score),
                       "normal": bool(score >= self.offset_)}

    def _measured(self, images: Iterable) -> Iterator[tuple[list[np.ndarray], np.ndarray, np.ndarray]]:
        """Batches of images of one size, their smoothed maps, and scores: higher is more anomalous here."""
        for batch in self._batches(images):
            maps, scores = self._measure(np.stack([as_float(image) for image in batch]))
            maps = self._smooth(maps)
            yield batch, maps, maps.max(axis=(1, 2)) if scores is None else scores


class DiffusionRival(Rival):
    """A rival that uses the same U-Net as RADAR.

    Args:
        unet: a U-Net trained elsewhere, best on other images than `fit` is given; None trains one in `fit`.
        training: how to train it.
        contamination, random_state: as for `Rival`.
    """

    draw = staticmethod(torch.randn)  # makes the noise of the training

    def __init__(self, unet: UNet2DModel | None = None, training: TrainingConfig | None = None,
                 contamination: float = 0.05, random_state: int = 0):
        super().__init__(contamination, random_state)
        self.unet = unet
        self.training = training

    def fit(self, images: Iterable, y: object = None, calibrate: Iterable | None = None) -> "DiffusionRival":
        """As `Rival.fit`; with `unet`, and without `calibrate`, all images calibrate."""
        if self.unet is not None and calibrate is None:
            images = calibrate = list(images)
        return super().fit(images, y, calibrate)

    def _learn(self, images: list[np.ndarray]) -> None:
        config = self.training or TrainingConfig(seed=self.random_state)
        self.unet_ = self.unet or train(images, config, progress=False, draw=self.draw).unet
        if (taken := image_channels(self.unet_)) != self.channels_:
            raise InputError(f"unet: takes {taken} channels, the images have {self.channels_}")

    def _batch_size(self, shape: tuple[int, ...]) -> int:
        """A GPU takes more images at once: with few, its time goes into launching kernels."""
        return self.batch_size * 8 if self._on_gpu else super()._batch_size(shape)

    @torch.inference_mode()
    def _measure(self, images: np.ndarray) -> tuple[np.ndarray, None]:
        x0 = torch.stack([to_tensor(image) for image in images]).to(self.unet_.device)
        return self._pixel_scores(x0).mean(dim=1).float().cpu().numpy(), None

    def _pixel_scores(self, x0: torch.Tensor) -> torch.Tensor:
        """How anomalous each value of the images `(N, C, H, W)` in [-1, 1] is; the same shape."""
        raise NotImplementedError
