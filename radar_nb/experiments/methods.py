"""The methods that are compared: RADAR, what we added to it, and its rivals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from radar_nb.beyond.detector import noise_free_detector
from radar_nb.rivals.patchcore import PatchCore
from radar_nb.rivals.same_unet import AnoDdpm, Inversion, NoiseDensity, Reconstruction
from radar_nb.rivals.simplex import simplex_noise
from radar_nb.rivals.statistical import CausalResidual, PcaReconstruction, TextureOneClassSvm
from radar_nb.runs.kit import Kit
from radar_nb.runs.training import train_into

SLOW = 20             # a method with more U-Net calls an image than this is slow ...
SLOW_CALIBRATE = 60   # ... and is calibrated on so many images; all are tested on the same
# The comparison of results/: data set, how many seeds, and the methods with at most so many calls (770 large images are many).
FULL = (("printed", 5, 10), ("mvtec_tile_192", 5, 10), ("printed_hard", 5, 10), ("printed_easy", 1, 10), ("texture", 1, 10),
        ("kolektor_sdd", 1, 10), ("magnetic_tile", 1, 2), ("printed", 1, 1000))


@dataclass(frozen=True)
class Method:
    """One row of the table: `build(kit, calibrate)` gives a fitted detector; `calls` counts U-Net calls an image."""

    label: str
    family: str
    calls: int
    build: Callable


def _radar(**options) -> Callable:
    return lambda kit, calibrate: noise_free_detector(
        unet=kit.unet, training=kit.training, random_state=kit.seed, **options).fit(calibrate)


def _diffusion(kind: type, **options) -> Callable:
    return lambda kit, calibrate: kind(kit.unet, random_state=kit.seed, **options).fit(calibrate)


def _statistical(kind: type) -> Callable:
    return lambda kit, calibrate: kind(random_state=kit.seed).fit(kit.data.train, calibrate=calibrate)


def _anoddpm(kit: Kit, calibrate: Sequence) -> AnoDdpm:
    folder = kit.model_folder.with_name(f"{kit.model_folder.name}-simplex")
    unet = train_into(folder, kit.data.train, kit.training, progress=False, draw=simplex_noise).unet
    return AnoDdpm(unet, random_state=kit.seed, start=START, eta=1.0).fit(calibrate)


# t = 100 to noise to and back: the best of 100, 200, 300, 400 on calibration images with pasted defects.
START = 100
# Beyond the paper, for hard surfaces: a frame that the network cannot see around is left out, more quiet than usual is not
# anomalous, and a distance ranks images that lie beyond every calibration image, which a forest cannot. Chosen on calibration images
# with pasted defects: the window and its quantile too, and, on those of `mvtec_tile_192`, the two timesteps and the local norm alone.
MENDED = {"decision": "mahalanobis", "one_sided": True, "border": 4}
TWO_TIMESTEPS = {"map_kind": "covariance", "timestep": (25, 200), "local_quantile": 0.995, "decision": "local_norm", "border": MENDED["border"]}
METHODS = {
    "radar": Method("RADAR (noise-free reading)", "RADAR", 1, _radar()),
    "radar_residual": Method("RADAR (residual reading)", "RADAR", 1, _radar(reading="residual")),
    "radar_predicted": Method("RADAR (predicted reading)", "RADAR", 1, _radar(reading="predicted")),
    "radar_one_sided": Method("RADAR, mended: one-sided distance", "RADAR, mended", 1, _radar(**MENDED)),
    "radar_covariance": Method("RADAR, mended: local covariance", "RADAR, mended", 1, _radar(map_kind="covariance", **MENDED)),
    "radar_two_timesteps": Method("RADAR, mended: two timesteps", "RADAR, mended", 2, _radar(**TWO_TIMESTEPS)),
    "radar_standardised": Method("RADAR, mended: rows and columns", "RADAR, mended", 1,
                                 _radar(standardise=True, window=3, local_quantile=0.995, **MENDED)),
    "ddim10": Method("DDIM reconstruction, 10 steps", "reconstruction", 10, _diffusion(Reconstruction, start=START, steps=10)),
    "ddim25": Method("DDIM reconstruction, 25 steps", "reconstruction", 25, _diffusion(Reconstruction, start=START, steps=25)),
    "ddim50": Method("DDIM reconstruction, 50 steps", "reconstruction", 50, _diffusion(Reconstruction, start=START, steps=50)),
    "ddpm": Method("DDPM reconstruction, all steps", "reconstruction", START + 1, _diffusion(Reconstruction, start=START, eta=1.0)),
    "anoddpm": Method("AnoDDPM, simplex noise", "reconstruction", START + 1, _anoddpm),
    "osd_irf": Method("Gaussian density of the noise (OSD-IRF)", "reconstruction-free", 1, _diffusion(NoiseDensity, timestep=100)),
    "invad": Method("DDIM inversion, 3 steps (InvAD)", "reconstruction-free", 3, _diffusion(Inversion)),
    "pca": Method("PCA of patches, T2 and Q", "statistical", 0, _statistical(PcaReconstruction)),
    "causal_residual": Method("Causal residual (Bui and Apley)", "statistical", 0, _statistical(CausalResidual)),
    "ocsvm": Method("One-class SVM on LBP and GLCM", "statistical", 0, _statistical(TextureOneClassSvm)),
    "patchcore": Method("PatchCore, WideResNet50", "pretrained", 0, _statistical(PatchCore)),
}


def fit_method(name: str, kit: Kit):
    """A method's detector, fitted on the normal images of `kit.data`; slow ones see fewer calibration images."""
    method = METHODS[name]
    return method.build(kit, kit.data.calibrate[:SLOW_CALIBRATE] if method.calls > SLOW else kit.data.calibrate)
