"""Exercises of notebook 09: the paper's results, and tables read like a detective."""

import numpy as np

from radar_nb.teaching.exercises.kinds import Choice, Code, Exercise, Number


def _paired_scores(rng):
    """Scores of two methods with five seeds each; what is hard for one is hard for the other."""
    common = 3 * rng.normal(size=5)
    return common + rng.normal(size=5), common + rng.normal(size=5)


def _published(rng):
    """Precision and recall as they follow from a confusion table, and its size."""
    positives, negatives = rng.integers(30, 90, 2)
    true, false = rng.integers(8, 29), rng.integers(2, 25)
    return true / (true + false), true / positives, int(positives), int(negatives)


EXERCISES: tuple[Exercise, ...] = (
    Code(
        "09.1",
        hints=("Cut the same share off each end, 5 % in all.", "np.quantile at 0.025 and 0.975."),
        worked="def interval(values):\n    return np.quantile(values, [0.025, 0.975])",
        why="it says how far another set of test images could have moved the number",
        right=lambda v: np.quantile(v, [0.025, 0.975]),
        draw=lambda rng: (rng.gamma(2, size=200),),
        mistakes={
            "that leaves 90 %: cut 5 % off in all, not off each end": lambda v: np.quantile(v, [0.05, 0.95]),
            "those are the extremes; they grow with the number of draws":
                lambda v: np.array([v.min(), v.max()]),
            "that assumes that the draws are Gaussian; quantiles need no such assumption":
                lambda v: v.mean() + np.array([-1.96, 1.96]) * v.std(),
            "those are the values just below; without method, np.quantile goes between two of them":
                lambda v: np.quantile(v, [0.025, 0.975], method="lower"),
            "those are the values just above; without method, np.quantile goes between two of them":
                lambda v: np.quantile(v, [0.025, 0.975], method="higher"),
            "those are the nearest values; without method, np.quantile goes between two of them":
                lambda v: np.quantile(v, [0.025, 0.975], method="nearest"),
            "np.quantile counts to 1, np.percentile to 100": lambda v: np.percentile(v, [0.025, 0.975])}),
    Code(
        "09.2",
        hints=("Both scores of a pair have the same random seed: what do they have in common?",
               "First the differences, seed by seed; then std(ddof=1) over the root of their number."),
        worked="def mended(a, b):\n    d = a - b\n    return d.std(ddof=1) / np.sqrt(len(d))",
        why="what is hard for both cancels out: pairs need fewer seeds",
        right=lambda a, b: (a - b).std(ddof=1) / np.sqrt(len(a)),
        draw=_paired_scores,
        mistakes={
            "that is the code as it was: it forgets the pairs":
                lambda a, b: np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a)),
            "that is the deviation of one difference; of the mean of n, divide by the root of n":
                lambda a, b: (a - b).std(ddof=1),
            "with n seeds, divide by n - 1 in the variance: ddof=1":
                lambda a, b: (a - b).std() / np.sqrt(len(a)),
            "that is the variance; take the root": lambda a, b: (a - b).var(ddof=1) / len(a)}),
    Number(
        "09.3",
        hints=("Recall is 1. Precision is the share of defective images.",
               "p = 100 / 160; F1 = 2 p / (1 + p)"),
        worked="p = 100 / 160 = 0.625; 2 * 0.625 / 1.625 = 0.769",
        why="an F1 means little without the share of defective images beside it; its AUROC is 0.5",
        right=2 * 0.625 / 1.625,
        mistakes={0.625: "that is the precision, and the accuracy",
                  1.0: "that is the recall; precision pays",
                  0.5: "that is its AUROC",
                  0.8125: "that is the plain mean of precision and recall; F1 is the harmonic one"}),
    Choice(
        "09.4",
        hints=("Is zero in the interval?",
               "Zero is one of the differences that fit these images; so are many others."),
        worked="b: these images cannot tell which is better. They may differ or not.",
        why="an interval with zero in it says how little was measured; that is not the same as equal",
        right="b",
        mistakes={"a": "+0.2 is the middle, and another set of images could well have given -2",
                  "c": "equal would need a narrow interval around zero; this one allows 2.7 points",
                  "d": "it means something: a difference of more than 2.7 points does not fit these images"}),
    Code(
        "09.5",
        hints=("Go back to counts: recall gives the images found, precision then all that were called.",
               "found = recall * positives; called = found / precision; called - found are false alarms."),
        worked="def false_alarm_rate(precision, recall, positives, negatives):\n"
               "    found = recall * positives\n    return (found / precision - found) / negatives",
        why="a table with precision and recall tells this too, if it says how many images there were",
        right=lambda p, r, P, N: r * P * (1 / p - 1) / N,
        draw=_published,
        mistakes={
            "that is the share of the alarms that are false; give the share of the normal images":
                lambda p, r, P, N: 1 - p,
            "that is the miss rate: defective images that were not found": lambda p, r, P, N: 1 - r,
            "those are the false alarms; divide by the number of normal images":
                lambda p, r, P, N: r * P * (1 / p - 1),
            "divide by the normal images alone, not by all": lambda p, r, P, N: r * P * (1 / p - 1) / (P + N),
            "divide by the normal images, not by the defective ones": lambda p, r, P, N: r * (1 / p - 1),
            "that is the share of normal images without an alarm; take it from 1":
                lambda p, r, P, N: 1 - r * P * (1 / p - 1) / N}),
    Choice(
        "09.6",
        hints=("Which sentence is arithmetic, and which one is about somebody's reasons?",
               "The digits fit 74 + 33 and not 84 + 33. Do they say why?"),
        worked="b: the digits fit 74 + 33 images, not 84 + 33. Only the authors know why: ask.",
        why="a detective says what the evidence shows, and asks about the rest",
        right="b",
        mistakes={"a": "the digits tell no reason; ten images kept for validation would look the same",
                  "c": "six rows, and four of another slide, fit one and the same size; misprints would not",
                  "d": "two digits leave one size of the 9600 that were tried",
                  "e": "F1 of the trivial row is high on 84 + 33 as well; that says nothing of the ten"}),
)
