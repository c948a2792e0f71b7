"""The exercises, by name: `exercise("01.2").check(answer)`; how many are solved; a table of what several students solved."""

import csv
from collections.abc import Sequence
from pathlib import Path

from radar_nb.teaching.exercises import (
    detection as exercises_detection, detective as exercises_detective, diffusion as exercises_diffusion,
    results as exercises_results,
)
from radar_nb.teaching.exercises.kinds import Exercise, read_results, results
from radar_nb.storage.errors import InputError
from radar_nb.storage.whole import whole_file
from radar_nb.runs.kit import PROFILES

_ALL = (*exercises_diffusion.EXERCISES, *exercises_detection.EXERCISES, *exercises_results.EXERCISES,
        *exercises_detective.EXERCISES)
EXERCISES: tuple[Exercise, ...] = tuple(sorted(_ALL, key=lambda each: [int(part) for part in each.name.split(".")]))
_KNOWN = {each.name: each for each in EXERCISES}


def exercise(name: str) -> Exercise:
    """The exercise of that name, `<notebook>.<number>`.

    Raises:
        KeyError: there is none; the message lists them.
    """
    if name not in _KNOWN:
        raise KeyError(f"exercise {name!r}: there is none; known are {', '.join(_KNOWN)}")
    return _KNOWN[name]


def progress(notebook: str) -> str:
    """How many exercises of a notebook, such as `01`, are solved, and how many of all: a line for its summary."""
    tried = results()
    solved = [name for name in _KNOWN if tried.get(name, {}).get("solved")]
    here = [name for name in _KNOWN if name.startswith(notebook + ".")]
    return f"{len(set(solved) & set(here))} of {len(here)} exercises solved here, {len(solved)} of {len(_KNOWN)} in all"


def grade(places: Sequence[str | Path], out: Path) -> list[str]:
    """Write a CSV with a line for each student: how many exercises were solved and tried, in how many tries; then a column for each.

    There 1 means solved, 0 tried and not solved, nothing not tried.

    Args:
        places: records (files), or folders in which each `exercises.json`, however deep, is one. A student is called after the
            folder above it (above `runs`, if there is one), a file of another name after itself.
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
        tried = {name: entry for name, entry in record.items() if name in _KNOWN}
        rows.append({"student": _student(file), "solved": sum(entry["solved"] for entry in tried.values()), "tried": len(tried),
                     "tries": sum(entry["tries"] for entry in tried.values()), **{name: int(entry["solved"]) for name, entry in tried.items()}})
    if not files:
        raise InputError(f"{', '.join(map(str, places))}: no exercises.json in there; it is in the student's folder runs/")
    with whole_file(out) as work, work.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["student", "solved", "tried", "tries", *_KNOWN])
        writer.writeheader()
        writer.writerows(rows)
    return failed


def _student(file: Path) -> str:
    """`anna` of `anna.json`, `anna/exercises.json`, `anna/runs/exercises.json` and `anna/runs/cpu/exercises.json`."""
    folder = file.resolve().parent
    if file.name != "exercises.json":
        return file.stem
    if folder.name in PROFILES and folder.parent.name == "runs":
        folder = folder.parent
    return folder.parent.name if folder.name == "runs" else folder.name
