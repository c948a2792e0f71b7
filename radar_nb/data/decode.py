"""Decode image files as they are stored: every bit of every channel, nothing scaled yet."""

import logging
import os
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageOps, UnidentifiedImageError

from radar_nb.storage.errors import InputError

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong with a file is said once, by us
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".pgm",
            ".ppm", ".pbm", ".pnm")
MOST_PIXELS = 89_478_485  # of one image: Pillow's own limit; RADAR_MAX_PIXELS changes it
_ORIENTATION, _BITS = 0x0112, 0x0102
# The low byte of each value in place of the high one: Pillow reads 16-bit colour as 8-bit, a byte at a time.
_OTHER_BYTE = {"16L": "16B", "16B": "16L", "16N": "16B" if sys.byteorder == "little" else "16L"}


def decode(path: str | Path) -> np.ndarray:
    """The image in a file, turned as its EXIF data say, without transparency.

    Returns:
        `(H, W)` or `(H, W, 3)`, in the file's own kind of numbers: uint8, uint16, int32, uint32 or a float.

    Raises:
        InputError: the file is missing, empty, damaged, too large, no image, or several in one.
    """
    with _opened(path) as file:
        if isinstance(file, np.ndarray):
            return file
        image = _sixteen_bit(file, Path(path))
        if image is not None:
            return image
        image = turned(file)
        if image.mode == "F" or image.mode.startswith("I"):
            return np.array(image)
        if image.mode == "P":
            image = image.convert("RGB")
        return np.array(image.convert("L" if image.mode in ("1", "L", "LA", "La") else "RGB"))


def decode_layers(path: str | Path) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """A painted file: its colours as `decode` gives them, its opacity, and its palette indices.

    The opacity `(H, W)` is None where every pixel has the same; the indices are None without a palette.
    Raises as `decode`.
    """
    with _opened(path) as file:
        if isinstance(file, np.ndarray):
            return file, None, None
        image = turned(file)
        indices = np.array(image) if image.mode == "P" else None
        alpha = None
        if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
            alpha = np.array(image.convert("RGBA").getchannel("A"))
            alpha = alpha if alpha.min() < alpha.max() else None
    return decode(path), alpha, indices


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of the image that `decode` gives, from the file's head alone. Raises as `decode`."""
    with _opened(path) as file:
        if isinstance(file, np.ndarray):
            return file.shape[:2]
        width, height = file.size
        return (width, height) if _orientation(file) >= 5 else (height, width)


def is_eight_bit(path: str | Path) -> bool:
    """Whether a file holds 8-bit values, from its head alone. Raises as `decode`."""
    with _opened(path) as file:
        if isinstance(file, np.ndarray):
            return file.dtype == np.uint8
        return not (file.mode == "F" or file.mode.startswith("I") or _is_sixteen_bit(file))


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image | np.ndarray]:
    """The file as Pillow opens it, or the array where only tifffile can read it."""
    path = Path(path)
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise InputError(f"{path}: cannot be read (it is not a file); remove it")
        if state.st_size == 0:
            raise InputError(f"{path}: is empty (0 bytes); remove the file or replace it")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                file = _open(path)
            except UnidentifiedImageError:
                if path.suffix.lower() not in (".tif", ".tiff"):
                    raise
                yield _tiff(path)  # kinds that Pillow does not know, such as float RGB
                return
            with file:
                # A phone's stereo photograph (MPO) is one picture; any other file with several is not.
                if getattr(file, "n_frames", 1) > 1 and file.format != "MPO":
                    raise InputError(f"{path}: holds {file.n_frames} images; save one image in each file")
                yield file
    except InputError:
        raise
    except FileNotFoundError:
        link = f", a link to {os.readlink(path)}" if path.is_symlink() else ""
        raise InputError(f"{path}: no such file{link}; check the path") from None
    except UnidentifiedImageError:
        raise InputError(f"{path}: not an image of a kind that can be read (PNG, JPEG, TIFF, BMP, WebP, "
                         "PGM); convert or remove the file") from None
    except Exception as error:  # on damaged files a decoder raises whatever it stumbles over
        words = str(error) or type(error).__name__
        raise InputError(f"{path}: cannot be read ({words}); remove the file or replace it") from None


def most_pixels() -> int:
    """The most pixels that an image may have: `RADAR_MAX_PIXELS`, else `MOST_PIXELS`."""
    given = os.environ.get("RADAR_MAX_PIXELS", "")
    return int(given) if given.isdecimal() and int(given) else MOST_PIXELS


def _check_pixels(path: Path, count: int) -> None:
    if count > most_pixels():
        raise InputError(f"{path}: cannot be read: {count / 1e6:.0f} million pixels, the limit is "
                         f"{most_pixels() / 1e6:.0f}; cut it into smaller images, or set "
                         f"RADAR_MAX_PIXELS={count} (memory: about {max(1, round(count * 40 / 2**30))} GB)")


def _open(path: Path) -> Image.Image:
    """Open a file and look at its size, before memory is taken for its pixels."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # ours is checked instead, and says more
    try:
        file = Image.open(path, formats=FORMATS)
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    _check_pixels(path, prod(file.size))
    return file


def _tiff(path: Path) -> np.ndarray:
    with tifffile.TiffFile(path) as file:
        _check_pixels(path, prod(file.series[0].shape[:2]))
        if (size := prod(file.series[0].shape)) > 4 * most_pixels():
            raise InputError(f"{path}: has {size} values; cut it into smaller images")
        image = file.asarray()
    if image.ndim == 3 and image.shape[0] in (3, 4) and image.shape[2] not in (1, 3, 4):
        image = np.moveaxis(image, 0, 2)  # one plane after the other
    return image[..., :3] if image.ndim == 3 and image.shape[2] == 4 else image


def _orientation(file: Image.Image) -> int:
    try:
        value = file.getexif().get(_ORIENTATION, 1)
    except Exception:  # the camera's notes are damaged, the picture need not be
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def turned(file: Image.Image) -> Image.Image:
    """The image as it was held, where the file tells."""
    file.load()
    return ImageOps.exif_transpose(file) if _orientation(file) > 1 else file


def _raw_mode(file: Image.Image) -> str:
    """How Pillow unpacks the file's values: `RGB;16B` for 16-bit colour."""
    arguments = file.tile[0].args if getattr(file, "tile", None) else ""
    arguments = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return arguments if isinstance(arguments, str) else ""


def _is_sixteen_bit(file: Image.Image) -> bool:
    """Whether Pillow would drop the lower half of each value."""
    if not file.mode.startswith("RGB"):
        return False
    if file.format == "PPM":
        return _ppm_most(file) > 255
    if file.format == "TIFF":
        return max(file.tag_v2.get(_BITS, (8,))) > 8
    return _raw_mode(file).partition(";")[2] in _OTHER_BYTE


def _ppm_most(file: Image.Image) -> int:
    """The largest value that a PPM file may hold, as its head says."""
    arguments = file.tile[0].args if file.tile else ()
    return arguments[1] if isinstance(arguments, tuple) and len(arguments) > 1 else 255


def _sixteen_bit(file: Image.Image, path: Path) -> np.ndarray | None:
    """16-bit colour as uint16: decoded twice, first the high byte of each value, then the low one."""
    if not _is_sixteen_bit(file):
        return None
    if file.format == "PPM":
        most, values = _ppm_most(file), np.fromfile(path, ">u2", offset=file.tile[0].offset)
        shape = (file.height, file.width, 3)
        if values.size < prod(shape) or most > 65535 or path.open("rb").read(2) != b"P6":
            raise InputError(f"{path}: cannot be read (a 16-bit PPM that ends early or is text); save it "
                             "as PNG")
        return values[:prod(shape)].reshape(shape).astype(np.uint16)
    kind, _, order = _raw_mode(file).partition(";")
    if order not in _OTHER_BYTE or kind == "R":  # one plane after the other, in TIFF
        return _tiff(path)
    high = _bytes_of(file)
    with _open(path) as again:
        if kind == "LA":  # no raw mode has its other byte: both bytes, and the opacity's, as four channels
            again.tile = [_with_raw(tile, "RGBA") for tile in again.tile]
            values = np.array(turned(again))
            return values[..., 0].astype(np.uint16) << 8 | values[..., 1]
        again.tile = [_with_raw(tile, f"{kind};{_OTHER_BYTE[order]}") for tile in again.tile]
        return high.astype(np.uint16) << 8 | _bytes_of(again)


def _with_raw(tile, raw: str):
    arguments = (raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw
    return tile._replace(args=arguments)


def _bytes_of(file: Image.Image) -> np.ndarray:
    return np.array(turned(file))[..., :3]
