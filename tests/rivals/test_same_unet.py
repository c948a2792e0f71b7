"""The rivals on the same U-Net: thresholds at the stated rate, the mathematics of each, RADAR's interface."""

import numpy as np
import pytest
import torch
from diffusers import DDIMInverseScheduler
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from small import SMALL, TINY

from radar_nb.data.images import to_tensor
from radar_nb.data.named import load_dataset
from radar_nb.experiments.methods import METHODS
from radar_nb.experiments.metrics import evaluate
from radar_nb.method.diffusion import add_noise, denoise, make_scheduler
from radar_nb.method.training import draw_batch, train
from radar_nb.method.unet import predict_noise
from radar_nb.rivals.base import DiffusionRival
from radar_nb.rivals.same_unet import AnoDdpm, Inversion, NoiseDensity, Reconstruction
from radar_nb.rivals.simplex import simplex_field, simplex_noise
from radar_nb.runs.training import train_into
from radar_nb.storage.errors import InputError

CHEAP = {"density": lambda unet: NoiseDensity(unet, timestep=100), "inversion": lambda unet: Inversion(unet),
         "ddim": lambda unet: Reconstruction(unet, start=100, steps=4),
         "ddpm": lambda unet: Reconstruction(unet, start=4, eta=1.0)}


def plain(rival):
    """Its arguments, the U-Net apart, which a clone copies."""
    return {key: value for key, value in rival.get_params().items() if key != "unet"}


@pytest.fixture(scope="module")
def data():
    return load_dataset("printed", SMALL)


@pytest.mark.parametrize("name", CHEAP)
def test_interface(name, released_unet, data):
    rival = CHEAP[name](released_unet)
    assert plain(clone(rival)) == plain(rival) and set(plain(rival)) >= {"contamination", "random_state"}
    assert rival.fit(data.calibrate) is rival
    scores, count = rival.score_samples(data.test), len(data.test)
    assert scores.shape == (count,) and np.isfinite(scores).all()
    assert np.array_equal(rival.predict(data.test), np.where(rival.decision_function(data.test) < 0, -1, 1))
    findings = list(rival.inspect(data.test))
    assert np.allclose([finding["score"] for finding in findings], scores)
    assert np.array_equal([finding["normal"] for finding in findings], rival.predict(data.test) == 1)
    maps = rival.anomaly_maps(data.test)
    assert all(map_.shape == (SMALL.side, SMALL.side) and map_.dtype == np.float32 for map_ in maps)
    assert all(mask.dtype == bool for mask in rival.segment(data.test))
    alone = rival.score_samples(data.test[3:4])
    assert np.allclose(alone, scores[3:4], rtol=1e-3), "a score depends on its image alone"
    again = CHEAP[name](released_unet).fit(data.calibrate)
    assert np.allclose(again.score_samples(data.test), scores)


@pytest.mark.parametrize("name", ["density", "inversion"])
def test_a_reconstruction_free_peer_finds_defects(name, released_unet):
    data = load_dataset("printed_easy", SMALL, seed=3)
    scores = evaluate(CHEAP[name](released_unet).fit(data.calibrate), data)
    assert scores["image_auroc"] > 0.8 and scores["pixel_auroc"] > 0.8


def test_sizes_may_differ_and_colours_must_fit(released_unet, data):
    rival = NoiseDensity(released_unet).fit(data.calibrate)
    maps = rival.anomaly_maps([data.test[0], data.test[1][:48], data.test[2][:, :40]])
    assert [map_.shape for map_ in maps] == [(64, 64), (48, 64), (64, 40)]
    with pytest.raises(InputError, match="unet: takes 1 channels, the images have 3"):
        NoiseDensity(released_unet).fit([np.zeros((32, 32, 3), np.uint8)] * 4)


def test_a_peer_without_a_unet_trains_one(data):
    rival = NoiseDensity(training=TINY).fit(data.calibrate[:8])
    assert rival.score_samples(data.test[:2]).shape == (2,)


def test_noise_density_is_a_gaussian_density(released_unet, data):
    rival = NoiseDensity(released_unet, timestep=100).fit(data.calibrate)
    x0 = torch.stack([to_tensor(image) for image in data.test[:2]])
    with torch.inference_mode():
        noise = predict_noise(released_unet, x0, 100)
        gaussian = torch.distributions.Normal(rival.mean_, rival.std_)
        expected = -2 * (gaussian.log_prob(noise) - gaussian.log_prob(rival.mean_))
        assert torch.allclose(rival._pixel_scores(x0), expected, atol=1e-3)


def test_inversion_is_diffusers_inverse_ddim(released_unet, data):
    """Against `DDIMInverseScheduler`, which takes the same Euler steps of the probability flow."""
    timesteps = (250, 500, 750)
    scheduler = DDIMInverseScheduler(num_train_timesteps=1000, beta_schedule="linear", beta_start=1e-4,
                                     beta_end=0.02, clip_sample=False)
    scheduler.set_timesteps(4)
    x = x0 = torch.stack([to_tensor(image) for image in data.test[:2]])
    rival = Inversion(released_unet, timesteps=timesteps).fit(data.calibrate[:4])
    with torch.inference_mode():
        for here, there in zip((0, *timesteps), timesteps, strict=False):
            # `step` takes the timestep at which it arrives, and goes there from 250 below.
            x = scheduler.step(predict_noise(released_unet, x, here), there, x).prev_sample
        assert torch.allclose(rival._pixel_scores(x0), x.square(), rtol=1e-3, atol=1e-3)


def test_reconstruction_is_noise_and_back(released_unet, data):
    rival = Reconstruction(released_unet, start=100, steps=4).fit(data.calibrate[:4])
    x0 = torch.stack([to_tensor(image) for image in data.test[:2]])
    eps = torch.randn((1, 1, 64, 64), generator=torch.Generator().manual_seed(0)).expand_as(x0)
    expected, _ = denoise(released_unet, add_noise(x0, eps, 100, make_scheduler().alphas_cumprod), 100, 4)
    with torch.inference_mode():
        assert torch.allclose(rival.reconstruct(x0), expected, atol=1e-5)
        assert torch.allclose(rival._pixel_scores(x0), (x0 - expected) ** 2, atol=1e-4)
    assert (rival.reconstruct(x0) - x0).abs().mean() < 0.2, "a normal surface comes back nearly as it was"


def test_a_reconstruction_is_compared_by_squares_or_absolutely(released_unet, data):
    x0 = torch.stack([to_tensor(image) for image in data.test[:2]])
    squared, absolute = (
        Reconstruction(released_unet, start=50, steps=2, difference=difference).fit(data.calibrate[:4])
        for difference in ("squared", "absolute"))
    with torch.inference_mode():
        assert torch.allclose(squared._pixel_scores(x0), absolute._pixel_scores(x0) ** 2, atol=1e-6)
    assert not np.allclose(squared.score_samples(data.test[:2]), absolute.score_samples(data.test[:2]))


@pytest.mark.parametrize("wrong", [{"difference": "cubic"}, {"start": 1000}, {"start": "far"}, {"steps": 0},
                                   {"start": 5, "steps": 7}, {"eta": 2}])
def test_a_wrong_argument_is_one_line(wrong, released_unet, data):
    with pytest.raises(InputError, match=f"{list(wrong)[-1]}=.*(choose|give)") as error:
        Reconstruction(released_unet, **wrong).fit(data.calibrate[:4])
    assert "\n" not in str(error.value)


@pytest.fixture
def small_field(monkeypatch):
    """A field that takes one second, not twenty-five."""
    monkeypatch.setattr("radar_nb.rivals.simplex.SIDE", 128)


def test_simplex_noise_is_standard_and_smooth(small_field):
    generator = torch.Generator().manual_seed(0)
    noise = simplex_noise((64, 1, 64, 64), generator)
    assert noise.shape == (64, 1, 64, 64) and abs(noise.mean()) < 0.15 and abs(noise.std() - 1) < 0.15
    neighbours = np.corrcoef(noise[..., :-1].ravel(), noise[..., 1:].ravel())[0, 1]
    assert neighbours > 0.3, "coarse octaves make neighbours alike, unlike white noise"
    first, second = (simplex_noise((2, 1, 32, 32), torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert simplex_field(96).shape == (96, 96)


def test_anoddpm_trains_and_scores_with_simplex_noise(data, small_field):
    images = [to_tensor(image) for image in data.train]
    _, eps, _ = draw_batch(images, TINY, 0, simplex_noise)
    assert not torch.equal(eps, draw_batch(images, TINY, 0)[1])
    unet = train(data.train, TINY, progress=False, draw=simplex_noise).unet
    rival = AnoDdpm(unet, start=5, eta=1.0).fit(data.calibrate[:4])
    assert rival.score_samples(data.test[:3]).shape == (3,)


def test_a_training_with_other_noise_is_not_taken_for_this_one(tmp_path, data):
    train_into(tmp_path, data.train, TINY, progress=False)
    with pytest.raises(InputError, match="another noise"):
        train_into(tmp_path, data.train, TINY, progress=False, draw=simplex_noise)


def test_every_method_has_a_family_and_its_calls():
    families = "RADAR", "RADAR, other readings", "RADAR, other features", "RADAR, mended", "reconstruction", "reconstruction-free", "statistical", "pretrained"
    assert {method.family for method in METHODS.values()} == set(families)
    assert METHODS["radar"].calls == 1 and METHODS["ddim50"].calls == 50
    assert issubclass(AnoDdpm, DiffusionRival)


def test_a_good_order_is_seen_as_good(released_unet):
    """The scores' sign: a glaring defect must not be called more normal."""
    data = load_dataset("printed_easy", SMALL, seed=5)
    spoilt = [image.copy() for image in data.calibrate[:6]]
    for image in spoilt:
        image[20:40, 20:40] = 255 - image[20:40, 20:40]
    for make in CHEAP.values():
        rival = make(released_unet).fit(data.calibrate[6:])
        scores = -rival.score_samples([*data.calibrate[:6], *spoilt])
        assert roc_auc_score([0] * 6 + [1] * 6, scores) > 0.6
