"""`extrusion`: a stand-in for the paper's own photographs of printed layers, which are not public (slides 11
to 13).

A dark, matt layer of parallel beads, along 45 degrees in one half of the images and along 135 in the other.
One model serves both, as in the paper. At 45 degrees the beads glint: short bright dashes, denser to one
side. At 135 they hardly do. Light and glints differ strongly from image to image, so brightness alone tells
nothing. Defects: a `ladder` of rungs, along a bead or across the beads; `dark_dots` along a bead;
`corner_dots`, bright dots in a corner.
"""

import numpy as np
from scipy import ndimage

from radar_nb.data.dataset import Dataset, LazyImages, Sizes

SIDE = 255                      # pixels (slide 10)
ANGLES = (45, 135)              # degrees of the beads
DEFECTS = ("ladder", "dark_dots", "corner_dots")
SPACING = (11.3, 12.2)          # pixels from bead to bead
# Images at 45 and at 135 degrees (slide 12). A third of the training images calibrates.
TRAIN, TEST_GOOD, TEST_DEFECTIVE = (41, 40), (21, 19), (22, 22)
CALIBRATE_SHARE = 1 / 3
_OF_EACH_DEFECT = (12, 6, 4)    # of the 22 defective images of an angle


def extrusion_image(rng: np.random.Generator, angle: int, defect: str | None = None,
                    side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """One photograph of a layer.

    Args:
        rng: all that differs from image to image; angle: of the beads, 45 or 135 degrees.
        defect: one of `DEFECTS`, or None for a normal layer; side: of the image, pixels.

    Returns:
        the image `(side, side)` uint8, and the mask of the defect `(side, side)` bool. The defect draws from
        a generator of its own: the same `rng` without it gives the same layer, equal outside the mask.

    Raises:
        ValueError: another angle or defect.
    """
    if angle not in ANGLES or defect not in (None, *DEFECTS):
        raise ValueError(f"angle={angle!r}, defect={defect!r}: choose one of {ANGLES} and {DEFECTS}")
    surface_rng, defect_rng = rng.spawn(2)
    layer = _Layer(surface_rng, angle, side)
    image, mask = layer.image, np.zeros((side, side), bool)
    if defect:
        draw = {"ladder": _ladder, "dark_dots": _dark_dots, "corner_dots": _corner_dots}[defect]
        change, mask = draw(layer, defect_rng)
        image = np.where(mask, image + change, image)
    return np.round(np.clip(image + layer.noise, 0, 255)).astype(np.uint8), mask


def extrusion_dataset(name: str, sizes: Sizes, seed: int) -> Dataset:
    """`extrusion`, or `extrusion_choose`, an independent draw on which anything that has to be chosen is
    chosen.

    With the default sizes it has the paper's numbers (slide 12): 41 + 40 normal images to learn from, of
    which a third calibrates; 21 + 19 normal and 22 + 22 defective test images. Fewer or more on request, half
    at each angle.
    """
    as_paper = sizes.train == Sizes.train and sizes.calibrate == Sizes.calibrate
    learn = sum(TRAIN) if as_paper else sizes.train + sizes.calibrate
    calibrate = round(CALIBRATE_SHARE * learn) if as_paper else sizes.calibrate
    good = sum(TEST_GOOD) if as_paper else sizes.test_good
    each = _OF_EACH_DEFECT if as_paper else (-(-sizes.test_per_defect // 2),) * len(DEFECTS)
    angles = _angles(good, TEST_GOOD[0] if as_paper else -(-good // 2))
    kinds = ("good",) * good
    for angle in ANGLES:
        kinds += tuple(defect for defect, count in zip(DEFECTS, each, strict=True) for _ in range(count))
        angles += (angle,) * sum(each)

    def make(split: str, index: int, angle: int, defect: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([seed, *name.encode(), *split.encode(), index])
        return extrusion_image(rng, angle, defect)

    def normal(count: int, first: int) -> LazyImages:
        return LazyImages(count, lambda i: make("normal", first + i, ANGLES[(first + i) % 2])[0])

    test = LazyImages(len(kinds),
                      lambda i: make("test", i, angles[i], None if kinds[i] == "good" else kinds[i]))
    return Dataset(name, normal(learn - calibrate, calibrate), normal(calibrate, 0),
                   LazyImages(len(kinds), lambda i: test[i][0]), kinds,
                   LazyImages(len(kinds), lambda i: test[i][1]))


def _angles(count: int, at_45: int) -> tuple[int, ...]:
    return (ANGLES[0],) * at_45 + (ANGLES[1],) * (count - at_45)


class _Layer:
    """One layer: where each pixel lies on its beads (`along`, `across`, in pixels), and its photograph."""

    def __init__(self, rng: np.random.Generator, angle: int, side: int):
        rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
        radians = np.deg2rad(angle + rng.normal(0, 0.6))
        self.along = columns * np.cos(radians) - rows * np.sin(radians)
        wander = 0.5 * _smooth_noise(rng, side, 40)
        self.across = columns * np.sin(radians) + rows * np.cos(radians) + wander
        self.spacing = rng.uniform(*SPACING)
        place = self.across / self.spacing + rng.uniform()
        self.bead = np.floor(place).astype(int)
        self.off_line = (place % 1 - 0.5) * self.spacing  # pixels from the bright line of the bead
        self.side, self.angle = side, angle
        self.light = rng.uniform(23, 40)
        self.image = ndimage.gaussian_filter(self._photograph(rng), 0.55)
        self.noise = rng.normal(0, 1.1, (side, side))

    def _photograph(self, rng: np.random.Generator) -> np.ndarray:
        ramp = (self.along / self.side) * rng.normal(0, 2.5) + (self.across / self.side) * rng.normal(0, 2.5)
        image = self.light + ramp + 0.8 * _smooth_noise(rng, self.side, 25) + 0.7 * _smooth_noise(rng,
                                                                                                  self.side,
                                                                                                  1.2)
        strength = rng.uniform(0.6, 1.4) * np.clip(1 + 0.5 * _smooth_noise(rng, self.side, 30), 0.2, 2)
        line, groove = np.exp(-0.5 * (self.off_line / 0.8) ** 2), np.exp(-0.5
                                                                         * ((self.off_line - 2.2) / 0.9) ** 2)
        image = image + strength * ((12 if self.angle == 45 else 2) * line - (4 if self.angle == 45 else 6)
                                    * groove)
        image += self._glints(rng, line, groove)
        edge = np.exp(-np.arange(self.side) / 5)[:, None] * np.clip(_smooth_noise(rng, self.side, 4), 0, None)
        return image + rng.uniform(3, 9) * edge  # where the nozzle turns, at the upper edge

    def _glints(self, rng: np.random.Generator, line: np.ndarray, groove: np.ndarray) -> np.ndarray:
        """Bright dashes on the beads, each with a shadow beside it; at 135 degrees few and faint."""
        if self.angle == 45:
            often, bright = rng.uniform(0.055, 0.1), rng.uniform(60, 230)
        else:
            often, bright = rng.uniform(0.0, 0.012), rng.uniform(15, 50)
        toward, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.8)
        x, y = np.linspace(-1, 1, self.side)[None, :], np.linspace(-1, 1, self.side)[:, None]
        one_side = np.clip(1 + slope * (np.cos(toward) * x + np.sin(toward) * y), 0.1, 2)
        if self.angle == 135 and rng.random() < 0.5:  # a corner that is a little brighter
            down, across = self.corner(rng)
            often, one_side = often + 0.02, one_side * np.exp(-(down + across) / (0.25 * self.side))
        glints = np.zeros(self.side**2)
        for bead in np.unique(self.bead):
            ends = self.side * 0.75
            count = rng.poisson(often * 2 * ends)
            places, sizes = rng.uniform(-ends, ends, count), bright * rng.gamma(1.5, 0.45, count)
            lengths, on = rng.uniform(0.8, 2.1, count), np.flatnonzero(self.bead.ravel() == bead)
            distance = (self.along.ravel()[on, None] - places) / lengths
            glints[on] = (sizes * np.exp(-0.5 * distance**2)).sum(axis=1)
        glints = glints.reshape(line.shape) * one_side
        shadow = np.minimum(0.25 * glints, 14) * groove
        return glints * np.exp(-0.5 * (self.off_line / 0.65) ** 2) - shadow

    def corner(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Distance of each pixel from one corner, down and across, pixels."""
        down, across = np.mgrid[:self.side, :self.side]
        return (down if rng.integers(2) else self.side - 1 - down), (across if rng.integers(2)
                                                                     else self.side - 1 - across)


def _ladder(layer: _Layer, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A band of alternating dark and bright rungs: from a fifth of the side, near a corner, to the whole
    diagonal.
    """
    side, along_beads = layer.side, rng.random() < 0.5
    forward, sideways = (layer.along, layer.across) if along_beads else (layer.across, layer.along)
    length, width = side * rng.choice([rng.uniform(0.2, 0.45),
                                       rng.uniform(0.45, 1.3)]), layer.spacing * rng.uniform(0.8, 1.7)
    at, start = _band_place(rng, side, length)
    inside = (np.abs(sideways - at) < width / 2) & (forward > start) & (forward < start + length)
    pitch = rng.uniform(8, 11) if along_beads else layer.spacing
    phase = (forward - start) / pitch % 1
    dark, bright = rng.uniform(8, 20), rng.choice([rng.uniform(3, 12), rng.uniform(20, 110)])
    reach = np.exp(-0.5 * ((sideways - at) / (0.33 * width)) ** 2)
    rung, glow = np.exp(-0.5 * ((phase - 0.3) / 0.13) ** 2), np.exp(-0.5 * ((phase - 0.72) / 0.1) ** 2)
    uneven = np.clip(1 + 0.35 * _smooth_noise(rng, side, 5), 0.3, 1.7)
    return uneven * reach * (bright * glow - dark * rung), _big_enough(inside)


def _band_place(rng: np.random.Generator, side: int, length: float) -> tuple[float, float]:
    """Where a band lies: its distance from the middle line, and where it starts; the shorter, the nearer to a
    corner.
    """
    reach = side * np.sqrt(2)
    if length > 0.8 * side:
        return rng.uniform(-0.15, 0.15) * side, -length / 2 + rng.uniform(-0.1, 0.1) * side
    at = rng.uniform(-0.3, 0.3) * side
    room = reach / 2 - abs(at) - 2
    return at, (room - length - rng.uniform(0, 15)) if rng.integers(2) else -room + rng.uniform(0, 15)


def _dark_dots(layer: _Layer, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Dark dots along one bead, or two neighbours."""
    half = 0.25 * layer.side
    row, column = (int(layer.side / 2 + rng.uniform(-half, half)) for _ in range(2))
    centre = layer.bead[row, column]
    change, mask = np.zeros((layer.side,) * 2), np.zeros((layer.side,) * 2, bool)
    for bead in range(centre, centre + rng.integers(1, 3)):
        first, pitch = rng.uniform(-half, 0.3 * half), rng.uniform(7, 13)
        for number in range(rng.integers(5, 13)):
            place = first + pitch * (number + rng.normal(0, 0.12))
            dot = _dot(layer, bead, place, rng.uniform(1.6, 3.2), rng.uniform(1.0, 1.5))
            change -= rng.uniform(10, 22) * dot
            mask |= dot > 0.05
    return change, _big_enough(mask)


def _corner_dots(layer: _Layer, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A cluster of bright dots on the beads in a corner, each with a shadow."""
    down, across = layer.corner(rng)
    reach = rng.uniform(0.3, 0.5) * layer.side
    change, mask = np.zeros((layer.side,) * 2), np.zeros((layer.side,) * 2, bool)
    near = (down + across) < reach
    for bead in np.unique(layer.bead[near]):
        on = near & (layer.bead == bead)
        low, high = layer.along[on].min(), layer.along[on].max()
        for place in np.arange(low + rng.uniform(0, 6), high, rng.uniform(9, 14)):
            dot = _dot(layer, bead, place, 1.1, 0.9)
            shade = _dot(layer, bead, place + 3.2, 1.6, 1.0)
            change += rng.uniform(35, 170) * dot - rng.uniform(5, 14) * shade
            mask |= (dot > 0.05) | (shade > 0.1)
    return change, _big_enough(mask & (down + across < reach + 8))


def _dot(layer: _Layer, bead: int, place: float, length: float, width: float) -> np.ndarray:
    """A soft dot on a bead's line: 1 in the middle."""
    squares = ((layer.along - place) / length) ** 2 + (layer.off_line / width) ** 2
    return (layer.bead == bead) * np.exp(-0.5 * squares)


def _big_enough(mask: np.ndarray) -> np.ndarray:
    """A mask that is never empty: a defect that fell outside the picture is a dark spot in the middle
    instead.
    """
    if mask.sum() < 20:
        middle = mask.shape[0] // 2
        mask[middle - 4:middle + 4, middle - 4:middle + 4] = True
    return mask


def _smooth_noise(rng: np.random.Generator, side: int, scale: float) -> np.ndarray:
    """Gaussian noise smoothed to `scale` pixels, deviation 1."""
    noise = ndimage.gaussian_filter(rng.standard_normal((side, side)), scale, mode="wrap")
    return noise / noise.std()
