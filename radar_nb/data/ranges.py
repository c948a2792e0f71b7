"""The value range of a set of images: what counts as white, found from its normal images.

A 16-bit file may hold the 4,096 steps of a 12-bit camera, or 8-bit values. The file does not tell; its values
do. There is one range for a whole set, so that a dark image stays darker than a bright one.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from radar_nb.data.decode import decode, is_eight_bit
from radar_nb.storage.errors import InputError, tell

BITS = (8, 10, 12, 14, 16, 20, 24, 32)
LEAST_USED = 0.1  # of a range; below it something is probably wrong
MOST_ABOVE = 0.1  # of an image's values may lie above the range; more is another camera's setting


def find_range(paths: Iterable[str | Path], name: str) -> int | None:
    """The value that counts as white in all images of a set; None where all files are 8-bit.

    It is the least of 255, 1023, 4095 ... (8, 10, 12 bits ...) that no normal image exceeds; for floats up to
    1, it is 1. It is said, and where less than a tenth of it is used, that too.

    Args:
        paths: the normal images; name: what the message calls the set.

    Raises:
        InputError: a file that cannot be read, or a value that is negative or not finite.
    """
    least, most, whole, deep = np.inf, 0.0, False, 0
    for path in paths:
        if is_eight_bit(path):
            continue
        values = decode(path)
        if values.dtype == np.uint8:
            continue
        _check(values, str(path))
        least, most = min(least, float(values.min())), max(most, float(values.max()))
        whole, deep = whole or values.dtype.kind in "iu" or most > 1, deep + 1
    if not deep:
        return None
    value_range = next((2**bits - 1 for bits in BITS if most <= 2**bits - 1), 2**32 - 1) if whole else 1
    used = f"{name}: values from {least:.4g} to {most:.4g} in {deep} files of more than 8 bit; 0 to " \
           f"{value_range} is taken as black to white"
    if most - least < LEAST_USED * value_range:
        used += f", of which less than a tenth is used ({100 * (most - least) / value_range:.1f} %): " \
                "are the images too dark, or of another scale?"
    tell(used)
    return value_range


def range_of(images: object) -> int | None:
    """The value range of what a detector is fitted on: known of a data set, found from paths, None of arrays
    and generators.
    """
    if hasattr(images, "value_range"):
        return images.value_range
    paths = [item for item in images if isinstance(item, (str, Path))] \
        if isinstance(images, (list, tuple)) else []
    return find_range(paths, "the normal images") if paths else None


def scale(values: np.ndarray, name: str, value_range: int | None = None) -> np.ndarray:
    """What a file holds, as uint8 where it is that, else float32 in [0, 1].

    Args:
        values: as `decode` gives them; name: the file, for errors.
        value_range: of the set, see `find_range`. Without one, a file is taken by its type: integers up to
            65535, floats up to 1.

    Raises:
        InputError: negative or not finite values; without a range, more than the type's, or less than a tenth
            of it; with a range, many values above it.
    """
    if values.dtype == np.uint8:
        return values
    _check(values, name)
    most = float(values.max()) if values.size else 0.0
    if value_range is not None:
        above = float((values > value_range).mean())
        if above > MOST_ABOVE:
            raise InputError(f"{name}: {100 * above:.0f} % of its values are above {value_range}, the normal "
                             f"images' range, up to {most:.6g}; save it at the scale of the normal images")
        if above:
            tell(f"{name}: values up to {most:.6g} are cut at {value_range}, the normal images' range")
        return np.minimum(values.astype(np.float32) / np.float32(value_range), 1)
    white = 65535 if values.dtype.kind in "iu" else 1
    if most > white:
        raise _unknown(values, name)
    if 0 < most < LEAST_USED * white:
        raise InputError(f"{name}: values from {values.min():.4g} to {most:.4g} of 0 to {white}, and no "
                         "range of normal images is known; train on images of this kind, or save it as 8 bit")
    return values.astype(np.float32) / white


def _check(values: np.ndarray, name: str) -> None:
    if values.size and not (np.isfinite(values).all() and values.min() >= 0):
        raise _unknown(values, name)


def _unknown(values: np.ndarray, name: str) -> InputError:
    return InputError(f"{name}: values from {values.min():.4g} to {values.max():.4g}; save it as 8 or 16 "
                      "bit, or as float scaled to [0, 1]")
