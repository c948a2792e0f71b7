"""Run the notebooks with papermill and collect figures, tables, `summary.json` and `report.html`."""

import base64
import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import jinja2
import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

from radar_nb.runs.kit import Kit
from radar_nb.runs.provenance import environment
from radar_nb.storage.places import NOTEBOOKS, from_repository
from radar_nb.storage.tables import read_table
from radar_nb.storage.whole import locked, whole_file, write_json, write_text


class NotebookError(RuntimeError):
    """A notebook failed. The message names the notebook, the cell and the error."""


def run_notebooks(kit: Kit, dataset: str, claims: Sequence = ()) -> dict:
    """Execute every notebook in order with the kit's profile, data set and seed.

    Writes executed notebooks, `figures/`, `tables/`, `summary.json` and `report.html` into `kit.folder`.

    Args:
        dataset: its name, or a folder's absolute path.
        claims: of the paper, with our verdicts, for the report; see `radar_nb.experiments.claims`.

    Returns:
        the content of `summary.json`.

    Raises:
        NotebookError: a notebook failed; what was done before it stays.
        InputError: another run is writing to that folder.
    """
    with locked(kit.folder):
        seconds, total = _run_notebooks(kit, dataset)
        return _summarise(kit, seconds, total, claims)


def _run_notebooks(kit: Kit, dataset: str) -> tuple[dict[str, float], float]:
    """Execute the notebooks; returns the seconds of each, and of all."""
    for name in ("methods.json", "summary.json", "report.html"):
        (kit.folder / name).unlink(missing_ok=True)
    for name in ("figures", "tables"):
        shutil.rmtree(kit.folder / name, ignore_errors=True)
    if (kit.model_folder / "training.json").is_file():  # finished: train anew; else go on where it stopped
        shutil.rmtree(kit.model_folder)
    seconds, paths, began = {}, sorted(NOTEBOOKS.glob("[0-9]*.ipynb")), time.perf_counter()
    for number, path in enumerate(paths, 1):
        print(f"[{number:2}/{len(paths)}] {path.stem:28}", end=" ", flush=True)
        if ".need_defects()" in path.read_text(encoding="utf-8") and not kit.data.labels.any():
            print("left out: no defective test images", flush=True)
            continue
        start = time.perf_counter()
        parameters = {"profile": kit.profile, "dataset": dataset, "seed": kit.seed}
        execute(path, kit.folder / path.name, kit.folder, parameters)
        seconds[path.stem] = round(time.perf_counter() - start, 1)
        count = save_figures(kit.folder / path.name, kit.folder / "figures")
        print(f"{seconds[path.stem]:6.1f} s  {count} figures", flush=True)
    return seconds, time.perf_counter() - began


def execute(source: Path, target: Path, run: Path, parameters: dict | None = None) -> None:
    """Execute one notebook with papermill in its own folder; its results go to `run`.

    Raises:
        NotebookError: a cell failed.
    """
    before = os.environ.get("RADAR_RUN")
    os.environ["RADAR_RUN"] = str(run.resolve())  # the kernel inherits it
    try:
        papermill.execute_notebook(source, target, parameters or {}, cwd=NOTEBOOKS, progress_bar=False,
                                   kernel_name="python3",
                                   extra_arguments=["--log-level=40"])  # warnings would garble the progress
    except PapermillExecutionError as error:
        print("failed", flush=True)
        raise NotebookError(f"{target}: cell {error.exec_count}: {error.ename}: {error.evalue}") from None
    finally:
        if before is None:
            del os.environ["RADAR_RUN"]
        else:
            os.environ["RADAR_RUN"] = before


def save_figures(notebook: Path, folder: Path) -> int:
    """Write each PNG output of a notebook to `folder`, with an index of alt texts; returns how many."""
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
    """Execute notebooks (default: all) in place with their stored parameters, so that git holds one run.

    The run's folder is new, so neither files of earlier runs nor a reader's solved exercises show in the
    outputs.
    """
    from_repository("notebooks")
    with tempfile.TemporaryDirectory() as folder:
        _refresh(names, Path(folder))


def _refresh(names: Sequence[str], folder: Path) -> None:
    chosen = [NOTEBOOKS / f"{Path(name).stem}.ipynb" for name in names]
    for path in chosen or sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        print(path.stem, flush=True)
        execute(path, path, folder)
        notebook = nbformat.read(path, 4)
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        notebook.metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
        for cell in notebook.cells:
            cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags" and value}
            for output in cell.get("outputs", []):
                # An explorer leaves its still picture: nobody could move its sliders without a kernel.
                output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
        nbformat.write(notebook, path)


def _summarise(kit: Kit, seconds: dict[str, float], total: float, claims: Sequence) -> dict:
    """Write `summary.json`, `tables/methods.csv` and `report.html`."""
    kept = kit.folder / "methods.json"
    methods = json.loads(kept.read_text()) if kept.is_file() else {}  # without defects nothing is judged
    training = json.loads((kit.model_folder / "training.json").read_text())
    summary = {"dataset": kit.data.name, "profile": kit.profile, "seed": kit.seed,
               "seconds": {"total": round(total, 1), "train": training["seconds"], "notebooks": seconds},
               "methods": methods, "environment": environment()}
    kit.save_table("methods", [{"method": name, **scores} for name, scores in methods.items()])
    write_json(kit.folder / "summary.json", summary)
    _write_report(kit.folder, summary, claims)
    return summary


def _write_report(folder: Path, summary: dict, claims: Sequence) -> None:
    """One HTML file that holds everything, figures too; needs no Jupyter and no network."""
    figures = [{"name": name, **entry, "data": _base64(folder / "figures" / f"{name}.png")}
               for name, entry in json.loads((folder / "figures" / "index.json").read_text()).items()]
    tables = {path.stem: read_table(path).to_html(index=False, border=0, na_rep="",
                                                  float_format="{:.6g}".format)
              for path in sorted((folder / "tables").glob("*.csv"))}
    template = jinja2.Environment(autoescape=True).from_string(
        (Path(__file__).parent / "report.html.jinja").read_text())
    command = (f"python -m radar_nb run --profile {summary['profile']} --dataset {summary['dataset']} "
               f"--seed {summary['seed']}")
    write_text(folder / "report.html", template.render(summary=summary, figures=figures, tables=tables,
                                                       command=command, claims=claims))


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
