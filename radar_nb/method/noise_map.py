"""The noise map of RADAR (paper Fig. 1 and 4, eq. 3): one forward step, one U-Net call, no reconstruction.

Also the statistics that tell a Gaussian noise map from a non-Gaussian one.
"""

from collections.abc import Callable
from functools import cache, lru_cache

import numpy as np
import torch
from diffusers import UNet2DModel
from scipy import stats

from radar_nb.method.diffusion import add_noise, make_scheduler
from radar_nb.method.patches import cut_patches, merge_patches
from radar_nb.method.tiles import map_in_tiles
from radar_nb.method.unet import grid_size, predict_noise

READINGS = ("predicted", "residual", "noise_free")
HALO = 24  # half of the pixels that tiles share: 8 leave no seam, 24 keep the work below 1.3 times
NoisePredictor = Callable[[torch.Tensor, int], torch.Tensor]
_scheduler = cache(make_scheduler)


@torch.inference_mode()
def noise_map(eps_theta: NoisePredictor, x0: torch.Tensor, timestep: int, reading: str = "predicted",
              eps: torch.Tensor | None = None) -> torch.Tensor:
    """The noise that the network sees in images, one call each (paper Fig. 1 and 4, slide 9).

    Args:
        eps_theta: `eps_theta(x, t)`, shaped as `x`: `whole_image(unet)`, `in_patches(unet, ...)`,
            `in_tiles(unet, ...)`.
        x0: clean images `(N, C, H, W)` in [-1, 1].
        timestep: the one `t` at which the network is called.
        reading: `predicted` is `eps_theta(x_t, t)`, the paper's; `residual` is `eps_theta(x_t, t) - eps`;
            `noise_free` is `eps_theta(x0, t)`: the network is told that there is noise of level t, and there
            is none.
        eps: the noise that the first two readings add, shaped as `x0`.

    Returns:
        `(N, C, H, W)`.

    Raises:
        ValueError: unknown reading, timestep outside the schedule, or `eps` missing.
    """
    if reading not in READINGS:
        raise ValueError(f"reading={reading!r}: choose one of {', '.join(READINGS)}")
    scheduler = _scheduler()
    if not 0 <= timestep < scheduler.config.num_train_timesteps:
        raise ValueError(f"timestep={timestep}: choose 0 to {scheduler.config.num_train_timesteps - 1}")
    if reading == "noise_free":
        return eps_theta(x0, timestep)
    if eps is None:
        raise ValueError(f"eps=None: the reading {reading!r} adds noise; give eps, shaped as x0")
    predicted = eps_theta(add_noise(x0, eps, timestep, scheduler.alphas_cumprod), timestep)
    return predicted - eps if reading == "residual" else predicted


@lru_cache(1)  # one size after the other; drawing costs as much as Sobel
def fixed_noise(shape: torch.Size, seed: int) -> torch.Tensor:
    """Noise `(C, H, W)` from a seed alone: every image of this shape is given the same."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def whole_image(unet: UNet2DModel) -> NoisePredictor:
    """The whole image goes through the U-Net at once, as a convolutional network allows."""
    return lambda x, timestep: predict_noise(unet, x, timestep)


def in_patches(unet: UNet2DModel, patch_size: int, stride: int, batch_size: int = 64,
               second: int = 0) -> NoisePredictor:
    """Overlapping patches go through the U-Net, `batch_size` in a call, and their maps are merged (slide 9).

    The paper takes patches of 28 x 28 at every position: `in_patches(unet, 28, 1)`.
    """
    def eps_theta(image: torch.Tensor, timestep: int) -> torch.Tensor:
        patches = cut_patches(image, patch_size, stride, second)
        maps = torch.cat([predict_noise(unet, part, timestep) for part in patches[0].split(batch_size)])
        return merge_patches(maps[None], *image.shape[-2:], stride, second)

    return lambda x, timestep: torch.cat([eps_theta(image, timestep) for image in x.split(1)])


def in_tilings(unet: UNet2DModel, patch_size: int, tilings: int = 2, batch_size: int = 64) -> NoisePredictor:
    """Patches edge to edge, over the image `tilings` times, each time shifted along the diagonal; the mean.

    Ours, near the paper's small strides for a fraction of their time. Group norm and attention see a whole
    patch, so patches that overlap share no work: 28 x 28 at stride 7 takes 15 times as long as the whole
    image, two tilings 2.5 times. On `extrusion` the Sobel maps of both correlate by 0.92, those of stride 7
    and the whole image by 0.46.
    """
    shifts = range(0, patch_size, -(-patch_size // tilings))
    each = [in_patches(unet, patch_size, patch_size, batch_size, second) for second in shifts]
    return lambda x, timestep: torch.stack([eps_theta(x, timestep) for eps_theta in each]).mean(0)


def in_tiles(unet: UNet2DModel, tile: int, halo: int = HALO) -> NoisePredictor:
    """Larger images go through in tiles of at most `tile` pixels a side: memory is bounded, time linear.

    Neighbouring tiles share `2 * halo` pixels, over which one fades into the other. Tiles are not the whole
    image: group norm and attention see all that goes in, so calibrate on images of the size that is scored.
    On normal images of `printed` (released U-Net; 1024 pixels a side and tile=512, or half of both) the maps
    differ by 20 % RMS, their Sobel maps by 11 %, the global norm by at most 1 %, the local one by 2 % in the
    mean and at most 6 % (between images: 2 % and 4 %). No seam: Sobel energy at the edges of tiles is
    as elsewhere to 5 %; without a halo 30 % more.

    Raises:
        ValueError: in the call, where the tile is too small for its halo.
    """
    def eps_theta(x: torch.Tensor, timestep: int) -> torch.Tensor:
        grid = grid_size(unet)
        return map_in_tiles(lambda part: predict_noise(unet, part, timestep), x, tile, 2 * halo, grid)

    return eps_theta


def gaussian_statistics(noise_map: np.ndarray) -> dict[str, float]:
    """How far the values of one noise map are from a Gaussian of the same mean and deviation (paper Fig. 4).

    Returns:
        `std`; `skewness` and `excess_kurtosis` (0 for a Gaussian); `ks_distance`, the largest gap between the
        two distribution functions (0 to 1); `correlation` of horizontally neighbouring values (0 for white
        noise).
    """
    rows = np.asarray(noise_map, np.float64).reshape(-1, noise_map.shape[-1])
    values = rows.ravel()
    standard = (values - values.mean()) / values.std()
    return {"std": values.std(), "skewness": stats.skew(values), "excess_kurtosis": stats.kurtosis(values),
            "ks_distance": stats.kstest(standard, "norm").statistic,
            "correlation": np.corrcoef(rows[:, :-1].ravel(), rows[:, 1:].ravel())[0, 1]}


def patch_normality(noise_map: np.ndarray, patch: int = 32, spacing: int = 2) -> list[dict[str, float]]:
    """Test each patch of a noise map for normality (paper Fig. 4): D'Agostino and Pearson's K2.

    Args:
        noise_map: `(H, W)`; patch: side of the patches, which do not overlap; spacing: only every so many-th
            pixel in each direction is used, since neighbours are correlated and the test takes its values for
            independent.

    Returns:
        for each patch `row`, `column`, the statistic `k2`, its `p_value`, and `excess_kurtosis`.
    """
    results = []
    for row in range(0, noise_map.shape[0] - patch + 1, patch):
        for column in range(0, noise_map.shape[1] - patch + 1, patch):
            values = noise_map[row:row + patch:spacing, column:column + patch:spacing].ravel().astype(float)
            k2, p_value = stats.normaltest(values)
            results.append({"row": row, "column": column, "k2": float(k2), "p_value": float(p_value),
                            "excess_kurtosis": float(stats.kurtosis(values))})
    return results
