"""Data sets by name: built in, downloaded, or a folder of one's own."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from radar_nb.data.dataset import Dataset, Sizes
from radar_nb.data.extrusion import extrusion_dataset
from radar_nb.data.folders import folder_dataset
from radar_nb.data.printed import printed_dataset
from radar_nb.data.texture import texture_dataset
from radar_nb.storage.errors import InputError, one_line, tell
from radar_nb.storage.places import data_folder

NAMED = ("printed", "printed_easy", "printed_hard", "extrusion", "extrusion_choose", "texture",
         "texture_grass", "texture_gravel")


def load_dataset(name: str | Path, sizes: Sizes = Sizes(), seed: int = 0) -> Dataset:
    """Load a data set by name, or a folder in the MVTec AD layout.

    Args:
        name: one of `NAMED`; else a folder's path, or the name of a folder in `RADAR_DATA`.
        sizes: how many and how large.
        seed: of the made images, and of the split of a folder's normal images into train and calibrate.

    Raises:
        InputError: no such data set, or something in the folder is wrong.
    """
    _check(name, sizes, seed)
    if not isinstance(name, Path):
        if name in NAMED and Path(name).is_dir():
            tell(f"dataset={name!r}: the built-in data set, not the folder ./{name}; write ./{name} for that")
        if name in NAMED:
            return _built_in(name, sizes, seed)
    folder = _find_folder(str(name))
    return replace(folder_dataset(folder, sizes, seed, _name_of(folder)), title=_last_name(folder))


def _check(name: object, sizes: object, seed: object) -> None:
    if not isinstance(name, (str, Path)):
        raise InputError(f"dataset={name!r}: give a name in quotes, such as \"printed\", or a folder's path")
    if not isinstance(sizes, Sizes):
        raise InputError(f"sizes={sizes!r}: give a Sizes, such as Sizes(longest_side=256)")
    if type(seed) is not int or not 0 <= seed < 2**31:
        raise InputError(f"seed={seed!r}: give a whole number from 0 to {2**31 - 1}")


def _built_in(name: str, sizes: Sizes, seed: int) -> Dataset:
    if name.startswith("extrusion"):
        return extrusion_dataset(name, sizes, seed)
    if name.startswith("printed"):
        level = name.removeprefix("printed").removeprefix("_") or "standard"
        return printed_dataset(name, level, sizes, seed)
    return texture_dataset(name, name.removeprefix("texture").removeprefix("_") or "brick", sizes, seed)


def find_dataset(name: str | Path) -> str:
    """A data set's name if it is built in, else its folder's whole path: the same from every place.

    Raises:
        InputError: no such data set.
    """
    return name if name in NAMED else str(_find_folder(str(name)).resolve())


def _find_folder(name: str) -> Path:
    try:
        here, downloaded = Path(name).expanduser(), data_folder() / name
        folder = next((folder for folder in (here, downloaded) if name and folder.is_dir()), None)
        if folder == here and downloaded.is_dir() and here.resolve() != downloaded.resolve():
            tell(f"dataset={name!r}: the folder {here.resolve()}, not {downloaded}")
    except (OSError, ValueError, RuntimeError):  # too long, with a zero byte, of an unknown user (~nobody)
        folder = None
    if folder:
        return folder
    raise InputError(f"dataset={name if len(name) < 200 else name[:200] + '…'!r}: not a data set, nor a "
                     f"folder, nor in {data_folder()}; "
                     f"choose one of {', '.join(NAMED)}, or give a folder in the layout that README.md shows")


def _last_name(folder: Path) -> str:
    return one_line(os.fsencode(folder.resolve().name).decode(errors="replace"))[:60] or "root"


def _name_of(folder: Path) -> str:
    """A folder's last name; where it lies outside of `RADAR_DATA`, with a mark of the whole path.

    Two folders `line_a/parts` and `line_b/parts` are two data sets, and a folder `printed` is not `printed`.
    """
    last = _last_name(folder)
    if folder.absolute().parent.resolve() == data_folder().resolve() and last not in NAMED:
        return last
    folder = folder.resolve()
    return f"{last}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:6]}"
