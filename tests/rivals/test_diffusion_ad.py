"""DiffusionAD: guidance against the paper's equations, the head, what it learns from, RADAR's interface."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from small import SMALL, TINY

from radar_nb.data.images import to_tensor
from radar_nb.data.named import load_dataset
from radar_nb.method.diffusion import add_noise, make_scheduler
from radar_nb.method.unet import predict_noise
from radar_nb.rivals.diffusion_ad import DiffusionAd, SegmentationHead, segmentation_loss, spoil
from radar_nb.storage.errors import InputError

QUICK = {"steps": 100, "patches": 12, "patch_size": 32}


@pytest.fixture(scope="module")
def data():
    return load_dataset("printed_easy", SMALL, seed=3)


@pytest.fixture(scope="module")
def fitted(released_unet, data):
    return DiffusionAd(released_unet, **QUICK).fit(data.train, calibrate=data.calibrate)


def test_it_finds_defects_and_keeps_to_its_false_alarms(fitted, data):
    scores = fitted.score_samples(data.test)
    assert roc_auc_score(data.labels, -scores) > 0.8
    assert np.mean(fitted.predict(data.calibrate) == -1) <= 0.1
    maps = fitted.anomaly_maps(data.test)
    assert maps.shape == (len(data.test), 64, 64) and maps.dtype == np.float32
    bad = np.flatnonzero(data.labels)
    inside, outside = (np.mean([maps[i][data.masks[i] == at].mean() for i in bad]) for at in (True, False))
    assert inside > 1.2 * outside
    alone = fitted.score_samples(data.test[3:4])
    assert np.allclose(alone, scores[3:4], rtol=1e-3), "a score depends on its image alone"
    maps = fitted.anomaly_maps([data.test[0], data.test[1][:45, :51]])
    assert [map_.shape for map_ in maps] == [(64, 64), (45, 51)]


def test_the_same_seed_gives_the_same_scores(released_unet, data):
    few, calibrate = QUICK | {"steps": 4}, data.calibrate[:8]
    rivals = [clone(DiffusionAd(released_unet, random_state=seed, **few)) for seed in (0, 0, 1)]
    scores = [rival.fit(data.train, calibrate=calibrate).score_samples(data.test[:3]) for rival in rivals]
    assert np.array_equal(scores[0], scores[1]) and not np.allclose(scores[0], scores[2])


def test_it_trains_its_own_unet_and_works_in_colour(data):
    rgb = [np.repeat(image[..., None], 3, axis=2) for image in data.train]
    rival = DiffusionAd(training=TINY, steps=3, patch_size=16).fit(rgb)
    assert rival.score_samples(rgb[:2]).shape == (2,) and rival.anomaly_maps(rgb[:2]).shape == (2, 64, 64)
    with pytest.raises(InputError, match="RGB is expected"):
        rival.predict(data.test[:1])


def test_guidance_is_the_papers(fitted, data):
    """The guided noise put into the one-step prediction, as the paper writes it, without the shortcut."""
    alphas_cumprod, s, b = make_scheduler().alphas_cumprod, 200, 400
    a_s, a_b = alphas_cumprod[s], alphas_cumprod[b]
    x0 = torch.stack([to_tensor(image) for image in data.test[:2]])
    eps = torch.randn((2, *x0.shape), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        x_s, x_b = add_noise(x0, eps[0], s, alphas_cumprod), add_noise(x0, eps[1], b, alphas_cumprod)
        eps_s, eps_b = predict_noise(fitted.unet_, x_s, s), predict_noise(fitted.unet_, x_b, b)
    x0_b = ((x_b - (1 - a_b).sqrt() * eps_b) / a_b.sqrt()).clamp(-1, 1)
    noised = a_s.sqrt() * x0_b + (1 - a_s).sqrt() * eps_s
    guided = eps_s - (1 - a_s).sqrt() * (noised - x_s)
    expected = ((x_s - (1 - a_s).sqrt() * guided) / a_s.sqrt()).clamp(-1, 1)
    assert torch.allclose(fitted.reconstruct(x0, eps), expected, atol=1e-4)


def test_the_head_treats_a_patch_as_it_treats_the_image():
    torch.manual_seed(0)
    head = SegmentationHead(2).eval()
    x = torch.randn(1, 2, 96, 96)
    assert head(x).shape == (1, 1, 96, 96) and head(x[..., :45, :51]).shape == (1, 1, 45, 51)
    assert torch.allclose(head(x)[..., 40:56, 40:56], head(x[..., 8:88, 8:88])[..., 32:48, 32:48], atol=1e-5)


def test_the_loss_falls_where_the_mask_is_met():
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 2:4, 2:4] = 1
    good, unsure, bad = (segmentation_loss(logit * (2 * mask - 1), mask) for logit in (5, 0, -5))
    assert good < unsure < bad


@pytest.mark.parametrize("shape", [(40, 40), (40, 40, 3)])
def test_a_spoilt_patch_differs_where_its_mask_is(shape, rng):
    patch, other = rng.integers(60, 200, (2, *shape)).astype(np.uint8)
    for _ in range(30):
        spoilt, mask = spoil(patch, other, rng)
        changed = np.atleast_3d(np.abs(spoilt.astype(int) - patch)).max(axis=2) > 0
        assert spoilt.shape == shape and spoilt.dtype == np.uint8
        assert mask.shape == (40, 40) and mask.dtype == bool
        assert mask.any() and changed[mask].mean() > 0.8
        near = np.zeros_like(mask)
        rows, columns = np.nonzero(mask)
        for row, column in zip(rows, columns, strict=True):
            near[max(row - 4, 0):row + 5, max(column - 4, 0):column + 5] = True
        assert not changed[~near].any(), "nothing changes far from the mask"


@pytest.mark.parametrize("wrong", [{"small": 0}, {"large": 100}, {"guidance": -1}, {"steps": 1.5},
                                   {"patches": 1}, {"patch_size": 8}, {"contamination": 0.9}])
def test_a_wrong_argument_is_one_line(wrong, released_unet, data):
    with pytest.raises(InputError, match=f"{next(iter(wrong))}=.*(choose|give)"):
        DiffusionAd(released_unet, **wrong).fit(data.train, calibrate=data.calibrate)
