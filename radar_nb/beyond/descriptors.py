"""Other numbers that describe a noise map, in the place of RADAR's two norms: the feature ablation of slide
17.

The slides name GLCM, SSIM, Hough transform and entropy, and tell no settings. These are ours, all from
scikit-image.
"""

from collections.abc import Callable, Mapping

import numpy as np
from skimage.feature import graycomatrix, graycoprops
from skimage.filters.rank import entropy
from skimage.measure import shannon_entropy
from skimage.metrics import structural_similarity
from skimage.morphology import disk
from skimage.transform import hough_line

from radar_nb.method.features import blur, extract_features, sobel_magnitude

LEVELS = 32  # grey levels of a map for GLCM and entropy
SPAN = 2.0   # noise from -SPAN to SPAN is spread over them; a fixed range, since the size of noise is a clue


def norms(noise_map: np.ndarray) -> np.ndarray:
    """RADAR's own: global and local norm of the Sobel map. Takes `(C, H, W)`, gives `(2,)`."""
    maps = sobel_magnitude(blur(noise_map[None]))
    return extract_features(maps, min(20, *maps.shape[1:]))[0]


def glcm(noise_map: np.ndarray) -> np.ndarray:
    """Contrast, homogeneity, energy and correlation of neighbouring grey levels (Haralick 1973): `(4,)`."""
    matrix = graycomatrix(_levels(noise_map), [1, 2], [0, np.pi / 2], LEVELS, symmetric=True, normed=True)
    return np.array([graycoprops(matrix, name).mean()
                     for name in ("contrast", "homogeneity", "energy", "correlation")])


def ssim(noise_map: np.ndarray) -> np.ndarray:
    """Structural similarity (Wang et al. 2004) of a map to itself, blurred: mean and largest: `(2,)`.

    Blur takes the grain of noise away and leaves structure, so noise is unlike its blurred self.
    """
    plane, smooth = noise_map.mean(axis=0), blur(noise_map[None])[0].mean(axis=0)
    mean, similarity = structural_similarity(plane, smooth, data_range=2 * SPAN, full=True)
    return np.array([mean, similarity.max()])


def hough(noise_map: np.ndarray) -> np.ndarray:
    """Hough transform of the strongest tenth of the Sobel map: the longest line's votes, and their spread:
    `(2,)`.
    """
    edges = sobel_magnitude(blur(noise_map[None]))[0]
    votes = hough_line(edges > np.quantile(edges, 0.9))[0]
    return np.array([votes.max() / np.sqrt(edges.size), votes.std() / np.sqrt(edges.size)])


def entropies(noise_map: np.ndarray) -> np.ndarray:
    """Entropy of the grey levels, over the map and in the disc of radius 9 where it is largest, bits:
    `(2,)`.
    """
    levels = _levels(noise_map)
    return np.array([shannon_entropy(levels), entropy(levels, disk(9)).max()])


DESCRIPTORS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "current": norms, "GLCM": glcm, "SSIM": ssim, "Hough": hough, "entropy": entropies}


def describe(name: str, noise_maps: list[np.ndarray] | np.ndarray) -> np.ndarray:
    """Noise maps `(C, H, W)` to features `(N, K)` by one of `DESCRIPTORS`."""
    return np.stack([DESCRIPTORS[name](map_) for map_ in noise_maps])


def _levels(noise_map: np.ndarray) -> np.ndarray:
    """A map `(C, H, W)` as grey levels `(H, W)`, 0 to `LEVELS - 1`."""
    scaled = (noise_map.mean(axis=0) / SPAN + 1) / 2 * LEVELS
    return np.clip(scaled, 0, LEVELS - 1).astype(np.uint8)
