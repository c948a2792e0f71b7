"""The methods that RADAR is compared with, behind its interface: the base class, and those that use the same U-Net."""

from collections.abc import Iterable, Iterator
from itertools import groupby, islice

import numpy as np
import torch
from diffusers import UNet2DModel
from scipy import ndimage
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted

from radar_nb.method.diffusion import add_noise, denoise, image_channels, make_scheduler, predict_noise
from radar_nb.data.images import load_images, stack_alike, to_tensor
from radar_nb.storage.errors import InputError
from radar_nb.rivals.simplex import simplex_noise
from radar_nb.method.training import TrainingConfig, train


def as_float(image: np.ndarray) -> np.ndarray:
    """An image, uint8 or float in [0, 1], as float32 in [0, 1]."""
    return image / np.float32(255) if image.dtype == np.uint8 else image.astype(np.float32)


class Peer(OutlierMixin, BaseEstimator):
    """A detector whose two thresholds come from normal calibration images at a stated false-alarm rate.

    A method says in `_learn` what it takes from training images, and in `_measure` how anomalous each pixel and each
    image is. Images are as for `RadarDetector`.

    Args:
        contamination: share of normal images that may be called anomalous: the image threshold is the
            `1 - contamination` quantile of the calibration images' scores.
        random_state: seed of the split and of what the method draws.

    Attributes:
        threshold_: of the image score; pixel_threshold_: of the map; channels_: 1 or 3.
    """

    # The same for every method, and as in `RadarDetector`: what is compared are the maps and scores.
    smallest = 32            # least side of an image, pixels
    smoothing = 3.0          # deviation of the Gaussian that smooths each map, pixels
    pixel_quantile = 0.999   # a pixel is anomalous above this quantile of the calibration images' maps
    calibration_share = 0.3  # of the images, which `fit` holds out to calibrate on where none are given
    batch_size = 8           # images of one size that are measured together

    def __init__(self, contamination: float = 0.05, random_state: int = 0):
        self.contamination = contamination
        self.random_state = random_state

    def _learn(self, images: list[np.ndarray]) -> None:
        """Learn from normal images; a method that has nothing to learn leaves this out."""

    def _measure(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Measure images of one size.

        Args:
            images: `(N, H, W)` or `(N, H, W, 3)` float32 in [0, 1].

        Returns:
            anomaly maps `(N, H, W)` and scores `(N,)`, higher for more anomalous; None for the scores takes the
            largest value of each smoothed map.
        """
        raise NotImplementedError

    def fit(self, images: Iterable, y: object = None, calibrate: Iterable | None = None) -> "Peer":
        """Learn from normal `images`, then set both thresholds on the normal images `calibrate`.

        Without `calibrate`, a share of the images is held out for it.

        Raises:
            InputError: a bad image, too few images, or a parameter out of range.
        """
        if not 0 < self.contamination <= 0.5:
            raise InputError(f"contamination={self.contamination}: choose more than 0, and at most 0.5")
        images = list(load_images(images, self.smallest))
        if calibrate is None:
            held_out = max(2, round(self.calibration_share * len(images)))
            if len(images) < held_out + 1:
                raise InputError(f"images: {len(images)} found; give at least 3, two of them to calibrate on")
            order = np.random.default_rng(self.random_state).permutation(len(images))
            images, calibrate = [images[i] for i in order[held_out:]], [images[i] for i in order[:held_out]]
        self.channels_ = 1 if images[0].ndim == 2 else 3
        self._learn(images)
        rng = np.random.default_rng(self.random_state)
        scores, pixels = [], []
        for _, maps, batch_scores in self._measured(calibrate):
            scores += batch_scores.tolist()
            pixels += [rng.choice(map_.ravel(), 4000) for map_ in maps]
        if len(scores) < 2:
            raise InputError(f"calibrate: {len(scores)} images; give at least 2, hundreds are better")
        self.threshold_ = float(np.quantile(scores, 1 - self.contamination))
        self.pixel_threshold_ = float(np.quantile(np.concatenate(pixels), self.pixel_quantile))
        return self

    def score_samples(self, images: Iterable) -> np.ndarray:
        """Score of each image, `(N,)`: higher is more normal, as in scikit-learn."""
        return -np.concatenate([scores for _, _, scores in self._measured(images)] or [np.empty(0)])

    def decision_function(self, images: Iterable) -> np.ndarray:
        """`score_samples` minus the threshold, `(N,)`: negative is anomalous."""
        return self.score_samples(images) + self.threshold_

    def predict(self, images: Iterable) -> np.ndarray:
        """`(N,)`: +1 normal, -1 anomalous."""
        return np.where(self.decision_function(images) < 0, -1, 1)

    def inspect(self, images: Iterable) -> Iterator[dict]:
        """For each image: `image`, `anomaly_map`, `mask`, `score`, `normal`, as `RadarDetector.inspect` gives them."""
        for batch, maps, scores in self._measured(images):
            for image, map_, score in zip(batch, maps, scores, strict=True):
                yield {"image": image, "anomaly_map": map_, "mask": map_ > self.pixel_threshold_,
                       "score": -float(score), "normal": bool(score <= self.threshold_)}

    def anomaly_maps(self, images: Iterable) -> np.ndarray | list[np.ndarray]:
        """Smoothed anomaly map of each image, higher is more anomalous: `(N, H, W)` float32, a list where sizes differ."""
        return stack_alike(finding["anomaly_map"] for finding in self.inspect(images))

    def segment(self, images: Iterable) -> np.ndarray | list[np.ndarray]:
        """Mask of each image, True where it is anomalous: `(N, H, W)` bool, a list where sizes differ."""
        return stack_alike(finding["mask"] for finding in self.inspect(images))

    def _measured(self, images: Iterable) -> Iterator[tuple[list[np.ndarray], np.ndarray, np.ndarray]]:
        """Batches of images of one size with their smoothed maps and scores."""
        check_is_fitted(self, "channels_")
        for _, run in groupby(load_images(images, self.smallest, self.channels_), key=np.shape):
            while batch := list(islice(run, self.batch_size)):
                maps, scores = self._measure(np.stack([as_float(image) for image in batch]))
                maps = ndimage.gaussian_filter(maps.astype(np.float32), (0, self.smoothing, self.smoothing))
                yield batch, maps, maps.max(axis=(1, 2)) if scores is None else scores


class DiffusionPeer(Peer):
    """A peer that asks the same U-Net as RADAR.

    Args:
        unet: a U-Net trained elsewhere, best on other images than `fit` is given; None trains one in `fit`.
        training: how to train it.
        contamination, random_state: as for `Peer`.
    """

    draw = staticmethod(torch.randn)  # makes the noise of the training

    def __init__(self, unet: UNet2DModel | None = None, training: TrainingConfig | None = None, contamination: float = 0.05, random_state: int = 0):
        super().__init__(contamination, random_state)
        self.unet = unet
        self.training = training

    def fit(self, images: Iterable, y: object = None, calibrate: Iterable | None = None) -> "DiffusionPeer":
        """As `Peer.fit`; with `unet`, and without `calibrate`, all images calibrate."""
        if self.unet is not None and calibrate is None:
            images = calibrate = list(images)
        return super().fit(images, y, calibrate)

    def _learn(self, images: list[np.ndarray]) -> None:
        config = self.training or TrainingConfig(seed=self.random_state)
        self.unet_ = self.unet or train(images, config, progress=False, draw=self.draw).unet
        if image_channels(self.unet_) != self.channels_:
            raise InputError(f"unet: takes {image_channels(self.unet_)} channels, the images have {self.channels_}")

    @torch.inference_mode()
    def _measure(self, images: np.ndarray) -> tuple[np.ndarray, None]:
        x0 = torch.stack([to_tensor(image) for image in images]).to(self.unet_.device)
        return self._pixel_scores(x0).mean(dim=1).float().cpu().numpy(), None

    def _pixel_scores(self, x0: torch.Tensor) -> torch.Tensor:
        """How anomalous each value of the images `(N, C, H, W)` in [-1, 1] is; the same shape."""
        raise NotImplementedError


class Reconstruction(DiffusionPeer):
    """Noise to t = `start`, denoise, and compare with the image: what most diffusion detectors do, and RADAR leaves out.

    Args:
        start: how far to noise. steps: U-Net calls on the way back; None takes all `start + 1`.
        eta: 0 is DDIM (Song et al. 2021), 1 is DDPM (Ho et al. 2020).
        unet, training, contamination, random_state: as for `DiffusionPeer`.
    """

    def __init__(self, unet: UNet2DModel | None = None, training: TrainingConfig | None = None, start: int = 200,
                 steps: int | None = None, eta: float = 0.0, contamination: float = 0.05, random_state: int = 0):
        super().__init__(unet, training, contamination, random_state)
        self.start, self.steps, self.eta = start, steps, eta

    def _pixel_scores(self, x0: torch.Tensor) -> torch.Tensor:
        return (x0 - self.reconstruct(x0)).square()

    def reconstruct(self, x0: torch.Tensor) -> torch.Tensor:
        """The images `(N, C, H, W)` as the diffusion model would have them. The same noise for every image."""
        generator = torch.Generator().manual_seed(self.random_state)
        eps = self.draw((1, *x0.shape[1:]), generator=generator).to(x0).expand_as(x0)
        x_t = add_noise(x0, eps, self.start, make_scheduler().alphas_cumprod)

        def draw(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
            return self.draw((1, *shape[1:]), generator=generator).expand(shape)  # a score depends on its image alone

        return denoise(self.unet_, x_t, self.start, self.steps or self.start + 1, eta=self.eta, generator=generator, draw=draw)[0]


class AnoDdpm(Reconstruction):
    """AnoDDPM (Wyatt et al. 2022): DDPM reconstruction with simplex noise, in training too; give it a U-Net trained so."""

    draw = staticmethod(simplex_noise)


class NoiseDensity(DiffusionPeer):
    """Gaussian density of the predicted noise, after OSD-IRF (arXiv 2604.18393): one call, as in RADAR, on the clean image.

    The map is the squared distance of each predicted value from the calibration images' mean, in their deviations: minus
    twice the logarithm of the density, less a constant.

    Args:
        timestep: at which the U-Net is asked.
        unet, training, contamination, random_state: as for `DiffusionPeer`.
    """

    def __init__(self, unet: UNet2DModel | None = None, training: TrainingConfig | None = None, timestep: int = 200,
                 contamination: float = 0.05, random_state: int = 0):
        super().__init__(unet, training, contamination, random_state)
        self.timestep = timestep

    def _learn(self, images: list[np.ndarray]) -> None:
        super()._learn(images)
        with torch.inference_mode():
            maps = [predict_noise(self.unet_, to_tensor(image)[None].to(self.unet_.device), self.timestep) for image in images]
        values = torch.cat([map_.flatten(2) for map_ in maps], dim=2)
        self.mean_, self.std_ = (statistic(dim=(0, 2))[:, None, None] for statistic in (values.mean, values.std))

    def _pixel_scores(self, x0: torch.Tensor) -> torch.Tensor:
        return ((predict_noise(self.unet_, x0, self.timestep) - self.mean_) / self.std_).square()


class Inversion(DiffusionPeer):
    """InvAD (arXiv 2504.05662) on pixels: a few DDIM steps *up* to pure noise, and the density of where they end.

    The paper works on features of a pretrained network; here, as for all peers, on the image itself.

    Args:
        timesteps: where each step up ends. The last should be near T, where the prior is a standard Gaussian.
        unet, training, contamination, random_state: as for `DiffusionPeer`.
    """

    def __init__(self, unet: UNet2DModel | None = None, training: TrainingConfig | None = None,
                 timesteps: tuple[int, ...] = (333, 666, 999), contamination: float = 0.05, random_state: int = 0):
        super().__init__(unet, training, contamination, random_state)
        self.timesteps = timesteps

    def _pixel_scores(self, x0: torch.Tensor) -> torch.Tensor:
        alphas_cumprod = make_scheduler().alphas_cumprod
        x, here = x0, 0
        for there in self.timesteps:
            eps_theta, a_here, a_there = predict_noise(self.unet_, x, here), alphas_cumprod[here], alphas_cumprod[there]
            clean = (x - (1 - a_here).sqrt() * eps_theta) / a_here.sqrt()
            x, here = a_there.sqrt() * clean + (1 - a_there).sqrt() * eps_theta, there
        return x.square()
