"""Engines that were tried: each answers as the U-Net does."""

import pytest
import torch

from radar_nb.experiments.engines_tried import TRIED, Int8UNet
from radar_nb.method.unet import build_unet, predict_noise


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return build_unet(1, 2, (16, 32), True).eval()


@pytest.mark.parametrize("name", ["contiguous", "bf16"])
@torch.inference_mode()
def test_what_was_tried_answers_as_torch(unet, name):
    x = torch.randn(2, 1, 32, 40)
    exact, answered = predict_noise(unet, x, 200), predict_noise(TRIED[name][0](unet), x, 200)
    assert torch.allclose(exact, answered, atol=(0.05 if name == "bf16" else 1e-5) * float(exact.abs().max()))


@torch.inference_mode()
def test_openvino_and_its_eight_bits(unet):
    pytest.importorskip("openvino")
    x = torch.randn(2, 1, 32, 40)
    exact = predict_noise(unet, x, 200)
    assert torch.allclose(exact, predict_noise(TRIED["openvino"][0](unet), x, 200), atol=1e-4)
    pytest.importorskip("nncf")
    eight = predict_noise(Int8UNet(unet, torch.randn(4, 4, 16, 20)), x, 200)
    assert (eight - exact).abs().max() > 0
    assert torch.corrcoef(torch.stack([eight.ravel(), exact.ravel()]))[0, 1] > 0.9
