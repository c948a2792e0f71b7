"""Engines: each answers as the U-Net does, at any size; the exported model gives RADAR's own maps and features."""

import copy
import json
import sys

import numpy as np
import pytest
import torch

from radar_nb.beyond.detector import NOISE_FREE, VariantDetector
from radar_nb.beyond.export import export
from radar_nb.beyond.onnx import OnnxUNet, make_engine, need
from radar_nb.data.images import to_tensor
from radar_nb.method.detector import RadarDetector
from radar_nb.method.unet import build_unet, predict_noise
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


def test_a_detector_takes_an_engine(unet, images, tmp_path):
    plain = RadarDetector(unet=unet, calibration_points=40).fit(images)
    detector = RadarDetector(unet=OnnxUNet(unet), calibration_points=40).fit(images)
    quick = detector.score_samples(images)
    detector.save_pretrained(tmp_path / "model")
    again = RadarDetector.from_pretrained(tmp_path / "model")
    for other in (plain, again):  # a tree of the forest may cut between two roundings of one feature
        assert np.allclose(detector.features(images), other.features(images), rtol=1e-4)
        assert np.allclose(quick, other.score_samples(images), atol=0.02)
    again.unet_ = OnnxUNet(again.unet_)
    assert np.allclose(copy.deepcopy(again).score_samples(images), quick, atol=1e-6)


def test_an_unknown_engine_or_a_missing_package_is_named(unet, monkeypatch):
    with pytest.raises(InputError, match="engine='tensorrt': choose one of torch, onnx"):
        make_engine("tensorrt", unet)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match="onnxruntime is not installed"):
        make_engine("onnx", unet)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match="onnx is not installed"):
        need("onnx")


@pytest.mark.parametrize("recipe", [{}, NOISE_FREE | {"timestep": 150, "window": 9}, {"reading": "residual", "blur": 3, "sobel": 7}])
def test_the_exported_model_gives_radars_own_maps_and_features(unet, images, tmp_path, recipe):
    import onnxruntime
    detector = RadarDetector(unet=unet, calibration_points=40, **recipe).fit(images)
    export(detector, tmp_path / "deep/radar.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "deep/radar.onnx")
    for group in (images[:3], [image[:40, :48] for image in images[:2]]):
        x0 = torch.stack([to_tensor(image) for image in group])
        inputs = {"image": x0.numpy(), "eps": detector._noise(x0)[:1].numpy()}
        noise, sobel, features = session.run(None, {entry.name: inputs[entry.name] for entry in session.get_inputs()})
        found = list(detector.inspect(group))
        assert np.allclose(noise, [finding["noise_map"] for finding in found], atol=1e-4)
        assert np.allclose(sobel[:, 0], [finding["sobel"] for finding in found], rtol=1e-3, atol=1e-2)
        assert np.allclose(features, [finding["features"] for finding in found], rtol=1e-4)
    settings = json.loads(session.get_modelmeta().custom_metadata_map["radar"])
    assert settings["pixel_threshold"] == detector.pixel_threshold_ and settings["window"] == detector.window


@pytest.mark.parametrize("option", [{"stride": 16}, {"border": 2}, {"timestep": (25, 200)}, {"map_kind": "covariance"},
                                    {"standardise": True}, {"local_quantile": 0.99}, {"window_step": 20}])
def test_what_an_exported_model_cannot_hold_is_refused(unet, images, tmp_path, option):
    detector = VariantDetector(unet=unet, calibration_points=10, **option).fit(images)
    with pytest.raises(InputError, match=f"^{next(iter(option))}=.*holds"):
        export(detector, tmp_path / "radar.onnx")
    assert not list(tmp_path.iterdir())


def test_what_is_left_to_the_caller_is_said_and_written(unet, images, tmp_path):
    import onnxruntime
    detector = RadarDetector(unet=unet, calibration_points=10, longest_side=48).fit(images)
    with pytest.warns(UserWarning, match="longest_side=48 is not in the model"):
        export(detector, tmp_path / "radar.onnx")
    metadata = onnxruntime.InferenceSession(tmp_path / "radar.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(metadata["radar"])["longest_side"] == 48


def test_an_option_added_tomorrow_is_refused_until_the_model_holds_it(unet, images, tmp_path):
    class Tomorrow(VariantDetector):
        def get_params(self, deep=True):
            return super().get_params(deep) | {"surprise": 3}

    with pytest.raises(InputError, match="^surprise=3: an exported model holds"):
        export(Tomorrow(unet=unet, calibration_points=10).fit(images), tmp_path / "radar.onnx")
