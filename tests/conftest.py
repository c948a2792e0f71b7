"""Shared pieces of the tests: small data, a small U-Net, a small trained detector."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pytest
import torch
from small import SMALL

from radar_nb.data.images import write_image
from radar_nb.data.named import load_dataset
from radar_nb.data.printed import make_image
from radar_nb.method.detector import RadarDetector
from radar_nb.method.unet import build_unet
from radar_nb.storage.places import REPOSITORY
from radar_nb.storage.unet_folder import load_unet


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def tiny_unet():
    torch.manual_seed(0)
    return build_unet(widths=(8, 8)).eval()


@pytest.fixture(scope="session")
def released_unet():
    return load_unet(REPOSITORY / "weights" / "printed")


@pytest.fixture(scope="session")
def detector(released_unet):
    """The released U-Net, calibrated on a few small images."""
    return RadarDetector(unet=released_unet).fit(load_dataset("printed", SMALL).calibrate)


@pytest.fixture
def mvtec_folder(tmp_path):
    """A small data set on disk in the MVTec AD layout: 8 + 3 good images, 2 with a scratch."""
    for split, count in (("train", 8), ("test", 3)):
        for index in range(count):
            write_image(tmp_path / "parts" / split / "good" / f"{index:03}.png", make_image("easy", 0, split, index, size=48)[0])
    for index in range(2):
        image, mask = make_image("easy", 0, "test", index, "scratch", size=48)
        write_image(tmp_path / "parts" / "test" / "scratch" / f"{index:03}.png", image)
        write_image(tmp_path / "parts" / "ground_truth" / "scratch" / f"{index:03}_mask.png", mask)
    return tmp_path / "parts"
