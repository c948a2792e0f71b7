"""Which U-Net is fast enough and good enough? A family is trained alike and judged on calibration images.

The fold (`pixel_unshuffle`), the widths and the attention decide what a U-Net costs. `measure_network` trains
one. It is judged by how well it tells normal calibration images from the same ones with pasted defects. Its
AUROC on test images is reported, and decides nothing.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
from diffusers import UNet2DModel

from radar_nb.beyond.detector import noise_free_detector
from radar_nb.data.images import as_uint8
from radar_nb.data.texture import PASTED_DEFECTS, paste_defect
from radar_nb.experiments.methods import TWO_TIMESTEPS
from radar_nb.experiments.metrics import auroc
from radar_nb.method.training import TrainingConfig
from radar_nb.method.unet import build_unet
from radar_nb.runs.kit import Kit
from radar_nb.runs.training import train_into
from radar_nb.storage.errors import InputError

# Fields of TrainingConfig. `plain` is the U-Net without a fold, as in the paper's Fig. 5; `folded` is the
# kit's default, from which all of its results come.
NETWORKS: Mapping[str, Mapping] = MappingProxyType({
    "plain": {"fold": 1},
    "folded": {},
    "folded_no_attention": {"attention": False},
    "narrow": {"widths": (16, 32, 64), "attention": False},
    "narrow_attention": {"widths": (16, 32, 32)},
    "shallow": {"widths": (16, 32), "attention": False},
    "deep": {"widths": (16, 32, 32, 32), "attention": False},
    "fold4": {"fold": 4},
    "fold4_no_attention": {"fold": 4, "attention": False},
    "fold4_wide": {"fold": 4, "widths": (64, 64, 64)},
    "fold4_patch64": {"fold": 4, "patch_size": 64, "steps": 1600, "batch_size": 16},
})
# Our noise-free recipe at three timesteps, and that of `METHODS["radar_two_timesteps"]`.
RECIPES: Mapping[str, Mapping] = MappingProxyType({
    "t = 100": {"timestep": 100}, "t = 200": {"timestep": 200}, "t = 300": {"timestep": 300},
    "two timesteps": TWO_TIMESTEPS})
# The fastest architecture. Pasted defects do not tell it from `fold4` (0.987 and 0.988 on tile); it was
# picked after both had been seen on test images.
FAST = "fold4_patch64"


def with_network(name: str, config: TrainingConfig) -> TrainingConfig:
    """The same training with a U-Net of `NETWORKS`.

    Raises:
        InputError: no such network.
    """
    if name not in NETWORKS:
        raise InputError(f"--network {name}: choose from {', '.join(NETWORKS)}")
    return replace(config, **NETWORKS[name])


def untrained(name: str, channels: int = 1) -> UNet2DModel:
    """A U-Net of `NETWORKS` with random weights: its time is that of a trained one."""
    config = with_network(name, TrainingConfig())
    return build_unet(channels, config.fold, config.widths, config.attention).eval()


def measure_network(name: str, kit: Kit) -> list[dict]:
    """Train one network on a kit's data, and judge it with each of `RECIPES`.

    What is measured is kept in the run, so that an interrupted call goes on.

    Returns:
        one row for each recipe: `network`, `recipe`, `dataset`, `seed`, `parameters`, `steps`,
        `train_seconds`, the training `loss` (mean of the last tenth), `pasted_auroc` on calibration images
        alone (see `pasted_auroc`), and `image_auroc` on the test images.
    """
    config = with_network(name, kit.training)
    folder = kit.model_folder
    if NETWORKS[name]:
        folder = folder.with_name(f"{folder.name}-{name}")

    def measured() -> dict:
        result = train_into(folder, kit.data.train, config, progress=False)
        told = {"network": name, "dataset": kit.data.name, "seed": kit.seed,
                "parameters": sum(weight.numel() for weight in result.unet.parameters()),
                "steps": len(result.losses), "train_seconds": round(result.seconds, 1),
                "loss": round(float(np.mean(result.losses[-config.steps // 10:])), 5)}
        rows = []
        for recipe, options in RECIPES.items():
            detector = noise_free_detector(unet=result.unet, training=config, random_state=kit.seed,
                                           **options)
            pasted = pasted_auroc(detector, kit)
            scores = -detector.fit(kit.data.calibrate).score_samples(kit.data.test)
            rows.append(told | {"recipe": recipe, "pasted_auroc": round(pasted, 5),
                                "image_auroc": round(float(auroc(kit.data.labels, scores)), 5)})
        return {"rows": rows}
    return kit.keep(f"networks/{name}", measured)["rows"]


def pasted_auroc(detector, kit: Kit, most: int = 40) -> float:
    """Image AUROC on calibration images alone: normal ones against the same with pasted defects.

    In two folds over at most `most` images: the detector, whose U-Net is already trained, is calibrated on
    one half. It scores the other half as it is, and again with each of `PASTED_DEFECTS`.
    """
    images = [as_uint8(image) for image in kit.data.calibrate[:most]]
    rng, values = np.random.default_rng(kit.seed), []
    for first, second in ((images[::2], images[1::2]), (images[1::2], images[::2])):
        pasted = [paste_defect(image, defect, rng)[0] for image in second for defect in PASTED_DEFECTS]
        labels = np.arange(len(second) + len(pasted)) >= len(second)
        values.append(auroc(labels, -detector.fit(first).score_samples(second + pasted)))
    return float(np.mean(values))


def measure_networks(kits: Iterable[Kit], names: Sequence[str] = tuple(NETWORKS)) -> list[dict]:
    """`measure_network` for every network on every kit; prints a line for each."""
    rows = []
    for kit in kits:
        for name in names:
            rows += measure_network(name, kit)
            for row in rows[-len(RECIPES):]:
                print("{dataset:16} seed {seed}  {network:20} {recipe:14} pasted defects "
                      "{pasted_auroc:.3f}  AUROC {image_auroc:.3f}  "
                      "trained in {train_seconds:.0f} s".format_map(row), flush=True)
    return rows


def collect_networks(folder: str | Path) -> list[dict]:
    """Everything that `measure_network` kept in a run, by data set, seed and network."""
    rows = [row for path in Path(folder, "measured").glob("*/networks/*.json")
            for row in json.loads(path.read_text())["rows"]]
    return sorted(rows, key=lambda row: (row["dataset"], row["seed"], list(NETWORKS).index(row["network"])))


def pareto_front(costs: Mapping[str, float], gains: Mapping[str, float]) -> list[str]:
    """The names that no other beats in both cost (low is good) and gain (high is good), cheapest first."""
    front = []
    for name in sorted(costs, key=lambda name: (costs[name], -gains[name])):
        if not front or gains[name] > gains[front[-1]]:
            front.append(name)
    return front


def chosen(rows: pd.DataFrame, dataset: str, network: str) -> dict:
    """The recipe with the largest mean `pasted_auroc` over seeds, and what it reaches on test images.

    Args:
        rows: `networks.csv`.

    Returns:
        `recipe`, `pasted_auroc`, `image_auroc` (means over seeds) and `seeds`.
    """
    mine = rows[(rows["dataset"] == dataset) & (rows["network"] == network)]
    means = mine.groupby("recipe", sort=False)[["pasted_auroc", "image_auroc"]].mean()
    best = means["pasted_auroc"].idxmax()
    return {"recipe": best, "seeds": mine["seed"].nunique(), **means.loc[best].to_dict()}
