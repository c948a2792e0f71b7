"""Cut images into overlapping patches and merge maps back (paper Fig. 1 and 3)."""

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


def random_patches(images: list[torch.Tensor], size: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """Cut `count` patches at random places of random images (paper Fig. 3).

    Args:
        images: tensors `(C, H, W)` of any sizes, each at least `size` high and wide.
        generator: the draw depends on its state alone.

    Returns:
        `(count, C, size, size)`.
    """
    def draw(high: int) -> int:
        return int(torch.randint(high, (), generator=generator))

    patches = []
    for _ in range(count):
        image = images[draw(len(images))]
        row, column = draw(image.shape[1] - size + 1), draw(image.shape[2] - size + 1)
        patches.append(image[:, row:row + size, column:column + size])
    return torch.stack(patches)
