"""The steps of `radar_nb.experiments.gpu` that look at results: each takes the lab and yields rows."""

import copy
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import torch

from radar_nb.data.images import load_tensors, to_tensor
from radar_nb.experiments.gpu_lab import InBf16, Lab, arithmetic
from radar_nb.experiments.metrics import auroc
from radar_nb.experiments.timing import count_gflop
from radar_nb.method.detector import RadarDetector
from radar_nb.method.diffusion import diffusion_loss
from radar_nb.method.noise_map import in_patches, whole_image
from radar_nb.method.training import Trainer, TrainingConfig, draw_batch, train
from radar_nb.rivals.patchcore import PatchCore
from radar_nb.runs.kit import PROFILES
from radar_nb.runs.training import steps_into

PATCH = 28  # pixels, slide 9


def agreement(lab: Lab) -> Iterator[dict]:
    """Features on this device against a CPU's in each precision, the AUROC they give, and a training that is
    stopped and goes on.
    """
    some = lab.data.test[:: 2 if lab.tiny else 6]
    on_cpu = RadarDetector(unet=copy.deepcopy(lab.unet).cpu(), calibration_points=0)
    reference = on_cpu.fit(lab.data.calibrate[:2]).features(some)
    found = {}
    for precision in ("fp32", "tf32 convolutions", "bf16"):
        with arithmetic(precision):
            detector = lab.detector(InBf16(lab.unet) if precision == "bf16" else lab.unet)
            off = np.abs(detector.features(some) / reference - 1).max()
            found[precision] = lab.image_auroc(detector)
        yield {"what": "features, largest relative difference to a CPU", "precision": precision, "value": off}
        yield {"what": "image AUROC", "precision": precision, "value": found[precision], "unit": "AUROC"}
        if precision != "fp32":
            yield {"what": "image AUROC minus fp32's", "precision": precision,
                   "value": found[precision] - found["fp32"], "unit": "AUROC"}
    yield from _resumed(lab)


def _resumed(lab: Lab) -> Iterator[dict]:
    """Largest differences between the losses of trainings: one in one go, one again, one that was stopped."""
    half = 2 if lab.tiny else 30
    config = replace(lab.config, steps=2 * half, checkpoint_every=half, mixed_precision="no")
    images, out = lab.data.train[:8], lab.folder / "resumed"
    straight, again = (train(images, config).losses for _ in range(2))
    for _ in islice(steps_into(out, images, config, progress=False), half):
        pass
    for trainer in steps_into(out, images, config, progress=False):
        resumed = trainer.losses
    for what, losses in (("the same training again", again), ("resumed training", resumed)):
        off = max(abs(one - other) for one, other in zip(straight, losses, strict=True))
        yield {"what": f"{what}, largest difference of a loss", "precision": "fp32", "value": off}


def patches(lab: Lab) -> Iterator[dict]:
    """The paper's patches of 28 x 28, at strides down to every position, against the whole image (slide
    9).
    """
    for stride in (None, 14) if lab.tiny else (None, 14, 7, 4, 1):
        name = f"stride {stride}" if stride else "whole image"
        for precision in ("fp32", "bf16"):
            unet = lab.unet if precision == "fp32" else InBf16(lab.unet)
            eps_theta = in_patches(unet, PATCH, stride, 16384) if stride else whole_image(unet)
            x0 = to_tensor(lab.data.test[0])[None].to(lab.device)
            with torch.inference_mode():
                ms = lab.milliseconds(lambda eps_theta=eps_theta, x0=x0: eps_theta(x0, 1), 0.3, 2)
            once = np.median(ms) / 1000
            yield {"what": name, "precision": precision, "batch": 1, "value": 1000 * once, "unit": "ms",
                   "ms_median": 1000 * once, "ms_p95": np.quantile(ms, 0.95)}
            yield from _patches_auroc(lab, name, precision, unet, stride, once)


def _patches_auroc(lab: Lab, name: str, precision: str, unet, stride: int | None,
                   once: float) -> Iterator[dict]:
    """AUROC on as many test images as the time allows, evenly chosen; `once`: seconds an image."""
    share = 0.7 if precision == "fp32" else 0.9  # of the time left: fp32 leaves some to bf16
    # 0.05 s an image beside the noise map: Sobel, features and crops on the CPU.
    fits = share * lab.left() / (once + 0.05) - len(lab.data.calibrate)
    every = 1 if lab.tiny else int(np.ceil(len(lab.data.test) / max(fits, 1)))
    if every > 8:
        lab.left_out.append(f"AUROC of {name}, {precision}: {lab.left():.0f} s were left")
        return
    options = {"patch_size": PATCH, "stride": stride} if stride else {}
    detector, chosen = RadarDetector(unet=unet, **options), range(0, len(lab.data.test), every)
    detector.patch_batch = 16384
    row = {"precision": precision, "batch": len(chosen), "unit": "AUROC"}
    yield {"what": name, "value": lab.image_auroc(detector.fit(lab.data.calibrate), chosen), **row}
    if every > 1:
        yield {"what": f"whole image, the {len(chosen)} of {name}",
               "value": lab.image_auroc(lab.detector(unet), chosen), **row}


def training(lab: Lab) -> Iterator[dict]:
    """Patches a second of a training step whose batch lies on the GPU already, beside the roof; then two
    networks trained from scratch on `extrusion`, as `train` does it, and their AUROC.
    """
    large = replace(PROFILES["gpu"].training, steps=2000)
    if lab.tiny:
        large = replace(lab.config, batch_size=2)
    networks, per_step = {"gpu profile's U-Net": large, "small U-Net": lab.config}, {}
    images = load_tensors(lab.data.train, 64)
    for name, config in networks.items():
        for precision in ("fp32", "tf32", "bf16"):
            with arithmetic(precision):
                row = _training_step(lab, images, config, precision)
            per_step[name] = row["ms_median"] / 1000
            yield {"what": f"training step, {name}", "unit": "patches/s", **row}
    for name, config in networks.items():
        reserve = 20 if config is large else 5  # seconds for the AUROC, and some steps of the small one
        steps = min(config.steps, int((lab.left() - reserve) / (1.15 * per_step[name])) // 100 * 100)
        if lab.tiny or lab.has(200 * per_step[name] + reserve, f"training of the {name}"):
            yield from _trained(lab, name, config if lab.tiny else replace(config, steps=max(200, steps)))


def _training_step(lab: Lab, images: list[torch.Tensor], config: TrainingConfig, precision: str) -> dict:
    trainer = Trainer(replace(config, mixed_precision="bf16" if precision == "bf16" else "no"), 1)
    batch = [part.to(trainer.accelerator.device) for part in draw_batch(images, config, 0)]
    with torch.no_grad():  # backward costs twice the forward call
        gflop = 3 * count_gflop(lambda: diffusion_loss(trainer.unet, *batch, trainer.alphas_cumprod))
    return lab.per_second(lambda: trainer.step(*batch), config.batch_size, 1,
                          gflop / config.batch_size, precision)


def _trained(lab: Lab, name: str, config: TrainingConfig) -> Iterator[dict]:
    """As `train` does it: batches are drawn on the CPU meanwhile; in bf16 on a GPU that has it."""
    bf16 = lab.device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    began = time.perf_counter()
    unet = train(lab.data.train, config).unet.to(lab.device)
    speed = config.steps * config.batch_size / (time.perf_counter() - began)
    yield {"what": f"{name}, {config.steps} steps", "precision": "bf16" if bf16 else "fp32",
           "batch": config.batch_size, "value": speed, "unit": "patches/s"}
    yield {"what": f"{name}, {config.steps} steps, image AUROC", "precision": "fp32",
           "value": lab.image_auroc(lab.detector(unet)), "unit": "AUROC"}


def patchcore(lab: Lab) -> Iterator[dict]:
    """PatchCore beside it, where its weights are on the machine; else it says what is missing."""
    rival = PatchCore(random_state=0).fit(lab.data.train[:20], calibrate=lab.data.calibrate)
    images = list(lab.data.test[:16])
    yield {"what": "PatchCore, whole score", "unit": "images/s",
           **lab.per_second(lambda: rival.score_samples(images), len(images), 2)}
    yield {"what": "PatchCore, image AUROC", "precision": "fp32", "unit": "AUROC",
           "value": float(auroc(lab.data.labels, -rival.score_samples(lab.data.test)))}
