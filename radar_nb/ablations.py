"""What each part of RADAR is worth: one thing is changed at a time, and the same test images are looked at again."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score, roc_auc_score

from radar_nb.detector import RadarDetector
from radar_nb.metrics import bootstrap_interval, judge
from radar_nb.profiles import Kit
from radar_nb.training import train


@dataclass(frozen=True)
class Variant:
    """One point of an ablation.

    `detector` are arguments of `RadarDetector`; `training` are fields of `TrainingConfig`: with any, or with `images`, the
    number of training images, a U-Net is trained for this point.
    """

    value: str
    detector: Mapping = field(default_factory=dict)
    training: Mapping = field(default_factory=dict)
    images: int | None = None

    @property
    def trains(self) -> bool:
        """Whether this point needs a U-Net of its own."""
        return bool(self.training or self.images)


def _steps_of(name: str, values: Iterable) -> list[Variant]:
    return [Variant(str(value), {name: value}) for value in values]


ABLATIONS = {
    "reading": _steps_of("reading", ("predicted", "residual", "noise_free")),
    "timestep": _steps_of("timestep", (25, 50, 100, 150, 200, 300, 500)),
    "several timesteps": [Variant("200", {}), Variant("100, 200, 300", {"timestep": (100, 200, 300)}),
                          Variant("50, 100, 150, 200, 300", {"timestep": (50, 100, 150, 200, 300)})],
    "stride": [Variant("whole image", {}), *_steps_of("stride", (32, 16, 8))],
    "patch size": [Variant("16", training={"patch_size": 16}), Variant("32", {}),
                   Variant("64", training={"patch_size": 64, "batch_size": 8})],
    "window": _steps_of("window", (5, 9, 17, 33, 65)),
    "Sobel": [Variant("on", {}), Variant("off", {"sobel": False})],
    "attention": [Variant("on", {}), Variant("off", training={"attention": False})],
    "contamination": _steps_of("contamination", (0.01, 0.02, 0.05, 0.1, 0.2)),
    "decision": _steps_of("decision", ("isolation_forest", "mahalanobis", "one_class_svm")),
    "one-sided": [Variant("no", {}), Variant("yes", {"one_sided": True})],
    "border": _steps_of("border", (0, 4, 8)),
    "training images": [*(Variant(str(count), images=count) for count in (5, 10, 20, 40)), Variant("all", {})],
    "training steps": [*(Variant(str(steps), training={"steps": steps}) for steps in (100, 200, 400)), Variant("800", {}),
                       Variant("1600", training={"steps": 1600})],
}


def measure_variant(ablation: str, variant: Variant, kit: Kit) -> dict:
    """One point: train if need be, calibrate, look at the test images; kept in `kit.folder / "measured"`.

    Returns:
        a row: `ablation`, `value`, the metrics, and the 95 % interval of F1 and of image AUROC over test images.
    """
    name = f"{ablation}-{variant.value}".replace(" ", "_").replace(",", "")
    return kit.keep(f"ablations/{name}",
                    lambda: _measure(ablation, variant, kit, kit.model_folder.with_name(f"{kit.model_folder.name}-{name}")))


def _measure(ablation: str, variant: Variant, kit: Kit, model_folder: Path) -> dict:
    training, unet = kit.training, kit.unet if not variant.trains else None
    if variant.trains:
        training = replace(kit.training, **variant.training)
        unet = train(kit.data.train[:variant.images], training, model_folder, progress=False).unet
    detector = RadarDetector(unet=unet, training=training, random_state=kit.seed, **variant.detector).fit(kit.data.calibrate)
    findings = list(detector.inspect(kit.data.test))
    scores = -np.array([finding["score"] for finding in findings])
    anomalous = ~np.array([finding["normal"] for finding in findings])
    labels = kit.data.labels
    auroc = bootstrap_interval(roc_auc_score, labels, scores, repeats=500)
    f1 = bootstrap_interval(f1_score, labels, anomalous, repeats=500)
    return {"dataset": kit.data.name, "seed": kit.seed, "ablation": ablation, "value": variant.value,
            **{key: round(float(value), 4) for key, value in judge(findings, kit.data).items()},
            "image_auroc_low": round(auroc[0], 4), "image_auroc_high": round(auroc[1], 4),
            "f1_low": round(f1[0], 4), "f1_high": round(f1[1], 4)}
