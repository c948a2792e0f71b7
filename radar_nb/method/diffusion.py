"""Forward and backward diffusion (paper eq. 1 and 2, Fig. 2).

Notation as in the paper: `x0` image, `t` timestep in 0..T-1, `eps` Gaussian noise, `eps_theta` the U-Net's
prediction of it, `alphas_cumprod[t]` the share of the image's variance that is left in `x_t`.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from diffusers import DDPMScheduler, UNet2DModel
from torch.nn import functional as F

from radar_nb.method.unet import predict_noise


def make_scheduler(steps: int = 1000) -> DDPMScheduler:
    """The noise schedule of DDPM (Ho et al. 2020): T = 1000, betas linear from 0.0001 to 0.02."""
    return DDPMScheduler(num_train_timesteps=steps, beta_schedule="linear")


def add_noise(x0: torch.Tensor, eps: torch.Tensor, timestep: int | torch.Tensor,
              alphas_cumprod: torch.Tensor) -> torch.Tensor:
    """Forward step, paper eq. 1: `x_t = sqrt(a_t) x0 + sqrt(1 - a_t) eps` `(N, C, H, W)`; t may be `(N,)`."""
    a_t = alphas_cumprod.to(x0.device)[timestep]
    a_t = a_t.reshape(-1, 1, 1, 1) if a_t.ndim else a_t
    return a_t.sqrt() * x0 + (1 - a_t).sqrt() * eps


def diffusion_loss(unet: UNet2DModel, x0: torch.Tensor, eps: torch.Tensor, t: torch.Tensor,
                   alphas_cumprod: torch.Tensor) -> torch.Tensor:
    """Paper eq. 2: `|| eps - eps_theta(x_t, t) ||^2`, mean over `(N, C, H, W)`; t is `(N,)`."""
    x_t = add_noise(x0, eps, t, alphas_cumprod)
    return F.mse_loss(predict_noise(unet, x_t, t).float(), eps)


def reverse_step(x_t: torch.Tensor, eps_theta: torch.Tensor, t: int, previous: int,
                 alphas_cumprod: torch.Tensor, eta: float = 0.0, generator: torch.Generator | None = None,
                 draw: Callable = torch.randn) -> torch.Tensor:
    """One step back from t to `previous` < t (DDIM, Song et al. 2021, eq. 12); -1 stands for the clean image.

    `eta=0` is DDIM, deterministic; `eta=1` with `previous = t - 1` is DDPM with the posterior variance, and
    `draw` makes its noise, called as `torch.randn(shape, generator=generator)`.
    """
    a_t, a_previous = alphas_cumprod[t], alphas_cumprod[previous] if previous >= 0 else torch.tensor(1.0)
    x0 = ((x_t - (1 - a_t).sqrt() * eps_theta) / a_t.sqrt()).clamp(-1, 1)
    eps_theta = (x_t - a_t.sqrt() * x0) / (1 - a_t).sqrt()
    sigma = eta * ((1 - a_previous) / (1 - a_t) * (1 - a_t / a_previous)).sqrt()
    x = a_previous.sqrt() * x0 + (1 - a_previous - sigma**2).clamp(min=0).sqrt() * eps_theta
    if eta:
        x = x + sigma * draw(x.shape, generator=generator).to(x)
    return x


@torch.inference_mode()
def denoise(unet: UNet2DModel, x_t: torch.Tensor, start: int, steps: int, *, eta: float = 0.0,
            generator: torch.Generator | None = None, draw: Callable = torch.randn,
            keep_every: int = 0) -> tuple[torch.Tensor, list[tuple[int, torch.Tensor]]]:
    """Reverse diffusion from `x_t` at t = `start` down to an image (paper Fig. 2).

    Args:
        x_t: noisy images `(N, C, H, W)`; pure noise with `start=999` samples new images.
        steps: U-Net calls; `start + 1` with `eta=1` is the full DDPM chain, fewer with `eta=0` is DDIM.
        generator, draw: where the noise of `eta > 0` comes from, see `reverse_step`.
        keep_every: keep `x` at each so many-th step for a picture; 0 keeps none.

    Returns:
        the image `(N, C, H, W)` in [-1, 1], and the kept `(t, x_t)`.

    Raises:
        ValueError: `steps` is not between 1 and `start + 1`.
    """
    if not 1 <= steps <= start + 1:
        raise ValueError(f"steps={steps}: choose 1 to {start + 1} (start + 1)")
    alphas_cumprod = make_scheduler().alphas_cumprod
    timesteps = torch.linspace(start, -1, steps + 1).round().int().tolist()
    x, kept = x_t, []
    for number, (t, previous) in enumerate(pairwise(timesteps)):
        if keep_every and number % keep_every == 0:
            kept.append((t, x.clone()))
        x = reverse_step(x, predict_noise(unet, x, t), t, previous, alphas_cumprod, eta, generator, draw)
    return x.clamp(-1, 1), kept
