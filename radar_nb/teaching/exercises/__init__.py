"""The exercises, by name: `exercise("01.2").check(answer)`, and how many are solved."""

from radar_nb.teaching.exercises.catalogue import EXERCISES, KNOWN
from radar_nb.teaching.exercises.grades import grade
from radar_nb.teaching.exercises.kinds import Exercise
from radar_nb.teaching.exercises.record import results

__all__ = ["EXERCISES", "exercise", "grade", "progress"]


def exercise(name: str) -> Exercise:
    """The exercise of that name, `<notebook>.<number>`.

    Raises:
        KeyError: there is none; the message lists them.
    """
    if name not in KNOWN:
        raise KeyError(f"exercise {name!r}: there is none; known are {', '.join(KNOWN)}")
    return KNOWN[name]


def progress(notebook: str) -> str:
    """How many exercises of a notebook, such as `01`, are solved, and how many of all: a line for its
    summary. It counts from the record, so what was solved on another day counts too.
    """
    tried = results()
    solved = [name for name in KNOWN if tried.get(name, {}).get("solved")]
    here = [name for name in KNOWN if name.startswith(notebook + ".")]
    in_all = f"{len(solved)} of {len(KNOWN)} in all"
    since = " (counted since your first try, in exercises.json)" if solved else ""
    return f"{len(set(solved) & set(here))} of {len(here)} exercises solved here, {in_all}{since}"
