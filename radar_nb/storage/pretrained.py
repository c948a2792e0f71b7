"""Saving and loading a detector: a diffusers model folder with two more files beside the U-Net's."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from radar_nb.storage.errors import InputError
from radar_nb.storage.unet_folder import load_unet, save_unet
from radar_nb.storage.untrusted import check_values, read_json, read_tensors

SETTINGS, CALIBRATION = "detector.json", "calibration.safetensors"
# What a folder that was written before these settings existed stands for.
EARLIER = {"blur": 1, "sobel": 3, "window_step": 1}
# Options of `beyond.detector.VariantDetector` that earlier folders name too, as the paper's recipe has them.
PLAIN = {"map_kind": "sobel", "standardise": False, "local_quantile": 1.0, "one_sided": False, "border": 0,
         "draws": 1}


class Pretrained:
    """Adds `save_pretrained` and `from_pretrained` to a detector that has two hooks.

    `_state()` gives its settings (for JSON) and its arrays; the class method `_restore(settings, arrays,
    unet)` makes the same detector of them, and takes out of `arrays` what belongs to it. The forest is not
    saved. It is fitted again, from the same features and seed. Nothing here is a pickle.
    """

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the U-Net as diffusers does, and the detector's two files beside it: all of it or nothing."""
        settings, arrays = self._state()
        settings = {"detector": type(self).__name__} | settings
        files = {CALIBRATION: save(arrays), SETTINGS: (json.dumps(settings, indent=2) + "\n").encode()}
        save_unet(self.unet_, folder, files)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "Pretrained":
        """Load what `save_pretrained` wrote. Nothing in the folder is trusted, see `load_unet`. The detector
        must answer.

        Raises:
            InputError: the folder does not hold a detector, holds one with options that this class does not
                have, or it is damaged.
        """
        folder = Path(folder)
        try:
            settings = _upgraded(cls, read_json(folder / SETTINGS))
            known = cls().get_params(deep=False) | {"patch_size": 32, "pixel_threshold": 0.0, "tile": None,
                                                  "value_range": None}
            del known["unet"], known["training"]
            check_values(folder / SETTINGS, settings, known)
            arrays = {name: tensor.numpy() for name, tensor in read_tensors(folder / CALIBRATION).items()}
            settings = {name: tuple(value) if isinstance(value, list) else value
                        for name, value in settings.items()}
            detector = cls._restore(settings, arrays, load_unet(folder))
            if arrays:
                raise InputError(f"{CALIBRATION}: {min(arrays)[:80]!r} does not belong there")
            _probe(detector)
        except Exception as error:  # numbers that do not fit together fail in many ways
            advice = "give a folder that save_pretrained wrote"
            raise InputError(f"{folder}: not a saved detector ({error}); {advice}") from None
        return detector


def saved_class(folder: str | Path) -> str:
    """The name of the class that a folder's detector needs; `RadarDetector` too where nobody can tell."""
    try:
        settings = read_json(Path(folder) / SETTINGS)
    except InputError:  # from_pretrained says what is wrong
        return "RadarDetector"
    if "detector" in settings:
        return str(settings["detector"])
    options = any(settings.get(name, value) != value for name, value in PLAIN.items()) \
        or isinstance(settings.get("timestep"), list) or settings.get("tile", 512) != 512 \
        or settings.get("decision") not in (None, "isolation_forest")
    return "VariantDetector" if options else "RadarDetector"


def _upgraded(cls: type, settings: dict) -> dict:
    """Settings as they are written today, of any folder; those at which the class is fixed are left out.

    Raises InputError where the class cannot be as the folder says.
    """
    taken = cls().get_params(deep=False)
    settings = {name: value for name, value in EARLIER.items() if name in taken} | settings
    settings.pop("detector", None), settings.pop("engine", None)
    for name in [name for name in settings if name not in taken]:
        fixed = PLAIN.get(name, getattr(cls, name, None))
        if settings[name] == fixed and fixed is not None:
            del settings[name]
        elif name in PLAIN or fixed is not None:
            raise InputError(f"{name}={settings[name]!r} is beyond the paper's recipe: "
                             "radar_nb.load_detector loads it")
    return settings


def _probe(detector: Pretrained) -> None:
    """Score one image of noise: what cannot is refused when it is loaded, not when it is needed."""
    shape = (detector.smallest_side,) * 2 + ((3,) if detector.channels_ == 3 else ())
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    numbers = [*detector.score_samples([image]), detector.offset_, detector.pixel_threshold_]
    if not np.isfinite(numbers).all():
        raise InputError("its score or its threshold is not finite")
