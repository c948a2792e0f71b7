"""The statistical rivals: each against its definition, and each against a defect of its kind."""

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import roc_auc_score
from small import SMALL

from radar_nb.data.named import load_dataset
from radar_nb.rivals.forest_clustering import ForestClustering
from radar_nb.rivals.statistical import (
    CausalResidual,
    PcaReconstruction,
    TextureOneClassSvm,
    causal_neighbours,
)


@pytest.fixture(scope="module")
def data():
    return load_dataset("printed_easy", SMALL, seed=3)


def texture(rng, side=64, smooth=1.2):
    """An image of smoothed noise in [0, 1]."""
    field = ndimage.gaussian_filter(rng.standard_normal((side, side)), smooth, mode="wrap")
    return np.clip(0.5 + 0.15 * field / field.std(), 0, 1).astype(np.float32)


@pytest.mark.parametrize("kind", [PcaReconstruction, CausalResidual, TextureOneClassSvm, ForestClustering])
def test_statistical_rivals_find_easy_defects(kind, data):
    rival = kind().fit(data.train, calibrate=data.calibrate)
    scores = -rival.score_samples(data.test)
    assert scores.shape == (len(data.test),) and np.isfinite(scores).all()
    assert roc_auc_score(data.labels, scores) > (0.6 if kind is TextureOneClassSvm else 0.8)
    assert rival.anomaly_maps(data.test).shape == (len(data.test), SMALL.side, SMALL.side)
    assert np.array_equal(kind().fit(data.train, calibrate=data.calibrate).score_samples(data.test), -scores)


def test_pca_statistics_equal_their_definitions(data):
    rival = PcaReconstruction(patch=8, stride=8).fit(data.train, calibrate=data.calibrate)
    patches = rival._patches(data.test[0][None], 8)[0]
    pca = rival.pca_
    components = (patches - pca.mean_) @ pca.components_.T
    rebuilt = components @ pca.components_ + pca.mean_
    t2, q = rival.statistics(patches).T
    assert np.allclose(t2, (components**2 / pca.explained_variance_).sum(1), rtol=1e-4)
    assert np.allclose(q, ((patches - rebuilt) ** 2).sum(1), atol=1e-4)
    assert 0.94 < pca.explained_variance_ratio_.sum() < 1 and pca.n_components_ < 64


def test_the_causal_neighbourhood_holds_no_pixel_that_comes_later():
    image = np.arange(100, dtype=np.float32).reshape(10, 10)  # in raster order, so later is larger
    neighbours, pixels = causal_neighbours(image, 2)
    assert neighbours.shape == ((10 - 2) * (10 - 4), 12) and (neighbours < pixels[:, None]).all()
    assert pixels[0] == image[2, 2] and set(neighbours[0]) == {*image[0, :5], *image[1, :5], *image[2, :2]}


def test_a_regression_on_the_causal_neighbourhood_leaves_less_than_it_found(rng):
    images = [texture(rng) for _ in range(8)]
    rival = CausalResidual(samples=8000).fit(images[:6], calibrate=images[:6])
    residuals = rival._residuals(images[7])
    assert residuals.shape == (60, 56) and residuals.std() < 0.5 * images[7].std()


def test_causal_residual_sees_a_change_of_texture_that_keeps_mean_and_deviation(rng):
    train = [texture(rng) for _ in range(10)]
    rival = CausalResidual(samples=8000, window=13).fit(train, calibrate=[texture(rng) for _ in range(10)])
    odd = texture(rng)
    patch = texture(rng, 24, smooth=0.5)
    odd[20:44, 20:44] = patch
    maps = rival.anomaly_maps([odd])[0]
    assert maps[24:40, 24:40].mean() > 3 * np.median(maps)


def test_texture_features_are_those_of_the_window(rng):
    rival = TextureOneClassSvm(window=16, stride=16)
    features, rows, columns = rival._features(np.full((32, 48), 0.5, np.float32))
    assert features.shape == (6, 22) and rows == [0, 16] and columns == [0, 16, 32]
    assert np.allclose(features[:, :10].sum(axis=1), 1), "a histogram of patterns"
    assert np.allclose(features[:, 10:12], 0), "no contrast"
    assert np.allclose(features[:, 12:14], 1), "full homogeneity"
    fine, coarse = (rival._features(texture(rng, smooth=smooth))[0][0] for smooth in (1.2, 3))
    assert not np.allclose(fine, coarse, atol=0.05)
