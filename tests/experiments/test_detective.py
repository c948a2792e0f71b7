"""Confusion tables from printed numbers: the slides' rows are resolved, a true table is always found."""

import time
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radar_nb.experiments.detective import number_of_tables, sizes_that_fit, tables_that_fit, trivial_rows
from radar_nb.experiments.paper_table import METRICS, paper_table, published_size
from radar_nb.storage.errors import InputError
from radar_nb.storage.places import REPOSITORY

ALARMS = {  # true and false alarms
    "printed": {"RADAR": (41, 12), "B&A": (30, 9), "C&B": (28, 12), "DiffusionAD": (9, 14), "AnoDDPM": (5, 6),
                "DDPM": (6, 4)},
    "tile": {"RADAR": (38, 2), "AnoDDPM": (42, 25), "DDPM": (42, 29), "B&A": (26, 4), "DiffusionAD": (15, 11),
             "C&B": (5, 0)},
    "features": {"current": (38, 2), "GLCM": (30, 4), "SSIM": (32, 2), "Hough": (4, 1), "entropy": (14, 5)}}
SIZES = {"printed": (44, 40), "tile": (74, 33), "features": (74, 33)}


@pytest.mark.parametrize("name", ALARMS)
def test_each_row_of_the_slides_fits_exactly_one_table(name):
    tables = tables_that_fit(paper_table(name), *SIZES[name])
    alarms = {row: (table["true_positives"], table["false_positives"]) for row, table in tables.iterrows()}
    assert alarms == ALARMS[name]
    assert len(tables) == len(paper_table(name)) == number_of_tables(paper_table(name), *SIZES[name]).sum()
    assert (tables[list(METRICS)] - paper_table(name)).abs().max(axis=None) <= 0.005 + 1e-12


def test_false_alarm_rates_that_the_slides_leave_out():
    printed, tile = (tables_that_fit(paper_table(name), *SIZES[name])["false_alarm_rate"]
                     for name in ("printed", "tile"))
    assert list(printed.loc[["RADAR", "B&A", "DDPM"]]) == [0.3, 0.225, 0.1]
    assert tile["RADAR"] == 2 / 33 and tile["DDPM"] == 29 / 33


def test_tile_is_seventy_four_and_thirty_three_and_nothing_else():
    for name in ("tile", "features"):
        assert number_of_tables(paper_table(name), *published_size(name)).eq(0).all()
        assert sizes_that_fit(paper_table(name))[["positives", "negatives"]].values.tolist() == [[74, 33]]
    others = sizes_that_fit(paper_table("features").drop(index="current"))  # rows that tile does not have
    assert others[["positives", "negatives"]].values.tolist() == [[74, 33]]
    sizes = sizes_that_fit(paper_table("printed"))
    assert sizes[["positives", "negatives"]].values.tolist() == [[44, 40], [88, 80]]


def test_the_page_on_the_paper_says_what_is_computed():
    page = " ".join((REPOSITORY / "docs" / "paper.md").read_text(encoding="utf-8").split())
    printed, tile = (tables_that_fit(paper_table(name), *SIZES[name]) for name in ("printed", "tile"))
    rate = printed["false_alarm_rate"]
    leads = [100 * (table["f1"]["RADAR"] - table["f1"].drop("RADAR").max()) for table in (printed, tile)]
    everything = [trivial_rows(*SIZES[name])["f1"].iloc[0] for name in ("printed", "tile")]
    alarms = printed["false_positives"]["RADAR"]
    for said in (f"found {printed['true_positives']['RADAR']} defective images",
                 f"raised {alarms} false alarms, a rate of {100 * rate['RADAR']:.0f} %",
                 f"B&A has {100 * rate['B&A']:.1f} %, C&B {100 * rate['C&B']:.0f} %",
                 f"DDPM {100 * rate['DDPM']:.0f} %", f"behind the table it is {leads[0]:.1f} points",
                 f"from the counts it is {leads[1]:.1f} points", f"an F1 of .{100 * everything[0]:.0f}",
                 f"an F1 of .{100 * everything[1]:.0f}",
                 f"false-alarm rate is {100 * tile['false_alarm_rate']['RADAR']:.0f} %"):
        assert said in page, said


def test_all_of_it_is_quick():
    start = time.perf_counter()
    for name in ALARMS:
        sizes_that_fit(paper_table(name))
        tables_that_fit(paper_table(name), *SIZES[name])
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize(("size", "f1"), [((44, 40), 0.69), ((74, 33), 0.82), ((84, 13), 0.93)])
def test_calling_everything_anomalous(size, f1):
    row = trivial_rows(*size).loc["everything anomalous"]
    assert round(row["f1"], 2) == f1 and row["recall"] == row["false_alarm_rate"] == 1
    assert row["precision"] == row["accuracy"] == size[0] / sum(size)
    coin = trivial_rows(*size).loc["a coin at the prevalence"]
    assert coin["f1"] == pytest.approx(size[0] / sum(size)) == pytest.approx(coin["false_alarm_rate"])


def printed_like(true, false, positives, negatives, digits, rounding):
    """What an author would print, and a dash or 0 where precision is undefined."""
    fractions = {"accuracy": (true + negatives - false, positives + negatives),
                 "precision": (true, true + false), "recall": (true, positives),
                 "f1": (2 * true, positives + true + false)}

    def rounded(above, below):
        if not below:
            return rounding if isinstance(rounding, float) else 0.0
        if isinstance(rounding, str):
            return float((Decimal(above) / Decimal(below)).quantize(Decimal(1).scaleb(-digits), rounding))
        return round(above / below, digits)

    return {metric: rounded(*fraction) for metric, fraction in fractions.items()}


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_true_table_is_always_among_those_found(data):
    positives, negatives = data.draw(st.integers(1, 150)), data.draw(st.integers(1, 150))
    true, false = data.draw(st.integers(0, positives)), data.draw(st.integers(0, negatives))
    digits = data.draw(st.integers(1, 6))
    rounding = data.draw(st.sampled_from([ROUND_HALF_UP, ROUND_HALF_EVEN, float("nan"), None]))
    row = printed_like(true, false, positives, negatives, digits, rounding)
    known = data.draw(st.lists(st.sampled_from(METRICS), min_size=1, unique=True))
    tables = tables_that_fit({metric: row[metric] for metric in known}, positives, negatives, digits)
    found = tables[(tables["true_positives"] == true) & (tables["false_positives"] == false)]
    assert len(found) == 1 and not tables[["true_positives", "false_positives"]].duplicated().any()
    counts = tables[["true_positives", "false_positives", "false_negatives", "true_negatives"]]
    assert (counts >= 0).all(axis=None) and (counts.sum(axis=1) == positives + negatives).all()


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_the_true_size_is_always_among_those_found(data):
    positives, negatives = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 30))
    alarms = [(data.draw(st.integers(0, positives)), data.draw(st.integers(0, negatives))) for _ in range(2)]
    rows = pd.DataFrame([printed_like(*pair, positives, negatives, 2, ROUND_HALF_UP) for pair in alarms],
                        index=["a", "b"])
    sizes = sizes_that_fit(rows, 40, 30).set_index(["positives", "negatives"])
    assert (positives, negatives) in sizes.index
    assert list(sizes.loc[(positives, negatives)]) == list(number_of_tables(rows, positives, negatives))
    assert (sizes >= 1).all(axis=None)


def test_every_table_that_is_missed_does_not_fit():
    """Against all tables of a small size, one by one."""
    half = Fraction(1, 20)
    expected = [[true, false] for true in range(8) for false in range(6)
                if abs(Fraction(true + 5 - false, 12) - Fraction("0.7")) <= half
                and abs(Fraction(true, 7) - Fraction("0.6")) <= half]
    found = tables_that_fit({"accuracy": 0.7, "recall": 0.6}, 7, 5, digits=1)
    assert found[["true_positives", "false_positives"]].values.tolist() == expected == [[4, 0], [4, 1]]


def test_nothing_called_anomalous():
    for undefined in (float("nan"), 0.0):
        row = {"accuracy": 0.48, "precision": undefined, "recall": 0.0}
        table = tables_that_fit(row, 44, 40).iloc[0]
        assert table["true_positives"] == table["false_positives"] == 0 and np.isnan(table["precision"])
    assert len(tables_that_fit({"f1": float("nan")}, 44, 40)) == 1


def test_numbers_that_no_table_gives_are_said_in_one_line():
    message = r"^C&B: no table of this size fits: 84 defective \+ 33 normal images never give accuracy 0.36"
    with pytest.raises(InputError, match=message):
        tables_that_fit(paper_table("tile"), 84, 33)
    wrong = {"precision": 0.9, "recall": 0.9, "f1": 0.2}
    with pytest.raises(InputError, match="^row: no table of this size fits: .* recall 0.90, f1 0.20; look"):
        tables_that_fit(wrong, 44, 40)
    with pytest.raises(InputError, match=r"no table of any size up to 30 defective \+ 20 normal images fits"):
        sizes_that_fit(wrong, 30, 20)
    assert number_of_tables(wrong, 44, 40)["row"] == 0


@pytest.mark.parametrize(("row", "options", "message"), [
    ({"recall": 93}, {}, r"row, recall=93: give a share between 0 and 1 \(0.82, not 82 percent\)"),
    ({"recall": -0.1}, {}, "recall=-0.1: give a share between 0 and 1"),
    ({"recall": float("nan")}, {}, "recall=nan: give a share"),
    ({"f1": float("inf")}, {}, "f1=inf: give a share"),
    ({"recall": "0.93"}, {}, "recall=0.93: not a number"),
    ({"recall": True}, {}, "recall=True: not a number"),
    ({"recall": None}, {}, "recall=None: not a number"),
    ({"recall": 0.932}, {}, "recall=0.932: more than 2 digits; say how many with digits="),
    ({"recall": 0.93}, {"digits": 0}, "digits=0: give how many"),
    ({"recall": 0.93}, {"digits": 2.0}, "digits=2.0: give how many"),
    ({"sensitivity": 0.93}, {}, "row: sensitivity; give some of accuracy, precision, recall, f1"),
    ({}, {}, "row: no number; give some of"),
    (0.93, {}, "printed: float; give a row such as"),
    (pd.DataFrame([{"recall": 0.5}] * 2, index=["a", "a"]), {}, "rows: 2, some have the same name"),
    ({"recall": 0.93}, {"positives": -44}, "positives=-44: give a whole number of images, 1 to 2000"),
    ({"recall": 0.93}, {"positives": 44.0}, "positives=44.0: give a whole number"),
    ({"recall": 0.93}, {"negatives": 0}, "negatives=0: give a whole number"),
    ({"recall": 0.93}, {"negatives": 10**9}, "negatives=1000000000: give a whole number of images, 1 to 20"),
])
@pytest.mark.parametrize("function", [tables_that_fit, number_of_tables])
def test_bad_input_is_one_clear_line(function, row, options, message):
    with pytest.raises(InputError, match=message) as raised:
        function(row, **({"positives": 44, "negatives": 40} | options))
    assert "\n" not in str(raised.value)


def test_sizes_are_not_searched_without_end():
    with pytest.raises(InputError, match="positives=5000: give a whole number of images, 1 to 200"):
        sizes_that_fit({"recall": 0.5}, 5000, 10)
    with pytest.raises(InputError, match="negatives=-1"):
        trivial_rows(3, -1)
