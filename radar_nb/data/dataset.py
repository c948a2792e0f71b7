"""Named data sets, each split into train, calibrate and test.

Normal images go three ways: **train** (the U-Net), **calibrate** (Isolation Forest and thresholds), **test**.
Defective images are in test alone. No choice is ever made on test images.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from radar_nb.storage.errors import InputError


class LazyImages(Sequence):
    """A list of arrays that are made when they are first asked for, and kept.

    `value_range` is what counts as white in their files, where these are not 8-bit (`radar_nb.data.ranges`).
    """

    def __init__(self, count: int, make: Callable[[int], np.ndarray], value_range: int | None = None):
        self.value_range = value_range
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

    `train`, `calibrate` and `test` are sequences of images `(H, W)` or `(H, W, 3)`; `kinds[i]` is "good" or
    the defect of `test[i]`; `masks[i]` is `(H, W)` bool, or None where a defect has no mask.
    """

    name: str
    train: Sequence[np.ndarray]
    calibrate: Sequence[np.ndarray]
    test: Sequence[np.ndarray]
    kinds: tuple[str, ...]
    masks: Sequence[np.ndarray | None]
    identity: str = ""  # of a folder: a fingerprint of its place and of all its files
    title: str = ""     # of a folder: its last name, for people; `name` is no other data set's

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
            InputError: naming the first file that cannot be read, is too small, or differs in channels or
                size.
        """
        for sequence in (self.train, self.calibrate, self.test, self.masks):
            for _ in sequence:
                pass

    def need_defects(self) -> None:
        """For a notebook that compares good with defective images.

        Raises:
            InputError: there are no defective test images.
        """
        if not self.labels.any():
            raise InputError(f"{self.title or self.name}: no defective test images, and this notebook "
                             "compares good with defective ones; put some in test/<defect>; 04, 07 and 11 "
                             "need none")

    def __str__(self) -> str:
        defective = int(self.labels.sum())
        return (f"{self.title or self.name}: {len(self.train)} train, {len(self.calibrate)} calibrate, "
                f"{len(self.test) - defective} good and {defective} defective test images")


@dataclass(frozen=True)
class Sizes:
    """How many images a synthetic data set has, and how large the images of any data set may be."""

    train: int = 80
    calibrate: int = 240
    test_good: int = 60
    test_per_defect: int = 20
    side: int = 128               # of made images, pixels
    longest_side: int | None = 512  # larger images in a folder are shrunk to this
    smallest_side: int = 32       # smaller images in a folder are an error: a patch must fit
    calibrate_share: float = 0.25  # of the normal training images in a folder ...
    calibrate_least: int = 10     # ... but at least so many, or half of them

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            share = name == "calibrate_share"
            right = isinstance(value, (int, float) if share else int) and not isinstance(value, bool)
            if value is None and name == "longest_side":
                continue
            least = 0 if name.startswith("test") else 1
            if not right or not (0 < value < 1 if share else least <= value <= 10**6):
                wanted = "a number between 0 and 1" if share else f"a whole number from {least} to 1000000"
                raise InputError(f"{name}={value!r}: give {wanted}")


def made(name: str, sizes: Sizes, defects: Sequence[str],
         make: Callable[[str, int, str | None], tuple]) -> Dataset:
    """A data set whose images come from `make(split, index, defect) -> (image, mask)`."""
    defective = tuple(defect for defect in defects for _ in range(sizes.test_per_defect))
    kinds = ("good",) * sizes.test_good + defective
    test = LazyImages(len(kinds), lambda i: make("test", i, None if kinds[i] == "good" else kinds[i]))
    return Dataset(name, LazyImages(sizes.train, lambda i: make("train", i, None)[0]),
                   LazyImages(sizes.calibrate, lambda i: make("calibrate", i, None)[0]),
                   LazyImages(len(kinds), lambda i: test[i][0]), kinds,
                   LazyImages(len(kinds), lambda i: test[i][1]))
