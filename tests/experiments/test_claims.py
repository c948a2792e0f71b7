"""Tables, intervals, claims: each number can be traced, and the committed report is what the tables say."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score
from small import SMALL

from radar_nb.experiments import ablations, comparison
from radar_nb.experiments.ablations import (
    ABLATIONS,
    Variant,
    ablate,
    add_to_table,
    measure_normality,
    run_variant,
)
from radar_nb.experiments.claims import make_claims, margin_verdict
from radar_nb.experiments.comparison import (
    collect,
    compare,
    merge,
    plan,
    read_tables,
    run_method,
    write_tables,
)
from radar_nb.experiments.evidence import OF_SCORES, STATISTICS, Estimate, Evidence
from radar_nb.experiments.methods import METHODS
from radar_nb.experiments.metrics import best_f1, recall_at_5
from radar_nb.experiments.report import comparison_table, not_measured, write_claims
from radar_nb.runs.kit import PROFILES, Kit
from radar_nb.storage.errors import InputError
from radar_nb.storage.places import REPOSITORY, RESULTS
from radar_nb.storage.tables import read_table, write_table


@pytest.fixture
def kit(tmp_path, monkeypatch):
    """The smoke profile on fewer and smaller images."""
    monkeypatch.setitem(PROFILES, "smoke", replace(PROFILES["smoke"], sizes=SMALL))
    return Kit("smoke", "printed", 0, tmp_path / "run")


def say(scores, labels, seed=0, method="radar", threshold=0.5):
    """What `run_method` would return for these scores."""
    kinds = ["blob" if label else "good" for label in labels]
    anomalous = np.asarray(scores) > threshold
    metrics = {"image_auroc": roc_auc_score(labels, scores), "f1": f1_score(labels, anomalous),
               "accuracy": np.mean(anomalous == labels), "precision": precision_score(labels, anomalous),
               "recall": recall_score(labels, anomalous), "recall_at_5": slow_recall_at_5(labels, scores)}
    return {"dataset": "printed", "seed": seed, "method": method, "profile": "cpu", "seconds": 1.0,
            "kinds": kinds, "metrics": metrics,
            "scores": list(map(float, scores)), "anomalous": list(map(int, anomalous))}


@pytest.fixture
def made(tmp_path, rng):
    """Tables of two methods on made scores: `radar` far better than `pca`, in two seeds."""
    labels = np.arange(80) % 2 == 1
    results = []
    for seed in (0, 1):
        noise = rng.normal(0, 0.15, (2, 80))
        results += [say(0.15 + 0.7 * labels + noise[0], labels, seed),
                    say(0.4 + 0.15 * labels + noise[1], labels, seed, "pca")]
    write_tables(results, tmp_path)
    return Evidence(tmp_path), results


def test_tables_can_be_read_back_and_added_to(made):
    evidence, results = made
    assert read_tables(evidence.folder) == results and read_tables(evidence.folder / "none") == []
    newer = [results[1] | {"seconds": 9.0}, results[1] | {"seed": 2}]
    merged = merge(results, newer)
    assert len(merged) == 5 and merged[1]["seconds"] == 9.0
    assert merge(results, [results[0] | {"dataset": "texture"}])[-1]["dataset"] == "texture"
    assert merge([results[0] | {"method": "dropped"}], []) == []
    with pytest.raises(InputError, match="profiles cpu and smoke"):
        merge(results, [results[0] | {"profile": "smoke"}])


def test_the_committed_tables_survive_reading_and_writing(tmp_path):
    write_tables(read_tables(), tmp_path)
    for path in [RESULTS / "comparison.csv", *(RESULTS / "images").glob("*.csv")]:
        assert (tmp_path / path.relative_to(RESULTS)).read_bytes() == path.read_bytes()


# --- evidence


def slow_recall_at_5(labels, scores):
    """Every threshold in turn: the most defects with at most 5 % of the good images above."""
    rates = [((scores[labels] > level).mean(), (scores[~labels] > level).mean())
             for level in [*scores, -np.inf]]
    return max(found for found, alarms in rates if alarms <= 0.05)


@pytest.mark.parametrize("name", STATISTICS)
def test_statistics_equal_scikit_learn(name, rng):
    labels, scores = rng.random((5, 60)) < 0.4, np.round(rng.random((5, 60)), 1)  # with ties
    anomalous = scores > 0.6
    slow = {"image_auroc": lambda i: roc_auc_score(labels[i], scores[i]),
            "f1": lambda i: f1_score(labels[i], anomalous[i]),
            "precision": lambda i: precision_score(labels[i], anomalous[i]),
            "recall": lambda i: recall_score(labels[i], anomalous[i]),
            "accuracy": lambda i: np.mean(labels[i] == anomalous[i]),
            "recall_at_5": lambda i: slow_recall_at_5(labels[i], scores[i])}[name]
    values = STATISTICS[name](labels, scores if name in OF_SCORES else anomalous)
    assert np.allclose(values, [slow(i) for i in range(5)])


def test_tables_keep_what_was_said(made):
    evidence, results = made
    assert evidence.datasets() == ["printed"] and evidence.methods("printed") == ["radar", "pca"]
    assert evidence.seeds("printed", "radar", "pca") == [0, 1]
    labels, scores, anomalous = evidence.said("printed", 1, "pca")
    assert np.allclose(scores, results[3]["scores"])
    assert np.array_equal(anomalous, np.array(results[3]["anomalous"], bool))
    assert np.array_equal(labels, [kind != "good" for kind in results[3]["kinds"]])
    in_order = sorted(results, key=lambda r: (r["seed"], r["method"] == "pca"))
    for row, result in zip(evidence.rows.to_dict("records"), in_order, strict=True):
        assert row["method"] == result["method"] and row["f1"] == pytest.approx(result["metrics"]["f1"])
        assert pd.isna(row["pixel_auroc"]), "not measured is not 0"


def test_intervals_hold_the_mean_and_pairs_are_narrower(made):
    evidence, results = made
    for metric in STATISTICS:
        estimate = evidence.interval("printed", "radar", metric)
        values = [r["metrics"][metric] for r in results if r["method"] == "radar"]
        assert estimate.value == pytest.approx(np.mean(values))
        assert estimate.low <= estimate.value <= estimate.high
    difference = evidence.difference("printed", "radar", "pca")
    values = [r["metrics"]["f1"] for r in results]
    assert difference.value == pytest.approx((values[0] - values[1] + values[2] - values[3]) / 2)
    assert 0 < difference.low < difference.value < difference.high < 1
    same = evidence.difference("printed", "radar", "radar")
    assert (same.value, same.low, same.high) == (0, 0, 0), "in pairs, a method differs from itself by nothing"


def test_next_best_is_chosen_among_the_rivals(made):
    evidence, _ = made
    assert evidence.next_best("printed") == "pca"
    assert evidence.next_best("printed", families=("reconstruction-free",)) is None


def test_tables_from_before_recall_at_5_can_still_be_read(made):
    evidence, results = made
    path = evidence.folder / "comparison.csv"
    write_table(path, read_table(path).drop(columns="recall_at_5"))
    older = Evidence(evidence.folder)
    assert older.value("printed", 0, "pca", "recall_at_5") == results[1]["metrics"]["recall_at_5"]
    assert older.next_best("printed", "recall_at_5") == "pca" and len(comparison_table(older, "printed")) == 4
    assert all("recall_at_5" not in result["metrics"] for result in read_tables(evidence.folder))


def test_missing_tables_are_named(tmp_path):
    with pytest.raises(InputError, match="compare"):
        Evidence(tmp_path)


# --- claims


@pytest.mark.parametrize(("estimate", "verdict"), [
    ((0.2, 0.1, 0.3), "holds"), ((0.1, 0.05, 0.2), "holds in part"), ((0.2, -0.01, 0.3), "does not hold")])
def test_margin_verdict(estimate, verdict):
    assert margin_verdict(Estimate(*estimate), 0.13) == verdict


def test_claims_say_what_is_missing(made, tmp_path):
    evidence, _ = made
    claims = {claim.claim: claim for claim in make_claims(evidence)}
    tile = next(claim for text, claim in claims.items() if "tile" in text)
    assert tile.verdict == "cannot be tested here" and "mvtec_tile_192" in tile.why
    assert "not measured yet" not in {claim.verdict for claim in claims.values()}
    printed = next(claim for text, claim in claims.items() if "13 points" in text)
    assert printed.verdict == "holds"
    assert str(evidence.difference("printed", "radar", "pca")) in printed.measured


def test_what_is_ours_is_never_judged_in_the_papers_place(made, tmp_path):
    _, results = made
    names = {"radar": "radar_noise_free", "pca": "pca"}
    renamed = [result | {"method": names[result["method"]]} for result in results]
    write_tables(renamed, tmp_path / "ours")
    claims = make_claims(Evidence(tmp_path / "ours"))
    printed = next(claim for claim in claims if "13 points" in claim.claim)
    assert printed.verdict == "not measured yet" and "noise-free reading at t = 200" in printed.measured
    assert {claim.verdict for claim in claims} == {"not measured yet", "cannot be tested here"}


def test_the_committed_claims_are_what_the_committed_tables_say(tmp_path):
    write_claims(Evidence(), tmp_path / "CLAIMS.md")
    written, committed = (folder / "CLAIMS.md" for folder in (tmp_path, REPOSITORY))
    assert written.read_text() == committed.read_text(), "run `python -m radar_nb claims`"


def test_the_committed_tables_agree_with_each_other():
    evidence = Evidence()
    for row in evidence.rows.to_dict("records"):
        labels, scores, anomalous = evidence.said(row["dataset"], row["seed"], row["method"])
        assert roc_auc_score(labels, scores) == pytest.approx(row["image_auroc"], abs=1e-3), row
        assert recall_at_5(labels, scores) == pytest.approx(row["recall_at_5"], abs=1e-5), row
        assert f1_score(labels, anomalous) == pytest.approx(row["f1"], abs=1e-5), row


def test_every_measured_method_is_in_the_table():
    evidence = Evidence()
    table = comparison_table(evidence, "printed")
    optional = {"patchcore", "radar_fused"}        # a pretrained one, and one for photographs
    # Measured on surfaces where the others fall short, or on `extrusion`, whose beads have angles.
    elsewhere = {"radar_two_timesteps", "diffusion_ad", "forest_clustering", "causal_residual_per_angle",
                 "forest_clustering_per_angle", "radar_glcm", "radar_ssim", "radar_hough", "radar_entropy",
                 "radar_fused", "radar_plain", "patchcore", "ddpm_250", "anoddpm_250", "ddpm_250_strided",
                 "anoddpm_250_strided"}
    missing = {name for name in METHODS if METHODS[name].label in not_measured(evidence)}
    assert missing <= optional, "measured once, never lost"
    elsewhere -= set(evidence.methods("printed"))
    names = [name for name in METHODS if name not in missing | elsewhere]
    assert list(table["method"])[:-2] == [METHODS[name].label for name in names]
    assert len(evidence.seeds("printed", "radar_noise_free", "pca", "ddim10")) == 5


def test_every_measured_method_is_timed():
    """But for those that are not made for the data set of the bench."""
    unsuited = {name for name, method in METHODS.items() if not method.suits("printed")}
    assert unsuited == {"causal_residual_per_angle", "forest_clustering_per_angle"}
    evidence = Evidence()
    for dataset in evidence.datasets():
        table = comparison_table(evidence, dataset)[:-2]  # without the trivial rows
        untimed = set(table.loc[table["ms"] == "", "method"])
        assert untimed <= {METHODS[name].label for name in unsuited}


def test_the_last_two_rows_need_no_method():
    table = comparison_table(Evidence(), "printed").set_index("method")
    everything, coin = table.iloc[-2], table.iloc[-1]
    assert (everything.name, coin.name) == ("everything anomalous", "a coin at the prevalence")
    assert everything["recall"] == "1.000" and everything["F1"] == f"{2 * 100 / (2 * 100 + 60):.3f}"
    assert everything["image AUROC"] == "0.500"
    assert coin["recall"] == coin["precision"] == f"{100 / 160:.3f}"


# --- measuring


def test_compare_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    labels = np.arange(20) % 2 == 1
    calls = []

    def pretend(name, kit):
        calls.append(name)
        if calls == ["pca"]:
            raise KeyboardInterrupt
        return say(labels * 0.9, labels, method=name)

    monkeypatch.setattr(comparison, "run_method", pretend)
    kits = [Kit("smoke", "printed", 0, tmp_path)]
    with pytest.raises(KeyboardInterrupt):
        compare(plan(kits, ["radar", "pca"]))
    assert not list(tmp_path.rglob("pca.json"))
    compare(plan(kits, ["radar", "pca"]))
    compare(plan(kits, ["radar", "pca"]))
    assert calls == ["pca", "pca", "radar"], "the cheap one first, and each measured once"
    assert {result["method"] for result in collect(tmp_path)} == {"radar", "pca"}
    assert "left" in capsys.readouterr().out


def test_run_method_and_variant_report_the_same(kit):
    result = run_method("radar", kit)
    assert len(result["scores"]) == len(kit.data.test) and result["metrics"]["image_auroc"] > 0.8
    row = run_variant("window", Variant("20", {"window": 20}), kit)
    assert row["image_auroc"] == pytest.approx(result["metrics"]["image_auroc"], abs=1e-4)
    assert row["seconds"] > 0
    assert row["image_auroc_low"] <= row["image_auroc"] <= row["image_auroc_high"]


def test_a_variant_that_trains_learns_from_fewer_images(kit, monkeypatch):
    seen = {}

    def train(images, config):
        seen.update(count=len(images), steps=config.steps)
        return type("Result", (), {"unet": kit.unet})

    monkeypatch.setattr(ablations, "train", train)
    run_variant("training images", Variant("5", images=5, training={"steps": 7}), kit)
    assert seen == {"count": 5, "steps": 7}


def test_ablations_are_kept_and_come_in_order(tmp_path, monkeypatch):
    calls = []

    def pretend(name, variant, kit, folder):
        calls.append(variant.value)
        return {"dataset": "printed", "seed": 0, "ablation": name, "value": variant.value, "image_auroc": 1.0,
                "f1": 1.0}

    monkeypatch.setattr(ablations, "run_variant", pretend)
    kits = [Kit("smoke", "printed", 0, tmp_path)]
    rows = ablate(kits, ["attention", "window"], progress=False)
    assert rows == ablate(kits, ["attention", "window"], progress=False) and len(calls) == len(rows)
    values = [variant.value for name in ("window", "attention") for variant in ABLATIONS[name]]
    assert [row["value"] for row in rows] == values
    assert calls[-1] == "off", "what needs a training comes last"


def test_newer_ablations_replace_their_own_rows_alone(tmp_path):
    path = tmp_path / "ablations.csv"
    row = {"dataset": "printed", "seed": 0, "recipe": "noise_free", "ablation": "window", "value": "5",
           "f1": 0.5}
    write_table(path, add_to_table(path, [row, row | {"value": "9"}, row | {"ablation": "timestep"}]))
    newer = [row | {"recipe": "paper", "recall_at_5": 0.9},
             row | {"value": "9", "f1": 0.7, "recall_at_5": 0.8}]
    write_table(path, add_to_table(path, newer))
    table = read_table(path)
    assert table["f1"].tolist() == [0.5, 0.5, 0.5, 0.7]
    assert table["recall_at_5"].isna().tolist() == [True, True, False, False]
    assert table["recipe"].tolist() == ["noise_free", "noise_free", "paper", "noise_free"]


def test_normality_counts_patches(kit):
    rows = measure_normality(kit)
    assert [(row["timestep"], row["reading"]) for row in rows] == [
        (timestep, reading) for timestep in (1, 200) for reading in ("predicted", "residual", "noise_free")]
    for row in rows:
        assert row["normal"] >= 4 * 6 and row["anomalous"] > 0
        shares = [row[key] for key in ("rejected_normal", "rejected_anomalous", "auroc", "auroc_energy")]
        assert all(0 <= share <= 1 for share in shares)


def test_choosing_on_test_images_cannot_lower_f1(rng):
    labels, scores = rng.random(50) < 0.5, rng.random(50)
    levels = np.linspace(0, 0.99, 12)
    assert all(best_f1(labels, scores) >= f1_score(labels, scores > level) for level in levels)


def test_a_finished_results_folder_can_be_moved(tmp_path):
    shutil.copytree(RESULTS, tmp_path / "elsewhere")
    moved, stored = (make_claims(evidence) for evidence in (Evidence(tmp_path / "elsewhere"), Evidence()))
    assert [claim.verdict for claim in moved] == [claim.verdict for claim in stored]
    told = set(json.loads((RESULTS / "provenance.json").read_text()))
    assert told >= {"comparison", "bench", "networks", "ablations", "normality"}
