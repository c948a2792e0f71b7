"""Engines: each answers as the U-Net does, at any size; the exported model gives RADAR's own maps and features."""

import copy
import sys

import numpy as np
import pytest
import torch

from radar_nb.method.detector import RadarDetector
from radar_nb.method.diffusion import build_unet, predict_noise
from radar_nb.beyond.onnx import TRIED, Int8UNet, OnnxUNet, make_engine, need
from radar_nb.data.images import to_tensor
from radar_nb.storage.errors import InputError


@pytest.fixture(scope="module")
def images():
    return list(np.random.default_rng(0).integers(0, 256, (6, 48, 64), np.uint8))


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return build_unet(1, 2, (16, 32), True).eval()


@pytest.mark.parametrize("channels, fold, attention", [(1, 2, True), (3, 1, True), (1, 4, False)])
@torch.inference_mode()
def test_onnx_answers_as_torch_at_every_size_and_timestep(channels, fold, attention):
    torch.manual_seed(1)
    unet = build_unet(channels, fold, (16, 16, 32), attention).eval()
    engine = make_engine("onnx", unet)
    for shape, timestep in (((1, channels, 32, 32), 200), ((3, channels, 33, 70), 200), ((2, channels, 96, 48), 25)):
        x = torch.randn(shape)
        asked, answered = predict_noise(unet, x, timestep), predict_noise(engine, x, timestep)
        assert torch.allclose(asked, answered, atol=1e-4 * float(asked.abs().max())), shape


@pytest.mark.parametrize("name", ["contiguous", "bf16"])
@torch.inference_mode()
def test_what_was_tried_answers_as_torch(unet, name):
    x = torch.randn(2, 1, 32, 40)
    asked, answered = predict_noise(unet, x, 200), predict_noise(TRIED[name][0](unet), x, 200)
    assert torch.allclose(asked, answered, atol=(0.05 if name == "bf16" else 1e-5) * float(asked.abs().max()))


@torch.inference_mode()
def test_openvino_and_its_eight_bits(unet):
    pytest.importorskip("openvino")
    x = torch.randn(2, 1, 32, 40)
    asked = predict_noise(unet, x, 200)
    assert torch.allclose(asked, predict_noise(TRIED["openvino"][0](unet), x, 200), atol=1e-4)
    pytest.importorskip("nncf")
    eight = predict_noise(Int8UNet(unet, torch.randn(4, 4, 16, 20)), x, 200)
    assert 0 < (eight - asked).abs().max() and torch.corrcoef(torch.stack([eight.ravel(), asked.ravel()]))[0, 1] > 0.9


def test_a_detector_takes_an_engine_and_can_change_it(unet, images, tmp_path):
    detector = RadarDetector(unet=unet, engine="onnx", calibration_points=40).fit(images)
    quick = detector.score_samples(images)
    assert isinstance(detector._asked(), OnnxUNet) and detector._asked() is detector._asked()
    detector.set_params(engine="torch")
    assert detector._asked() is unet and np.allclose(quick, detector.score_samples(images), atol=1e-3)
    detector.set_params(engine="onnx").save_pretrained(tmp_path / "model")
    again = RadarDetector.from_pretrained(tmp_path / "model")
    assert again.engine == "onnx" and np.allclose(again.score_samples(images), quick, atol=1e-6)
    assert np.allclose(copy.deepcopy(again).score_samples(images), quick, atol=1e-6)
    again.unet_ = build_unet(1, 2, (16, 32), True).eval()  # another U-Net: the engine is made anew
    assert not np.allclose(again.features(images), detector.features(images))


def test_an_unknown_engine_or_a_missing_package_is_named(unet, images, monkeypatch):
    with pytest.raises(InputError, match="engine='tensorrt': choose one of torch, onnx"):
        RadarDetector(unet=unet, engine="tensorrt").fit(images)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match="onnxruntime is not installed"):
        RadarDetector(unet=unet, engine="onnx").fit(images)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match="onnx is not installed"):
        need("onnx")


def test_the_exported_model_gives_radars_own_maps_and_features(unet, images, tmp_path):
    import onnxruntime
    detector = RadarDetector(unet=unet, timestep=150, window=9, calibration_points=40).fit(images)
    detector.export(tmp_path / "deep/radar.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "deep/radar.onnx")
    for group in (images[:3], [image[:40, :52] for image in images[:2]]):
        noise, sobel, features = session.run(None, {"image": np.stack([to_tensor(image).numpy() for image in group])})
        found = list(detector.inspect(group))
        assert np.allclose(noise, [finding["noise_map"] for finding in found], atol=1e-4)
        assert np.allclose(sobel[:, 0], [finding["sobel"] for finding in found], atol=1e-3)
        assert np.allclose(features, [finding["features"] for finding in found], rtol=1e-4)


@pytest.mark.parametrize("option", [{"reading": "residual"}, {"stride": 16}, {"border": 2}, {"timestep": (25, 200)}, {"map_kind": "covariance"}])
def test_what_an_exported_model_cannot_hold_is_refused(unet, images, tmp_path, option):
    detector = RadarDetector(unet=unet, calibration_points=10, **option).fit(images)
    with pytest.raises(InputError, match=f"^{next(iter(option))}=.*holds"):
        detector.export(tmp_path / "radar.onnx")
    assert not list(tmp_path.iterdir())
