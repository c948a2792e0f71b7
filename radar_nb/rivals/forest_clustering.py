"""C&B of the paper's Table I: a random forest predicts each pixel, clusters describe what it leaves over."""

from numbers import Integral

import numpy as np
from scipy import ndimage
from sklearn.ensemble import RandomForestRegressor
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from radar_nb.method.base import check_arguments
from radar_nb.rivals.base import Rival
from radar_nb.rivals.statistical import causal_neighbours, grey, to_whole_image

LAGS = ((0, 1), (1, 0), (1, 1), (1, -1))


class ForestClustering(Rival):
    """C&B of the paper's Table I, after Caltanissetta, Bertoli and Colosimo (IISE Transactions 56(10), 2024).

    The text of "In-situ monitoring of image texturing via random forests and clustering with applications to
    additive manufacturing" could not be had. This is the idea of its title; every detail is ours.

    1. A random forest predicts each pixel from those above and to the left, as in B&A. Both are taken less
       their neighbourhood's mean, so brightness does not matter. Half of the training images are used.
    2. Statistics of the residuals in a moving window describe the texture around a pixel: mean, logarithm of
       the standard deviation, skewness, logarithm of the kurtosis, correlation with four neighbours.
    3. Windows of the other half of the training images are clustered by a mixture of Gaussians. A pixel is as
       anomalous as its Mahalanobis distance from the nearest cluster, an image as its worst pixel.

    The neighbourhood and the number of clusters were chosen on normal images of `printed` and `texture` with
    pasted defects, of another seed than those that are tested.

    Args:
        reach: how far the neighbourhood goes, pixels: `reach` rows above, and `reach` pixels to the left.
        window: side of the moving window, pixels.
        clusters: how many.
        trees, depth: of the forest; samples: pixels that it learns from, and windows that are clustered.
        contamination, random_state: as for `Rival`.
    """

    def __init__(self, reach: int = 4, window: int = 17, clusters: int = 8, trees: int = 12, depth: int = 10,
                 samples: int = 40_000, contamination: float = 0.05, random_state: int = 0):
        super().__init__(contamination, random_state)
        self.reach, self.window, self.clusters = reach, window, clusters
        self.trees, self.depth, self.samples = trees, depth, samples

    def _check(self) -> None:
        super()._check()
        limits = {"reach": (1, 8), "window": (3, 31), "clusters": (1, 100), "trees": (1, 1000),
                  "depth": (1, 100), "samples": (100, 10**7)}
        check_arguments(self, {name: (Integral, *span) for name, span in limits.items()}, {})

    def _learn(self, images: list[np.ndarray]) -> None:
        rng = np.random.default_rng(self.random_state)
        images = [grey(images[index][None])[0] for index in rng.permutation(len(images))]
        half = len(images) // 2 or 1
        learn, rest = images[:half], images[half:] or images  # clusters see images new to the forest
        self.forest_ = RandomForestRegressor(self.trees, max_depth=self.depth, min_samples_leaf=5,
                                             max_features=1 / 3, random_state=self.random_state)
        pairs = [_some(rng, self.samples // len(learn), *self._neighbours(image)) for image in learn]
        self.forest_.fit(*(np.concatenate(column) for column in zip(*pairs, strict=True)))
        textures = (self._texture(image).reshape(8, -1).T for image in rest)
        windows = np.concatenate([_some(rng, self.samples // len(rest), texture)[0] for texture in textures])
        self.scaler_ = StandardScaler().fit(windows)
        self.mixture_ = GaussianMixture(self.clusters, reg_covar=1e-3, random_state=self.random_state)
        self.mixture_.fit(self.scaler_.transform(windows))

    def _neighbours(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `causal_neighbours`, less the mean of each neighbourhood."""
        neighbours, pixels = causal_neighbours(image, self.reach)
        mean = neighbours.mean(axis=1)
        return neighbours - mean[:, None], pixels - mean

    def _texture(self, image: np.ndarray) -> np.ndarray:
        """Statistics of the window around each residual of an image: `(8, H - reach, W - 2 * reach)`."""
        neighbours, pixels = self._neighbours(image)
        residuals = pixels - self.forest_.predict(neighbours)
        residuals = residuals.reshape(-1, image.shape[1] - 2 * self.reach)

        def box(values: np.ndarray) -> np.ndarray:
            return ndimage.uniform_filter(values, self.window, mode="reflect")

        mean = box(residuals)
        centred = residuals - mean
        variance = np.maximum(box(centred**2), 1e-8)
        correlations = [box(centred * np.roll(centred, lag, axis=(0, 1))) / variance for lag in LAGS]
        skewness, kurtosis = box(centred**3) / variance**1.5, np.log(box(centred**4) / variance**2 + 1e-3)
        return np.stack([mean, np.log(variance) / 2, skewness, kurtosis, *correlations])

    def _measure(self, images: np.ndarray) -> tuple[np.ndarray, None]:
        maps = [self._distance(self._texture(image)) for image in grey(images)]
        return np.stack([to_whole_image(distance, self.reach) for distance in maps]), None

    def _distance(self, texture: np.ndarray) -> np.ndarray:
        """Mahalanobis distance of `(8, H, W)` from the nearest cluster: `(H, W)`."""
        points = self.scaler_.transform(texture.reshape(len(texture), -1).T)
        clusters = zip(self.mixture_.means_, self.mixture_.precisions_cholesky_, strict=True)
        squared = [np.square((points - mean) @ factor).sum(axis=1) for mean, factor in clusters]
        return np.sqrt(np.min(squared, axis=0)).reshape(texture.shape[1:])


def _some(rng: np.random.Generator, count: int, *columns: np.ndarray) -> list[np.ndarray]:
    """At most `count + 1` random rows of arrays of one length, the same of each."""
    chosen = rng.choice(len(columns[0]), min(len(columns[0]), count + 1), replace=False)
    return [column[chosen] for column in columns]
