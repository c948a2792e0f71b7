"""The exercises of notebooks 00 to 03, in their order. `checking` says what they are made of."""

import numpy as np

from radar_nb.teaching.exercises.kinds import Choice, Code, Exercise, Number


def _softmax(x, axis=-1):
    weights = np.exp(x - x.max(axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True)


def _two_vectors(rng, shares=1):
    """Two vectors, then numbers between 0.1 and 0.9."""
    return (rng.normal(size=7), rng.normal(size=7), *rng.uniform(0.1, 0.9, shares))


def _timestep_at(decibels):
    """The timestep at which the forward process of notebook 01 has that signal-to-noise ratio."""
    a_t = np.cumprod(1 - np.linspace(0.0001, 0.02, 1000))
    return int(np.argmin(np.abs(10 * np.log10(a_t / (1 - a_t)) - decibels)))


_START = (
    Choice(
        "00.1",
        hints=("Follow the arrows in the map of the method at the top.", "Which part looks for edges?"),
        worked="b: Sobel. Then the two norms, then the forest.",
        why="each step looks at the one before, and none of them rebuilds the image",
        right="b",
        mistakes={"a": "the forest decides, but it needs two numbers, not a map",
                  "c": "the threshold comes last, for the segmentation",
                  "d": "nothing is reconstructed: that is the point of RADAR"}),
    Number(
        "00.2",
        hints=("How often does RADAR ask the network about one image?", "Once for each of the 500."),
        worked="500: one call for each image",
        why="a single step is what makes it fast",
        right=500,
        mistakes={1: "one call is enough for one image; here are 500",
                  500_000: "that would be all 1000 steps of the way back for each image; RADAR asks once",
                  25_000: "that would be 50 steps of DDIM for each image; RADAR asks once",
                  1000: "1000 is the number of timesteps, not of calls"}),
    Choice(
        "00.3",
        hints=("What has the network been shown, and what not?", "Has it ever seen beads that run the other way?"),
        worked="c: on the printed surface the turned image is called anomalous, for beads that run the other way were never shown. (On a surface "
               "without direction, turning may change nothing.)",
        why="anomalous means unlike the training images, not bad; if turned parts are fine, show the network turned parts",
        right="c",
        mistakes={"a": "nothing is broken, but the detector does not know what broken is; it only knows what it was shown",
                  "b": "a square image turned by 90 degrees has the same shape: nothing stops it",
                  "d": "the same image gives the same answer each time: this reading draws no noise"}),
)

_FORWARD = (
    Code(
        "01.1",
        hints=("Look at the weights: what do their squares add to?", "Variances a_t and 1 - a_t add to 1; the weights are their square roots."),
        worked="def mended(x0, eps, a_t):\n    return np.sqrt(a_t) * x0 + np.sqrt(1 - a_t) * eps",
        why="with the roots the variances add to 1, so the scale stays the same at every t",
        right=lambda x0, eps, a_t: np.sqrt(a_t) * x0 + np.sqrt(1 - a_t) * eps,
        draw=_two_vectors,
        mistakes={
            "that is the line as it was: something is missing around both weights": lambda x0, eps, a_t: a_t * x0 + (1 - a_t) * eps,
            "image and noise have changed places": lambda x0, eps, a_t: np.sqrt(1 - a_t) * x0 + np.sqrt(a_t) * eps,
            "the noise has its full strength at every t: give it a weight too": lambda x0, eps, a_t: np.sqrt(a_t) * x0 + eps,
            "1 - sqrt(a_t) is not sqrt(1 - a_t)": lambda x0, eps, a_t: np.sqrt(a_t) * x0 + (1 - np.sqrt(a_t)) * eps,
            "only one of the two weights is mended": lambda x0, eps, a_t: np.sqrt(a_t) * x0 + (1 - a_t) * eps}),
    Code(
        "01.2",
        hints=("Solve the forward step for x0.", "Take the noise's share off, then divide by the image's."),
        worked="def image_from(x_t, eps, a_t):\n    return (x_t - np.sqrt(1 - a_t) * eps) / np.sqrt(a_t)",
        why="who knows the noise knows the image; so a network that predicts noise can clean images",
        right=lambda x_t, eps, a_t: (x_t - np.sqrt(1 - a_t) * eps) / np.sqrt(a_t),
        draw=_two_vectors,
        mistakes={
            "you took the noise off, and forgot to divide by the image's weight": lambda x_t, eps, a_t: x_t - np.sqrt(1 - a_t) * eps,
            "divide by the square root of a_t, not by a_t": lambda x_t, eps, a_t: (x_t - np.sqrt(1 - a_t) * eps) / a_t,
            "the noise was weighed when it was added: take off as much": lambda x_t, eps, a_t: (x_t - eps) / np.sqrt(a_t),
            "the square root over 1 - a_t is missing": lambda x_t, eps, a_t: (x_t - (1 - a_t) * eps) / np.sqrt(a_t)}),
    Number(
        "01.3",
        hints=("Ten times in power is how many decibels? Which of the two is the stronger one?", "Read the right picture at -10 dB."),
        worked=f"the curve passes -10 dB at t = {_timestep_at(-10)}",
        why="ten times the noise's power comes at half of the way: the second half of the process is nearly all noise",
        right=_timestep_at(-10),
        tolerance=0.06,  # read with the eye
        mistakes={_timestep_at(0): "there both are equally strong: 0 dB",
                  _timestep_at(10): "there the image is ten times stronger: +10 dB; read below zero",
                  _timestep_at(-20): "that is -20 dB, a hundred times; ten times is 10 dB"}),
    Code(
        "01.4",
        hints=("A product over steps: the first is step 0. Which is the last?", "np.prod over betas[:t + 1], since a slice leaves its end out."),
        worked="def image_share(betas, t):\n    return np.prod(1 - betas[:t + 1])",
        why="each step keeps its own share of what was left; at t = 0 one step has been taken already",
        right=lambda betas, t: np.prod(1 - betas[:t + 1]),
        draw=lambda rng: (rng.uniform(0.01, 0.2, 12), int(rng.integers(2, 9))),
        mistakes={
            "one step short: step t itself has been taken too": lambda betas, t: np.prod(1 - betas[:t]),
            "one step too far": lambda betas, t: np.prod(1 - betas[:t + 2]),
            "that is what step t alone keeps; multiply all steps up to it": lambda betas, t: 1 - betas[t],
            "shares multiply, they do not add": lambda betas, t: 1 - betas[:t + 1].sum(),
            "that is the share of the noise": lambda betas, t: 1 - np.prod(1 - betas[:t + 1]),
            "those are the shares at all timesteps; the one at t is asked for": lambda betas, t: np.cumprod(1 - betas)}),
)

_BACKWARD = (
    Code(
        "02.1",
        hints=("Guess x0 first, then go forward to the earlier timestep with the same noise.",
               "x0 = (x_t - sqrt(1 - a_t) eps) / sqrt(a_t); then the forward step with a_before."),
        worked="def ddim_step(x_t, eps, a_t, a_before):\n    x0 = (x_t - np.sqrt(1 - a_t) * eps) / np.sqrt(a_t)\n"
               "    return np.sqrt(a_before) * x0 + np.sqrt(1 - a_before) * eps",
        why="no new noise is drawn, so the steps may be large",
        right=lambda x, e, a, b: np.sqrt(b) * (x - np.sqrt(1 - a) * e) / np.sqrt(a) + np.sqrt(1 - b) * e,
        draw=lambda rng: _two_vectors(rng, 2),
        mistakes={
            "that is the guess of x0 itself: go on to the earlier timestep": lambda x, e, a, b: (x - np.sqrt(1 - a) * e) / np.sqrt(a),
            "the noise of the earlier timestep is missing": lambda x, e, a, b: np.sqrt(b) * (x - np.sqrt(1 - a) * e) / np.sqrt(a),
            "the noise goes back with the share of the earlier timestep, not of t":
                lambda x, e, a, b: np.sqrt(b) * (x - np.sqrt(1 - a) * e) / np.sqrt(a) + np.sqrt(1 - a) * e,
            "a_t and a_before have changed places": lambda x, e, b, a: np.sqrt(b) * (x - np.sqrt(1 - a) * e) / np.sqrt(a) + np.sqrt(1 - b) * e}),
    Number(
        "02.2",
        hints=("Each step is one call.", "How many times does 12 fit into 100?"),
        worked="100 / 12 = 8.3, so 8 whole steps",
        why="the time for an image sets the number of steps; RADAR needs one, and leaves 88 ms for everything else",
        right=8,
        mistakes={9: "nine calls take 108 ms, too long",
                  100 / 12: "a step is a whole call: round down",
                  1200: "divide the time by the time of a call, do not multiply",
                  88: "that is the time left after one call"}),
    Choice(
        "02.3",
        hints=("Compare the first and the last picture of the top row: is the defect still there? And the beads?",
               "What is buried under much noise is lost, whether it is a defect or not."),
        worked="d: from t = 500 the whole surface has been replaced by another, so the difference is large everywhere.",
        why="too little noise keeps the defect, too much loses the surface: reconstruction lives on a narrow ridge",
        right="d",
        mistakes={"a": "that is what happens with too little noise, at t = 50",
                  "b": "the defect is gone there, but so is everything else: look at the difference outside the outline",
                  "c": "the U-Net always gives back an image of the same size; look at the difference itself"}),
)

_UNET = (
    Code(
        "03.1",
        hints=("exp, then divide by the sum over the last axis.", "Take the largest of each row off first, with keepdims=True."),
        worked="def my_softmax(x):\n    w = np.exp(x - x.max(axis=-1, keepdims=True))\n    return w / w.sum(axis=-1, keepdims=True)",
        why="the weights of a row add to 1, and taking the maximum off changes nothing but keeps exp from overflowing",
        right=_softmax,
        draw=lambda rng: (rng.normal(size=(4, 5)) * rng.choice([1, 3]) + rng.uniform(800, 1200),),
        mistakes={
            "the sum must be over each row alone: axis=-1, keepdims=True": lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum(),
            "you summed over the wrong axis": lambda x: _softmax(x, 0),
            "nothing was divided: the weights of a row must add to 1": lambda x: np.exp(x - x.max(axis=-1, keepdims=True)),
            "large numbers overflow: make them smaller before exp": lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)}),
    Code(
        "03.2",
        hints=("Compare each line with the formula of section 1. There are two bugs.",
               "d stands under a root; and the weights of one query must add to 1, so softmax goes over the keys, the last axis."),
        worked="def mended(q, k, v):\n    return softmax(q @ k.T / np.sqrt(q.shape[-1]), axis=-1) @ v",
        why="each place takes a weighted mean of what all others say; with a wrong axis it would still run, and learn badly",
        right=lambda q, k, v: _softmax(q @ k.T / np.sqrt(q.shape[-1])) @ v,
        draw=lambda rng: tuple(2 * rng.normal(size=(6, 4)) for _ in range(3)),
        mistakes={
            "that is the code as it was": lambda q, k, v: _softmax(q @ k.T / q.shape[-1], 0) @ v,
            "the scores are not divided at all: softmax becomes a hard choice": lambda q, k, v: _softmax(q @ k.T) @ v,
            "one bug is left: divide by the square root of d, not by d": lambda q, k, v: _softmax(q @ k.T / q.shape[-1]) @ v,
            "one bug is left: softmax goes over the keys": lambda q, k, v: _softmax(q @ k.T / np.sqrt(q.shape[-1]), 0) @ v,
            "those are the weights; multiply the values with them": lambda q, k, v: _softmax(q @ k.T / np.sqrt(q.shape[-1]))}),
    Number(
        "03.3",
        hints=("Each output channel has a table of 3 x 3 weights for each input channel, and one bias.", "64 x (32 x 9 + 1)"),
        worked="64 * (32 * 9 + 1) = 18,496",
        why="weights grow with the product of the widths: halving both quarters the network",
        right=18_496,
        tolerance=1e-4,
        mistakes={18_432: "the biases are missing: one for each output channel",
                  2_112: "the table is 3 x 3: nine weights, not one",
                  576: "each output channel looks at all 32 input channels",
                  18_464: "one bias for each output channel: 64 of them"}),
    Number(
        "03.4",
        hints=("How many times more places? Each place is compared with each.", "Four times the places, squared."),
        worked="4 times the places, so 4 * 4 = 16 times the pairs",
        why="this is why attention sits at the bottom, where places are few",
        right=16,
        mistakes={4: "that is how many times more places; pairs of them are asked for",
                  2: "twice as high and twice as wide: how many places is that?",
                  8: "the pairs go with the square of the number of places",
                  256: "that would be for an image four times as high and as wide"}),
)

EXERCISES: tuple[Exercise, ...] = (*_START, *_FORWARD, *_BACKWARD, *_UNET)
