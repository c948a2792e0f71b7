"""What the steps of `radar_nb.experiments.gpu` share: device, images, network, stopwatch and roof."""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DModel
from diffusers.models.unets.unet_2d import UNet2DOutput
from diffusers.utils import logging

from radar_nb.data.dataset import Dataset, Sizes
from radar_nb.data.named import load_dataset
from radar_nb.experiments.metrics import auroc
from radar_nb.method.detector import RadarDetector
from radar_nb.method.training import TrainingConfig, train
from radar_nb.storage.places import REPOSITORY
from radar_nb.storage.unet_folder import load_unet

logging.set_verbosity_error()  # casting a U-Net to bf16 is what is measured here


class Lab:
    """What the steps share: the device, the images of `extrusion`, the network released for them.

    A step may run until `until` (`time.perf_counter`). What it has no time for goes into `left_out`.
    """

    def __init__(self, tiny: bool, folder: Path):
        self.tiny, self.folder, self.until, self.left_out = tiny, folder, float("inf"), []
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.config = TrainingConfig(steps=4, widths=(8, 8)) if tiny else TrainingConfig(steps=2000)
        self.side = 64 if tiny else 256
        self._roofs = {}

    def left(self) -> float:
        """Seconds left of the step."""
        return self.until - time.perf_counter()

    def has(self, seconds: float, what: str) -> bool:
        """Whether the step has so many seconds left; else `what` is left out, which is kept."""
        if enough := self.tiny or self.left() >= seconds:
            return enough
        self.left_out.append(f"{what}: needs {seconds:.0f} s, {self.left():.0f} s were left")
        return False

    @cached_property
    def data(self) -> Dataset:
        """`extrusion` with all images made, on every core."""
        sizes = Sizes(train=4, calibrate=4, test_good=4, test_per_defect=2) if self.tiny else Sizes()
        data = load_dataset("extrusion", sizes)
        with ThreadPoolExecutor() as pool:
            for sequence in (data.train, data.calibrate, data.test):
                list(pool.map(sequence.__getitem__, range(len(sequence))))
        cut = slice(0, 64 if self.tiny else None)
        parts = {name: [image[cut, cut] for image in getattr(data, name)]
                 for name in ("train", "calibrate", "test")}
        return replace(data, **parts)

    @cached_property
    def unet(self) -> UNet2DModel:
        """The kit's small U-Net that is released for `extrusion`; where all is tiny, one made now."""
        unet = (train(self.data.train, self.config).unet if self.tiny
                else load_unet(REPOSITORY / "weights" / "extrusion"))
        return unet.to(self.device)

    def detector(self, unet=None, **options) -> RadarDetector:
        """The paper's recipe, fitted on the calibration images."""
        return RadarDetector(unet=unet or self.unet, **options).fit(self.data.calibrate)

    def image_auroc(self, detector: RadarDetector, chosen: Sequence[int] | None = None) -> float:
        """Of the detector's scores, on all test images or on those chosen."""
        chosen = list(range(len(self.data.test)) if chosen is None else chosen)
        scores = detector.score_samples([self.data.test[i] for i in chosen])
        return float(auroc(self.data.labels[chosen], -scores))

    def milliseconds(self, call: Callable[[], object], seconds: float = 1.5, least: int = 5) -> np.ndarray:
        """Time of each call, synchronised: three to warm up, then for `seconds`, at least `least` times."""
        times = []
        for number in range(3 + 10_000):
            self.wait()
            began = time.perf_counter()
            call()
            self.wait()
            times.append(1000 * (time.perf_counter() - began))
            if number >= 2 + least and (sum(times) > 1000 * seconds or self.tiny):
                break
        return np.array(times[3:])

    def per_second(self, call: Callable[[], object], batch: int, seconds: float = 0.6,
                   gflop: float | None = None, precision: str = "fp32") -> dict:
        """A row's part on a call with `batch` images, `gflop` each: speed, times, share of the roof."""
        ms = self.milliseconds(call, seconds)
        speed = 1000 * batch / np.median(ms)
        share = speed * gflop / 1000 / self.roof(precision) if gflop else None
        return {"precision": precision, "batch": batch, "value": speed, "ms_median": np.median(ms),
                "ms_p95": np.quantile(ms, 0.95), "gflop": gflop, "roof_share": share}

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def roof(self, precision: str) -> float:
        """TFLOP a second of a large matrix product in this precision, measured once a run."""
        kind = precision.split()[0]
        if kind not in self._roofs:
            side, dtype = 256 if self.tiny else 8192, torch.bfloat16 if kind == "bf16" else torch.float32
            a, b = torch.randn(2, side, side, device=self.device, dtype=dtype)
            with arithmetic(kind):
                ms = np.median(self.milliseconds(lambda: a @ b, 0.5))
            self._roofs[kind] = 2 * side**3 / ms / 1e9
        return self._roofs[kind]


@contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """Meanwhile float32 is computed so: `fp32` in full; `tf32` on the matrix units, with 10 bits of mantissa;
    `tf32 convolutions` as PyTorch comes, where only convolutions are. Other words: as `fp32`.
    """
    product, convolution = torch.backends.cuda.matmul, torch.backends.cudnn
    before = product.allow_tf32, convolution.allow_tf32
    product.allow_tf32, convolution.allow_tf32 = precision == "tf32", precision.startswith("tf32")
    try:
        yield
    finally:
        product.allow_tf32, convolution.allow_tf32 = before


class InBf16:
    """A U-Net in bfloat16 that takes and gives float32: for scoring, in the U-Net's place."""

    def __init__(self, unet: UNet2DModel):
        self.unet, self.config, self.device = copy.deepcopy(unet).to(torch.bfloat16), unet.config, unet.device

    def __call__(self, x: torch.Tensor, timestep: int) -> UNet2DOutput:
        return UNet2DOutput(sample=self.unet(x.bfloat16(), timestep).sample.float())
