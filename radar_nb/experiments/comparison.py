"""RADAR beside its rivals: every method on every data set and seed, measured once, kept, and compared in pairs.

`measure` runs one method and keeps what it said of every test image; `write_tables` turns that into the small CSV files of
`results/`, from which table, intervals, figures and claims are made in seconds.
"""

import csv
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path


from radar_nb.data.named import NAMED
from radar_nb.storage.places import data_folder
from radar_nb.beyond.detector import noise_free_detector
from radar_nb.storage.errors import InputError
from radar_nb.storage.whole import whole_file
from radar_nb.experiments.metrics import judge
from radar_nb.rivals.same_unet import AnoDdpm, Inversion, NoiseDensity, Reconstruction
from radar_nb.rivals.patchcore import PatchCore
from radar_nb.storage.errors import Unavailable
from radar_nb.runs.kit import Kit
from radar_nb.storage.places import RESULTS
from radar_nb.rivals.simplex import simplex_noise
from radar_nb.rivals.statistical import CausalResidual, PcaReconstruction, TextureOneClassSvm
from radar_nb.runs.training import train_into

SLOW = 20             # a method with more U-Net calls an image than this is slow ...
SLOW_CALIBRATE = 60   # ... and is calibrated on so many images; all are tested on the same
# The comparison of results/: data set, how many seeds, and the methods with at most so many calls (770 large images are many).
FULL = (("printed", 5, 10), ("mvtec_tile_192", 5, 10), ("printed_hard", 5, 10), ("printed_easy", 1, 10), ("texture", 1, 10),
        ("kolektor_sdd", 1, 10), ("magnetic_tile", 1, 2), ("printed", 1, 1000))


@dataclass(frozen=True)
class Method:
    """One row of the table: `build(kit, calibrate)` gives a fitted detector; `calls` counts U-Net calls an image."""

    label: str
    family: str
    calls: int
    build: Callable


def _radar(**options) -> Callable:
    return lambda kit, calibrate: noise_free_detector(
        unet=kit.unet, training=kit.training, random_state=kit.seed, **options).fit(calibrate)


def _diffusion(kind: type, **options) -> Callable:
    return lambda kit, calibrate: kind(kit.unet, random_state=kit.seed, **options).fit(calibrate)


def _statistical(kind: type) -> Callable:
    return lambda kit, calibrate: kind(random_state=kit.seed).fit(kit.data.train, calibrate=calibrate)


def _anoddpm(kit: Kit, calibrate: Sequence) -> AnoDdpm:
    folder = kit.model_folder.with_name(f"{kit.model_folder.name}-simplex")
    unet = train_into(folder, kit.data.train, kit.training, progress=False, draw=simplex_noise).unet
    return AnoDdpm(unet, random_state=kit.seed, start=START, eta=1.0).fit(calibrate)


# t = 100 to noise to and back: the best of 100, 200, 300, 400 on calibration images with pasted defects.
START = 100
# Beyond the paper, for hard surfaces: a frame that the network cannot see around is left out, more quiet than usual is not
# anomalous, and a distance ranks images that lie beyond every calibration image, which a forest cannot. Chosen on calibration images
# with pasted defects: the window and its quantile too, and, on those of `mvtec_tile_192`, the two timesteps and the local norm alone.
MENDED = {"decision": "mahalanobis", "one_sided": True, "border": 4}
TWO_TIMESTEPS = {"map_kind": "covariance", "timestep": (25, 200), "local_quantile": 0.995, "decision": "local_norm", "border": MENDED["border"]}
METHODS = {
    "radar": Method("RADAR (noise-free reading)", "RADAR", 1, _radar()),
    "radar_residual": Method("RADAR (residual reading)", "RADAR", 1, _radar(reading="residual")),
    "radar_predicted": Method("RADAR (predicted reading)", "RADAR", 1, _radar(reading="predicted")),
    "radar_one_sided": Method("RADAR, mended: one-sided distance", "RADAR, mended", 1, _radar(**MENDED)),
    "radar_covariance": Method("RADAR, mended: local covariance", "RADAR, mended", 1, _radar(map_kind="covariance", **MENDED)),
    "radar_two_timesteps": Method("RADAR, mended: two timesteps", "RADAR, mended", 2, _radar(**TWO_TIMESTEPS)),
    "radar_standardised": Method("RADAR, mended: rows and columns", "RADAR, mended", 1,
                                 _radar(standardise=True, window=3, local_quantile=0.995, **MENDED)),
    "ddim10": Method("DDIM reconstruction, 10 steps", "reconstruction", 10, _diffusion(Reconstruction, start=START, steps=10)),
    "ddim25": Method("DDIM reconstruction, 25 steps", "reconstruction", 25, _diffusion(Reconstruction, start=START, steps=25)),
    "ddim50": Method("DDIM reconstruction, 50 steps", "reconstruction", 50, _diffusion(Reconstruction, start=START, steps=50)),
    "ddpm": Method("DDPM reconstruction, all steps", "reconstruction", START + 1, _diffusion(Reconstruction, start=START, eta=1.0)),
    "anoddpm": Method("AnoDDPM, simplex noise", "reconstruction", START + 1, _anoddpm),
    "osd_irf": Method("Gaussian density of the noise (OSD-IRF)", "reconstruction-free", 1, _diffusion(NoiseDensity, timestep=100)),
    "invad": Method("DDIM inversion, 3 steps (InvAD)", "reconstruction-free", 3, _diffusion(Inversion)),
    "pca": Method("PCA of patches, T2 and Q", "statistical", 0, _statistical(PcaReconstruction)),
    "causal_residual": Method("Causal residual (Bui and Apley)", "statistical", 0, _statistical(CausalResidual)),
    "ocsvm": Method("One-class SVM on LBP and GLCM", "statistical", 0, _statistical(TextureOneClassSvm)),
    "patchcore": Method("PatchCore, WideResNet50", "pretrained", 0, _statistical(PatchCore)),
}


# --- measuring -----------------------------------------------------------------------------------------------


def measure(name: str, kit: Kit) -> dict:
    """`run_method`, or what it gave the last time, which is kept in the run."""
    return kit.keep(f"methods/{name}", lambda: run_method(name, kit))


def run_method(name: str, kit: Kit, detector=None) -> dict:
    """Fit one method on the normal images of `kit.data`, or take a fitted detector, and look at every test image.

    Returns:
        `metrics`; for each test image its `kinds`, `scores` (higher is more anomalous) and `anomalous`; `seconds`.
    """
    began = time.perf_counter()
    findings = list((detector or fit_method(name, kit)).inspect(kit.data.test))
    return {"dataset": kit.data.name, "seed": kit.seed, "method": name, "profile": kit.profile,
            "metrics": {key: round(float(value), 6) for key, value in judge(findings, kit.data).items()},
            "seconds": round(time.perf_counter() - began, 1), "kinds": list(kit.data.kinds),
            "scores": [round(-finding["score"], 6) for finding in findings],
            "anomalous": [int(not finding["normal"]) for finding in findings]}


def fit_method(name: str, kit: Kit):
    """A method's detector, fitted on the normal images of `kit.data`; slow ones see fewer calibration images."""
    method = METHODS[name]
    return method.build(kit, kit.data.calibrate[:SLOW_CALIBRATE] if method.calls > SLOW else kit.data.calibrate)


def plan(kits: Iterable[Kit], names: Sequence[str] = tuple(METHODS)) -> list[tuple[Kit, str]]:
    """Every method on every kit, the cheap ones first."""
    return [(kit, name) for kit in kits for name in sorted(names, key=lambda name: METHODS[name].calls)]


def full_plan(profile: str, folder: str | Path) -> tuple[list[tuple[Kit, str]], list[str]]:
    """The comparison of `results/`, as `FULL` says.

    Returns:
        the plan, and the data sets that are not there (`data_download` fetches them).
    """
    jobs, absent = [], [dataset for dataset, *_ in FULL if not (dataset in NAMED or (data_folder() / dataset).is_dir())]
    for dataset, seeds, most in FULL:
        if dataset not in absent:
            kits = [Kit(profile, dataset, seed, folder) for seed in range(seeds)]
            jobs += plan(kits, [name for name in METHODS if METHODS[name].calls <= most])
    return jobs, absent


def compare(jobs: Sequence[tuple[Kit, str]], progress: bool = True) -> list[dict]:
    """`measure` each method of a plan; interrupted, it goes on where it stopped. A method that cannot be had here is left out with a word."""
    results, began = [], time.perf_counter()
    for done, (kit, name) in enumerate(jobs, 1):
        try:
            results.append(measure(name, kit))
        except Unavailable as error:
            print(f"[{done:3}/{len(jobs)}] {kit.data.name:16} seed {kit.seed}  {name:16} left out: {error}", flush=True)
            continue
        if progress:
            left = (time.perf_counter() - began) / done * (len(jobs) - done)
            scores = results[-1]["metrics"]
            print(f"[{done:3}/{len(jobs)}] {kit.data.name:16} seed {kit.seed}  {name:16} AUROC {scores['image_auroc']:.3f}  "
                  f"F1 {scores['f1']:.3f}  about {timedelta(seconds=round(left))} left", flush=True)
    return results


# --- the tables of results/ ----------------------------------------------------------------------------------


def collect(folder: str | Path) -> list[dict]:
    """Everything that `measure` kept in a run."""
    return [json.loads(path.read_text()) for path in sorted(Path(folder, "measured").glob("*/methods/*.json"))]


def read_tables(folder: Path = RESULTS) -> list[dict]:
    """What `write_tables` wrote, as `measure` gave it: a method that is measured later can be added to the others."""
    if not (folder / "comparison.csv").is_file():
        return []
    images = {path.stem: read_csv(path) for path in sorted((folder / "images").glob("*.csv"))}
    results = []
    for row in read_csv(folder / "comparison.csv"):
        name, mine = row["method"], [image for image in images[row["dataset"]] if image["seed"] == row["seed"]]
        results.append({"dataset": row["dataset"], "seed": int(row["seed"]), "method": name, "profile": row["profile"],
                        "metrics": {key: row[key] for key in METRICS if row[key] is not None}, "seconds": row["seconds"],
                        "kinds": [image["kind"] for image in mine], "scores": [image[f"{name}_score"] for image in mine],
                        "anomalous": [int(image[f"{name}_anomalous"]) for image in mine]})
    return results


def merge(older: Sequence[dict], newer: Sequence[dict]) -> list[dict]:
    """Both together; of a (data set, seed, method) in both, the newer. Methods that are no longer in `METHODS` are left out.

    Raises:
        InputError: they come from different profiles.
    """
    profiles = sorted({result["profile"] for result in [*older, *newer]})
    if len(profiles) > 1:
        raise InputError(f"results: measured with the profiles {' and '.join(profiles)}; give another --results folder")

    def key(result: dict) -> tuple:
        return result["dataset"], result["seed"], result["method"]
    return list({key(result): result for result in [*older, *newer] if result["method"] in METHODS}.values())


def write_tables(results: Sequence[dict], folder: Path = RESULTS) -> None:
    """Write `comparison.csv`, a row a (data set, seed, method), and `images/<data set>.csv`, a row a (seed, test image)."""
    rows = [{"dataset": r["dataset"], "seed": r["seed"], "method": r["method"], "profile": r["profile"],
             **{key: r["metrics"].get(key, "") for key in METRICS}, "seconds": r["seconds"]}
            for r in sorted(results, key=_order)]
    write_csv(folder / "comparison.csv", rows)
    for dataset in {r["dataset"] for r in results}:
        chosen = sorted((r for r in results if r["dataset"] == dataset), key=_order)
        names = [name for name in METHODS if any(r["method"] == name for r in chosen)]
        images = []
        for seed in sorted({r["seed"] for r in chosen}):
            said = {r["method"]: r for r in chosen if r["seed"] == seed}
            for index, kind in enumerate(next(iter(said.values()))["kinds"]):
                row = {"seed": seed, "image": index, "kind": kind}
                for name in names:
                    row[f"{name}_score"] = said[name]["scores"][index] if name in said else ""
                    row[f"{name}_anomalous"] = said[name]["anomalous"][index] if name in said else ""
                images.append(row)
        write_csv(folder / "images" / f"{dataset}.csv", images)


METRICS = ("image_auroc", "average_precision", "f1", "precision", "recall", "accuracy", "pixel_auroc", "aupro", "dice")


def _order(result: dict) -> tuple:
    return result["dataset"], result["seed"], list(METHODS).index(result["method"])


def write_csv(path: Path, rows: Sequence[dict]) -> None:
    """Write rows with the same keys."""
    with whole_file(path) as work, work.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path) -> list[dict]:
    """Read rows; numbers become numbers, empty cells None."""
    def value(text: str) -> str | float | None:
        try:
            return float(text) if text else None
        except ValueError:
            return text

    with path.open(newline="") as file:
        return [{key: value(text) for key, text in row.items()} for row in csv.DictReader(file)]
