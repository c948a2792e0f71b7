"""Train into a folder: checkpoints, samples, stop on SIGTERM, go on where an earlier call stopped."""

import functools
import json
import signal
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from radar_nb.data.images import load_tensors, to_image, write_image
from radar_nb.method.diffusion import denoise
from radar_nb.method.training import Trainer, TrainingConfig, TrainingResult, training_steps
from radar_nb.method.unet import fold_factor, image_channels
from radar_nb.runs.checkpoints import (
    LONGEST,
    load_checkpoint,
    losses_as_json,
    losses_from_json,
    prune,
    read_state,
    save_checkpoint,
    sweep,
)
from radar_nb.storage.errors import InputError
from radar_nb.storage.unet_folder import load_unet, save_unet
from radar_nb.storage.untrusted import read_json
from radar_nb.storage.whole import locked, write_json


class TrainingStopped(RuntimeError):
    """The training was asked to stop (SIGTERM). Its state is saved; the same call goes on."""


def train_into(out: str | Path, images: Iterable, config: TrainingConfig, *,
               calibrate: Iterable | None = None, draw: Callable = torch.randn,
               progress: bool = True) -> TrainingResult:
    """Train into a folder; a training that has ended is only loaded. Arguments and errors as `steps_into`.

    Returns:
        the trained U-Net and the losses of all steps, those before an interruption included.
    """
    for _ in steps_into(out, images, config, calibrate=calibrate, draw=draw, progress=progress):
        pass
    path = Path(out, "training.json")
    state = read_json(path, LONGEST)
    try:
        (losses, calibration_losses), seconds = losses_from_json(state), float(state["seconds"])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: does not hold the losses and seconds of a training; "
                         "remove it to continue from the last checkpoint") from None
    return TrainingResult(load_unet(out), losses, seconds, calibration_losses)


def steps_into(out: str | Path, images: Iterable, config: TrainingConfig, *,
               calibrate: Iterable | None = None, draw: Callable = torch.randn,
               progress: bool = True) -> Iterator[Trainer]:
    """Train as `radar_nb.method.training.training_steps`, and keep everything in a folder.

    Goes on from the newest checkpoint. Where the training has ended there are no more steps.

    Args:
        out: folder for the model, its `checkpoints/` and `samples/`.
        images, config, calibrate, draw, progress: see `radar_nb.method.training.train`.

    Yields:
        the trainer after each step, its checkpoint and samples written. To break is safe.

    Raises:
        InputError: as `train`; `out` holds a training with another config or other images; another run writes
            there; the training diverged (the last checkpoint is from before).
        StorageError: the disk is full; the last checkpoint is whole.
        TrainingStopped: SIGTERM came; a checkpoint was written.
    """
    began, out, main = time.perf_counter(), Path(out), is_main_process()
    with locked(out) if main else nullcontext(), _sigterm() as stop:
        images = load_tensors(images, config.patch_size)
        calibrate = load_tensors(calibrate, config.patch_size, "calibrate", len(images[0]))
        origin = _origin(images, calibrate, config, draw)
        if (out / "training.json").is_file():
            read_state(out / "training.json", origin)
            return
        trainer = Trainer(config, len(images[0]), stop)
        if main:
            sweep(out)
        load_checkpoint(out, origin, trainer)
        for _ in training_steps(trainer, images, calibrate=calibrate, draw=draw, progress=progress and main):
            if main:
                _save_step(out, origin, trainer)
            yield trainer
        if not trainer.ended:
            raise TrainingStopped(f"{out}: stopped after step {len(trainer.losses)} of {config.steps}, "
                                  "checkpoint written; the same call continues")
        _finish(out, origin, trainer, began)


def _save_step(out: Path, origin: dict, trainer: Trainer) -> None:
    """What is due after a step: a checkpoint, samples."""
    step, config = len(trainer.losses), trainer.config
    if not trainer.ended and (trainer.stopped or step % config.checkpoint_every == 0):
        save_checkpoint(out, origin, trainer)
    if config.sample_every and step % config.sample_every == 0:
        _save_samples(out, step, trainer)


def _save_samples(out: Path, step: int, trainer: Trainer) -> None:
    """Draw four patches from pure noise with the averaged weights: `samples/step-N.png`."""
    with trainer.averaged() as unet:
        side = 16 * fold_factor(unet)
        noise = torch.randn((4, image_channels(unet), side, side), generator=torch.Generator().manual_seed(0))
        samples, _ = denoise(unet, noise.to(unet.device), 999, 50)
    write_image(out / "samples" / f"step-{step:07d}.png", to_image(torch.cat(list(samples), dim=2)))


def _finish(out: Path, origin: dict, trainer: Trainer, began: float) -> None:
    """Write the model and `training.json`, which says that the training has ended."""
    unet, seconds = trainer.trained_unet(), round(time.perf_counter() - began, 1)
    if trainer.accelerator.is_main_process:
        save_unet(unet, out)
        prune(out)  # a run killed right after its last checkpoint has not pruned yet
        state = origin | {"seconds": seconds} | losses_as_json(trainer)
        write_json(out / "training.json", state, indent=None)
    trainer.accelerator.wait_for_everyone()


def _origin(images: list[torch.Tensor], calibrate: list[torch.Tensor], config: TrainingConfig,
            draw: Callable) -> dict:
    """Identifies a training run: its settings and a fingerprint of its images.

    Options at their defaults are left out, so older checkpoints still match.
    """
    settings = json.loads(json.dumps(asdict(config), default=lambda number: number.item()))
    if not calibrate:
        del settings["validate_every"], settings["patience"]
    origin = {"config": settings, "images": _fingerprint(images)}
    origin |= {} if draw is torch.randn else {"noise": draw.__name__}
    return origin | ({"calibrate": _fingerprint(calibrate)} if calibrate else {})


def _fingerprint(images: list[torch.Tensor]) -> int:
    """A checksum (CRC-32) of the images in [-1, 1], one after the other."""
    def values(image: torch.Tensor) -> np.ndarray:
        return (image.float() / 255 * 2 - 1 if image.dtype == torch.uint8 else image).contiguous().numpy()
    return functools.reduce(lambda crc, image: zlib.crc32(values(image), crc), images, 0)


@contextmanager
def _sigterm() -> Iterator[threading.Event]:
    """An event that SIGTERM sets meanwhile. In a thread, where signals cannot be caught, nothing sets it."""
    event = threading.Event()
    catch = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, lambda *_: event.set()) if catch else None
    try:
        yield event
    finally:
        if catch:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def is_main_process() -> bool:
    """True in the one process that prints and writes, also before a training began."""
    return Accelerator().is_main_process  # a PartialState would not see that ACCELERATE_USE_CPU is set


def process_device() -> torch.device:
    """The device of this process: its GPU, where there is one, else the CPU."""
    return Accelerator().device
