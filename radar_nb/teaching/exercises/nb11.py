"""Exercises of notebook 11: your own images."""

import numpy as np

from radar_nb.teaching.exercises.kinds import Choice, Code, Exercise, Number

EXERCISES: tuple[Exercise, ...] = (
    Code(
        "11.1",
        hints=("Four lengths must fit.", "The first of 32, 64, 128 that is at least 4 * length."),
        worked="def patch_size(length):\n    return next(side for side in (32, 64, 128) if side >= 4 * "
               "length)",
        why="a patch must show whole pieces of the pattern; a larger one than needed costs time",
        right=lambda n: next(side for side in (32, 64, 128) if side >= 4 * n),
        draw=lambda rng: (int(rng.choice([3, 8, 9, 16, 17, 30])),),
        repeats=60,  # only 8 and 16 tell "at least" from "more than"
        mistakes={
            "larger than need be: take the smallest that fits": lambda n: 128,
            "four lengths must fit, not one": lambda n: next(side for side in (32, 64, 128) if side >= n),
            "the sizes are 32, 64 and 128: round up to one of them": lambda n: 4 * n,
            "at least four lengths: a patch of just that size fits":
                lambda n: next(side for side in (32, 64, 128, 256) if side > 4 * n)}),
    Number(
        "11.2",
        hints=("Set the root equal to 0.01 and solve for n.", "n = 0.05 * 0.95 / 0.01**2"),
        worked="0.05 * 0.95 / 0.01**2 = 475",
        why="half the uncertainty costs four times the images",
        right=475,
        mistakes={500: "the factor 1 - p, here 0.95, is missing",
                  4.75: "square the 0.01 too",
                  np.sqrt(0.05 * 0.95) / 0.01: "the root covers n as well: square both sides",
                  2500: "that is for a rate of 50 %"}),
    Choice(
        "11.3",
        hints=("The surface is the same; the light is not.",
               "What knows what is usual in a place: the network or the calibration?"),
        worked="a: calibrate again on new normal images; train again only if that does not help.",
        why="calibration takes a minute, training takes hours: do the cheap thing first",
        right="a",
        mistakes={"b": "it may come to that, but do the cheap thing first",
                  "c": "then normal images raise alarms, and the detector still expects the old light",
                  "d": "the old normal images show the old light"}),
)
