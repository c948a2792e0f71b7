"""The paper's own numbers: complete, unchanged, and consistent with one another."""

import hashlib

import pytest

from radar_nb.experiments.paper_table import (
    METRICS,
    PAPER,
    paper_numbers,
    paper_table,
    paper_tables,
    published_size,
)
from radar_nb.storage.errors import InputError

RESULTS = ("printed", "tile", "features")
CHECKSUM = "4ad890fcdeff766b0e9ba65048046a1cf201f35d06cfd424dc56bcb5c29cf85f"


def test_nobody_has_touched_a_number():
    """Every number was compared with the source that its line names. Compare again before you change this."""
    assert hashlib.sha256(PAPER.read_bytes()).hexdigest() == CHECKSUM
    assert not paper_numbers().isna().any(axis=None)
    assert set(paper_tables()) == {"data", "mvtec", *RESULTS, "claims", "recipe"}


def test_the_tables_as_the_slides_have_them():
    assert list(paper_table("printed").index) == ["B&A", "C&B", "DiffusionAD", "AnoDDPM", "DDPM", "RADAR"]
    assert list(paper_table("printed").loc["RADAR"]) == [0.82, 0.77, 0.93, 0.85]
    assert list(paper_table("tile").loc["C&B"]) == [0.36, 1.0, 0.07, 0.13]
    assert list(paper_table("features").index) == ["current", "GLCM", "SSIM", "Hough", "entropy"]
    for name in RESULTS:
        table = paper_table(name)
        assert tuple(table.columns) == METRICS and table.stack().between(0, 1).all()
        assert (table * 100).round(6).mod(1).eq(0).all(axis=None), "two digits"
    assert list(paper_table("features").loc["current"]) == list(paper_table("tile").loc["RADAR"])


def test_counts_are_whole_numbers_and_add_up():
    data = paper_table("data")
    assert data.dtypes.eq(int).all()
    assert list(data.sum()) == [84, 81] and list(data.sum(axis=1)) == [81, 40, 44]
    assert published_size("printed") == (44, 40)
    assert published_size("tile") == published_size("features") == (84, 33)
    recipe = paper_table("recipe")["value"]
    assert recipe["image side"] - recipe["patch side"] + 1 == recipe["patches a side"]


@pytest.mark.parametrize("name", RESULTS)
def test_f1_follows_from_precision_and_recall_within_rounding(name):
    def harmonic(precision, recall):
        return 2 * precision * recall / (precision + recall)

    for method, row in paper_table(name).iterrows():
        low, high = (harmonic(row["precision"] + half, row["recall"] + half) for half in (-0.005, 0.005))
        assert low - 0.005 <= row["f1"] <= high + 0.005, method


@pytest.mark.parametrize("name", ("printed", "tile"))
def test_the_abstract_counts_from_the_best_rival(name):
    f1 = paper_table(name)["f1"]
    assert f1["RADAR"] - f1.drop("RADAR").max() == pytest.approx(paper_table("claims").loc[name, "f1_lead"])


def test_an_unknown_table_is_one_clear_line():
    with pytest.raises(InputError, match="table='prined': choose one of data, mvtec, printed"):
        paper_table("prined")
    with pytest.raises(InputError, match="choose printed, tile or features"):
        published_size("data")
