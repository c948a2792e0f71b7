"""Folders of images in MVTec AD's layout: `train/good`, `test/good`, `test/<defect>`, `ground_truth`."""

import hashlib
import os
from functools import cache
from pathlib import Path

import numpy as np

from radar_nb.data.dataset import Dataset, LazyImages, Sizes
from radar_nb.data.decode import image_size
from radar_nb.data.images import load_images, read_image, resize
from radar_nb.data.listing import (
    content,
    find_images,
    folders_in,
    is_image,
    look_through,
    of_tools,
    tell_left_out,
)
from radar_nb.data.masks import read_mask
from radar_nb.data.ranges import find_range
from radar_nb.storage.errors import InputError, tell

_MEANS_GOOD = ("ok", "okay", "good", "goods", "normal", "normals", "pass", "passed", "healthy", "fine", "io",
               "gut", "no_defect", "nodefect", "no-defect", "defect_free", "defect-free", "non_defective")


def _images_of(folder: Path, left_out: list[Path]) -> list[Path]:
    """All images in a folder and inside it; what else is there is added to `left_out`."""
    if folder.is_dir():
        files, others = look_through(folder)
        left_out += others
        if files:
            return files
    return find_images(folder)  # says what is wrong


def find_defective(root: str | Path) -> list[tuple[Path, str, Path | None]]:
    """The defective images of a data set in the MVTec AD layout.

    Returns:
        `(image, defect, mask)` for each file of `<root>/test/<defect>`; `mask` is None for a defect that has
        no folder under `<root>/ground_truth`: such images count for detection and not for segmentation.

    Raises:
        InputError: an image of a defect with masks has none, a mask or a folder of masks has no images, or
            two images or masks share a name.
    """
    left_out = []
    found = _find_defective(Path(root), left_out)
    tell_left_out(left_out)
    return found


def _find_defective(root: Path, left_out: list[Path]) -> list[tuple[Path, str, Path | None]]:
    folders = [path for path in folders_in(root / "test") if path.name != "good"]
    for folder in folders:
        if folder.name.lower() in _MEANS_GOOD:
            raise InputError(f"{folder}: counts as a defect, but its name says that it is none; move its "
                             f"images to {root / 'test' / 'good'}, or rename it")
    names = [path.name for path in folders]
    for masks in folders_in(root / "ground_truth"):
        if masks.name not in (*names, "good"):
            raise InputError(f"{masks}: masks of a defect that {root / 'test'} does not hold (it holds "
                             f"{', '.join(names) or 'none'}); give both folders one name")
    found = []
    for folder in folders:
        mask_folder, images = root / "ground_truth" / folder.name, _images_of(folder, left_out)
        if mask_folder.is_dir():
            pairs = _pair(folder, images, mask_folder, _images_of(mask_folder, left_out))
        else:
            pairs = [(image, None) for image in images]
        found += [(image, folder.name, mask) for image, mask in pairs]
    return found


def _pair(folder: Path, images: list[Path], mask_folder: Path, masks: list[Path]) -> list[tuple[Path, Path]]:
    """Each image with its mask: `a/000.png` with `a/000_mask.png` or `a/000.png`."""
    stems: dict[Path, Path] = {}
    for image in images:
        stem = image.relative_to(folder).with_suffix("")
        if stem in stems:
            raise InputError(f"{image}: shares its name with {stems[stem].name}, and a mask belongs to one "
                             "image; rename one of them")
        stems[stem] = image
    own: dict[Path, Path] = {}
    for mask in masks:
        stem = mask.relative_to(mask_folder)
        stem = stem.with_name(stem.stem.removesuffix("_mask") or stem.stem)
        if stem in own:
            raise InputError(f"{mask}: a second mask beside {own[stem].name}; keep one mask for each image")
        own[stem] = mask
    for stem, image in stems.items():
        if stem not in own:
            raise InputError(f"{image}: no mask {mask_folder / f'{stem}_mask.png'}; add the mask, or remove "
                             "the image")
    for stem, mask in own.items():
        if stem not in stems:
            raise InputError(f"{mask}: a mask without its image {folder / stem}.*; add the image, or remove "
                             "the mask")
    return [(image, own[stem]) for stem, image in stems.items()]


def _tell_copies(groups: dict[str, list[Path]]) -> None:
    """Say where one file lies in two parts of a data set: what was learnt would be tested."""
    first: dict[str, tuple[str, Path]] = {}
    copies = []
    for name, paths in groups.items():
        for path in paths:
            part, original = first.setdefault(content(path), (name, path))
            if part != name:
                copies.append(f"{path} ({name}) is {original} ({part})")
    if copies:
        tell(f"{len(copies)} files are exact copies of files in another part of the data set, such as "
             f"{copies[0]}; results are too good where training images are tested again")


def folder_dataset(folder: Path, sizes: Sizes, seed: int, name: str) -> Dataset:
    """A folder in the layout of this module's first line, as a data set called `name`.

    Without `test` it has no test images.
    """
    left_out = _misplaced(folder)
    normal = _images_of(folder / "train" / "good", left_out)
    # `train` needs no test images: see Kit.
    good = _images_of(folder / "test" / "good", left_out) if (folder / "test").is_dir() else []
    if len(normal) < 4:
        raise InputError(f"{folder / 'train' / 'good'}: {len(normal)} images; at least 4 are needed to "
                         "train and to calibrate")
    defective = _find_defective(folder, left_out)
    tell_left_out(left_out)
    order = np.random.default_rng(seed).permutation(len(normal))
    calibrate = max(round(sizes.calibrate_share * len(normal)), min(sizes.calibrate_least, len(normal) // 2))
    parts = {"train": [normal[i] for i in sorted(order[calibrate:])],
             "calibrate": [normal[i] for i in sorted(order[:calibrate])], "test/good": good}
    groups = parts | {f"test/{kind}": [path for path, other, _ in defective if other == kind]
                      for _, kind, _ in defective}
    _tell_copies(groups)
    value_range = find_range(normal, str(folder / "train" / "good"))
    # What most of the first images are. A grey file in an RGB set is then repeated; a coloured one in a grey
    # set is an error.
    channels = cache(lambda: 3 if np.mean([read_image(path, value_range).ndim == 3
                                           for path in normal[:8]]) >= 0.5 else 1)

    def images(paths):
        def read(index):
            return next(load_images([paths[index]], sizes.smallest_side, channels(), sizes.longest_side,
                                    value_range))

        return LazyImages(len(paths), read, value_range)

    tested = [(path, folder / "ground_truth" / "good", None) for path in good] + defective
    return Dataset(name, images(parts["train"]), images(parts["calibrate"]),
                   images([path for path, *_ in tested]),
                   ("good",) * len(good) + tuple(kind for _, kind, _ in defective),
                   _masks(tested, len(good), sizes.longest_side), _identity(folder, groups, defective))


def _masks(tested: list[tuple], good: int, longest_side: int | None) -> LazyImages:
    def read(index):
        image, _, path = tested[index]
        size = image_size(image)
        if index < good:
            return resize(np.zeros(size, bool), longest_side)
        if path is None:
            return None
        mask_size = image_size(path)
        if mask_size != size:  # before anything is shrunk
            raise InputError(f"{path}: {mask_size[0]} x {mask_size[1]}, but its image is "
                             f"{size[0]} x {size[1]}; make them the same size")
        return resize(read_mask(path, defective=True), longest_side)

    return LazyImages(len(tested), read)


def _misplaced(folder: Path) -> list[Path]:
    """Images that lie where nothing is looked for: beside the folders of the layout."""
    found = []
    for place in (folder, folder / "train", folder / "test", folder / "ground_truth"):
        if place.is_dir():
            found += sorted(path for path in place.iterdir()
                            if path.is_file() and not of_tools(path.name) and is_image(path.name))
    for place in (folder, folder / "train"):
        for other in folders_in(place):
            if other.name not in ("train", "test", "ground_truth", "good"):
                found += look_through(other)[0]
    return found


def _identity(folder: Path, groups: dict[str, list[Path]], defective: list[tuple]) -> str:
    """A fingerprint of where a data set lies and of every file that is used."""
    told = hashlib.sha256(os.fsencode(folder.resolve()))
    masks = [mask for *_, mask in defective if mask]
    for path in [*(path for paths in groups.values() for path in paths), *masks]:
        told.update(os.fsencode(path.relative_to(folder)) + b"\0" + content(path).encode())
    return told.hexdigest()
