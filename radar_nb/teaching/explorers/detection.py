"""Explorers of detection: noise maps and their statistics, and the Isolation Forest's border."""

from collections.abc import Iterable, Mapping
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
from radar_nb.teaching.explorers.texts import TEXTS

_KINDS = ((False, NORMAL, "o", "normal"), (True, ANOMALOUS, "^", "defective"))


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
    words = TEXTS["explore_noise_map"]
    labels, gaussian = words["axes"], words["legend"]["gaussian"]

    def draw_values(axes):
        axes.plot(x, stats.norm.pdf(x), color=ANOMALOUS, label=gaussian)
        axes.set(xlim=spread, ylim=(1e-4, 3), yscale="log", xlabel=labels["value"], ylabel=labels["density"])
        axes.legend(loc="upper right")

    def draw_line(axes):
        axes.plot([-4, 4], [-4, 4], color=ANOMALOUS, label=gaussian)
        axes.set(xlim=(-4, 4), ylim=spread, xlabel=labels["expected"], ylabel=labels["measured"])
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
        text = words["text"].format(image=image, t=t, reading=reading, std=found["std"], limit=limit,
                                    kurtosis=found["excess_kurtosis"], distance=found["ks_distance"])
        pictures = enlarged(images[image]), coloured(map_, limit, signed=True), histogram, quantiles
        return dict(zip(words["titles"].values(), pictures, strict=True)), text

    names = words["labels"]
    controls = {"image": dropdown(names["image"], images, 1), "t": slider(names["t"], 1, 0, 999),
                "reading": _buttons(names["reading"], READINGS)}
    return Explorer("explore_noise_map", words["alt"], controls, draw)


def _buttons(label: str, options: Iterable[str]) -> widgets.ToggleButtons:
    return widgets.ToggleButtons(options=list(options), **described(label) | {"layout": {"width": "48em"}})


def explore_features(detector: RadarDetector, features: np.ndarray, labels: np.ndarray) -> Explorer:
    """The feature plane and the Isolation Forest's border, by contamination and number of points (Fig. 1).
    The view holds all images, or the calibration images' cloud from near, where the border can be watched.

    Args:
        detector: fitted; features: of the images to judge, `(N, 2)`; labels: `(N,)` bool, True for defective.
    """
    labels, learnt = np.asarray(labels, bool), detector.calibration_features_
    words = TEXTS["explore_features"]
    views = {words["views"]["all"]: _view(features, labels, np.concatenate([features, learnt])),
             words["views"]["near"]: _view(features, labels, learnt)}

    forest_of = lru_cache(lambda count: grow_forest(learnt, count, detector.random_state))
    counts = forest_sizes(learnt)

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
        text = words["text"].format(contamination=contamination, count=count, alarms=alarms, good=good,
                                    found=found, bad=int(labels.sum())) + (words["few"] if count < 40 else "")
        return {words["titles"]["plane"]: picture}, text

    names = words["labels"]
    several = widgets.SelectionSlider(options=counts, value=counts[-1], **described(names["count"]))
    controls = {"contamination": slider(names["contamination"], 0.05, 0.01, 0.5, 0.01), "count": several,
                "view": _buttons(names["view"], views)}
    return Explorer("explore_features", words["alt"], controls, draw)


def forest_sizes(learnt: np.ndarray) -> list[int]:
    """From how many of some points `(N, 2)` forests are grown: 5, 10, 20, 40, 80, and all."""
    return [count for count in (5, 10, 20, 40, 80) if count < len(learnt)] + [len(learnt)]


def grow_forest(learnt: np.ndarray, count: int, random_state: int) -> tuple[np.ndarray, QuickIsolationForest]:
    """`count` of some points `(N, 2)`, the same ones at each call, and an Isolation Forest of them."""
    points = learnt[np.random.default_rng(0).permutation(len(learnt))[:count]]
    return points, QuickIsolationForest(n_estimators=100, random_state=random_state).fit(points)


def _view(features: np.ndarray, labels: np.ndarray, held: np.ndarray) -> tuple[Backdrop, np.ndarray]:
    """The part of the feature plane that holds some points, with a rim: a picture, and its places."""
    low, high = held.min(axis=0), held.max(axis=0)
    rim = 0.1 * np.maximum(high - low, 1e-6 + 1e-6 * np.abs(high))
    low, high = low - rim, high + rim

    names = TEXTS["explore_features"]["axes"]

    def draw(axes):
        for value, colour, marker, name in _KINDS:
            axes.scatter(*features[labels == value].T, s=26, c=colour, marker=marker, label=name, alpha=0.8)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel=names["global"],
                 ylabel=names["local"])
        axes.legend(loc="lower right")

    grid = np.stack(np.meshgrid(np.linspace(low[0], high[0], 160), np.linspace(high[1], low[1], 110)),
                    axis=-1)  # first row on top
    return Backdrop(draw, width=7, height=5), grid
