"""The tables of `results/` and how sure they are: means, intervals, differences in pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from radar_nb.data.named import NAMED
from radar_nb.experiments.methods import METHODS, RIVALS
from radar_nb.experiments.metrics import accuracy, auroc, f1, precision, recall, recall_at_5
from radar_nb.storage.errors import InputError
from radar_nb.storage.places import RESULTS, from_repository
from radar_nb.storage.tables import read_table


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def draw_images(labels: np.ndarray, repeats: int, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap samples of image numbers, `(repeats, N)`.

    Good and defective images are drawn separately, so that every sample has both.
    """
    groups = (np.flatnonzero(~labels), np.flatnonzero(labels))
    return np.concatenate([rng.choice(group, (repeats, len(group))) for group in groups], axis=1)


STATISTICS = {"image_auroc": auroc, "recall_at_5": recall_at_5, "f1": f1, "precision": precision,
              "recall": recall, "accuracy": accuracy}
OF_SCORES = ("image_auroc", "recall_at_5")  # the others are of decisions


class Evidence:
    """The tables that `python -m radar_nb compare` wrote, as DataFrames.

    Args:
        folder: holds `comparison.csv`, `images/*.csv`, and, where measured, `bench.csv`, `networks.csv`,
            `ablations.csv`, `normality.csv`.

    Attributes:
        rows: `comparison.csv`.

    Raises:
        InputError: there is no `comparison.csv`.
    """

    def __init__(self, folder: str | Path = RESULTS):
        self.folder = from_repository("results") if folder == RESULTS else Path(folder)
        if not (self.folder / "comparison.csv").is_file():
            raise InputError(f"{self.folder / 'comparison.csv'}: no such file; "
                             "`python -m radar_nb compare` writes it")
        self.rows = read_table(self.folder / "comparison.csv")

    @cache  # noqa: B019 - a handful of small tables, kept as long as the object
    def table(self, name: str) -> pd.DataFrame:
        """Another table of the folder; empty if it was not measured."""
        path = self.folder / f"{name}.csv"
        return read_table(path) if path.is_file() else pd.DataFrame()

    def timing(self) -> pd.DataFrame:
        """The rows of `bench.csv` that time methods on single images, by method; empty if not measured."""
        bench = self.table("bench")
        if bench.empty:
            return bench
        return bench[(bench["batch"] == 1) & bench["method"].isin(METHODS)].set_index("method")

    def ablation(self, name: str, dataset: str) -> pd.DataFrame:
        """The points of one ablation on one data set, in their order.

        Those of the paper's recipe, if they are measured; else those of the noise-free one (`recipe`).
        """
        rows = self.table("ablations")
        if rows.empty:
            return rows
        rows = rows[(rows["ablation"] == name) & (rows["dataset"] == dataset)]
        papers = rows[rows["recipe"] == "paper"]
        return rows if papers.empty else papers

    def datasets(self) -> list[str]:
        """Which data sets were measured."""
        return list(self.rows["dataset"].unique())

    def methods(self, dataset: str) -> list[str]:
        """Which methods were measured on a data set, in the order of `METHODS`."""
        found = set(self.rows.loc[self.rows["dataset"] == dataset, "method"])
        return [name for name in METHODS if name in found]

    @cache  # noqa: B019
    def seeds(self, dataset: str, *methods: str) -> list[int]:
        """The seeds with which all these methods were measured."""
        return sorted(set.intersection(*(set(self._of(dataset, method).index) for method in methods)))

    @cache  # noqa: B019
    def value(self, dataset: str, seed: int, method: str, metric: str) -> float:
        """One metric of a method on one seed; computed from its scores where `comparison.csv` lacks it."""
        row = self._of(dataset, method).loc[seed]
        if metric in row and pd.notna(row[metric]):
            return float(row[metric])
        return float(self._statistic(metric, self.said(dataset, seed, method)))

    def over_seeds(self, dataset: str, method: str, metric: str) -> np.ndarray:
        """A metric of `comparison.csv`, one value for each seed; empty where it was not measured."""
        rows = self._of(dataset, method)
        return rows[metric].dropna().to_numpy(float) if metric in rows else np.array([])

    @cache  # noqa: B019
    def _of(self, dataset: str, method: str) -> pd.DataFrame:
        rows = self.rows[(self.rows["dataset"] == dataset) & (self.rows["method"] == method)]
        return rows.set_index("seed")

    @cache  # noqa: B019
    def said(self, dataset: str, seed: int, method: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What a method said of each test image: labels, scores, decisions, `(N,)` each."""
        images = self._images(dataset)[seed]
        return ((images["kind"] != "good").to_numpy(), images[f"{method}_score"].to_numpy(float),
                images[f"{method}_anomalous"].to_numpy(bool))

    @cache  # noqa: B019
    def _images(self, dataset: str) -> dict[int, pd.DataFrame]:
        return dict(list(read_table(self.folder / "images" / f"{dataset}.csv").groupby("seed")))

    def interval(self, dataset: str, method: str, metric: str) -> Estimate:
        """Mean over seeds of an image metric, with its bootstrap interval."""
        return self._estimate(dataset, metric, method)

    def difference(self, dataset: str, first: str, second: str, metric: str = "f1") -> Estimate:
        """`first` minus `second` on the same images and seeds: mean over seeds, with its paired interval."""
        return self._estimate(dataset, metric, first, second)

    def next_best(self, dataset: str, metric: str = "f1", families: Sequence[str] = RIVALS,
                  first: str = "radar") -> str | None:
        """The best method of these families, compared with `first` on the seeds that both were measured with.

        It is picked on test images, to RADAR's disadvantage. None if no method of them was measured.
        """
        def lead(name: str) -> float:
            def value(seed: int, which: str) -> float:
                return self.value(dataset, seed, which, metric)
            return float(np.mean([value(seed, name) - value(seed, first)
                                  for seed in self.seeds(dataset, first, name)]))

        names = [name for name in self.methods(dataset)
                 if METHODS[name].family in families and self.seeds(dataset, first, name)]
        return max(names, key=lead, default=None)

    @staticmethod
    def _statistic(metric: str, said: Sequence[np.ndarray],
                   index: np.ndarray | slice = slice(None)) -> np.ndarray:
        labels, scores, anomalous = said
        return STATISTICS[metric](labels[index], (scores if metric in OF_SCORES else anomalous)[index])

    def _estimate(self, dataset: str, metric: str, method: str, minus: str | None = None) -> Estimate:
        methods = (method, minus) if minus else (method,)
        seeds = tuple(self.seeds(dataset, *methods))
        values, samples = self._sampled(dataset, seeds, method, metric)
        if minus:
            less, fewer = self._sampled(dataset, seeds, minus, metric)
            values, samples = values - less, samples - fewer
        means = np.take_along_axis(samples, self._draws(dataset, seeds)[1], axis=1).mean(axis=1)
        return Estimate(float(np.mean(values)), *np.quantile(means, [0.025, 0.975]).tolist())

    @cache  # noqa: B019
    def _sampled(self, dataset: str, seeds: tuple[int, ...], method: str,
                 metric: str) -> tuple[np.ndarray, np.ndarray]:
        """A metric for each seed, `(S,)`, and for each bootstrap sample of its images, `(repeats, S)`."""
        said, draws = [self.said(dataset, seed, method) for seed in seeds], self._draws(dataset, seeds)[0]
        if metric in OF_SCORES:  # whole numbers in the order of the scores: a sample need not be sorted again
            said = [(labels, np.unique(scores, return_inverse=True)[1], anomalous)
                    for labels, scores, anomalous in said]
        samples = [self._statistic(metric, each, index) for each, index in zip(said, draws, strict=True)]
        return np.array([self._statistic(metric, each) for each in said]), np.stack(samples, axis=1)

    @lru_cache(4)  # noqa: B019 - a few megabytes each
    def _draws(self, dataset: str, seeds: tuple[int, ...],
               repeats: int = 1000) -> tuple[list[np.ndarray], np.ndarray]:
        """Draws images with replacement, good and defective ones separately, then seeds with replacement.

        A built-in data set has other test images for each seed. A folder's are the same for all seeds, so all
        seeds share one sample there.

        Returns:
            `(repeats, N)` numbers of images for each seed, and `(repeats, S)` places of seeds.
        """
        images, rng = self._images(dataset), np.random.default_rng(0)
        labels = [(images[seed]["kind"] != "good").to_numpy() for seed in seeds]
        draws = [draw_images(labels[0], repeats, rng)] * len(seeds)
        if dataset in NAMED:  # drawn after the others, so that published intervals stay as they are
            draws = [draw_images(each, repeats, rng) for each in labels]
        return draws, rng.integers(len(seeds), size=(repeats, len(seeds)))
