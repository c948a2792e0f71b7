"""Train the noise predictor on patches of normal images (paper Fig. 3, eq. 2) with Accelerate.

The same loop runs on a CPU, a GPU, or several processes. Every draw (patches, timesteps, noise) depends on
(seed, step) alone, so a run that was interrupted and goes on is the run that was not.
"""

import functools
import json
import math
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState
from diffusers import UNet2DModel
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from tqdm.auto import tqdm

from radar_nb.diffusion import add_noise, build_unet, denoise, fold_factor, image_channels, load_unet, make_scheduler, predict_noise
from radar_nb.images import InputError, load_images, to_image, to_tensor, write_image
from radar_nb.patches import random_patches


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
        InputError: a bad image, or `out` holds a training with another config or other images.
    """
    began = time.perf_counter()
    accelerator = Accelerator()
    bf16 = _use_bf16(config, accelerator.device)
    images = [to_tensor(image) for image in load_images(images, config.patch_size)]
    if not images:
        raise InputError("images=[]: no training images; give at least one")
    origin = {"config": json.loads(json.dumps(asdict(config))), "images": _fingerprint(images)}
    origin |= {} if draw is torch.randn else {"noise": draw.__name__}
    if out and Path(out, "training.json").is_file():
        state = _read_state(Path(out, "training.json"), origin)
        return TrainingResult(load_unet(out), state["losses"], state["seconds"])
    torch.manual_seed(config.seed)
    unet = build_unet(len(images[0]), config.fold, config.widths, config.attention).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: one_cycle(step / config.steps, config.warmup))
    unet, optimizer = accelerator.prepare(unet, optimizer)
    ema = EMAModel(accelerator.unwrap_model(unet).parameters(), decay=config.ema_decay)
    alphas_cumprod = make_scheduler().alphas_cumprod.to(accelerator.device)
    losses = _load_checkpoint(out, origin, accelerator.unwrap_model(unet), ema, optimizer, schedule) if out else []

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
        losses.append(accelerator.reduce(loss.detach(), "mean").item())
        bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
        if out and accelerator.is_main_process:
            if (step + 1) % config.checkpoint_every == 0 and step + 1 < config.steps:
                _save_checkpoint(out, origin, accelerator.unwrap_model(unet), ema, optimizer, losses)
            if config.sample_every and (step + 1) % config.sample_every == 0:
                _save_samples(out, step + 1, accelerator.unwrap_model(unet), ema)

    unet = accelerator.unwrap_model(unet)
    ema.copy_to(unet.parameters())
    unet = unet.cpu().eval()
    seconds = time.perf_counter() - began
    if out and accelerator.is_main_process:
        unet.save_pretrained(out)
        Path(out, "training.json").write_text(json.dumps(
            origin | {"seconds": round(seconds, 1), "losses": [round(loss, 6) for loss in losses]}))
    accelerator.wait_for_everyone()
    return TrainingResult(unet, losses, seconds)


def is_main_process() -> bool:
    """True in the one process that prints and writes, also before `train` was called."""
    return PartialState().is_main_process


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


# --- checkpoints: safetensors and JSON, so that loading one can run no code ----------------------------------


def _save_checkpoint(out, origin, unet, ema, optimizer, losses) -> None:
    """Write `checkpoints/step-N` under a temporary name, rename it, and keep the last two."""
    folder = Path(out, "checkpoints", f"step-{len(losses):07d}")
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    tensors = {f"unet.{name}": value for name, value in unet.state_dict().items()}
    tensors |= {f"ema.{index}": value for index, value in enumerate(ema.shadow_params)}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, unfinished / "state.safetensors")
    (unfinished / "state.json").write_text(json.dumps(origin | {"losses": losses}))
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(unfinished, folder)
    for old in sorted(folder.parent.glob("step-*[0-9]"))[:-2]:
        shutil.rmtree(old)


def _fingerprint(images: list[torch.Tensor]) -> int:
    """A number that other training images would almost surely not have."""
    return functools.reduce(lambda crc, image: zlib.crc32(image.contiguous().numpy(), crc), images, 0)


def _read_state(path: Path, origin: dict) -> dict:
    """Read a training's JSON, and make sure that it is the training that `origin` describes."""
    state = json.loads(path.read_text())
    for name, value in origin.items():
        if state.get(name) != value:
            raise InputError(f"{path}: a training with another {name}; give an empty folder, or the {name} that it began with")
    return state


def _load_checkpoint(out, origin, unet, ema, optimizer, schedule) -> list[float]:
    """Put the newest checkpoint's state into the given objects; return its losses, none if there is no checkpoint."""
    folders = sorted(Path(out, "checkpoints").glob("step-*[0-9]"))
    if not folders:
        return []
    state = _read_state(folders[-1] / "state.json", origin)
    tensors = load_file(folders[-1] / "state.safetensors")
    unet.load_state_dict({name.removeprefix("unet."): value for name, value in tensors.items() if name.startswith("unet.")})
    for index, parameter in enumerate(ema.shadow_params):
        parameter.copy_(tensors[f"ema.{index}"])
    ema.optimization_step = len(state["losses"])
    moments: dict[int, dict] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            moments.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    schedule.load_state_dict(schedule.state_dict() | {"last_epoch": len(state["losses"]), "_step_count": len(state["losses"]) + 1})
    for group, learning_rate in zip(optimizer.param_groups, schedule.base_lrs, strict=True):
        group["lr"] = learning_rate * schedule.lr_lambdas[0](len(state["losses"]))
    return state["losses"]


def _save_samples(out, step, unet, ema) -> None:
    """Draw four patches from pure noise with the EMA weights: `samples/step-N.png`, a look at what was learnt."""
    ema.store(unet.parameters())
    ema.copy_to(unet.parameters())
    side = 16 * fold_factor(unet)
    noise = torch.randn((4, image_channels(unet), side, side), generator=torch.Generator().manual_seed(0))
    samples, _ = denoise(unet, noise.to(unet.device), 999, 50)
    ema.restore(unet.parameters())
    write_image(Path(out, "samples", f"step-{step:07d}.png"), to_image(torch.cat(list(samples), dim=2)))
