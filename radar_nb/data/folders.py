"""Folders of images in MVTec AD's layout: `train/good`, `test/good`, `test/<defect>`, `ground_truth`."""

from functools import cache
from pathlib import Path

import numpy as np

from radar_nb.data.dataset import Dataset, LazyImages, Sizes
from radar_nb.data.images import load_images, read_image, read_mask, resize
from radar_nb.storage.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")


def find_images(folder: str | Path, inside: bool = False) -> list[Path]:
    """The image files in `folder`, in the order of their names; `inside` its folders too.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; check the path")
    files = sorted(path for path in (folder.rglob("*") if inside else folder.iterdir())
                   if path.suffix.lower() in SUFFIXES and path.name[0] != "." and not path.is_dir())
    if not files:
        raise InputError(f"{folder}: no images found; put files ending in {', '.join(SUFFIXES)} there")
    return files


def find_defective(root: str | Path) -> list[tuple[Path, str, Path | None]]:
    """The defective images of a data set in the MVTec AD layout.

    Returns:
        `(image, defect, mask)` for each file of `<root>/test/<defect>`; `mask` is None for a defect that has
        no folder under `<root>/ground_truth`: such images count for detection and not for segmentation.

    Raises:
        InputError: an image of a defect with masks has none, or a mask has no image.
    """
    root, found = Path(root), []
    for folder in sorted(path for path in (root / "test").iterdir() if path.is_dir() and path.name != "good"):
        mask_folder, images = root / "ground_truth" / folder.name, find_images(folder)
        masks = None
        if mask_folder.is_dir():
            masks = {path.stem.removesuffix("_mask"): path for path in find_images(mask_folder)}
        for image in images:
            if masks is not None and image.stem not in masks:
                raise InputError(f"{image}: no mask {mask_folder / (image.stem + '_mask.png')}; add the "
                                 "mask, or remove the image")
            found.append((image, folder.name, masks.pop(image.stem) if masks is not None else None))
        if masks:
            mask = next(iter(masks.values()))
            raise InputError(f"{mask}: a mask without its image "
                             f"{folder / mask.stem.removesuffix('_mask')}.*; "
                             "add the image, or remove the mask")
    return found


def folder_dataset(folder: Path, sizes: Sizes, seed: int) -> Dataset:
    """A folder in the layout of this module's first line, as a data set."""
    normal, good = find_images(folder / "train" / "good"), find_images(folder / "test" / "good")
    if len(normal) < 4:
        raise InputError(f"{folder / 'train' / 'good'}: {len(normal)} images; at least 4 are needed to "
                         "train and to calibrate")
    defective = find_defective(folder)
    order = np.random.default_rng(seed).permutation(len(normal))
    calibrate = max(round(sizes.calibrate_share * len(normal)), min(sizes.calibrate_least, len(normal) // 2))
    # What most of the first images are. A grey file in an RGB set is then repeated; a coloured one in a grey
    # set is an error.
    channels = cache(lambda: 3 if np.mean([read_image(path).ndim == 3 for path in normal[:8]]) >= 0.5 else 1)

    def images(paths):
        def read(index):
            return next(load_images([paths[index]], sizes.smallest_side, channels(), sizes.longest_side))

        return LazyImages(len(paths), read)

    mask_paths = [None] * len(good) + [mask for _, _, mask in defective]
    test = images(good + [image for image, _, _ in defective])

    def read_test_mask(index):
        if index < len(good):
            return np.zeros(test[index].shape[:2], bool)
        if mask_paths[index] is None:
            return None
        mask = resize(read_mask(mask_paths[index]), sizes.longest_side)
        if mask.shape != test[index].shape[:2]:
            raise InputError(f"{mask_paths[index]}: {mask.shape[0]} x {mask.shape[1]}, but its image is "
                             f"{test[index].shape[0]} x {test[index].shape[1]}; make them the same size")
        return mask

    return Dataset(folder.resolve().name, images([normal[i] for i in sorted(order[calibrate:])]),
                   images([normal[i] for i in sorted(order[:calibrate])]), test,
                   ("good",) * len(good) + tuple(kind for _, kind, _ in defective),
                   LazyImages(len(test), read_test_mask))
