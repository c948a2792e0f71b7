"""The explorers without a browser: their controls are moved in Python, and what they show is looked at. `test_browser.py` clicks them."""

import base64
import io
import statistics
import time

import nbformat
import numpy as np
import PIL.Image
import pytest
import torch
from ipywidgets import Image
from small import SMALL

from radar_nb.data.images import to_tensor
from radar_nb.data.named import load_dataset
from radar_nb.method.detector import RadarDetector
from radar_nb.method.noise_map import gaussian_statistics
from radar_nb.method.unet import build_unet
from radar_nb.storage.places import NOTEBOOKS
from radar_nb.teaching.explorers.attention import attention_layers, attention_weights, explore_attention
from radar_nb.teaching.explorers.detection import examples, explore_features, explore_noise_map
from radar_nb.teaching.explorers.diffusion import explore_forward, explore_reverse
from radar_nb.teaching.explorers.paint import Painting, explore_paint
from radar_nb.teaching.explorers.panel import Backdrop


@pytest.fixture(scope="module")
def data():
    return load_dataset("printed", SMALL)


@pytest.fixture(scope="module")
def images(data):
    return examples(data)


@pytest.fixture(scope="module")
def defective(data):
    index = int(np.flatnonzero(data.labels)[0])
    return data.test[index], data.masks[index]


@pytest.fixture(scope="module")
def normal(data):
    return {"normal": data.test[data.kinds.index("good") + 1]}  # the first is a false alarm


@pytest.fixture(params=["forward", "reverse", "attention", "noise_map", "features", "paint"])
def explorer(request, data, images, defective, normal, released_unet, detector):
    """Each of the six in turn."""
    return {"forward": lambda: explore_forward(images),
            "reverse": lambda: explore_reverse(released_unet, *defective, steps=4),
            "attention": lambda: explore_attention(released_unet, defective[0]),
            "noise_map": lambda: explore_noise_map(released_unet, images),
            "features": lambda: explore_features(detector, detector.features(data.test), data.labels),
            "paint": lambda: explore_paint(detector, normal)}[request.param]()


def seen(explorer, title):
    """The picture of this title, as a browser gets it."""
    return np.asarray(PIL.Image.open(io.BytesIO(explorer.pictures[title].value)).convert("RGB")).astype(int)


def test_every_control_changes_what_is_seen(explorer):
    for name, control in explorer.controls.items():
        before = {title: picture.value for title, picture in explorer.pictures.items()}, explorer.text.value
        options = [option[1] if isinstance(option, tuple) else option for option in getattr(control, "options", ())]
        if name in ("grey", "opacity") or len(options) == 1:  # they show with the next stroke only
            continue
        control.value = next(option for option in options if option != control.value) if options else control.value - control.step
        after = {title: picture.value for title, picture in explorer.pictures.items()}, explorer.text.value
        assert before != after, name
    assert all(isinstance(picture, Image) and picture.tooltip.startswith(title) for title, picture in explorer.pictures.items())


def test_a_still_picture_is_in_the_place_of_the_widget(explorer):
    bundle, metadata = explorer._repr_mimebundle_()
    still = PIL.Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert "application/vnd.jupyter.widget-view+json" in bundle and still.width > 300 and len(bundle["image/png"]) < 80_000
    assert len(still.convert("L").getcolors()) > 20
    alt = metadata["image/png"]["alt"]
    assert len(alt) > 60 and alt in bundle["text/plain"] and metadata["image/png"]["name"].startswith("explore_")


def test_forward_is_the_image_at_first_and_a_bell_at_last(images):
    explorer = explore_forward(images)
    explorer.set(t=0)
    image = next(iter(images.values()))
    assert np.abs(seen(explorer, "x_t")[::8, ::8, 0] - image).mean() < 3
    explorer.set(t=999)
    assert "0.01 times the image" in explorer.words and "-43.9 dB" in explorer.words
    last = seen(explorer, "x_t")
    explorer.set(image=list(images)[1])
    assert np.abs(seen(explorer, "x_t") - last).mean() < 3  # x_999 has forgotten which image it was


def test_reverse_ends_where_it_started_from(released_unet, defective):
    explorer = explore_reverse(released_unet, *defective, steps=6)
    explorer.set(start="the image with noise, t = 200", step=6)
    assert "the clean image" in explorer.words
    assert np.corrcoef(seen(explorer, "a step further")[::8, ::8, 0].ravel(), defective[0].ravel())[0, 1] > 0.8
    steps = [seen(explorer, "x_t goes in")]
    explorer.set(step=5)
    assert np.abs(seen(explorer, "a step further") - steps[0]).max() == 0  # what comes out of one step goes into the next


def test_attention_follows_a_click(released_unet, defective):
    explorer = explore_attention(released_unet, defective[0])
    side, layer = 512 // 8, attention_layers(released_unet)[0]
    click = explorer.handlers["click a place"]
    click("click", 2.5 * side, 1.2 * side)
    assert (explorer.controls["row"].value, explorer.controls["column"].value) == (1, 2)
    weights = attention_weights(released_unet, to_tensor(defective[0])[None], 200, layer)
    assert np.allclose(weights.sum(axis=1), 1, atol=1e-5)
    best = int(weights[1 * 8 + 2].argmax())
    assert f"most of all to row {best // 8}, column {best % 8}: {weights[10].max():.2%}" in explorer.words
    click("click", 10_000, -5)  # outside counts as the edge
    assert (explorer.controls["row"].value, explorer.controls["column"].value) == (0, 7)


def test_attention_needs_a_network_that_has_it(defective):
    torch.manual_seed(0)
    with pytest.raises(ValueError, match="attention=True"):
        explore_attention(build_unet(widths=(8, 8), attention=False), defective[0])


def test_noise_map_tells_the_readings_apart(released_unet, images, detector):
    explorer = explore_noise_map(released_unet, images)
    kind = explorer.controls["image"].value
    expected = gaussian_statistics(detector.noise_maps([images[kind]])[0].mean(0))["std"]
    assert f"deviation {expected:.2f}" in explorer.words
    explorer.set(reading="predicted", t=200)
    assert abs(float(explorer.words.split("deviation ")[1].split(",")[0]) - 1) < 0.1  # the noise that was put in


def test_features_follow_the_contamination(data, detector):
    features = detector.features(data.test)
    explorer = explore_features(detector, features, data.labels)
    few = seen(explorer, "feature plane")
    counts = []
    for contamination in (0.05, 0.5):
        explorer.set(contamination=contamination)
        counts.append(int(explorer.words.split("False alarms: ")[1].split()[0]))
    assert counts[0] < counts[1]
    shaded = [(np.abs(picture - [204, 227, 240]).max(axis=2) < 12).sum() for picture in (few, seen(explorer, "feature plane"))]
    assert shaded[0] > shaded[1] > 0  # a larger contamination leaves a smaller region


def test_a_dark_blob_makes_the_decision(detector, normal):
    explorer = explore_paint(detector, normal)
    assert "ANOMALOUS" in explorer.alt  # the still has a dab
    assert "Decision: normal" in explorer.words
    clean = {title: seen(explorer, title) for title in explorer.pictures}
    explorer.set(row=20, column=40, size=9, grey=0)
    explorer.buttons["dab"].click()
    assert "Decision: ANOMALOUS" in explorer.words
    assert seen(explorer, "paint here")[20 * 10 + 5, 40 * 10 + 5].max() == 0
    change = np.abs(seen(explorer, "noise map") - clean["noise map"]).sum(axis=2)
    near = change[8 * 20 - 60:8 * 20 + 60, 8 * 40 - 60:8 * 40 + 60].mean()
    assert near > 5 * change[-100:, :100].mean()
    explorer.buttons["undo"].click()
    assert "Decision: normal" in explorer.words and np.array_equal(seen(explorer, "noise map"), clean["noise map"])
    explorer.set(opacity=5)
    explorer.buttons["dab"].click()
    assert "Decision: normal" in explorer.words  # hardly to be seen
    explorer.buttons["start again"].click()
    assert not explorer.strokes


def test_the_mouse_paints_a_stroke(detector, normal):
    explorer = explore_paint(detector, normal)
    explorer.set(size=5, grey=0)
    mouse = explorer.handlers["paint here"]
    mouse("mousemove", 100, 100)
    assert not explorer.strokes  # no button was pressed
    mouse("mousedown", 100, 100)
    for x in range(100, 400, 60):
        mouse("mousemove", x, 100)
    mouse("mouseup", 400, 100)
    mouse("mousemove", 600, 600)  # one that comes late
    painted = seen(explorer, "paint here")
    assert len(explorer.strokes) == 1 and "ANOMALOUS" in explorer.words
    assert painted[100, 105:400].max() == 0 and painted[600, 600].min() > 0
    looks = len(explorer._trail)
    mouse("mousedown", 300, 300)
    mouse("mouseup", 300, 300)
    assert len(explorer._trail) == looks + 1  # one answer to one click


def test_an_answer_takes_less_than_half_a_second(detector, normal):
    """On an image of 128 x 128 pixels, the median of nine. Processor time, so that a busy machine does not fail it; on an idle one
    that is the time on the clock or more."""
    image = {"large": np.tile(normal["normal"], (2, 2))}
    explorer, seconds = explore_paint(detector, image), []
    for row in range(10, 100, 10):
        explorer.set(row=row)
        began = time.process_time()
        explorer.dab()
        seconds.append(time.process_time() - began)
    assert statistics.median(seconds) < 0.5, seconds


@pytest.mark.parametrize("kind", ["grey", "rgb", "float"])
def test_a_painting_leaves_the_image_alone(rng, kind):
    image = {"grey": rng.integers(0, 256, (40, 50), dtype=np.uint8), "rgb": rng.integers(0, 256, (40, 50, 3), dtype=np.uint8),
             "float": rng.random((40, 50))}[kind]
    painting, before = Painting(image), image.copy()
    painting.begin(0.5, 0.25)
    painting.stroke((10, 10), (10, 30), 3)
    result = painting.result()
    assert np.array_equal(image, before) and result.shape == image.shape and (result.dtype == np.uint8) == (kind != "float")
    half = 255 / 2 if kind != "float" else 0.5
    assert np.allclose(result[10, 20], 0.75 * image[10, 20] + 0.25 * half, atol=0.51 if kind != "float" else 1e-6)
    assert np.allclose(result[20], image[20]) and np.allclose(result[:, 35], image[:, 35])


def test_a_backdrop_knows_where_its_axes_are():
    def draw(axes):
        axes.set(xlim=(0, 10), ylim=(1, 1000), yscale="log")
        axes.plot([2], [100], "s", color="#ff0000", markersize=8)

    backdrop = Backdrop(draw)
    picture, _ = backdrop.copy()
    red = np.argwhere((np.asarray(picture) == [255, 0, 0]).all(axis=2)).mean(axis=0)
    assert np.abs(backdrop.pixels([2], [100])[0] - red[::-1]).max() < 2
    assert np.allclose(backdrop.inside(backdrop.pixels([-5], [1e9])), [backdrop.box[:2]])


def test_colour_and_odd_sizes(rng):
    """RGB images of a size that fits no grid, through an untrained network: nothing to see, but nothing fails."""
    torch.manual_seed(0)
    unet = build_unet(channels=3, widths=(8, 8)).eval()
    images = {f"image {number}": rng.integers(0, 256, (37, 90, 3), dtype=np.uint8) for number in range(4)}
    detector = RadarDetector(unet=unet).fit(images.values())
    labels, features = np.array([False, True, True, True]), detector.features(images.values())
    for explorer in (explore_forward(images), explore_reverse(unet, images["image 0"], steps=2), explore_attention(unet, images["image 0"]),
                     explore_noise_map(unet, images), explore_features(detector, features, labels), explore_paint(detector, images)):
        explorer.set(**{name: control.max for name, control in explorer.controls.items() if hasattr(control, "max")})
        assert explorer.words
    explorer.dab()
    assert np.asarray(explorer.strokes[0][0]).sum() > 0


def test_a_drag_goes_where_the_mouse_is_while_the_picture_reloads(detector, normal):
    """A browser says dataX = dataY = 0 for an image that it is loading: no line to the corner."""
    explorer = explore_paint(detector, normal)
    explorer.set(size=3, grey=0)
    hear = explorer.hears["paint here"]

    def moved(kind, x, y):  # as ipyevents says it, on a page that shows the picture at 320 pixels
        hear({"type": kind, "dataX": 0, "dataY": 0, "relativeX": x / 2, "relativeY": y / 2, "boundingRectWidth": 320, "boundingRectHeight": 4})

    moved("mousedown", 400, 400)
    moved("mousemove", 500, 400)
    hear({"type": "mousemove", "dataX": None, "dataY": None, "relativeX": 0, "relativeY": 0, "boundingRectWidth": 0})
    explorer.handlers["paint here"]("mousemove", 0, 0)
    moved("mouseup", 500, 500)
    (stroke,) = explorer.strokes
    rows, columns = np.nonzero(np.asarray(stroke[0]))
    assert rows.min() * 10 > 370 and columns.min() * 10 > 370
    explorer.handlers["paint here"]("mousedown", 0, 0)
    assert len(explorer.strokes) == 1


def test_the_ring_goes_with_the_mouse_and_is_no_blob(detector, normal):
    explorer = explore_paint(detector, normal)
    before = seen(explorer, "paint here")
    explorer.handlers["paint here"]("mousemove", 305, 205)
    assert (explorer.controls["row"].value, explorer.controls["column"].value) == (20, 30) and not explorer.strokes
    changed = np.abs(seen(explorer, "paint here") - before).max(axis=2) > 0
    assert changed[150:260, 250:360].any() and not changed[200:210, 300:310].any()  # round the place, not on it
    explorer.handlers["paint here"]("mousemove", 10_000, -5)
    assert explorer.controls["row"].value == 0 and explorer.controls["column"].value == 63


def test_the_border_can_be_watched_from_near(data, detector):
    explorer = explore_features(detector, detector.features(data.test), data.labels)
    shares = []
    for view in ("all images", "the cloud of normal images"):
        explorer.set(view=view)
        picture = seen(explorer, "feature plane")
        shares.append((np.abs(picture - [204, 227, 240]).max(axis=2) < 12).mean())
    assert shares[1] > 0.2 and shares[1] > 2 * shares[0]
    assert explorer.controls["count"].options == tuple(sorted(explorer.controls["count"].options))


def test_slow_cells_say_what_they_do_and_about_how_long():
    """Cells that load, train, fit or compare at length, by what they call; the rest was timed by hand."""
    calls = ("\nkit = Kit(", "train_into(kit.", "fit_method(", "run_variant('", "run_variant(name", "time_methods(", "three_parts(kit)")
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        for cell in nbformat.read(path, 4).cells:
            own_folder = "str(folder)" in cell.source  # quick: the images are read later
            if cell.cell_type == "code" and any(call in cell.source for call in calls) and not own_folder:
                assert cell.source.startswith("# About "), f"{path.name}: {cell.source[:80]}"
