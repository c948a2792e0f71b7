"""Where things are: the repository's own folders, and the data sets."""

import os
from pathlib import Path

import platformdirs

REPOSITORY = Path(__file__).resolve().parents[2]
NOTEBOOKS = REPOSITORY / "notebooks"
RESULTS = REPOSITORY / "results"


def data_folder() -> Path:
    """The folder that holds downloaded data sets: `RADAR_DATA`, else the platform's cache folder."""
    return Path(os.environ.get("RADAR_DATA") or platformdirs.user_cache_dir("radar_nb")).expanduser()
