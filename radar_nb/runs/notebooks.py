"""Run the notebooks with papermill and collect what they found: figures, tables, `summary.json`, `report.html`."""

import base64
import csv
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import jinja2
import nbformat
import papermill
import torch
from papermill.exceptions import PapermillExecutionError

from radar_nb.experiments.claims import make_claims
from radar_nb.method.detector import RadarDetector
from radar_nb.experiments.evidence import Evidence
from radar_nb.storage.whole import locked, whole_file, write_json, write_text
from radar_nb.experiments.metrics import evaluate
from radar_nb.runs.kit import Kit
from radar_nb.storage.places import NOTEBOOKS, REPOSITORY
from radar_nb.method.training import TrainingConfig, TrainingResult



class NotebookError(RuntimeError):
    """A notebook failed. The message names the notebook, the cell and the error."""


def run_notebooks(kit: Kit, dataset: str) -> dict:
    """Execute every notebook in order with the kit's profile, data set and seed.

    Writes executed notebooks, `figures/`, `tables/`, `summary.json` and `report.html` into `kit.folder`.

    Returns:
        the content of `summary.json`.

    Raises:
        NotebookError: a notebook failed; what was done before it stays.
        InputError: another run is writing to that folder.
    """
    with locked(kit.folder):
        return _run_notebooks(kit, dataset)


def _run_notebooks(kit: Kit, dataset: str) -> dict:
    for name in ("methods.json", "summary.json", "report.html"):
        (kit.folder / name).unlink(missing_ok=True)
    for name in ("figures", "tables"):
        shutil.rmtree(kit.folder / name, ignore_errors=True)
    if (kit.model_folder / "training.json").is_file():  # finished: train anew; unfinished: go on where it stopped
        shutil.rmtree(kit.model_folder)
    seconds, paths, began = {}, sorted(NOTEBOOKS.glob("[0-9]*.ipynb")), time.perf_counter()
    for number, path in enumerate(paths, 1):
        print(f"[{number:2}/{len(paths)}] {path.stem:28}", end=" ", flush=True)
        start = time.perf_counter()
        execute(path, kit.folder / path.name, kit.folder, {"profile": kit.profile, "dataset": dataset, "seed": kit.seed})
        seconds[path.stem] = round(time.perf_counter() - start, 1)
        count = save_figures(kit.folder / path.name, kit.folder / "figures")
        print(f"{seconds[path.stem]:6.1f} s  {count} figures", flush=True)
    return _summarise(kit, seconds, time.perf_counter() - began)


def execute(source: Path, target: Path, run: Path, parameters: dict | None = None) -> None:
    """Execute one notebook with papermill in its own folder; its results go to `run`. Raises NotebookError."""
    before = os.environ.get("RADAR_RUN")
    os.environ["RADAR_RUN"] = str(run.resolve())  # the kernel inherits it; later ones must not
    try:
        papermill.execute_notebook(source, target, parameters or {}, cwd=NOTEBOOKS, progress_bar=False, kernel_name="python3",
                                   extra_arguments=["--log-level=40"])  # errors only: its warnings would garble the progress
    except PapermillExecutionError as error:
        print("failed", flush=True)
        raise NotebookError(f"{target}: cell {error.exec_count}: {error.ename}: {error.evalue}") from None
    finally:
        if before is None:
            del os.environ["RADAR_RUN"]
        else:
            os.environ["RADAR_RUN"] = before


def save_figures(notebook: Path, folder: Path) -> int:
    """Write each PNG output of an executed notebook into `folder`, with an index of alt texts; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    index, count = folder / "index.json", 0
    known = json.loads(index.read_text()) if index.is_file() else {}
    for output in (o for cell in nbformat.read(notebook, 4).cells for o in cell.get("outputs", [])):
        if "image/png" in output.get("data", {}):
            count += 1
            metadata = output["metadata"].get("image/png", {})
            name = metadata.get("name") or f"{notebook.stem}_{count:02}"
            with whole_file(folder / f"{name}.png", durable=False) as work:
                work.write_bytes(base64.b64decode(output["data"]["image/png"]))
            known[name] = {"notebook": notebook.stem, "alt": metadata.get("alt", "")}
    write_json(index, known)
    return count


def refresh_stored_outputs(names: Sequence[str] = ()) -> None:
    """Execute notebooks (default all) in place at their stored defaults, so that git holds the outputs of one run.

    The run's folder is a new one: nothing that an earlier run left, nor a reader's solved exercises, can show in the outputs.
    """
    with tempfile.TemporaryDirectory() as folder:
        _refresh(names, Path(folder))


def _refresh(names: Sequence[str], folder: Path) -> None:
    for path in [NOTEBOOKS / f"{Path(name).stem}.ipynb" for name in names] or sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        print(path.stem, flush=True)
        execute(path, path, folder)
        notebook = nbformat.read(path, 4)
        notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                             "language_info": {"name": "python"}}
        for cell in notebook.cells:
            cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags" and value}
            for output in cell.get("outputs", []):  # an explorer leaves its still picture: nobody could move its sliders without a kernel
                output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
        nbformat.write(notebook, path)


def environment() -> dict[str, str | None]:
    """What a result was made with: versions, processor, GPU, commit."""
    cpuinfo = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.+)", cpuinfo.read_text()) if cpuinfo.is_file() else []
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=REPOSITORY, capture_output=True, text=True)
    return {"python": platform.python_version(), "torch": torch.__version__, "diffusers": version("diffusers"),
            "cpu": f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores",
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "git": git.stdout.strip() or None}


def write_provenance(folder: Path, table: str, seconds: float) -> None:
    """Note in `provenance.json` with which command, in how many seconds and on which machine a table of results was measured."""
    path, made = folder / "provenance.json", environment()
    known = json.loads(path.read_text()) if path.is_file() else {}
    known[table] = (f"`python -m radar_nb {' '.join(sys.argv[1:])}`, {seconds:.0f} s, python {made['python']}, torch {made['torch']}, "
                    f"diffusers {made['diffusers']}, {made['gpu'] or made['cpu']}, commit {made['git']}")
    write_json(path, known)


def _summarise(kit: Kit, seconds: dict[str, float], total: float) -> dict:
    """Write `summary.json`, `tables/methods.csv` and `report.html`."""
    methods = json.loads((kit.folder / "methods.json").read_text())
    training = json.loads((kit.model_folder / "training.json").read_text())
    summary = {"dataset": kit.data.name, "profile": kit.profile, "seed": kit.seed,
               "seconds": {"total": round(total, 1), "train": training["seconds"], "notebooks": seconds},
               "methods": methods, "environment": environment()}
    kit.save_table("methods", [{"method": name, **scores} for name, scores in methods.items()])
    write_json(kit.folder / "summary.json", summary)
    _write_report(kit.folder, summary)
    return summary


def _write_report(folder: Path, summary: dict) -> None:
    """One HTML file that holds everything, figures too; needs no Jupyter and no network."""
    figures = [{"name": name, **entry, "data": base64.b64encode((folder / "figures" / f"{name}.png").read_bytes()).decode()}
               for name, entry in json.loads((folder / "figures" / "index.json").read_text()).items()]
    tables = {path.stem: list(csv.reader(path.open())) for path in sorted((folder / "tables").glob("*.csv"))}
    template = jinja2.Environment(autoescape=True).from_string((Path(__file__).parent / "report.html.jinja").read_text())
    command = f"python -m radar_nb run --profile {summary['profile']} --dataset {summary['dataset']} --seed {summary['seed']}"
    write_text(folder / "report.html", template.render(summary=summary, figures=figures, tables=tables, command=command, claims=make_claims(Evidence())))


def write_card(folder: Path, kit: Kit, config: TrainingConfig, result: TrainingResult, detector: RadarDetector) -> None:
    """Write a model's card, `README.md`: data, command, seed, steps, scores on test images."""
    scores = evaluate(detector, kit.data)
    rows = "\n".join(f"| {name.replace('_', ' ')} | {value:.3f} |" for name, value in scores.items())
    parameters = sum(parameter.numel() for parameter in result.unet.parameters())
    command = " ".join(["python -m radar_nb", *sys.argv[1:]])
    write_text(folder / "README.md", f"""# U-Net and RADAR detector for `{kit.data.name}`

A `diffusers.UNet2DModel` of {parameters:,} parameters that predicts noise, trained on normal images only, and beside
it the calibration of a `RadarDetector`. Load it with `RadarDetector.from_pretrained(folder)`, or the U-Net alone with
`UNet2DModel.from_pretrained(folder)`.

| | |
|---|---|
| data | {kit.data} |
| command | `{command}` |
| seed, steps, batch | {config.seed}, {config.steps}, {config.batch_size} patches of {config.patch_size} x {config.patch_size} |
| time | {result.seconds:.0f} s on {environment()["gpu"] or environment()["cpu"]} |
| mean loss of the last 50 steps | {sum(result.losses[-50:]) / len(result.losses[-50:]):.4f} |
| versions | torch {torch.__version__}, diffusers {version("diffusers")} |

Scores on the test images, at the detector's own thresholds; no choice was made on them:

| metric | value |
|---|---|
{rows}
""")
