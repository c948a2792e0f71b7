"""A procedural photograph of a 3D-printed surface, with five kinds of defect and their masks.

Material extrusion lays parallel beads of plastic. A grazing light makes their tops bright and the grooves
between them dark. The surface is built as a height field, lit, and photographed (blur, illumination, sensor
noise). It stands in for the paper's own printed parts (section 4), for which no public link is known.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from radar_nb.data.dataset import Dataset, Sizes, made

DEFECTS = ("gap", "blob", "shift", "scratch", "roughness")


@dataclass(frozen=True)
class Surface:
    """What a print and its photograph look like. Lengths are in pixels, heights in bead heights."""

    size: int = 128
    period: float = 11.0          # distance between bead centres
    raster_angle: float = 24.0    # degrees between the beads and the image's rows
    bead_width: float = 1.02      # bead width over period: just above 1, neighbours fuse
    wander: float = 0.05          # slow drift of a bead's centre over many beads, in periods
    jitter: float = 0.05          # quick drift of one bead along its length, in periods
    amplitude: float = 0.12       # bead-to-bead variation of height
    grain: float = 0.035          # fine surface texture, in bead heights
    illumination: float = 0.16    # how much brighter one side of the picture is than the middle
    shot_noise: float = 0.016     # sensor noise at full brightness
    read_noise: float = 0.008     # sensor noise in the dark
    defect_strength: float = 1.0  # scales the depth, height or displacement of a defect


LEVELS = {
    "easy": Surface(wander=0.03, jitter=0.03, amplitude=0.08, grain=0.025, defect_strength=1.3),
    "standard": Surface(),
    "hard": Surface(wander=0.08, jitter=0.09, amplitude=0.2, grain=0.06, shot_noise=0.03,
                    defect_strength=0.55),
}


def render(surface: Surface, rng: np.random.Generator,
           defect: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Photograph one printed surface.

    Args:
        surface: the look of the print.
        rng: all randomness comes from here; the same state gives the same bytes.
        defect: one of `DEFECTS`, or None for a normal surface.

    Returns:
        image `(size, size)` uint8 and mask `(size, size)` bool, True on the defect. The mask is the
        region in which the defect was put into the height field, so it is exact by construction.

    Raises:
        ValueError: `defect` is not one of `DEFECTS`.
    """
    _check_defect(defect)
    surface = replace(surface, raster_angle=surface.raster_angle + rng.uniform(-2, 2),
                      period=surface.period * rng.uniform(0.98, 1.02))
    along, across = _bead_coordinates(surface, rng)
    beads = _Beads(surface, rng)
    if defect is None:
        height, mask = beads.height(along, across), np.zeros(along.shape, bool)
    else:
        height, mask = _DEFECT_MAKERS[defect](surface, rng, beads, along, across)
    height = height + surface.grain * _smooth_noise(rng, along.shape, 0.9)
    return _photograph(surface, rng, height), mask


def make_image(level: str, seed: int, split: str, index: int, defect: str | None = None,
               size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Image `index` of a split; it depends on the arguments alone, not on how many images are made.

    Returns and raises as `render`; also ValueError where `level` is not one of `LEVELS`.
    """
    if level not in LEVELS:
        raise ValueError(f"level={level!r}: choose one of {', '.join(LEVELS)}")
    _check_defect(defect)
    kind = 0 if defect is None else 1 + DEFECTS.index(defect)
    rng = np.random.default_rng([seed, *split.encode(), kind, index])
    return render(replace(LEVELS[level], size=size), rng, defect)


def _check_defect(defect: str | None) -> None:
    if defect is not None and defect not in DEFECTS:
        raise ValueError(f"defect={defect!r}: choose one of {', '.join(DEFECTS)}")


# --- the print -------------------------------------------------------------------------------------------


def _bead_coordinates(surface: Surface, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across the beads for each pixel, with the slow wander already in them."""
    rows, columns = np.mgrid[:surface.size, :surface.size].astype(float)
    angle = np.deg2rad(surface.raster_angle)
    along = columns * np.cos(angle) + rows * np.sin(angle)
    across = -columns * np.sin(angle) + rows * np.cos(angle) + rng.uniform(0, surface.period)
    across += surface.wander * surface.period * _smooth_noise(rng, rows.shape, 20)
    return along, across


class _Beads:
    """The beads of one print: each has its own drift, width and height, smooth along its length."""

    def __init__(self, surface: Surface, rng: np.random.Generator):
        self.period, self.half_width = surface.period, surface.bead_width * surface.period / 2
        count, length = int(3 * surface.size / surface.period) + 8, 2 * surface.size + 64
        self.origin = (count // 2, surface.size // 2 + 32)

        def per_bead(sigma):
            noise = ndimage.gaussian_filter1d(rng.standard_normal((count, length)), sigma, axis=1,
                                              mode="wrap")
            return noise / noise.std()

        self.drift = surface.jitter * surface.period * (0.7 * per_bead(10) + 0.5 * per_bead(3))
        self.width = 1 + 0.06 * per_bead(6)
        self.scale = 1 + surface.amplitude * (0.4 * per_bead(12) + 0.5 * rng.standard_normal((count, 1)))

    def number(self, across: np.ndarray) -> np.ndarray:
        """The bead nearest to each pixel."""
        return np.floor(across / self.period).astype(int)

    def height(self, along: np.ndarray, across: np.ndarray, present=lambda number: 1.0) -> np.ndarray:
        """Height field: the highest of the beads over each pixel; `present` can take material off a bead."""
        nearest = self.number(across)
        position = np.clip(np.round(along).astype(int) + self.origin[1], 0, self.drift.shape[1] - 1)
        height = np.zeros(along.shape)
        for number in (nearest - 1, nearest, nearest + 1):
            bead = np.clip(number + self.origin[0], 0, len(self.drift) - 1)
            centre = (number + 0.5) * self.period + self.drift[bead, position]
            distance = (across - centre) / (self.half_width * self.width[bead, position])
            profile = np.sqrt(np.clip(1 - distance**2, 0, None)) * self.scale[bead, position]
            height = np.maximum(height, profile * present(number))
        return height


# --- the defects: each returns the height field and the mask ------------------------------------------------


def _centre(surface, rng, along, across):
    """A random place at least an eighth of the picture away from its border, as bead coordinates."""
    row, column = rng.integers(surface.size // 8, surface.size - surface.size // 8, 2)
    return along[row, column], across[row, column]


def _gap(surface, rng, beads, along, across):
    """Under-extrusion: a length of one bead is missing. The layer below shows, its beads crosswise."""
    u, v = _centre(surface, rng, along, across)
    half_length, missing = rng.uniform(1.1, 2.2) * surface.period, beads.number(v)
    taper = np.clip((half_length - np.abs(along - u)) / 2, 0, 1) * min(1.0, 0.85 * surface.defect_strength)
    height = beads.height(along, across, lambda number: 1 - taper * (number == missing))
    below = 0.85 * np.abs(np.sin(np.pi * along / (0.5 * surface.period))) - 0.3
    bottom = (taper > 0) & (beads.number(across) == missing)
    return np.where(bottom, height + taper * below, height), bottom


def _blob(surface, rng, beads, along, across):
    """Over-extrusion: a rough drop of plastic that stands above the beads."""
    u, v = _centre(surface, rng, along, across)
    radius, stretch = rng.uniform(0.45, 0.9) * surface.period, rng.uniform(0.8, 1.3)
    distance = np.hypot((along - u) / stretch, (across - v) * stretch) / radius
    dome = (0.6 + 1.5 * surface.defect_strength) * np.clip(1 - distance**2, 0, None)
    dome = dome * (1 + 0.25 * _smooth_noise(rng, along.shape, 1.2))
    return np.maximum(beads.height(along, across), dome), dome > 0


def _shift(surface, rng, beads, along, across):
    """A slipped belt: for a short length the beads swerve, crowding on one side and parting on the other."""
    u, v = _centre(surface, rng, along, across)
    half_length, half_width = rng.uniform(0.5, 1.0) * surface.period, rng.uniform(0.7, 1.3) * surface.period
    swerve = np.exp(-(((along - u) / half_length) ** 2) - ((across - v) / half_width) ** 2)
    moved = across + rng.choice([-1, 1]) * 0.75 * surface.period * surface.defect_strength * swerve
    return beads.height(along, moved), swerve > 0.2


def _scratch(surface, rng, beads, along, across):
    """A tool mark: a thin curved groove at any angle."""
    u, v = _centre(surface, rng, along, across)
    angle, bend = rng.uniform(0, np.pi), rng.uniform(-0.012, 0.012)
    half_length = rng.uniform(0.12, 0.3) * surface.size
    x = (along - u) * np.cos(angle) + (across - v) * np.sin(angle)
    y = -(along - u) * np.sin(angle) + (across - v) * np.cos(angle) - bend * x**2
    width, taper = rng.uniform(0.8, 1.3), np.clip((half_length - np.abs(x)) / 3, 0, 1)
    groove = 0.8 * surface.defect_strength * taper * np.exp(-((y / width) ** 2))
    return beads.height(along, across) - groove, (np.abs(y) < 1.5 * width) & (taper > 0)


def _roughness(surface, rng, beads, along, across):
    """Wet filament: a patch where bubbles make the surface rough."""
    u, v = _centre(surface, rng, along, across)
    radius, stretch = rng.uniform(1.0, 1.9) * surface.period, rng.uniform(0.7, 1.4)
    distance = np.hypot((along - u) / stretch, (across - v) * stretch) / radius
    weight = np.clip((1 - distance) / 0.15, 0, 1)
    bubbles = 0.26 * surface.defect_strength * _smooth_noise(rng, along.shape, 1.1)
    return beads.height(along, across) + weight * bubbles, distance < 1


_DEFECT_MAKERS = {"gap": _gap, "blob": _blob, "shift": _shift, "scratch": _scratch, "roughness": _roughness}


# --- the photograph ----------------------------------------------------------------------------------------


def _photograph(surface: Surface, rng: np.random.Generator, height: np.ndarray) -> np.ndarray:
    """Light the height field from the side and record it with a camera: uint8."""
    relief = 0.33 * surface.period * ndimage.gaussian_filter(height, 0.6)
    slope_row, slope_column = np.gradient(relief)
    normal = np.stack([-slope_column, -slope_row, np.ones_like(relief)])
    normal = normal / np.sqrt(1 + slope_row**2 + slope_column**2)
    azimuth, elevation = np.deg2rad(surface.raster_angle + 62), np.deg2rad(40)
    light = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation),
                      np.sin(elevation)])
    diffuse = np.clip(np.tensordot(light, normal, 1), 0, None)
    half_way = (light + [0, 0, 1]) / np.linalg.norm(light + [0, 0, 1])
    specular = np.clip(np.tensordot(half_way, normal, 1), 0, None) ** 24
    occlusion = 0.45 + 0.55 * np.clip(ndimage.gaussian_filter(height, 1.2), 0, 1)
    radiance = occlusion * (0.16 + 0.72 * diffuse) + 0.2 * specular

    rows, columns = np.mgrid[-1:1:surface.size * 1j, -1:1:surface.size * 1j]
    direction = rng.uniform(0, 2 * np.pi)
    lamp = 1 + surface.illumination * (np.cos(direction) * columns + np.sin(direction) * rows)
    lamp *= (1 - 0.08 * (rows**2 + columns**2)) * rng.uniform(0.94, 1.06)
    signal = ndimage.gaussian_filter(radiance * lamp, 0.5)
    deviation = np.sqrt(surface.read_noise**2 + surface.shot_noise**2 * signal)
    noise = rng.standard_normal(signal.shape) * deviation
    return np.round(255 * np.clip(signal + noise, 0, 1)).astype(np.uint8)


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> np.ndarray:
    """Gaussian noise of unit deviation, correlated over `sigma` pixels."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), sigma, mode="wrap")
    return noise / noise.std()


def printed_dataset(name: str, level: str, sizes: Sizes, seed: int) -> Dataset:
    """One level of `printed`: easy, standard or hard."""
    return made(name, sizes, DEFECTS,
                 lambda split, index, defect: make_image(level, seed, split, index, defect, sizes.side))
