"""A threshold from normal images, also from few, and how sure its false-alarm rate is."""

from math import ceil

import numpy as np
from scipy import stats

MANY = 60  # from so many calibration images on, order statistics; below, a fitted tail


def upper_limit(scores: np.ndarray, rate: float = 0.05) -> float:
    """The score that a new normal image exceeds with probability `rate`.

    With `MANY` scores or more it is conformal (Vovk et al. 2005): the ceil((n + 1) (1 - rate))-th smallest.
    It makes no assumption but that new images are exchangeable with these. With fewer it is a normal
    prediction limit, `mean + t s sqrt(1 + 1 / n)` with Student's t of n - 1 degrees of freedom: a quantile
    of ten scores would be their largest.

    Args:
        scores: of normal images, `(N,)`, higher for more anomalous, at least 2.
    """
    scores, count = np.sort(np.asarray(scores, float)), len(scores)
    rank = _rank(count, rate)
    if count >= MANY and rank <= count:
        return float(scores[rank - 1])
    quantile = stats.t.ppf(1 - rate, count - 1)
    return float(scores.mean() + quantile * scores.std(ddof=1) * np.sqrt(1 + 1 / count))


def false_alarm_interval(count: int, rate: float = 0.05, level: float = 0.9) -> tuple[float, float]:
    """Between which rates the false alarms of `upper_limit` lie, for `count` calibration images.

    The limit is drawn with its calibration images; the rate it leads to varies with them. With many it has
    a Beta distribution, whatever the scores'; with few it is simulated for normal scores.

    Returns:
        lower and upper end of the central `level` of that distribution.
    """
    ends = (1 - level) / 2, (1 + level) / 2
    rank = _rank(count, rate)
    if count >= MANY and rank <= count:
        lower, upper = stats.beta.ppf(ends, count + 1 - rank, rank)
    else:
        scores = np.random.default_rng(0).standard_normal((4000, count))
        quantile = stats.t.ppf(1 - rate, count - 1) * np.sqrt(1 + 1 / count)
        limits = scores.mean(axis=1) + quantile * scores.std(axis=1, ddof=1)
        lower, upper = np.quantile(stats.norm.sf(limits), ends)
    return float(lower), float(upper)


def _rank(count: int, rate: float) -> int:
    return ceil((count + 1) * (1 - rate))
