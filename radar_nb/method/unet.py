"""The noise predictor `eps_theta(x, t)`: an attention U-Net (paper Fig. 5)."""

from collections.abc import Sequence
from math import isqrt

import torch
from diffusers import UNet2DModel
from torch.nn import functional as F


def build_unet(channels: int = 1, fold: int = 2, widths: Sequence[int] = (32, 64, 64),
               attention: bool = True) -> UNet2DModel:
    """An attention U-Net for noise prediction (paper Fig. 5): a plain `diffusers.UNet2DModel`.

    Args:
        channels: 1 for grey images, 3 for RGB.
        fold: `fold` x `fold` pixels enter as one position with more channels (`pixel_unshuffle`): 1 is the
            paper's plain U-Net, 2 costs a sixth of the time and finds less (docs/paper.md). White noise stays
            white noise under folding, so the loss is the same.
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
    """1 for grey images, 3 for RGB: the U-Net's `in_channels` is that times the square of the fold."""
    return 3 if _config(unet).in_channels % 3 == 0 else 1


def fold_factor(unet: UNet2DModel) -> int:
    """How many pixels a side the U-Net's input folds into one position."""
    return isqrt(_config(unet).in_channels // image_channels(unet))


def _config(unet: torch.nn.Module):
    return getattr(unet, "module", unet).config  # with several processes it sits in a wrapper


def grid_size(unet: UNet2DModel) -> int:
    """Sides of an image must be multiples of this: folded, then halved at each level after the first."""
    return fold_factor(unet) * 2 ** (len(_config(unet).block_out_channels) - 1)


def predict_noise(unet: UNet2DModel, x: torch.Tensor, timestep: int | torch.Tensor) -> torch.Tensor:
    """`eps_theta(x, t)` for images of any size: pad to the U-Net's grid, fold, predict, unfold, crop.

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
    folded = F.pixel_unshuffle(x, fold)
    if isinstance(unet, torch.nn.Module):  # other engines have an order of their own
        folded = folded.contiguous(memory_format=torch.channels_last)
    return F.pixel_shuffle(unet(folded, timestep).sample, fold)[..., :height, :width]
