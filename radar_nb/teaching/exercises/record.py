"""The record of a student's tries, `exercises.json`: a notebook counts from it, a teacher reads it."""

import json
import os
from pathlib import Path

from radar_nb.storage.errors import InputError
from radar_nb.storage.places import runs_folder
from radar_nb.storage.whole import waiting_for, write_text


def record_file() -> Path:
    """Where the record is: in the run's folder, so in `runs/` for whoever works in the notebooks."""
    return Path(os.environ.get("RADAR_RUN") or runs_folder()) / "exercises.json"


def results() -> dict[str, dict]:
    """What was tried so far, see `read_results`. A record that is missing or broken counts as empty."""
    try:
        return read_results(record_file())
    except (OSError, InputError):
        return {}


def read_results(path: Path) -> dict[str, dict]:
    """The record of a student: for each exercise that was tried, whether it was ever `solved`, and the number
    of `tries`.

    Raises:
        InputError: the file is no such record; the message names it.
    """
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): {"solved": bool(entry["solved"]), "tries": int(entry["tries"])}
                for name, entry in kept.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: no record of exercises ({type(error).__name__}); ask for the file that "
                         "the notebooks wrote") from None


def solved_before(name: str) -> bool:
    """Whether the record says that an exercise was solved."""
    return results().get(name, {}).get("solved", False)


def remember(name: str, solved: bool) -> None:
    """Count a try. A folder that cannot be written costs the count, not the lesson."""
    try:
        with waiting_for(record_file(), seconds=5):  # several notebooks may be open
            known = results()
            entry = known.get(name, {"solved": False, "tries": 0})
            known[name] = {"solved": entry["solved"] or solved, "tries": entry["tries"] + 1}
            write_text(record_file(), json.dumps(known, indent=1) + "\n", durable=False)
    except (OSError, InputError):
        pass
