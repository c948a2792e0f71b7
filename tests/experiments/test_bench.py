"""The stopwatch measures what it says; the bench has a row for everything; the Pareto front is one."""

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from small import SMALL

from radar_nb.__main__ import main
from radar_nb.experiments import bench, networks
from radar_nb.experiments.bench import exponent, score_jobs, time_methods
from radar_nb.experiments.networks import NETWORKS, measure_networks, pareto_front, untrained, with_network
from radar_nb.experiments.timing import COLUMNS, Job, count_gflop, gemm_roof, rows_of, time_jobs
from radar_nb.method.detector import RadarDetector
from radar_nb.method.training import TrainingConfig
from radar_nb.method.unet import build_unet
from radar_nb.runs.kit import PROFILES, Kit
from radar_nb.storage.errors import InputError
from radar_nb.storage.tables import read_table


@pytest.fixture
def kit(tmp_path, monkeypatch):
    """The smoke profile on fewer and smaller images, with few steps."""
    training = TrainingConfig(steps=3, batch_size=2)
    monkeypatch.setitem(PROFILES, "smoke", replace(PROFILES["smoke"], sizes=SMALL, training=training))
    return Kit("smoke", "printed", 0, tmp_path / "run")


def test_jobs_take_turns_and_rows_say_what_was_measured():
    order = []
    jobs = [Job(name, "numpy", lambda _, name=name, pause=pause: (order.append(name), time.sleep(pause)),
                8, 9, batch) for name, pause, batch in (("slow", 0.02, 1), ("quick", 0.004, 2))]
    time_jobs(jobs, 5)
    assert order == ["slow", "quick"] + ["slow", "slow", "quick", "quick"] * 5  # warm-up, then turns
    slow, quick = rows_of(jobs, roof=100.0)
    assert tuple(slow) == COLUMNS
    assert [slow[key] for key in ("height", "width", "gflop", "roof_share")] == [8, 9, "", ""]
    assert 20 <= slow["ms_median"] <= slow["ms_p95"] and slow["ms_median"] > 2 * quick["ms_median"]
    assert quick["images_per_second"] == pytest.approx(2000 / quick["ms_median"], rel=1e-2)


def test_a_whole_score_answers_for_each_image_of_its_batch():
    """The paper's recipe and the fused detector, which reads hidden layers of the same call."""
    for recipe, name in ((None, "score fold4"), ("fused", "score fold4, fused")):
        one, two = score_jobs(("fold4",), ("torch",), (1, 2), side=64, recipe=recipe)
        assert one.method == two.method == name and one.gflop == pytest.approx(two.gflop)
        assert len(one.call(0)) == 1 and len(two.call(0)) == 2


def test_peak_memory_sees_what_a_call_takes():
    small, large = (Job("m", "numpy", lambda _, size=size: np.ones(size, np.uint8).sum(), 1, 1)
                    for size in (1, 200 * 2**20))
    time_jobs([small, large], 1)
    assert np.isnan(large.peak_mb) or large.peak_mb - small.peak_mb > 150


@torch.inference_mode()
def test_peak_memory_counts_what_an_earlier_job_left_for_reuse():
    """A U-Net frees memory that the C library keeps. The next call takes from it, and still needs that much."""
    unet, x = build_unet(1, 2, (32, 64)).eval(), torch.randn(8, 4, 128, 128)
    large, small = (Job("m", "torch", lambda _, part=x[:count]: unet(part, 0), 256, 256) for count in (8, 1))
    time_jobs([large, small], 1, flop=False)
    assert np.isnan(large.peak_mb) or (small.peak_mb > 8 and large.peak_mb > 3 * small.peak_mb), (large.peak_mb, small.peak_mb)


@torch.inference_mode()
def test_flop_are_counted_attention_too():
    convolution = torch.nn.Conv2d(3, 5, 3, padding=1, bias=False)
    convolved = count_gflop(lambda: convolution(torch.zeros(2, 3, 8, 9)))
    assert convolved == pytest.approx(2 * 2 * 5 * 8 * 9 * 3 * 9 / 1e9)
    q = torch.randn(1, 2, 100, 16)
    attended = count_gflop(lambda: torch.nn.functional.scaled_dot_product_attention(q, q, q))
    assert attended == pytest.approx(2 * 2 * 2 * 100 * 100 * 16 / 1e9)
    x = torch.randn(1, 4, 32, 32)
    small, large = (count_gflop(lambda unet=build_unet(1, 2, widths).eval(): unet(x, 0))
                    for widths in ((16, 32), (32, 64)))
    assert 3 < large / small < 5


def test_the_roof_is_that_of_a_product():
    a = torch.randn(512, 512)
    began = time.perf_counter()
    for _ in range(20):
        a @ a
    rough = 20 * 2 * 512**3 / (time.perf_counter() - began) / 1e9
    assert rough / 8 < gemm_roof(512, 3) < rough * 8


def test_methods_are_timed_in_one_run(kit):
    rows = {row["method"]: row for row in time_methods(kit, ["radar", "pca", "ddim10"], rounds=2)}
    assert rows["pca"]["engine"] == "numpy" and rows["ddim10"]["ms_median"] > rows["radar"]["ms_median"] > 0
    radar, ten = bench.method_jobs(kit, ["radar", "ddim10"])
    time_jobs([radar, ten], 1)
    assert ten.gflop == pytest.approx(10 * radar.gflop, rel=1e-3) and radar.gflop > 0


def test_bench_quick_has_a_row_for_everything(kit, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "SIDE", 32)
    monkeypatch.setattr(bench, "METHODS", {name: bench.METHODS[name] for name in ("radar", "pca", "anoddpm")})
    assert main(["bench", "--quick", "--run", str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 0
    rows = read_table(tmp_path / "out/bench.csv").to_dict("records")
    assert tuple(rows[0]) == COLUMNS and (tmp_path / "out/bench.png").stat().st_size > 5000
    assert {(row["method"], row["engine"]) for row in rows} >= {
        ("radar", "torch"), ("pca", "numpy"), ("score folded", "onnx"), (f"forward {networks.FAST}", "onnx"),
        ("forward folded", "torch")}
    assert all(0 < row["ms_median"] <= row["ms_p95"] and row["images_per_second"] > 0 for row in rows)
    assert "GFLOP/s" in capsys.readouterr().out


def test_networks_are_trained_judged_on_calibration_images_and_kept(kit, monkeypatch):
    recipes = {"a": {"calibration_points": 20}, "b": {"timestep": 50, "calibration_points": 20}}
    monkeypatch.setattr(networks, "RECIPES", recipes)
    rows = measure_networks([kit], ("folded", "fold4"))
    assert [row["network"] for row in rows[::2]] == ["folded", "fold4"]
    assert all(0 <= row[key] <= 1 for row in rows for key in ("pasted_auroc", "image_auroc"))
    assert rows[0]["parameters"] != rows[2]["parameters"]
    assert measure_networks([kit], ("folded", "fold4")) == rows == networks.collect_networks(kit.folder)
    kit.data = replace(kit.data, test=None)  # the choice cannot see a test image
    detector = RadarDetector(unet=untrained("fold4"), calibration_points=20)
    assert networks.pasted_auroc(detector, kit, most=4) == networks.pasted_auroc(detector, kit, most=4) >= 0


def test_every_network_can_be_built_and_an_unknown_one_is_named():
    for name in NETWORKS:
        unet = untrained(name)
        assert unet(torch.zeros(1, unet.config.in_channels, 16, 16), 0).sample.shape[-1] == 16
    with pytest.raises(InputError, match="--network huge: choose from plain, folded"):
        with_network("huge", TrainingConfig())
    assert networks.FAST in NETWORKS


def test_the_pareto_front_is_what_no_other_beats():
    costs = {"a": 1, "b": 2, "c": 3, "d": 4, "e": 2}
    gains = {"a": 0.5, "b": 0.9, "c": 0.8, "d": 0.95, "e": 0.7}
    assert pareto_front(costs, gains) == ["a", "b", "d"]


def test_a_recipe_is_chosen_on_pasted_defects_whatever_the_test_images_say():
    rows = [{"dataset": "d", "network": "n", "recipe": recipe, "seed": seed, "pasted_auroc": pasted,
             "image_auroc": auroc}
            for recipe, pasted, auroc in (("a", 0.7, 0.99), ("b", 0.8, 0.5)) for seed in (0, 1)]
    assert networks.chosen(pd.DataFrame(rows), "d", "n") == {
        "recipe": "b", "seeds": 2, "pasted_auroc": pytest.approx(0.8), "image_auroc": 0.5}


def test_the_exponent_of_a_power_law():
    sizes = np.array([1, 2, 4, 8])
    assert exponent(sizes, 3 * sizes**1.5) == pytest.approx(1.5)
