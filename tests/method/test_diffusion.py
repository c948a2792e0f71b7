import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, UNet2DModel

from radar_nb.data.images import to_tensor
from radar_nb.data.named import load_dataset
from radar_nb.data.printed import make_image
from radar_nb.method.diffusion import add_noise, denoise, make_scheduler, reverse_step
from radar_nb.method.features import blur, extract_features, sobel_magnitude
from radar_nb.method.noise_map import fixed_noise, in_patches, in_tiles, in_tilings, noise_map, whole_image
from radar_nb.method.tiles import tile_spans
from radar_nb.method.unet import build_unet, fold_factor, image_channels, predict_noise
from radar_nb.storage.errors import InputError
from radar_nb.storage.places import REPOSITORY
from radar_nb.storage.unet_folder import load_unet


class LinearModel(torch.nn.Module):
    """eps_theta(x, t) = gain x + t / 1000, so every reading can be computed by hand."""

    def __init__(self, gain=0.5, channels=1):
        super().__init__()
        self.gain = gain
        self.config = build_unet(channels, widths=(8, 8), fold=1).config
        self.pixels = []  # of each call

    def forward(self, x, timestep):
        self.pixels.append(x.numel() // x.shape[1])
        return type("Output", (), {"sample": self.gain * x + timestep / 1000})


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_forward_step_equals_diffusers():
    x0, eps, scheduler = randn(6, 3, 8, 8), randn(6, 3, 8, 8, seed=1), make_scheduler()
    t = torch.tensor([0, 1, 10, 200, 700, 999])
    torch.testing.assert_close(add_noise(x0, eps, t, scheduler.alphas_cumprod), scheduler.add_noise(x0, eps, t))
    torch.testing.assert_close(add_noise(x0, eps, 300, scheduler.alphas_cumprod), scheduler.add_noise(x0, eps, torch.tensor([300] * 6)))


def test_reverse_step_equals_diffusers():
    x, eps, scheduler = randn(2, 1, 8, 8), randn(2, 1, 8, 8, seed=1), make_scheduler()
    expected = scheduler.step(eps, 500, x, generator=torch.Generator().manual_seed(5)).prev_sample
    ours = reverse_step(x, eps, 500, 499, scheduler.alphas_cumprod, 1.0, torch.Generator().manual_seed(5))
    torch.testing.assert_close(ours, expected)
    ddim = DDIMScheduler.from_config(scheduler.config)
    ddim.set_timesteps(50)
    expected = ddim.step(eps, 500, x, use_clipped_model_output=True).prev_sample
    torch.testing.assert_close(reverse_step(x, eps, 500, 480, scheduler.alphas_cumprod), expected)


def test_last_reverse_step_with_the_true_noise_gives_the_image_back():
    x0, eps = randn(1, 1, 8, 8).clamp(-1, 1), randn(1, 1, 8, 8, seed=1)
    alphas_cumprod = make_scheduler().alphas_cumprod
    x_t = add_noise(x0, eps, 400, alphas_cumprod)
    torch.testing.assert_close(reverse_step(x_t, eps, 400, -1, alphas_cumprod), x0, atol=1e-5, rtol=1e-4)


def test_two_tilings_are_the_mean_of_two_and_near_a_small_stride():
    """At most three times the work of the whole image; stride 7 has fifteen times, and a map that is much like it."""
    unet, x0 = load_unet(REPOSITORY / "weights" / "extrusion"), to_tensor(load_dataset("extrusion").calibrate[0])[None]
    eps, pixels = fixed_noise(x0.shape[1:], 0)[None], []

    def sobel(way):
        pixels.clear()
        return sobel_magnitude(blur(noise_map(way, x0, 1, eps=eps).numpy()))[0].ravel()

    handle = unet.register_forward_pre_hook(lambda module, given: pixels.append(given[0].shape[0] * given[0].shape[-1] ** 2))
    whole, whole_pixels = sobel(whole_image(unet)), sum(pixels)
    tilings, tilings_pixels = sobel(in_tilings(unet, 28)), sum(pixels)
    paper, paper_pixels = sobel(in_patches(unet, 28, 7)), sum(pixels)
    handle.remove()
    assert tilings_pixels < 3.2 * whole_pixels and paper_pixels > 15 * whole_pixels
    assert np.corrcoef(tilings, paper)[0, 1] > 0.85 and np.corrcoef(whole, paper)[0, 1] < 0.7
    apart = [in_patches(unet, 28, 28, second=second)(x0, 1) for second in (0, 14)]
    with torch.inference_mode():
        assert torch.allclose(in_tilings(unet, 28)(x0, 1), (apart[0] + apart[1]) / 2, atol=1e-6)


@pytest.mark.parametrize("stride", [None, 4, 8])
def test_readings_equal_hand_computation(stride):
    x0, eps, t, model = randn(2, 1, 16, 20), randn(2, 1, 16, 20, seed=1), 300, LinearModel()
    x_t = make_scheduler().add_noise(x0, eps, torch.tensor([t, t]))
    expected = {"predicted": 0.5 * x_t + 0.3, "residual": 0.5 * x_t + 0.3 - eps, "noise_free": 0.5 * x0 + 0.3}
    eps_theta = whole_image(model) if stride is None else in_patches(model, 8, stride)
    for reading, value in expected.items():
        torch.testing.assert_close(noise_map(eps_theta, x0, t, reading, eps), value)


@pytest.mark.parametrize("shape", [(1, 1, 513, 700), (2, 1, 65, 65), (1, 1, 20, 150), (1, 1, 150, 64), (2, 3, 70, 64)])
@pytest.mark.parametrize("reading", ["predicted", "residual", "noise_free"])
def test_readings_in_tiles_equal_hand_computation(shape, reading):
    x0, eps, t, model = randn(*shape), randn(*shape, seed=1), 300, LinearModel(channels=shape[1])
    x_t = make_scheduler().add_noise(x0, eps, torch.tensor([t] * len(x0)))
    expected = {"predicted": 0.5 * x_t + 0.3, "residual": 0.5 * x_t + 0.3 - eps, "noise_free": 0.5 * x0 + 0.3}
    torch.testing.assert_close(noise_map(in_tiles(model, 64, 8), x0, t, reading, eps), expected[reading])
    assert len(model.pixels) > 1 and max(model.pixels) <= len(x0) * 64 * 64


def test_an_image_that_fits_into_a_tile_is_not_cut(tiny_unet):
    x = randn(2, 1, 96, 90)
    whole = whole_image(tiny_unet)(x, 200)
    assert torch.equal(in_tiles(tiny_unet, 96)(x, 200), whole)
    assert torch.equal(noise_map(whole_image(tiny_unet), x, 200, "noise_free"), whole)
    assert not torch.equal(in_tiles(tiny_unet, 64, 8)(x, 200), whole)


@pytest.mark.parametrize(("height", "width"), [(2048, 2048), (4713, 1100), (600, 3001)])
def test_large_images_in_tiles_take_bounded_memory_and_linear_time(height, width):
    """What the U-Net sees in one call does not grow with the image, and what it sees in all is at most 1.3 times the image."""
    model = LinearModel()
    noise_map(in_tiles(model, 512), torch.zeros(1, 1, height, width), 200, "noise_free")
    assert max(model.pixels) <= 512 * 512 and sum(model.pixels) <= 1.3 * height * width


def test_tiles_leave_no_seam_and_the_features_of_the_whole_image(released_unet):
    """The tolerance that `noise_map` states; without a halo, the seams break it."""
    side, tile = 384, 256
    x = to_tensor(make_image("easy", 0, "calibrate", 0, size=side)[0])[None]

    def sobel(eps_theta):
        return sobel_magnitude(noise_map(eps_theta, x, 200, "noise_free").numpy(), 3)

    edges = [side // 2] + [edge for span in tile_spans(side, tile, 48, 8) for edge in span if 0 < edge < side]  # the first is halo 0's
    near = np.isin(np.arange(side), [edge + step for edge in edges for step in (-2, -1, 0, 1)])
    seam = near[:, None] | near[None, :]

    def share(maps):
        """Sobel energy of a pixel at the seams, against that elsewhere."""
        return np.square(maps[:, seam]).mean() / np.square(maps[:, ~seam]).mean()

    whole, tiled = sobel(whole_image(released_unet)), sobel(in_tiles(released_unet, tile))
    bare = sobel(in_tiles(released_unet, tile, halo=0))
    assert abs(share(tiled) / share(whole) - 1) <= 0.05 < share(bare) / share(whole) - 1
    off = np.abs(extract_features(tiled, 17) / extract_features(whole, 17) - 1)[0]
    assert off[0] <= 0.01 and off[1] <= 0.06


@pytest.mark.parametrize(("arguments", "named"), [
    ({"timestep": 1000}, "timestep=1000"), ({"timestep": -1}, "timestep=-1"), ({"reading": "clean"}, "reading='clean'"),
    ({"reading": "residual"}, "eps=None"), ({"reading": "predicted"}, "eps=None")])
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match=named):
        noise_map(whole_image(LinearModel()), randn(1, 1, 8, 8), **{"timestep": 10, "reading": "noise_free"} | arguments)


@pytest.mark.parametrize("tile, halo", [(4, 2), (0, 24)])
def test_a_tile_too_small_for_its_halo_is_named(tile, halo):
    with pytest.raises(ValueError, match=f"tile={tile}"):
        in_tiles(LinearModel(), tile, halo)(randn(1, 1, 8, 8), 10)


@pytest.mark.parametrize("fold", [1, 2, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_unet_takes_any_size(channels, fold):
    unet = build_unet(channels, fold, widths=(8, 8)).eval()
    assert (image_channels(unet), fold_factor(unet)) == (channels, fold)
    for height, width in ((16, 16), (17, 30), (5, 41)):
        x = randn(2, channels, height, width)
        with torch.inference_mode():
            assert predict_noise(unet, x, 100).shape == x.shape


def test_folding_keeps_every_pixel_in_its_place():
    """A U-Net that gives back its input must give back the image, whatever the fold."""
    unet = build_unet(fold=2, widths=(8, 8))
    unet.forward = lambda x, t: type("Output", (), {"sample": x})
    x = randn(1, 1, 10, 14)
    assert torch.equal(predict_noise(unet, x, 0), x)


def test_unet_has_attention_at_the_lowest_resolution_only():
    def attentions(unet):
        return [name for name, module in unet.named_modules() if type(module).__name__ == "Attention"]
    names = attentions(build_unet())
    assert names and all(name.startswith(("down_blocks.2", "mid_block", "up_blocks.0")) for name in names)
    assert not attentions(build_unet(attention=False))


def test_model_folder_is_a_plain_diffusers_one(tmp_path, tiny_unet):
    tiny_unet.save_pretrained(tmp_path)
    x = randn(1, 1, 16, 16)
    with torch.inference_mode():
        expected = predict_noise(tiny_unet, x, 7)
        for loaded in (load_unet(tmp_path), UNet2DModel.from_pretrained(tmp_path).eval()):
            torch.testing.assert_close(predict_noise(loaded, x, 7), expected)
    with pytest.raises(InputError, match="nowhere.config.json: no such file"):
        load_unet(tmp_path / "nowhere")


def test_denoise_calls_the_unet_once_a_step_and_ends_in_range(tiny_unet):
    x, kept = denoise(tiny_unet, randn(1, 1, 16, 16), 999, 10, keep_every=5)
    assert [t for t, _ in kept] == [999, 499] and x.abs().max() <= 1
    with pytest.raises(ValueError, match="steps=12"):
        denoise(tiny_unet, x, 10, 12)
