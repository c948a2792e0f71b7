"""Reads the tables of `results/` and says how sure we can be: means, intervals, differences in pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from radar_nb.comparison import METHODS, RESULTS, read_csv
from radar_nb.datasets import NAMED
from radar_nb.images import InputError


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve from ranks, ties counted half; `labels` `(N,)` bool. A hundred times faster than a curve."""
    positive = labels.sum()
    return float((rankdata(scores)[labels].sum() - positive * (positive + 1) / 2) / (positive * (len(labels) - positive)))


def f1(labels: np.ndarray, anomalous: np.ndarray) -> float:
    """F1 of decisions; 0 where nothing is found."""
    return 2 * float(np.sum(labels & anomalous)) / max(1, labels.sum() + anomalous.sum())


def precision(labels: np.ndarray, anomalous: np.ndarray) -> float:
    """Share of the images called anomalous that are; 0 where none is called so."""
    return float(np.sum(labels & anomalous)) / max(1, anomalous.sum())


def recall(labels: np.ndarray, anomalous: np.ndarray) -> float:
    """Share of the defective images that are found."""
    return float(np.sum(labels & anomalous)) / labels.sum()


def accuracy(labels: np.ndarray, anomalous: np.ndarray) -> float:
    """Share of the images that are judged rightly."""
    return float(np.mean(labels == anomalous))


STATISTICS = {"image_auroc": auroc, "f1": f1, "precision": precision, "recall": recall, "accuracy": accuracy}


class Evidence:
    """The tables that `python -m radar_nb compare` wrote.

    Args:
        folder: holds `comparison.csv`, `images/*.csv`, and, where measured, `timing.csv`, `ablations.csv`, `normality.csv`.

    Raises:
        InputError: there is no `comparison.csv`.
    """

    def __init__(self, folder: str | Path = RESULTS):
        self.folder = Path(folder)
        if not (self.folder / "comparison.csv").is_file():
            raise InputError(f"{self.folder / 'comparison.csv'}: no such file; `python -m radar_nb compare` writes it")
        self.rows = read_csv(self.folder / "comparison.csv")

    def table(self, name: str) -> list[dict]:
        """The rows of another table of the folder; none if it was not measured."""
        path = self.folder / f"{name}.csv"
        return read_csv(path) if path.is_file() else []

    def datasets(self) -> list[str]:
        """Which data sets were measured."""
        return list(dict.fromkeys(row["dataset"] for row in self.rows))

    def methods(self, dataset: str) -> list[str]:
        """Which methods were measured on a data set, in the order of `METHODS`."""
        found = {row["method"] for row in self.rows if row["dataset"] == dataset}
        return [name for name in METHODS if name in found]

    def seeds(self, dataset: str, *methods: str) -> list[int]:
        """The seeds with which all these methods were measured."""
        found = [{int(row["seed"]) for row in self.rows if row["dataset"] == dataset and row["method"] == method} for method in methods]
        return sorted(set.intersection(*found))

    def over_seeds(self, dataset: str, method: str, metric: str) -> np.ndarray:
        """A metric of `comparison.csv`, a value a seed."""
        return np.array([row[metric] for row in self.rows
                         if row["dataset"] == dataset and row["method"] == method and row[metric] is not None], float)

    @cache  # noqa: B019 - a handful of small tables, kept as long as the object
    def said(self, dataset: str, seed: int, method: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What a method said of each test image: labels, scores, decisions, `(N,)` each."""
        rows = [row for row in self._images(dataset) if row["seed"] == seed]
        return (np.array([row["kind"] != "good" for row in rows]), np.array([row[f"{method}_score"] for row in rows], float),
                np.array([row[f"{method}_anomalous"] for row in rows], float) > 0.5)

    @cache  # noqa: B019
    def _images(self, dataset: str) -> list[dict]:
        return read_csv(self.folder / "images" / f"{dataset}.csv")

    def interval(self, dataset: str, method: str, metric: str) -> Estimate:
        """Mean over seeds of an image metric, with its bootstrap interval."""
        return self._bootstrap(dataset, (method,), metric, lambda values: values[0])

    def difference(self, dataset: str, first: str, second: str, metric: str = "f1") -> Estimate:
        """`first` minus `second` on the same images and seeds: mean over seeds, with its paired bootstrap interval."""
        return self._bootstrap(dataset, (first, second), metric, lambda values: values[0] - values[1])

    def next_best(self, dataset: str, metric: str = "f1", families: Sequence[str] = ("reconstruction", "statistical")) -> str | None:
        """The method of these families with the largest mean; it is picked on test images, against RADAR's favour."""
        names = [name for name in self.methods(dataset) if METHODS[name].family in families]
        return max(names, key=lambda name: self.over_seeds(dataset, name, metric).mean(), default=None)

    def _bootstrap(self, dataset: str, methods: tuple[str, ...], metric: str, combine, repeats: int = 1000) -> Estimate:
        """Seeds are drawn with replacement, then good and defective images apart.

        A made data set has other test images with each seed; a folder has the same, so there all seeds share one draw.
        """
        statistic, part = STATISTICS[metric], 1 if metric == "image_auroc" else 2
        seeds = self.seeds(dataset, *methods)
        said = {seed: [self.said(dataset, seed, method) for method in methods] for seed in seeds}

        def value(seed: int, index: np.ndarray | slice) -> float:
            return combine([statistic(entry[0][index], entry[part][index]) for entry in said[seed]])

        rng, samples = np.random.default_rng(0), []
        for _ in range(repeats):
            drawn, index = rng.choice(seeds, len(seeds)), None
            values = []
            for seed in drawn:
                if index is None or dataset in NAMED:
                    labels = said[seed][0][0]
                    index = np.concatenate([rng.choice(group, len(group)) for group in (np.flatnonzero(labels), np.flatnonzero(~labels))])
                values.append(value(int(seed), index))
            samples.append(np.mean(values))
        low, high = np.quantile(samples, [0.025, 0.975])
        return Estimate(float(np.mean([value(seed, slice(None)) for seed in seeds])), float(low), float(high))
