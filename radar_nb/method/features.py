"""From a noise map to two numbers: blur, Sobel, global norm and local norm (paper section 3, slide 9)."""

from collections.abc import Iterator
from math import ceil

import numpy as np
from scipy import ndimage

from radar_nb.method.patches import patch_starts

KERNELS = (1, 3, 5, 7)


def blur(noise_maps: np.ndarray, kernel: int = 5) -> np.ndarray:
    """Gaussian blur of maps `(N, C, H, W)`; `kernel`: its side in pixels (slide 9), 1 for none."""
    weights = blur_weights(kernel)
    return _correlate(noise_maps, weights, weights) if kernel > 1 else noise_maps


def blur_weights(kernel: int) -> np.ndarray:
    """The Gaussian in one direction, `(kernel,)`, sum 1.

    The slides give no standard deviation. We take the one that OpenCV gives a kernel of this size: 1.1 for 5.
    """
    deviation = 0.3 * ((kernel - 1) / 2 - 1) + 0.8
    weights = np.exp(-0.5 * (np.arange(kernel) - kernel // 2) ** 2 / deviation**2)
    return weights / weights.sum()


def sobel_magnitude(noise_maps: np.ndarray, kernel: int = 5) -> np.ndarray:
    """Length of the Sobel gradient at each pixel: large where neighbouring noise values differ (slide 9).

    Args:
        noise_maps: `(N, C, H, W)`.
        kernel: side of Sobel's kernel, pixels: 3, 5 or 7.

    Returns:
        `(N, H, W)` float32: root of the summed squares over both directions and all channels.
    """
    smooth, difference = sobel_weights(kernel)
    down, across = _correlate(noise_maps, difference, smooth), _correlate(noise_maps, smooth, difference)
    return np.sqrt((down**2 + across**2).sum(axis=1)).astype(np.float32)


def sobel_weights(kernel: int) -> tuple[np.ndarray, np.ndarray]:
    """Sobel's smoothing and difference in one direction, `(kernel,)` each: 1 2 1 and -1 0 1 for 3,
    1 4 6 4 1 and -1 -2 0 2 1 for 5."""
    pair = np.poly1d([1.0, 1.0])
    return (pair ** (kernel - 1)).c, (pair ** (kernel - 3) * np.poly1d([-1.0, 0.0, 1.0])).c


def _correlate(maps: np.ndarray, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    # Not ndimage.sobel or gaussian_filter: on four axes they would smooth over images and channels too.
    maps = ndimage.correlate1d(maps, down, axis=-2, mode="reflect")
    return ndimage.correlate1d(maps, across, axis=-1, mode="reflect")


def global_norm(maps: np.ndarray) -> np.ndarray:
    """L2 norm of each map `(N, H, W)`, divided by the root of its number of pixels; `(N,)`.

    The paper takes the plain L2 norm. The divisor is the same for all images of one size, so nothing changes
    there, and images of different sizes become comparable.
    """
    return np.sqrt(np.mean(np.square(maps, dtype=np.float64), axis=(1, 2)))


def window_norms(maps: np.ndarray, window: int, step: int = 1) -> np.ndarray:
    """L2 norm of the `window` x `window` windows that lie inside each map, one every `step` pixels.

    Args:
        maps: `(N, H, W)`.
        window: side in pixels; step: from one window to the next. The last one is flush with the edge.

    Returns:
        `(N, rows, columns)`, each divided by `window`, so in the unit of `global_norm`.

    Raises:
        ValueError: the window is larger than the map, or the step is not between 1 and the window.
    """
    if not 1 <= window <= min(maps.shape[1:]):
        raise ValueError(f"window={window}: choose 1 to {min(maps.shape[1:])}, the smaller side of the map")
    padded = np.pad(np.square(maps, dtype=np.float64), ((0, 0), (1, 0), (1, 0))).cumsum(1).cumsum(2)
    sums = padded[:, window:, window:] - padded[:, :-window, window:] - padded[:, window:, :-window] \
        + padded[:, :-window, :-window]
    if step > 1:
        rows, columns = (patch_starts(side, window, step) for side in maps.shape[1:])
        sums = sums[:, rows][:, :, columns]
    return np.sqrt(np.clip(sums, 0, None)) / window


def local_norm(maps: np.ndarray, window: int, step: int = 1) -> np.ndarray:
    """Largest L2 norm in a sliding window, for each map `(N, H, W)`; `(N,)`. Raises as `window_norms`."""
    return window_norms(maps, window, step).max(axis=(1, 2))


def extract_features(maps: np.ndarray, window: int, step: int = 1) -> np.ndarray:
    """The two features of RADAR, `(N, 2)`: global norm and local norm of each map `(N, H, W)`."""
    return np.stack([global_norm(maps), local_norm(maps, window, step)], axis=1)


def random_views(map_: np.ndarray, crops: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """A map `(..., H, W)` itself, then `crops - 1` random crops of 70 to 100 % of each side."""
    yield map_
    for _ in range(crops - 1):
        height, width = (ceil(side * rng.uniform(0.7, 1)) for side in map_.shape[-2:])
        row = rng.integers(map_.shape[-2] - height + 1)
        column = rng.integers(map_.shape[-1] - width + 1)
        yield map_[..., row:row + height, column:column + width]
