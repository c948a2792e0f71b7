"""Exercises of notebook 08: segmentation."""

from radar_nb.teaching.exercises.kinds import Choice, Code, Exercise, Number


def _masks(rng):
    """Two masks that overlap in part; neither is empty or full."""
    truth, found = rng.random((5, 6)) < 0.5, rng.random((5, 6)) < 0.4
    truth[0, :3], found[0, 1:4] = True, True
    truth[-1, -3:], found[-1, -3:] = False, (True, False, False)
    return truth, found


EXERCISES: tuple[Exercise, ...] = (
    Code(
        "08.1",
        hints=("Common pixels over the pixels of either.", "& is and, | is or."),
        worked="def iou(truth, found):\n    return (truth & found).sum() / (truth | found).sum()",
        why="like Dice it is 1 for the same mask and 0 for none in common, but stricter in between",
        right=lambda a, b: (a & b).sum() / (a | b).sum(),
        draw=_masks,
        mistakes={
            "that is Dice: for IoU the union is below the line":
                lambda a, b: 2 * (a & b).sum() / (a.sum() + b.sum()),
            "a.sum() + b.sum() counts the common pixels twice: use the union":
                lambda a, b: (a & b).sum() / (a.sum() + b.sum()),
            "that is the accuracy of pixels, high even for an empty mask": lambda a, b: (a == b).mean(),
            "that is the recall: what was found too much counts as well":
                lambda a, b: (a & b).sum() / a.sum(),
            "that is the share of all pixels; divide by the union": lambda a, b: (a & b).mean()}),
    Number(
        "08.2",
        hints=("Call the union 1. Then the overlap is 0.5. What do both sizes add to?",
               "Sizes add to union plus overlap, 1.5; Dice is twice the overlap over that."),
        worked="2 * 0.5 / 1.5 = 0.667",
        why="the two rank masks alike, but their numbers differ: never compare one paper's Dice with "
            "another's IoU",
        right=2 / 3,
        mistakes={0.5: "Dice is larger than IoU unless both are 0 or 1",
                  1.0: "then the masks would be the same",
                  0.25: "that is IoU squared",
                  1 / 3: "twice the overlap is above the line"}),
    Code(
        "08.3",
        hints=("A rate of what? Which pixels could be flagged wrongly at all?",
               "Only normal pixels can; divide by their number."),
        worked="def mended(truth, found):\n    return (found & ~truth).sum() / (~truth).sum()",
        why="AUPRO stops where this rate reaches 0.3: beyond it a segmentation is of no use",
        right=lambda t, f: (f & ~t).sum() / (~t).sum(),
        draw=_masks,
        mistakes={
            "that is the code as it was: a share of all pixels": lambda t, f: (f & ~t).mean(),
            "that is a share of the found pixels (false discoveries)": lambda t, f: (f & ~t).sum() / f.sum(),
            "that is the miss rate: defective pixels not found": lambda t, f: (t & ~f).sum() / t.sum(),
            "that is the specificity; take it from 1": lambda t, f: (~f & ~t).sum() / (~t).sum(),
            "that is the recall; the rate needs normal pixels": lambda t, f: (f & t).sum() / t.sum()}),
    Choice(
        "08.4",
        hints=("Think of both ends: everything painted, nothing painted.",
               "A very loose threshold paints normal pixels, a very strict one loses the "
                           "defect."),
        worked="c: it rises, then falls. In between lies the best overlap.",
        why="a quantile chosen on the test images would be fitted to their defects, and the score would not "
            "tell what happens on the next ones",
        right="c",
        mistakes={"a": "a very strict threshold loses first the rim and in the end the heart of the defect",
                  "b": "a very loose threshold paints normal pixels too, and these cost",
                  "d": "Dice judges the mask, and the mask depends on the threshold"}),
)
