"""KolektorSDD (Tabernik et al. 2020): `kosNN/PartM.jpg` with `kosNN/PartM_label.bmp`, white on the crack."""

import shutil
from pathlib import Path

import pooch

from data_download.fetch import RemoteFile
from data_download.lists import read_split
from radar_nb.data.images import write_image
from radar_nb.data.masks import read_mask
from radar_nb.storage.errors import InputError

HERE = Path(__file__).parent
FILES = (RemoteFile("KolektorSDD.zip", ("https://go.vicos.si/kolektorsdd",),
                    "65dc621693418585de9c4467d1340ea7958a6181816f0dc2883a1e8b61f9d4dc"),)


def build(folder: Path, target: Path) -> None:
    """Sort the images into the layout.

    Cracked images go to `test/defect`; sound ones to `test/good` if their item stands in
    `splits/kolektor_sdd_test_good.txt` (the items kos39 to kos50), else to `train/good`: no item is in both.
    Exact copies of an earlier image are left out.

    Args:
        folder: holds `kos01` and the others, or one folder that does.
        target: an empty folder.

    Raises:
        InputError: there are no such folders, or an image has no label.
    """
    root = next((path for path in (folder, *sorted(folder.iterdir())) if (path / "kos01").is_dir()), None)
    if root is None:
        raise InputError(f"{folder}: holds no kos01, kos02, …; give the folder of the unpacked archive")
    test_items, seen = read_split(HERE / "splits/kolektor_sdd_test_good.txt"), set()
    for path in sorted(root.glob("kos*/Part*.jpg")):
        label = path.with_name(f"{path.stem}_label.bmp")
        if not label.is_file():
            raise InputError(f"{path}: has no label {label.name}; unpack the whole archive")
        checksum = pooch.file_hash(str(path))
        if checksum in seen:
            continue
        seen.add(checksum)
        item, mask = path.parent.name, read_mask(label)
        part = "test/defect" if mask.any() else "test/good" if item in test_items else "train/good"
        (target / part).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / part / f"{item}_{path.name}")
        if mask.any():
            write_image(target / "ground_truth/defect" / f"{item}_{path.stem}_mask.png", mask)
