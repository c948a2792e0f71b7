"""Data sets by name: built in, downloaded, or a folder of one's own."""

from pathlib import Path

from radar_nb.data.dataset import Dataset, Sizes
from radar_nb.data.extrusion import extrusion_dataset
from radar_nb.data.folders import folder_dataset
from radar_nb.data.printed import printed_dataset
from radar_nb.data.texture import texture_dataset
from radar_nb.storage.errors import InputError
from radar_nb.storage.places import data_folder

NAMED = ("printed", "printed_easy", "printed_hard", "extrusion", "extrusion_choose", "texture",
         "texture_grass",         "texture_gravel")


def load_dataset(name: str | Path, sizes: Sizes = Sizes(), seed: int = 0) -> Dataset:
    """Load a data set by name, or a folder in the MVTec AD layout.

    Args:
        name: one of `NAMED`; else a folder's path, or the name of a folder in `RADAR_DATA`.
        sizes: how many and how large.
        seed: of the made images, and of the split of a folder's normal images into train and calibrate.

    Raises:
        InputError: no such data set, or something in the folder is wrong.
    """
    name = str(name)
    if name in NAMED and name.startswith("extrusion"):
        return extrusion_dataset(name, sizes, seed)
    if name in NAMED and name.startswith("printed"):
        level = name.removeprefix("printed").removeprefix("_") or "standard"
        return printed_dataset(name, level, sizes, seed)
    if name in NAMED:
        return texture_dataset(name, name.removeprefix("texture").removeprefix("_") or "brick", sizes, seed)
    try:
        places = (Path(name).expanduser(), data_folder() / name)
        folder = next((folder for folder in places if name and folder.is_dir()), None)
    except (OSError, ValueError, RuntimeError):  # too long, with a zero byte, of an unknown user (~nobody)
        folder = None
    if folder:
        return folder_dataset(folder, sizes, seed)
    raise InputError(f"dataset={name if len(name) < 200 else name[:200] + '…'!r}: not a data set, nor a "
                     f"folder, nor in {data_folder()}; "
                     f"choose one of {', '.join(NAMED)}, or give a folder in the layout that README.md shows")
