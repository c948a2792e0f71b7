"""The exercises of notebooks 04 to 07, in their order. `checking` says what they are made of."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from radar_nb.teaching.exercises.kinds import Choice, Code, Exercise, Number


def _windows(map_, window):
    """L2 norm of each window, over its side: the root of the mean square."""
    return np.sqrt(sliding_window_view(np.square(map_), (window, window)).mean(axis=(2, 3)))


def _two_maps(rng):
    return tuple(rng.normal(size=(4, 5)) for _ in range(2))


_TRAINING = (
    Code(
        "04.1",
        hints=("What happens to a mistake of +1 at one pixel and -1 at another?", "Square first, then take the mean."),
        worked="def mended(eps, predicted):\n    return ((eps - predicted) ** 2).mean()",
        why="the buggy loss is 0 for any answer that is right on average, so the network would learn next to nothing",
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
        hints=("Mostly the old average, a little of the new weights.", "decay is the share of the old, the rest is the share of the new."),
        worked="def ema(average, weights, decay):\n    return decay * average + (1 - decay) * weights",
        why="averaged weights rattle less than the last ones, so the average is what is kept",
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
                  2_048_000: "the number of images does not matter: a step draws 32 patches from any of them"}),
    Choice(
        "04.4",
        hints=("Where is the added noise hard to tell from the surface's own grain?", "With much noise, nearly all of the picture is the answer."),
        worked="a: weak noise looks just like the surface's own grain. At large t nearly all of x_t is noise, and there is little left to get wrong.",
        why="it is also why the loss jumps from step to step: each batch draws its own timesteps",
        right="a",
        mistakes={"b": "half image and half noise can be told apart quite well",
                  "c": "there x_t is nearly nothing but noise: giving x_t back is nearly right",
                  "d": "the target has variance 1 at every t, but it is not equally easy to see"}),
)

_MAPS = (
    Code(
        "05.1",
        hints=("Bring to mean 0 and deviation 1, then the mean of the fourth power.", "A Gaussian gives 3; excess kurtosis takes that off."),
        worked="def excess_kurtosis(x):\n    z = (x - x.mean()) / x.std()\n    return (z**4).mean() - 3",
        why="0 for a Gaussian, positive where rare values are far out, as at a defect",
        right=lambda x: (((x - x.mean()) / x.std()) ** 4).mean() - 3,
        draw=lambda rng: (rng.standard_t(4, 300) * 2 + 1,),
        mistakes={
            "that is the kurtosis; excess is what is above a Gaussian's 3": lambda x: (((x - x.mean()) / x.std()) ** 4).mean(),
            "divide by the deviation, not by the variance": lambda x: (((x - x.mean()) / x.var()) ** 4).mean() - 3,
            "take the mean off first": lambda x: ((x / x.std()) ** 4).mean() - 3,
            "divide by the deviation first": lambda x: ((x - x.mean()) ** 4).mean() - 3,
            "that is the skewness, the third power": lambda x: (((x - x.mean()) / x.std()) ** 3).mean()}),
    Number(
        "05.2",
        hints=("Mix the second powers and the fourth powers: 0.9 of one and 0.1 of the other.",
               "Variance 0.9 * 1 + 0.1 * 9 = 1.8. Fourth power 3 * (0.9 * 1 + 0.1 * 81) = 27. Divide by the variance squared, take 3 off."),
        worked="27 / 1.8**2 - 3 = 5.33",
        why="two bells of different width make no bell: a defect shows in the tails although it covers a tenth of the pixels",
        right=27 / 1.8**2 - 3,
        tolerance=0.02,
        mistakes={27 / 1.8**2: "that is the kurtosis; take a Gaussian's 3 off",
                  0: "each part is a bell, but their mixture is not",
                  24: "bring the mixture to variance 1 first: divide by its variance squared",
                  12: "divide by the variance squared, not by the variance"}),
    Choice(
        "05.3",
        hints=("The mean and the spread were taken off before drawing: only the shape is left.",
               "At the right end the values lie above the line: are they farther out or less far out than a Gaussian's?"),
        worked="a: the rarest values are farther out than a Gaussian of the same spread would have them. Heavy tails.",
        why="a Q-Q plot shows at a glance which part of a distribution is not Gaussian; a histogram hides the tails",
        right="a",
        mistakes={"b": "then the ends would bend the other way, towards the middle",
                  "c": "the mean was taken off: it cannot show",
                  "d": "the spread was divided out: a wide Gaussian lies on the line"}),
    Choice(
        "05.4",
        hints=("residual = predicted - added.", "A perfect network predicts just what was added."),
        worked="d: zero everywhere. All that a residual map shows is the network's imperfection.",
        why="on normal surface the imperfection is small; on a defect the network has never been taught, so it is large",
        right="d",
        mistakes={"a": "that is the reading called predicted: the added noise has not been taken off",
                  "b": "the image never enters: both terms are noise",
                  "c": "a perfect network knows the noise in front of any normal image, so nothing is left"}),
)

_SOBEL = (
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
            "that depends on the direction of the edge: use squares and a root": lambda x, y: np.abs(x) + np.abs(y),
            "that is one direction only": lambda x, y: np.abs(x),
            "one number for each pixel is asked for, not one for the whole map": lambda x, y: np.sqrt((x**2 + y**2).sum())}),
    Code(
        "06.2",
        hints=("What makes the feature local?", "A mean over all windows sees the whole map; the worst window alone is asked for."),
        worked="def mended(sobel, window):\n    windows = np.lib.stride_tricks.sliding_window_view(sobel, (window, window))\n"
               "    return np.sqrt((windows**2).sum(axis=(-2, -1))).max() / window",
        why="the mean of all windows is nearly the global norm; the maximum is what makes the feature local",
        right=lambda s, w: _windows(s, w).max(),
        draw=lambda rng: (rng.normal(1, 2, (9, 11)), int(rng.integers(2, 5))),
        mistakes={
            "that is the code as it was": lambda s, w: _windows(s, w).mean(),
            "the square root was lost": lambda s, w: np.square(_windows(s, w)).max() * w,
            "that is the largest pixel; sum over a window first": lambda s, w: np.abs(s).max(),
            "you forgot to divide by the window's side": lambda s, w: _windows(s, w).max() * w,
            "the windows overlap: move by one pixel, not by a window": lambda s, w: _windows(s, w)[::w, ::w].max(),
            "those are all windows; one number is asked for": _windows}),
    Number(
        "06.3",
        hints=("Add up the squares: 16,384 - 64 pixels of 1 and 64 pixels of 10.", "np.sqrt((16320 * 1 + 64 * 100) / 16384), and compare with 1."),
        worked="np.sqrt((16320 + 6400) / 16384) = 1.178, so 17.8 % more",
        why="in a window of 8 pixels the same defect rises tenfold: small defects live in the local norm",
        right=100 * (np.sqrt((16320 + 6400) / 16384) - 1),
        tolerance=0.02,
        mistakes={100 * ((16320 + 6400) / 16384 - 1): "the square root is missing",
                  100 * ((16320 + 640) / 16384 - 1): "that is the rise of the mean; square first, take the root last",
                  900: "that is the local norm of a window on the defect; the global norm is over all pixels",
                  100 * np.sqrt((16320 + 6400) / 16384): "that is the new norm in percent of the old; by how much does it rise?"}),
    Choice(
        "06.4",
        hints=("Sobel is made of differences: what becomes of a difference when both values double?", "The forest still remembers the old cloud."),
        worked="b: both norms double, the point leaves the cloud of normal images, and the image is called anomalous although nothing is broken.",
        why="a change of camera gain needs a new calibration",
        right="b",
        mistakes={"a": "a difference of doubled values is doubled: Sobel takes off what is added, not what is multiplied",
                  "c": "the norm is a root of a sum of squares: 2 comes out as 2, not as 4",
                  "d": "both norms are proportional to the map"}),
)

_FOREST = (
    Code(
        "07.1",
        hints=("Are anomalous images those with low or those with high scores here?", "Low is anomalous, so the threshold is the low quantile."),
        worked="def mended(scores, contamination):\n    return np.quantile(scores, contamination)",
        why="normal images alone set it; no defect is needed",
        right=lambda s, c: np.quantile(s, c),
        draw=lambda rng: (rng.normal(-0.5, 0.1, 40), rng.uniform(0.02, 0.3)),
        mistakes={
            "that is the code as it was: nearly all normal images would be called anomalous": lambda s, c: np.quantile(s, 1 - c),
            "that lets no normal image be called anomalous, whatever the contamination": lambda s, c: s.min(),
            "np.percentile counts to 100": lambda s, c: np.percentile(s, c),
            "the contamination is a share of images, not of the range": lambda s, c: s.min() + c * (s.max() - s.min())}),
    Code(
        "07.2",
        hints=("Two kinds of images, each with its own share, rate and price.",
               "Normal images are the share 1 - defective; each costs alarm_rate * alarm_price on average."),
        worked="def cost(alarm_rate, miss_rate, alarm_price, miss_price, defective):\n"
               "    return (1 - defective) * alarm_rate * alarm_price + defective * miss_rate * miss_price",
        why="rare defects and cheap alarms pull in opposite directions; only the sum tells which contamination pays",
        right=lambda a, m, pa, pm, d: (1 - d) * a * pa + d * m * pm,
        draw=lambda rng: (rng.uniform(0.01, 0.3), rng.uniform(0.01, 0.5), rng.uniform(1, 5), rng.uniform(50, 900), rng.uniform(0.01, 0.2)),
        mistakes={
            "weigh both kinds by how often they come: most images are normal": lambda a, m, pa, pm, d: a * pa + m * pm,
            "false alarms come from normal images only: weigh them by 1 - defective": lambda a, m, pa, pm, d: a * pa + d * m * pm,
            "the shares have changed places": lambda a, m, pa, pm, d: d * a * pa + (1 - d) * m * pm,
            "the prices have changed places": lambda a, m, pa, pm, d: (1 - d) * a * pm + d * m * pa,
            "the missed defects are missing": lambda a, m, pa, pm, d: (1 - d) * a * pa}),
    Number(
        "07.3",
        hints=("5 images are to be 1 % of all.", "5 / 0.01"),
        worked="5 / 0.01 = 500",
        why="a rare quantile of few points is a guess: small false-alarm rates need many normal images",
        right=500,
        mistakes={100: "then only one image lies below the threshold",
                  50: "1 % of 50 is half an image; divide by 0.01, not by 0.1",
                  5: "all five would lie below the 100 % quantile; 1 % is asked for",
                  20: "that would be 5 / 0.25"}),
    Choice(
        "07.4",
        hints=("Look at the left picture to the right of the grey bar.", "Where do all the cuts fall?"),
        worked="c: the same score. All cuts fall between the smallest and the largest calibration point, so nothing tells the two apart.",
        why="beyond the cloud the score is flat, so a huge defect may count as a slightly unusual normal image",
        right="c",
        mistakes={"a": "the forest measures no distance: that would be the Mahalanobis distance on the right",
                  "b": "higher, yes, up to the edge of the cloud; both points lie beyond it",
                  "d": "the score never falls on the way out"}),
)

EXERCISES: tuple[Exercise, ...] = (*_TRAINING, *_MAPS, *_SOBEL, *_FOREST)
