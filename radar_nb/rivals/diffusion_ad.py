"""DiffusionAD of the paper's Table I: reconstruction in one step, and a network that sees what differs."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from numbers import Integral, Real

import numpy as np
import torch
from diffusers import UNet2DModel
from scipy import ndimage
from torch import nn
from torch.nn import functional as F

from radar_nb.data.images import as_uint8, to_tensor
from radar_nb.data.texture import PASTED_DEFECTS, paste_defect
from radar_nb.method.base import check_arguments
from radar_nb.method.diffusion import add_noise, make_scheduler
from radar_nb.method.training import TrainingConfig
from radar_nb.method.unet import predict_noise
from radar_nb.rivals.base import DiffusionRival, Rival


class DiffusionAd(DiffusionRival):
    """DiffusionAD (Zhang et al. 2023, arXiv 2303.08730): norm-guided one-step denoising, segmentation head.

    With `a_t = alphas_cumprod[t]`, a small and a large timestep s < b, and fresh noise for each:

    1. A U-Net call each gives two clean images, `x0_t = (x_t - sqrt(1 - a_t) eps_theta(x_t, t)) / sqrt(a_t)`.
       `x0_b` has lost defects of any size, and detail; `x0_s` has kept detail, and large defects.
    2. Norm guidance: `x0_b` is noised to s with the noise that was predicted there, `x_bs = sqrt(a_s) x0_b +
       sqrt(1 - a_s) eps_theta(x_s, s)`, and the prediction is turned towards it: `eps' = eps_theta(x_s, s) -
       w sqrt(1 - a_s) (x_bs - x_s)`. Put into step 1, this is a mean of the two clean images,
       `x0 = x0_s + w (1 - a_s) (x0_b - x0_s)`, and so it is computed.
    3. A small U-Net, the head, sees the image and `x0`, and says of each pixel how likely it is defective. It
       learns from training images alone, half of them spoilt by `spoil`.

    Simplified: the denoiser is RADAR's, trained beforehand on normal patches, not together with the head.
    Training uses the two timesteps of the test, not random ones. What is pasted comes from the training
    images, not from a collection of photographs. The head is small. An image's score is the largest value of
    its smoothed map, as for all rivals, not the mean of the 50 largest.

    Args:
        unet, training, contamination, random_state: as for `DiffusionRival`.
        small, large: the two timesteps, the authors' 200 and 400; guidance: the weight w.
        steps: training steps of the head; patches: in each step; patch_size: their side, pixels.
    """

    def __init__(self, unet: UNet2DModel | None = None, training: TrainingConfig | None = None,
                 small: int = 200, large: int = 400, guidance: float = 1.0, steps: int = 600,
                 patches: int = 8, patch_size: int = 64, contamination: float = 0.05, random_state: int = 0):
        super().__init__(unet, training, contamination, random_state)
        self.small, self.large, self.guidance = small, large, guidance
        self.steps, self.patches, self.patch_size = steps, patches, patch_size

    def _check(self) -> None:
        super()._check()
        limits = {"small": (Integral, 1, 998), "guidance": (Real, 0, 100), "steps": (Integral, 1, 10**6),
                  "patches": (Integral, 2, 4096), "patch_size": (Integral, 16, 1024)}
        check_arguments(self, limits, {})
        check_arguments(self, {"large": (Integral, self.small + 1, 999)}, {})

    def fit(self, images: Iterable, y: object = None, calibrate: Iterable | None = None) -> "DiffusionAd":
        """As `Rival.fit`: the head learns from `images`, so some are held out unless `calibrate` is given."""
        return Rival.fit(self, images, y, calibrate)

    def _learn(self, images: list[np.ndarray]) -> None:
        super()._learn(images)
        home = self.unet_.device
        device = torch.device("cuda") if torch.cuda.is_available() else home
        self.unet_.to(device)
        with torch.random.fork_rng():
            torch.manual_seed(self.random_state)
            self.head_ = SegmentationHead(2 * self.channels_).to(device).train()
        optimizer = torch.optim.AdamW(self.head_.parameters(), lr=2e-3)
        lr_schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        generator = torch.Generator().manual_seed(self.random_state)
        for x0, mask in self._spoilt_patches(images):
            x0, mask = x0.to(device), mask.to(device)
            eps = torch.randn((2, *x0.shape), generator=generator).to(device)
            logits = self.head_(torch.cat([x0, self.reconstruct(x0, eps)], dim=1))
            loss = segmentation_loss(logits, mask)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            lr_schedule.step()
        self.head_.to(home).eval()
        self.unet_.to(home)

    def _spoilt_patches(self, images: list[np.ndarray]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches of patches `(N, C, size, size)` in [-1, 1], every second one spoilt, with their masks."""
        rng = np.random.default_rng(self.random_state)
        images = [as_uint8(image) for image in images]
        size = min(self.patch_size, *(min(image.shape[:2]) for image in images))

        def cut() -> np.ndarray:
            image = images[rng.integers(len(images))]
            row, column = (rng.integers(side - size + 1) for side in image.shape[:2])
            return image[row:row + size, column:column + size]

        for _ in range(self.steps):
            pairs = [spoil(cut(), cut(), rng) if number % 2 else (cut(), np.zeros((size, size), bool))
                     for number in range(self.patches)]
            yield (torch.stack([to_tensor(patch) for patch, _ in pairs]),
                   torch.stack([torch.from_numpy(mask)[None].float() for _, mask in pairs]))

    @torch.no_grad()
    def reconstruct(self, x0: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        """Norm-guided reconstruction of images.

        Args:
            x0: `(N, C, H, W)` in [-1, 1]; eps: their noise at both timesteps, `(2, N, C, H, W)`.
        """
        alphas_cumprod = make_scheduler().alphas_cumprod
        clean = []
        for timestep, noise in zip((self.small, self.large), eps, strict=True):
            a_t = alphas_cumprod[timestep]
            x_t = add_noise(x0, noise, timestep, alphas_cumprod)
            clean.append((x_t - (1 - a_t).sqrt() * predict_noise(self.unet_, x_t, timestep)) / a_t.sqrt())
        x0_s, x0_b = clean[0], clean[1].clamp(-1, 1)
        return (x0_s + self.guidance * (1 - alphas_cumprod[self.small]) * (x0_b - x0_s)).clamp(-1, 1)

    def _pixel_scores(self, x0: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed(self.random_state)
        eps = torch.randn((2, 1, *x0.shape[1:]), generator=generator).to(x0).expand(2, *x0.shape)
        return self.head_(torch.cat([x0, self.reconstruct(x0, eps)], dim=1)).sigmoid()


class SegmentationHead(nn.Module):
    """A small U-Net from `(N, channels, H, W)` to one logit a pixel, `(N, 1, H, W)`, for any H and W.

    2 x 2 pixels enter as one position, as in the denoiser. It is normalised by statistics of the training
    (batch norm), not of the image, so that a patch and a whole image are treated alike.
    """

    def __init__(self, channels: int, widths: tuple[int, ...] = (24, 48, 96)):
        super().__init__()
        self.down = nn.ModuleList(_convolutions(*pair) for pair in pairwise((4 * channels, *widths)))
        self.up = nn.ModuleList(_convolutions(low + high, high) for low, high in pairwise(widths[::-1]))
        self.last = nn.Conv2d(widths[0], 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(N, 1, H, W)` of images `(N, channels, H, W)`."""
        height, width = x.shape[-2:]
        grid = 2 ** len(self.down)
        x = F.pixel_unshuffle(F.pad(x, (0, -width % grid, 0, -height % grid), mode="replicate"), 2)
        skipped = []
        for level, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if level else x)
            skipped.append(x)
        for block, finer in zip(self.up, skipped[-2::-1], strict=True):
            x = block(torch.cat([F.interpolate(x, scale_factor=2), finer], dim=1))
        return F.pixel_shuffle(self.last(x), 2)[..., :height, :width]


def _convolutions(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(*(layer for count in (channels, width) for layer in (
        nn.Conv2d(count, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.SiLU())))


def segmentation_loss(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Smooth L1 plus five times the focal loss (alpha 0.5, gamma 4), as the authors'; all `(N, 1, H, W)`."""
    entropy = F.binary_cross_entropy_with_logits(logits, mask, reduction="none")
    focal = 0.5 * (1 - torch.exp(-entropy)) ** 4 * entropy
    return F.smooth_l1_loss(logits.sigmoid(), mask) + 5 * focal.mean()


def spoil(patch: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A patch of a normal surface with a made defect: one of `paste_defect`'s, or blobs of another patch.

    The blobs are where smooth noise is high, as DiffusionAD uses Perlin noise. Inside them is the other
    patch, turned, with changed contrast and brightness, more or less transparent.

    Args:
        patch, other: square, `(S, S)` or `(S, S, 3)` uint8. rng: what, where, how large, how strong.

    Returns:
        the spoilt patch, uint8, and its mask `(S, S)`, bool.
    """
    if rng.random() < 0.5:
        return paste_defect(patch, rng.choice(PASTED_DEFECTS), rng)
    field = ndimage.gaussian_filter(rng.standard_normal(patch.shape[:2]), rng.uniform(1.5, 8), mode="wrap")
    mask = field > np.quantile(field, rng.uniform(0.8, 0.98))
    pasted = np.rot90(other, rng.integers(4)).astype(float)
    gain, shift = rng.choice([-1, 1]) * rng.uniform(0.5, 2), rng.uniform(-80, 80)
    pasted = pasted.mean() + gain * (pasted - pasted.mean()) + shift
    weight = rng.uniform(0.3, 1) * np.atleast_3d(mask)
    mixed = (1 - weight) * np.atleast_3d(patch) + weight * np.atleast_3d(pasted)
    return np.round(np.clip(mixed, 0, 255)).astype(np.uint8).reshape(patch.shape), mask
