"""The state of a training on disk: safetensors and JSON, so that loading it can run no code.

`checkpoints/step-N` holds everything that the next step depends on: weights, their average (EMA), the optimiser's moments, the
losses so far. Draws need no state, they depend on (seed, step). A checkpoint is whole or not there; the last two are kept; one that
the disk has damaged is told by its checksums, and the one before it is used.
"""

import json
import shutil
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers.training_utils import EMAModel
from safetensors.torch import save

from radar_nb.storage.errors import InputError
from radar_nb.storage.untrusted import write_checksums
from radar_nb.storage.whole import whole_folder
from radar_nb.storage.untrusted import check_checksums, read_json, read_tensors

KEPT = 2
_LONGEST = 1 << 30  # bytes of a state.json
_ORIGIN = ("config", "images", "noise", "calibrate")  # by which a training is told; what is not used is not there


@dataclass
class History:
    """What a training has measured so far."""

    losses: list[float] = field(default_factory=list)              # one a step
    calibration_losses: list[float] = field(default_factory=list)  # one each `validate_every` steps

    def as_dict(self) -> dict:
        """As it is written: calibration losses only where there are some."""
        return {"losses": self.losses} | ({"calibration_losses": self.calibration_losses} if self.calibration_losses else {})

    @classmethod
    def from_dict(cls, state: dict) -> "History":
        """What `as_dict` gave. Raises KeyError or TypeError where it holds something else."""
        history = cls(state["losses"], state.get("calibration_losses", []))
        for losses in (history.losses, history.calibration_losses):
            if not isinstance(losses, list) or not all(isinstance(loss, float) for loss in losses):
                raise TypeError("no list of numbers")
        return history


def save_checkpoint(out: str | Path, origin: dict, unet: torch.nn.Module, ema: EMAModel, optimizer: torch.optim.Optimizer,
                    history: History) -> None:
    """Write `checkpoints/step-N`, N losses, and remove all but the last two.

    Raises:
        StorageError: no room on the disk; the checkpoints that were there are whole.
    """
    tensors = {f"unet.{name}": value for name, value in unet.state_dict().items()}
    tensors |= {f"ema.{index}": value for index, value in enumerate(ema.shadow_params)}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    with whole_folder(_folder(out, len(history.losses))) as work:
        (work / "state.safetensors").write_bytes(save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}))
        (work / "state.json").write_text(json.dumps(origin | history.as_dict()))
        write_checksums(work, ("state.json", "state.safetensors"))
    prune(out)


def prune(out: str | Path) -> None:
    """Remove all checkpoints but the last two."""
    for old in _folders(out)[:-KEPT]:
        shutil.rmtree(old)


def load_checkpoint(out: str | Path, origin: dict, unet: torch.nn.Module, ema: EMAModel, optimizer: torch.optim.Optimizer,
                    schedule: torch.optim.lr_scheduler.LambdaLR, history: History) -> None:
    """Put the newest whole checkpoint's state into the given objects; where there is no checkpoint, they stay as they are.

    A damaged one is named in a warning, and the one before it is used.

    Raises:
        InputError: the checkpoint is another training's than `origin` describes.
    """
    for folder in reversed(_folders(out)):
        try:
            check_checksums(folder, complete=True)
            state = read_json(folder / "state.json", _LONGEST)
            tensors = read_tensors(folder / "state.safetensors")
            break
        except InputError as error:
            warnings.warn(f"checkpoint left out: {error}; going on from the one before", stacklevel=3)
    else:
        return
    check_origin(folder / "state.json", state, origin)
    # In place: the schedule reads the same lists.
    found = History.from_dict(state)
    history.losses[:], history.calibration_losses[:] = found.losses, found.calibration_losses
    _restore(tensors, len(history.losses), unet, ema, optimizer, schedule)


def check_origin(path: Path, state: dict, origin: dict) -> None:
    """Make sure that a state is of the training that `origin` describes. Raises InputError."""
    for name in _ORIGIN:
        if state.get(name) != origin.get(name):
            raise InputError(f"{path}: a training with another {name}; give an empty folder, or the {name} that it began with")


def _restore(tensors: dict, step: int, unet, ema, optimizer, schedule) -> None:
    unet.load_state_dict({name.removeprefix("unet."): value for name, value in tensors.items() if name.startswith("unet.")})
    with torch.no_grad():
        for index, parameter in enumerate(ema.shadow_params):
            parameter.copy_(tensors[f"ema.{index}"])
    ema.optimization_step = step
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments: dict[int, dict] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            # In the order of memory that the running optimiser has: the next step adds the same numbers the same way.
            like = parameters[int(index)]
            moments.setdefault(int(index), {})[key] = torch.empty_like(like, device="cpu").copy_(value) if value.shape == like.shape else value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    schedule.load_state_dict(schedule.state_dict() | {"last_epoch": step, "_step_count": step + 1})
    for group, learning_rate in zip(optimizer.param_groups, schedule.base_lrs, strict=True):
        group["lr"] = learning_rate * schedule.lr_lambdas[0](step)


def sweep(out: str | Path) -> None:
    """Remove what a killed run has left half-written in a training's folder. Only its one writer may call this."""
    for path in [*Path(out).glob(".*.unfinished*"), *Path(out).glob(".unfinished"), *Path(out).glob("*/*.unfinished*"), *Path(out).glob("*/.*.unfinished*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _folder(out: str | Path, step: int) -> Path:
    return Path(out, "checkpoints", f"step-{step:07d}")


def _folders(out: str | Path) -> list[Path]:
    return sorted(Path(out, "checkpoints").glob("step-*[0-9]"))
