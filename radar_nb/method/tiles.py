"""Appendix: large images go through a network in overlapping tiles, whose maps fade into each other."""

from collections.abc import Callable
from math import ceil

import torch


def tile_spans(length: int, tile: int, overlap: int, grid: int = 1) -> list[tuple[int, int]]:
    """Cut one side into as few spans `(start, end)` of at most `tile` pixels as possible, nearly equal.

    Neighbours share at least `overlap` pixels. Each start is a multiple of `grid`, so that a network that
    halves the resolution samples a tile at the pixels at which it would sample the whole image.

    Raises:
        ValueError: `tile`, in whole grid steps, is not longer than the overlap.
    """
    if length <= tile:
        return [(0, length)]
    # From here on, all in grid steps.
    steps, most, shared = ceil(length / grid), tile // grid, ceil(overlap / grid)
    if most <= shared:
        raise ValueError(f"tile={tile}: choose more than the overlap of {overlap} pixels, by at least {grid}")
    count = ceil((steps - shared) / (most - shared))
    size = ceil((steps + (count - 1) * shared) / count)
    starts = [index * (steps - size) // (count - 1) for index in range(count)]
    return [(start * grid, min((start + size) * grid, length)) for start in starts]


def tile_weights(spans: list[tuple[int, int]]) -> list[torch.Tensor]:
    """How much each pixel of each span counts: ramps over what neighbours share, 1 between; the sum is 1."""
    length = spans[-1][1]
    weights = torch.zeros(len(spans), length, dtype=torch.float64)
    for index, (start, end) in enumerate(spans):
        place = torch.arange(start, end) + 0.5
        rise = (place - start) / (spans[index - 1][1] - start) if index else torch.ones(end - start)
        fall = (end - place) / (end - spans[index + 1][0]) if end < length else torch.ones(end - start)
        weights[index, start:end] = torch.minimum(rise, fall).clamp(max=1)
    weights /= weights.sum(0)
    return [weights[index, start:end].float() for index, (start, end) in enumerate(spans)]


def map_in_tiles(function: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor, tile: int,
                 overlap: int, grid: int = 1) -> torch.Tensor:
    """`function(images)`, shaped as `images` `(N, C, H, W)`, one tile after the other; see `tile_spans`.

    What it gives for the pixels that tiles share is blended by linear ramps. Images that fit into one tile
    are not cut.
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
