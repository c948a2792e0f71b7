"""`texture`: photographs that ship inside scikit-image, with pasted defects."""

from functools import lru_cache

import numpy as np
from scipy import ndimage

from radar_nb.data.dataset import Dataset, Sizes, made

# Rows of the 512 x 512 photographs for each split: disjoint, so no pixel is in two of them.
_REGIONS = {"train": (0, 192), "calibrate": (192, 352), "test": (352, 512)}
PASTED_DEFECTS = ("stain", "scratch", "patch", "grit")


@lru_cache
def _photograph(texture: str) -> np.ndarray:
    from skimage import data
    return getattr(data, texture)()


def texture_dataset(name: str, texture: str, sizes: Sizes, seed: int) -> Dataset:
    """Crops of one photograph: one surface a data set, as in a factory."""
    side = min(sizes.side, *(stop - start for start, stop in _REGIONS.values()))

    def make(split, index, defect):
        rng = np.random.default_rng([seed, *split.encode(), index])
        start, stop = _REGIONS[split]
        region = _photograph(texture)[start:stop]
        row, column = rng.integers(stop - start - side + 1), rng.integers(region.shape[1] - side + 1)
        image = region[row:row + side, column:column + side]
        return paste_defect(image, defect, rng) if defect else (image, np.zeros(image.shape, bool))

    return made(name, sizes, PASTED_DEFECTS, make)


def paste_defect(image: np.ndarray, defect: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Put a made defect on a photograph of a normal surface.

    Args:
        image: `(H, W)` or `(H, W, 3)` uint8.
        defect: `stain` (a dark or bright spot), `scratch` (a thin line), `patch` (a piece turned by a quarter
            and shrunk) or `grit` (coarse grains).
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
            grains = ndimage.gaussian_filter(rng.standard_normal((height, width)), 0.7)
            changed = photo + 60 * grains[..., None]
        else:
            changed = np.rot90(photo)[:height:2, :width:2]
            changed = np.tile(changed, (3 * height // width + 3, 3 * width // height + 3, 1))[:height, :width]
    weight = np.clip(ndimage.gaussian_filter(mask.astype(float), 0.7), 0, 1)[..., None]
    pasted = np.clip((1 - weight) * photo + weight * changed, 0, 255)
    return np.round(pasted).astype(np.uint8).reshape(image.shape), mask
