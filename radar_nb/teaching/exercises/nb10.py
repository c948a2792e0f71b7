"""Exercises of notebook 10: ablations."""

import numpy as np

from radar_nb.teaching.exercises.kinds import Choice, Code, Exercise, Number


def _plateau(rng):
    """Settings, their scores, and a slack: the best 0.60, one at 0.56, one at 0.52, the rest far below."""
    scores = np.concatenate([[0.60, 0.56, 0.52], rng.uniform(0.2, 0.4, 5)])
    return np.sort(rng.choice(np.arange(5, 99), 8, replace=False)).astype(float), rng.permutation(scores), 0.1


EXERCISES: tuple[Exercise, ...] = (
    Number(
        "10.1",
        hints=("What is the probability that none of the twenty does?",
               "One test stays quiet with probability 0.95; all twenty do with 0.95**20."),
        worked="1 - 0.95**20 = 0.64",
        why="the best of many points is partly luck: another reason not to choose on test images",
        right=1 - 0.95**20,
        mistakes={1.0: "20 times 5 % is the expected number of such tests; the probability is less than 1",
                  0.05: "that is the probability for one test",
                  0.95**20: "that is the probability that none does",
                  0.95: "that is the probability that one given test does not"}),
    Choice(
        "10.2",
        hints=("What else changed?", "Two changes, one result."),
        worked="c: nothing. Change one thing at a time, or run all four combinations.",
        why="the steps may have helped and turning attention off may have hurt, or the other way round",
        right="c",
        mistakes={"a": "the steps may have done it all",
                  "b": "attention may have hurt or helped; the steps changed at the same time",
                  "d": "the sum of two effects says nothing about either"}),
    Choice(
        "10.3",
        hints=("On which images do you know where the defects are?",
               "What does a factory have before the first defect?"),
        worked="b: normal calibration images, or defects pasted on them.",
        why="a choice made on test images is part of the training",
        right="b",
        mistakes={"a": "then the result is too good: it was fitted to these defects; others will come",
                  "c": "the network knows its training images too well",
                  "d": "the paper's t = 1 is a good start, but your surface may need another"}),
    Code(
        "10.4",
        hints=("Compare each score with the largest.", "values[scores >= largest - slack]"),
        worked="def plateau(values, scores, slack):\n    return values[scores >= scores.max() - slack]",
        why="take the middle of the plateau, not the best point: the best is partly luck",
        right=lambda v, s, k: v[s >= s.max() - k],
        draw=_plateau,
        mistakes={
            "that is the best one alone; others are within the slack": lambda v, s, k: v[s == s.max()],
            "the slack is a difference, not a share": lambda v, s, k: v[s >= s.max() * (1 - k)],
            "those are scores; give the values that belong to them": lambda v, s, k: s[s >= s.max() - k],
            "those are positions; give the values at these positions":
                lambda v, s, k: np.flatnonzero(s >= s.max() - k),
            "those are the bad ones: reverse the comparison": lambda v, s, k: v[s < s.max() - k]}),
)
