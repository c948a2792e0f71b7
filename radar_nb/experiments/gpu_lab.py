"""What the steps of `radar_nb.experiments.gpu` share: device, images, network, clock and roof."""

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from diffusers import UNet2DModel
from diffusers.models.unets.unet_2d import UNet2DOutput
from diffusers.utils import logging

from radar_nb.data.dataset import Dataset, Sizes
from radar_nb.data.named import load_dataset
from radar_nb.experiments.metrics import auroc
from radar_nb.method.detector import RadarDetector
from radar_nb.method.training import TrainingConfig, train

logging.set_verbosity_error()  # casting a U-Net to bf16 is what is measured here


class Lab:
    """What the steps share: the device, the images of `extrusion`, the network that is trained on them
    first.
    """

    def __init__(self, tiny: bool, folder: Path):
        self.tiny, self.folder, self.until = tiny, folder, float("inf")
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.config = TrainingConfig(steps=4, widths=(8, 8)) if tiny else TrainingConfig(mixed_precision="no")
        self.side = 64 if tiny else 256

    def left(self) -> float:
        """Seconds left of the step."""
        return self.until - time.perf_counter()

    @cached_property
    def data(self) -> Dataset:
        """`extrusion` with all images made, on every core."""
        sizes = Sizes(train=4, calibrate=4, test_good=4, test_per_defect=2) if self.tiny else Sizes()
        data = load_dataset("extrusion", sizes)
        with ThreadPoolExecutor() as pool:
            for sequence in (data.train, data.calibrate, data.test):
                list(pool.map(sequence.__getitem__, range(len(sequence))))
        cut = slice(0, 64 if self.tiny else None)
        return replace(data, train=[image[cut, cut] for image in data.train],
                       calibrate=[image[cut, cut] for image in data.calibrate],
                       test=[image[cut, cut] for image in data.test])

    @cached_property
    def unet(self) -> UNet2DModel:
        """The kit's small U-Net, trained on `extrusion` on this device."""
        return train(self.data.train, self.config).unet.to(self.device)

    def detector(self, unet=None, **options) -> RadarDetector:
        """The paper's recipe, fitted on the calibration images."""
        return RadarDetector(unet=unet or self.unet, **options).fit(self.data.calibrate)

    def image_auroc(self, detector: RadarDetector, chosen: slice | list[int] = slice(None)) -> float:
        """Of the local norm and the forest: the forest's."""
        indices = range(len(self.data.test))[chosen] if isinstance(chosen, slice) else chosen
        scores = detector.score_samples([self.data.test[i] for i in indices])
        return float(auroc(self.data.labels[list(indices)], -scores))

    def milliseconds(self, call: Callable[[], object], seconds: float = 1.5, least: int = 5) -> float:
        """Median time of a call: warmed up, synchronised, for `seconds`, at least `least` times."""
        times = []
        for number in range(3 + 10_000):
            self._wait()
            began = time.perf_counter()
            call()
            self._wait()
            times.append(1000 * (time.perf_counter() - began))
            if number >= 2 + least and (sum(times) > 1000 * seconds or self.tiny):
                break
        return statistics.median(times[3:])

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def roof(self, precision: str) -> float:
        """TFLOP a second of a large matrix product in this precision, measured now."""
        side, kind = (256 if self.tiny
                      else 8192), torch.bfloat16 if precision.startswith("bf16") else torch.float32
        a, b = torch.randn(2, side, side, device=self.device, dtype=kind)
        with tf32(precision == "tf32"):
            return 2 * side**3 / self.milliseconds(lambda: a @ b, 0.5) / 1e9


@contextmanager
def tf32(wanted: bool) -> Iterator[None]:
    """Meanwhile float32 products and convolutions may use the matrix units, with 10 bits of mantissa; else
    not.
    """
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = wanted
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


class InBf16:
    """A U-Net in bfloat16 that takes and gives float32: for scoring, in the U-Net's place."""

    def __init__(self, unet: UNet2DModel):
        self.unet, self.config, self.device = copy.deepcopy(unet).to(torch.bfloat16), unet.config, unet.device

    def __call__(self, x: torch.Tensor, timestep: int) -> UNet2DOutput:
        return UNet2DOutput(sample=self.unet(x.bfloat16(), timestep).sample.float())
