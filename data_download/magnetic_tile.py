"""Magnetic tile (Huang, Qiu, Yuan 2020): 2,688 files of a public repository, at one commit."""

import shutil
from pathlib import Path

import pooch

from data_download.fetch import RemoteFile
from data_download.lists import read_registry, read_split
from radar_nb.storage.errors import InputError

HERE = Path(__file__).parent
COMMIT = "cc4eb530b57b9cb7225bf76023873043ffd50655"
ADDRESSES = (f"https://raw.githubusercontent.com/abin24/Magnetic-tile-defect-datasets./{COMMIT}/",
             f"https://cdn.jsdelivr.net/gh/abin24/Magnetic-tile-defect-datasets.@{COMMIT}/")
FILES = tuple(RemoteFile(name, tuple(address + name for address in ADDRESSES), checksum)
              for name, checksum in read_registry(HERE / "registry/magnetic_tile.txt"))
# Their masks are empty: nobody can say where the defect is.
EMPTY_MASKS = ("exp3_num_45042", "exp4_num_124690", "exp4_num_352527", "exp4_num_45057")
DEFECTS = ("Blowhole", "Break", "Crack", "Fray", "Uneven")


def build(folder: Path, target: Path) -> None:
    """Sort the repository's files into the layout.

    The test part of the normal images is `splits/magnetic_tile_test_good.txt`, 192 stems drawn once at
    random.

    Args:
        folder: holds `MT_Free/Imgs` and the others, or one folder that does, as the repository's own zip
            archive.
        target: an empty folder.

    Raises:
        InputError: a file is missing, or is not the registry's.
    """
    root = next((path for path in (folder, *sorted(folder.iterdir())) if (path / "MT_Free/Imgs").is_dir()),
                None)
    if root is None:
        raise InputError(f"{folder}: holds no MT_Free/Imgs; give the folder of the unpacked repository")
    test_good = read_split(HERE / "splits/magnetic_tile_test_good.txt")
    for file in FILES:
        path = root / file.name
        if not path.is_file():
            raise InputError(f"{path}: is missing; get the whole repository")
        if pooch.file_hash(str(path)) != file.checksum:
            raise InputError(f"{path}: is not the file of commit {COMMIT[:7]} (checksum); get it again")
        kind = path.parent.parent.name.removeprefix("MT_")
        if kind == "Free":
            split = "test" if path.stem in test_good else "train"
            part = f"{split}/good/{path.name}" if path.suffix == ".jpg" else None
        elif path.stem in EMPTY_MASKS:
            part = None
        elif path.suffix == ".png":
            part = f"ground_truth/{kind.lower()}/{path.stem}_mask.png"
        else:
            part = f"test/{kind.lower()}/{path.name}"
        if part:
            (target / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / part)
