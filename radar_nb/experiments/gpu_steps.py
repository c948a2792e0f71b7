"""The steps of `radar_nb.experiments.gpu`: each takes the lab and yields rows."""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from diffusers import UNet2DModel

from radar_nb.data.images import load_tensors, to_tensor
from radar_nb.experiments.gpu_lab import InBf16, Lab, tf32
from radar_nb.experiments.metrics import auroc
from radar_nb.experiments.timing import count_gflop
from radar_nb.method.detector import RadarDetector
from radar_nb.method.diffusion import denoise
from radar_nb.method.noise_map import in_patches, whole_image
from radar_nb.method.training import Trainer, draw_batch, train
from radar_nb.method.unet import predict_noise
from radar_nb.rivals.patchcore import PatchCore
from radar_nb.runs.kit import PROFILES
from radar_nb.runs.training import steps_into


def agreement(lab: Lab) -> Iterator[dict]:
    """Scores on this device against the CPU's, bf16 against fp32, and a training that is stopped and goes
    on.
    """
    began = time.perf_counter()
    unet = lab.unet
    yield {"what": "training of the small U-Net", "precision": "fp32", "value": time.perf_counter() - began,
           "unit": "s"}
    with tf32(False):
        detector = lab.detector()
        some = lab.data.test[:: 2 if lab.tiny else 6]
        here = detector.features(some)
        elsewhere = RadarDetector(unet=copy.deepcopy(unet).cpu(),
                                  calibration_points=0).fit(lab.data.calibrate[:2])
        off = np.abs(here / elsewhere.features(some) - 1).max()
        yield {"what": "features, largest relative difference to a CPU", "precision": "fp32", "value": off}
        full = lab.image_auroc(detector)
        yield {"what": "image AUROC", "precision": "fp32", "value": full, "unit": "AUROC"}
    half = lab.image_auroc(lab.detector(InBf16(unet)))
    yield {"what": "image AUROC", "precision": "bf16", "value": half, "unit": "AUROC"}
    yield {"what": "image AUROC, bf16 minus fp32", "precision": "bf16", "value": half - full, "unit": "AUROC"}
    yield {"what": "resumed training, largest difference of a loss", "precision": "fp32",
           "value": _resumed(lab)}


def _resumed(lab: Lab) -> float:
    """Train in one go, and stopped half-way by a break: the largest difference between the losses of a
    step.
    """
    half = 2 if lab.tiny else 30
    config = replace(lab.config, steps=2 * half, checkpoint_every=half)
    straight = train(lab.data.train[:8], config).losses
    out = lab.folder / "resumed"
    for _ in islice(steps_into(out, lab.data.train[:8], config, progress=False), half):
        pass
    for trainer in steps_into(out, lab.data.train[:8], config, progress=False):
        losses = trainer.losses
    return max(abs(one - other) for one, other in zip(straight, losses, strict=True))


def patches(lab: Lab) -> Iterator[dict]:
    """The paper's patches of 28 x 28, at strides down to every position, against the whole image (slide
    9).
    """
    ways = {"whole image": {}} | {f"stride {stride}": {"patch_size": 28, "stride": stride}
                                  for stride in ((14,) if lab.tiny else (14, 7, 4, 1))}
    for precision in ("fp32", "bf16"):
        unet = lab.unet if precision == "fp32" else InBf16(lab.unet)
        with tf32(False):
            for name, options in ways.items():
                detector, chosen = RadarDetector(unet=unet, **options), list(range(len(lab.data.test)))
                detector.patch_batch = 16384
                x0 = torch.stack([to_tensor(lab.data.test[0])]).to(lab.device)
                call = in_patches(unet, 28, options["stride"], 16384) if options else whole_image(unet)
                once = lab.milliseconds(lambda call=call, x0=x0: _quiet(call, x0), 0.3, 1)
                yield {"what": name, "precision": precision, "batch": 1, "value": once, "unit": "ms"}
                many = len(lab.data.calibrate) + len(chosen)
                if once * many / 1000 > lab.left() / 3:
                    chosen = chosen[:: max(2, int(once * many / 1000 // max(lab.left() / 3, 1)) + 1)]
                if once * (len(lab.data.calibrate) + len(chosen)) / 1000 > lab.left():
                    continue
                auc = lab.image_auroc(detector.fit(lab.data.calibrate), chosen)
                yield {"what": name, "precision": precision, "value": auc, "unit": "AUROC",
                       "batch": len(chosen)}
                if len(chosen) < len(lab.data.test):
                    auc = lab.image_auroc(RadarDetector(unet=unet).fit(lab.data.calibrate), chosen)
                    yield {"what": f"whole image, these {len(chosen)}", "precision": precision, "value": auc,
                           "unit": "AUROC", "batch": len(chosen)}


@torch.inference_mode()
def _quiet(call: Callable, x0: torch.Tensor) -> torch.Tensor:
    return call(x0, 1)


def throughput(lab: Lab) -> Iterator[dict]:
    """Images a second of the bare U-Net call at 256 x 256, beside the roof of a matrix product in the same
    precision.
    """
    precisions = ("fp32", "tf32", "bf16", "bf16 contiguous", "bf16 CUDA graph")
    for precision in precisions if lab.device.type == "cuda" else precisions[:1]:
        roof = lab.roof(precision)
        yield {"what": "matrix product", "precision": precision, "value": roof, "unit": "TFLOP/s"}
        for batch in (1, 2) if lab.tiny else (1, 4, 16, 64, 256):
            if lab.left() < 4:
                return
            with tf32(precision == "tf32"):
                call, gflop = _forward(lab, precision, batch)
                ms = lab.milliseconds(call, 0.6)
            speed = 1000 * batch / ms
            yield {"what": "U-Net, small", "precision": precision, "batch": batch, "value": speed,
                   "unit": "images/s",
                   "roof_share": speed * gflop / 1000 / roof}
    images = [np.random.default_rng(0).integers(0, 256, (lab.side,) * 2, np.uint8)
              for _ in range(4 if lab.tiny else 64)]
    detector = lab.detector(InBf16(lab.unet))
    detector.batch_size = len(images)
    ms = lab.milliseconds(lambda: detector.score_samples(images), 2)
    yield {"what": "whole score, Sobel and forest on the CPU", "precision": "bf16", "batch": len(images),
           "value": 1000 * len(images) / ms, "unit": "images/s"}


def _forward(lab: Lab, precision: str, batch: int, unet: UNet2DModel | None = None) -> tuple[Callable, float]:
    """The call to time, and GFLOP an image."""
    kind = torch.bfloat16 if precision.startswith("bf16") else torch.float32
    layout = torch.contiguous_format if "contiguous" in precision else torch.channels_last
    unet = copy.deepcopy(unet or lab.unet).to(lab.device, kind).to(memory_format=layout)
    fold = 2 if unet.config.in_channels == 4 else 1
    x = torch.randn(batch, unet.config.in_channels, lab.side // fold, lab.side // fold, device=lab.device,
                    dtype=kind)
    x, timestep = x.contiguous(memory_format=layout), torch.ones((), dtype=torch.long, device=lab.device)

    @torch.inference_mode()
    def call():
        return unet(x, timestep).sample

    gflop = count_gflop(call) / batch
    return (_graphed(call) if "graph" in precision else call), gflop


def _graphed(call: Callable) -> Callable:
    """The same call, recorded once as a CUDA graph and replayed: no launch of a kernel by Python."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def against_ddim(lab: Lab) -> Iterator[dict]:
    """How much longer a reconstruction by DDIM with 50 calls takes than RADAR's one."""
    unet = lab.unet
    for batch in (1,) if lab.tiny else (1, 16):
        x = torch.randn(batch, 1, lab.side, lab.side, device=lab.device)
        one = lab.milliseconds(lambda x=x: _quiet(lambda x, t: predict_noise(unet, x, t), x), 0.5)
        many = lab.milliseconds(lambda x=x: denoise(unet, x, 200, 2 if lab.tiny else 50), 0.5, 2)
        yield {"what": "DDIM-50 over one call", "precision": "fp32", "batch": batch, "value": many / one,
               "unit": "times"}


def training(lab: Lab) -> Iterator[dict]:
    """Steps a second, with the batches drawn on the CPU and without; then the gpu profile's network, and its
    AUROC.
    """
    images = load_tensors(lab.data.train, 64)
    large = replace(PROFILES["gpu"].training, mixed_precision="auto",
                    **({"steps": 2, "batch_size": 2, "widths": (8, 8)}
                                                                        if lab.tiny else {"steps": 2000}))
    for name, config in (("small U-Net", lab.config), ("gpu profile's U-Net", large)):
        for precision in ("no", "bf16"):
            trainer = Trainer(replace(config, mixed_precision=precision), 1)
            batch = [part.to(lab.device) for part in draw_batch(images, config, 0)]
            ms = lab.milliseconds(lambda trainer=trainer, batch=batch: trainer.step(*batch), 1.5)
            yield {"what": f"training step, {name}", "precision": {"no": "fp32"}.get(precision, precision),
                   "batch": config.batch_size, "value": 1000 * config.batch_size / ms, "unit": "patches/s"}
    per_step = ms / 1000
    config = large if lab.tiny else replace(large,
                                            steps=max(200,
                                                      min(2000,
                                                          int(0.7 * lab.left() / per_step) // 100 * 100)))
    began = time.perf_counter()
    unet = train(lab.data.train, config).unet.to(lab.device)
    seconds = time.perf_counter() - began
    yield {"what": f"gpu profile's U-Net, {config.steps} steps", "precision": "bf16",
           "batch": config.batch_size,
           "value": config.steps * config.batch_size / seconds, "unit": "patches/s"}
    yield {"what": f"gpu profile's U-Net, {config.steps} steps, image AUROC", "precision": "fp32",
           "value": lab.image_auroc(lab.detector(unet)), "unit": "AUROC"}


def compiled(lab: Lab) -> Iterator[dict]:
    """`torch.compile`, which tries many kernels first: the seconds that takes, and what it brings."""
    if lab.device.type != "cuda":
        return
    roof = lab.roof("bf16")
    for batch in (1, 64):
        if lab.left() < 40:
            return
        unet = copy.deepcopy(lab.unet).to(torch.bfloat16)
        fast = torch.compile(unet, mode="max-autotune", dynamic=False)
        x = torch.randn(batch, 4, lab.side // 2, lab.side // 2, device=lab.device, dtype=torch.bfloat16)
        x, timestep = x.contiguous(memory_format=torch.channels_last), torch.ones((), dtype=torch.long,
                                                                                  device=lab.device)
        with torch.inference_mode():
            gflop = count_gflop(lambda unet=unet, x=x, t=timestep: unet(x, t)) / batch
            began = time.perf_counter()
            fast(x, timestep)
            torch.cuda.synchronize()
            yield {"what": "compiling", "precision": "bf16 compiled", "batch": batch,
                   "value": time.perf_counter() - began, "unit": "s"}
            ms = lab.milliseconds(lambda fast=fast, x=x, t=timestep: fast(x, t), 0.6)
        yield {"what": "U-Net, small", "precision": "bf16 compiled", "batch": batch,
               "value": 1000 * batch / ms,
               "unit": "images/s", "roof_share": 1000 * batch / ms * gflop / 1000 / roof}


def patchcore(lab: Lab) -> Iterator[dict]:
    """PatchCore beside it, where its weights are on the machine; else it says what is missing."""
    rival = PatchCore(random_state=0).fit(lab.data.train[:20], calibrate=lab.data.calibrate)
    images = list(lab.data.test[:16])
    ms = lab.milliseconds(lambda: rival.score_samples(images), 2, 2)
    yield {"what": "PatchCore, whole score", "precision": "fp32", "batch": len(images),
           "value": 1000 * len(images) / ms, "unit": "images/s"}
    yield {"what": "PatchCore, image AUROC", "precision": "fp32", "unit": "AUROC",
           "value": float(auroc(lab.data.labels, -rival.score_samples(lab.data.test)))}
