"""The diffusion model: U-Net, forward step, reverse sampling, and the single-step noise map of RADAR.

Notation as in the paper: `x0` image, `t` timestep in 0..T-1, `eps` Gaussian noise, `eps_theta` the U-Net's
prediction of it, `alphas_cumprod[t]` the share of the image's variance that is left in `x_t`.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import isqrt

import torch
from diffusers import DDPMScheduler, UNet2DModel
from torch.nn import functional as F

from radar_nb.method.patches import cut_patches, map_in_tiles, merge_patches
from radar_nb.storage.unet_folder import load_unet, save_unet  # noqa: F401 the folder of a U-Net belongs to its building

READINGS = ("predicted", "residual", "noise_free")
HALO = 24  # pixels beyond the middle of what tiles share: 8 leave no seam, 24 keep the work on a large image below 1.3 times its pixels


def build_unet(channels: int = 1, fold: int = 2, widths: Sequence[int] = (32, 64, 64), attention: bool = True) -> UNet2DModel:
    """An attention U-Net for noise prediction (paper Fig. 5): a plain `diffusers.UNet2DModel`.

    Args:
        channels: 1 for grey images, 3 for RGB.
        fold: `fold` x `fold` pixels enter as one position with more channels (`pixel_unshuffle`): 1 is the plain
            U-Net, 2 costs a quarter. White noise stays white noise under folding, so the loss is the same.
        widths: channels of each resolution; each level after the first halves the resolution.
        attention: self-attention at the lowest resolution, or not (for the ablation).

    Raises:
        ValueError: `channels` is not 1 or 3.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels={channels}: choose 1 (grey) or 3 (RGB)")
    plain = len(widths) - 1
    return UNet2DModel(
        in_channels=channels * fold**2, out_channels=channels * fold**2, layers_per_block=1,
        block_out_channels=tuple(widths), norm_num_groups=8, attention_head_dim=min(16, widths[-1]),
        down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D" if attention else "DownBlock2D",),
        up_block_types=("AttnUpBlock2D" if attention else "UpBlock2D",) + ("UpBlock2D",) * plain,
        add_attention=attention)


def image_channels(unet: UNet2DModel) -> int:
    """1 if the U-Net works on grey images, 3 if on RGB: `in_channels` is that times the square of the fold."""
    return 3 if _config(unet).in_channels % 3 == 0 else 1


def fold_factor(unet: UNet2DModel) -> int:
    """How many pixels a side the U-Net's input folds into one position."""
    return isqrt(_config(unet).in_channels // image_channels(unet))


def _config(unet: torch.nn.Module):
    return getattr(unet, "module", unet).config  # with several processes, the U-Net sits in a wrapper's `module`


def grid_size(unet: UNet2DModel) -> int:
    """Sides of an image must be multiples of this: folded, then halved at each level after the first."""
    return fold_factor(unet) * 2 ** (len(_config(unet).block_out_channels) - 1)


def predict_noise(unet: UNet2DModel, x: torch.Tensor, timestep: int | torch.Tensor) -> torch.Tensor:
    """`eps_theta(x, t)` for images of any size: pad by reflection to the U-Net's grid, fold, predict, unfold, crop.

    Args:
        x: `(N, C, H, W)`; timestep: one for all, or `(N,)`.

    Returns:
        `(N, C, H, W)`.
    """
    fold, grid = fold_factor(unet), grid_size(unet)
    height, width = x.shape[-2:]
    padding = (0, -width % grid, 0, -height % grid)
    if any(padding):
        x = F.pad(x, padding, mode="reflect" if padding[1] < width and padding[3] < height else "replicate")
    folded = F.pixel_unshuffle(x, fold).contiguous(memory_format=torch.channels_last)
    return F.pixel_shuffle(unet(folded, timestep).sample, fold)[..., :height, :width]


def make_scheduler(steps: int = 1000) -> DDPMScheduler:
    """The noise schedule of DDPM (Ho et al. 2020): T = 1000, betas linear from 0.0001 to 0.02."""
    return DDPMScheduler(num_train_timesteps=steps, beta_schedule="linear")


def add_noise(x0: torch.Tensor, eps: torch.Tensor, timestep: int | torch.Tensor, alphas_cumprod: torch.Tensor) -> torch.Tensor:
    """Forward step, paper eq. 1: `x_t = sqrt(a_t) x0 + sqrt(1 - a_t) eps`; shapes `(N, C, H, W)`, t `()` or `(N,)`."""
    a_t = alphas_cumprod.to(x0.device)[timestep]
    a_t = a_t.reshape(-1, 1, 1, 1) if a_t.ndim else a_t
    return a_t.sqrt() * x0 + (1 - a_t).sqrt() * eps


@torch.inference_mode()
def noise_map(unet: UNet2DModel, x0: torch.Tensor, timestep: int, reading: str = "noise_free", *,
              eps: torch.Tensor | None = None, patch_size: int = 32, stride: int | None = None,
              batch_size: int = 64, tile: int | None = None, halo: int = HALO) -> torch.Tensor:
    """The noise map of RADAR: one U-Net call, no reconstruction (paper Fig. 1 and 4).

    Args:
        x0: clean images `(N, C, H, W)` in [-1, 1].
        timestep: the one `t` at which the U-Net is asked.
        reading: `predicted` is `eps_theta(x_t, t)`; `residual` is `eps_theta(x_t, t) - eps`; `noise_free` is
            `eps_theta(x0, t)`: the U-Net is told that there is noise of level t, and there is none.
        eps: the noise added in the first two readings, shaped as `x0`.
        patch_size, stride: with a stride, the image is cut into overlapping patches as in the paper and the maps
            are merged; with None the whole image goes through at once, as a convolutional network allows.
        batch_size: patches in one call.
        tile: without a stride, images with a longer side go through in overlapping tiles of at most so many pixels a side, one
            place after the other, so that memory is bounded and time is linear in the area; None for whole images of any size.
        halo: neighbouring tiles share twice so many pixels, over which one fades into the other.

    Tiles are not the whole image: group norm and attention see all that goes in, so calibrate on images of the size that is scored. On
    normal images of `printed` (released U-Net; 1024 pixels a side and tile=512, or half of both) the maps differ by 20 % RMS, their
    Sobel maps by 11 %, the global norm by at most 1 %, the local one by 2 % in the mean and at most 6 % (between images: 2 % and 4 %).
    No seam: Sobel energy at the edges of tiles, against that elsewhere, is as in the whole image to 5 %; without a halo it is 30 % more.

    Returns:
        `(N, C, H, W)`.

    Raises:
        ValueError: unknown reading, timestep outside the schedule, `eps` missing, or a tile that is too small for its halo.
    """
    if reading not in READINGS:
        raise ValueError(f"reading={reading!r}: choose one of {', '.join(READINGS)}")
    scheduler = make_scheduler()
    if not 0 <= timestep < scheduler.config.num_train_timesteps:
        raise ValueError(f"timestep={timestep}: choose 0 to {scheduler.config.num_train_timesteps - 1}")
    if reading == "noise_free":
        x = x0
    elif eps is None:
        raise ValueError(f"eps=None: the reading {reading!r} adds noise; give eps, shaped as x0")
    else:
        x = add_noise(x0, eps, timestep, scheduler.alphas_cumprod)

    if stride is None:
        side = max(x.shape[-2:]) if tile is None else tile
        predicted = map_in_tiles(lambda part: predict_noise(unet, part, timestep), x, side, 2 * halo, grid_size(unet))
    else:
        patches = cut_patches(x, patch_size, stride)
        maps = torch.cat([predict_noise(unet, part, timestep) for part in patches.flatten(0, 1).split(batch_size)])
        predicted = merge_patches(maps.unflatten(0, patches.shape[:2]), *x.shape[-2:], stride)
    return predicted - eps if reading == "residual" else predicted


def reverse_step(x_t: torch.Tensor, eps_theta: torch.Tensor, t: int, previous: int, alphas_cumprod: torch.Tensor,
                 eta: float = 0.0, generator: torch.Generator | None = None, draw: Callable = torch.randn) -> torch.Tensor:
    """One step back from t to `previous` < t (DDIM, Song et al. 2021, eq. 12); -1 stands for the clean image.

    `eta=0` is DDIM, deterministic; `eta=1` with `previous = t - 1` is DDPM with the posterior variance, and `draw`
    makes its noise, called as `torch.randn(shape, generator=generator)`.
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
