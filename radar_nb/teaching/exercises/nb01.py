"""Exercises of notebook 01: forward diffusion."""

import numpy as np

from radar_nb.teaching.exercises.kinds import Code, Exercise, Number


def _two_vectors(rng, shares=1):
    """Two vectors, then numbers between 0.1 and 0.9."""
    return (rng.normal(size=7), rng.normal(size=7), *rng.uniform(0.1, 0.9, shares))


def _timestep_at(decibels):
    """The timestep at which the forward process of notebook 01 has that signal-to-noise ratio."""
    a_t = np.cumprod(1 - np.linspace(0.0001, 0.02, 1000))
    return int(np.argmin(np.abs(10 * np.log10(a_t / (1 - a_t)) - decibels)))


EXERCISES: tuple[Exercise, ...] = (
    Code(
        "01.1",
        hints=("Look at the weights: what do their squares add to?",
               "Variances a_t and 1 - a_t add to 1; the weights are their square roots."),
        worked="def mended(x0, eps, a_t):\n    return np.sqrt(a_t) * x0 + np.sqrt(1 - a_t) * eps",
        why="with the roots the variances add to 1, so the scale stays the same at every t",
        right=lambda x0, eps, a_t: np.sqrt(a_t) * x0 + np.sqrt(1 - a_t) * eps,
        draw=_two_vectors,
        mistakes={
            "that is the line as it was: something is missing around both weights":
                lambda x0, eps, a_t: a_t * x0 + (1 - a_t) * eps,
            "image and noise have changed places":
                lambda x0, eps, a_t: np.sqrt(1 - a_t) * x0 + np.sqrt(a_t) * eps,
            "the noise has its full strength at every t: give it a weight too":
                lambda x0, eps, a_t: np.sqrt(a_t) * x0 + eps,
            "1 - sqrt(a_t) is not sqrt(1 - a_t)":
                lambda x0, eps, a_t: np.sqrt(a_t) * x0 + (1 - np.sqrt(a_t)) * eps,
            "only one of the two weights is mended":
                lambda x0, eps, a_t: np.sqrt(a_t) * x0 + (1 - a_t) * eps}),
    Code(
        "01.2",
        hints=("Solve the forward step for x0.", "Subtract the noise's share, then divide by the image's."),
        worked="def image_from(x_t, eps, a_t):\n    return (x_t - np.sqrt(1 - a_t) * eps) / np.sqrt(a_t)",
        why="if you know the noise, you know the image; so a network that predicts noise can clean images",
        right=lambda x_t, eps, a_t: (x_t - np.sqrt(1 - a_t) * eps) / np.sqrt(a_t),
        draw=_two_vectors,
        mistakes={
            "you subtracted the noise, but did not divide by the image's weight":
                lambda x_t, eps, a_t: x_t - np.sqrt(1 - a_t) * eps,
            "divide by the square root of a_t, not by a_t":
                lambda x_t, eps, a_t: (x_t - np.sqrt(1 - a_t) * eps) / a_t,
            "the noise had a weight when it was added: subtract with the same weight":
                lambda x_t, eps, a_t: (x_t - eps) / np.sqrt(a_t),
            "the square root over 1 - a_t is missing":
                lambda x_t, eps, a_t: (x_t - (1 - a_t) * eps) / np.sqrt(a_t)}),
    Number(
        "01.3",
        hints=("Ten times in power is how many decibels? Which of the two is the stronger one?",
               "Read the right picture at -10 dB."),
        worked=f"the curve passes -10 dB at t = {_timestep_at(-10)}",
        why="ten times the noise's power comes at half of the way: the second half of the process is nearly "
            "all noise",
        right=_timestep_at(-10),
        tolerance=0.06,  # read with the eye
        mistakes={_timestep_at(0): "there both are equally strong: 0 dB",
                  _timestep_at(10): "there the image is ten times stronger: +10 dB; read below zero",
                  _timestep_at(-20): "that is -20 dB, a hundred times; ten times is 10 dB"}),
    Code(
        "01.4",
        hints=("A product over steps: the first is step 0. Which is the last?",
               "np.prod over betas[:t + 1], since a slice leaves its end out."),
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
            "those are the shares at all timesteps; give the one at t":
                lambda betas, t: np.cumprod(1 - betas)}),
)
