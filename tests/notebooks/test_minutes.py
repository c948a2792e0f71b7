"""Stated times are read as they are written, and a wrong one is noticed."""

import json

import nbformat
import pytest
from minutes import check_minutes, main, stated_seconds

from radar_nb.storage.errors import InputError
from radar_nb.storage.places import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("[0-9]*.ipynb"))


@pytest.mark.parametrize(
    ("line", "smoke", "cpu"),
    [
        ("**Time** about 1 minute · **You need** 3 things", (60, 60), (60, 60)),
        ("**Time** 20 to 30 seconds", (20, 30), (20, 30)),
        ("**Time** about half a minute on a laptop's CPU", (30, 30), (30, 30)),
        ("**Time** about 1 minute (and 4 to train on\nyour own folder)", (60, 60), (60, 60)),
        (
            "**Time** about 1 minute at the smoke profile, 3 to 4 at the cpu\n"
            "profile · **You need** [01](x.ipynb)",
            (60, 60),
            (180, 240),
        ),
        ("**Time** about 45 seconds, 2.5 minutes at the cpu profile", (45, 45), (150, 150)),
    ],
)
def test_a_stated_time_is_read(line, smoke, cpu):
    assert stated_seconds(line, "smoke") == smoke and stated_seconds(line, "cpu") == cpu


@pytest.mark.parametrize(
    "line", ["about 1 minute", "**Time** not long · about 1 minute", "**Time** 2 minutes at the cpu profile"]
)
def test_a_time_that_is_not_stated_is_named(line):
    with pytest.raises(InputError, match=r"time at the smoke profile.*\*\*Time\*\* about 2 minutes"):
        stated_seconds(line, "smoke")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_states_its_time(path):
    text = nbformat.read(path, 4).cells[0].source
    for profile in ("smoke", "cpu"):
        low, high = stated_seconds(text, profile)
        assert 1 <= low <= high <= 15 * 60


def test_a_run_is_held_against_what_is_stated(tmp_path, capsys):
    measured = {"00_right": 80.0, "01_long": 45.0, "02_short": 90.0, "03_range": 42.0}
    stated = dict.fromkeys(measured, "about 1 minute") | {"03_range": "20 to 30 seconds"}
    for name, words in stated.items():
        nbformat.write(
            nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"# A\n\n**Time** {words}")]),
            tmp_path / f"{name}.ipynb",
        )
    (tmp_path / "summary.json").write_text(json.dumps({"profile": "cpu", "seconds": {"notebooks": measured}}))
    assert {row["notebook"]: row["holds"] for row in check_minutes(tmp_path)} == {
        "00_right": True,
        "01_long": False,
        "02_short": False,
        "03_range": True,
    }
    assert main(str(tmp_path)) == 1
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines() if "off" in line] == [
        "01_long",
        "02_short",
    ]
    (tmp_path / "summary.json").write_text(
        json.dumps({"profile": "cpu", "seconds": {"notebooks": {"00_right": 50.0}}})
    )
    assert main(str(tmp_path)) == 0
    with pytest.raises(InputError, match="summary.json"):
        main(str(tmp_path / "gone"))
