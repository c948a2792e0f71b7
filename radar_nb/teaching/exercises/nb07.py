"""Exercises of notebook 07: the Isolation Forest."""

import numpy as np

from radar_nb.teaching.exercises.kinds import Choice, Code, Exercise, Number

_BETWEEN = {"lower": "the value below", "higher": "the value above", "nearest": "the nearest value"}

EXERCISES: tuple[Exercise, ...] = (
    Code(
        "07.1",
        hints=("Are anomalous images those with low or those with high scores here?",
               "Low is anomalous, so the threshold is the low quantile."),
        worked="def mended(scores, contamination):\n    return np.quantile(scores, contamination)",
        why="normal images alone set it; no defect is needed",
        right=lambda s, c: np.quantile(s, c),
        draw=lambda rng: (rng.normal(-0.5, 0.1, 40), rng.uniform(0.02, 0.3)),
        repeats=60,  # the neighbours of a quantile are often the same one
        mistakes={
            "that is the code as it was: nearly all normal images would be called anomalous":
                lambda s, c: np.quantile(s, 1 - c),
            "that lets no normal image be called anomalous, whatever the contamination": lambda s, c: s.min(),
            "np.percentile counts to 100": lambda s, c: np.percentile(s, c),
            "counting off that many of the sorted scores comes close; np.quantile goes between two of them":
                lambda s, c: np.sort(s)[int(c * len(s))],
            **{f"that is {place}; leave method out, and np.quantile goes between two of them":
                   lambda s, c, method=method: np.quantile(s, c, method=method)
               for method, place in _BETWEEN.items()},
            "the contamination is a share of images, not of the range":
                lambda s, c: s.min() + c * (s.max() - s.min())}),
    Code(
        "07.2",
        hints=("Two kinds of images, each with its own share, rate and price.",
               "Normal images are the share 1 - defective; each costs alarm_rate * alarm_price on average."),
        worked="def cost(alarm_rate, miss_rate, alarm_price, miss_price, defective):\n"
               "    return (1 - defective) * alarm_rate * alarm_price + defective * miss_rate * miss_price",
        why="rare defects and cheap alarms pull in opposite directions; only the sum tells which "
            "contamination pays",
        right=lambda a, m, pa, pm, d: (1 - d) * a * pa + d * m * pm,
        draw=lambda rng: (rng.uniform(0.01, 0.3), rng.uniform(0.01, 0.5), rng.uniform(1, 5),
                          rng.uniform(50, 900), rng.uniform(0.01, 0.2)),
        mistakes={
            "weigh both kinds by their share: most images are normal":
                lambda a, m, pa, pm, d: a * pa + m * pm,
            "false alarms come from normal images only: weigh them by 1 - defective":
                lambda a, m, pa, pm, d: a * pa + d * m * pm,
            "the shares have changed places": lambda a, m, pa, pm, d: d * a * pa + (1 - d) * m * pm,
            "the prices have changed places": lambda a, m, pa, pm, d: (1 - d) * a * pm + d * m * pa,
            "the missed defects are missing": lambda a, m, pa, pm, d: (1 - d) * a * pa}),
    Number(
        "07.3",
        hints=("5 images are to be 1 % of all.", "5 / 0.01"),
        worked="5 / 0.01 = 500",
        why="a rare quantile of few points is a guess: small false-alarm rates need many normal images",
        right=500,
        mistakes={100: "then only one image lies below the threshold",
                  50: "1 % of 50 is half an image; divide by 0.01, not by 0.1",
                  5: "all five would lie below the 100 % quantile; the question says 1 %",
                  20: "that would be 5 / 0.25"}),
    Choice(
        "07.4",
        hints=("Look at the left picture to the right of the grey bar.", "Where do all the cuts fall?"),
        worked="c: the same score. All cuts fall between the smallest and the largest calibration point, so "
               "nothing tells the two apart.",
        why="beyond the cloud the score is flat, so a huge defect may count as a slightly unusual normal "
            "image",
        right="c",
        mistakes={"a": "the forest measures no distance: that would be the Mahalanobis distance on the right",
                  "b": "up to the edge of the cloud it rises; both points lie beyond it",
                  "d": "no cut falls between the two, so nothing can tell the second from the first"}),
)
