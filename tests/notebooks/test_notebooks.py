"""Every notebook, executed by papermill with injected parameters, as `make run` does."""

import json

import pytest
from pickles import looks_like_code
from small import write_folder

from radar_nb.__main__ import main
from radar_nb.storage.places import NOTEBOOKS

METRICS = {"image_auroc", "average_precision", "f1", "precision", "recall", "accuracy", "pixel_auroc", "aupro", "dice", "ms_per_image"}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A folder of a user's own: 20 + 6 normal images and 6 defective ones with masks. They are small, so that the run is quick."""
    return write_folder(tmp_path_factory.mktemp("own") / "parts", "standard", 1, 64, {"train": 20, "test": 6}, ["scratch", "blob"], 3)


@pytest.fixture(scope="module")
def run(photographs, tmp_path_factory):
    """`python -m radar_nb run` on other data and another seed than those of the stored notebooks, which nbval runs."""
    out = tmp_path_factory.mktemp("run")
    assert main(["run", "--profile", "smoke", "--dataset", str(photographs), "--seed", "1", "--out", str(out)]) == 0
    return out


def test_every_notebook_ran(run):
    assert {path.name for path in run.glob("*.ipynb")} == {path.name for path in NOTEBOOKS.glob("[0-9]*.ipynb")}


def test_a_run_writes_nothing_that_can_run_code_and_leaves_nothing_half_written(run):
    files = [path for path in run.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".ipynb", ".png", ".csv", ".json", ".jsonl", ".safetensors", ".html", ".md", ".lock", ""}
    assert [path for path in files if looks_like_code(path) or "unfinished" in path.name] == []
    assert {path.name for path in files if path.suffix == ""} <= {"SHA256SUMS"}


def test_summary_has_its_contract(run):
    summary = json.loads((run / "summary.json").read_text())
    assert summary["dataset"].startswith("parts") and (summary["profile"], summary["seed"]) == ("smoke", 1)
    assert set(summary["seconds"]) == {"total", "train", "notebooks"} and summary["seconds"]["train"] > 0
    assert set(summary["seconds"]["notebooks"]) == {path.stem for path in run.glob("*.ipynb")}
    assert set(summary["methods"]["radar"]) >= METRICS
    assert all(0 <= value <= 1 for name, value in summary["methods"]["radar"].items() if name != "ms_per_image")
    assert set(summary["environment"]) == {"python", "torch", "diffusers", "cpu", "gpu", "git"}


def test_report_is_self_contained(run):
    report = (run / "report.html").read_text()
    figures = list((run / "figures").glob("*.png"))
    assert len(figures) >= 20 and report.count("data:image/png;base64,") == len(figures)
    assert "http://" not in report and "https://" not in report and "<script" not in report and 'alt=""' not in report
    assert (run / "tables" / "methods.csv").is_file() and f"{json.loads((run / 'summary.json').read_text())['methods']['radar']['f1']:.3f}" in report
