"""Simplex noise in several octaves: what AnoDDPM (Wyatt et al. 2022) adds in place of Gaussian noise.

Its coarse octaves hide defects of every size, where Gaussian noise hides only small ones. The noise itself
comes from the library opensimplex; here octaves are summed, and pieces are cut out of one large field.
"""

from functools import lru_cache

import numpy as np
import opensimplex
import torch

SIDE = 512  # of the field that planes are cut from, at least


@lru_cache(maxsize=2)
def simplex_field(side: int, octaves: int = 6, wavelength: float = 64, decay: float = 0.8) -> torch.Tensor:
    """`(side, side)` field of mean 0 and variance 1; takes some seconds, and is kept.

    Args:
        octaves: each has half the wavelength and `decay` times the amplitude of the one before.
        wavelength: of the first octave, pixels. These three defaults are AnoDDPM's.
    """
    opensimplex.seed(0)
    field = np.zeros((side, side))
    for octave in range(octaves):
        place = np.arange(side) * 2**octave / wavelength + 100 * octave  # shifted: octaves must not line up
        field += decay**octave * opensimplex.noise2array(place, place)
    return torch.from_numpy(((field - field.mean()) / field.std()).astype(np.float32))


def simplex_noise(shape: tuple[int, ...], generator: torch.Generator | None = None) -> torch.Tensor:
    """Draw noise `(N, C, H, W)`, as `torch.randn(shape, generator=generator)` does for Gaussian noise.

    Each plane is cut from one large field at a random place, and mirrored at random.
    """
    count, channels, height, width = shape
    field = simplex_field(max(SIDE, height, width))

    def draw(high: int) -> int:
        return int(torch.randint(high, (), generator=generator))

    planes = []
    for _ in range(count * channels):
        row, column = draw(len(field) - height + 1), draw(len(field) - width + 1)
        plane = field[row:row + height, column:column + width]
        planes.append(plane.flip([axis for axis in (0, 1) if draw(2)]))
    return torch.stack(planes).reshape(shape)
