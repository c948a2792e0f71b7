"""From a noise map to two numbers: Sobel magnitude, global norm and local norm (paper section 3, Fig. 1).

Also the statistics that tell a Gaussian noise map from a non-Gaussian one (paper Fig. 4).
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage, stats


def sobel_magnitude(noise_maps: np.ndarray) -> np.ndarray:
    """Length of the Sobel gradient at each pixel: large where neighbouring noise values differ.

    Args:
        noise_maps: `(N, C, H, W)`.

    Returns:
        `(N, H, W)` float32: root of the summed squares over both directions and all channels.
    """
    def sobel(along: int, across: int) -> np.ndarray:
        # Not ndimage.sobel: on four axes that would smooth over images and channels too.
        difference = ndimage.correlate1d(noise_maps, [-1, 0, 1], axis=along, mode="reflect")
        return ndimage.correlate1d(difference, [1, 2, 1], axis=across, mode="reflect")

    return np.sqrt((sobel(-2, -1) ** 2 + sobel(-1, -2) ** 2).sum(axis=1)).astype(np.float32)


def global_norm(maps: np.ndarray) -> np.ndarray:
    """L2 norm of each map `(N, H, W)`, divided by the root of its number of pixels; `(N,)`.

    The paper takes the plain L2 norm. The divisor is the same for all images of one size, so nothing changes there,
    and images of different sizes become comparable.
    """
    return np.sqrt(np.mean(np.square(maps, dtype=np.float64), axis=(1, 2)))


def window_norms(maps: np.ndarray, window: int) -> np.ndarray:
    """L2 norm of every `window` x `window` window that lies inside each map.

    Args:
        maps: `(N, H, W)`; window: side in pixels.

    Returns:
        `(N, H - window + 1, W - window + 1)`, each divided by `window`, so in the unit of `global_norm`.

    Raises:
        ValueError: the window is larger than the map.
    """
    if not 1 <= window <= min(maps.shape[1:]):
        raise ValueError(f"window={window}: choose 1 to {min(maps.shape[1:])}, the smaller side of the map")
    padded = np.pad(np.square(maps, dtype=np.float64), ((0, 0), (1, 0), (1, 0))).cumsum(1).cumsum(2)
    sums = padded[:, window:, window:] - padded[:, :-window, window:] - padded[:, window:, :-window] \
        + padded[:, :-window, :-window]
    return np.sqrt(np.clip(sums, 0, None)) / window


def local_norm(maps: np.ndarray, window: int, quantile: float = 1.0) -> np.ndarray:
    """Largest L2 norm in a sliding window, for each map `(N, H, W)`; `(N,)`. Raises as `window_norms`.

    Beyond the paper, `quantile` below 1 takes that quantile of the windows: one odd speck does not decide then.
    """
    norms = window_norms(maps, window)
    return norms.max(axis=(1, 2)) if quantile == 1 else np.quantile(norms, quantile, axis=(1, 2))


def extract_features(maps: np.ndarray, window: int, quantile: float = 1.0) -> np.ndarray:
    """The two features of RADAR, `(N, 2)`: global norm and local norm of each map `(N, H, W)`."""
    return np.stack([global_norm(maps), local_norm(maps, window, quantile)], axis=1)


def standardise_rows_and_columns(sobel_map: np.ndarray, smoothing: float = 1.5) -> np.ndarray:
    """Divide a Sobel map `(H, W)` by what is usual in each pixel's row and in its column: the rest is `(H, W)`, about 1.

    Beyond the paper. On ground or cast parts whole rows and columns are louder than others (grinding marks, chamfered
    edges, a lamp at one side), and the loudest row hides the defect. On the logarithm of the smoothed energy the medians of
    rows and of columns are taken off in turns: Tukey's median polish (1977). A defect is too small to move a median.
    """
    level = np.log(ndimage.gaussian_filter(np.square(sobel_map, dtype=np.float64), smoothing) + 1e-8)
    for _ in range(2):
        level -= np.median(level, axis=1, keepdims=True)
        level -= np.median(level, axis=0, keepdims=True)
    return np.exp(level / 2).astype(np.float32)


def scale_space(noise_map: np.ndarray, scales: Sequence[float] = (2, 4, 8)) -> np.ndarray:
    """What surrounds each pixel of a noise map: its smoothed value and the logarithm of its smoothed square, at each scale.

    Beyond the paper. Sobel sees how loud the map is at the finest scale; broad faint defects (oil, a grey stroke) shift its
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
    """Mean `(K,)` and inverse covariance `(K, K)` of the pixels of normal images' `scale_space`, `(K, H, W)` each.

    `ridge`, a share of the mean variance, is added to every variance, so that few images do not make a singular matrix.
    """
    values = np.concatenate([stack[:, ::3, ::3].reshape(len(stack), -1).T for stack in stacks]).astype(np.float64)
    covariance = np.atleast_2d(np.cov(values.T))
    return values.mean(axis=0), np.linalg.inv(covariance + ridge * np.trace(covariance) / len(covariance) * np.eye(len(covariance)))


def mahalanobis_map(stack: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Mahalanobis distance of each pixel of a `scale_space` `(K, H, W)` from normal pixels: `(H, W)` float32."""
    offsets = stack.reshape(len(stack), -1).T - mean
    return np.sqrt(np.maximum(((offsets @ precision) * offsets).sum(axis=1), 0)).reshape(stack.shape[1:]).astype(np.float32)


def gaussian_statistics(noise_map: np.ndarray) -> dict[str, float]:
    """How far the values of one noise map are from a Gaussian of the same mean and deviation (paper Fig. 4).

    Returns:
        `std`; `skewness` and `excess_kurtosis` (0 for a Gaussian); `ks_distance`, the largest gap between the two
        distribution functions (0 to 1); `correlation` of horizontally neighbouring values (0 for white noise).
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
        noise_map: `(H, W)`; patch: side of the patches, which do not overlap; spacing: only every so many-th pixel in
            each direction is used, since neighbours are correlated and the test takes its values for independent.

    Returns:
        for each patch `row`, `column`, the statistic `k2`, its `p_value`, and `excess_kurtosis`.
    """
    results = []
    for row in range(0, noise_map.shape[0] - patch + 1, patch):
        for column in range(0, noise_map.shape[1] - patch + 1, patch):
            values = noise_map[row:row + patch:spacing, column:column + patch:spacing].ravel().astype(np.float64)
            k2, p_value = stats.normaltest(values)
            results.append({"row": row, "column": column, "k2": float(k2), "p_value": float(p_value),
                            "excess_kurtosis": float(stats.kurtosis(values))})
    return results
