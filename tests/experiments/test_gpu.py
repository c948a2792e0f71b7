"""`make gpu`, tried on a CPU with tiny sizes: every step gives rows, it goes on after a stop, limits hold."""

import json

import pandas as pd
import pytest
import torch

from radar_nb.experiments import gpu


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    out = tmp_path_factory.mktemp("gpu")
    return out, gpu.measure(out, minutes=5, tiny=True)


def test_every_step_gives_rows_or_says_why_not(measured):
    out, run = measured
    table, state = pd.read_csv(out / "gpu.csv"), json.loads((out / "gpu.json").read_text())
    assert list(table.columns) == gpu.COLUMNS
    for step in gpu.STEPS:
        assert step.name in state["seconds"] or step.name in state["skipped"], step.name
    assert {"agreement", "patches", "throughput", "training"} <= set(table.step)
    off = table[table.what.str.startswith("features, largest")].value
    resumed = table[table.what.str.startswith("resumed")].value
    assert off.max() < 1e-3 and resumed.max() < 1e-6
    assert (out / "gpu-throughput.png").is_file() and (out / "gpu-patches.png").is_file()
    assert {"device", "torch", "commit", "date"} <= set(state)


def test_it_goes_on_after_a_stop(measured, tmp_path, monkeypatch):
    out, run = measured
    for name in ("gpu.csv", "gpu.json"):
        (tmp_path / name).write_bytes((out / name).read_bytes())
    state = json.loads((tmp_path / "gpu.json").read_text())
    del state["seconds"]["one step against DDIM"]
    (tmp_path / "gpu.json").write_text(json.dumps(state))
    again = gpu.measure(tmp_path, minutes=5, tiny=True, only=("agreement", "one step against DDIM"))
    assert again.seconds["agreement"] == run.seconds["agreement"], "kept, not measured anew"
    rows = pd.read_csv(tmp_path / "gpu.csv")
    assert (rows.step == "one step against DDIM").sum() == 1 and "one step against DDIM" in again.seconds


def test_a_step_without_time_is_skipped_and_one_that_fails_takes_no_other_along(tmp_path, monkeypatch):
    run = gpu.measure(tmp_path / "late", minutes=0)
    assert not run.rows and set(run.skipped) == {step.name for step in gpu.STEPS}
    assert all("s were left" in why for why in run.skipped.values())

    def breaks(lab):
        yield {"what": "before", "value": 1.0}
        raise RuntimeError("no such kernel")

    def works(lab):
        yield {"what": "after", "value": 2.0}

    monkeypatch.setattr(gpu, "STEPS", (gpu.Step("one", breaks, 60), gpu.Step("two", works, 60)))
    run = gpu.measure(tmp_path / "broken", minutes=1, tiny=True)
    assert run.skipped == {"one": "RuntimeError: no such kernel"} and [row["what"]
                                                                       for row in run.rows] == ["before",
                                                                                                "after"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys, tmp_path):
    assert gpu.main(["--out", str(tmp_path)]) == 2
    assert "no GPU" in capsys.readouterr().err
