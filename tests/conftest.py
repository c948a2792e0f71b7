"""Shared pieces of the tests: small data, a small U-Net, a small trained detector."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pytest
import torch
from small import SMALL, write_folder

from radar_nb.data.named import load_dataset
from radar_nb.method.detector import RadarDetector
from radar_nb.method.unet import build_unet
from radar_nb.storage.places import REPOSITORY
from radar_nb.storage.unet_folder import load_unet


def pytest_collection_modifyitems(items):
    """One file of the book's tests makes the book; the rest comes late, so that no worker waits for it. Notebooks stay last."""
    def late(item):
        return 2 if item.path.suffix == ".ipynb" else item.path.parent.name == "book" and item.path.name != "test_site.py"
    items.sort(key=late)


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
    return write_folder(tmp_path / "parts", "easy", 0, 48, {"train": 8, "test": 3}, ["scratch"], 2)
