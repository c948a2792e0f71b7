"""Beyond the paper: what else a noise map can be turned into, where Sobel's map shows too little."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage


def standardise_rows_and_columns(sobel_map: np.ndarray, smoothing: float = 1.5) -> np.ndarray:
    """Divide a Sobel map `(H, W)` by what is usual in each pixel's row and column: `(H, W)`, about 1.

    On ground or cast parts whole rows and columns are louder than others (grinding marks, chamfered
    edges, a lamp at one side), and the loudest row hides the defect. On the logarithm of the smoothed energy
    the medians of rows and of columns are taken off in turns: Tukey's median polish (1977). A defect is too
    small to move a median.
    """
    level = np.log(ndimage.gaussian_filter(np.square(sobel_map, dtype=np.float64), smoothing) + 1e-8)
    for _ in range(2):
        level -= np.median(level, axis=1, keepdims=True)
        level -= np.median(level, axis=0, keepdims=True)
    return np.exp(level / 2).astype(np.float32)


def scale_space(noise_map: np.ndarray, scales: Sequence[float] = (2, 4, 8)) -> np.ndarray:
    """The surroundings of each pixel: smoothed value, and logarithm of the smoothed square, at each scale.

    Sobel sees how loud the map is at the finest scale; broad faint defects (oil, a grey stroke) shift its
    local *mean*, or make it more quiet than usual, and leave no edge.

    Args:
        noise_map: `(C, H, W)`; scales: deviations of the Gaussians, pixels.

    Returns:
        `(2 * C * len(scales), H, W)` float32.
    """
    planes = []
    for scale in scales:
        planes.append(ndimage.gaussian_filter(noise_map, (0, scale, scale)))
        planes.append(np.log(ndimage.gaussian_filter(np.square(noise_map), (0, scale, scale)) + 1e-4))
    return np.concatenate(planes).astype(np.float32)


def fit_covariance(stacks: Sequence[np.ndarray], ridge: float = 1e-3) -> tuple[np.ndarray, np.ndarray]:
    """Mean `(K,)` and inverse covariance `(K, K)` of the pixels of `scale_space` maps `(K, H, W)`.

    `ridge`, a share of the mean variance, is added to every variance, so that few images do not make a
    singular matrix.
    """
    pixels = [stack[:, ::3, ::3].reshape(len(stack), -1).T for stack in stacks]
    values = np.concatenate(pixels).astype(np.float64)
    covariance = np.atleast_2d(np.cov(values.T))
    variance = np.trace(covariance) / len(covariance)
    return values.mean(axis=0), np.linalg.inv(covariance + ridge * variance * np.eye(len(covariance)))


def mahalanobis_map(stack: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Mahalanobis distance of each pixel of a `scale_space` `(K, H, W)` from normal ones: `(H, W)`."""
    offsets = stack.reshape(len(stack), -1).T - mean
    squares = (product(offsets, precision) * offsets).sum(axis=1)
    return np.sqrt(np.maximum(squares, 0)).reshape(stack.shape[1:]).astype(np.float32)


def product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """`first @ second` on PyTorch's threads. NumPy has threads of its own, which wait awake after a product:
    on two cores the next call of the U-Net then takes twice as long.
    """
    return (torch.from_numpy(first) @ torch.from_numpy(second)).numpy()
