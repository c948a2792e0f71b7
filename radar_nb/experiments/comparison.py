"""RADAR beside its rivals: every method on every data set and seed, measured once and kept.

`measure_method` keeps the score and decision of every test image. `write_tables` turns them into the small
CSV files of `results/`; tables, intervals, figures and claims are made from those in seconds.
"""

import json
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

import pandas as pd

from radar_nb.data.named import NAMED
from radar_nb.experiments.methods import FULL, METHODS, fit_method
from radar_nb.experiments.metrics import judge, look_at
from radar_nb.runs.kit import Kit
from radar_nb.storage.errors import InputError, Unavailable
from radar_nb.storage.places import RESULTS, data_folder
from radar_nb.storage.tables import read_table, write_table

METRICS = ("image_auroc", "average_precision", "f1", "precision", "recall", "accuracy", "recall_at_5",
           "pixel_auroc", "aupro", "dice")


# --- measuring


def look_at_test_images(detector, kit: Kit) -> dict:
    """Score every test image of `kit.data` with a fitted detector, and judge the scores.

    Returns:
        `metrics`; for each test image its `kinds`, `scores` (higher is more anomalous) and `anomalous`;
        `seconds`.
    """
    began = time.perf_counter()
    findings = look_at(detector, kit.data.test)
    return {"dataset": kit.data.name, "seed": kit.seed, "profile": kit.profile,
            "metrics": {key: round(float(value), 6) for key, value in judge(findings, kit.data).items()},
            "seconds": round(time.perf_counter() - began, 1), "kinds": list(kit.data.kinds),
            "scores": [round(-finding["score"], 6) for finding in findings],
            "anomalous": [int(not finding["normal"]) for finding in findings]}


def run_method(name: str, kit: Kit) -> dict:
    """Fit one method on the normal images of `kit.data`, then `look_at_test_images`; `seconds` of both."""
    began = time.perf_counter()
    result = look_at_test_images(fit_method(name, kit), kit)
    return result | {"method": name, "seconds": round(time.perf_counter() - began, 1)}


def measure_method(name: str, kit: Kit) -> dict:
    """`run_method`, or its result from an earlier call, which is kept in the run."""
    return kit.keep(f"compared/{name}", lambda: run_method(name, kit))


def plan(kits: Iterable[Kit], names: Sequence[str] = tuple(METHODS)) -> list[tuple[Kit, str]]:
    """Pairs of a kit and a method that is made for its data, cheap methods first."""
    names = sorted(names, key=lambda name: METHODS[name].calls)
    return [(kit, name) for kit in kits for name in names if METHODS[name].suits(kit.data.name)]


def full_plan(profile: str, folder: str | Path) -> tuple[list[tuple[Kit, str]], list[str]]:
    """The comparison of `results/`, as `FULL` says.

    Returns:
        the plan, and the data sets that are not there (`data_download` fetches them).
    """
    wanted = dict.fromkeys(dataset for dataset, *_ in FULL)
    absent = [name for name in wanted if name not in NAMED and not (data_folder() / name).is_dir()]
    jobs = []
    for dataset, seeds, most in FULL:
        if dataset not in absent:
            kits = [Kit(profile, dataset, seed, folder) for seed in range(seeds)]
            jobs += plan(kits, [name for name in METHODS if METHODS[name].calls <= most])
    return jobs, absent


def compare(jobs: Sequence[tuple[Kit, str]], progress: bool = True) -> list[dict]:
    """`measure_method` for each method of a plan. After an interruption it goes on where it stopped.

    A method whose weights or packages are missing is left out, and the output says so.
    """
    results, began = [], time.perf_counter()
    for done, (kit, name) in enumerate(jobs, 1):
        where = f"[{done:3}/{len(jobs)}] {kit.data.name:16} seed {kit.seed}  {name:16}"
        try:
            results.append(measure_method(name, kit))
        except Unavailable as error:
            print(f"{where} left out: {error}", flush=True)
            continue
        if progress:
            left = (time.perf_counter() - began) / done * (len(jobs) - done)
            scores = results[-1]["metrics"]
            print(f"{where} AUROC {scores['image_auroc']:.3f}  F1 {scores['f1']:.3f}  "
                  f"about {timedelta(seconds=round(left))} left", flush=True)
    return results


# --- the tables of results/


def collect(folder: str | Path) -> list[dict]:
    """Everything that `measure_method` kept in a run."""
    return [json.loads(path.read_text())
            for path in sorted(Path(folder, "measured").glob("*/compared/*.json"))]


def read_tables(folder: Path = RESULTS) -> list[dict]:
    """The tables' results as `run_method` gave them; empty if there are none. `merge` adds newer ones."""
    if not (folder / "comparison.csv").is_file():
        return []
    images = {path.stem: read_table(path) for path in sorted((folder / "images").glob("*.csv"))}
    results = []
    for row in read_table(folder / "comparison.csv").to_dict("records"):
        name, mine = row["method"], images[row["dataset"]]
        mine = mine[mine["seed"] == row["seed"]]
        metrics = {key: row[key] for key in METRICS if pd.notna(row.get(key))}
        results.append({"dataset": row["dataset"], "seed": row["seed"], "method": name,
                        "profile": row["profile"], "metrics": metrics, "seconds": row["seconds"],
                        "kinds": mine["kind"].tolist(), "scores": mine[f"{name}_score"].tolist(),
                        "anomalous": mine[f"{name}_anomalous"].tolist()})
    return results


def merge(older: Sequence[dict], newer: Sequence[dict]) -> list[dict]:
    """All results; where both have a data set, seed and method, the newer one.

    Methods that are no longer in `METHODS` are left out.

    Raises:
        InputError: they come from different profiles.
    """
    profiles = sorted({result["profile"] for result in [*older, *newer]})
    if len(profiles) > 1:
        raise InputError(f"results: measured with the profiles {' and '.join(profiles)}; "
                         "give another --results folder")

    def key(result: dict) -> tuple:
        return result["dataset"], result["seed"], result["method"]
    both = [result for result in [*older, *newer] if result["method"] in METHODS]
    return list({key(result): result for result in both}.values())


def write_tables(results: Sequence[dict], folder: Path = RESULTS) -> None:
    """Write `comparison.csv` and `images/<data set>.csv`.

    The first has a row for each data set, seed and method. The others have a row for each seed and test
    image, and two columns for each method.
    """
    results = sorted(results, key=_order)
    write_table(folder / "comparison.csv", [
        {"dataset": r["dataset"], "seed": r["seed"], "method": r["method"], "profile": r["profile"],
         **{key: r["metrics"].get(key) for key in METRICS}, "seconds": r["seconds"]} for r in results])
    for dataset in dict.fromkeys(r["dataset"] for r in results):
        mine = [r for r in results if r["dataset"] == dataset]
        names = [name for name in METHODS if any(r["method"] == name for r in mine)]
        seeds = dict.fromkeys(r["seed"] for r in mine)
        images = pd.concat([_images([r for r in mine if r["seed"] == seed]) for seed in seeds])
        columns = [f"{name}_{what}" for name in names for what in ("score", "anomalous")]
        write_table(folder / "images" / f"{dataset}.csv", images[["seed", "image", "kind", *columns]])


def _images(results: Sequence[dict]) -> pd.DataFrame:
    """One row for each test image: the results of several methods on one data set and seed."""
    kinds = results[0]["kinds"]
    table = {"seed": results[0]["seed"], "image": range(len(kinds)), "kind": kinds}
    for result in results:
        table[f"{result['method']}_score"] = result["scores"]
        table[f"{result['method']}_anomalous"] = pd.array(result["anomalous"], dtype="Int64")
    return pd.DataFrame(table)


def _order(result: dict) -> tuple:
    return result["dataset"], result["seed"], list(METHODS).index(result["method"])
