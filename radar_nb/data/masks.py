"""Read masks of defects, in the ways that annotation tools write them.

Black is background. Whatever is painted on it is a defect: white, a colour, a class number (1, 2, 3 ...), a
palette's index, or paint on a transparent layer. What could be read in two ways is refused in one line.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from radar_nb.data.decode import decode_layers
from radar_nb.storage.errors import InputError

_LARGEST_ID = 32  # values up to here are class numbers; larger ones may be a soft edge's shades
_MOST_LEVELS = 64  # even shades in one mask; more is a photograph or a map of scores
_LOSSY = ("JPEG", "WEBP")


def read_mask(path: str | Path, defective: bool = False) -> np.ndarray:
    """Read a mask: `(H, W)` bool, True where there is a defect.

    Args:
        path: an image file of any kind that `decode` reads.
        defective: the mask is of a defective image, so neither nothing nor everything can be marked.

    Raises:
        InputError: as `decode`; or the values could mean more than one thing; or, where `defective`, nothing
            or everything is marked, or it looks inverted.
    """
    colours, alpha, indices = decode_layers(path)
    if alpha is not None:
        values = _painted(colours, alpha, path)
    else:
        values = colours.max(axis=2) if colours.ndim == 3 else colours
        if indices is not None and not values.any():
            values = indices  # a palette without colours
    if not np.isfinite(values).all() or values.min() < 0:
        raise InputError(f"{path}: a mask with values from {values.min():.4g} to {values.max():.4g}; save it "
                         "as black and white")
    mask = _marked(values, path)
    if defective:
        _check_marked(mask, values, path)
    return mask


def _painted(colours: np.ndarray, alpha: np.ndarray, path: str | Path) -> np.ndarray:
    """Where a layer is painted: by its opacity, unless its opaque part has a black background of its own."""
    seen = (colours.max(axis=2) if colours.ndim == 3 else colours)[alpha > 127]
    if seen.size and not seen.all() and seen.any():
        raise InputError(f"{path}: a mask with transparent, black and coloured pixels; save it as white on "
                         "black, without transparency")
    return alpha


def _marked(values: np.ndarray, path: str | Path) -> np.ndarray:
    levels = np.unique(values)
    top = float(levels[-1])
    if len(levels) == 1 or len(levels) == 2 and levels[0] == 0:
        return values > 0
    if top <= _LARGEST_ID and values.dtype.kind in "iu" and levels[0] == 0:
        return values > 0
    if _is_lossy(path):
        between = ((values > 0.25 * 255) & (values < 0.75 * 255)).mean()
        if top < 192 or between > 0.1:
            raise InputError(f"{path}: a lossy mask with values from {levels[0]:.4g} to {top:.4g}, not near "
                             "black and white; save it as PNG, white on black")
        return values > 127
    # An even shade fills a block of 3 x 3 pixels somewhere: a class. Other shades are soft edges.
    even = ndimage.maximum_filter(values, 3) == ndimage.minimum_filter(values, 3)
    solid = np.unique(values[even & (values > 0)])
    between = ((values > 0.05 * top) & (values < 0.95 * top)).mean()
    if len(solid) > _MOST_LEVELS or len(levels) > _MOST_LEVELS and between > 0.25:
        raise InputError(f"{path}: a mask with {len(levels)} shades from {levels[0]:.4g} to {top:.4g}, as a "
                         "photograph has; save it as white on black")
    if levels[0] != 0:
        raise InputError(f"{path}: a mask without black: values from {levels[0]:.4g} to {top:.4g}; save it "
                         "as white on black")
    mask = values > (solid[0] if len(solid) else top) / 2
    near = ndimage.binary_dilation(mask, np.ones((3, 3)), iterations=2)
    return mask | (values > 0) & ~near  # a thin defect of a lower class, far from all others


def _is_lossy(path: str | Path) -> bool:
    try:
        with Image.open(path) as file:
            return file.format in _LOSSY
    except OSError:  # kinds that tifffile alone can read
        return False


def _check_marked(mask: np.ndarray, values: np.ndarray, path: str | Path) -> None:
    found = f"values from {values.min():.4g} to {values.max():.4g}"
    if not mask.any():
        raise InputError(f"{path}: marks nothing ({found}), but its image is of a defect; mark it, or remove "
                         "the image")
    if mask.all():
        raise InputError(f"{path}: marks every pixel ({found}); the defect must be bright on a black "
                         "background")
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if mask.mean() > 0.5 and border.mean() > 0.95:
        raise InputError(f"{path}: marks {100 * mask.mean():.0f} % of the image and nearly all of its "
                         "border: it looks inverted; the defect must be bright on a black background")
