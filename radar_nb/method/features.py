"""From a noise map to two numbers: blur, Sobel, global norm and local norm (paper section 3, slide 9)."""

from collections.abc import Iterator
from math import ceil, comb

import numpy as np

from radar_nb.method.patches import patch_starts

KERNELS = (1, 3, 5, 7)


def blur(noise_maps: np.ndarray, kernel: int = 5) -> np.ndarray:
    """Gaussian blur of maps `(N, C, H, W)`; `kernel`: its side in pixels (slide 9), 1 for none."""
    if kernel == 1:
        return noise_maps
    weights = blur_weights(kernel).tolist()
    return _blur_along(_blur_along(_mirrored(noise_maps, kernel), -2, weights), -1, weights)


def _blur_along(maps: np.ndarray, axis: int, weights: list[float]) -> np.ndarray:
    # Shifted maps are added up, in float32: a third of the time of scipy.ndimage, which takes float64.
    maps, middle = maps.swapaxes(axis, -1), len(weights) // 2
    length = maps.shape[-1] - 2 * middle
    total, pair = maps[..., middle:middle + length] * weights[middle], None
    for k in range(middle):
        pair = np.add(maps[..., k:k + length], maps[..., 2 * middle - k:][..., :length], out=pair)
        pair *= weights[k]
        total += pair
    return total.swapaxes(axis, -1)


def _mirrored(maps: np.ndarray, kernel: int) -> np.ndarray:
    """Maps `(N, C, H, W)` with half a kernel of mirror image on each side."""
    reach = (kernel // 2, kernel // 2)
    return np.pad(maps, ((0, 0), (0, 0), reach, reach), mode="symmetric")


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
    maps = _mirrored(noise_maps, kernel)
    for _ in range(kernel - 3):  # a kernel of 5 is that of 3 after 1 2 1, which is 1 1 twice
        maps = _join(_join(maps, -2), -1)
    down = _join(_join(_join(maps, -2, 2, np.subtract), -1), -1)
    across = _join(_join(_join(maps, -1, 2, np.subtract), -2), -2)
    squares = np.square(down, out=down)
    squares += np.square(across, out=across)
    return np.sqrt(squares.sum(axis=1)).astype(np.float32, copy=False)


def _join(maps: np.ndarray, axis: int, apart: int = 1, join: np.ufunc = np.add) -> np.ndarray:
    """`join(maps[i + apart], maps[i])` for each i along an axis."""
    maps = maps.swapaxes(axis, -1)
    return join(maps[..., apart:], maps[..., :-apart]).swapaxes(axis, -1)


def sobel_weights(kernel: int) -> tuple[np.ndarray, np.ndarray]:
    """Sobel's smoothing and difference in one direction, `(kernel,)` each: 1 2 1 and -1 0 1 for 3,
    1 4 6 4 1 and -1 -2 0 2 1 for 5."""
    smooth, shorter = ([comb(size - 1, k) for k in range(size)] for size in (kernel, kernel - 2))
    return np.array(smooth, float), np.convolve(shorter, (-1.0, 0.0, 1.0))


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
    sums = _sums_of_neighbours(np.square(maps).swapaxes(1, 2), window).swapaxes(1, 2)
    if step > 1:
        sums = sums[:, patch_starts(maps.shape[1], window, step)]
    sums = _sums_of_neighbours(sums, window)
    if step > 1:
        sums = sums[:, :, patch_starts(maps.shape[2], window, step)]
    return np.sqrt(sums, out=sums) / window


def _sums_of_neighbours(values: np.ndarray, count: int) -> np.ndarray:
    """`sum_k values[..., k + i]` for k < count: sums of 1, 2, 4, ... joined as the bits of `count`."""
    length = values.shape[-1] - count + 1
    total, joined = 0, 0
    for size in (1 << bit for bit in range(count.bit_length())):
        if count & size:
            total, joined = values[..., joined:joined + length] + total, joined + size
        values = values[..., :-size] + values[..., size:]
    return total


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
