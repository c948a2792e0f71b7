"""The time that a notebook states at its top, compared with what a run measured: a program and its functions.

`PYTHONPATH=. python tests/notebooks/minutes.py runs/cpu` prints a line for each notebook. Exit status 1: one
is off.
"""

import json
import re
import sys
from pathlib import Path

import nbformat

from radar_nb.storage.errors import InputError

TOLERANCE = 0.3
_NUMBER = re.compile(
    r"(?P<low>half a|\d+(?:\.\d+)?)(?: to (?P<high>\d+(?:\.\d+)?))?(?: (?P<unit>minute|second)s?)?"
    r"(?: at the (?P<profile>\w+) profile)?")


def stated_seconds(text: str, profile: str) -> tuple[float, float]:
    """The seconds, from and to, that a notebook's **Time** line states for a profile.

    The line reads like `**Time** about 40 seconds` or `**Time** about 1 minute, 3 to 4 minutes at the cpu
    profile`. What names a profile holds for that profile, what names none for all others; what stands in
    brackets is an aside.

    Raises:
        InputError: there is no such line, or it says nothing about this profile.
    """
    line = re.search(r"\*\*Time\*\*([^·]*?)(?=·|\n\n|\Z)", text, re.DOTALL)
    phrases = list(_NUMBER.finditer(re.sub(r"\([^)]*\)|\s+", " ", line[1]))) if line else []
    fitting = [phrase for phrase in phrases if phrase["profile"] == profile] or [
        phrase for phrase in phrases if not phrase["profile"]
    ]
    if not fitting:
        found = line[1].strip() if line else "no line that begins with **Time**"
        raise InputError(
            f"time at the {profile} profile: found {found!r}; write for example '**Time** about 2 minutes'"
        )
    phrase = fitting[0]
    scale = 1 if phrase["unit"] == "second" else 60
    low = 0.5 if phrase["low"] == "half a" else float(phrase["low"])
    return scale * low, scale * float(phrase["high"] or low)


def check_minutes(run: Path) -> list[dict]:
    """What each notebook of a run states and what it took.

    Args:
        run: a folder that `python -m radar_nb run` wrote.

    Returns:
        a row a notebook: `notebook`, `stated` (seconds, from and to), `measured` (seconds), and `holds`:
        within 30 % of the measured.
    """
    if not (run / "summary.json").is_file():
        raise InputError(f"{run}: holds no summary.json; run python -m radar_nb run --out {run}")
    summary, rows = json.loads((run / "summary.json").read_text()), []
    for name, measured in summary["seconds"]["notebooks"].items():
        text = "\n\n".join(
            cell.source
            for cell in nbformat.read(run / f"{name}.ipynb", 4).cells
            if cell.cell_type == "markdown"
        )
        try:
            stated = stated_seconds(text, summary["profile"])
        except InputError as error:
            raise InputError(f"{name}.ipynb: {error}") from None
        holds = stated[0] <= (1 + TOLERANCE) * measured and stated[1] >= (1 - TOLERANCE) * measured
        rows.append({"notebook": name, "stated": stated, "measured": measured, "holds": holds})
    return rows


def main(folder: str) -> int:
    """Print what each notebook of a run states and took; 0 where all hold, 1 where one is off."""
    rows = check_minutes(Path(folder))
    for row in rows:
        low, high = row["stated"]
        says = f"{low:.0f} s" if low == high else f"{low:.0f} to {high:.0f} s"
        verdict = "within 30 %" if row["holds"] else "off"
        print(f"{row['notebook']:28} says {says:>12}, took {row['measured']:5.0f} s  {verdict}")
    return 0 if all(row["holds"] for row in rows) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:2] or ["runs/cpu"]))
    except InputError as error:
        sys.exit(str(error))
