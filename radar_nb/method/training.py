"""Train the noise predictor on patches of normal images (paper Fig. 3, eq. 2), in memory.

`training_steps` is the loop: a generator that yields the trainer after each step, so a caller may look, save
or break. Patches, timesteps and noise depend on the seed and the step alone: a training that goes on from a
saved state ends as one that never stopped. The same loop runs on a CPU, a GPU and in several processes.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from numbers import Integral, Real

import torch
from accelerate import Accelerator
from diffusers import UNet2DModel
from diffusers.training_utils import EMAModel
from tqdm.auto import tqdm

from radar_nb.data.images import load_tensors
from radar_nb.method.base import check_arguments
from radar_nb.method.diffusion import diffusion_loss, make_scheduler
from radar_nb.method.patches import random_patches
from radar_nb.method.unet import build_unet
from radar_nb.storage.errors import InputError

TIMESTEPS = 1000  # of `make_scheduler`
CALIBRATION_PATCHES = 128
LIMITS = {
    **dict.fromkeys(("steps", "batch_size", "checkpoint_every", "validate_every"), (Integral, 1, 10**9)),
    **dict.fromkeys(("sample_every", "patience", "seed"), (Integral, 0, 2**32)),
    **dict.fromkeys(("patch_size", "fold"), (Integral, 1, 4096)), "widths": (Integral, 8, 8192),
    **dict.fromkeys(("learning_rate", "max_grad_norm"), (Real, 0, 1e38)),
    "warmup": (Real, 0, 0.99), "ema_decay": (Real, 0, 1)}


@dataclass(frozen=True)
class TrainingConfig:
    """All settings of a training, with the reason for each default. Raises InputError."""

    steps: int = 800              # enough for image AUROC 0.99 on `printed`, with some to spare
    batch_size: int = 32          # patches in a step, over all processes together
    patch_size: int = 32          # about three beads of `printed`; the paper trains on patches too
    fold: int = 2                 # 2 x 2 pixels a position, to save time; the paper has 1 (docs/paper.md)
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
    validate_every: int = 50      # steps between measurements of the calibration loss
    patience: int = 0             # steps without a better calibration loss before training stops; 0: never

    def __post_init__(self):
        if missing := [name for name, value in vars(self).items() if value is None]:
            raise InputError(f"{missing[0]}=None: give a value")
        check_arguments(self, LIMITS, {"mixed_precision": ("auto", "no", "bf16")})
        if not isinstance(self.widths, tuple) or not self.widths or any(width % 8 for width in self.widths):
            raise InputError(f"widths={self.widths!r}: give a tuple of multiples of 8, one per resolution")
        grid = self.fold * 2 ** (len(self.widths) - 1)
        if self.patch_size % grid:
            raise InputError(f"patch_size={self.patch_size}: choose a multiple of {grid} (the U-Net's grid)")


@dataclass
class TrainingResult:
    """A trained U-Net (averaged weights, eval mode, on the CPU) and what was measured on the way."""

    unet: UNet2DModel
    losses: list[float]              # one a step
    seconds: float                   # of the last call; the time before an interruption is not in it
    calibration_losses: list[float]  # one each `validate_every` steps, and the last


def train(images: Iterable, config: TrainingConfig, *, calibrate: Iterable | None = None,
          draw: Callable = torch.randn, progress: bool = False) -> TrainingResult:
    """Train a U-Net on normal images.

    Args:
        images: arrays or paths, each at least a patch large, all grey or all RGB.
        config: the same config and images give the same weights.
        calibrate: normal images that are not trained on. The averaged weights' loss on them is measured every
            `validate_every` steps. Training stops when it has not improved for `patience` steps.
        draw: makes the noise, called as `torch.randn(shape, generator=generator)`; AnoDDPM's differs.
        progress: show a bar with the loss and the time left.

    Raises InputError: a bad image; patience without calibrate; the training diverged.
    """
    began = time.perf_counter()
    images = load_tensors(images, config.patch_size)
    calibrate = load_tensors(calibrate, config.patch_size, "calibrate", len(images[0]))
    trainer = Trainer(config, len(images[0]))
    for _ in training_steps(trainer, images, calibrate=calibrate, draw=draw, progress=progress):
        pass
    unet, seconds = trainer.trained_unet(), time.perf_counter() - began
    return TrainingResult(unet, trainer.losses, seconds, trainer.calibration_losses)


def training_steps(trainer: "Trainer", images: Sequence[torch.Tensor], *,
                   calibrate: Sequence[torch.Tensor] = (), draw: Callable = torch.randn,
                   progress: bool = False) -> Iterator["Trainer"]:
    """The training loop: yields the trainer after each step. Images as `draw_batch`, the rest as `train`."""
    config = trainer.config
    if config.patience and not calibrate:
        raise InputError(f"patience={config.patience}: stopping early needs a loss on images that are not "
                         "trained on; give calibrate=, or patience=0")
    fixed = draw_calibration(calibrate, config, draw) if calibrate else None
    bar = tqdm(desc="training", total=config.steps, initial=len(trainer.losses), disable=not progress)
    with bar, closing(batches(trainer, images, draw)) as remaining:
        for batch in remaining:
            trainer.step(*batch)
            step = len(trainer.losses)
            if fixed and (step % config.validate_every == 0 or step == config.steps):
                trainer.validate(*fixed)
            bar.set_postfix(loss=f"{trainer.losses[-1]:.3f}", refresh=False)
            bar.update()
            yield trainer
            if trainer.ended or trainer.stopped:
                return


def batches(trainer: "Trainer", images: Sequence[torch.Tensor], draw: Callable) -> Iterator[list]:
    """This process's part of each remaining batch, on its device. A thread draws the next one meanwhile."""
    accelerator, config, first = trainer.accelerator, trainer.config, len(trainer.losses)
    part = slice(accelerator.process_index, None, accelerator.num_processes)
    with ThreadPoolExecutor(1, "draw_batch") as thread:
        ahead = thread.submit(draw_batch, images, config, first, draw)
        for step in range(first, config.steps):
            batch = ahead.result()
            if step + 1 < config.steps:
                ahead = thread.submit(draw_batch, images, config, step + 1, draw)
            yield [tensor[part].to(accelerator.device) for tensor in batch]


def draw_batch(images: Sequence[torch.Tensor], config: TrainingConfig, step: int,
               draw: Callable = torch.randn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The whole batch of a step, from the seed and the step alone: patches, noise and timesteps.

    Images are `(C, H, W)`, uint8 or in [-1, 1]; patches and noise `(N, C, size, size)`; timesteps `(N,)`.
    """
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
    x0 = random_patches(images, config.patch_size, config.batch_size, generator)
    x0 = x0.float() / 255 * 2 - 1 if x0.dtype == torch.uint8 else x0
    eps = draw(x0.shape, generator=generator)
    t = torch.randint(TIMESTEPS, (len(x0),), generator=generator)
    return x0, eps, t


def draw_calibration(images: Sequence[torch.Tensor], config: TrainingConfig,
                     draw: Callable = torch.randn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What the calibration loss is measured on, from the seed alone: 128 patches, evenly spread timesteps."""
    x0, eps, _ = draw_batch(images, replace(config, batch_size=CALIBRATION_PATCHES), -1, draw)
    return x0, eps, (2 * torch.arange(len(x0)) + 1) * TIMESTEPS // (2 * len(x0))


class Trainer:
    """What a step changes: the U-Net, the average of its weights (EMA), the optimiser, the learning rate.

    `losses` has a number for each step, `calibration_losses` one for each `validate_every`. Set `stop`, even
    in a signal handler, and training ends after the present step: `stopped` is then true in all processes.
    """

    def __init__(self, config: TrainingConfig, channels: int, stop: threading.Event | None = None):
        self.accelerator, self.config = Accelerator(), config
        device = self.accelerator.device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            unet = build_unet(channels, config.fold, config.widths, config.attention)
        for name, parameter in unet.to(memory_format=torch.channels_last).named_parameters():
            # Softmax takes away what a key's bias adds. Its gradient is rounding, which Adam would follow.
            parameter.requires_grad_(not name.endswith("to_k.bias"))
        optimizer = torch.optim.AdamW(unet.parameters(), lr=config.learning_rate, fused=True)
        self.lr_schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: one_cycle(step / config.steps, config.warmup))
        self.model, self.optimizer = self.accelerator.prepare(unet, optimizer)
        self.unet = self.accelerator.unwrap_model(self.model)
        self.ema = EMAModel(self.unet.parameters(), decay=config.ema_decay, foreach=True)
        self.alphas_cumprod = make_scheduler().alphas_cumprod.to(device)
        bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        self.bf16 = bf16 if config.mixed_precision == "auto" else config.mixed_precision == "bf16"
        self.stop, self.stopped = stop or threading.Event(), False
        self.losses, self.calibration_losses = [], []

    def step(self, x0: torch.Tensor, eps: torch.Tensor, t: torch.Tensor) -> None:
        """Learn from one batch. Raises InputError where the loss or its gradient is not finite."""
        loss = self._loss(self.model, x0, eps, t)
        self.accelerator.backward(loss)
        gradient = self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        self.optimizer.step()
        self.lr_schedule.step()
        self.optimizer.zero_grad()
        self.ema.step(self.unet.parameters())
        # The wish to stop travels with the loss: all processes stop after the same step.
        numbers = torch.stack([loss.detach(), gradient, loss.new_tensor(self.stop.is_set())])
        loss, gradient, self.stopped = self.accelerator.reduce(numbers, "mean").tolist()
        self._keep(self.losses, loss, gradient)

    @torch.no_grad()
    def validate(self, *batch: torch.Tensor) -> None:
        """Measure the loss of the averaged weights on a batch."""
        parts = [tensor.to(self.accelerator.device).split(self.config.batch_size) for tensor in batch]
        with self.averaged() as unet:
            total = sum(self._loss(unet, *part).double() * len(part[0]) for part in zip(*parts, strict=True))
        self._keep(self.calibration_losses, self.accelerator.reduce(total, "mean").item() / len(batch[0]))

    @property
    def ended(self) -> bool:
        """Whether all steps are done, or the calibration loss has not improved for `patience` steps."""
        losses, config = self.calibration_losses, self.config
        since = config.validate_every * (len(losses) - 1 - losses.index(min(losses))) if losses else 0
        return len(self.losses) >= config.steps or 0 < config.patience <= since

    @contextmanager
    def averaged(self) -> Iterator[UNet2DModel]:
        """The U-Net, meanwhile with its averaged weights."""
        self.ema.store(self.unet.parameters())
        self.ema.copy_to(self.unet.parameters())
        try:
            yield self.unet
        finally:
            self.ema.restore(self.unet.parameters())

    def trained_unet(self) -> UNet2DModel:
        """The U-Net with its averaged weights for good, in eval mode, on the CPU."""
        self.ema.copy_to(self.unet.parameters())
        return self.unet.cpu().eval()

    def _loss(self, unet: torch.nn.Module, *batch: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=self.bf16):
            return diffusion_loss(unet, *batch, self.alphas_cumprod)

    def _keep(self, losses: list[float], loss: float, gradient: float = 0.0) -> None:
        if not math.isfinite(loss + gradient):
            raise InputError(f"learning_rate={self.config.learning_rate:g}: training diverged in step "
                             f"{self.lr_schedule.last_epoch} (loss {loss:.3g}); choose a smaller one")
        losses.append(loss)


def one_cycle(done: float, warmup: float) -> float:
    """Factor on the learning rate after the share `done` of the steps: half a cosine up, half one down."""
    if done < warmup:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * done / warmup)) / 2
    return (1 + math.cos(math.pi * min(1.0, (done - warmup) / (1 - warmup)))) / 2
