"""What a training is made of: its settings, its loss (paper eq. 2), and what a step changes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from diffusers import UNet2DModel
from diffusers.training_utils import EMAModel

from radar_nb.runs.checkpoints import History
from radar_nb.method.diffusion import diffusion_loss, make_scheduler
from radar_nb.method.unet import build_unet
from radar_nb.storage.errors import InputError
from radar_nb.method.schedule import Schedule


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
    validate_every: int = 50      # steps between measurements of the calibration loss, where there are images for it
    patience: int = 0             # steps without a better calibration loss after which training ends; 0 never

    def __post_init__(self):
        if self.steps < 1 or self.batch_size < 1:
            raise InputError(f"steps={self.steps}, batch_size={self.batch_size}: both must be at least 1")
        if self.validate_every < 1 or self.patience < 0:
            raise InputError(f"validate_every={self.validate_every}, patience={self.patience}: choose at least 1, and at least 0")
        grid = self.fold * 2 ** (len(self.widths) - 1)
        if self.patch_size < grid or self.patch_size % grid:
            raise InputError(f"patch_size={self.patch_size}: choose a multiple of {grid} (the U-Net's grid)")


class Learner:
    """All that a training step changes: the U-Net, the average of its weights (EMA), the optimiser, the learning rate."""

    def __init__(self, accelerator: Accelerator, config: TrainingConfig, channels: int, history: History):
        torch.manual_seed(config.seed)
        unet = build_unet(channels, config.fold, config.widths, config.attention).to(memory_format=torch.channels_last)
        _fix_key_biases(unet)
        optimizer = torch.optim.AdamW(unet.parameters(), lr=config.learning_rate, fused=True)
        self.plan = Schedule(config.steps, config.warmup, config.validate_every, config.patience, history.calibration_losses)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.plan.rate(step))
        self.model, self.optimizer = accelerator.prepare(unet, optimizer)
        self.unet = accelerator.unwrap_model(self.model)
        self.ema = EMAModel(self.unet.parameters(), decay=config.ema_decay)
        self.alphas_cumprod = make_scheduler().alphas_cumprod.to(accelerator.device)
        self.accelerator, self.config, self.bf16 = accelerator, config, _use_bf16(config, accelerator.device)

    def step(self, x0: torch.Tensor, eps: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Learn from one batch; returns its loss."""
        loss = self._loss(self.model, x0, eps, t)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        self.ema.optimization_step += 1
        with torch.no_grad():  # what `ema.step` does, in one pass over the memory in the place of three
            torch._foreach_lerp_(self.ema.shadow_params, list(self.unet.parameters()), 1 - self.ema.get_decay(self.ema.optimization_step))
        return loss.detach()

    def last_step(self) -> int:
        """The number of steps in all, as far as is known by now."""
        return self.plan.tail()[1]

    @torch.no_grad()
    def calibration_loss(self, *batch: torch.Tensor) -> float:
        """The loss of the EMA weights on a batch; each process computes its part, all get the whole."""
        share, most = self.accelerator.num_processes, self.config.batch_size
        parts = zip(*(tensor[self.accelerator.process_index::share].to(self.accelerator.device).split(most) for tensor in batch), strict=True)
        with self.averaged() as unet:
            total = sum(self._loss(unet, *part).double() * len(part[0]) for part in parts)
        return self.accelerator.reduce(total, "sum").item() / len(batch[0])

    @contextmanager
    def averaged(self) -> Iterator[UNet2DModel]:
        """The U-Net, meanwhile with its EMA weights."""
        self.ema.store(self.unet.parameters())
        self.ema.copy_to(self.unet.parameters())
        try:
            yield self.unet
        finally:
            self.ema.restore(self.unet.parameters())

    def _loss(self, unet: torch.nn.Module, x0: torch.Tensor, eps: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=self.bf16):
            return diffusion_loss(unet, x0, eps, t, self.alphas_cumprod)


def _fix_key_biases(unet: UNet2DModel) -> None:
    """Leave the biases of the attention's keys as they began: they add the same to all logits of a query, which softmax takes away.

    Their true gradient is zero. What is computed is rounding, which Adam would make as large a step as any.
    """
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_(not name.endswith("to_k.bias"))


def _use_bf16(config: TrainingConfig, device: torch.device) -> bool:
    if config.mixed_precision not in ("auto", "no", "bf16"):
        raise InputError(f"mixed_precision={config.mixed_precision!r}: choose auto, no or bf16")
    if config.mixed_precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return config.mixed_precision == "bf16"
