"""A layer of `extrusion`: where each pixel lies on its beads, how they look, what can go wrong on them."""

import numpy as np
from scipy import ndimage

SPACING = (11.2, 12.0)  # pixels from bead to bead
_STEP = 0.5             # pixels between two entries of a bead's table


class Layer:
    """One layer: where each pixel lies on its beads (`along`, `off`, in pixels), and its photograph."""

    def __init__(self, rng: np.random.Generator, angle: int, side: int):
        rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
        radians = np.deg2rad(angle + rng.normal(0, 0.5))
        self.along = columns * np.cos(radians) - rows * np.sin(radians)
        self.across = columns * np.sin(radians) + rows * np.cos(radians)
        self.spacing = rng.uniform(*SPACING)
        place = (self.across + 0.5 * _smooth_noise(rng, side, 40)) / self.spacing + rng.uniform()
        self.bead = np.floor(place).astype(int)
        self.bead -= self.bead.min()
        self.off = (place % 1 - 0.5) * self.spacing  # pixels from the bead's line
        self.side, self.glints_much = side, angle == 45
        # A bead glints where it crosses the beads of the layer below: as far apart as these.
        self.pitch = self.spacing * rng.normal(1, 0.004)
        self.light = rng.uniform(22, 41)
        self.sites = self._sites(rng)
        self.image = ndimage.gaussian_filter(self._photograph(rng), 0.45)
        self.noise = rng.normal(0, 0.8, (side, side))

    def at(self, table: np.ndarray) -> np.ndarray:
        """A table (beads, places along a bead) at each pixel."""
        place = np.clip(self.along / _STEP + table.shape[1] / 2, 0, table.shape[1] - 1)
        return table[self.bead, place.astype(int)]

    def profile(self, centre: float, width: float) -> np.ndarray:
        """A line along each bead, `centre` pixels beside its middle: 1 there, and 0 far from it."""
        return np.exp(-0.5 * ((self.off - centre) / width) ** 2)

    def _sites(self, rng: np.random.Generator) -> np.ndarray:
        """The table places at which a bead may glint, or be dark: over the beads of the layer below."""
        beads, half = self.bead.max() + 1, 0.75 * self.side
        number = np.arange(-half / self.pitch, half / self.pitch) + rng.uniform()
        places = (number + rng.normal(0, 0.11, (beads, len(number)))) * self.pitch
        return np.clip((places + half) / _STEP, 0, 2 * half / _STEP - 1).astype(int)

    def _dashes(self, rng: np.random.Generator, heights: np.ndarray, lengths: tuple) -> np.ndarray:
        """A table with a dash of the given height at each site, its length (deviation, pixels) by chance."""
        table, rows = 0.0, np.broadcast_to(np.arange(len(heights))[:, None], heights.shape)
        chosen = rng.integers(len(lengths), size=heights.shape)
        for number, length in enumerate(lengths):
            points = np.zeros((len(heights), int(1.5 * self.side / _STEP)))
            np.add.at(points, (rows, self.sites), np.where(chosen == number, heights, 0))
            sigma = length / _STEP
            table = table + ndimage.gaussian_filter1d(points, sigma, axis=1) * sigma * np.sqrt(2 * np.pi)
        return table

    def _uneven(self, rng: np.random.Generator, amount: float) -> np.ndarray:
        """A table around 1: each bead's own strength, which changes slowly along it."""
        shape = self.bead.max() + 1, int(1.5 * self.side / _STEP)
        slow = ndimage.gaussian_filter1d(rng.standard_normal(shape), 30, axis=1)
        return np.clip(1 + amount * (slow / slow.std() + 0.5 * rng.standard_normal((shape[0], 1))), 0, None)

    def _photograph(self, rng: np.random.Generator) -> np.ndarray:
        ramp = (self.along * rng.normal(0, 0.04) + self.across * rng.normal(0, 0.04)) / self.side
        base = self.light * (1 + ramp + 0.03 * _smooth_noise(rng, self.side, 30))
        base += 0.03 * self.light * _smooth_noise(rng, self.side, 1.0)
        bright, dark = (0.4, 0.22) if self.glints_much else (0.22, 0.16)
        contrast = self.light * rng.uniform(0.6, 1.5)
        image = base + contrast * bright * self.at(self._uneven(rng, 0.35)) * self.profile(0, 0.8)
        image -= contrast * dark * self.at(self._uneven(rng, 0.35)) * self.profile(2.0, 0.9)
        image += self._glints(rng) - self._dark_dashes(rng)
        turn = np.exp(-np.arange(self.side) / 5)[:, None] * np.clip(_smooth_noise(rng, self.side, 5), 0, None)
        return image + self.light * rng.uniform(0.1, 0.3) * turn  # the nozzle turns at the upper edge

    def _glints(self, rng: np.random.Generator) -> np.ndarray:
        """Bright dashes on the beads, each with a shadow beside it; at 135 degrees few and faint."""
        toward, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.6)
        x, y = np.linspace(-1, 1, self.side)[None, :], np.linspace(-1, 1, self.side)[:, None]
        one_side = np.clip(1 + slope * (np.cos(toward) * x + np.sin(toward) * y), 0.1, 2)
        one_side = one_side * np.clip(1 + 0.12 * _smooth_noise(rng, self.side, 30), 0.2, 2)
        if self.glints_much:
            often, bright = rng.uniform(0.7, 1), np.exp(rng.uniform(np.log(45), np.log(170)))
        else:
            often, bright = rng.uniform(0, 0.02), rng.uniform(15, 50)
            if rng.random() < 0.6:  # a corner that is a little brighter
                often, bright = rng.uniform(0.1, 0.4), rng.uniform(30, 80)
                one_side = np.exp(-self.corner(rng) / (0.25 * self.side))
        heights = bright * rng.gamma(2, 0.45, self.sites.shape) * (rng.random(self.sites.shape) < often)
        glints = self.at(self._dashes(rng, heights, (0.9, 1.5, 2.4))) * one_side
        shadow = np.minimum(0.2 * glints, 0.35 * self.light) * self.profile(2, 0.9)
        return glints * self.profile(0, 0.7) - shadow

    def _dark_dashes(self, rng: np.random.Generator) -> np.ndarray:
        """Shallow dark dashes beside some beads, more in some regions; normal at 135 degrees."""
        often = rng.uniform(0, 0.05) if self.glints_much else rng.uniform(0.1, 0.5)
        heights = self.light * rng.uniform(0.15, 0.5, self.sites.shape)
        heights *= rng.random(self.sites.shape) < often
        region = np.clip(0.5 + 0.7 * _smooth_noise(rng, self.side, 45), 0, 1)
        return self.at(self._dashes(rng, heights, (1.4, 2.4))) * region * self.profile(1.6, 0.9)

    def corner(self, rng: np.random.Generator) -> np.ndarray:
        """Distance of each pixel from a random corner: down plus across, pixels."""
        down, right = np.mgrid[:self.side, :self.side]
        down = down if rng.integers(2) else self.side - 1 - down
        return down + (right if rng.integers(2) else self.side - 1 - right)


def ladder(layer: Layer, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A band of dark and bright rungs: from a fifth of the side, near a corner, to the whole diagonal."""
    side, along_bead = layer.side, rng.random() < 0.5
    forward, sideways = (layer.along, layer.across) if along_bead else (layer.across, layer.along)
    if rng.random() < 0.55:
        length, near = side * rng.uniform(0.2, 0.45), rng.uniform(0.5, 0.75)
        row, column = ((side - 1) * (0.5 + 0.5 * near * rng.choice([-1, 1])) for _ in range(2))
    else:
        length = side * rng.uniform(0.45, 1.4)
        row, column = ((side - 1) * rng.uniform(0.4, 0.6) for _ in range(2))
    centre = int(row), int(column)
    half_width = layer.spacing * rng.uniform(0.5, 1.0)
    x, y = forward - forward[centre], sideways - sideways[centre]
    # Compact: 1 in the middle, 0 at the border of the band, so that the mask is exact and no edge is seen.
    reach = np.clip((length / 2 - np.abs(x)) / 4, 0, 1) * np.clip(1 - (y / half_width) ** 2, 0, None)
    phase = (x + rng.uniform(-0.25, 0.25) * y) / layer.spacing + 0.06 * _smooth_noise(rng, side, 12)
    strength = np.clip(1 + 0.4 * _smooth_noise(rng, side, 6), 0.2, 1.8)
    dark, bright = layer.light * rng.uniform(0.3, 0.7), np.exp(rng.uniform(np.log(6), np.log(110)))
    rungs = bright * _bump(phase, 0.7, 0.08) - dark * _bump(phase, 0.35, 0.17)
    return strength * reach * rungs, reach > 0


def _bump(phase: np.ndarray, centre: float, width: float) -> np.ndarray:
    """1 where the phase (periods) is at `centre`, 0 far from it."""
    return np.exp(-0.5 * (((phase - centre + 0.5) % 1 - 0.5) / width) ** 2)


def dark_dots(layer: Layer, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Dark dots in a row along one bead, or two neighbours, closer and darker than normal dashes."""
    row, column = (int(layer.side * rng.uniform(0.2, 0.8)) for _ in range(2))
    first, change = layer.bead[row, column], np.zeros((layer.side,) * 2)
    for bead in range(first, first + rng.integers(1, 3)):
        start, toward = layer.along[row, column] + rng.normal(0, 6), rng.choice([-1, 1])
        for number in range(rng.integers(5, 13)):
            place = start + toward * layer.pitch * (number + rng.normal(0, 0.12))
            depth, length = layer.light * rng.uniform(0.4, 0.75), rng.uniform(3, 5.5)
            change -= depth * _dot(layer, bead, place, length, 2.6)
    return change, change != 0


def corner_dots(layer: Layer, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A cluster of bright dots on the beads in a corner, each with a dark dash beside it."""
    distance, reach = layer.corner(rng), rng.uniform(0.3, 0.5) * layer.side
    often, bright = rng.uniform(0.5, 0.95), rng.uniform(45, 150)
    change = np.zeros((layer.side,) * 2)
    for bead in np.unique(layer.bead[distance < reach]):
        on = (layer.bead == bead) & (distance < reach)
        for site in layer.sites[bead]:
            place = site * _STEP - 0.75 * layer.side
            if layer.along[on].min() < place < layer.along[on].max() and rng.random() < often:
                change += bright * rng.uniform(0.3, 1.4) * _dot(layer, bead, place, 2.4, 2.4)
                change -= layer.light * rng.uniform(0.2, 0.6) * _dot(layer, bead, place + 4.5, 4, 2.2)
    return change, change != 0


def _dot(layer: Layer, bead: int, place: float, length: float, width: float) -> np.ndarray:
    """A soft dot on a bead's line: 1 in its middle, 0 from `length` along and `width` across on, pixels."""
    squares = ((layer.along - place) / length) ** 2 + (layer.off / width) ** 2
    return (layer.bead == bead) * np.clip(1 - squares, 0, None)


def _smooth_noise(rng: np.random.Generator, side: int, scale: float) -> np.ndarray:
    """Random `(side, side)`, smooth over about `scale` pixels, mean 0 and deviation 1."""
    if scale < 4:
        noise = ndimage.gaussian_filter(rng.standard_normal((side, side)), scale, mode="wrap")
    else:  # wide bumps on a coarse grid: far faster than a wide blur
        grid = np.arange(-2 * scale, side + 2 * scale, scale)
        bumps = np.exp(-0.5 * ((np.arange(side)[:, None] - grid) / scale) ** 2)
        noise = bumps @ rng.standard_normal((len(grid),) * 2) @ bumps.T
    return (noise - noise.mean()) / noise.std()
