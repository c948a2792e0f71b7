"""RADAR in notebooks: single-step, reconstruction-free anomaly detection with a diffusion model.

Teaching and reproduction kit for arXiv 2508.04818 (Moradi, Grasso, Colosimo, Paynabar). This page is the
table of contents: what a notebook or a program usually needs, and the module that it lives in. Each is loaded
when first used.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    # the paper
    "RadarDetector": "radar_nb.method.detector",
    "TrainingConfig": "radar_nb.method.training",
    "train": "radar_nb.method.training",
    "build_unet": "radar_nb.method.unet",
    "predict_noise": "radar_nb.method.unet",
    "add_noise": "radar_nb.method.diffusion",
    "denoise": "radar_nb.method.diffusion",
    "noise_map": "radar_nb.method.noise_map",
    "whole_image": "radar_nb.method.noise_map",
    "in_patches": "radar_nb.method.noise_map",
    # beyond it
    "VariantDetector": "radar_nb.beyond.detector",
    "FusedDetector": "radar_nb.beyond.fused",
    "noise_free_detector": "radar_nb.beyond.detector",
    "load_detector": "radar_nb.beyond.detector",
    "OnnxUNet": "radar_nb.beyond.onnx",
    "export": "radar_nb.beyond.export",
    # data, runs, results, teaching
    "load_dataset": "radar_nb.data.named",
    "find_images": "radar_nb.data.listing",
    "Kit": "radar_nb.runs.kit",
    "evaluate": "radar_nb.experiments.metrics",
    "exercise": "radar_nb.teaching.exercises",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module 'radar_nb' has no attribute {name!r}; it has {', '.join(_HOMES)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
