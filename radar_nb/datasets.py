"""Named data sets, each split into train, calibrate and test.

Normal images go three ways: **train** (the U-Net), **calibrate** (Isolation Forest and thresholds), **test**.
Defective images are in test alone. No choice is ever made on test images.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import platformdirs
from scipy import ndimage

from radar_nb import printed
from radar_nb.images import InputError, find_defective, find_images, load_images, read_image, read_mask, resize

NAMED = ("printed", "printed_easy", "printed_hard", "texture", "texture_grass", "texture_gravel")


class LazyImages(Sequence):
    """A list of arrays that are made when they are first asked for, and kept."""

    def __init__(self, count: int, make: Callable[[int], np.ndarray]):
        self._items: list[np.ndarray | None] = [None] * count
        self._make = make

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        if self._items[index] is None:
            self._items[index] = self._make(index)
        return self._items[index]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))


@dataclass(frozen=True)
class Dataset:
    """A data set, ready to use.

    `train`, `calibrate` and `test` are sequences of images `(H, W)` or `(H, W, 3)`; `kinds[i]` is "good" or the
    defect of `test[i]`; `masks[i]` is `(H, W)` bool, or None where a defect has no mask.
    """

    name: str
    train: Sequence[np.ndarray]
    calibrate: Sequence[np.ndarray]
    test: Sequence[np.ndarray]
    kinds: tuple[str, ...]
    masks: Sequence[np.ndarray | None]

    @property
    def labels(self) -> np.ndarray:
        """`(len(test),)` bool, True where the image is defective."""
        return np.array([kind != "good" for kind in self.kinds])

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for RGB."""
        return 1 if self.train[0].ndim == 2 else 3

    def check(self) -> None:
        """Look at every image and mask once.

        Raises:
            InputError: naming the first file that cannot be read, is too small, or differs in channels or size.
        """
        for sequence in (self.train, self.calibrate, self.test, self.masks):
            for _ in sequence:
                pass

    def __str__(self) -> str:
        defective = int(self.labels.sum())
        return (f"{self.name}: {len(self.train)} train, {len(self.calibrate)} calibrate, "
                f"{len(self.test) - defective} good and {defective} defective test images")


@dataclass(frozen=True)
class Sizes:
    """How many images a made data set has, and how large the images of any data set may be."""

    train: int = 80
    calibrate: int = 240
    test_good: int = 60
    test_per_defect: int = 20
    side: int = 128               # of made images, pixels
    longest_side: int | None = 512  # larger images in a folder are shrunk to this
    smallest_side: int = 32       # smaller images in a folder are an error: a patch must fit
    calibrate_share: float = 0.25  # of the normal training images in a folder ...
    calibrate_least: int = 10     # ... but at least so many, or half of them: patches make many of few, the forest cannot


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
    if name in NAMED and name.startswith("printed"):
        return _printed(name, name.removeprefix("printed").removeprefix("_") or "standard", sizes, seed)
    if name in NAMED:
        return _texture(name, name.removeprefix("texture").removeprefix("_") or "brick", sizes, seed)
    try:
        folder = next((folder for folder in (Path(name).expanduser(), data_folder() / name) if name and folder.is_dir()), None)
    except (OSError, ValueError, RuntimeError):  # a name too long for the system, with a zero byte, of an unknown user (~nobody)
        folder = None
    if folder:
        return _folder(folder, sizes, seed)
    raise InputError(f"dataset={name if len(name) < 200 else name[:200] + '…'!r}: not a data set, nor a folder, nor in {data_folder()}; "
                     f"choose one of {', '.join(NAMED)}, or give a folder in the layout that README.md shows")


def data_folder() -> Path:
    """The folder that holds downloaded data sets: `RADAR_DATA`, else the platform's cache folder."""
    return Path(os.environ.get("RADAR_DATA") or platformdirs.user_cache_dir("radar_nb")).expanduser()


def _made(name: str, sizes: Sizes, defects: Sequence[str], make: Callable[[str, int, str | None], tuple]) -> Dataset:
    """A data set whose images come from `make(split, index, defect) -> (image, mask)`."""
    kinds = ("good",) * sizes.test_good + tuple(defect for defect in defects for _ in range(sizes.test_per_defect))
    test = LazyImages(len(kinds), lambda i: make("test", i, None if kinds[i] == "good" else kinds[i]))
    return Dataset(name, LazyImages(sizes.train, lambda i: make("train", i, None)[0]),
                   LazyImages(sizes.calibrate, lambda i: make("calibrate", i, None)[0]),
                   LazyImages(len(kinds), lambda i: test[i][0]), kinds, LazyImages(len(kinds), lambda i: test[i][1]))


def _printed(name: str, level: str, sizes: Sizes, seed: int) -> Dataset:
    return _made(name, sizes, printed.DEFECTS,
                 lambda split, index, defect: printed.make_image(level, seed, split, index, defect, sizes.side))


# --- texture: photographs that ship inside scikit-image, with pasted defects -----------------------------------

# Rows of the 512 x 512 photographs for each split: disjoint, so no pixel is in two of them.
_REGIONS = {"train": (0, 192), "calibrate": (192, 352), "test": (352, 512)}
PASTED_DEFECTS = ("stain", "scratch", "patch", "grit")


@lru_cache
def _photograph(texture: str) -> np.ndarray:
    from skimage import data
    return getattr(data, texture)()


def _texture(name: str, texture: str, sizes: Sizes, seed: int) -> Dataset:
    """Crops of one photograph: one surface a data set, as in a factory."""
    side = min(sizes.side, *(stop - start for start, stop in _REGIONS.values()))

    def make(split, index, defect):
        rng = np.random.default_rng([seed, *split.encode(), index])
        start, stop = _REGIONS[split]
        region = _photograph(texture)[start:stop]
        row, column = rng.integers(stop - start - side + 1), rng.integers(region.shape[1] - side + 1)
        image = region[row:row + side, column:column + side]
        return paste_defect(image, defect, rng) if defect else (image, np.zeros(image.shape, bool))

    return _made(name, sizes, PASTED_DEFECTS, make)


def paste_defect(image: np.ndarray, defect: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Put a made defect on a photograph of a normal surface.

    Args:
        image: `(H, W)` or `(H, W, 3)` uint8.
        defect: `stain` (a dark or bright spot), `scratch` (a thin line), `patch` (a piece turned by a quarter and
            shrunk) or `grit` (coarse grains).
        rng: where, how large, how strong.

    Returns:
        the image with the defect, uint8, and its mask `(H, W)`, bool.

    Raises:
        ValueError: `defect` is not one of `PASTED_DEFECTS`.
    """
    if defect not in PASTED_DEFECTS:
        raise ValueError(f"defect={defect!r}: choose one of {', '.join(PASTED_DEFECTS)}")
    height, width = image.shape[:2]
    side = min(height, width)
    radius = rng.uniform(0.07, 0.13) * side
    row, column = rng.uniform(radius, height - radius), rng.uniform(radius, width - radius)
    rows, columns = np.mgrid[:height, :width]
    x, y, angle = columns - column, rows - row, rng.uniform(0, np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    photo = np.atleast_3d(image).astype(float)
    if defect == "scratch":
        mask = (np.abs(along) < 2 * radius) & (np.abs(across - 0.01 * along**2) < rng.uniform(0.8, 1.6))
        changed = np.full_like(photo, rng.choice([20.0, 235.0]))
    else:
        mask = np.hypot(along / 1.3, across * 1.3) < radius
        if defect == "stain":
            changed = photo + rng.choice([-1, 1]) * rng.uniform(60, 110)
        elif defect == "grit":
            changed = photo + 60 * ndimage.gaussian_filter(rng.standard_normal((height, width)), 0.7)[..., None]
        else:
            changed = np.rot90(photo)[:height:2, :width:2]
            changed = np.tile(changed, (3 * height // width + 3, 3 * width // height + 3, 1))[:height, :width]
    weight = np.clip(ndimage.gaussian_filter(mask.astype(float), 0.7), 0, 1)[..., None]
    pasted = np.clip((1 - weight) * photo + weight * changed, 0, 255)
    return np.round(pasted).astype(np.uint8).reshape(image.shape), mask


# --- folders -------------------------------------------------------------------------------------------------


def _folder(folder: Path, sizes: Sizes, seed: int) -> Dataset:
    """A folder in the MVTec AD layout: `train/good`, `test/good`, `test/<defect>`, `ground_truth/<defect>`."""
    normal, good = find_images(folder / "train" / "good"), find_images(folder / "test" / "good")
    if len(normal) < 4:
        raise InputError(f"{folder / 'train' / 'good'}: {len(normal)} images; at least 4 are needed to train and to calibrate")
    defective = find_defective(folder)
    order = np.random.default_rng(seed).permutation(len(normal))
    calibrate = max(round(sizes.calibrate_share * len(normal)), min(sizes.calibrate_least, len(normal) // 2))
    # What most of the first images are. A grey file in an RGB set is then repeated; a coloured one in a grey set is an error.
    channels = cache(lambda: 3 if 2 * sum(read_image(path).ndim == 3 for path in normal[:8]) >= len(normal[:8]) else 1)

    def images(paths):
        return LazyImages(len(paths), lambda index: next(load_images([paths[index]], sizes.smallest_side, channels(), sizes.longest_side)))

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
