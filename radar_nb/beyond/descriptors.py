"""Other numbers that describe a noise map, in the place of RADAR's two norms: the feature ablation of slide
17.

The slides name GLCM, SSIM, Hough transform and entropy, and tell no settings. These are ours, all from
scikit-image.
"""

from collections.abc import Callable, Mapping

import numpy as np
from diffusers import UNet2DModel
from skimage.feature import graycomatrix, graycoprops
from skimage.filters.rank import entropy
from skimage.measure import shannon_entropy
from skimage.metrics import structural_similarity
from skimage.morphology import disk
from skimage.transform import hough_line

from radar_nb.method.base import check_arguments
from radar_nb.method.detector import RadarDetector
from radar_nb.method.features import blur, extract_features, sobel_magnitude
from radar_nb.method.training import TrainingConfig

LEVELS = 32  # grey levels of a map for GLCM and entropy
SPAN = 2.0   # noise from -SPAN to SPAN is spread over them; a fixed range, since the size of noise is a clue


def norms(noise_map: np.ndarray) -> np.ndarray:
    """RADAR's own: global and local norm of the Sobel map. Takes `(C, H, W)`, gives `(2,)`."""
    maps = sobel_magnitude(blur(noise_map[None]))
    return extract_features(maps, min(20, *maps.shape[1:]))[0]


def glcm(plane: np.ndarray) -> np.ndarray:
    """Contrast, homogeneity, energy and correlation of neighbouring grey levels (Haralick 1973): `(4,)`."""
    matrix = graycomatrix(_levels(plane), [1, 2], [0, np.pi / 2], LEVELS, symmetric=True, normed=True)
    return np.array([graycoprops(matrix, name).mean()
                     for name in ("contrast", "homogeneity", "energy", "correlation")])


def ssim(plane: np.ndarray) -> np.ndarray:
    """Structural similarity (Wang et al. 2004) of a map to itself, blurred: mean and largest: `(2,)`.

    Blur takes the grain of noise away and leaves structure, so noise is unlike its blurred self.
    """
    smooth = blur(plane[None, None])[0, 0]
    mean, similarity = structural_similarity(plane, smooth, data_range=2 * SPAN, full=True)
    return np.array([mean, similarity.max()])


def hough(plane: np.ndarray) -> np.ndarray:
    """Hough transform of the strongest tenth of the Sobel map: the longest line's votes, and their spread:
    `(2,)`.
    """
    edges = sobel_magnitude(blur(plane[None, None]))[0]
    votes = hough_line(edges > np.quantile(edges, 0.9))[0]
    return np.array([votes.max() / np.sqrt(edges.size), votes.std() / np.sqrt(edges.size)])


def entropies(plane: np.ndarray) -> np.ndarray:
    """Entropy of the grey levels, over the map and in the disc of radius 9 where it is largest, bits:
    `(2,)`.
    """
    levels = _levels(plane)
    return np.array([shannon_entropy(levels), entropy(levels, disk(9)).max()])


DESCRIPTORS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "current": norms, "GLCM": glcm, "SSIM": ssim, "Hough": hough, "entropy": entropies}


def describe(name: str, noise_maps: list[np.ndarray] | np.ndarray) -> np.ndarray:
    """Noise maps `(C, H, W)` to features `(N, K)` by one of `DESCRIPTORS`.

    All but RADAR's own are taken of each colour, and averaged.
    """
    describe_one = DESCRIPTORS[name]
    if describe_one is norms:
        return np.stack([norms(map_) for map_ in noise_maps])
    return np.stack([np.mean([describe_one(plane) for plane in map_], axis=0) for map_ in noise_maps])


class DescriptorDetector(RadarDetector):
    """RADAR with one of `DESCRIPTORS` in the place of its two norms: a row of slide 17.

    Noise map, calibration, Isolation Forest and segmentation are RADAR's own.

    Args:
        descriptor: a name of `DESCRIPTORS`.
        contamination, random_state, unet, training: as for `RadarDetector`.
    """

    def __init__(self, descriptor: str = "GLCM", contamination: float = 0.05, random_state: int = 0, *,
                 unet: UNet2DModel | None = None, training: TrainingConfig | None = None):
        super().__init__(contamination=contamination, random_state=random_state, unet=unet, training=training)
        self.descriptor = descriptor

    def _check_arguments(self) -> None:
        super()._check_arguments()
        check_arguments(self, {}, {"descriptor": tuple(DESCRIPTORS)})

    def _sobel(self, noise: np.ndarray) -> np.ndarray:
        return noise  # the features need the noise itself; Sobel comes in `_smooth`

    def _smooth(self, maps: np.ndarray) -> np.ndarray:
        return super()._smooth(super()._sobel(maps))

    def _extract(self, maps: np.ndarray) -> np.ndarray:
        return describe(self.descriptor, maps)


def _levels(plane: np.ndarray) -> np.ndarray:
    """A plane `(H, W)` as grey levels, 0 to `LEVELS - 1`."""
    scaled = (plane / SPAN + 1) / 2 * LEVELS
    return np.clip(scaled, 0, LEVELS - 1).astype(np.uint8)
