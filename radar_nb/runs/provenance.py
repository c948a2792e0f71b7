"""What a result was made with, and the card of a trained model."""

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from statistics import mean

import torch

from radar_nb.method.training import TrainingConfig, TrainingResult
from radar_nb.runs.kit import Kit
from radar_nb.storage.places import REPOSITORY
from radar_nb.storage.whole import write_json, write_text


def environment() -> dict[str, str | None]:
    """What a result was made with: versions, processor, GPU, commit."""
    cpuinfo = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.+)", cpuinfo.read_text()) if cpuinfo.is_file() else []
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=REPOSITORY, capture_output=True,
                         text=True)
    return {"python": platform.python_version(), "torch": torch.__version__,
            "diffusers": version("diffusers"),
            "cpu": f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores",
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "git": git.stdout.strip() or None}


def write_provenance(folder: Path, table: str, seconds: float) -> None:
    """Note in `provenance.json` how a table of results was measured: command, seconds, machine."""
    path, made = folder / "provenance.json", environment()
    known = json.loads(path.read_text()) if path.is_file() else {}
    command = " ".join(sys.argv[1:])
    known[table] = (f"`python -m radar_nb {command}`, {seconds:.0f} s, python {made['python']}, "
                    f"torch {made['torch']}, diffusers {made['diffusers']}, {made['gpu'] or made['cpu']}, "
                    f"commit {made['git']}")
    write_json(path, known)


def write_card(folder: Path, kit: Kit, config: TrainingConfig, result: TrainingResult,
               scores: Mapping[str, float]) -> None:
    """Write a model's card, `README.md`: data, command, seed, steps, `scores` on test images, if any."""
    rows = "\n".join(f"| {name.replace('_', ' ')} | {value:.3f} |" for name, value in scores.items())
    tested = f"""Scores on the test images, at the detector's own thresholds; no choice was made on them:

| metric | value |
|---|---|
{rows}""" if scores else "Not tested: there were no test images."
    parameters = sum(parameter.numel() for parameter in result.unet.parameters())
    command = " ".join(["python -m radar_nb", *sys.argv[1:]])
    patches = f"{config.batch_size} patches of {config.patch_size} x {config.patch_size}"
    write_text(folder / "README.md", f"""# U-Net and RADAR detector for `{kit.data.title or kit.data.name}`

A `diffusers.UNet2DModel` of {parameters:,} parameters that predicts noise, trained on normal images only, and
beside it the calibration of a detector. Load it with `radar_nb.load_detector(folder)`, or the U-Net alone
with `UNet2DModel.from_pretrained(folder)`.

| | |
|---|---|
| data | {kit.data} |
| command | `{command}` |
| seed, steps, batch | {config.seed}, {config.steps}, {patches} |
| time | {result.seconds:.0f} s on {environment()["gpu"] or environment()["cpu"]} |
| mean loss of the last 50 steps | {mean(result.losses[-50:]):.4f} |
| versions | torch {torch.__version__}, diffusers {version("diffusers")} |

{tested}
""")
