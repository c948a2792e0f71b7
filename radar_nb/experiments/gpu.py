"""RADAR on a GPU: one short script that says how it does there, and keeps what it has measured.

    python -m radar_nb.experiments.gpu --out results --minutes 8

It needs PyTorch, a GPU and no network. Steps run in the order of how much they tell. Each has a share of the
time that is left; a step without time is skipped, one that does not end is stopped, and both are said.
`gpu.csv` and `gpu.json` are written after every step: the same call goes on after a stop, if the commit is
the same. On a CPU, `--tiny` runs all of it in seconds: that tests the script, not the machine.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import diffusers
import pandas as pd
import torch

from radar_nb.experiments import gpu_speed, gpu_steps
from radar_nb.experiments.gpu_figures import draw
from radar_nb.experiments.gpu_lab import Lab, arithmetic
from radar_nb.storage.errors import Unavailable
from radar_nb.storage.places import REPOSITORY
from radar_nb.storage.whole import write_json, write_text

COLUMNS = ["step", "what", "precision", "batch", "value", "unit", "ms_median", "ms_p95", "gflop",
           "roof_share"]


@dataclass(frozen=True)
class Step:
    """One step: its name, `run(lab)` that yields rows, its share of the time, the least seconds it needs."""

    name: str
    run: Callable[[Lab], Iterator[dict]]
    share: float
    least: float = 5


# Shares: seconds of eight minutes. What a step leaves goes to the later ones.
STEPS = (Step("agreement", gpu_steps.agreement, 60), Step("patches", gpu_steps.patches, 120, 15),
         Step("throughput", gpu_speed.throughput, 40),
         Step("one step against DDIM", gpu_speed.against_ddim, 10),
         Step("profile", gpu_speed.profiled, 10), Step("training", gpu_steps.training, 165, 20),
         Step("PatchCore", gpu_steps.patchcore, 5), Step("compiled", gpu_speed.compiled, 70, 25))


class OutOfTime(BaseException):
    """The alarm of a step that did not end. No Exception: what the step runs must not take it for its own."""


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in what runs meanwhile, after so many seconds; again each 5 s, should that be lost."""
    def rings(*_) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, rings)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01), 5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Run:
    """What has been measured so far, in a folder."""

    out: Path
    minutes: float
    machine: dict
    rows: list[dict] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    failed: bool = False
    began: float = field(default_factory=time.perf_counter)

    def load(self) -> None:
        """Go on from what an earlier run of the same commit on the same device has kept."""
        path = self.out / "gpu.json"
        if not path.is_file():
            return
        state = json.loads(path.read_text())
        if all(state.get(key) == self.machine[key] for key in ("device", "torch", "commit")):
            self.seconds, self.skipped = state["seconds"], state["skipped"]
            self.left_out = state["left_out"]
            table = pd.read_csv(self.out / "gpu.csv")
            self.rows = table.astype(object).where(table.notna(), None).to_dict("records")

    def left(self) -> float:
        """Seconds left of the whole budget."""
        return 60 * self.minutes - (time.perf_counter() - self.began)

    def start(self, step: Step) -> None:
        """Forget what an earlier try of the step has left."""
        self.rows = [row for row in self.rows if row["step"] != step.name]
        for notes in (self.skipped, self.left_out):
            notes.pop(step.name, None)

    def save(self) -> None:
        """Write `gpu.csv` and `gpu.json`, whole or not at all, and the pictures."""
        write_text(self.out / "gpu.csv", pd.DataFrame(self.rows, columns=COLUMNS).to_csv(index=False))
        write_json(self.out / "gpu.json", self.machine | {"seconds": self.seconds, "skipped": self.skipped,
                                                          "left_out": self.left_out})
        draw(pd.DataFrame(self.rows, columns=COLUMNS), self.machine["device"], self.out)


def machine() -> dict:
    """What it ran on: device, versions, the day, the commit (`RADAR_COMMIT`, where this is a copy)."""
    def said(*command: str) -> str | None:
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True).stdout.strip() or None

    on_gpu = torch.cuda.is_available()
    query = ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return {"device": torch.cuda.get_device_name() if on_gpu else "CPU", "python": platform.python_version(),
            "torch": torch.__version__, "diffusers": diffusers.__version__, "cuda": torch.version.cuda,
            "driver": said(*query) if on_gpu else None, "date": date.today().isoformat(),
            "commit": os.environ.get("RADAR_COMMIT") or said("git", "rev-parse", "--short", "HEAD")}


def measure(out: Path, minutes: float = 8, tiny: bool = False, only: tuple[str, ...] = ()) -> Run:
    """Run every step that has not been run yet and fits into what is left; returns what is known then."""
    run = Run(out, minutes, machine())
    run.load()
    steps = [step for step in STEPS if step.name not in run.seconds and (not only or step.name in only)]
    with TemporaryDirectory() as work, arithmetic("fp32"):
        lab = Lab(tiny, Path(work))
        for number, step in enumerate(steps):
            allowed = run.left() * step.share / sum(other.share for other in steps[number:])
            run.start(step)
            if allowed < step.least and not tiny:
                run.skipped[step.name] = f"{max(allowed, 0):.0f} s were left"
            else:
                _run_step(run, lab, step, allowed)
            run.save()
    return run


def _run_step(run: Run, lab: Lab, step: Step, allowed: float) -> None:
    began, lab.left_out = time.perf_counter(), []
    lab.until = began + allowed
    why = None
    try:
        with alarm(min(allowed + max(15, 0.2 * allowed), run.left())):
            for row in step.run(lab):
                run.rows.append(dict.fromkeys(COLUMNS) | {"step": step.name} | row)
                print(_told(run.rows[-1]), flush=True)
    except OutOfTime:
        why = f"stopped after {time.perf_counter() - began:.0f} s; the rows before that are kept"
    except Unavailable as error:
        why = str(error)
    except Exception as error:  # one step that fails must not take the others with it
        run.failed = True
        why = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
    if why:
        run.skipped[step.name] = why
        print(f"{step.name}: {why}", file=sys.stderr, flush=True)
    else:
        run.seconds[step.name] = round(time.perf_counter() - began, 1)
    if lab.left_out:
        run.left_out[step.name] = lab.left_out


def _told(row: dict) -> str:
    share = f"  {row['roof_share']:.1%} of the roof" if row["roof_share"] else ""
    batch = f"{row['batch']:.0f}" if row["batch"] else ""
    return (f"{row['step'][:11]:11} {row['what']:57} {row['precision'] or '':20} {batch:>5} "
            f"{row['value']:12.4g} {row['unit'] or ''}{share}")


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
        print(f"{name}: not run to its end ({why})")
    for what in sum(run.left_out.values(), []):
        print(f"left out: {what}")
    print(f"{args.out}/gpu.csv, gpu.json: {len(run.rows)} rows, {sum(run.seconds.values()):.0f} s")
    return int(run.failed)


if __name__ == "__main__":
    sys.exit(main())
