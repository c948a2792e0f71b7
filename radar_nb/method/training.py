"""Train the noise predictor on patches of normal images (paper Fig. 3, eq. 2) with Accelerate.

The same loop runs on a CPU, a GPU, or several processes. Every draw (patches, timesteps, noise) depends on
(seed, step) alone, so a run that was interrupted and goes on is the run that was not.
"""

import functools
import json
import signal
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers import UNet2DModel
from tqdm.auto import tqdm

from radar_nb.runs.checkpoints import History, check_origin, load_checkpoint, prune, save_checkpoint, sweep
from radar_nb.method.diffusion import denoise
from radar_nb.method.unet import fold_factor, image_channels
from radar_nb.storage.unet_folder import load_unet, save_unet
from radar_nb.storage.errors import InputError
from radar_nb.storage.whole import locked, write_json
from radar_nb.data.images import load_images, to_image, to_tensor, write_image
from radar_nb.method.diffusion import diffusion_loss  # noqa: F401 who reads the loop looks for its loss here
from radar_nb.method.learner import Learner, TrainingConfig  # noqa: F401 who reads the loop looks for its loss here
from radar_nb.method.patches import random_patches
from radar_nb.storage.untrusted import read_json
from radar_nb.method.schedule import one_cycle  # noqa: F401 and for the learning rate

TIMESTEPS = 1000  # of `make_scheduler`
CALIBRATION_PATCHES = 128


@dataclass
class TrainingResult:
    """A trained U-Net (the EMA weights, in eval mode, on the CPU), the loss of every step, the calibration loss now and then."""

    unet: UNet2DModel
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0          # of the call that finished it; an interrupted run's earlier part is not in it
    calibration_losses: list[float] = field(default_factory=list)  # after each `validate_every` steps, and at the end


class TrainingStopped(RuntimeError):
    """The training was asked to stop (SIGTERM), and has kept its state: the same call goes on."""


def draw_batch(images: Sequence[torch.Tensor] | torch.Tensor, config: TrainingConfig, step: int,
               draw: Callable = torch.randn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The whole batch of a step: patches, noise `(N, C, size, size)` and timesteps `(N,)`, from (seed, step) alone."""
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
    x0 = random_patches(images, config.patch_size, config.batch_size, generator)
    eps = draw(x0.shape, generator=generator)
    t = torch.randint(TIMESTEPS, (len(x0),), generator=generator)
    return x0, eps, t


def draw_calibration(images: Sequence[torch.Tensor] | torch.Tensor, config: TrainingConfig,
                     draw: Callable = torch.randn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What the calibration loss is measured on, from the seed alone: 128 patches and their noise, timesteps evenly spread."""
    x0, eps, _ = draw_batch(images, replace(config, batch_size=CALIBRATION_PATCHES), -1, draw)
    return x0, eps, (2 * torch.arange(len(x0)) + 1) * TIMESTEPS // (2 * len(x0))


def train(images: Iterable, config: TrainingConfig = TrainingConfig(), out: str | Path | None = None,
          progress: bool = True, draw: Callable = torch.randn, calibrate: Iterable | None = None) -> TrainingResult:
    """Train a U-Net on normal images.

    Args:
        images: arrays or paths, each at least a patch large, all grey or all RGB.
        config: what to do; the same config and images give the same weights.
        out: folder for the model, its `checkpoints/` and `samples/`; a run goes on where the newest checkpoint
            ends, and a finished one is loaded. None keeps nothing.
        progress: show a bar with loss and time left.
        draw: makes the noise, called as `torch.randn(shape, generator=generator)`; AnoDDPM's differs.
        calibrate: normal images that are not trained on. The loss of the EMA weights on them is measured every `validate_every`
            steps; where it has not become better for `patience` steps, the learning rate falls to zero over a short tail
            (`radar_nb.method.schedule`), and training ends.

    Returns:
        the trained U-Net and the losses of all steps, those before an interruption included.

    Raises:
        InputError: a bad image; patience without calibrate; `out` holds a training with another config or other images; another
            run writes there.
        StorageError: the disk is full; the last checkpoint is whole.
        TrainingStopped: SIGTERM came; a checkpoint was written.
    """
    if config.patience and calibrate is None:
        raise InputError(f"patience={config.patience}: without images to calibrate on, nobody knows when to stop; "
                         "give calibrate=, normal images that are not trained on, or patience=0")
    with locked(out) if out and is_main_process() else nullcontext(), _sigterm(bool(out)) as asked:
        return _train(images, config, out, progress, draw, calibrate, asked)


def _train(images: Iterable, config: TrainingConfig, out: str | Path | None, progress: bool, draw: Callable,
           calibrate: Iterable | None, asked: threading.Event) -> TrainingResult:
    began = time.perf_counter()
    accelerator = Accelerator()
    main = accelerator.is_main_process
    images, held_out = _load(images, calibrate, config)
    origin = _origin(images, held_out, config, draw)
    if out and Path(out, "training.json").is_file():
        return _finished(Path(out), origin)
    if out and main:
        sweep(out)
    history = History()
    learner = Learner(accelerator, config, len(images[0]), history)
    if out:
        load_checkpoint(out, origin, learner.unet, learner.ema, learner.optimizer, learner.schedule, history)
    calibration = draw_calibration(held_out, config, draw) if held_out else None
    bar = tqdm(range(len(history.losses), config.steps), "training", config.steps, initial=len(history.losses), disable=not (progress and main))
    with closing(_batches(_one_tensor(images), config, len(history.losses), draw, accelerator)) as batches:
        for step, batch in zip(bar, batches):
            loss = learner.step(*batch)
            # The wish to stop goes round with the loss, so that all processes stop after the same step.
            loss, stop = accelerator.reduce(torch.stack([loss, loss.new_tensor(asked.is_set())]), "mean").tolist()
            history.losses.append(loss)
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            done, last = step + 1, learner.last_step()
            if calibration and (done % config.validate_every == 0 or done == last):
                history.calibration_losses.append(learner.calibration_loss(*calibration))
                bar.total = last = learner.last_step()
            stop = stop and done < last
            if out and main and (stop or (done % config.checkpoint_every == 0 and done < last)):
                save_checkpoint(out, origin, learner.unet, learner.ema, learner.optimizer, history)
            if out and main and config.sample_every and done % config.sample_every == 0:
                _save_samples(out, done, learner)
            if stop:
                raise TrainingStopped(f"{out}: stopped after step {done} of {last}, checkpoint written; the same call goes on")
            if done == last:
                break
    return _finish(learner, origin, history, out, began)


def _batches(images: Sequence[torch.Tensor] | torch.Tensor, config: TrainingConfig, first: int, draw: Callable,
             accelerator: Accelerator) -> Iterator[list[torch.Tensor]]:
    """This process's part of one batch after the other, on its device. A thread draws the next one while the present one trains."""
    part = slice(accelerator.process_index, None, accelerator.num_processes)

    def ready(step: int) -> list[torch.Tensor]:
        tensors = [tensor[part] for tensor in draw_batch(images, config, step, draw)]
        return [tensor.pin_memory() for tensor in tensors] if accelerator.device.type == "cuda" else tensors

    with ThreadPoolExecutor(1, "draw_batch") as thread:
        ahead = thread.submit(ready, first)
        for step in range(first, config.steps):
            batch = ahead.result()
            if step + 1 < config.steps:
                ahead = thread.submit(ready, step + 1)
            yield [tensor.to(accelerator.device, non_blocking=True) for tensor in batch]


def _load(images: Iterable, calibrate: Iterable | None, config: TrainingConfig) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The images to train on and, where wanted, those to calibrate on, in the network's range."""
    images = [to_tensor(image) for image in load_images(images, config.patch_size)]
    if not images:
        raise InputError("images=[]: no training images; give at least one")
    held_out = [to_tensor(image) for image in load_images(calibrate or (), config.patch_size, 3 if len(images[0]) == 3 else 1)]
    if calibrate is not None and not held_out:
        raise InputError("calibrate=[]: no images to calibrate on; give at least one, or None")
    return images, held_out


def _one_tensor(images: list[torch.Tensor]) -> list[torch.Tensor] | torch.Tensor:
    """Images of one size as one tensor, from which patches are cut in one call; others as they are."""
    return torch.stack(images) if len({image.shape for image in images}) == 1 else images


def _origin(images: list[torch.Tensor], held_out: list[torch.Tensor], config: TrainingConfig, draw: Callable) -> dict:
    """What a training is told by. What is as in the trainings of before the early stop is left out, so that those go on."""
    settings = json.loads(json.dumps(asdict(config)))
    if not held_out:
        del settings["validate_every"], settings["patience"]
    origin = {"config": settings, "images": _fingerprint(images)}
    origin |= {} if draw is torch.randn else {"noise": draw.__name__}
    return origin | ({"calibrate": _fingerprint(held_out)} if held_out else {})


def _finish(learner: Learner, origin: dict, history: History, out: str | Path | None, began: float) -> TrainingResult:
    learner.ema.copy_to(learner.unet.parameters())
    unet = learner.unet.cpu().eval()
    seconds = time.perf_counter() - began
    if out and learner.accelerator.is_main_process:
        save_unet(unet, out)
        prune(out)  # one that was killed after its last checkpoint has not come to it
        write_json(Path(out, "training.json"), origin | {"seconds": round(seconds, 1)} | history.as_dict(), indent=None)
    learner.accelerator.wait_for_everyone()
    return TrainingResult(unet, history.losses, seconds, history.calibration_losses)


def is_main_process() -> bool:
    """True in the one process that prints and writes, also before `train` was called."""
    return Accelerator().is_main_process  # a PartialState would not see that ACCELERATE_USE_CPU is set


def process_device() -> torch.device:
    """The device of this process: its GPU, where there is one, else the CPU."""
    return Accelerator().device


def _fingerprint(images: list[torch.Tensor]) -> int:
    """A number that other training images would almost surely not have."""
    return functools.reduce(lambda crc, image: zlib.crc32(image.contiguous().numpy(), crc), images, 0)


def _finished(out: Path, origin: dict) -> TrainingResult:
    """The result of a training that has ended, from its folder."""
    path = out / "training.json"
    state = read_json(path, 1 << 30)
    check_origin(path, state, origin)
    try:
        history, seconds = History.from_dict(state), float(state["seconds"])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: holds no losses and seconds of a training; remove it to train on from the last checkpoint") from None
    return TrainingResult(load_unet(out), history.losses, seconds, history.calibration_losses)


@contextmanager
def _sigterm(wanted: bool) -> Iterator[threading.Event]:
    """Meanwhile SIGTERM only sets the event. Where signals cannot be caught (a thread), it stays what it was."""
    asked = threading.Event()
    wanted = wanted and threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set()) if wanted else None
    try:
        yield asked
    finally:
        if wanted:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _save_samples(out: str | Path, step: int, learner: Learner) -> None:
    """Draw four patches from pure noise with the EMA weights: `samples/step-N.png`, a look at what was learnt."""
    with learner.averaged() as unet:
        side = 16 * fold_factor(unet)
        noise = torch.randn((4, image_channels(unet), side, side), generator=torch.Generator().manual_seed(0))
        samples, _ = denoise(unet, noise.to(unet.device), 999, 50)
    write_image(Path(out, "samples", f"step-{step:07d}.png"), to_image(torch.cat(list(samples), dim=2)))
