"""The steps of `radar_nb.experiments.gpu` that only measure time: each takes the lab and yields rows."""

import copy
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from diffusers import UNet2DModel
from torch.profiler import ProfilerActivity, profile

from radar_nb.experiments.gpu_lab import InBf16, Lab, arithmetic
from radar_nb.experiments.timing import count_gflop
from radar_nb.method.diffusion import denoise
from radar_nb.method.unet import predict_noise


def throughput(lab: Lab) -> Iterator[dict]:
    """Images a second of the bare U-Net call at 256 x 256, beside the roof of a matrix product in the same
    precision; then of the whole score.
    """
    precisions = ("fp32", "tf32", "bf16", "bf16 contiguous", "bf16 CUDA graph")
    for precision in precisions if lab.device.type == "cuda" else precisions[:1]:
        if len(precision.split()) == 1:
            yield {"what": "matrix product", "precision": precision, "value": lab.roof(precision),
                   "unit": "TFLOP/s"}
        for batch in (1, 2) if lab.tiny else (1, 4, 16, 64, 256):
            if lab.has(4, f"U-Net, small, {precision}, batch {batch}"):
                with arithmetic(precision):
                    call, gflop = forward(lab, precision, batch)
                    row = lab.per_second(call, batch, 0.6, gflop, precision)
                yield {"what": "U-Net, small", "unit": "images/s", **row}
    images = [np.random.default_rng(number).integers(0, 256, (lab.side,) * 2, np.uint8)
              for number in range(4 if lab.tiny else 64)]
    detector = lab.detector(InBf16(lab.unet))
    detector.batch_size = len(images)
    row = lab.per_second(lambda: detector.score_samples(images), len(images), 2, precision="bf16")
    yield {"what": "whole score, Sobel and forest on the CPU", "unit": "images/s", **row}


def forward(lab: Lab, precision: str, batch: int, wrap: Callable = lambda unet: unet) -> tuple:
    """The call of the small U-Net to time, and GFLOP an image. `wrap` makes of the U-Net what is called."""
    kind = torch.bfloat16 if precision.startswith("bf16") else torch.float32
    layout = torch.contiguous_format if "contiguous" in precision else torch.channels_last
    unet: UNet2DModel = copy.deepcopy(lab.unet).to(lab.device, kind).to(memory_format=layout)
    fold = 2 if unet.config.in_channels == 4 else 1
    shape = (batch, unet.config.in_channels, lab.side // fold, lab.side // fold)
    x = torch.randn(shape, device=lab.device, dtype=kind).contiguous(memory_format=layout)
    timestep, called = torch.ones((), dtype=torch.long, device=lab.device), wrap(unet)

    @torch.inference_mode()
    def call(called=called):
        return called(x, timestep).sample

    gflop = count_gflop(lambda: call(unet)) / batch
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
    unet, calls = lab.unet, 2 if lab.tiny else 50
    for batch in (1,) if lab.tiny else (1, 16):
        x = torch.randn(batch, 1, lab.side, lab.side, device=lab.device)
        with torch.inference_mode():
            one = np.median(lab.milliseconds(lambda x=x: predict_noise(unet, x, 1), 0.5))
            many = np.median(lab.milliseconds(lambda x=x: denoise(unet, x, 200, calls), 0.5, 3))
        yield {"what": "one call", "precision": "fp32", "batch": batch, "value": one, "unit": "ms"}
        yield {"what": f"DDIM-{calls}", "precision": "fp32", "batch": batch, "value": many, "unit": "ms"}
        yield {"what": f"DDIM-{calls} over one call", "precision": "fp32", "batch": batch,
               "value": many / one, "unit": "times"}


def profiled(lab: Lab) -> Iterator[dict]:
    """Where the U-Net's time goes: how busy the GPU is, and the operations that take most of it."""
    on_gpu = lab.device.type == "cuda"
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    for batch in (1,) if lab.tiny else (1, 256):
        call, _ = forward(lab, "bf16", batch)
        wall = np.median(lab.milliseconds(call, 0.3))
        with profile(activities=kinds) as seen:
            for _ in range(5):
                call()
            lab.wait()
        name = "self_device_time_total" if on_gpu else "self_cpu_time_total"
        spent = {event.key.removeprefix("aten::"): getattr(event, name) / 5000
                 for event in seen.key_averages() if event.key.startswith("aten::")}
        total, most = sum(spent.values()), sorted(spent, key=spent.get, reverse=True)[:6]
        yield {"what": "device busy", "precision": "bf16", "batch": batch, "value": total / wall,
               "unit": "of the time"}
        for operation in most:
            yield {"what": f"operation {operation}", "precision": "bf16", "batch": batch,
                   "value": spent[operation] / total, "unit": "of its work"}


def compiled(lab: Lab) -> Iterator[dict]:
    """`torch.compile`: the seconds that it takes, and what it brings. Last, since compiling may not end."""
    if lab.device.type != "cuda":
        return
    for mode, batch in (("reduce-overhead", 1), ("reduce-overhead", 64), ("max-autotune", 64),
                        ("max-autotune", 1)):
        precision = f"bf16 {mode}"
        if not lab.has(25, f"U-Net, small, {precision}, batch {batch}"):
            return
        call, gflop = forward(lab, precision, batch,
                              lambda unet, mode=mode: torch.compile(unet, mode=mode, dynamic=False))
        began = time.perf_counter()
        call()
        torch.cuda.synchronize()
        yield {"what": "compiling", "precision": precision, "batch": batch,
               "value": time.perf_counter() - began, "unit": "s"}
        yield {"what": "U-Net, small", "unit": "images/s",
               **lab.per_second(call, batch, 0.6, gflop, precision)}
