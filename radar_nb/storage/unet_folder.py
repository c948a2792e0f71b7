"""The folder of a U-Net, as diffusers writes it: `config.json` and safetensors."""

import inspect
from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from types import MappingProxyType

import torch
from diffusers import UNet2DModel

from radar_nb.storage.errors import InputError
from radar_nb.storage.untrusted import check_checksums, read_json, read_tensors, write_checksums
from radar_nb.storage.whole import whole_files

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
# What a config.json may say beside numbers: kinds of layers. No file, no code, no other class.
_WORDS = {"DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D", "UNetMidBlock2D", "UpBlock2D",
          "AttnUpBlock2D", "ResnetUpsampleBlock2D",
          "silu", "swish", "mish", "gelu", "relu", "conv", "resnet", "default",
          "scale_shift", "positional"}
_SETTINGS = set(inspect.signature(UNet2DModel.__init__).parameters) - {"self"}
_LEVELS, _LAYERS, _WIDTH = 8, 8, 8192


def save_unet(unet: UNet2DModel, folder: str | Path,
              others: Mapping[str, bytes] = MappingProxyType({})) -> None:
    """Write a U-Net as diffusers does, with checksums, and the files `others` beside it: all or nothing.

    Raises:
        StorageError: no room on the disk, or no right to write there.
    """
    with whole_files(folder, last=CONFIG) as work:
        unet.save_pretrained(work)
        for name, content in others.items():
            (work / name).write_bytes(content)
        write_checksums(work, sorted(path.name for path in work.glob("*.safetensors")))


def load_unet(folder: str | Path) -> UNet2DModel:
    """Load a U-Net that `train` or diffusers wrote: `config.json` and `diffusion_pytorch_model.safetensors`.

    Nothing in the folder is trusted: the file must hold exactly the weights of the layers that the config
    describes, all finite, before memory is taken for them; and the U-Net must answer.

    Raises:
        InputError: the folder does not hold such a model, or it is damaged.
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: no such file; give a folder that `python -m radar_nb train` "
                             "wrote")
    check_checksums(folder)
    unet = _empty_unet(folder / CONFIG)
    tensors = read_tensors(folder / WEIGHTS,
                           {name: tuple(weight.shape) for name, weight in unet.state_dict().items()})
    unet.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    unet.eval().to(memory_format=torch.channels_last)
    side = 2 ** len(unet.config.block_out_channels)
    try:
        with torch.inference_mode():
            answer = unet(torch.zeros(1, unet.config.in_channels, side, side), 0).sample
    except Exception as error:  # layers that do not fit together fail in many ways
        raise InputError(f"{folder}: the U-Net does not work ({_short(error)}); copy or train it "
                         "again") from None
    if answer.shape[1:] != (unet.config.in_channels, side, side) or not answer.isfinite().all():
        raise InputError(f"{folder}: the U-Net's output is not finite, or has another shape than its "
                         "input; copy or train it again")
    return unet


def _empty_unet(path: Path) -> UNet2DModel:
    """The U-Net that a config.json describes, on torch's `meta` device. Raises InputError."""
    config = read_json(path)
    kind = config.pop("_class_name", None)
    if kind != "UNet2DModel":
        raise InputError(f"{path}: describes a {str(kind)[:80]!r}, not a UNet2DModel; give a folder that "
                         "`python -m radar_nb train` wrote")
    for name in ("_diffusers_version", "_name_or_path"):
        config.pop(name, None)
    for name, value in config.items():
        if name not in _SETTINGS or not _is_harmless(name, value):
            raise InputError(f"{path}: {name[:80]}={str(value)[:80]!r} is not allowed in a U-Net that is "
                             "loaded; copy or train it again")
    channels = config.get("in_channels")
    squares = [image * isqrt(max(0, channels or 0) // image) ** 2 for image in (1, 3)]
    if not channels or channels not in squares:
        raise InputError(f"{path}: in_channels={channels!r}: grey or RGB pixels, folded, are 1 or 3 times a "
                         "square; copy or train it again")
    try:
        with torch.device("meta"):
            return UNet2DModel.from_config(config)
    except Exception as error:  # diffusers raises whatever it stumbles over
        raise InputError(f"{path}: no U-Net can be built from it ({_short(error)}); copy or train it "
                         "again") from None


def _is_harmless(name: str, value: object) -> bool:
    """Known words, and numbers that no U-Net of ours comes near."""
    if isinstance(value, list):
        return len(value) <= _LEVELS and all(not isinstance(part, list) and _is_harmless(name, part)
                                             for part in value)
    if isinstance(value, str):
        return value in _WORDS
    if name == "in_channels":
        return type(value) is int and 0 < value <= 3 * 32**2
    return value is None or (isinstance(value, (int, float))
                             and 0 <= value <= (_LAYERS if name == "layers_per_block" else _WIDTH))


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
