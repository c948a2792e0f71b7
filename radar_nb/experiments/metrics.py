"""How good a detector is: metrics of images and of pixels, and bootstrap intervals."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from scipy import ndimage
from sklearn import metrics


def image_metrics(labels: np.ndarray, scores: np.ndarray, decisions: np.ndarray) -> dict[str, float]:
    """Image metrics of the paper's Table 1, with AUROC and average precision.

    Args:
        labels: `(N,)` bool, True for defective.
        scores: `(N,)` float, higher for more anomalous (that is `-detector.score_samples(...)`).
        decisions: `(N,)` bool, True where the detector, at its own threshold, says defective.

    Returns:
        `image_auroc`, `average_precision`, `f1`, `precision`, `recall`, `accuracy`, `recall_at_5`.
    """
    labels, decisions = np.asarray(labels, bool), np.asarray(decisions, bool)
    return {"image_auroc": metrics.roc_auc_score(labels, scores),
            "average_precision": metrics.average_precision_score(labels, scores),
            "f1": metrics.f1_score(labels, decisions, zero_division=0),
            "precision": metrics.precision_score(labels, decisions, zero_division=0),
            "recall": metrics.recall_score(labels, decisions, zero_division=0),
            "accuracy": metrics.accuracy_score(labels, decisions),
            "recall_at_5": recall_at_5(labels, np.asarray(scores))}


def best_f1(labels: np.ndarray, scores: np.ndarray) -> float:
    """The largest F1 of any threshold on `scores`.

    It needs the labels, so it is an upper bound and no way to choose a threshold.
    """
    precision, recall, _ = metrics.precision_recall_curve(labels, scores)
    return float(np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12)))


def pixel_metrics(masks: Sequence[np.ndarray], maps: Sequence[np.ndarray],
                  segments: Sequence[np.ndarray]) -> dict[str, float]:
    """Pixel metrics over all images together.

    Args:
        masks: `(H, W)` bool each, True on the defect.
        maps: `(H, W)` float each, higher for more anomalous.
        segments: `(H, W)` bool each, the detector's own masks.

    Returns:
        `pixel_auroc`, `aupro` (see `aupro`) and `dice`.
    """
    truth = np.concatenate([np.ravel(mask) for mask in masks])
    values = np.concatenate([np.ravel(map_) for map_ in maps])
    chosen = np.concatenate([np.ravel(segment) for segment in segments])
    return {"pixel_auroc": metrics.roc_auc_score(truth, values), "aupro": aupro(masks, maps),
            "dice": 2 * np.sum(truth & chosen) / (truth.sum() + chosen.sum())}


def aupro(masks: Sequence[np.ndarray], maps: Sequence[np.ndarray], max_fpr: float = 0.3) -> float:
    """Area under the per-region overlap curve (Bergmann et al. 2021), in [0, 1].

    At each threshold: the share of each defect region (8-connected) that is found, averaged over regions so
    that small defects count as much as large ones, against the share of normal pixels that are flagged.
    Integrated to exactly `max_fpr`, interpolated there, and divided by `max_fpr`.

    Raises:
        ValueError: there is no defect region, or no normal pixel.
    """
    weights, values = [], []
    regions = 0
    for mask, map_ in zip(masks, maps, strict=True):
        labelled, count = ndimage.label(mask, structure=np.ones((3, 3)))
        areas = np.bincount(labelled.ravel(), minlength=count + 1).astype(float)
        areas[0] = np.inf  # a normal pixel adds nothing to the overlap
        weights.append((1 / areas)[labelled].ravel())
        values.append(np.ravel(map_))
        regions += count
    weights, values = np.concatenate(weights), np.concatenate(values)
    normal = weights == 0
    if not regions or not normal.any():
        raise ValueError(f"masks: {regions} defect regions and {normal.sum()} normal pixels; "
                         "AUPRO needs both")
    order = np.argsort(-values, kind="stable")
    last_of_ties = np.append(np.flatnonzero(np.diff(values[order])), len(order) - 1)
    overlap = np.append(0, np.cumsum(weights[order])[last_of_ties] / regions)
    fpr = np.append(0, np.cumsum(normal[order])[last_of_ties] / normal.sum())
    stop = np.searchsorted(fpr, max_fpr)  # the first point at or beyond max_fpr
    end = np.interp(max_fpr, fpr[:stop + 1], overlap[:stop + 1])
    area = np.trapezoid(np.append(overlap[:stop], end), np.append(fpr[:stop], max_fpr))
    return float(np.clip(area / max_fpr, 0, 1))


def evaluate(detector, data) -> dict[str, float]:
    """Image and pixel metrics of a fitted detector on the test images of a data set.

    Args:
        detector: has `inspect`, as `RadarDetector`; data: a `radar_nb.data.dataset.Dataset`.

    Returns:
        `image_metrics` and, over the images that have a mask, `pixel_metrics`; nothing if there are none.
    """
    return judge(look_at(detector, data.test), data) if len(data.test) else {}


def look_at(detector, images: Iterable) -> list[dict]:
    """What `judge` needs of `detector.inspect(images)`; the rest would fill the memory."""
    kept = ("anomaly_map", "mask", "score", "normal")
    return [{key: finding[key] for key in kept} for finding in detector.inspect(images)]


def judge(findings: Sequence[Mapping], data) -> dict[str, float]:
    """`evaluate` for given findings, one for each test image, as `inspect` yields them."""
    result = image_metrics(data.labels, -np.array([finding["score"] for finding in findings]),
                           ~np.array([finding["normal"] for finding in findings]))
    masked = [(data.masks[i], findings[i]["anomaly_map"], findings[i]["mask"])
              for i, mask in enumerate(data.masks) if mask is not None]
    if any(mask.any() for mask, _, _ in masked):
        result |= pixel_metrics(*zip(*masked, strict=True))
    return result


# Each takes labels and scores, or decisions, with images along the last axis: a thousand bootstrap samples
# are one call.


def auroc(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Area under the ROC curve, ties counted half; `(..., N)` to `(...)`.

    The share of pairs, a defective and a good image, in which the defective one has the higher score. It is
    counted level by level; scores that are whole numbers below N are levels already.
    """
    shape, level = np.shape(scores), np.asarray(scores)
    if level.dtype.kind != "i" or level.min() < 0 or level.max() >= shape[-1]:
        level = np.unique(level, return_inverse=True)[1].reshape(shape)
    level, labels = level.reshape(-1, shape[-1]), np.asarray(labels, bool).reshape(-1, shape[-1])
    levels = int(level.max()) + 1
    place = level + levels * np.arange(len(level))[:, None]
    defective, good = (np.bincount(place[chosen], minlength=levels * len(level)).reshape(-1, levels)
                       for chosen in (labels, ~labels))
    below = np.cumsum(good, axis=-1) - good / 2
    pairs = defective.sum(-1) * good.sum(-1)
    return ((defective * below).sum(-1) / pairs).reshape(shape[:-1])[()]


def f1(labels: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    """F1 of decisions; 0 where nothing is found."""
    return 2 * (labels & anomalous).sum(-1) / np.maximum(1, labels.sum(-1) + anomalous.sum(-1))


def precision(labels: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    """Share of the images called anomalous that are defective; 0 where none is called anomalous."""
    return (labels & anomalous).sum(-1) / np.maximum(1, anomalous.sum(-1))


def recall(labels: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    """Share of the defective images that are found."""
    return (labels & anomalous).sum(-1) / labels.sum(-1)


def recall_at_5(labels: np.ndarray, scores: np.ndarray, rate: float = 0.05) -> np.ndarray:
    """Share of the defective images that are found where at most 5 % of the good ones raise a false alarm.

    The threshold is the 95 % quantile of the scores of the good *test* images. So this is a statistic of
    evaluation, as AUROC is: it judges the ranking, and no detector could set this threshold by itself.
    """
    good = np.sort(np.where(labels, -np.inf, scores), axis=-1)[..., ::-1]  # the largest first
    allowed = np.floor(rate * (~labels).sum(-1, keepdims=True) + 1e-9).astype(int)
    threshold = np.take_along_axis(good, allowed, axis=-1)
    return (labels & (scores > threshold)).sum(-1) / labels.sum(-1)


def accuracy(labels: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    """Share of the images that are judged correctly."""
    return (labels == anomalous).mean(-1)


def bootstrap_interval(statistic: Callable[..., float], *arrays: np.ndarray, level: float = 0.95,
                       repeats: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval of `statistic(*arrays)` over images.

    Args:
        arrays: each `(N, ...)`, resampled together. The first is the labels: good and defective images are
            resampled separately, so that every sample has both.

    Returns:
        lower and upper end.
    """
    rng, labels = np.random.default_rng(seed), np.asarray(arrays[0])
    groups = [np.flatnonzero(labels == value) for value in np.unique(labels)]
    values = []
    for _ in range(repeats):
        index = np.concatenate([rng.choice(group, len(group)) for group in groups])
        values.append(statistic(*(np.asarray(array)[index] for array in arrays)))
    lower, upper = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(lower), float(upper)
