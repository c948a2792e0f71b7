"""The fused detector: its views, what is usual, its limits, the whole on made images, its folder and its card."""

import re

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from scipy import stats
from scipy.spatial.distance import mahalanobis
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from small import SMALL

from radar_nb.beyond.card import SHARES, Card, paste_of_size
from radar_nb.beyond.detector import load_detector
from radar_nb.beyond.fused import FusedDetector
from radar_nb.beyond.limits import MANY, false_alarm_interval, upper_limit
from radar_nb.beyond.onnx import make_engine
from radar_nb.beyond.usual import Usual, draw_cells
from radar_nb.beyond.views import cell_views, cells, hidden_layers, surroundings, within_the_image
from radar_nb.data.named import load_dataset
from radar_nb.method.unet import build_unet, predict_noise
from radar_nb.storage.errors import InputError
from radar_nb.storage.untrusted import write_checksums


@pytest.fixture(scope="module")
def data():
    return load_dataset("printed", SMALL)


@pytest.fixture(scope="module")
def fused(released_unet, data):
    return FusedDetector(unet=released_unet).fit(data.calibrate, learnt=data.train)


@pytest.mark.parametrize("fold, widths, channels", [(2, (8, 8), 1), (1, (8, 16, 16), 3), (2, (8, 8, 8), 3)])
def test_views_lie_on_cells_of_four_pixels(fold, widths, channels):
    torch.manual_seed(0)
    unet = build_unet(channels, fold, widths).eval()
    x = torch.rand(2, channels, 50, 67) * 2 - 1
    with torch.inference_mode(), hidden_layers(unet) as hidden:
        noise = predict_noise(unet, x, 1)
    views = cell_views(noise, hidden, unet)
    expected = [1, 4 * channels, 2 * widths[0] if len(widths) == 2 else sum(widths[:2])]
    assert [view.shape for view in views] == [(2, count, 13, 17) for count in expected]
    assert all(np.isfinite(view).all() for view in views)
    assert surroundings(x).shape == (2, 10, 13, 17)
    with torch.inference_mode():
        predict_noise(unet, x, 1)
    assert len(hidden) == 2, "outside, nothing is collected"


def test_a_cell_is_the_mean_of_its_pixels_also_at_the_edge():
    image = torch.arange(6.0)[:, None] * 10 + torch.arange(5.0)
    assert torch.equal(cells(image[None, None])[0, 0], torch.tensor([[16.5, 19.0], [46.5, 49.0]]))


def test_an_engine_without_layers_is_refused(tiny_unet, data):
    pytest.importorskip("onnxruntime")
    with pytest.raises(InputError, match="--engine torch"):
        FusedDetector(unet=make_engine("onnx", tiny_unet), patch_size=32).fit(data.calibrate)


def test_rows_columns_and_exposure_go_and_defects_stay(rng):
    lines = rng.normal(size=(40, 1)) + rng.normal(size=(1, 60)) + 7.0
    small, large = np.zeros((2, 40, 60))
    small[10:14, 20:23], large[:, 5:50] = 1, 1
    assert np.allclose(within_the_image(lines)[0], 0)
    assert np.abs(within_the_image(lines + small)[0] - small).max() < 0.2
    columns, image = within_the_image(large + 3)
    assert np.allclose(columns, 0), "longer than half of its rows: lost here, and only here"
    assert np.ptp(image) == 1


def test_usual_is_mahalanobis_minus_what_the_place_explains(rng):
    mixing = rng.normal(size=(3, 3))
    places = rng.normal(size=(8, 10, 20, 20)).astype(np.float32)
    values = np.einsum("ij,njhw->nihw", mixing, rng.normal(size=(8, 3, 20, 20))).astype(np.float32)
    louder = 0.5 * places[:, :1] + 0.01 * rng.normal(size=(8, 1, 20, 20)).astype(np.float32)
    usual = Usual.learn(draw_cells([louder, values], places, rng))
    first, second = usual.maps([louder, values], places).swapaxes(0, 1)
    assert first.std() < 0.05 < 0.4 < louder.std(), "explained by the place, but for places never seen"
    flat = values.transpose(1, 0, 2, 3).reshape(3, -1)
    precision = np.linalg.inv(np.cov(flat))
    distances = [np.log(mahalanobis(value, flat.mean(1), precision)) for value in flat.T]
    assert np.corrcoef(second.ravel(), distances)[0, 1] > 0.995
    odd = values.copy()
    odd[0, :, 4, 4] += 10 * mixing[:, 0]
    assert usual.maps([louder, odd], places)[0, 1].argmax() == 4 * 20 + 4


def test_what_is_usual_at_a_position_is_taken_off_where_images_are_alike(rng):
    usual, pattern = Usual({}), np.zeros((2, 1, 32, 48), np.float32)
    pattern[..., :16, :] = 3
    alike = [pattern + rng.normal(size=pattern.shape).astype(np.float32) for _ in range(12)]
    left = usual.with_positions(alike).positions_off(pattern)
    assert np.abs(left).mean() < 0.35 and np.ptp(pattern) == 3
    scattered = [rng.normal(size=pattern.shape).astype(np.float32) for _ in range(12)]
    assert np.abs(usual.with_positions(scattered).arrays["position"]).max() < 0.1
    assert usual.with_positions(alike[:1]) is usual, "one image tells nothing about a position"


@pytest.mark.parametrize("count", [10, 20, 200])
def test_false_alarms_are_as_asked_for_on_average_and_within_the_interval(count):
    scores = np.random.default_rng(1).normal(3, 2, (1500, count))
    rates = stats.norm.sf([upper_limit(each) for each in scores], 3, 2)
    assert rates.mean() == pytest.approx(0.05, abs=0.006)
    low, high = false_alarm_interval(count)
    assert np.mean((rates >= low) & (rates <= high)) == pytest.approx(0.9, abs=0.04)
    assert 0 <= low < 0.05 < high < 0.2


def test_with_many_images_the_limit_is_a_rank():
    scores = np.random.default_rng(0).permutation(np.arange(1, MANY + 40))
    assert upper_limit(scores, 0.05) == 95 == np.ceil(0.95 * (MANY + 40))
    assert false_alarm_interval(199)[1] < false_alarm_interval(20)[1]


def test_it_finds_made_defects(fused, data):
    findings = list(fused.inspect(data.test))
    scores = fused.score_samples(data.test)
    assert roc_auc_score(data.labels, -scores) > 0.97
    assert np.mean(fused.predict(data.calibrate) < 0) <= 0.15
    assert np.allclose(fused.score_samples(data.test[2:3]), scores[2], atol=1e-4), "an image is judged alone"
    bad = int(np.flatnonzero(data.labels)[0])
    map_, mask = findings[bad]["anomaly_map"], data.masks[bad]
    assert map_.shape == mask.shape and map_[mask].mean() > np.quantile(map_, 0.9)
    assert findings[bad]["features"].shape == (7,) and findings[bad]["noise_map"].shape == (1, *mask.shape)


def test_without_learnt_images_it_calibrates_in_turns(released_unet, fused, data):
    alone = FusedDetector(unet=released_unet).fit(data.calibrate)
    assert alone.calibration_features_.shape == (40, 7) == fused.calibration_features_.shape
    assert roc_auc_score(data.labels, -alone.score_samples(data.test)) > 0.97
    assert alone.offset_ != fused.offset_


def test_wrong_use_is_named(tiny_unet, data):
    with pytest.raises(InputError, match="contamination=0.9"):
        FusedDetector(0.9, unet=tiny_unet).fit(data.calibrate)
    with pytest.raises(InputError, match="3 to calibrate on"):
        FusedDetector(unet=tiny_unet).fit(data.calibrate[:3])
    assert clone(FusedDetector(0.1, longest_side=300)).longest_side == 300


def test_a_saved_one_says_the_same_and_a_damaged_one_is_refused(fused, data, tmp_path):
    fused.save_pretrained(tmp_path / "model")
    loaded = load_detector(tmp_path / "model")
    assert isinstance(loaded, FusedDetector) and loaded.offset_ == fused.offset_
    assert np.array_equal(loaded.score_samples(data.test[:3]), fused.score_samples(data.test[:3]))
    arrays = load_file(tmp_path / "model" / "calibration.safetensors")
    for name, value in {"other": np.ones(2), "scale": np.full((2, 3), np.nan), "mean_1": np.ones(3)}.items():
        save_file(arrays | {name: value}, tmp_path / "model" / "calibration.safetensors")
        write_checksums(tmp_path / "model", ["calibration.safetensors", "diffusion_pytorch_model.safetensors"])
        with pytest.raises(InputError, match="not a saved detector"):
            load_detector(tmp_path / "model")


def test_pasted_defects_have_the_size_that_was_asked_for(data, rng):
    image = data.calibrate[0]
    areas = [np.mean([paste_of_size(image, share, "stain", rng)[1].sum() for _ in range(8)]) for share in SHARES]
    widths = np.sqrt(4 / np.pi * np.array(areas)) / min(image.shape)
    assert (np.diff(widths) >= -0.02).all() and widths[-1] == pytest.approx(SHARES[-1], rel=0.3)
    pasted, mask = paste_of_size(image, 0.12, "grit", rng)
    changed = pasted != image
    assert changed[mask].any() and changed.mean() < 0.2


def test_the_card_shows_what_to_look_at(released_unet, data, tmp_path, rng):
    images = list(data.calibrate)
    images[7], _ = paste_of_size(images[7], 0.2, "stain", rng)
    card = Card(FusedDetector(unet=released_unet).fit(images, learnt=data.train), images)
    assert card.suspicious[0] == 7 and len(card.findings) == 10
    assert [entry["share"] for entry in card.pasted] == list(SHARES) and card.pasted[-1]["found"] >= 0.75
    card.write(tmp_path / "card.html", "<parts>")
    page = (tmp_path / "card.html").read_text()
    assert "<h1>&lt;parts&gt;</h1>" in page and len(re.findall(r'<img alt="[^"]{20,}" src="data:image/png', page)) == 2
    assert "comes from 40 normal images" in page and "http" not in page
