"""What can be fetched, whose it is, and how it becomes a folder in the kit's layout (MVTec AD's)."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from data_download import kolektor_sdd, magnetic_tile, mvtec_tile
from data_download.archives import extract
from data_download.fetch import RemoteFile
from radar_nb.storage.errors import InputError

BY_NC_SA = "CC BY-NC-SA 4.0: attribution, share alike, not for commercial use"


@dataclass(frozen=True)
class Source:
    """A data set that is not built in.

    `offers` are lists of files; the first list that can be had whole is used. None: nothing is public, see
    `help`. `build(folder, target)` sorts what was downloaded and unpacked, or what the user has, into the
    layout; `wanted` picks members of an archive.
    """

    title: str
    licence: str
    citation: str
    homepage: str
    build: Callable[[Path, Path], None]
    offers: tuple[tuple[RemoteFile, ...], ...] = ()
    sizes: tuple[str, ...] = ()  # of each offer, as far as is published
    commercial: bool = False
    wanted: Callable[[str], bool] = lambda name: True
    help: str = ""


def copy_layout(folder: Path, target: Path) -> None:
    """Copy a folder that is in the layout already, without what does not belong to it."""
    roots = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    root = next((path for path in roots if (path / "train" / "good").is_dir()
                 and (path / "test" / "good").is_dir()), None)
    if root is None:
        raise InputError(f"{folder}: has no train/good and test/good, nor has a folder in it; see "
                         "data_download/README.md for the layout")
    for part in ("train/good", "test", "ground_truth"):
        if (root / part).is_dir():
            shutil.copytree(root / part, target / part, ignore=shutil.ignore_patterns(".*", "*.txt"))


def _layout_or(build: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    """`build` for the original files; a folder in the layout is copied."""
    def either(folder: Path, target: Path) -> None:
        (copy_layout if (folder / "train" / "good").is_dir() else build)(folder, target)
    return either


SOURCES = {
    "magnetic_tile": Source(
        "Magnetic tile: 952 normal and 388 defective surfaces with masks",
        "no licence file; the authors welcome any use and ask for citation",
        "Huang, Qiu, Yuan: Surface defect saliency of magnetic tile. The Visual Computer 36 (2020), 85-96",
        "https://github.com/abin24/Magnetic-tile-defect-datasets.",
        magnetic_tile.build, (magnetic_tile.FILES,), ("52 MB",), commercial=True),
    "kolektor_sdd": Source(
        "KolektorSDD: commutator surfaces, about 50 of them cracked, with masks", BY_NC_SA,
        "Tabernik, Sela, Skvarc, Skocaj: Segmentation-based deep-learning approach for surface-defect "
        "detection. J. Intelligent "
        "Manufacturing 31 (2020), 759-776",
        "https://www.vicos.si/resources/kolektorsdd/", _layout_or(kolektor_sdd.build), (kolektor_sdd.FILES,),
        ("size not published",)),
    "mvtec_tile": Source(
        "MVTec AD, category tile: 230 normal images to train, 33 normal and 84 defective ones to test, with "
        "masks", BY_NC_SA,
        "Bergmann, Batzner, Fauser, Sattlegger, Steger: The MVTec Anomaly Detection Dataset. IJCV 129 "
        "(2021), 1038-1059",
        "https://www.mvtec.com/company/research/datasets/mvtec-ad",
        partial(mvtec_tile.build, copy_layout), mvtec_tile.OFFERS,
        ("335 MB", "about 5 GB, of which just tile is unpacked"), wanted=mvtec_tile.wanted),
    "mvtec_tile_192": Source(
        "MVTec AD, category tile, reduced copies of its test part (192 x 192): no MVTec benchmark", BY_NC_SA,
        "Bergmann, Batzner, Fauser, Sattlegger, Steger: The MVTec Anomaly Detection Dataset. IJCV 129 "
        "(2021), 1038-1059",
        "https://www.mvtec.com/company/research/datasets/mvtec-ad", copy_layout,
        help="These copies were cut from a third party's figures and cannot be downloaded as such. Take "
             "mvtec_tile instead; "
             "if you have the copies, give their folder with --from."),
    "printed_real": Source(
        "The paper's 3D-printed surfaces", "not known to us: ask the authors",
        "Moradi, Grasso, Colosimo, Paynabar: Single-Step Reconstruction-Free Anomaly Detection and "
        "Segmentation via Diffusion "
        "Models. arXiv 2508.04818 (2025)",
        "https://arxiv.org/abs/2508.04818", copy_layout,
        help="No public link is known. Write to the corresponding author, whose address the paper gives, "
             "name the paper and what "
             "you want to reproduce, and ask for images and masks. Sort them into train/good, test/good, "
             "test/<defect>, "
             "ground_truth/<defect>/<stem>_mask.png, and give that folder with --from."),
}


def unpack(item: Path, folder: Path, source: Source) -> Path:
    """Where the files of `item` lie: a folder as it is; an archive is unpacked into `folder`."""
    if item.is_dir():
        return item
    if not item.is_file():
        raise InputError(f"{item}: no such file or folder; check the path")
    extract(item, folder, source.wanted)
    return folder
