"""A stopwatch: times jobs in turns, counts their FLOP, and measures the limit of the machine."""

import ctypes
import gc
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

COLUMNS = ("method", "engine", "device", "threads", "height", "width", "batch", "ms_median", "ms_p95",
           "images_per_second", "gflop", "roof_share", "peak_mb", "image_auroc")


@dataclass
class Job:
    """One row to measure: `call(round)` handles one batch."""

    method: str
    engine: str
    call: Callable[[int], object]
    height: int
    width: int
    batch: int = 1
    device: str = "cpu"
    gflop: float | None = None         # per image; None: counted, if PyTorch does the work
    image_auroc: float | None = None
    ms: list[float] = field(default_factory=list)
    peak_mb: float = math.nan


def gemm_roof(side: int = 2048, repeats: int = 9) -> float:
    """GFLOP per second of a large float32 matrix product on PyTorch's device; no convolution is faster.

    The best of the repeats counts, since other work on the machine can only slow it down.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    a, b = torch.randn(2, side, side, device=device)
    job = Job("gemm", "torch", lambda _: a @ b, side, side, device=device)
    for number in range(repeats + 2):
        _time(job, number)
    return float(2 * side**3 / (np.min(job.ms[2:]) / 1000) / 1e9)


def count_gflop(call: Callable[[], object]) -> float:
    """GFLOP of all convolutions and products of PyTorch in a call; a multiplication with addition is two."""
    def attention(query, key, value, *args, out_shape=None, **kwargs) -> int:
        return sdpa_flop_count(query, key, value)

    on_cpu = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with FlopCounterMode(display=False, custom_mapping={on_cpu: attention}) as counter:
        call()
    return counter.get_total_flops() / 1e9


@contextmanager
def peak_memory(job: Job):
    """Set `job.peak_mb` to the largest additional memory in use meanwhile, in MB.

    It is that of the process, or of PyTorch on a GPU. Memory that an earlier job left for reuse does not
    count: on Linux it is given back first. NaN where the system does not report it (Linux does).
    """
    gc.collect()
    _give_back()
    before = _memory(job.device, "VmRSS")
    if job.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif not math.isnan(before):
        Path("/proc/self/clear_refs").write_text("5")  # reset the peak to the memory in use now
    yield
    job.peak_mb = _memory(job.device, "VmHWM") - before


def _give_back() -> None:
    """Hand memory that was freed back to the system, where the C library can (glibc)."""
    if trim := getattr(ctypes.CDLL(None) if sys.platform == "linux" else None, "malloc_trim", None):
        trim(0)


def _memory(device: str, which: str) -> float:
    if device == "cuda":
        return (torch.cuda.max_memory_allocated() if which == "VmHWM"
                else torch.cuda.memory_allocated()) / 2**20
    try:
        return int(Path("/proc/self/status").read_text().split(f"{which}:")[1].split()[0]) / 1024
    except OSError:
        return math.nan


def _time(job: Job, number: int) -> None:
    began = time.perf_counter()
    job.call(number)
    if job.device == "cuda":
        torch.cuda.synchronize()
    job.ms.append(1000 * (time.perf_counter() - began))


def time_jobs(jobs: Sequence[Job], rounds: int, flop: bool = True) -> None:
    """Time all jobs in turns after a warm-up, so that other work on the machine disturbs all of them alike.

    In each turn a job of less than a second is called once more before it is timed: a stream of images does
    not pay for what another job left, such as sleeping threads and memory to be taken again.

    `flop` counts the GFLOP of jobs that have none, if PyTorch does the work; that costs one more call.
    """
    for job in jobs:
        with peak_memory(job):
            _time(job, 0)
        if flop and job.gflop is None and job.engine == "torch":
            job.gflop = count_gflop(lambda job=job: job.call(0)) / job.batch
    for number in range(rounds):
        for job in jobs:
            if job.ms[-1] < 1000:
                job.call(number)
            _time(job, number)
    for job in jobs:
        del job.ms[:-rounds]  # the warm-up


def rows_of(jobs: Iterable[Job], roof: float) -> list[dict]:
    """Rows of `bench.csv` for timed jobs; `roof` comes from `gemm_roof` in the same run."""
    rows = []
    for job in jobs:
        per_second = float(1000 * job.batch / np.median(job.ms))
        values = (job.method, job.engine, job.device, torch.get_num_threads(), job.height, job.width,
                  job.batch, round(float(np.median(job.ms)), 2), round(float(np.quantile(job.ms, 0.95)), 2),
                  round(per_second, 2), round(job.gflop, 3) if job.gflop else "",
                  round(job.gflop * per_second / roof, 3) if job.gflop else "",
                  "" if math.isnan(job.peak_mb) else round(job.peak_mb),
                  "" if job.image_auroc is None else round(job.image_auroc, 4))
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows
