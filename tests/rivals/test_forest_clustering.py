"""C&B: what the forest predicts, what the clusters say, RADAR's interface."""

import numpy as np
import pytest
from scipy import ndimage
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from small import SMALL

from radar_nb.data.named import load_dataset
from radar_nb.rivals.forest_clustering import ForestClustering
from radar_nb.storage.errors import InputError

QUICK = {"trees": 4, "samples": 4000}


def texture(rng, smooth=1.2, side=64):
    """An image of smoothed noise in [0, 1]."""
    field = ndimage.gaussian_filter(rng.standard_normal((side, side)), smooth, mode="wrap")
    return np.clip(0.5 + 0.15 * field / field.std(), 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def data():
    return load_dataset("printed_easy", SMALL, seed=3)


def test_a_change_of_texture_stands_out_and_a_change_of_light_does_not(rng):
    rival = ForestClustering(window=13, clusters=2, **QUICK)
    rival.fit([texture(rng) for _ in range(10)], calibrate=[texture(rng) for _ in range(20)])
    odd, usual = texture(rng), texture(rng)
    odd[20:44, 20:44] = texture(rng, smooth=0.5, side=24)
    brighter = usual + np.float32((1 - usual.max()) / 2)
    changed, plain, light = rival.anomaly_maps([odd, usual, brighter])
    assert changed.shape == (64, 64) and changed[24:40, 24:40].mean() > 2 * np.median(changed)
    assert np.allclose(light, plain, rtol=0.05)


def test_the_forest_leaves_less_than_it_found(rng):
    rival = ForestClustering(**QUICK).fit([texture(rng) for _ in range(6)])
    image = texture(rng)
    neighbours, pixels = rival._neighbours(image)
    assert (pixels - rival.forest_.predict(neighbours)).std() < 0.6 * pixels.std()
    assert rival._texture(image).shape == (8, 60, 56)


def test_pixels_of_a_cluster_are_near_it(data):
    rival = ForestClustering(**QUICK).fit(data.train, calibrate=data.calibrate)
    centres = rival.scaler_.inverse_transform(rival.mixture_.means_)
    assert np.allclose(rival._distance(centres.T.reshape(8, 2, 4)), 0, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_it_finds_defects_grey_or_rgb_and_the_same_seed_gives_the_same_scores(channels, data):
    def as_given(images):
        return [np.repeat(image[..., None], 3, axis=2) if channels == 3 else image for image in images]

    first, again = (
        clone(ForestClustering(**QUICK)).fit(as_given(data.train), calibrate=as_given(data.calibrate))
        for _ in range(2))
    scores = first.score_samples(as_given(data.test))
    assert roc_auc_score(data.labels, -scores) > 0.8
    assert np.array_equal(again.score_samples(as_given(data.test)), scores)


@pytest.mark.parametrize("wrong", [{"reach": 0}, {"window": 99}, {"clusters": 2.5}, {"trees": "many"},
                                   {"samples": 5}])
def test_a_wrong_argument_is_one_line(wrong, data):
    with pytest.raises(InputError, match=f"{next(iter(wrong))}=.*(choose|give)"):
        ForestClustering(**wrong).fit(data.train, calibrate=data.calibrate)
