"""MVTec AD, category tile (Bergmann et al. 2021): its own archive, else the whole data set's, of which just
tile is unpacked.
"""

from collections.abc import Callable
from pathlib import Path

from data_download.fetch import RemoteFile
from radar_nb.data.listing import find_images
from radar_nb.storage.errors import InputError

_HOST = "https://www.mydrive.ch/shares/"
TILE = RemoteFile("tile.tar.xz",
                  (f"{_HOST}38536/3830184030e49fe74747669442f0f282/download/420938133-1629953189/tile.tar.xz",
                   ),
                  "392228153b96d0db9f179d3f7c2d63e131e907154883b57309fcbf798643173c")
WHOLE = RemoteFile("mvtec_anomaly_detection.tar.xz",
                   (f"{_HOST}150996/b52ecdcbf521176e9db9c731f2304b27/download/420938113-1629960298/mvtec_anomaly_detection.tar.xz",),
                   "cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d")
OFFERS = ((TILE,), (WHOLE,))
COUNTS = {"train/good": 230, "test/good": 33, "test/crack": 17, "test/glue_strip": 18, "test/gray_stroke": 16,
          "test/oil": 18, "test/rough": 15}


def wanted(name: str) -> bool:
    """Whether a member of the archive belongs to the category tile."""
    return "tile" in Path(name).parts[:2]


def build(copy_layout: Callable[[Path, Path], None], folder: Path, target: Path) -> None:
    """Copy the category, which is in the layout already, and count.

    Raises:
        InputError: it is not the whole category.
    """
    copy_layout(folder / "tile" if (folder / "tile").is_dir() else folder, target)
    for part, count in COUNTS.items():
        found = len(find_images(target / part)) if (target / part).is_dir() else 0
        if found != count:
            raise InputError(f"{folder}: {found} images of {part}, {count} are expected; unpack the whole "
                             "category tile")
