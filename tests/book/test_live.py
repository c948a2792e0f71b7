"""The live parts: in Chromium and from the file system, the page decides as Python does, and its parts answer as the Python ones."""

import base64

import numpy as np
import pytest
import torch

from radar_nb.data.dataset import Sizes
from radar_nb.data.images import to_tensor
from radar_nb.data.named import load_dataset
from radar_nb.method import diffusion, features, noise_map
from radar_nb.method.detector import RadarDetector
from radar_nb.storage.places import REPOSITORY
from radar_nb.teaching.explorers.attention import attention_weights

FIRST, START = "docs/book/index.html", "notebooks/00_start_here.html"
PIXELS = "const pixels = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)); "


@pytest.fixture(scope="module")
def page(live_book, chromium):
    """The first page of the book, from the file system."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    page, asked, errors = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((live_book / FIRST).as_uri())
    yield page
    context.close()
    assert not errors
    inside = live_book.as_uri() + "/"
    assert asked and all(url.startswith((inside, "data:", "blob:null/", "blob:file:")) for url in asked), asked


def sent(images):
    """Images for JavaScript: height, width and base64."""
    return [[*image.shape, base64.b64encode(np.ascontiguousarray(image).tobytes()).decode()] for image in images]


# ---- the same numbers

@pytest.mark.parametrize(("network", "dataset", "good", "each"), [("printed-fast", "printed", 50, 10), ("texture", "texture", 16, 4), ("extrusion", "extrusion", 8, 4)])
def test_the_page_decides_as_python_does(page, network, dataset, good, each):
    """100 images of `printed`, fewer of the slower networks, none of them ever seen before."""
    data = load_dataset(dataset, Sizes(train=1, calibrate=1, test_good=good, test_per_defect=each), 123)
    images = list(data.test)
    assert len(images) >= (100 if network == "printed-fast" else 16)
    detector = RadarDetector.from_pretrained(REPOSITORY / "weights" / network)
    expected = list(detector.inspect(images))
    found = page.evaluate("async ([name, images]) => { " + PIXELS + """
        const radar = await Radar.load(name), all = [];
        for (const [height, width, text] of images) {
            const { features, score, normal, mask } = await radar.inspect({ data: pixels(text), height, width });
            all.push({ features, score, normal, masked: mask.reduce((sum, one) => sum + one, 0) });
        }
        return all; }""", [network, sent(images)])
    np.testing.assert_allclose([one["features"] for one in found], [one["features"] for one in expected], rtol=1e-4)
    assert [one["normal"] for one in found] == [one["normal"] for one in expected]
    np.testing.assert_allclose([one["score"] for one in found], [one["score"] for one in expected], atol=5e-3)  # a step of one tree
    assert np.abs(np.array([one["masked"] for one in found]) - [one["mask"].sum() for one in expected]).max() <= 3
    assert 0.1 < np.mean([one["normal"] for one in found]) < 0.9


@pytest.fixture(scope="module")
def detector():
    return RadarDetector.from_pretrained(REPOSITORY / "weights" / "printed-fast")


def test_random_numbers_are_those_of_torch(page):
    for count, seed in ((16, 0), (4096, 7), (1003, 2**31 - 1)):
        expected = torch.randn(count, generator=torch.Generator().manual_seed(seed))
        np.testing.assert_allclose(page.evaluate(f"Array.from(RadarMaths.randn({count}, {seed}))"), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(32, 40), (37, 53)])
def test_the_arithmetic_is_that_of_the_package(page, shape):
    """Blur, Sobel, norms, smoothing, forward and backward step, on a map of odd sides too."""
    rng = np.random.default_rng(0)
    values, eps = rng.normal(size=(2, *shape)).astype(np.float32)
    found = page.evaluate("([values, eps, h, w]) => { const [map, noise] = [values, eps].map((one) => Float32Array.from(one)), M = RadarMaths; return {"
                          "blur: M.blur(map, h, w, 5), sobel3: M.sobel(map, h, w, 3), sobel5: M.sobel(map, h, w, 5), smooth: M.smooth(map, h, w, 3), "
                          "features: M.features(map, h, w, 20), add: M.addNoise(map, noise, 300), back: M.reverseStep(map, noise, 300, 250) }; }",
                          [values.ravel().tolist(), eps.ravel().tolist(), *shape])
    found = {key: np.array(list(value.values()) if isinstance(value, dict) else value) for key, value in found.items()}
    four, alphas = values[None, None], diffusion.make_scheduler().alphas_cumprod
    x, noise = (torch.from_numpy(one)[None, None] for one in (values, eps))
    expected = {"blur": features.blur(four, 5), "sobel3": features.sobel_magnitude(four, 3), "sobel5": features.sobel_magnitude(four, 5),
                "smooth": RadarDetector()._smooth(values[None]), "features": features.extract_features(values[None], 20),
                "add": diffusion.add_noise(x, noise, 300, alphas), "back": diffusion.reverse_step(x, noise, 300, 250, alphas)}
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], np.ravel(value), rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(("shape", "timestep"), [((64, 64), 1), ((70, 83), 500)])
def test_the_network_is_that_of_python(page, detector, shape, timestep):
    """At any timestep, and on sides that are no multiple of its grid; attention too."""
    image = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    found = page.evaluate("async ([h, w, text, t]) => { " + PIXELS + """
        const radar = await Radar.load("printed-fast"), x = Float32Array.from(pixels(text), (value) => value / 255 * 2 - 1), answer = {};
        const layer = Object.keys(radar.settings.attention)[0], { weights } = await radar.attention(x, h, w, t, layer);
        for (const reading of ["predicted", "residual", "noise_free"]) answer[reading] = Array.from(await radar.noiseMap({ data: pixels(text), height: h, width: w }, t, reading));
        return { ...answer, layer, weights: Array.from(weights) }; }""", [*sent([image])[0], timestep])
    x0 = to_tensor(image)[None]
    for reading in noise_map.READINGS:
        eps = noise_map.fixed_noise(x0.shape[1:], detector.random_state)[None]
        expected = noise_map.noise_map(noise_map.whole_image(detector.unet_), x0, timestep, reading, eps)
        np.testing.assert_allclose(found[reading], expected.ravel(), atol=2e-4, err_msg=reading)
    if shape == (64, 64):
        np.testing.assert_allclose(found["weights"], attention_weights(detector.unet_, x0, timestep, found["layer"]).ravel(), atol=1e-5)
