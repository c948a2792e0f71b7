"""Train the noise predictor on patches of normal images (paper Fig. 3, eq. 2) with Accelerate.

The same loop runs on a CPU, a GPU, or several processes. Every draw (patches, timesteps, noise) depends on
(seed, step) alone, so a run that was interrupted and goes on is the run that was not.
"""

import functools
import json
import math
import signal
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers import UNet2DModel
from diffusers.training_utils import EMAModel
from torch.nn import functional as F
from tqdm.auto import tqdm

from radar_nb.checkpoints import check_origin, load_checkpoint, save_checkpoint, sweep
from radar_nb.diffusion import add_noise, build_unet, denoise, fold_factor, image_channels, load_unet, make_scheduler, predict_noise, save_unet
from radar_nb.files import InputError, locked, write_json
from radar_nb.images import load_images, to_image, to_tensor, write_image
from radar_nb.patches import random_patches
from radar_nb.saved import read_json


@dataclass(frozen=True)
class TrainingConfig:
    """All that can be turned in a training, with the reason for each default."""

    steps: int = 800              # enough for image AUROC 0.99 on `printed`, with some to spare
    batch_size: int = 32          # patches in a step, over all processes together
    patch_size: int = 32          # about three beads of `printed`; the paper trains on patches too
    fold: int = 2                 # 2 x 2 pixels a position: a quarter of the time, the same scores
    widths: tuple[int, ...] = (32, 64, 64)  # 1 million parameters
    attention: bool = True        # self-attention at the lowest resolution (paper Fig. 5)
    learning_rate: float = 1e-3   # peak of one cosine cycle
    warmup: float = 0.15          # share of the steps in which the learning rate rises
    max_grad_norm: float = 1.0    # clip: early steps at low t can have large gradients
    ema_decay: float = 0.99       # the average of the weights scores better than the last ones
    mixed_precision: str = "auto"  # bf16 on a GPU that has it, else none; never fp16
    checkpoint_every: int = 200   # steps
    sample_every: int = 0         # steps between pictures of samples; 0 makes none
    seed: int = 0

    def __post_init__(self):
        if self.steps < 1 or self.batch_size < 1:
            raise InputError(f"steps={self.steps}, batch_size={self.batch_size}: both must be at least 1")
        grid = self.fold * 2 ** (len(self.widths) - 1)
        if self.patch_size < grid or self.patch_size % grid:
            raise InputError(f"patch_size={self.patch_size}: choose a multiple of {grid} (the U-Net's grid)")


@dataclass
class TrainingResult:
    """A trained U-Net (the EMA weights, in eval mode, on the CPU) and the loss of every step."""

    unet: UNet2DModel
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0          # of the call that finished it; an interrupted run's earlier part is not in it


class TrainingStopped(RuntimeError):
    """The training was asked to stop (SIGTERM), and has kept its state: the same call goes on."""


def diffusion_loss(unet: UNet2DModel, x0: torch.Tensor, eps: torch.Tensor, t: torch.Tensor,
                   alphas_cumprod: torch.Tensor) -> torch.Tensor:
    """Paper eq. 2: `|| eps - eps_theta(x_t, t) ||^2`, mean over `(N, C, H, W)`; t is `(N,)`."""
    x_t = add_noise(x0, eps, t, alphas_cumprod)
    return F.mse_loss(predict_noise(unet, x_t, t).float(), eps)


def draw_batch(images: list[torch.Tensor], config: TrainingConfig, step: int,
               draw: Callable = torch.randn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The whole batch of a step: patches, noise `(N, C, size, size)` and timesteps `(N,)`, from (seed, step) alone."""
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
    x0 = random_patches(images, config.patch_size, config.batch_size, generator)
    eps = draw(x0.shape, generator=generator)
    t = torch.randint(make_scheduler().config.num_train_timesteps, (len(x0),), generator=generator)
    return x0, eps, t


def train(images: Iterable, config: TrainingConfig = TrainingConfig(), out: str | Path | None = None,
          progress: bool = True, draw: Callable = torch.randn) -> TrainingResult:
    """Train a U-Net on normal images.

    Args:
        images: arrays or paths, each at least a patch large, all grey or all RGB.
        config: what to do; the same config and images give the same weights.
        out: folder for the model, its `checkpoints/` and `samples/`; a run goes on where the newest checkpoint
            ends, and a finished one is loaded. None keeps nothing.
        progress: show a bar with loss and time left.
        draw: makes the noise, called as `torch.randn(shape, generator=generator)`; AnoDDPM's differs.

    Returns:
        the trained U-Net and the losses of all steps, those before an interruption included.

    Raises:
        InputError: a bad image; `out` holds a training with another config or other images; another run writes there.
        StorageError: the disk is full; the last checkpoint is whole.
        TrainingStopped: SIGTERM came; a checkpoint was written.
    """
    with locked(out) if out and is_main_process() else nullcontext(), _sigterm(bool(out)) as asked:
        return _train(images, config, out, progress, draw, asked)


def _train(images: Iterable, config: TrainingConfig, out: str | Path | None, progress: bool, draw: Callable,
           asked: threading.Event) -> TrainingResult:
    began = time.perf_counter()
    accelerator = Accelerator()
    bf16 = _use_bf16(config, accelerator.device)
    images = [to_tensor(image) for image in load_images(images, config.patch_size)]
    if not images:
        raise InputError("images=[]: no training images; give at least one")
    origin = {"config": json.loads(json.dumps(asdict(config))), "images": _fingerprint(images)}
    origin |= {} if draw is torch.randn else {"noise": draw.__name__}
    if out and Path(out, "training.json").is_file():
        return _finished(Path(out), origin)
    if out and accelerator.is_main_process:
        sweep(out)
    torch.manual_seed(config.seed)
    unet = build_unet(len(images[0]), config.fold, config.widths, config.attention).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: one_cycle(step / config.steps, config.warmup))
    unet, optimizer = accelerator.prepare(unet, optimizer)
    ema = EMAModel(accelerator.unwrap_model(unet).parameters(), decay=config.ema_decay)
    alphas_cumprod = make_scheduler().alphas_cumprod.to(accelerator.device)
    losses = load_checkpoint(out, origin, accelerator.unwrap_model(unet), ema, optimizer, schedule) if out else []

    part = slice(accelerator.process_index, None, accelerator.num_processes)
    bar = tqdm(range(len(losses), config.steps), "training", config.steps, initial=len(losses),
               disable=not (progress and accelerator.is_main_process))
    for step in bar:
        x0, eps, t = (tensor[part].to(accelerator.device) for tensor in draw_batch(images, config, step, draw))
        with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=bf16):
            loss = diffusion_loss(unet, x0, eps, t, alphas_cumprod)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(unet.parameters(), config.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        ema.step(accelerator.unwrap_model(unet).parameters())
        # The wish to stop goes round with the loss, so that all processes stop after the same step.
        loss, stop = accelerator.reduce(torch.stack([loss.detach(), loss.new_tensor(asked.is_set())]), "mean").tolist()
        losses.append(loss)
        stop = stop and step + 1 < config.steps
        bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
        if out and accelerator.is_main_process:
            if stop or ((step + 1) % config.checkpoint_every == 0 and step + 1 < config.steps):
                save_checkpoint(out, origin, accelerator.unwrap_model(unet), ema, optimizer, losses)
            if config.sample_every and (step + 1) % config.sample_every == 0:
                _save_samples(out, step + 1, accelerator.unwrap_model(unet), ema)
        if stop:
            raise TrainingStopped(f"{out}: stopped after step {step + 1} of {config.steps}, checkpoint written; the same call goes on")

    unet = accelerator.unwrap_model(unet)
    ema.copy_to(unet.parameters())
    unet = unet.cpu().eval()
    seconds = time.perf_counter() - began
    if out and accelerator.is_main_process:
        save_unet(unet, out)
        write_json(Path(out, "training.json"), origin | {"seconds": round(seconds, 1), "losses": losses}, indent=None)
    accelerator.wait_for_everyone()
    return TrainingResult(unet, losses, seconds)


def is_main_process() -> bool:
    """True in the one process that prints and writes, also before `train` was called."""
    return Accelerator().is_main_process  # a PartialState would not see that ACCELERATE_USE_CPU is set


def one_cycle(done: float, warmup: float) -> float:
    """Factor on the learning rate after the share `done` of the steps: half a cosine up, half a cosine down."""
    if done < warmup:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * done / warmup)) / 2
    return (1 + math.cos(math.pi * min(1.0, (done - warmup) / (1 - warmup)))) / 2


def _use_bf16(config: TrainingConfig, device: torch.device) -> bool:
    if config.mixed_precision not in ("auto", "no", "bf16"):
        raise InputError(f"mixed_precision={config.mixed_precision!r}: choose auto, no or bf16")
    if config.mixed_precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return config.mixed_precision == "bf16"


def _fingerprint(images: list[torch.Tensor]) -> int:
    """A number that other training images would almost surely not have."""
    return functools.reduce(lambda crc, image: zlib.crc32(image.contiguous().numpy(), crc), images, 0)


def _finished(out: Path, origin: dict) -> TrainingResult:
    """The result of a training that has ended, from its folder."""
    path = out / "training.json"
    state = read_json(path, 1 << 30)
    check_origin(path, state, origin)
    losses, seconds = state.get("losses"), state.get("seconds")
    if not isinstance(losses, list) or not all(isinstance(number, float) for number in [*losses, seconds]):
        raise InputError(f"{path}: holds no losses and seconds of a training; remove it to train on from the last checkpoint")
    return TrainingResult(load_unet(out), losses, seconds)


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


def _save_samples(out, step, unet, ema) -> None:
    """Draw four patches from pure noise with the EMA weights: `samples/step-N.png`, a look at what was learnt."""
    ema.store(unet.parameters())
    ema.copy_to(unet.parameters())
    side = 16 * fold_factor(unet)
    noise = torch.randn((4, image_channels(unet), side, side), generator=torch.Generator().manual_seed(0))
    samples, _ = denoise(unet, noise.to(unet.device), 999, 50)
    ema.restore(unet.parameters())
    write_image(Path(out, "samples", f"step-{step:07d}.png"), to_image(torch.cat(list(samples), dim=2)))
