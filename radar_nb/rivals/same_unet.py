"""Rivals on the same U-Net as RADAR: reconstruction (DDIM, DDPM, AnoDDPM), density of noise, inversion."""

from numbers import Integral, Real

import numpy as np
import torch
from diffusers import UNet2DModel

from radar_nb.data.images import to_tensor
from radar_nb.method.base import check_arguments
from radar_nb.method.diffusion import add_noise, denoise, make_scheduler
from radar_nb.method.training import TrainingConfig
from radar_nb.method.unet import predict_noise
from radar_nb.rivals.base import DiffusionRival
from radar_nb.rivals.simplex import simplex_noise

DIFFERENCES = ("squared", "absolute")


class Reconstruction(DiffusionRival):
    """Noise to t = `start`, denoise, compare: what most diffusion detectors do, and RADAR leaves out.

    Args:
        start: how far to noise. steps: U-Net calls on the way back; None takes all `start + 1`.
        eta: 0 is DDIM (Song et al. 2021), 1 is DDPM (Ho et al. 2020).
        difference: of image and reconstruction, `squared` or `absolute`. The paper's DDPM (slide 7) is
            `start=250, eta=1.0, difference="absolute"`.
        unet, training, contamination, random_state: as for `DiffusionRival`.
    """

    def __init__(self, unet: UNet2DModel | None = None, training: TrainingConfig | None = None,
                 start: int = 200, steps: int | None = None, eta: float = 0.0, contamination: float = 0.05,
                 random_state: int = 0, difference: str = "squared"):
        super().__init__(unet, training, contamination, random_state)
        self.start, self.steps, self.eta, self.difference = start, steps, eta, difference

    def _check(self) -> None:
        super()._check()
        check_arguments(self, {"start": (Integral, 0, 999), "eta": (Real, 0, 1)}, {"difference": DIFFERENCES})
        check_arguments(self, {"steps": (Integral, 1, self.start + 1)}, {})

    def _pixel_scores(self, x0: torch.Tensor) -> torch.Tensor:
        difference = x0 - self.reconstruct(x0)
        return difference.square() if self.difference == "squared" else difference.abs()

    def reconstruct(self, x0: torch.Tensor) -> torch.Tensor:
        """Images `(N, C, H, W)` as the diffusion model would have them; every image gets the same noise."""
        generator = torch.Generator().manual_seed(self.random_state)
        eps = self.draw((1, *x0.shape[1:]), generator=generator).to(x0).expand_as(x0)
        x_t = add_noise(x0, eps, self.start, make_scheduler().alphas_cumprod)

        def draw(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
            # The same for all images of a batch: a score depends on its image alone.
            return self.draw((1, *shape[1:]), generator=generator).expand(shape)

        steps = self.steps or self.start + 1
        return denoise(self.unet_, x_t, self.start, steps, eta=self.eta, generator=generator, draw=draw)[0]


class AnoDdpm(Reconstruction):
    """AnoDDPM (Wyatt et al. 2022): DDPM with simplex noise; give it a U-Net trained with that noise, too."""

    draw = staticmethod(simplex_noise)


class NoiseDensity(DiffusionRival):
    """Gaussian density of the noise predicted on the clean image, after OSD-IRF (arXiv 2604.18393): one call.

    The map is the squared distance of each predicted value from the mean over `fit`'s images, in standard
    deviations: minus twice the logarithm of the density, less a constant.

    Args:
        timestep: at which the U-Net is asked.
        unet, training, contamination, random_state: as for `DiffusionRival`.
    """

    def __init__(self, unet: UNet2DModel | None = None, training: TrainingConfig | None = None,
                 timestep: int = 200, contamination: float = 0.05, random_state: int = 0):
        super().__init__(unet, training, contamination, random_state)
        self.timestep = timestep

    def _learn(self, images: list[np.ndarray]) -> None:
        super()._learn(images)
        with torch.inference_mode():
            clean = (to_tensor(image)[None].to(self.unet_.device) for image in images)
            maps = [predict_noise(self.unet_, x0, self.timestep) for x0 in clean]
        values = torch.cat([noise.flatten(2) for noise in maps], dim=2)
        self.mean_, self.std_ = (value[:, None, None] for value in (values.mean((0, 2)), values.std((0, 2))))

    def _pixel_scores(self, x0: torch.Tensor) -> torch.Tensor:
        return ((predict_noise(self.unet_, x0, self.timestep) - self.mean_) / self.std_).square()


class Inversion(DiffusionRival):
    """InvAD (arXiv 2504.05662) on pixels: a few DDIM steps *up* to pure noise, and its density there.

    The paper works on features of a pretrained network; here, as for all rivals, on the image itself.

    Args:
        timesteps: where each step up ends. The last should be near T, where the prior is a standard Gaussian.
        unet, training, contamination, random_state: as for `DiffusionRival`.
    """

    def __init__(self, unet: UNet2DModel | None = None, training: TrainingConfig | None = None,
                 timesteps: tuple[int, ...] = (333, 666, 999), contamination: float = 0.05,
                 random_state: int = 0):
        super().__init__(unet, training, contamination, random_state)
        self.timesteps = timesteps

    def _pixel_scores(self, x0: torch.Tensor) -> torch.Tensor:
        alphas_cumprod = make_scheduler().alphas_cumprod
        x, here = x0, 0
        for there in self.timesteps:
            a_here, a_there = alphas_cumprod[here], alphas_cumprod[there]
            eps_theta = predict_noise(self.unet_, x, here)
            clean = (x - (1 - a_here).sqrt() * eps_theta) / a_here.sqrt()
            x, here = a_there.sqrt() * clean + (1 - a_there).sqrt() * eps_theta, there
        return x.square()
