"""Exercises of notebook 04: training."""

import numpy as np

from radar_nb.teaching.exercises.kinds import Choice, Code, Exercise, Number


def _two_maps(rng):
    return tuple(rng.normal(size=(4, 5)) for _ in range(2))


EXERCISES: tuple[Exercise, ...] = (
    Code(
        "04.1",
        hints=("What happens to a mistake of +1 at one pixel and -1 at another?",
               "Square first, then take the mean."),
        worked="def mended(eps, predicted):\n    return ((eps - predicted) ** 2).mean()",
        why="the buggy loss is 0 for any answer that is right on average, so the network would learn next "
            "to nothing",
        right=lambda e, p: np.square(e - p).mean(),
        draw=_two_maps,
        mistakes={
            "that is the line as it was: mistakes of opposite sign cancel": lambda e, p: (e - p).mean() ** 2,
            "the sum grows with the batch: take the mean": lambda e, p: np.square(e - p).sum(),
            "square the difference, do not take its size": lambda e, p: np.abs(e - p).mean(),
            "no root: the mean of squares itself": lambda e, p: np.sqrt(np.square(e - p).mean()),
            "differences cancel: square them before the mean": lambda e, p: (e - p).mean(),
            "you took the mean over one axis only": lambda e, p: np.square(e - p).mean(axis=0)}),
    Code(
        "04.2",
        hints=("Mostly the old average, a little of the new weights.",
               "decay is the share of the old, the rest is the share of the new."),
        worked="def ema(average, weights, decay):\n    return decay * average + (1 - decay) * weights",
        why="averaged weights jump less than the last ones, so the kit keeps the average",
        right=lambda a, w, d: d * a + (1 - d) * w,
        draw=lambda rng: (rng.normal(size=7), rng.normal(size=7), rng.uniform(0.6, 0.99)),
        mistakes={
            "decay is the share of the old average": lambda a, w, d: (1 - d) * a + d * w,
            "the shares must add to 1: the new has its full weight": lambda a, w, d: d * a + w,
            "that is a plain mean; use decay": lambda a, w, d: (a + w) / 2,
            "the new weights are missing": lambda a, w, d: d * a}),
    Number(
        "04.3",
        hints=("Each step draws one batch.", "800 batches of 32."),
        worked="800 * 32 = 25,600",
        why="80 images hold far more patches than that, so hardly any is seen twice: few images are enough",
        right=25_600,
        mistakes={64_000: "each step draws a batch, not one patch of every image",
                  2_560: "that is images times batch; what counts is steps times batch",
                  800: "each step draws a whole batch",
                  2_048_000: "the number of images does not matter: a step draws 32 patches from any of "
                             "them"}),
    Choice(
        "04.4",
        hints=("Where is the added noise hard to tell from the surface's own grain?",
               "With much noise, nearly all of the picture is the answer."),
        worked="a: weak noise looks just like the surface's own grain. At large t nearly all of x_t is "
               "noise, and there is little left to get wrong.",
        why="it is also why the loss jumps from step to step: each batch draws its own timesteps",
        right="a",
        mistakes={"b": "the network separates half image and half noise quite well",
                  "c": "there x_t is nearly nothing but noise: giving x_t back is nearly right",
                  "d": "the target has variance 1 at every t, but it is not equally easy to see"}),
)
