"""Cut images into overlapping patches and merge maps back (paper Fig. 1 and 3); large images in tiles that are blended."""

from collections.abc import Callable, Sequence
from math import ceil

import numpy as np
import torch


def patch_starts(length: int, size: int, stride: int) -> list[int]:
    """Where patches start along one side: every `stride` pixels, and one flush with the end so that all is covered.

    Raises:
        ValueError: `size` is larger than `length`, or `stride` is not between 1 and `size`.
    """
    if not 1 <= size <= length:
        raise ValueError(f"size={size}: a patch must fit into {length} pixels; use a smaller patch or larger images")
    if not 1 <= stride <= size:
        raise ValueError(f"stride={stride}: choose 1 to {size} (the patch size), or pixels between patches are lost")
    starts = list(range(0, length - size + 1, stride))
    return starts if starts[-1] == length - size else [*starts, length - size]


def cut_patches(images: torch.Tensor, size: int, stride: int) -> torch.Tensor:
    """Cut `(N, C, H, W)` into `(N, P, C, size, size)`, row by row. Raises as `patch_starts`."""
    rows, columns = (patch_starts(length, size, stride) for length in images.shape[-2:])
    return torch.stack([images[..., r:r + size, c:c + size] for r in rows for c in columns], dim=1)


def merge_patches(patches: torch.Tensor, height: int, width: int, stride: int) -> torch.Tensor:
    """Put `(N, P, C, size, size)` back to `(N, C, height, width)`; pixels in several patches get their mean.

    `merge_patches(cut_patches(x, size, stride), *x.shape[-2:], stride)` is `x`. Raises as `patch_starts`.
    """
    count, _, channels, size, _ = patches.shape
    total = patches.new_zeros(count, channels, height, width)
    covered = patches.new_zeros(height, width)
    places = [(r, c) for r in patch_starts(height, size, stride) for c in patch_starts(width, size, stride)]
    for index, (r, c) in enumerate(places):
        total[..., r:r + size, c:c + size] += patches[:, index]
        covered[r:r + size, c:c + size] += 1
    return total / covered


def tile_spans(length: int, tile: int, overlap: int, grid: int = 1) -> list[tuple[int, int]]:
    """Cut one side into as few spans `(start, end)` of at most `tile` pixels as will do, all of nearly one length.

    Neighbours share at least `overlap` pixels. Each start is a multiple of `grid`, so that a network that halves the resolution
    samples a tile at the pixels at which it would sample the whole image.

    Raises:
        ValueError: `tile`, in whole grid steps, is not longer than the overlap.
    """
    if length <= tile:
        return [(0, length)]
    steps, most, shared = ceil(length / grid), tile // grid, ceil(overlap / grid)  # from here on, all in grid steps
    if most <= shared:
        raise ValueError(f"tile={tile}: choose more than the overlap of {overlap} pixels, by at least {grid}")
    count = ceil((steps - shared) / (most - shared))
    size = ceil((steps + (count - 1) * shared) / count)
    starts = [index * (steps - size) // (count - 1) for index in range(count)]
    return [(start * grid, min((start + size) * grid, length)) for start in starts]


def tile_weights(spans: list[tuple[int, int]]) -> list[torch.Tensor]:
    """How much each pixel of each span counts: ramps up and down over what it shares with its neighbours, 1 between; sums to 1."""
    length = spans[-1][1]
    weights = torch.zeros(len(spans), length, dtype=torch.float64)
    for index, (start, end) in enumerate(spans):
        place = torch.arange(start, end) + 0.5
        rise = (place - start) / (spans[index - 1][1] - start) if index else torch.ones(end - start)
        fall = (end - place) / (end - spans[index + 1][0]) if end < length else torch.ones(end - start)
        weights[index, start:end] = torch.minimum(rise, fall).clamp(max=1)
    weights /= weights.sum(0)
    return [weights[index, start:end].float() for index, (start, end) in enumerate(spans)]


def map_in_tiles(function: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor, tile: int, overlap: int,
                 grid: int = 1) -> torch.Tensor:
    """`function(images)`, shaped as `images` `(N, C, H, W)`, computed on one tile after the other; see `tile_spans`.

    What it gives for the pixels that tiles share is blended by linear ramps. Images that fit into one tile are not cut.
    """
    rows, columns = (tile_spans(length, tile, overlap, grid) for length in images.shape[-2:])
    if len(rows) == len(columns) == 1:
        return function(images)
    total = torch.zeros_like(images)
    for (top, bottom), down in zip(rows, tile_weights(rows), strict=True):
        for (left, right), across in zip(columns, tile_weights(columns), strict=True):
            part = function(images[..., top:bottom, left:right])
            total[..., top:bottom, left:right] += part * torch.outer(down, across).to(part)
    return total


def random_patches(images: Sequence[torch.Tensor] | torch.Tensor, size: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """Cut `count` patches at random places of random images (paper Fig. 3).

    Args:
        images: tensors `(C, H, W)` of any sizes, each at least `size` high and wide; or images of one size as one tensor
            `(N, C, H, W)`: the same patches, cut in one call.
        generator: the draw depends on its state alone.

    Returns:
        `(count, C, size, size)`.
    """
    def draw(high: int) -> int:
        return int(torch.randint(high, (), generator=generator))

    places = []
    for _ in range(count):
        number = draw(len(images))
        height, width = images[number].shape[1:]
        places.append((number, draw(height - size + 1), draw(width - size + 1)))
    if isinstance(images, torch.Tensor):
        # NumPy's gather is twice as fast as torch's here, and starts no threads: training draws beside a step that has them all.
        windows = np.lib.stride_tricks.sliding_window_view(images.numpy(), (size, size), axis=(2, 3))
        numbers, rows, columns = np.array(places).T
        return torch.from_numpy(windows[numbers, :, rows, columns])
    return torch.stack([images[number][:, row:row + size, column:column + size] for number, row, column in places])
