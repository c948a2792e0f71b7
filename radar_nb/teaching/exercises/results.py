"""The exercises of notebooks 08 to 11, in their order. `checking` says what they are made of."""

import numpy as np

from radar_nb.teaching.exercises.kinds import Choice, Code, Exercise, Number


def _masks(rng):
    """Two masks that overlap in part; neither is empty or full."""
    truth, found = rng.random((5, 6)) < 0.5, rng.random((5, 6)) < 0.4
    truth[0, :3], found[0, 1:4] = True, True
    truth[-1, -3:], found[-1, -3:] = False, (True, False, False)
    return truth, found


def _paired_scores(rng):
    """Scores of two methods with five seeds each; what is hard for one is hard for the other."""
    common = 3 * rng.normal(size=5)
    return common + rng.normal(size=5), common + rng.normal(size=5)


def _plateau(rng):
    """Settings, their scores, and a slack: the best 0.60, one at 0.56, one at 0.52, the rest far below."""
    scores = np.concatenate([[0.60, 0.56, 0.52], rng.uniform(0.2, 0.4, 5)])
    return np.sort(rng.choice(np.arange(5, 99), 8, replace=False)).astype(float), rng.permutation(scores), 0.1


_SEGMENTATION = (
    Code(
        "08.1",
        hints=("Common pixels over the pixels of either.", "& is and, | is or."),
        worked="def iou(truth, found):\n    return (truth & found).sum() / (truth | found).sum()",
        why="like Dice it is 1 for the same mask and 0 for none in common, but stricter in between",
        right=lambda a, b: (a & b).sum() / (a | b).sum(),
        draw=_masks,
        mistakes={
            "that is Dice: for IoU the union is below the line": lambda a, b: 2 * (a & b).sum() / (a.sum() + b.sum()),
            "a.sum() + b.sum() counts the common pixels twice: use the union": lambda a, b: (a & b).sum() / (a.sum() + b.sum()),
            "that is the accuracy of pixels, high even for an empty mask": lambda a, b: (a == b).mean(),
            "that is the recall: what was found too much counts as well": lambda a, b: (a & b).sum() / a.sum(),
            "that is the share of all pixels; divide by the union": lambda a, b: (a & b).mean()}),
    Number(
        "08.2",
        hints=("Call the union 1. Then the overlap is 0.5. What do both sizes add to?", "Sizes add to union plus overlap, 1.5; Dice is twice the overlap over that."),
        worked="2 * 0.5 / 1.5 = 0.667",
        why="the two rank masks alike, but their numbers differ: never compare one paper's Dice with another's IoU",
        right=2 / 3,
        mistakes={0.5: "Dice is larger than IoU unless both are 0 or 1",
                  1.0: "then the masks would be the same",
                  0.25: "that is IoU squared",
                  1 / 3: "twice the overlap is above the line"}),
    Code(
        "08.3",
        hints=("A rate of what? Which pixels could be flagged wrongly at all?", "Only normal pixels can; divide by their number."),
        worked="def mended(truth, found):\n    return (found & ~truth).sum() / (~truth).sum()",
        why="AUPRO stops where this rate reaches 0.3: beyond it a segmentation is of no use",
        right=lambda t, f: (f & ~t).sum() / (~t).sum(),
        draw=_masks,
        mistakes={
            "that is the code as it was: a share of all pixels": lambda t, f: (f & ~t).mean(),
            "that is a share of the found pixels (false discoveries)": lambda t, f: (f & ~t).sum() / f.sum(),
            "that is the miss rate: defective pixels not found": lambda t, f: (t & ~f).sum() / t.sum(),
            "that is the specificity; take it from 1": lambda t, f: (~f & ~t).sum() / (~t).sum(),
            "that is the recall: normal pixels are asked for": lambda t, f: (f & t).sum() / t.sum()}),
    Choice(
        "08.4",
        hints=("Think of both ends: everything painted, nothing painted.", "A very loose threshold paints normal pixels, a very strict one loses the defect."),
        worked="c: it rises, then falls. In between lies the best overlap.",
        why="a quantile chosen on the test images would be fitted to their defects, and the score would not tell what happens on the next ones",
        right="c",
        mistakes={"a": "a very strict threshold loses first the rim and in the end the heart of the defect",
                  "b": "a very loose threshold paints normal pixels too, and these cost",
                  "d": "Dice judges the mask, and the mask depends on the threshold"}),
)

_RESULTS = (
    Code(
        "09.1",
        hints=("Cut the same share off each end; 5 % in all.", "np.quantile, at 0.025 and 0.975."),
        worked="def interval(values):\n    return np.quantile(values, [0.025, 0.975])",
        why="it says how far another set of test images could have moved the number",
        right=lambda v: np.quantile(v, [0.025, 0.975]),
        draw=lambda rng: (rng.gamma(2, size=200),),
        mistakes={
            "that leaves 90 %: cut 5 % off in all, not off each end": lambda v: np.quantile(v, [0.05, 0.95]),
            "those are the extremes; they grow with the number of draws": lambda v: np.array([v.min(), v.max()]),
            "that takes the draws for Gaussian; quantiles need no such belief": lambda v: v.mean() + np.array([-1.96, 1.96]) * v.std(),
            "np.quantile counts to 1, np.percentile to 100": lambda v: np.percentile(v, [0.025, 0.975])}),
    Code(
        "09.2",
        hints=("The same seed made both scores of a pair: what is common to them?", "First the differences, seed by seed; then std(ddof=1) over the root of their number."),
        worked="def mended(a, b):\n    d = a - b\n    return d.std(ddof=1) / np.sqrt(len(d))",
        why="what is hard for both cancels out: pairs need fewer seeds",
        right=lambda a, b: (a - b).std(ddof=1) / np.sqrt(len(a)),
        draw=_paired_scores,
        mistakes={
            "that is the code as it was: it forgets the pairs": lambda a, b: np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a)),
            "that is the deviation of one difference; of the mean of n, divide by the root of n": lambda a, b: (a - b).std(ddof=1),
            "with n seeds, divide by n - 1 in the variance: ddof=1": lambda a, b: (a - b).std() / np.sqrt(len(a)),
            "that is the variance; take the root": lambda a, b: (a - b).var(ddof=1) / len(a)}),
    Number(
        "09.3",
        hints=("Recall is 1. Precision is the share of defective images.", "p = 100 / 160; F1 = 2 p / (1 + p)"),
        worked="p = 100 / 160 = 0.625; 2 * 0.625 / 1.625 = 0.769",
        why="an F1 means little without the share of defective images beside it; its AUROC is 0.5",
        right=2 * 0.625 / 1.625,
        mistakes={0.625: "that is the precision, and the accuracy",
                  1.0: "that is the recall; precision pays",
                  0.5: "that is its AUROC",
                  0.8125: "that is the plain mean of precision and recall; F1 is the harmonic one"}),
    Choice(
        "09.4",
        hints=("Does the interval hold zero?", "Zero is one of the differences that these images allow; so are many others."),
        worked="b: these images cannot tell which is better. That is not the same as equal.",
        why="an interval that holds zero is a statement about how little was measured, not about the methods",
        right="b",
        mistakes={"a": "+0.2 is the middle, and another set of images could well have given -2",
                  "c": "equal would need a narrow interval around zero; this one allows 2.7 points",
                  "d": "the interval is 5 points wide; one point outside would not matter, but zero is inside"}),
)

_ABLATIONS = (
    Number(
        "10.1",
        hints=("What is the chance that none is?", "One is fooled with 0.05, not fooled with 0.95; twenty times in a row: 0.95**20."),
        worked="1 - 0.95**20 = 0.64",
        why="the best of many points is a lucky one in part: another reason not to choose on test images",
        right=1 - 0.95**20,
        mistakes={1.0: "20 times 5 % is the expected number; the probability is less than 1",
                  0.05: "that is for one point",
                  0.95**20: "that is the chance that none is",
                  0.95: "that is the chance that one given point is not"}),
    Choice(
        "10.2",
        hints=("What else changed?", "Two changes, one result."),
        worked="c: nothing. Change one thing at a time, or run all four combinations.",
        why="the steps may have helped and the attention too, and each may have hurt",
        right="c",
        mistakes={"a": "the steps may have done it all",
                  "b": "the attention may have hurt or helped meanwhile",
                  "d": "the sum of two effects says nothing of either"}),
    Choice(
        "10.3",
        hints=("Which images know where the defects are?", "What does a factory have before the first defect?"),
        worked="b: normal calibration images, or defects pasted on them.",
        why="a choice made on test images is part of the training",
        right="b",
        mistakes={"a": "then the result is a promise that tomorrow's images will not keep",
                  "c": "the network knows its training images too well",
                  "d": "the paper's surfaces are not yours"}),
    Code(
        "10.4",
        hints=("Compare each score with the largest.", "values[scores >= largest - slack]"),
        worked="def plateau(values, scores, slack):\n    return values[scores >= scores.max() - slack]",
        why="take the middle of the plateau, not the best point: the best is best by luck in part",
        right=lambda v, s, k: v[s >= s.max() - k],
        draw=_plateau,
        mistakes={
            "that is the best one alone; others are within the slack": lambda v, s, k: v[s == s.max()],
            "the slack is a difference, not a share": lambda v, s, k: v[s >= s.max() * (1 - k)],
            "those are scores; give the values that belong to them": lambda v, s, k: s[s >= s.max() - k],
            "those are positions; give the values that stand there": lambda v, s, k: np.flatnonzero(s >= s.max() - k),
            "those are the bad ones: turn the comparison round": lambda v, s, k: v[s < s.max() - k]}),
)

_OWN = (
    Code(
        "11.1",
        hints=("Four lengths must fit.", "The first of 32, 64, 128 that is at least 4 * length."),
        worked="def patch_size(length):\n    return next(side for side in (32, 64, 128) if side >= 4 * length)",
        why="a patch must show whole pieces of the pattern; a larger one than needed costs time",
        right=lambda n: next(side for side in (32, 64, 128) if side >= 4 * n),
        draw=lambda rng: (int(rng.choice([3, 8, 9, 16, 17, 30])),),
        repeats=60,  # only 8 and 16 tell "at least" from "more than"
        mistakes={
            "larger than need be: take the smallest that fits": lambda n: 128,
            "four lengths must fit, not one": lambda n: next(side for side in (32, 64, 128) if side >= n),
            "the sizes are 32, 64 and 128: round up to one of them": lambda n: 4 * n,
            "at least four lengths: a patch of just that size fits": lambda n: next(side for side in (32, 64, 128, 256) if side > 4 * n)}),
    Number(
        "11.2",
        hints=("Set the root equal to 0.01 and solve for n.", "n = 0.05 * 0.95 / 0.01**2"),
        worked="0.05 * 0.95 / 0.01**2 = 475",
        why="half the uncertainty costs four times the images",
        right=475,
        tolerance=0.02,
        mistakes={500: "the factor 1 - p, here 0.95, is missing",
                  4.75: "square the 0.01 too",
                  np.sqrt(0.05 * 0.95) / 0.01: "the root covers n as well: square both sides",
                  2500: "that is for a rate of 50 %"}),
    Choice(
        "11.3",
        hints=("The surface is the same; the light is not.", "What knows how loud a normal map is: the network or the forest?"),
        worked="a: calibrate again on new normal images; train again only if that does not help.",
        why="calibration takes a minute, training takes hours: do the cheap thing first",
        right="a",
        mistakes={"b": "it may come to that, but do the cheap thing first",
                  "c": "then real defects slip through as well",
                  "d": "the old normal images show the old light"}),
)

EXERCISES: tuple[Exercise, ...] = (*_SEGMENTATION, *_RESULTS, *_ABLATIONS, *_OWN)
