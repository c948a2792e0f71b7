"""Exercises of notebook 03: the attention U-Net."""

import numpy as np

from radar_nb.teaching.exercises.kinds import Code, Exercise, Number


def _softmax(x, axis=-1):
    weights = np.exp(x - x.max(axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True)


EXERCISES: tuple[Exercise, ...] = (
    Code(
        "03.1",
        hints=("exp, then divide by the sum over the last axis.",
               "Subtract the largest of each row first, with keepdims=True."),
        worked="def my_softmax(x):\n    w = np.exp(x - x.max(axis=-1, keepdims=True))\n    return w / "
               "w.sum(axis=-1, keepdims=True)",
        why="the weights of a row add to 1; subtracting the maximum does not change them, and keeps exp from "
            "overflowing",
        right=_softmax,
        draw=lambda rng: (rng.normal(size=(4, 5)) * rng.choice([1, 3]) + rng.uniform(800, 1200),),
        mistakes={
            "the sum must be over each row alone: axis=-1, keepdims=True":
                lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum(),
            "you summed over the wrong axis": lambda x: _softmax(x, 0),
            "nothing was divided: the weights of a row must add to 1":
                lambda x: np.exp(x - x.max(axis=-1, keepdims=True)),
            "large numbers overflow: make them smaller before exp":
                lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)}),
    Code(
        "03.2",
        hints=("Compare each line with the formula of section 1. There are two bugs.",
               "d stands under a root; and the weights of one query must add to 1, so softmax goes over the "
               "keys, the last axis."),
        worked="def mended(q, k, v):\n    return softmax(q @ k.T / np.sqrt(q.shape[-1]), axis=-1) @ v",
        why="each place takes a weighted mean of what all others say; with a wrong axis it would still run, "
            "and learn badly",
        right=lambda q, k, v: _softmax(q @ k.T / np.sqrt(q.shape[-1])) @ v,
        draw=lambda rng: tuple(2 * rng.normal(size=(6, 4)) for _ in range(3)),
        mistakes={
            "that is the code as it was": lambda q, k, v: _softmax(q @ k.T / q.shape[-1], 0) @ v,
            "the scores are not divided at all: softmax becomes a hard choice":
                lambda q, k, v: _softmax(q @ k.T) @ v,
            "one bug is left: divide by the square root of d, not by d":
                lambda q, k, v: _softmax(q @ k.T / q.shape[-1]) @ v,
            "one bug is left: softmax goes over the keys":
                lambda q, k, v: _softmax(q @ k.T / np.sqrt(q.shape[-1]), 0) @ v,
            "those are the weights; multiply the values with them":
                lambda q, k, v: _softmax(q @ k.T / np.sqrt(q.shape[-1]))}),
    Number(
        "03.3",
        hints=("Each output channel has a table of 3 x 3 weights for each input channel, and one bias.",
               "64 x (32 x 9 + 1)"),
        worked="64 * (32 * 9 + 1) = 18,496",
        why="the number of weights grows with the product of the widths: half of both gives a quarter",
        right=18_496,
        mistakes={18_432: "the biases are missing: one for each output channel",
                  2_112: "the table is 3 x 3: nine weights, not one",
                  576: "each output channel looks at all 32 input channels",
                  18_464: "one bias for each output channel: 64 of them"}),
    Number(
        "03.4",
        hints=("How many times more places? Each place is compared with each.",
               "Four times the places, squared."),
        worked="4 times the places, so 4 * 4 = 16 times the pairs",
        why="this is why attention is at the bottom, where there are few places",
        right=16,
        mistakes={4: "that is how many times more places; count the pairs",
                  2: "twice as high and twice as wide: how many places is that?",
                  8: "the pairs go with the square of the number of places",
                  256: "that would be for an image four times as high and as wide"}),
)
