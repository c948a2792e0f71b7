"""The first run on a GPU: one short script that says how RADAR does there, and keeps what it has measured.

    python -m radar_nb.experiments.gpu --out results --minutes 8

It needs PyTorch, a GPU and no network. Steps run in the order of how much they tell, each with a limit of its
own; a step for which no time is left is skipped, and said so. `gpu.csv` and `gpu.json` are written after
every step: the same call goes on after a stop. On a CPU, `--tiny` runs all of it in seconds: that tests the
script, not the machine.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib
import pandas as pd
import torch

from radar_nb.experiments import gpu_steps
from radar_nb.experiments.gpu_lab import Lab
from radar_nb.storage.places import REPOSITORY
from radar_nb.storage.whole import whole_file, write_json, write_text

COLUMNS = ["step", "what", "precision", "batch", "value", "unit", "roof_share"]


@dataclass(frozen=True)
class Step:
    """One step: its name, `run(lab)` that yields rows, and the seconds that it may take."""

    name: str
    run: Callable[[Lab], Iterator[dict]]
    seconds: float


STEPS = (Step("agreement", gpu_steps.agreement, 60), Step("patches", gpu_steps.patches, 130),
         Step("throughput", gpu_steps.throughput, 60),
         Step("one step against DDIM", gpu_steps.against_ddim, 20),
         Step("training", gpu_steps.training, 100), Step("compiled", gpu_steps.compiled, 120),
         Step("PatchCore", gpu_steps.patchcore, 30))


@dataclass
class Run:
    """What has been measured so far, in a folder."""

    out: Path
    minutes: float
    rows: list[dict] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter)

    def load(self, device: str) -> None:
        """Go on from what an earlier run on the same device has kept."""
        path = self.out / "gpu.json"
        if path.is_file() and (state := json.loads(path.read_text()))["device"] == device:
            self.seconds = state["seconds"]
            self.rows = [row for row in pd.read_csv(self.out / "gpu.csv").to_dict("records")
                         if row["step"] in self.seconds]

    def left(self) -> float:
        """Seconds left of the whole budget."""
        return 60 * self.minutes - (time.perf_counter() - self.began)

    def save(self, device: str) -> None:
        """Write `gpu.csv` and `gpu.json`, whole or not at all."""
        text = pd.DataFrame(self.rows, columns=COLUMNS).to_csv(index=False)
        write_text(self.out / "gpu.csv", text)
        write_json(self.out / "gpu.json", machine() | {"device": device, "seconds": self.seconds,
                                                       "skipped": self.skipped})


def machine() -> dict:
    """What it ran on: versions, the day, the commit (`RADAR_COMMIT`, where this is a copy)."""
    def said(*command: str) -> str | None:
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True).stdout.strip() or None

    commit = os.environ.get("RADAR_COMMIT") or said("git", "rev-parse", "--short", "HEAD")
    query = ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    driver = said(*query) if torch.cuda.is_available() else None
    return {"python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda,
            "driver": driver, "commit": commit, "date": date.today().isoformat()}


def measure(out: Path, minutes: float = 8, tiny: bool = False, only: tuple[str, ...] = ()) -> Run:
    """Run every step that has not been run yet and fits into what is left; returns what is known then."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    run = Run(out, minutes)
    run.load(device)
    with TemporaryDirectory() as work:
        _run_steps(run, Lab(tiny, Path(work)), device, only)
    run.save(device)
    return run


def _run_steps(run: Run, lab: Lab, device: str, only: tuple[str, ...]) -> None:
    for step in STEPS:
        if step.name in run.seconds or (only and step.name not in only):
            continue
        allowed = min(step.seconds, run.left())
        if allowed < min(10, step.seconds) and not lab.tiny:
            run.skipped[step.name] = f"{run.left():.0f} s were left"
            continue
        began, lab.until = time.perf_counter(), time.perf_counter() + allowed
        try:
            for row in step.run(lab):
                run.rows.append({"step": step.name, **dict.fromkeys(COLUMNS[2:]), **row})
                print(_told(run.rows[-1]), flush=True)
        except Exception as error:  # one step that fails must not take the others with it
            said = (str(error).splitlines() or [""])[0][:200]
            run.skipped[step.name] = f"{type(error).__name__}: {said}"
            print(f"{step.name}: {run.skipped[step.name]}", file=sys.stderr, flush=True)
        else:
            run.seconds[step.name] = round(time.perf_counter() - began, 1)
        run.save(device)
        draw(run)


def _told(row: dict) -> str:
    share = "" if row["roof_share"] is None else f"  {row['roof_share']:.0%} of the roof"
    return (f"{row['step']:22} {row['what']:48} {row['precision'] or '':16} {row['batch'] or '':>5} "
            f"{row['value']:12.4f} {row['unit'] or ''}{share}")


def draw(run: Run) -> None:
    """`gpu-throughput.png`: images a second by batch; `gpu-patches.png`: AUROC and time of whole image and
    patches.
    """
    matplotlib.use("Agg")
    from matplotlib import pyplot
    table = pd.DataFrame(run.rows, columns=COLUMNS)
    speed = table[(table.unit == "images/s") & table.batch.notna() & table.what.str.startswith("U-Net")]
    patches = table[table.step == "patches"]
    if len(speed):
        figure, axes = pyplot.subplots(figsize=(7.5, 4.2), layout="constrained")
        for (marker, (name, part)) in zip("osD^vP*X<>", speed.groupby(["what", "precision"]), strict=False):
            axes.plot(part.batch, part.value, marker + "-", label=name[1])
        axes.set(xlabel="images in a call", ylabel="images a second, 256 x 256", xscale="log", yscale="log",
                 title="the small U-Net alone")
        axes.legend(fontsize=8)
        _save(figure, run.out / "gpu-throughput.png")
    if len(patches):
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
        for axes, unit, label in ((left, "AUROC", "image AUROC"), (right, "ms", "ms an image (noise map)")):
            part = patches[(patches.unit == unit) & (patches.precision == "fp32")]
            axes.bar(part.what, part.value, color="#0072b2")
            axes.set(ylabel=label, yscale="log" if unit == "ms" else "linear")
            axes.tick_params(axis="x", rotation=30)
        left.set_ylim(0.5, 1)
        figure.suptitle("extrusion: whole image against patches of 28 x 28")
        _save(figure, run.out / "gpu-patches.png")


def _save(figure, path: Path) -> None:
    with whole_file(path) as work:
        figure.savefig(work, dpi=110)


def main(arguments: list[str] | None = None) -> int:
    """Run it; returns 1 where a step failed."""
    parser = argparse.ArgumentParser(prog="python -m radar_nb.experiments.gpu",
                                     description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="results", help="folder of gpu.csv and gpu.json (default: results)")
    parser.add_argument("--minutes", type=float, default=8, help="for all steps together (default: 8)")
    parser.add_argument("--only", nargs="+", default=(), choices=[step.name for step in STEPS],
                        help="these steps")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, to test the script itself")
    args = parser.parse_args(arguments)
    if not torch.cuda.is_available() and not args.tiny:
        print("no GPU that PyTorch can use was found; --tiny tests the script on a CPU", file=sys.stderr)
        return 2
    run = measure(Path(args.out), args.minutes, args.tiny, tuple(args.only))
    for name, why in run.skipped.items():
        print(f"{name}: not run ({why})")
    print(f"{args.out}/gpu.csv, gpu.json: {len(run.rows)} rows, {sum(run.seconds.values()):.0f} s")
    return 1 if any(":" in why for why in run.skipped.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
