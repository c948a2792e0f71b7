"""Cut images into overlapping patches and merge maps back (paper Fig. 1 and 3, slide 9)."""

from collections.abc import Sequence

import torch


def patch_starts(length: int, size: int, stride: int, second: int = 0) -> list[int]:
    """Where patches start along one side: at 0, from `second` every `stride` pixels, and flush with the end.

    Raises:
        ValueError: `size` is larger than `length`, or `stride` is not between 1 and `size`.
    """
    if not 1 <= size <= length:
        raise ValueError(f"size={size}: a patch must fit into {length} pixels; "
                         "use a smaller patch or larger images")
    if not 1 <= stride <= size:
        raise ValueError(f"stride={stride}: choose 1 to {size} (the patch size), "
                         "or pixels between patches are lost")
    return sorted({0, *range(second, length - size, stride), length - size})


def cut_patches(images: torch.Tensor, size: int, stride: int, second: int = 0) -> torch.Tensor:
    """Cut `(N, C, H, W)` into `(N, P, C, size, size)`, row by row. Raises as `patch_starts`."""
    rows, columns = (patch_starts(length, size, stride, second) for length in images.shape[-2:])
    windows = images.unfold(-2, size, 1).unfold(-2, size, 1)  # a view: every position, nothing copied yet
    return windows[:, :, rows][:, :, :, columns].movedim(1, 3).flatten(1, 2)


def merge_patches(patches: torch.Tensor, height: int, width: int, stride: int,
                  second: int = 0) -> torch.Tensor:
    """Put `(N, P, C, size, size)` back to `(N, C, height, width)`; pixels in several patches get their mean.

    `merge_patches(cut_patches(x, size, stride), *x.shape[-2:], stride)` is `x`. Raises as `patch_starts`.
    """
    size = patches.shape[-1]
    rows, columns = (torch.tensor(patch_starts(side, size, stride, second), device=patches.device)
                     for side in (height, width))
    grid = patches.unflatten(1, (len(rows), len(columns)))
    # The k-th columns of all patches of a row lie in different columns of the image, so one addition places
    # them all: `size` additions for the columns, then `size` for the rows, however many patches there are.
    strips = patches.new_zeros(*grid.shape[:2], *grid.shape[3:5], width)
    for k in range(size):
        strips[..., columns + k] += grid[..., k].movedim(2, -1)
    total = patches.new_zeros(*strips.shape[:1], strips.shape[2], height, width)
    for k in range(size):
        total[..., rows + k, :] += strips[..., k, :].movedim(1, -2)
    within = torch.arange(size, device=patches.device)
    down, across = (torch.bincount((starts[:, None] + within).ravel(), minlength=side)
                    for starts, side in ((rows, height), (columns, width)))
    return total / (down[:, None] * across)


def random_patches(images: Sequence[torch.Tensor] | torch.Tensor, size: int, count: int,
                   generator: torch.Generator) -> torch.Tensor:
    """Cut `count` patches at random places of random images (paper Fig. 3).

    Args:
        images: tensors `(C, H, W)` of any sizes, each at least `size` high and wide; or one `(N, C, H, W)`.
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
    return torch.stack([images[n][:, row:row + size, column:column + size] for n, row, column in places])
