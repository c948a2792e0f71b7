"""The quick forest is scikit-learn's forest."""

import time

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import IsolationForest

from radar_nb.method.forest import QuickIsolationForest


@pytest.mark.parametrize(("points", "columns"), [(2, 1), (5, 2), (50, 2), (240, 2), (1000, 6)])
def test_scores_and_decisions_are_scikit_learns(rng, points, columns):
    seen, asked = rng.lognormal(size=(points, columns)), 2 * rng.lognormal(size=(5000, columns))
    asked[:points] = seen
    arguments = {"n_estimators": 60, "contamination": 0.1, "random_state": 3, "max_features": min(columns, 2)}
    theirs, ours = IsolationForest(**arguments).fit(seen), QuickIsolationForest(**arguments).fit(seen)
    assert np.allclose(ours.score_samples(asked), theirs.score_samples(asked), rtol=0, atol=1e-12)
    assert np.array_equal(ours.predict(asked), theirs.predict(asked)) and ours.offset_ == pytest.approx(theirs.offset_, abs=1e-12)
    assert clone(ours).get_params() == ours.get_params() and ours.score_samples(np.empty((0, columns))).shape == (0,)


def test_it_learns_anew_and_says_what_is_wrong(rng):
    forest = QuickIsolationForest(random_state=0).fit(rng.normal(size=(50, 2)))
    before = forest.score_samples([[5.0, 5.0]])
    assert forest.fit(rng.normal(5, 1, (50, 2))).score_samples([[5.0, 5.0]]) > before
    for bad, said in (([[1.0]], "features"), ([1.0, 2.0], "2D array")):
        with pytest.raises(ValueError, match=said):
            forest.score_samples(np.array(bad))


def test_one_point_is_asked_about_ten_times_faster(rng):
    arguments = {"n_estimators": 200, "random_state": 0}
    theirs, ours = (kind(**arguments).fit(rng.normal(size=(240, 2))) for kind in (IsolationForest, QuickIsolationForest))
    seconds = {}
    for forest in (theirs, ours):
        forest.score_samples(np.zeros((1, 2)))
        times = []
        for _ in range(9):
            began = time.perf_counter()
            forest.score_samples(np.zeros((1, 2)))
            times.append(time.perf_counter() - began)
        seconds[forest] = np.median(times)
    assert 10 * seconds[ours] < seconds[theirs]
