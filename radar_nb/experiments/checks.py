"""What a reviewer can check: each claim with the paper's number, ours, its table, and a cheap re-run."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from radar_nb.experiments.ablations import ABLATIONS, measure_normality, run_variant
from radar_nb.experiments.comparison import run_method
from radar_nb.experiments.detective import number_of_tables, sizes_that_fit, tables_that_fit, trivial_rows
from radar_nb.experiments.evidence import OF_SCORES, STATISTICS, Evidence
from radar_nb.experiments.methods import METHODS, RECONSTRUCTION
from radar_nb.experiments.paper_table import paper_table, published_size
from radar_nb.runs.kit import Kit

COMPARE = "python -m radar_nb compare --everything"
EXTRUSION_RIVAL = "forest_clustering_per_angle"  # the best of the paper's rivals on `extrusion`, by F1


class Rerun:
    """What a check may measure again: seed 0 at the cpu profile, with the released networks."""

    def __init__(self, evidence: Evidence, folder: str | Path):
        self.evidence, self.folder, self._found = evidence, Path(folder), {}

    def kit(self, dataset: str) -> Kit:
        """A kit whose run is empty, so that its network is the released one."""
        return Kit("cpu", dataset, 0, self.folder)

    def metric(self, dataset: str, method: str, metric: str) -> float:
        """One metric of a method; measured once in a call."""
        if (dataset, method) not in self._found:
            self._found[dataset, method] = run_method(method, self.kit(dataset))["metrics"]
        return self._found[dataset, method][metric]

    @cached_property
    def speed(self) -> float:
        """How many times as long as RADAR the reconstruction in 10 steps takes for an image of `printed`."""
        kit, seconds = self.kit("printed"), {}
        images, calibrate = kit.data.test[:6], kit.data.calibrate[:8]
        for name in ("radar", "ddim10"):
            detector = METHODS[name].build(kit, calibrate)
            times = []
            for image in images:
                began = time.perf_counter()
                detector.score_samples([image])
                times.append(time.perf_counter() - began)
            seconds[name] = float(np.median(times[1:]))
        return seconds["ddim10"] / seconds["radar"]


@dataclass(frozen=True)
class Check:
    """One row: a claim, the paper's number, ours, and how to see it again.

    `ours(evidence)` is text; `expected(evidence)` the value of a table; `rerun(rerun)` the same value,
    measured again; None where that takes too long. `quick` checks take seconds.
    """

    name: str
    claim: str
    paper: str
    ours: Callable[[Evidence], str]
    command: str
    file: str
    expected: Callable[[Evidence], float]
    tolerance: float
    why: str
    rerun: Callable[[Rerun], float] | None = None
    quick: bool = False


def disagreements(evidence: Evidence) -> int:
    """How many numbers of `comparison.csv` do not follow from the scores and decisions of `images/`."""
    wrong = 0
    for row in evidence.rows.to_dict("records"):
        said = evidence.said(row["dataset"], row["seed"], row["method"])
        for metric, statistic in STATISTICS.items():
            if pd.notna(row.get(metric, np.nan)):
                value = float(statistic(said[0], said[1 if metric in OF_SCORES else 2]))
                # Scores are kept with six digits, so the order of two may change.
                wrong += abs(value - row[metric]) > (1e-3 if metric in OF_SCORES else 1e-5)
    return wrong


# --- the checks


def _interval(dataset: str, metric: str, method: str = "radar") -> Callable[[Evidence], str]:
    return lambda evidence: f"{evidence.interval(dataset, method, metric)}, " \
                            f"{len(evidence.seeds(dataset, method))} seeds"


def _lead(dataset: str, rival: str) -> Callable[[Evidence], str]:
    return lambda evidence: f"{evidence.difference(dataset, 'radar', rival)}, " \
                            f"{len(evidence.seeds(dataset, 'radar', rival))} seeds"


def _table_value(dataset: str, metric: str, method: str = "radar") -> Callable[[Evidence], float]:
    return lambda evidence: evidence.value(dataset, 0, method, metric)


def _table_lead(dataset: str, rival: str, metric: str = "f1") -> Callable[[Evidence], float]:
    return lambda evidence: (evidence.value(dataset, 0, "radar", metric)
                             - evidence.value(dataset, 0, rival, metric))


def _again(dataset: str, metric: str, method: str = "radar") -> Callable[[Rerun], float]:
    return lambda rerun: rerun.metric(dataset, method, metric)


def _contamination(evidence: Evidence) -> float:
    rows = evidence.ablation("contamination", "printed")
    return float(rows.loc[rows["value"].astype(float) == 0.2, "f1"].iloc[0])


def _contamination_again(rerun: Rerun) -> float:
    variant = next(point for point in ABLATIONS["contamination"] if point.value == "0.2")
    return run_variant("contamination", variant, rerun.kit("printed"))["f1"]


def _normality(rows: pd.DataFrame) -> float:
    return float(rows[(rows["reading"] == "predicted") & (rows["timestep"] == 1)]["auroc"].iloc[0])


def _slowdown(evidence: Evidence) -> float:
    """In one run of the bench. Where the paper's reading is not timed, the noise-free one: one call, too."""
    timing = evidence.timing()["ms_median"]
    return float(timing["ddim10"] / timing["radar" if "radar" in timing.index else "radar_noise_free"])


def _slowdowns(evidence: Evidence) -> str:
    timing = evidence.timing()["ms_median"]
    own = timing["radar" if "radar" in timing.index else "radar_noise_free"]
    ratios = sorted(timing[name] / own for name in timing.index if METHODS[name].family == RECONSTRUCTION)
    return f"{ratios[0]:.0f} to {ratios[-1]:.0f} times as fast as reconstruction"


def _false_alarms() -> float:
    return float(tables_that_fit(paper_table("printed"), *published_size("printed"))
                 .loc["RADAR", "false_alarm_rate"])


def _tile_fits() -> int:
    return int(number_of_tables(paper_table("tile"), *published_size("tile")).sum())


def _tile_size() -> tuple[int, int]:
    sizes = sizes_that_fit(paper_table("tile"))[["positives", "negatives"]].to_numpy()
    return tuple(int(number) for number in sizes[0]) if len(sizes) == 1 else (0, 0)


_DETECTIVE = "notebook 09, section on reading a table"
CHECKS = (
    Check("tables", "Every number of the comparison follows from the stored scores.", "",
          lambda evidence: f"{len(evidence.rows)} rows", COMPARE, "results/comparison.csv, results/images/",
          lambda _: 0, 0, "exact", lambda rerun: disagreements(rerun.evidence), quick=True),
    Check("printed table", "RADAR's false-alarm rate behind Table I, printed material.", "not printed",
          lambda _: f"{_false_alarms():.3f}: 12 of 40", _DETECTIVE, "radar_nb/experiments/paper.csv",
          lambda _: 12 / 40, 0, "exact", lambda _: _false_alarms(), quick=True),
    Check("tile table", "Tables of MVTec's 84 + 33 images that give the printed digits, all six methods.",
          "84 + 33 is MVTec AD's published size", lambda _: f"{_tile_fits()} tables", _DETECTIVE,
          "radar_nb/experiments/paper.csv", lambda _: 0, 0, "exact", lambda _: _tile_fits(), quick=True),
    Check("tile trivial", "F1 of calling everything anomalous on the one size that fits, 74 + 33.",
          "RADAR 0.67", lambda _: f"{trivial_rows(*_tile_size()).f1.iloc[0]:.3f}", _DETECTIVE,
          "radar_nb/experiments/paper.csv", lambda _: 2 * 74 / (2 * 74 + 33), 0, "exact",
          lambda _: trivial_rows(*_tile_size()).f1.iloc[0], quick=True),
    Check("extrusion F1", "F1 on printed material; `extrusion` stands in for the paper's images.", "0.85",
          _interval("extrusion", "f1"), COMPARE, "results/comparison.csv",
          _table_value("extrusion", "f1"), 0.05, "another training of the same recipe: three images of 84",
          _again("extrusion", "f1"), quick=True),
    Check("extrusion AUROC", "Ranking of the same images.", "not printed",
          _interval("extrusion", "image_auroc"), COMPARE, "results/comparison.csv",
          _table_value("extrusion", "image_auroc"), 0.03,
          "another training of the same recipe", _again("extrusion", "image_auroc"), quick=True),
    Check("extrusion lead", "Lead in F1 over the next best method (C&B).", "0.13",
          _lead("extrusion", EXTRUSION_RIVAL), COMPARE, "results/comparison.csv",
          _table_lead("extrusion", EXTRUSION_RIVAL), 0.05, "as RADAR's F1; the rival is the same",
          lambda rerun: (rerun.metric("extrusion", "radar", "f1")
                         - rerun.metric("extrusion", EXTRUSION_RIVAL, "f1"))),
    Check("extrusion masks", "The Sobel map shows where: pixel AUROC.", "a heat map (slide 16)",
          lambda evidence: f"{evidence.over_seeds('extrusion', 'radar', 'pixel_auroc').mean():.3f}, 5 seeds",
          COMPARE, "results/comparison.csv", _table_value("extrusion", "pixel_auroc"), 0.02,
          "another training of the same recipe", _again("extrusion", "pixel_auroc"), quick=True),
    Check("one step", "One step is enough to detect: image AUROC on `printed`.", "no number",
          _interval("printed", "image_auroc"), COMPARE, "results/comparison.csv",
          _table_value("printed", "image_auroc"), 0.01, "rounding, and another training",
          _again("printed", "image_auroc")),
    Check("linear rival", "Lead in F1 on `printed`, where a linear method (PCA) finds nearly all defects.",
          "0.13", _lead("printed", "pca"), COMPARE, "results/comparison.csv", _table_lead("printed", "pca"),
          0.03, "three images of 160", lambda rerun: (rerun.metric("printed", "radar", "f1")
                                                      - rerun.metric("printed", "pca", "f1"))),
    Check("contamination", "F1 depends little on the contamination: at 0.2, on `printed`.",
          "a figure (Fig. 8)",
          lambda evidence: f"{_contamination(evidence):.3f}, 1 seed",
          "python -m radar_nb ablate --datasets printed --ablations contamination", "results/ablations.csv",
          _contamination, 0.03, "four images of 160", _contamination_again),
    Check("Gaussian", "Noise is Gaussian on normal surface only: AUROC of the K2 statistic at t = 1.",
          "a figure (Fig. 4)", lambda evidence: f"{_normality(evidence.table('normality')):.3f}, 1 seed",
          "python -m radar_nb ablate --normality", "results/normality.csv",
          lambda evidence: _normality(evidence.table("normality")), 0.03, "another training",
          lambda rerun: _normality(pd.DataFrame(
              measure_normality(rerun.kit("printed"), only=("predicted", 1))))),
    Check("speed", "Faster than reconstruction: DDIM in 10 steps takes so many times as long.", "no number",
          _slowdowns, "python -m radar_nb bench", "results/bench.csv", _slowdown, 5,
          "the machine, and what else runs on it", lambda rerun: rerun.speed),
    Check("tile lead", "Lead in F1 over the next best method (DiffusionAD) on MVTec AD tile.", "0.07",
          _lead("mvtec_tile_192", "diffusion_ad"), COMPARE, "results/comparison.csv",
          _table_lead("mvtec_tile_192", "diffusion_ad"), 0.10, "needs the images and a training"),
)
