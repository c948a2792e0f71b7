"""Statistical rivals: no network, minutes of work on a laptop, and decades of use in factories."""

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
from radar_nb.rivals.base import Rival


def grey(images: np.ndarray) -> np.ndarray:
    """`(N, H, W)` or `(N, H, W, 3)` to `(N, H, W)`, the mean of the colours; uint8 to [0, 1]."""
    scaled = images / np.float32(255) if images.dtype == np.uint8 else images
    return (scaled if scaled.ndim == 3 else scaled.mean(axis=3)).astype(np.float32)


def _spread(values: np.ndarray, rows: Sequence[int], columns: Sequence[int], size: int,
            shape: tuple[int, int]) -> np.ndarray:
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


class PcaReconstruction(Rival):
    """Principal components of patches with control limits (Jackson and Mudholkar 1979).

    Each patch is split into the part inside the normal subspace and the rest. Hotelling's T2 says how unusual
    the part inside is, Q (the squared prediction error) how large the rest. Each is divided by its control
    limit, a quantile of the training patches; the map is the larger of the two.

    Args:
        patch: side of a patch, pixels; stride: pixels from one to the next.
        variance: share of the patches' variance that the subspace keeps.
        limit: the quantile of the training patches that is the control limit.
        contamination, random_state: as for `Rival`.
    """

    def __init__(self, patch: int = 12, stride: int = 6, variance: float = 0.95, limit: float = 0.99,
                 contamination: float = 0.05, random_state: int = 0):
        super().__init__(contamination, random_state)
        self.patch, self.stride, self.variance, self.limit = patch, stride, variance, limit

    def _learn(self, images: list[np.ndarray]) -> None:
        rng = np.random.default_rng(self.random_state)
        share = max(1, 20_000 // len(images))
        patches = [rng.choice(self._patches(grey(image[None]), 1)[0], share) for image in images]
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
        images = grey(images)
        rows, columns = (patch_starts(length, self.patch, self.stride) for length in images.shape[1:])
        patches = self._patches(images, self.stride)
        ratios = (self.statistics(patches.reshape(-1, patches.shape[-1])) / self.limits_).max(axis=1)
        ratios = ratios.reshape(len(images), len(rows), len(columns))
        return _spread(ratios, rows, columns, self.patch, images.shape[1:]), None


def causal_neighbours(image: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixels above and to the left of each pixel of `(H, W)` that has them all.

    Returns:
        neighbours `(P, K)`, and the pixels `(P,)`, row by row; P is `(H - reach) * (W - 2 * reach)`.
    """
    width = 2 * reach + 1
    views = sliding_window_view(image, (reach + 1, width)).reshape(-1, (reach + 1) * width)
    earlier = reach * width + reach  # rows above, then pixels to the left; next comes the pixel
    return views[:, :earlier], views[:, earlier]


def to_whole_image(values: np.ndarray, reach: int) -> np.ndarray:
    """A map of the pixels that have all neighbours, continued to the image's edges."""
    return np.pad(values, ((reach, 0), (reach, reach)), mode="edge")


class CausalResidual(Rival):
    """B&A of the paper's Table I (Bui and Apley 2018): residuals of a prediction from earlier pixels.

    A regression predicts each pixel from those above and to the left. On a normal texture the residuals are
    noise of one known distribution; a moving window compares. The Anderson-Darling statistic asks whether the
    residuals in it have that distribution, the Box-Pierce statistic whether neighbours are correlated. Each
    is divided by its control limit from the training images; the map is the larger of the two. R's package
    spc4sts is the authors' own.

    Args:
        reach: how far the neighbourhood goes, pixels: `reach` rows above, and `reach` pixels to the left.
        window: side of the moving window, pixels.
        limit: the quantile of the training windows that is the control limit.
        samples: pixels that the regression learns from.
        contamination, random_state: as for `Rival`.
    """

    lags = ((0, 1), (1, 0), (1, 1), (1, -1))

    def __init__(self, reach: int = 4, window: int = 17, limit: float = 0.99, samples: int = 60_000,
                 contamination: float = 0.05, random_state: int = 0):
        super().__init__(contamination, random_state)
        self.reach, self.window, self.limit, self.samples = reach, window, limit, samples

    def _learn(self, images: list[np.ndarray]) -> None:
        rng = np.random.default_rng(self.random_state)
        images = [images[index] for index in rng.permutation(len(images))]  # sets may be sorted
        pairs = []
        for image in images:
            neighbours, pixels = causal_neighbours(grey(image[None])[0], self.reach)
            chosen = rng.choice(len(pixels), min(len(pixels), self.samples // len(images) + 1), replace=False)
            pairs.append((neighbours[chosen], pixels[chosen]))
        half = len(pairs) // 2 or 1  # the residuals' distribution comes from images new to the regression
        learn, rest = pairs[:half], pairs[half:] or pairs
        self.regression_ = HistGradientBoostingRegressor(max_iter=80, random_state=self.random_state)
        self.regression_.fit(*(np.concatenate(column) for column in zip(*learn, strict=True)))
        residuals = [pixels - self.regression_.predict(neighbours) for neighbours, pixels in rest]
        self.levels_ = (np.arange(20) + 0.5) / 20
        self.quantiles_ = np.quantile(np.concatenate(residuals), self.levels_)
        rest = images[half:half + 20] or images
        values = [self._statistics(self._residuals(grey(image[None])[0])).reshape(2, -1) for image in rest]
        self.limits_ = np.quantile(np.concatenate(values, axis=1), self.limit, axis=1)

    def _residuals(self, image: np.ndarray) -> np.ndarray:
        neighbours, pixels = causal_neighbours(image, self.reach)
        residuals = pixels - self.regression_.predict(neighbours)
        return residuals.reshape(image.shape[0] - self.reach, image.shape[1] - 2 * self.reach)

    def _statistics(self, residuals: np.ndarray) -> np.ndarray:
        """Anderson-Darling and Box-Pierce statistic of the window around each residual: `(2, H, W)`."""
        size = self.window**2

        def box(values: np.ndarray) -> np.ndarray:
            return ndimage.uniform_filter(values.astype(np.float64), self.window, mode="reflect")

        # Anderson-Darling's integral over 20 levels: a box filter does the work, and nothing is sorted.
        weights = 1 / (self.levels_ * (1 - self.levels_)) / len(self.levels_)
        levels = zip(weights, self.quantiles_, self.levels_, strict=True)
        darling = size * sum(weight * (box(residuals <= top) - level) ** 2 for weight, top, level in levels)
        variance = np.maximum(box(residuals**2), 1e-12)
        products = (residuals * np.roll(residuals, lag, axis=(0, 1)) for lag in self.lags)
        pierce = size * sum((box(product) / variance) ** 2 for product in products)
        return np.stack([darling, pierce])

    def _measure(self, images: np.ndarray) -> tuple[np.ndarray, None]:
        maps = []
        for image in grey(images):
            ratios = (self._statistics(self._residuals(image)) / self.limits_[:, None, None]).max(axis=0)
            maps.append(to_whole_image(ratios, self.reach))
        return np.stack(maps), None


class TextureOneClassSvm(Rival):
    """A one-class SVM (Schoelkopf et al. 2001) on two texture features of windows.

    They are local binary patterns and grey-level co-occurrence.

    Args:
        window: side of a window, pixels; stride: pixels from one to the next.
        windows: the SVM learns from at most so many.
        contamination, random_state: as for `Rival`.
    """

    properties = ("contrast", "homogeneity", "energy", "correlation", "dissimilarity", "ASM")

    def __init__(self, window: int = 24, stride: int = 12, windows: int = 1500, contamination: float = 0.05,
                 random_state: int = 0):
        super().__init__(contamination, random_state)
        self.window, self.stride, self.windows = window, stride, windows

    def _learn(self, images: list[np.ndarray]) -> None:
        features = np.concatenate([self._features(image)[0] for image in _grey_each(images)])
        rng = np.random.default_rng(self.random_state)
        chosen = rng.choice(len(features), min(len(features), self.windows), replace=False)
        self.svm_ = make_pipeline(StandardScaler(), OneClassSVM(nu=self.contamination)).fit(features[chosen])

    def _features(self, image: np.ndarray) -> tuple[np.ndarray, list[int], list[int]]:
        """Features of an image's windows, `(P, 22)`, and where the windows' rows and columns start."""
        levels = np.clip(image * 256, 0, 255).astype(np.uint8)
        patterns = local_binary_pattern(levels, 8, 1, "uniform").astype(int)  # 10 kinds of neighbourhoods
        coarse, angles = levels // 16, np.arange(4) * np.pi / 4
        rows, columns = (patch_starts(length, self.window, self.stride) for length in image.shape)
        features = []
        for row in rows:
            for column in columns:
                here = slice(row, row + self.window), slice(column, column + self.window)
                matrix = graycomatrix(coarse[here], (1, 3), angles, 16, symmetric=True, normed=True)
                properties = [graycoprops(matrix, name).mean(axis=1) for name in self.properties]
                histogram = np.bincount(patterns[here].ravel(), minlength=10) / self.window**2
                features.append(np.concatenate([histogram, *properties]))
        return np.array(features), rows, columns

    def _measure(self, images: np.ndarray) -> tuple[np.ndarray, None]:
        maps = []
        for image in grey(images):
            features, rows, columns = self._features(image)
            values = -self.svm_.decision_function(features).reshape(1, len(rows), len(columns))
            maps.append(_spread(values, rows, columns, self.window, image.shape)[0])
        return np.stack(maps), None


def _grey_each(images: list[np.ndarray]) -> list[np.ndarray]:
    return [grey(image[None])[0] for image in images]
