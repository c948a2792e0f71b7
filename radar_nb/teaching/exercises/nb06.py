"""Exercises of notebook 06: Sobel features."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from radar_nb.teaching.exercises.kinds import Choice, Code, Exercise, Number


def _windows(map_, window):
    """L2 norm of each window, over its side: the root of the mean square."""
    return np.sqrt(sliding_window_view(np.square(map_), (window, window)).mean(axis=(2, 3)))


def _two_maps(rng):
    return tuple(rng.normal(size=(4, 5)) for _ in range(2))


EXERCISES: tuple[Exercise, ...] = (
    Code(
        "06.1",
        hints=("Pythagoras.", "The root of the sum of the squares, pixel by pixel."),
        worked="def magnitude(down, across):\n    return np.sqrt(down**2 + across**2)",
        why="the same for an edge in any direction",
        right=lambda x, y: np.sqrt(x**2 + y**2),
        draw=_two_maps,
        mistakes={
            "the square root is missing": lambda x, y: x**2 + y**2,
            "slopes of opposite sign cancel: square them first": lambda x, y: x + y,
            "that depends on the direction of the edge: use squares and a root":
                lambda x, y: np.abs(x) + np.abs(y),
            "that is one direction only": lambda x, y: np.abs(x),
            "give one number for each pixel, not one for the whole map":
                lambda x, y: np.sqrt((x**2 + y**2).sum())}),
    Code(
        "06.2",
        hints=("What makes the feature local?",
               "A mean over all windows looks at the whole map; the local norm is that of the worst window."),
        worked="def mended(sobel, window):\n    windows = np.lib.stride_tricks.sliding_window_view(sobel, "
               "(window, window))\n"
               "    return np.sqrt((windows**2).sum(axis=(-2, -1))).max() / window",
        why="the mean of all windows is nearly the global norm; the maximum is what makes the feature local",
        right=lambda s, w: _windows(s, w).max(),
        draw=lambda rng: (rng.normal(1, 2, (9, 11)), int(rng.integers(2, 5))),
        mistakes={
            "that is the code as it was": lambda s, w: _windows(s, w).mean(),
            "the square root was lost": lambda s, w: np.square(_windows(s, w)).max() * w,
            "that is the largest pixel; sum over a window first": lambda s, w: np.abs(s).max(),
            "you forgot to divide by the window's side": lambda s, w: _windows(s, w).max() * w,
            "the windows overlap: move by one pixel, not by a window":
                lambda s, w: _windows(s, w)[::w, ::w].max(),
            "those are all windows; give one number": _windows}),
    Number(
        "06.3",
        hints=("Add up the squares: 16,384 - 64 pixels of 1 and 64 pixels of 10.",
               "np.sqrt((16320 * 1 + 64 * 100) / 16384), and compare with 1."),
        worked="np.sqrt((16320 + 6400) / 16384) = 1.178, so 17.8 % more",
        why="a window of 8 x 8 pixels on the defect rises tenfold, the paper's window of 20 x 20 fourfold: a "
            "small defect shows in the local norm",
        right=100 * (np.sqrt((16320 + 6400) / 16384) - 1),
        tolerance=0.02,
        mistakes={100 * ((16320 + 6400) / 16384 - 1): "the square root is missing",
                  100 * ((16320 + 640) / 16384 - 1): "that is the rise of the mean; square first, take the "
                                                     "root last",
                  900: "that is the local norm of a window on the defect; the global norm is over all pixels",
                  100 * np.sqrt((16320 + 6400) / 16384): "that is the new norm in percent of the old; by "
                                                         "how much does it rise?"}),
    Choice(
        "06.4",
        hints=("Blur and Sobel are sums and differences: what becomes of them when all values double?",
               "The forest still has the old cloud of normal images."),
        worked="b: both norms double, the point leaves the cloud of normal images, and the image is called "
               "anomalous although nothing is broken.",
        why="a change of camera gain needs a new calibration",
        right="b",
        mistakes={"a": "a difference of doubled values is doubled: Sobel removes what is added, not what "
                       "is multiplied",
                  "c": "the norm is a root of a sum of squares: 2 comes out as 2, not as 4",
                  "d": "both norms are proportional to the map"}),
)
