"""The methods that are compared: the paper's RADAR, our own recipes beside it, and its rivals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from diffusers import UNet2DModel

from radar_nb.beyond.descriptors import DescriptorDetector
from radar_nb.beyond.detector import noise_free_detector
from radar_nb.beyond.fused import FusedDetector
from radar_nb.method.detector import RadarDetector
from radar_nb.method.training import TrainingConfig
from radar_nb.rivals.diffusion_ad import DiffusionAd
from radar_nb.rivals.forest_clustering import ForestClustering
from radar_nb.rivals.patchcore import PatchCore
from radar_nb.rivals.per_angle import PerAngle
from radar_nb.rivals.same_unet import AnoDdpm, Inversion, NoiseDensity, Reconstruction
from radar_nb.rivals.simplex import simplex_noise
from radar_nb.rivals.statistical import CausalResidual, PcaReconstruction, TextureOneClassSvm
from radar_nb.runs.kit import Kit
from radar_nb.runs.training import process_device, train_into

SLOW = 20            # a method with more U-Net calls per image is slow ...
SLOW_CALIBRATE = 60  # ... and is calibrated on at most so many images; all methods are tested on the same
EXTRUSION = ("extrusion", "extrusion_choose")
FEATURE_SETS = ("extrusion", "printed", "mvtec_tile_192", "mvtec_tile")  # of the ablation on slide 17
# The comparison of results/: data set, number of seeds, and the most U-Net calls per image of its methods.
FULL = (("extrusion", 5, 10), ("printed", 5, 10), ("mvtec_tile_192", 5, 10), ("printed_hard", 5, 10),
        ("printed_easy", 1, 10), ("texture", 1, 10), ("kolektor_sdd", 1, 10), ("magnetic_tile", 1, 2),
        ("printed", 1, 1000), ("extrusion", 1, 1000), ("mvtec_tile_192", 1, 1000))


@dataclass(frozen=True)
class Method:
    """One row of the table.

    `build(kit, calibrate)` gives a fitted detector; `calls` counts U-Net calls per image; `only` names the
    data sets that it is made for (empty: all).
    """

    label: str
    family: str
    calls: int
    build: Callable
    only: tuple[str, ...] = ()

    def suits(self, dataset: str) -> bool:
        """Whether the method is made for a data set."""
        return not self.only or dataset in self.only


def fit_method(name: str, kit: Kit):
    """A method's detector, fitted on the normal images of `kit.data`; slow ones calibrate on fewer."""
    method = METHODS[name]
    most = SLOW_CALIBRATE if method.calls > SLOW else None
    return method.build(kit, kit.data.calibrate[:most])


def _radar(make: Callable = RadarDetector, **options) -> Callable:
    return lambda kit, calibrate: make(
        unet=kit.unet, training=kit.training, random_state=kit.seed, **options).fit(calibrate)


def _noise_free(**options) -> Callable:
    return _radar(noise_free_detector, **options)


def _fused(kit: Kit, calibrate: Sequence) -> FusedDetector:
    return FusedDetector(unet=kit.unet, training=kit.training, random_state=kit.seed).fit(
        calibrate, learnt=kit.data.train)


def _diffusion(kind: type, **options) -> Callable:
    return lambda kit, calibrate: kind(kit.unet, random_state=kit.seed, **options).fit(calibrate)


def _statistical(kind: type) -> Callable:
    return lambda kit, calibrate: kind(random_state=kit.seed).fit(kit.data.train, calibrate=calibrate)


def _per_angle(kind: type) -> Callable:
    return lambda kit, calibrate: PerAngle(kind(random_state=kit.seed)).fit(
        kit.data.train, calibrate=calibrate)


def _diffusion_ad(kit: Kit, calibrate: Sequence) -> DiffusionAd:
    return DiffusionAd(kit.unet, random_state=kit.seed).fit(kit.data.train, calibrate=calibrate)


def _own_unet(kit: Kit, name: str, training: TrainingConfig, **options) -> UNet2DModel:
    """A method's own U-Net, trained in a folder of the run beside the kit's."""
    folder = kit.model_folder.with_name(f"{kit.model_folder.name}-{name}")
    return train_into(folder, kit.data.train, training, progress=False, **options).unet.to(process_device())


def _plain(kit: Kit, calibrate: Sequence) -> RadarDetector:
    plain = replace(kit.training, fold=1)
    return RadarDetector(unet=_own_unet(kit, "plain", plain), training=plain,
                         random_state=kit.seed).fit(calibrate)


def _anoddpm(start: int, steps: int | None = None) -> Callable:
    def build(kit: Kit, calibrate: Sequence) -> AnoDdpm:
        unet = _own_unet(kit, "simplex", kit.training, draw=simplex_noise)
        return AnoDdpm(unet, random_state=kit.seed, start=start, steps=steps, eta=1.0).fit(calibrate)
    return build


PAPER_START = 250  # the step of 1000 to which the paper noises images for DDPM (slide 7)
STRIDED = 25       # of these 251 steps: every tenth, for who has no GPU
START = 100        # the best of 100, 200, 300, 400 on calibration images with pasted defects
# Our recipes for hard surfaces. `border` leaves out a frame, since the network cannot see beyond the edge.
# `one_sided` does not call an image anomalous for being quieter than usual. A distance, unlike a forest,
# ranks images that lie beyond all calibration images. All options were chosen on calibration images with
# pasted defects; the two timesteps and the local norm alone on those of `mvtec_tile_192`.
DISTANCE = {"decision": "mahalanobis", "one_sided": True, "border": 4}
TWO_TIMESTEPS = {"map_kind": "covariance", "timestep": (25, 200), "local_quantile": 0.995,
                 "decision": "local_norm", "border": 4}

# Families. The paper compares with those of RIVALS; NEAREST are later methods, RADAR's nearest relatives.
RADAR, OTHER_READINGS, OURS = "RADAR", "RADAR, other readings", "RADAR, mended"
OTHER_FEATURES = "RADAR, other features"  # slide 17
RECONSTRUCTION, STATISTICAL, NEAREST = "reconstruction", "statistical", "reconstruction-free"
RIVALS = RECONSTRUCTION, STATISTICAL
METHODS = {
    "radar": Method("RADAR, the paper's recipe", RADAR, 1, _radar()),
    "radar_lof": Method("RADAR, the paper's recipe with LOF", RADAR, 1, _radar(decision="lof")),
    "radar_plain": Method("RADAR, the paper's recipe on a plain U-Net", RADAR, 1, _plain),
    "radar_noise_free": Method("RADAR, noise-free at t = 200", OTHER_READINGS, 1, _noise_free()),
    "radar_residual_200": Method("RADAR, residual at t = 200", OTHER_READINGS, 1,
                                 _noise_free(reading="residual")),
    "radar_predicted_200": Method("RADAR, predicted at t = 200", OTHER_READINGS, 1,
                                  _noise_free(reading="predicted")),
    "radar_one_sided": Method("RADAR, mended: one-sided distance", OURS, 1, _noise_free(**DISTANCE)),
    "radar_covariance": Method("RADAR, mended: local covariance", OURS, 1,
                               _noise_free(map_kind="covariance", **DISTANCE)),
    "radar_two_timesteps": Method("RADAR, mended: two timesteps", OURS, 2, _noise_free(**TWO_TIMESTEPS)),
    "radar_standardised": Method("RADAR, mended: rows and columns", OURS, 1, _noise_free(
        standardise=True, window=3, local_quantile=0.995, **DISTANCE)),
    "radar_fused": Method("RADAR, fused: three views of one call", OURS, 1, _fused),
    **{f"radar_{name.lower()}": Method(f"RADAR with {name} in the norms' place", OTHER_FEATURES, 1, _radar(
        DescriptorDetector, descriptor=name), FEATURE_SETS) for name in ("GLCM", "SSIM", "Hough", "entropy")},
    "ddim10": Method("DDIM reconstruction, 10 steps", RECONSTRUCTION, 10,
                     _diffusion(Reconstruction, start=START, steps=10)),
    "ddim25": Method("DDIM reconstruction, 25 steps", RECONSTRUCTION, 25,
                     _diffusion(Reconstruction, start=START, steps=25)),
    "ddim50": Method("DDIM reconstruction, 50 steps", RECONSTRUCTION, 50,
                     _diffusion(Reconstruction, start=START, steps=50)),
    "ddpm": Method("DDPM reconstruction, all steps", RECONSTRUCTION, START + 1,
                   _diffusion(Reconstruction, start=START, eta=1.0)),
    "ddpm_250": Method("DDPM from t = 250, as in Table I", RECONSTRUCTION, PAPER_START + 1,
                       _diffusion(Reconstruction, start=PAPER_START, eta=1.0, difference="absolute")),
    "ddpm_250_strided": Method("DDPM from t = 250, every tenth step", RECONSTRUCTION, STRIDED, _diffusion(
        Reconstruction, start=PAPER_START, steps=STRIDED, eta=1.0, difference="absolute")),
    "anoddpm": Method("AnoDDPM, simplex noise", RECONSTRUCTION, START + 1, _anoddpm(START)),
    "anoddpm_250": Method("AnoDDPM from t = 250", RECONSTRUCTION, PAPER_START + 1, _anoddpm(PAPER_START)),
    "anoddpm_250_strided": Method("AnoDDPM from t = 250, every tenth step", RECONSTRUCTION, STRIDED,
                                  _anoddpm(PAPER_START, STRIDED)),
    "diffusion_ad": Method("DiffusionAD", RECONSTRUCTION, 2, _diffusion_ad),
    "osd_irf": Method("Gaussian density of the noise (OSD-IRF)", NEAREST, 1,
                      _diffusion(NoiseDensity, timestep=100)),
    "invad": Method("DDIM inversion, 3 steps (InvAD)", NEAREST, 3, _diffusion(Inversion)),
    "pca": Method("PCA of patches, T2 and Q", STATISTICAL, 0, _statistical(PcaReconstruction)),
    "causal_residual": Method("Causal residual (Bui and Apley)", STATISTICAL, 0,
                              _statistical(CausalResidual)),
    "causal_residual_per_angle": Method("Causal residual, one for each angle", STATISTICAL, 0,
                                        _per_angle(CausalResidual), EXTRUSION),
    "forest_clustering": Method("Forest and clustering (C&B)", STATISTICAL, 0,
                                _statistical(ForestClustering)),
    "forest_clustering_per_angle": Method("Forest and clustering, one for each angle", STATISTICAL, 0,
                                          _per_angle(ForestClustering), EXTRUSION),
    "ocsvm": Method("One-class SVM on LBP and GLCM", STATISTICAL, 0, _statistical(TextureOneClassSvm)),
    "patchcore": Method("PatchCore, EfficientNet-Lite0", "pretrained", 0, _statistical(PatchCore)),
}
