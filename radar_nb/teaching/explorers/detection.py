"""Explorers of detection: noise maps and their statistics, and the Isolation Forest's border."""

from collections.abc import Mapping
from functools import lru_cache

import ipywidgets as widgets
import numpy as np
import torch
from diffusers import UNet2DModel
from scipy import stats

from radar_nb.data.dataset import Dataset
from radar_nb.data.images import to_tensor
from radar_nb.figures import ACCENT, ANOMALOUS, NORMAL
from radar_nb.method.detector import RadarDetector
from radar_nb.method.forest import QuickIsolationForest
from radar_nb.method.noise_map import READINGS, gaussian_statistics, noise_map, whole_image
from radar_nb.teaching.explorers.panel import (
    Backdrop,
    Explorer,
    coloured,
    described,
    dots,
    dropdown,
    enlarged,
    slider,
)

_KINDS = ((False, NORMAL, "o", "normal"), (True, ANOMALOUS, "^", "defective"))
SHADED = ("Test images as points in the plane of global and local norm, and the region that the Isolation "
          "Forest calls normal.")


def examples(data: Dataset) -> dict[str, np.ndarray]:
    """A test image of each kind by name, a normal one first."""
    kinds = sorted(dict.fromkeys(data.kinds), key=lambda kind: kind != "good")
    return {kind: data.test[data.kinds.index(kind)] for kind in kinds}


def explore_noise_map(unet: UNet2DModel, images: Mapping[str, np.ndarray], seed: int = 0) -> Explorer:
    """The noise map by image, t and reading, and how Gaussian it is (paper Fig. 4, eq. 3).

    Args:
        images: name to image, see `examples`; seed: of the noise of the readings that add some.
    """
    x, edges, spread = np.linspace(-8, 8, 200), np.linspace(-8, 8, 65), (-8, 8)

    def draw_values(axes):
        axes.plot(x, stats.norm.pdf(x), color=ANOMALOUS, label="Gaussian")
        axes.set(xlim=spread, ylim=(1e-4, 3), yscale="log", xlabel="value, in standard deviations",
                 ylabel="density (log scale)")
        axes.legend(loc="upper right")

    def draw_line(axes):
        axes.plot([-4, 4], [-4, 4], color=ANOMALOUS, label="Gaussian")
        axes.set(xlim=(-4, 4), ylim=spread, xlabel="quantile of a Gaussian", ylabel="quantile of the map")
        axes.legend(loc="upper left")

    values, line = Backdrop(draw_values), Backdrop(draw_line)

    def draw(image, t, reading):
        x0 = to_tensor(images[image])[None]
        eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(seed))
        map_ = noise_map(whole_image(unet), x0, t, reading, eps)[0].mean(0).numpy()
        standard = np.sort((map_ - map_.mean()).ravel() / map_.std())
        histogram, pen = values.copy()
        values.bars(pen, edges, np.histogram(standard, edges, density=True)[0])
        expected = np.linspace(*stats.norm.ppf([0.5 / len(standard), 1 - 0.5 / len(standard)]), 120)
        quantiles, pen = line.copy()
        measured = standard[(stats.norm.cdf(expected) * len(standard)).astype(int)]
        dots(pen, line.inside(line.pixels(expected, measured)), NORMAL, 4)
        limit, found = 1.5 if reading == "noise_free" or t < 10 else 3, gaussian_statistics(map_)
        text = (f"{image}, t = {t}, {reading}: deviation {found['std']:.2f}, excess kurtosis "
                f"{found['excess_kurtosis']:.1f}, KS distance {found['ks_distance']:.2f} "
                f"(a Gaussian has 0 and 0). Colours run from -{limit} to {limit}.")
        return {"image": enlarged(images[image]), "noise map": coloured(map_, limit, signed=True),
                "histogram": histogram, "Q-Q plot": quantiles}, text

    reading = widgets.ToggleButtons(options=READINGS, **described("reading") | {"layout": {"width": "48em"}})
    controls = {"image": dropdown("image", images, 1), "t": slider("timestep t", 1, 0, 999),
                "reading": reading}
    seen = "An image, its noise map, the histogram of the map and its Q-Q plot against a Gaussian."
    return Explorer("explore_noise_map", seen, controls, draw)


def explore_features(detector: RadarDetector, features: np.ndarray, labels: np.ndarray) -> Explorer:
    """The feature plane and the Isolation Forest's border, by contamination and number of points (Fig. 1).
    The view holds all images, or the calibration images' cloud from near, where the border can be watched.

    Args:
        detector: fitted; features: of the images to judge, `(N, 2)`; labels: `(N,)` bool, True for defective.
    """
    labels, learnt = np.asarray(labels, bool), detector.calibration_features_
    counts = [count for count in (5, 10, 20, 40, 80) if count < len(learnt)] + [len(learnt)]
    views = {"all images": _view(features, labels, np.concatenate([features, learnt])),
             "the cloud of normal images": _view(features, labels, learnt)}

    @lru_cache
    def forest_of(count):
        points = learnt[np.random.default_rng(0).permutation(len(learnt))[:count]]
        return points, QuickIsolationForest(n_estimators=100, random_state=detector.random_state).fit(points)

    @lru_cache
    def scores_of(count, view):
        points, forest = forest_of(count)
        return [forest.score_samples(values)
                for values in (points, views[view][1].reshape(-1, 2), features)]

    def draw(contamination, count, view):
        points, (plane, grid) = forest_of(count)[0], views[view]
        own, everywhere, scores = scores_of(count, view)
        threshold = np.quantile(own, contamination)
        picture, pen = plane.copy()
        plane.tint(picture, (everywhere >= threshold).reshape(grid.shape[:2]), NORMAL)
        if count < 40:
            seen = plane.pixels(*points.T)
            dots(pen, seen[(plane.inside(seen) == seen).all(axis=1)], ACCENT, 7, "black")
        called = scores < threshold
        alarms, found, good = int(called[~labels].sum()), int(called[labels].sum()), int((~labels).sum())
        text = (f"contamination {contamination:.2f}, learnt from {count} points. False alarms: {alarms} of "
                f"{good} normal images. Found: {found} of {int(labels.sum())} defective images. "
                "Shaded: what the forest calls normal."
                + (" Orange: what it has learnt from." if count < 40 else ""))
        return {"feature plane": picture}, text

    several = widgets.SelectionSlider(options=counts, value=counts[-1], **described("learnt from"))
    near = widgets.ToggleButtons(options=list(views), **described("view") | {"layout": {"width": "48em"}})
    controls = {"contamination": slider("contamination", 0.05, 0.01, 0.5, 0.01), "count": several,
                "view": near}
    return Explorer("explore_features", SHADED, controls, draw)


def _view(features: np.ndarray, labels: np.ndarray, held: np.ndarray) -> tuple[Backdrop, np.ndarray]:
    """The part of the feature plane that holds some points, with a rim: a picture, and its places."""
    low, high = held.min(axis=0), held.max(axis=0)
    rim = 0.1 * np.maximum(high - low, 1e-6 + 1e-6 * np.abs(high))
    low, high = low - rim, high + rim

    def draw(axes):
        for value, colour, marker, name in _KINDS:
            axes.scatter(*features[labels == value].T, s=26, c=colour, marker=marker, label=name, alpha=0.8)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="global norm", ylabel="local norm")
        axes.legend(loc="lower right")

    grid = np.stack(np.meshgrid(np.linspace(low[0], high[0], 160), np.linspace(high[1], low[1], 110)),
                    axis=-1)  # first row on top
    return Backdrop(draw, width=7, height=5), grid
