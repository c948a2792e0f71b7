"""The state of a training on disk, as safetensors and JSON: loading it can run no code.

`checkpoints/step-N` holds everything that the next step depends on: weights, their average (EMA), the
optimiser's moments, the losses so far. A checkpoint is whole or not there. The last two are kept. Where
checksums show that the disk has damaged one, the one before is used.
"""

import json
import shutil
import warnings
from pathlib import Path

import torch
from safetensors.torch import save

from radar_nb.method.training import Trainer
from radar_nb.storage.errors import InputError
from radar_nb.storage.untrusted import check_checksums, read_json, read_tensors, write_checksums
from radar_nb.storage.whole import whole_folder

KEPT = 2
LONGEST = 1 << 30  # bytes of a JSON file with losses
_ORIGIN = ("config", "images", "noise", "calibrate")  # what identifies a training run; unused ones are absent


def losses_as_json(trainer: Trainer) -> dict[str, list[float]]:
    """The losses as a training's JSON files hold them: calibration losses only where there are some."""
    calibration = {"calibration_losses": trainer.calibration_losses} if trainer.calibration_losses else {}
    return {"losses": trainer.losses} | calibration


def losses_from_json(state: dict) -> tuple[list[float], list[float]]:
    """Losses and calibration losses. Raises KeyError or TypeError where `state` does not hold such lists."""
    found = state["losses"], state.get("calibration_losses", [])
    for losses in found:
        if not isinstance(losses, list) or not all(isinstance(loss, float) for loss in losses):
            raise TypeError("not a list of numbers")
    return found


def read_state(path: Path, origin: dict) -> dict:
    """A training's JSON file. Raises InputError where it belongs to another training than `origin`."""
    state = read_json(path, LONGEST)
    for name in _ORIGIN:
        if state.get(name) != origin.get(name):
            raise InputError(f"{path}: a training with another {name}; "
                             f"give an empty folder, or the {name} of that training")
    return state


def save_checkpoint(out: Path, origin: dict, trainer: Trainer) -> None:
    """Write `checkpoints/step-N`, N the number of losses, and remove all but the last two.

    Raises:
        StorageError: no room on the disk; the checkpoints that were there are whole.
    """
    tensors = {f"unet.{name}": value for name, value in trainer.unet.state_dict().items()}
    tensors |= {f"ema.{index}": value for index, value in enumerate(trainer.ema.shadow_params)}
    for index, moments in trainer.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with whole_folder(out / "checkpoints" / f"step-{len(trainer.losses):07d}") as work:
        (work / "state.safetensors").write_bytes(save(tensors))
        (work / "state.json").write_text(json.dumps(origin | losses_as_json(trainer)))
        write_checksums(work, ("state.json", "state.safetensors"))
    prune(out)


def prune(out: Path) -> None:
    """Remove all checkpoints but the last two."""
    for old in _folders(out)[:-KEPT]:
        shutil.rmtree(old)


def load_checkpoint(out: Path, origin: dict, trainer: Trainer) -> None:
    """Put the newest whole checkpoint's state into the trainer; without a checkpoint the trainer stays new.

    A damaged checkpoint is named in a warning, and the one before it is used.

    Raises:
        InputError: the checkpoint belongs to another training than `origin`.
    """
    for folder in reversed(_folders(out)):
        try:
            check_checksums(folder, complete=True)
            read_json(folder / "state.json", LONGEST)
            tensors = read_tensors(folder / "state.safetensors")
            break
        except InputError as error:
            warnings.warn(f"checkpoint left out: {error}; continuing from the one before", stacklevel=3)
    else:
        return
    state = read_state(folder / "state.json", origin)
    trainer.losses, trainer.calibration_losses = losses_from_json(state)
    _restore(trainer, tensors)


def _restore(trainer: Trainer, tensors: dict[str, torch.Tensor]) -> None:
    step, optimizer = len(trainer.losses), trainer.optimizer
    trainer.unet.load_state_dict(
        {name.removeprefix("unet."): value for name, value in tensors.items() if name.startswith("unet.")})
    with torch.no_grad():
        for index, parameter in enumerate(trainer.ema.shadow_params):
            parameter.copy_(tensors[f"ema.{index}"])
    trainer.ema.optimization_step = step
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments: dict[int, dict] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            like = parameters[int(index)]
            if value.shape == like.shape:  # ordered in memory as the parameter, so the next step adds alike
                value = torch.empty_like(like, device="cpu").copy_(value)
            moments.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    schedule = trainer.lr_schedule
    schedule.load_state_dict(schedule.state_dict() | {"last_epoch": step, "_step_count": step + 1})
    for group, learning_rate in zip(optimizer.param_groups, schedule.base_lrs, strict=True):
        group["lr"] = learning_rate * schedule.lr_lambdas[0](step)


def sweep(out: Path) -> None:
    """Remove what a killed run left half-written in a training's folder. Only its writer may call this."""
    for pattern in (".*.unfinished*", ".unfinished", "*/*.unfinished*", "*/.*.unfinished*"):
        for path in out.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _folders(out: Path) -> list[Path]:
    return sorted(out.glob("checkpoints/step-*[0-9]"))
