"""Small folders in the data layout, made from seeds: textured surfaces, and squares of noise as defects."""

from pathlib import Path

import numpy as np
from PIL import Image


def surface(seed, height=64, width=64):
    """A normal grey surface: waves and a little noise."""
    rng = np.random.default_rng(seed)
    waves = 30 * np.sin(np.arange(width) / 3 + rng.uniform(0, 6))
    return np.clip(120 + waves + 12 * rng.standard_normal((height, width)), 0, 255).astype(np.uint8)


def defective(seed, height=64, width=64, size=10):
    """A surface with a square of noise, and its mask."""
    rng = np.random.default_rng(1000 + seed)
    image, mask = surface(500 + seed, height, width), np.zeros((height, width), bool)
    row, column = rng.integers(4, height - size - 4), rng.integers(4, width - size - 4)
    mask[row:row + size, column:column + size] = True
    image[mask] = rng.integers(0, 256, mask.sum())
    return image, mask


def save(path, image, **options):
    """Write an array or a picture, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)


def layout(root, train=8, good=3, bad=2, kind="crack", mask=lambda m: (m * 255).astype(np.uint8),
           side=64, image=lambda a: a, suffix=".png"):
    """A data set in the layout of README; `mask` and `image` say how the files are written."""
    root = Path(root)
    for number in range(train):
        save(root / f"train/good/{number:03}{suffix}", image(surface(number, side, side)))
    for number in range(good):
        save(root / f"test/good/{number:03}{suffix}", image(surface(200 + number, side, side)))
    for number in range(bad):
        broken, marked = defective(number, side, side)
        save(root / f"test/{kind}/{number:03}{suffix}", image(broken))
        if mask:
            save(root / f"ground_truth/{kind}/{number:03}_mask.png", mask(marked))
    return root
