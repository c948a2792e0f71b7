"""What is usual on normal images: a Gaussian for each view, and how its distance depends on the place."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from radar_nb.beyond.maps import product
from radar_nb.beyond.views import within_the_image

DRAWN = 2000   # cells of each image that are learnt from
RIDGE = 1e-2   # of the correlation matrix, so that few images do not make it singular
COARSE = 16    # rows and columns of the grid on which the usual value of a position is known


class Usual:
    """The usual values of the views, and a map of how unusual each cell of an image is.

    For a view with values `f` in surroundings `c`, both vectors, a cell is as unusual as:

    1. `d = log sqrt((f - m)' P (f - m))`, the Mahalanobis distance from all normal cells (one Gaussian for
       all positions: PaDiM of Defard et al. 2021 without its grid, so that images need not be aligned). A
       view of one channel is taken as it is.
    2. `r = d - b(c)`: minus the distance that is usual in such surroundings, a linear regression.

    Attributes:
        arrays: `mean_k`, `precision_k` of each view k with several channels; `usual_k`, the coefficients of
            b; `lowest`, `highest` `(10,)`: b is not asked beyond the surroundings that were seen; `position`
        `(2, views, 16, 16)`: what is usual at a position in the image, once `with_positions` has learnt it.
    """

    def __init__(self, arrays: dict[str, np.ndarray]):
        self.arrays = arrays

    @classmethod
    def learn(cls, drawn: Sequence[tuple[list[np.ndarray], np.ndarray]]) -> "Usual":
        """From `draw_cells` of normal images."""
        places = np.concatenate([surroundings for _, surroundings in drawn], axis=1).astype(np.float64)
        lowest, highest = np.quantile(places, (0.001, 0.999), axis=1)
        usual = cls({"lowest": lowest, "highest": highest})
        within = usual._within(places)
        for k in range(len(drawn[0][0])):
            values = [views[k] for views, _ in drawn]
            if len(values[0]) > 1:
                usual.arrays[f"mean_{k}"], usual.arrays[f"precision_{k}"] = _gaussian(values)
            unusual = np.concatenate([usual._distance(k, each) for each in values])
            usual.arrays[f"usual_{k}"] = _regression(within, unusual)
        return usual

    def maps(self, views: Sequence[np.ndarray], surroundings: np.ndarray) -> np.ndarray:
        """How unusual each cell of each image is: `(N, views, h, w)` float32, in units of the logarithm.

        Args:
            views: `(N, K, h, w)` each; surroundings: `(N, 10, h, w)`.
        """
        images, _, height, width = surroundings.shape
        maps = np.empty((images, len(views), height * width), np.float32)
        for n in range(images):
            places = self._within(surroundings[n].reshape(-1, height * width))
            for k, view in enumerate(views):
                usual = self.arrays[f"usual_{k}"]
                distance = self._distance(k, view[n].reshape(view.shape[1], -1))
                maps[n, k] = distance - product(usual[None, :-1], places)[0] - usual[-1]
        return maps.reshape(images, len(views), height, width)

    def readings(self, views: Sequence[np.ndarray], surroundings: np.ndarray) -> np.ndarray:
        """`within_the_image` of the maps, minus what is usual at each position: `(N, 2, views, h, w)`."""
        return self.positions_off(within_the_image(self.maps(views, surroundings)).swapaxes(0, 1))

    def positions_off(self, readings: np.ndarray) -> np.ndarray:
        """Readings `(..., 2, views, h, w)` minus what is usual at each position, where that is known."""
        if "position" not in self.arrays:
            return readings
        return readings - _resized(self.arrays["position"], readings.shape[-2:])

    def with_positions(self, readings: Sequence[np.ndarray]) -> "Usual":
        """The same, which also knows what is usual at a position, from readings `(2, views, h, w)` of images.

        It is their mean on a coarse grid, shrunk by the share of its variance that chance explains (James and
        Stein 1961): parts that lie alike in each image count, scattered texture does not.
        """
        if len(readings) < 2:
            return self
        grids = np.stack([_resized(each, (COARSE, COARSE)) for each in readings])
        mean, chance = grids.mean(axis=0), grids.var(axis=0, ddof=1).mean(axis=(-2, -1)) / len(grids)
        share = np.clip(1 - chance / (mean.var(axis=(-2, -1)) + 1e-12), 0, 1)
        return Usual(self.arrays | {"position": (mean * share[..., None, None]).astype(np.float32)})

    def _distance(self, k: int, values: np.ndarray) -> np.ndarray:
        """Values `(K, M)` of view k to the logarithm of their distance, `(M,)`."""
        if f"mean_{k}" not in self.arrays:
            return values[0]
        offsets = values - self.arrays[f"mean_{k}"][:, None].astype(np.float32)
        squares = (product(self.arrays[f"precision_{k}"].astype(np.float32), offsets) * offsets).sum(axis=0)
        return 0.5 * np.log(np.maximum(squares, 1e-6))

    def _within(self, places: np.ndarray) -> np.ndarray:
        return np.clip(places, self.arrays["lowest"][:, None], self.arrays["highest"][:, None])


def draw_cells(views: Sequence[np.ndarray], surroundings: np.ndarray,
               rng: np.random.Generator) -> list[tuple[list[np.ndarray], np.ndarray]]:
    """For each image of a batch, `DRAWN` cells at random, or all: their views and surroundings, `(K, M)`."""
    drawn = []
    for n, places in enumerate(surroundings):
        chosen = rng.permutation(places[0].size)[:DRAWN]
        drawn.append(([view[n].reshape(view.shape[1], -1)[:, chosen] for view in views],
                      places.reshape(len(places), -1)[:, chosen]))
    return drawn


def _resized(maps: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Maps `(..., h, w)` at another size."""
    flat = torch.from_numpy(np.ascontiguousarray(maps, np.float32)).reshape(1, -1, *maps.shape[-2:])
    large = F.interpolate(flat, tuple(shape), mode="bilinear", antialias=True)
    return large.numpy().reshape(*maps.shape[:-2], *shape)


def _gaussian(values: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean `(K,)` and inverse covariance `(K, K)` of cells `(K, M)` of each image; `RIDGE` shrinks the
    correlations. Image by image, since all cells at once, in float64, would be the largest array of a `fit`.
    """
    count = sum(each.shape[1] for each in values)
    mean = sum(each.sum(axis=1, dtype=np.float64) for each in values) / count
    offsets = (each - mean[:, None] for each in values)
    covariance = sum(each @ each.T for each in offsets) / count
    deviation = np.sqrt(np.diag(covariance)) + 1e-6
    correlation = covariance / np.outer(deviation, deviation)
    shrunk = (1 - RIDGE) * correlation + RIDGE * np.eye(len(correlation))
    return mean, np.linalg.inv(shrunk) / np.outer(deviation, deviation)


def _regression(places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Ridge regression of `(M,)` on `(10, M)`: ten coefficients and the constant."""
    mean, deviation = places.mean(axis=1, keepdims=True), places.std(axis=1, keepdims=True) + 1e-9
    scaled = (places - mean) / deviation
    gram = scaled @ scaled.T / scaled.shape[1] + 1e-3 * np.eye(len(scaled))
    weights = np.linalg.solve(gram, scaled @ (values - values.mean()) / scaled.shape[1]) / deviation[:, 0]
    return np.append(weights, values.mean() - weights @ mean[:, 0])
