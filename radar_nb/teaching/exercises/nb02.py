"""Exercises of notebook 02: backward diffusion and reconstruction."""

import numpy as np

from radar_nb.teaching.exercises.kinds import Choice, Code, Exercise, Number


def _two_vectors(rng, shares=1):
    """Two vectors, then numbers between 0.1 and 0.9."""
    return (rng.normal(size=7), rng.normal(size=7), *rng.uniform(0.1, 0.9, shares))


EXERCISES: tuple[Exercise, ...] = (
    Code(
        "02.1",
        hints=("Guess x0 first, then go forward to the earlier timestep with the same noise.",
               "x0 = (x_t - sqrt(1 - a_t) eps) / sqrt(a_t); then the forward step with a_before."),
        worked="def ddim_step(x_t, eps, a_t, a_before):\n    x0 = (x_t - np.sqrt(1 - a_t) * eps) "
               "/ np.sqrt(a_t)\n"
               "    return np.sqrt(a_before) * x0 + np.sqrt(1 - a_before) * eps",
        why="no new noise is drawn, so the steps may be large",
        right=lambda x, e, a, b: np.sqrt(b) * (x - np.sqrt(1 - a) * e) / np.sqrt(a) + np.sqrt(1 - b) * e,
        draw=lambda rng: _two_vectors(rng, 2),
        mistakes={
            "that is the guess of x0 itself: continue to the earlier timestep":
                lambda x, e, a, b: (x - np.sqrt(1 - a) * e) / np.sqrt(a),
            "the noise of the earlier timestep is missing":
                lambda x, e, a, b: np.sqrt(b) * (x - np.sqrt(1 - a) * e) / np.sqrt(a),
            "the noise goes back with the share of the earlier timestep, not of t":
                lambda x, e, a, b: np.sqrt(b) * (x - np.sqrt(1 - a) * e) / np.sqrt(a) + np.sqrt(1 - a) * e,
            "a_t and a_before have changed places":
                lambda x, e, b, a: np.sqrt(b) * (x - np.sqrt(1 - a) * e) / np.sqrt(a) + np.sqrt(1 - b) * e}),
    Number(
        "02.2",
        hints=("Each step is one call.", "How many times does 12 fit into 100?"),
        worked="100 / 12 = 8.3, so 8 whole steps",
        why="the time for an image sets the number of steps; RADAR needs one, and leaves 88 ms for "
            "everything else",
        right=8,
        mistakes={9: "nine calls take 108 ms, too long",
                  100 / 12: "a step is a whole call: round down",
                  1200: "divide the time by the time of a call, do not multiply",
                  88: "that is the time left after one call"}),
    Choice(
        "02.3",
        hints=("Compare the first and the last picture of the top row: is the defect still there? And the "
               "beads?",
               "What is buried under much noise is lost, whether it is a defect or not."),
        worked="d: from t = 500 the whole surface has been replaced by another, so the difference is large "
               "everywhere.",
        why="too little noise keeps the defect, too much loses the surface: reconstruction works only "
            "in a narrow range",
        right="d",
        mistakes={"a": "that is what happens with too little noise, at t = 50",
                  "b": "the defect is gone there, but so is everything else: look at the difference outside "
                       "the outline",
                  "c": "the U-Net always gives back an image of the same size; look at the difference "
                       "itself"}),
)
