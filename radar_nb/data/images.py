"""Read, check, scale and write images, and find them in a folder in the MVTec AD layout.

Outside the network an image is uint8 or float in [0, 1], `(H, W)` grey or `(H, W, 3)` RGB. Inside the network
it is a float32 tensor `(N, C, H, W)` in [-1, 1].
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from radar_nb.data.decode import decode
from radar_nb.data.ranges import scale
from radar_nb.storage.errors import InputError
from radar_nb.storage.whole import whole_file

OUTLINE = (255, 69, 0)


def read_image(path: str | Path, value_range: int | None = None) -> np.ndarray:
    """Read an image file of any usual kind, turned as its EXIF data say, colours as RGB, no transparency.

    An RGB file whose three channels are equal is a grey image, and comes back as one.

    Args:
        path: the file; value_range: of its set, see `radar_nb.data.ranges`.

    Returns:
        `(H, W)` or `(H, W, 3)`; uint8, or float32 in [0, 1] for 16-bit and float files.

    Raises:
        InputError: the file is missing, empty, damaged, too large, no image, or several in one; or its values
            do not fit their range.
    """
    image = check_image(scale(decode(path), str(path), value_range), str(path))
    if image.ndim == 3 and (image[..., 0] == image[..., 1]).all() and (image[..., 0] == image[..., 2]).all():
        image = np.ascontiguousarray(image[..., 0])
    return image


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write `(H, W)` or `(H, W, 3)`, bool, uint8 or float in [0, 1], as `path`'s file type, whole."""
    with whole_file(path, durable=False) as work:
        Image.fromarray(as_uint8(image if image.dtype == np.uint8 else image.astype(float))).save(work)


def as_uint8(image: np.ndarray) -> np.ndarray:
    """An image, uint8 or float in [0, 1], as uint8; what lies outside is clipped."""
    return image if image.dtype == np.uint8 else np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)


def overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The image as `(H, W, 3)` uint8, the mask outlined in orange-red, thicker in larger images."""
    photo = as_uint8(image)
    photo = np.repeat(photo[..., None], 3, axis=2) if photo.ndim == 2 else photo.copy()
    thick = max(1, round(max(mask.shape) / 400))
    photo[ndimage.binary_dilation(mask, iterations=thick) & ~mask] = OUTLINE
    return photo


def resize(image: np.ndarray, longest_side: int | None) -> np.ndarray:
    """Shrink an image, antialiased, until its longer side is at most `longest_side` pixels; never enlarge.

    A bool mask stays a bool mask: a pixel is True where at least half of what it covers was.
    """
    size = shrunken_size(image.shape, longest_side)[::-1]
    if size == image.shape[1::-1]:
        return image
    if image.dtype == bool:
        shrunk = Image.fromarray(image.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
        return np.asarray(shrunk) > 127
    channels = [Image.fromarray(channel).resize(size, Image.Resampling.LANCZOS)
                for channel in np.atleast_3d(image).transpose(2, 0, 1)]
    shrunk = np.stack([np.asarray(channel) for channel in channels], axis=-1)
    return shrunk.reshape(*size[::-1], *image.shape[2:])


def shrunken_size(shape: tuple[int, ...], longest_side: int | None) -> tuple[int, int]:
    """Height and width that `resize` gives an image of this shape."""
    if longest_side is None or max(shape[:2]) <= longest_side:
        return shape[0], shape[1]
    factor = longest_side / max(shape[:2])
    return max(1, round(factor * shape[0])), max(1, round(factor * shape[1]))


def check_image(image: np.ndarray, name: str = "image", smallest: int = 1,
                channels: int | None = None, longest_side: int | None = None) -> np.ndarray:
    """Return `image` if the kit can work with it.

    Args:
        image: `(H, W)`, `(H, W, 1)` or `(H, W, 3)`.
        name: what an error calls it: a path, or `images[3]`.
        smallest: least height and width in pixels: the side of a patch.
        channels: 1 or 3 if the detector needs that many.
        longest_side: what `resize` will shrink the image to, which counts for `smallest`.

    Raises:
        InputError: wrong shape, type or range, NaN, too small, or another number of channels.
    """
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise InputError(f"{name}: shape {image.shape}; give (height, width) for grey or (height, width, 3) "
                         "for RGB")
    height, width = shrunken_size(image.shape, longest_side)
    if min(height, width) < smallest:
        was = "" if (height, width) == image.shape[:2] else \
            f"{image.shape[0]} x {image.shape[1]}, shrunk to a longest side of {longest_side}, "
        raise InputError(f"{name}: {was}{height} x {width} is smaller than a patch "
                         f"({smallest} x {smallest}); use a smaller patch or larger images")
    if image.dtype != np.uint8:
        if not np.issubdtype(image.dtype, np.floating):
            raise InputError(f"{name}: type {image.dtype}; give uint8 or float in [0, 1]")
        if not np.isfinite(image).all():
            raise InputError(f"{name}: holds NaN or infinite values; repair or remove it")
        if image.min() < 0 or image.max() > 1:
            raise InputError(f"{name}: values from {image.min():.3g} to {image.max():.3g}; "
                             "give uint8, or float scaled to [0, 1]")
    found = 1 if image.ndim == 2 else 3
    if channels is not None and found != channels:
        kinds = {1: "grey", 3: "RGB"}
        raise InputError(f"{name}: {kinds[found]}, but {kinds[channels]} is expected; convert the images to "
                         "one kind")
    return image


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """`(H, W)` or `(H, W, 3)` outside the network to `(C, H, W)` float32 in [-1, 1] inside."""
    scale = 255 if image.dtype == np.uint8 else 1
    # A copy: the image may be read-only.
    values = np.array(np.atleast_3d(image).transpose(2, 0, 1), np.float32, order="C")
    return torch.from_numpy(values) / scale * 2 - 1


def to_image(tensor: torch.Tensor) -> np.ndarray:
    """`(C, H, W)` in [-1, 1] to `(H, W)` or `(H, W, 3)` float32 in [0, 1], clipped."""
    image = ((tensor.detach().float().cpu() + 1) / 2).clamp(0, 1).permute(1, 2, 0).numpy()
    return image[..., 0] if image.shape[2] == 1 else image


def load_images(images: Iterable, smallest: int = 1, channels: int | None = None,
                longest_side: int | None = None, value_range: int | None = None) -> Iterator[np.ndarray]:
    """Yield checked arrays from arrays, paths or any mixture, one at a time, shrunk to `longest_side`.

    A grey file where RGB is expected is repeated in three channels.

    Raises:
        InputError: naming the first image that is wrong; after the first image all must have its channels.
    """
    if isinstance(images, (str, Path)):
        raise InputError(f"images={str(images)!r}: give a list of paths or arrays; find_images(folder) "
                         "makes one")
    for index, item in enumerate(images):
        is_path = isinstance(item, (str, Path))
        name = str(item) if is_path else f"images[{index}]"
        image = as_channels(read_image(item, value_range), channels) if is_path else item
        image = resize(check_image(image, name, smallest, channels, longest_side), longest_side)
        channels = channels or (1 if image.ndim == 2 else 3)
        yield image


def load_tensors(images: Iterable | None, smallest: int = 1, name: str = "images",
                 channels: int | None = None) -> list[torch.Tensor]:
    """All images at once, as `load_images` reads them, as tensors `(C, H, W)`; None gives none.

    Where all are uint8 they stay uint8, in the same memory; else they are float32 in [-1, 1].

    Raises:
        InputError: as `load_images`; or there are none.
    """
    if images is None:
        return []
    images = list(load_images(images, smallest, channels))
    if not images:
        raise InputError(f"{name}=[]: no images; give at least one")
    if any(image.dtype != np.uint8 for image in images):
        return [to_tensor(image) for image in images]
    arrays = [np.require(np.atleast_3d(image), requirements="CW") for image in images]
    return [torch.from_numpy(array).permute(2, 0, 1) for array in arrays]


def as_channels(image: np.ndarray, channels: int | None) -> np.ndarray:
    """A grey image among RGB ones, repeated in three channels; any other as it is."""
    return np.repeat(image[..., None], 3, axis=2) if channels == 3 and image.ndim == 2 else image


def stack_alike(maps: Iterable[np.ndarray]) -> np.ndarray | list[np.ndarray]:
    """One array `(N, ...)` where all maps have one size, else a list."""
    maps = list(maps)
    return np.stack(maps) if len({map_.shape for map_ in maps}) == 1 else maps
