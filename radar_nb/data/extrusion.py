"""`extrusion`: a stand-in for the paper's photographs of printed layers, which are not public (slide 12).

A dark, matt layer of parallel beads, along 45 degrees in one half of the images and along 135 in the other.
One model serves both, as in the paper. At 45 degrees the beads glint: short bright dashes, denser to one
side. At 135 they hardly do: thin dull lines, some dark dashes, often a brighter corner. Light and glints
differ strongly from image to image, so brightness alone tells nothing. Defects: a `ladder` of rungs, along a
bead or across the beads; `dark_dots` along a bead; `corner_dots`, bright dots in a dull corner.
"""

import numpy as np

from radar_nb.data.dataset import Dataset, LazyImages, Sizes
from radar_nb.data.extrusion_layer import Layer, corner_dots, dark_dots, ladder

SIDE = 255                      # pixels (slide 10)
ANGLES = (45, 135)              # degrees of the beads, counter-clockwise from the rows
DEFECTS = ("ladder", "dark_dots", "corner_dots")
# Images at 45 and at 135 degrees (slide 12). A third of the training images calibrates.
TRAIN, TEST_GOOD, TEST_DEFECTIVE = (41, 40), (21, 19), (22, 22)
CALIBRATE_SHARE = 1 / 3
# Of the defective images, how many of each kind at 45 and 135 degrees. Only 135-degree corners are dull.
_OF_EACH_DEFECT = {"ladder": (14, 10), "dark_dots": (8, 4), "corner_dots": (0, 8)}


def extrusion_image(rng: np.random.Generator, angle: int, defect: str | None = None,
                    side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """One photograph of a layer.

    Args:
        rng: all that differs from image to image; angle: of the beads, 45 or 135 degrees.
        defect: one of `DEFECTS`, or None for a normal layer; side: of the image, pixels.

    Returns:
        the image `(side, side)` uint8, and the mask of the defect `(side, side)` bool. The defect draws from
        a generator of its own: an equal `rng` without it gives the same layer, equal outside the mask.

    Raises:
        ValueError: another angle or defect.
    """
    if angle not in ANGLES or defect not in (None, *DEFECTS):
        raise ValueError(f"angle={angle!r}, defect={defect!r}: choose one of {ANGLES} and {DEFECTS}")
    surface_rng, defect_rng = rng.spawn(2)
    layer = Layer(surface_rng, angle, side)
    change, mask = 0.0, np.zeros((side, side), bool)
    if defect:
        draw = {"ladder": ladder, "dark_dots": dark_dots, "corner_dots": corner_dots}[defect]
        change, mask = draw(layer, defect_rng)
    return np.round(np.clip(layer.image + change + layer.noise, 0, 255)).astype(np.uint8), mask


def extrusion_dataset(name: str, sizes: Sizes, seed: int) -> Dataset:
    """`extrusion`, or `extrusion_choose`, an independent draw on which anything that has to be chosen is
    chosen.

    A number in `sizes` that is at its default becomes the paper's (slide 12): 41 + 40 normal images to learn
    from, of which a third calibrates; 21 + 19 normal and 22 + 22 defective test images. Any other number is
    kept, half at each angle. An image depends on its part, angle and number there, not on how many are made.
    """
    as_paper = (sizes.train, sizes.calibrate) == (Sizes.train, Sizes.calibrate)
    calibrate = round(CALIBRATE_SHARE * sum(TRAIN)) if as_paper else sizes.calibrate
    train = sum(TRAIN) - calibrate if as_paper else sizes.train
    good = TEST_GOOD if sizes.test_good == Sizes.test_good else _halves(sizes.test_good)
    tests = _numbered(None, good)
    for defect, counts in _OF_EACH_DEFECT.items():
        if sizes.test_per_defect != Sizes.test_per_defect:
            asked = sizes.test_per_defect
            counts = _halves(asked) if counts[0] else (0, asked)
        tests += _numbered(defect, counts)

    def make(part: str, defect: str | None, angle: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        words = f"{name} {part} {defect}".encode()
        return extrusion_image(np.random.default_rng([seed, *words, angle, number]), angle, defect)

    def normal(part: str, count: int) -> LazyImages:
        return LazyImages(count, lambda i: make(part, None, ANGLES[i % 2], i // 2)[0])

    test = LazyImages(len(tests), lambda i: make("test", *tests[i]))
    kinds = tuple(defect or "good" for defect, *_ in tests)
    images, masks = (LazyImages(len(tests), lambda i, which=which: test[i][which]) for which in (0, 1))
    return Dataset(name, normal("train", train), normal("calibrate", calibrate), images, kinds, masks)


def _numbered(defect: str | None, counts: tuple[int, int]) -> list[tuple]:
    """(defect, angle, number) of so many test images at 45 and at 135 degrees."""
    return [(defect, angle, i) for angle, count in zip(ANGLES, counts, strict=True) for i in range(count)]


def _halves(count: int) -> tuple[int, int]:
    return count - count // 2, count // 2
