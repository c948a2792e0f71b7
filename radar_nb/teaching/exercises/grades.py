"""For teachers: what several students solved, as one table."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from radar_nb.storage.errors import InputError
from radar_nb.storage.tables import write_table
from radar_nb.teaching.exercises.catalogue import KNOWN
from radar_nb.teaching.exercises.record import read_results


def grade(places: Sequence[str | Path], out: Path) -> list[str]:
    """Write a table of students: how many exercises each solved and tried, and a column for each exercise.

    There 1 means solved, 0 tried and not solved, nothing not tried.

    Args:
        places: records (files), or folders in which each `exercises.json`, however deep, is one. A student is
            called after the folder above it (above `runs`, if there is one), a file of another name after
            itself.
        out: the file to write.

    Returns:
        what could not be read, a line each.

    Raises:
        InputError: a place is not there, there is no record in any, or `out` cannot be written.
    """
    files = []
    for place in map(Path, places):
        if not place.exists():
            raise InputError(f"{place}: not there; give folders or files of exercises.json")
        files += sorted(place.rglob("exercises.json")) if place.is_dir() else [place]
    rows, failed = [], []
    for file in files:
        try:
            record = read_results(file)
        except (OSError, InputError) as error:
            failed.append(str(error))
            continue
        tried = {name: entry for name, entry in record.items() if name in KNOWN}
        solved = {name: int(entry["solved"]) for name, entry in tried.items()}
        tries = sum(entry["tries"] for entry in tried.values())
        rows.append({"student": _student(file), "solved": sum(solved.values()), "tried": len(tried),
                     "tries": tries, **solved})
    if not files:
        raise InputError(f"{', '.join(map(str, places))}: no exercises.json in there; "
                         "it is in the student's folder runs/")
    columns = ["student", "solved", "tried", "tries", *KNOWN]
    write_table(out,
                pd.DataFrame([{name: row.get(name, "") for name in columns} for row in rows],
                             columns=columns))
    return failed


def _student(file: Path) -> str:
    """`anna` of `anna.json`, `anna/exercises.json`, `anna/runs/exercises.json`,
    `anna/runs/cpu/exercises.json`.
    """
    folder = file.resolve().parent
    if file.name != "exercises.json":
        return file.stem
    if folder.name in ("smoke", "cpu", "gpu") and folder.parent.name == "runs":
        folder = folder.parent
    return folder.parent.name if folder.name == "runs" else folder.name
