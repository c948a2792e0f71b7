"""What each part of RADAR is worth: change one thing and score the same test images again."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from radar_nb.beyond.detector import NOISE_FREE, VariantDetector
from radar_nb.experiments.comparison import look_at_test_images
from radar_nb.experiments.metrics import auroc, bootstrap_interval, f1
from radar_nb.method.noise_map import READINGS, patch_normality
from radar_nb.method.training import train
from radar_nb.runs.kit import Kit
from radar_nb.runs.training import train_into
from radar_nb.storage.tables import read_table


@dataclass(frozen=True)
class Variant:
    """One point of an ablation.

    `detector` are arguments of `VariantDetector` that differ from the paper's recipe; `training` are fields
    of `TrainingConfig`. With any of these, or with `images`, the number of training images, a U-Net is
    trained for this point. `calibrate_on` names the images that set the threshold, `calibrate` or `train`.
    """

    value: str
    detector: Mapping = field(default_factory=dict)
    training: Mapping = field(default_factory=dict)
    images: int | None = None
    calibrate_on: str = "calibrate"

    @property
    def trains(self) -> bool:
        """Whether this point needs a U-Net of its own."""
        return bool(self.training or self.images)

    def build(self, kit: Kit, model_folder: Path | None = None) -> VariantDetector:
        """The detector, not fitted; a U-Net of its own is trained into `model_folder`, or in memory."""
        config, unet = replace(kit.training, **self.training), None if self.trains else kit.unet
        if self.trains:
            images = kit.data.train[:self.images]
            unet = (train_into(model_folder, images, config, progress=False) if model_folder
                    else train(images, config)).unet
        return VariantDetector(unet=unet, training=config, **({"random_state": kit.seed} | self.detector))


def _steps_of(name: str, values: Iterable) -> list[Variant]:
    return [Variant(str(value).strip("()"), {name: value}) for value in values]


ABLATIONS = {
    "recipe": [Variant("paper", {}), Variant("noise-free, t = 200", NOISE_FREE)],
    "reading": _steps_of("reading", READINGS),
    "timestep": _steps_of("timestep", (0, 1, 5, 20, 50, 100, 200)),
    "several timesteps": _steps_of("timestep", (1, (1, 5, 20), (1, 20, 50))),
    "stride": [Variant("whole image", {}), *_steps_of("stride", (32, 16, 8))],
    "patch size": [Variant("16", training={"patch_size": 16}), Variant("32", {}),
                   Variant("64", training={"patch_size": 64, "batch_size": 8})],
    "blur": _steps_of("blur", (1, 3, 5, 7)),
    "Sobel": [Variant("on", {}), Variant("off", {"map_kind": "magnitude"}),
              Variant("covariance", {"map_kind": "covariance"})],
    "Sobel kernel": _steps_of("sobel", (3, 5, 7)),
    "window": _steps_of("window", (5, 10, 20, 33, 65)),
    "window step": _steps_of("window_step", (1, 20)),
    "seed of the noise": _steps_of("random_state", (0, 1, 2, 3, 4)),
    "noise draws": _steps_of("draws", (1, 4, 16)),
    "calibrated on": [Variant("other images", {}), Variant("training images", calibrate_on="train")],
    "mask threshold": _steps_of("pixel_quantile", (0.99, 0.997, 0.999, 0.9997)),
    "folding": [Variant("2", {}), Variant("1", training={"fold": 1})],
    "attention": [Variant("on", {}), Variant("off", training={"attention": False})],
    "contamination": _steps_of("contamination", (0.01, 0.02, 0.05, 0.1, 0.2)),
    "decision": _steps_of("decision", ("isolation_forest", "lof", "mahalanobis", "one_class_svm")),
    "one-sided": [Variant("no", {}), Variant("yes", {"one_sided": True})],
    "border": _steps_of("border", (0, 4, 8)),
    "training images": [*(Variant(str(count), images=count) for count in (5, 10, 20, 40)),
                        Variant("all", {})],
    "training steps": [*(Variant(str(steps), training={"steps": steps}) for steps in (100, 200, 400)),
                       Variant("800", {}), Variant("1600", training={"steps": 1600})],
}


def measure_variant(ablation: str, variant: Variant, kit: Kit) -> dict:
    """`run_variant`, or its result from an earlier call, which is kept in the run."""
    name = f"{ablation}-{variant.value}".replace(" ", "_").replace(",", "")
    folder = kit.model_folder.with_name(f"{kit.model_folder.name}-{name}")
    return kit.keep(f"ablated/{name}", lambda: run_variant(ablation, variant, kit, folder))


def run_variant(ablation: str, variant: Variant, kit: Kit, model_folder: Path | None = None) -> dict:
    """One point: train if need be, calibrate, then `look_at_test_images`.

    Returns:
        a row of `ablations.csv`: `ablation`, `value`, the metrics, and 95 % bootstrap intervals of F1 and
        image AUROC over test images.
    """
    began = time.perf_counter()
    normal_images = getattr(kit.data, variant.calibrate_on)
    found = look_at_test_images(variant.build(kit, model_folder).fit(normal_images), kit)
    row = {"dataset": kit.data.name, "seed": kit.seed, "recipe": "paper", "ablation": ablation,
           "value": variant.value, **{key: round(value, 4) for key, value in found["metrics"].items()}}
    said = {"image_auroc": (auroc, np.array(found["scores"])), "f1": (f1, np.array(found["anomalous"], bool))}
    for metric, (statistic, values) in said.items():
        ends = bootstrap_interval(statistic, kit.data.labels, values, repeats=500)
        row |= {f"{metric}_{end}": round(value, 4) for end, value in zip(("low", "high"), ends, strict=True)}
    return row | {"seconds": round(time.perf_counter() - began, 1)}


def ablate(kits: Iterable[Kit], names: Iterable[str] = tuple(ABLATIONS), progress: bool = True) -> list[dict]:
    """Every point on every kit, those without training first. After an interruption it goes on."""
    jobs = [(kit, name, variant) for kit in kits for name in names for variant in ABLATIONS[name]]
    jobs.sort(key=lambda job: job[2].trains)
    rows, began = {}, time.perf_counter()
    for done, (kit, name, variant) in enumerate(jobs, 1):
        row = rows[kit.data.name, kit.seed, name, variant.value] = measure_variant(name, variant, kit)
        if progress:
            left = (time.perf_counter() - began) / done * (len(jobs) - done)
            print(f"[{done:3}/{len(jobs)}] {kit.data.name} seed {kit.seed}  {name} {variant.value}: "
                  f"AUROC {row['image_auroc']:.3f}  F1 {row['f1']:.3f}  "
                  f"about {timedelta(seconds=round(left))} left", flush=True)
    order = {(name, variant.value): number for number, (name, variant) in enumerate(
        (name, variant) for name in ABLATIONS for variant in ABLATIONS[name])}
    return [rows[key] for key in sorted(rows, key=lambda key: (key[0], order[key[2:]], key[1]))]


def add_to_table(path: Path, rows: Sequence[Mapping]) -> pd.DataFrame:
    """The table at `path` and newer rows, which replace those of the same data, seed, recipe and point."""
    newer = pd.DataFrame(rows, dtype=object)
    if not path.is_file():
        return newer
    older, key = read_table(path), ["dataset", "seed", "recipe", "ablation", "value"]
    known = newer[key].astype(str).apply(tuple, axis=1)
    kept = older[~older[key].astype(str).apply(tuple, axis=1).isin(known)]
    columns = [*newer, *(name for name in kept if name not in newer)]
    return pd.concat([kept, newer])[columns]


def measure_normality(kit: Kit, share: float = 0.1, only: tuple[str, int] | None = None) -> list[dict]:
    """Is the noise map Gaussian on normal patches, and non-Gaussian on anomalous ones (paper Fig. 4)?

    A patch of a good image is normal; one of a defective image counts where at least `share` of it is defect.
    False discoveries are held at 5 % over all patches together (Benjamini and Hochberg 1995). `only`: one
    reading and timestep.

    Returns:
        one row for each reading and timestep: how many patches are normal and anomalous; the share of each
        that is found non-Gaussian; the median absolute excess kurtosis of each; and how well the test's
        statistic, and the patch's mean square, tell the two apart (AUROC).
    """
    rows = []
    for reading, timestep in [only] if only else [(name, t) for t in (1, 200) for name in READINGS]:
        detector = VariantDetector(timestep, reading, unet=kit.unet, training=kit.training,
                                   random_state=kit.seed).fit(kit.data.calibrate[:8])
        patches = pd.DataFrame(_tested_patches(detector, kit, share))
        patches["rejected"] = stats.false_discovery_control(patches["p_value"]) < 0.05
        normal, anomalous = (patches[patches["anomalous"] == kind] for kind in (False, True))
        rows.append({
            "reading": reading, "timestep": timestep, "normal": len(normal), "anomalous": len(anomalous),
            "rejected_normal": normal["rejected"].mean(), "rejected_anomalous": anomalous["rejected"].mean(),
            "kurtosis_normal": normal["kurtosis"].median(),
            "kurtosis_anomalous": anomalous["kurtosis"].median(),
            "auroc": float(auroc(patches["anomalous"].to_numpy(), patches["k2"].to_numpy())),
            "auroc_energy": float(auroc(patches["anomalous"].to_numpy(), patches["energy"].to_numpy()))})
    return [{key: round(float(value), 4) if isinstance(value, float) else value for key, value in row.items()}
            for row in rows]


def _tested_patches(detector: VariantDetector, kit: Kit, share: float) -> Iterator[dict]:
    """Each 32 x 32 patch that counts, tested for normality."""
    findings = detector.inspect(kit.data.test)
    for finding, mask, label in zip(findings, kit.data.masks, kit.data.labels, strict=True):
        noise = finding["noise_map"].mean(axis=0)
        for patch in patch_normality(noise):
            row, column = patch["row"], patch["column"]
            window = slice(row, row + 32), slice(column, column + 32)
            if not label or mask[window].mean() >= share:
                yield {"anomalous": bool(label), "p_value": patch["p_value"], "k2": patch["k2"],
                       "kurtosis": abs(patch["excess_kurtosis"]), "energy": np.square(noise[window]).mean()}
