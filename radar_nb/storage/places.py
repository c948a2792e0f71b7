"""Where things are: the repository's own folders, and the data sets."""

import os
from pathlib import Path

import platformdirs

from radar_nb.storage.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[2]
NOTEBOOKS = REPOSITORY / "notebooks"
RESULTS = REPOSITORY / "results"


def from_repository(name: str) -> Path:
    """A folder of the repository, such as `notebooks`.

    Raises:
        InputError: the kit was installed as a package, which does not hold it.
    """
    if not (REPOSITORY / "pyproject.toml").is_file():
        raise InputError(f"{name}: part of the repository, not of the installed package; clone the "
                         "repository and call this there")
    return REPOSITORY / name


def runs_folder() -> Path:
    """Where runs go if nobody says: into the repository, or, without one, into the present folder."""
    return (REPOSITORY if (REPOSITORY / "pyproject.toml").is_file() else Path()) / "runs"


def data_folder() -> Path:
    """The folder that holds downloaded data sets: `RADAR_DATA`, else the platform's cache folder."""
    return Path(os.environ.get("RADAR_DATA") or platformdirs.user_cache_dir("radar_nb")).expanduser()
