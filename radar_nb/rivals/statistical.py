"""Statistical rivals: no diffusion, no network, minutes of work on a laptop and decades of use in factories."""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from radar_nb.method.patches import patch_starts
from radar_nb.rivals.peers import Peer


def _grey(images: np.ndarray) -> np.ndarray:
    """`(N, H, W)` or `(N, H, W, 3)` to `(N, H, W)`, the mean of the colours; uint8 to [0, 1]."""
    scaled = images / np.float32(255) if images.dtype == np.uint8 else images
    return (scaled if scaled.ndim == 3 else scaled.mean(axis=3)).astype(np.float32)


def _spread(values: np.ndarray, rows: Sequence[int], columns: Sequence[int], size: int, shape: tuple[int, int]) -> np.ndarray:
    """Give each pixel the mean of the patches that hold it.

    Args:
        values: `(N, R, C)`, a value a patch; rows, columns: where the R x C patches start; size: their side.

    Returns:
        `(N, H, W)`.
    """
    total, count = np.zeros((len(values), *shape), np.float32), np.zeros(shape, np.float32)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            total[:, row:row + size, column:column + size] += values[:, i, j, None, None]
            count[row:row + size, column:column + size] += 1
    return total / count


class PcaReconstruction(Peer):
    """Principal components of patches, with the limits of multivariate process control (Jackson and Mudholkar 1979).

    Each patch is split into the part inside the normal subspace and the rest. Hotelling's T2 says how unusual the part
    inside is, Q (the squared prediction error) how large the rest. Each is divided by its control limit, a quantile of the
    training patches; the map is the larger of the two.

    Args:
        patch: side of a patch, pixels; stride: pixels from one to the next.
        variance: share of the patches' variance that the subspace keeps.
        limit: the quantile of the training patches that is the control limit.
        contamination, random_state: as for `Peer`.
    """

    def __init__(self, patch: int = 12, stride: int = 6, variance: float = 0.95, limit: float = 0.99,
                 contamination: float = 0.05, random_state: int = 0):
        super().__init__(contamination, random_state)
        self.patch, self.stride, self.variance, self.limit = patch, stride, variance, limit

    def _learn(self, images: list[np.ndarray]) -> None:
        rng = np.random.default_rng(self.random_state)
        share = max(1, 20_000 // len(images))
        patches = [rng.choice(self._patches(_grey(image[None]), 1)[0], share) for image in images]
        patches = np.concatenate(patches)
        self.pca_ = PCA(self.variance, random_state=self.random_state).fit(patches)
        self.limits_ = np.quantile(self.statistics(patches), self.limit, axis=0)

    def _patches(self, images: np.ndarray, stride: int) -> np.ndarray:
        """`(N, H, W)` to `(N, P, patch * patch)`, row by row."""
        rows, columns = (patch_starts(length, self.patch, stride) for length in images.shape[1:])
        views = sliding_window_view(images, (self.patch, self.patch), axis=(1, 2))[:, rows][:, :, columns]
        return views.reshape(len(images), len(rows) * len(columns), -1)

    def statistics(self, patches: np.ndarray) -> np.ndarray:
        """T2 and Q of patches `(P, patch * patch)`: `(P, 2)`."""
        scores = self.pca_.transform(patches)
        t2 = (scores**2 / self.pca_.explained_variance_).sum(axis=1)
        centred = patches - self.pca_.mean_
        q = (centred**2).sum(axis=1) - (scores**2).sum(axis=1)
        return np.stack([t2, np.maximum(q, 0)], axis=1)

    def _measure(self, images: np.ndarray) -> tuple[np.ndarray, None]:
        images = _grey(images)
        rows, columns = (patch_starts(length, self.patch, self.stride) for length in images.shape[1:])
        patches = self._patches(images, self.stride)
        ratios = (self.statistics(patches.reshape(-1, patches.shape[-1])) / self.limits_).max(axis=1)
        return _spread(ratios.reshape(len(images), len(rows), len(columns)), rows, columns, self.patch, images.shape[1:]), None


class CausalResidual(Peer):
    """Residuals of a prediction from the causal neighbourhood (Bui and Apley 2018, as in R's spc4sts).

    A regression foretells each pixel from those above and to the left. On a normal texture the residuals are noise of one
    known distribution; a moving window compares. The Anderson-Darling statistic asks whether the residuals in it have that
    distribution, the Box-Pierce statistic whether neighbours are correlated. Each is divided by its control limit from
    the training images; the map is the larger of the two.

    Args:
        reach: how far the neighbourhood goes, pixels: `reach` rows above, and `reach` pixels to the left.
        window: side of the moving window, pixels.
        limit: the quantile of the training windows that is the control limit.
        samples: pixels that the regression learns from.
        contamination, random_state: as for `Peer`.
    """

    lags = ((0, 1), (1, 0), (1, 1), (1, -1))

    def __init__(self, reach: int = 4, window: int = 17, limit: float = 0.99, samples: int = 60_000,
                 contamination: float = 0.05, random_state: int = 0):
        super().__init__(contamination, random_state)
        self.reach, self.window, self.limit, self.samples = reach, window, limit, samples

    def _learn(self, images: list[np.ndarray]) -> None:
        rng = np.random.default_rng(self.random_state)
        pairs = []
        for image in images:
            neighbours, pixels = self._neighbours(_grey(image[None])[0])
            chosen = rng.choice(len(pixels), min(len(pixels), self.samples // len(images) + 1), replace=False)
            pairs.append((neighbours[chosen], pixels[chosen]))
        half = len(pairs) // 2 or 1  # the residuals' distribution comes from images that the regression has not seen
        learn, rest = pairs[:half], pairs[half:] or pairs
        self.regression_ = HistGradientBoostingRegressor(max_iter=80, random_state=self.random_state)
        self.regression_.fit(*(np.concatenate(column) for column in zip(*learn, strict=True)))
        residuals = np.concatenate([pixels - self.regression_.predict(neighbours) for neighbours, pixels in rest])
        self.levels_ = (np.arange(20) + 0.5) / 20
        self.quantiles_ = np.quantile(residuals, self.levels_)
        values = [self._statistics(self._residuals(_grey(image[None])[0])) for image in images[half:half + 20] or images]
        self.limits_ = np.array([np.quantile(np.concatenate([value[k].ravel() for value in values]), self.limit) for k in (0, 1)])

    def _neighbours(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Causal neighbourhood of every pixel that has a whole one, `(P, K)`, and the pixels themselves, `(P,)`."""
        reach = self.reach
        views = sliding_window_view(image, (reach + 1, 2 * reach + 1)).reshape(-1, (reach + 1) * (2 * reach + 1))
        causal = reach * (2 * reach + 1) + reach  # rows above, then those to the left; the next one is the pixel itself
        return views[:, :causal], views[:, causal]

    def _residuals(self, image: np.ndarray) -> np.ndarray:
        neighbours, pixels = self._neighbours(image)
        residuals = pixels - self.regression_.predict(neighbours)
        return residuals.reshape(image.shape[0] - self.reach, image.shape[1] - 2 * self.reach)

    def _statistics(self, residuals: np.ndarray) -> np.ndarray:
        """Anderson-Darling and Box-Pierce statistic of the window around each residual: `(2, H, W)`."""
        size = self.window**2
        box = lambda values: ndimage.uniform_filter(values.astype(np.float64), self.window, mode="reflect")  # noqa: E731
        # Anderson-Darling's integral over 20 levels, so that a box filter does the work and nothing is sorted.
        weights = 1 / (self.levels_ * (1 - self.levels_)) / len(self.levels_)
        darling = size * sum(weight * (box(residuals <= quantile) - level) ** 2
                             for weight, quantile, level in zip(weights, self.quantiles_, self.levels_, strict=True))
        variance = np.maximum(box(residuals**2), 1e-12)
        pierce = size * sum((box(residuals * np.roll(residuals, lag, axis=(0, 1))) / variance) ** 2 for lag in self.lags)
        return np.stack([darling, pierce])

    def _measure(self, images: np.ndarray) -> tuple[np.ndarray, None]:
        maps = []
        for image in _grey(images):
            ratios = (self._statistics(self._residuals(image)) / self.limits_[:, None, None]).max(axis=0)
            maps.append(np.pad(ratios, ((self.reach, 0), (self.reach, self.reach)), mode="edge"))
        return np.stack(maps), None


class TextureOneClassSvm(Peer):
    """A one-class SVM (Schoelkopf et al. 2001) on texture features of windows: local binary patterns and grey-level co-occurrence.

    Args:
        window: side of a window, pixels; stride: pixels from one to the next.
        windows: the SVM learns from at most so many.
        contamination, random_state: as for `Peer`.
    """

    def __init__(self, window: int = 24, stride: int = 12, windows: int = 1500, contamination: float = 0.05, random_state: int = 0):
        super().__init__(contamination, random_state)
        self.window, self.stride, self.windows = window, stride, windows

    def _learn(self, images: list[np.ndarray]) -> None:
        features = np.concatenate([self._features(image)[0] for image in _grey_each(images)])
        rng = np.random.default_rng(self.random_state)
        chosen = rng.choice(len(features), min(len(features), self.windows), replace=False)
        self.svm_ = make_pipeline(StandardScaler(), OneClassSVM(nu=self.contamination)).fit(features[chosen])

    def _features(self, image: np.ndarray) -> tuple[np.ndarray, list[int], list[int]]:
        """Features of each window of an image `(H, W)`: `(P, 22)`, and where the rows and columns of windows start."""
        levels = np.clip(image * 256, 0, 255).astype(np.uint8)
        patterns = local_binary_pattern(levels, 8, 1, "uniform").astype(int)  # 10 kinds of neighbourhoods
        coarse = levels // 16
        rows, columns = (patch_starts(length, self.window, self.stride) for length in image.shape)
        features = []
        for row in rows:
            for column in columns:
                here = slice(row, row + self.window), slice(column, column + self.window)
                matrix = graycomatrix(coarse[here], (1, 3), (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4), 16, symmetric=True, normed=True)
                properties = [graycoprops(matrix, name).mean(axis=1) for name in ("contrast", "homogeneity", "energy", "correlation", "dissimilarity", "ASM")]
                features.append(np.concatenate([np.bincount(patterns[here].ravel(), minlength=10) / self.window**2, *properties]))
        return np.array(features), rows, columns

    def _measure(self, images: np.ndarray) -> tuple[np.ndarray, None]:
        maps = []
        for image in _grey(images):
            features, rows, columns = self._features(image)
            values = -self.svm_.decision_function(features).reshape(1, len(rows), len(columns))
            maps.append(_spread(values, rows, columns, self.window, image.shape)[0])
        return np.stack(maps), None


def _grey_each(images: list[np.ndarray]) -> list[np.ndarray]:
    return [_grey(image[None])[0] for image in images]
