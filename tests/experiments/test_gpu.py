"""`make gpu`, tried on a CPU with tiny sizes: every step gives rows, it goes on after a stop, limits hold."""

import json
import signal
import time

import pandas as pd
import pytest
import torch

from radar_nb.experiments import gpu


@pytest.fixture(scope="module", autouse=True)
def one_commit():
    """Somebody may commit while the tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RADAR_COMMIT", "tested")
        yield


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    out = tmp_path_factory.mktemp("gpu")
    return out, gpu.measure(out, minutes=5, tiny=True)


@pytest.fixture
def again(measured, tmp_path):
    """A copy of what was measured, in which one step is still to be done."""
    for name in ("gpu.csv", "gpu.json"):
        (tmp_path / name).write_bytes((measured[0] / name).read_bytes())
    state = json.loads((tmp_path / "gpu.json").read_text())
    del state["seconds"]["one step against DDIM"]
    (tmp_path / "gpu.json").write_text(json.dumps(state))
    return tmp_path


def test_every_step_gives_rows_or_says_why_not(measured):
    out, run = measured
    table, state = pd.read_csv(out / "gpu.csv"), json.loads((out / "gpu.json").read_text())
    assert list(table.columns) == gpu.COLUMNS
    for step in gpu.STEPS:
        assert step.name in state["seconds"] or step.name in state["skipped"], step.name
    assert {"agreement", "patches", "throughput", "profile", "training"} <= set(table.step)
    off = table[table.what.str.startswith("features, largest")].set_index("precision").value
    losses = table[table.what.str.endswith("largest difference of a loss")].value
    assert off["fp32"] < 1e-3 and off["bf16"] > 0, "bf16 is another arithmetic"
    assert len(losses) == 2 and losses.max() < 1e-6
    assert (out / "gpu-throughput.png").is_file() and (out / "gpu-patches.png").is_file()
    assert {"device", "torch", "commit", "date"} <= set(state)
    timed = table[table.unit.isin(["images/s", "patches/s"]) & table.ms_median.notna()]
    assert len(timed) and (timed.ms_p95 >= timed.ms_median).all()


def test_it_goes_on_after_a_stop(measured, again):
    run = gpu.measure(again, minutes=5, tiny=True, only=("agreement", "one step against DDIM"))
    assert run.seconds["agreement"] == measured[1].seconds["agreement"], "kept, not measured anew"
    rows = pd.read_csv(again / "gpu.csv")
    assert not rows.duplicated(["step", "what", "precision", "batch"]).any()
    assert len(rows) == len(measured[1].rows) and "one step against DDIM" in run.seconds


def test_it_does_not_go_on_with_rows_of_another_commit(again, monkeypatch):
    monkeypatch.setenv("RADAR_COMMIT", "another")
    run = gpu.measure(again, minutes=5, tiny=True, only=("one step against DDIM",))
    assert set(run.seconds) == {"one step against DDIM"} == {row["step"] for row in run.rows}


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
    assert run.skipped == {"one": "RuntimeError: no such kernel"} and run.failed
    assert [row["what"] for row in run.rows] == ["before", "after"]


def test_a_step_that_does_not_end_is_stopped_and_what_a_step_leaves_out_is_said(tmp_path, monkeypatch):
    def hangs(lab):
        yield {"what": "before", "value": 1.0}
        try:
            time.sleep(60)
        except Exception:
            pytest.fail("a step took the alarm for an error of its own")

    def leaves_out(lab):
        lab.tiny = False
        if lab.has(1000, "a large batch"):
            yield {"what": "never", "value": 0.0}

    monkeypatch.setattr(gpu, "STEPS", (gpu.Step("one", hangs, 1), gpu.Step("two", leaves_out, 1)))
    before = signal.getsignal(signal.SIGALRM)
    began = time.perf_counter()
    run = gpu.measure(tmp_path, minutes=3 / 60, tiny=True)
    assert time.perf_counter() - began < 20 and signal.getsignal(signal.SIGALRM) is before
    assert run.skipped["one"].startswith("stopped after") and not run.failed
    assert [row["what"] for row in run.rows] == ["before"]
    assert run.left_out["two"][0].startswith("a large batch: needs 1000 s")
    state = json.loads((tmp_path / "gpu.json").read_text())
    assert state["skipped"] == run.skipped and state["left_out"] == run.left_out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys, tmp_path):
    assert gpu.main(["--out", str(tmp_path)]) == 2
    assert "no GPU" in capsys.readouterr().err
