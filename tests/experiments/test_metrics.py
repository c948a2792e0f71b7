import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn import metrics as sk

from radar_nb.experiments.metrics import (
    aupro,
    auroc,
    best_f1,
    bootstrap_interval,
    image_metrics,
    pixel_metrics,
)


def test_image_metrics_by_hand():
    labels, scores = [0, 0, 1, 1, 1], [0.1, 0.6, 0.5, 0.7, 0.9]
    result = image_metrics(labels, scores, [False, True, False, True, True])
    assert result["image_auroc"] == pytest.approx(5 / 6)
    assert (result["precision"], result["recall"], result["accuracy"]) == pytest.approx((2 / 3, 2 / 3, 3 / 5))
    assert result["f1"] == pytest.approx(2 / 3)
    assert result["recall_at_5"] == pytest.approx(2 / 3)  # 0.7 and 0.9 are above both good images
    assert best_f1(labels, scores) == pytest.approx(6 / 7)  # threshold 0.5: one false alarm, all three found


def test_best_f1_is_the_best_over_all_thresholds(rng):
    labels, scores = rng.random(60) < 0.4, rng.random(60).round(1)
    slow = max(sk.f1_score(labels, scores >= threshold) for threshold in np.unique(scores))
    assert best_f1(labels, scores) == pytest.approx(slow)


def slow_aupro(masks, maps, max_fpr=0.3):
    """Independent reference: every threshold in turn, every region in turn, then the curve on a fine grid."""
    thresholds = np.unique(np.concatenate([m.ravel() for m in maps]))[::-1]
    curve = [(0.0, 0.0)]
    for threshold in thresholds:
        overlaps, false, normal = [], 0, 0
        for mask, map_ in zip(masks, maps):
            found = map_ >= threshold
            labelled, count = ndimage.label(mask, np.ones((3, 3)))
            overlaps += [found[labelled == region].mean() for region in range(1, count + 1)]
            false, normal = false + (found & ~mask).sum(), normal + (~mask).sum()
        curve.append((false / normal, np.mean(overlaps)))
    area = 0.0
    for (x0, y0), (x1, y1) in zip(curve, curve[1:]):
        if x0 >= max_fpr:
            break
        if x1 > max_fpr:
            x1, y1 = max_fpr, y0 + (y1 - y0) * (max_fpr - x0) / (x1 - x0)
        area += (x1 - x0) * (y0 + y1) / 2
    return area / max_fpr


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 5, 100]), st.sampled_from([0.05, 0.3, 1.0]))
def test_aupro_equals_a_slow_reference(seed, levels, max_fpr):
    rng = np.random.default_rng(seed)
    masks = [rng.random((7, 8)) < 0.25 for _ in range(2)]
    masks[0][0, 0], masks[1][0, 0] = True, False
    maps = [(rng.random((7, 8)) * levels).round() + mask * rng.random() for mask in masks]
    ours = aupro(masks, maps, max_fpr)
    assert ours == pytest.approx(slow_aupro(masks, maps, max_fpr), abs=1e-9) and 0 <= ours <= 1


def test_aupro_hand_cases():
    mask = np.zeros((10, 10), bool)
    mask[:2, :5] = True      # a region of ten pixels
    mask[9, 9] = True        # and one of a single pixel
    perfect = mask.astype(float)
    assert aupro([mask], [perfect]) == pytest.approx(1)
    only_large = perfect.copy()
    only_large[9, 9] = -1    # the small one is ranked below every normal pixel: half of the regions is found
    assert aupro([mask], [only_large]) == pytest.approx(0.5)
    assert aupro([mask], [-perfect]) == pytest.approx(0)
    constant = aupro([mask], [np.zeros((10, 10))])
    assert constant == pytest.approx(0.15)  # one tie: a straight line, up to 0.3 at 0.3
    with pytest.raises(ValueError, match="0 defect regions"):
        aupro([np.zeros((3, 3), bool)], [np.zeros((3, 3))])


def test_pixel_metrics_by_hand():
    mask = np.array([[True, True], [False, False]])
    result = pixel_metrics([mask], [np.array([[4.0, 3], [2, 1]])], [np.array([[True, False], [True, False]])])
    assert result["pixel_auroc"] == 1
    assert result["dice"] == pytest.approx(2 / 4) and result["aupro"] == pytest.approx(1)


def test_bootstrap_interval_covers_and_shrinks(rng):
    def auroc_interval(count):
        labels = np.arange(count) % 2 == 1
        return bootstrap_interval(auroc, labels, rng.standard_normal(count) + labels, repeats=200)
    intervals = [auroc_interval(60) for _ in range(20)]
    assert sum(low < 0.76 < high for low, high in intervals) >= 16  # Phi(1 / sqrt 2) = 0.76; nominal 19 of 20
    low, high = auroc_interval(2000)
    assert high - low < np.mean([h - l for l, h in intervals]) / 3
    fixed = np.arange(40) % 2 == 1, np.arange(40.0)
    assert bootstrap_interval(auroc, *fixed, repeats=20) == bootstrap_interval(auroc, *fixed, repeats=20)


@pytest.mark.parametrize("kind", ["floats", "ties", "levels", "large whole numbers"])
def test_auroc_of_many_samples_is_scikit_learns(kind, rng):
    labels = np.arange(30) < 12
    scores = {"floats": rng.standard_normal((20, 30)), "ties": rng.integers(0, 4, (20, 30)) / 3 - 1,
              "levels": rng.integers(0, 30, (20, 30)), "large whole numbers": rng.integers(-900, 900, (20, 30))}[kind]
    drawn = rng.permuted(np.tile(labels, (20, 1)), axis=1)
    expected = [sk.roc_auc_score(*each) for each in zip(drawn, scores, strict=True)]
    assert auroc(drawn, scores) == pytest.approx(expected, abs=1e-12)
    assert float(auroc(drawn[0], scores[0])) == pytest.approx(expected[0], abs=1e-12)
