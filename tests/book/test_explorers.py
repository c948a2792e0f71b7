"""The explorers of the pages: alive in Chromium from the file system, they say what the ones in JupyterLab say, by mouse, touch and keyboard."""

import re

import numpy as np
import pytest
from test_access import faults_of

from radar_nb.data.named import load_dataset
from radar_nb.method.detector import RadarDetector
from radar_nb.runs.kit import PROFILES
from radar_nb.storage.places import REPOSITORY
from radar_nb.teaching.explorers.attention import explore_attention
from radar_nb.teaching.explorers.detection import examples, explore_features, explore_noise_map
from radar_nb.teaching.explorers.diffusion import explore_forward, explore_reverse
from radar_nb.teaching.explorers.texts import TEXTS

PAGES = {"explore_forward": "01_forward_diffusion", "explore_reverse": "02_backward_diffusion", "explore_attention": "03_attention_unet",
         "explore_noise_map": "05_noise_maps", "explore_features": "07_isolation_forest"}


@pytest.fixture(scope="module")
def data():
    return load_dataset("printed", PROFILES["smoke"].sizes, 0)


@pytest.fixture(scope="module")
def detector():
    """The network of the pages."""
    return RadarDetector.from_pretrained(REPOSITORY / "weights" / "printed-fast")


@pytest.fixture(scope="module")
def tabs(live_book, chromium):
    """Opens an explorer on its page, and keeps it for the tests that follow; a finger works as well as a mouse."""
    context, opened = chromium.new_context(viewport={"width": 1000, "height": 900}, has_touch=True), {}

    def tab(name):
        if name not in opened:
            page = context.new_page()
            page.errors, page.asked = [], []
            page.on("pageerror", lambda error: page.errors.append(str(error)))
            page.on("request", lambda request: page.asked.append(request.url))
            page.goto((live_book / "notebooks" / f"{PAGES[name]}.html").as_uri())
            page.locator(".live canvas").first.hover()  # wakes the network, where there is one
            opened[name] = page
        return opened[name]

    yield tab
    inside = live_book.as_uri() + "/"
    for page in opened.values():
        assert not page.errors
        assert all(url.startswith((inside, "data:", "blob:")) for url in page.asked), "a page asked a network"
    context.close()


def said(page, **values):
    """What the page says once it has drawn, with some controls at new values."""
    page.wait_for_function("() => { const { panel } = document.querySelector('.live') || {}; return panel && (!panel.network || panel.radar) && !panel.busy; }")
    page.evaluate("(values) => document.querySelector('.live').panel.set(values)", values)
    page.wait_for_function("() => { const { panel } = document.querySelector('.live'); return !panel.busy && panel.text.textContent; }")
    return page.locator(".live-text").inner_text()


def assert_same(words, expected):
    """The same words, with numbers that differ in their last digit at most."""
    number = r"-?\d+(?:\.\d+)?"
    assert re.sub(number, "0", words) == re.sub(number, "0", expected)
    for here, there in zip(re.findall(number, words), re.findall(number, expected), strict=True):
        assert abs(float(here) - float(there)) <= 1.01 * 10.0 ** -len(there.partition(".")[2]) * ("." in there), (words, expected)


def test_noising_says_the_same(tabs, data):
    explorer, page = explore_forward(examples(data)), tabs("explore_forward")
    assert_same(said(page), explorer.words)
    explorer.set(image="gap", t=700)
    assert_same(said(page, image="gap", t=700), explorer.words)
    assert page.locator("img[alt^='Forward diffusion']").first.is_hidden(), "the live one stands in the still's place"


def test_keys_move_a_slider(tabs):
    page = tabs("explore_forward")
    said(page, t=200)
    page.locator(".live").get_by_label("timestep t").focus()
    page.keyboard.press("ArrowRight")
    assert said(page).startswith("t = 201:")
    assert page.locator(".live canvas").first.get_attribute("aria-label").startswith("x_t. t = 201:")


def test_the_walk_back_is_the_same(tabs, data, detector):
    bad = int(np.flatnonzero(data.labels)[0])
    explorer, page = explore_reverse(detector.unet_, data.test[bad], data.masks[bad]), tabs("explore_reverse")
    for start, step in (("pure noise, t = 999", 8), ("the image with noise, t = 200", 20)):
        explorer.set(start=start, step=step)
        assert_same(said(page, start=start, step=step), explorer.words)
        for title, key in (("x_t goes in", "before"), ("its guess of the image", "guess"), ("a step further", "after")):
            seen = page.evaluate("""(key) => { // one pixel of each 8 x 8
                const { data } = document.querySelector('.live').panel.canvases[key].getContext('2d').getImageData(0, 0, 512, 512);
                return Array.from({ length: 4096 }, (_, i) => data[4 * ((8 * Math.floor(i / 64) + 4) * 512 + 8 * (i % 64) + 4)]); }""", key)
            expected = np.asarray(explorer._pictures[title].convert("L"))[4::8, 4::8]
            assert np.abs(np.reshape(seen, (64, 64)) - expected.astype(float)).mean() < 1, (start, title)


def test_play_walks_to_the_end(tabs):
    page = tabs("explore_reverse")
    said(page, start="the image with noise, t = 200", step=18)
    page.get_by_role("button", name="play").click()
    page.wait_for_function("() => document.querySelector('.live-text').textContent.startsWith('Step 3 of 20')", timeout=5000)


def test_attention_looks_where_it_does_in_python(tabs, data, detector):
    explorer, page = explore_attention(detector.unet_, data.test[int(np.flatnonzero(data.labels)[0])]), tabs("explore_attention")
    assert_same(said(page), explorer.words)
    box = page.locator(".live canvas").first.bounding_box()
    page.mouse.click(box["x"] + 0.2 * box["width"], box["y"] + 0.8 * box["height"])
    explorer.set(row=6, column=1)
    assert_same(said(page), explorer.words)
    page.touchscreen.tap(box["x"] + 0.9 * box["width"], box["y"] + 0.1 * box["height"])
    assert said(page).startswith("The place in row 0, column 7")


@pytest.mark.parametrize(("t", "reading"), [(1, "predicted"), (200, "noise_free"), (200, "residual")])
def test_noise_maps_have_the_same_statistics(tabs, data, detector, t, reading):
    explorer, page = explore_noise_map(detector.unet_, examples(data)), tabs("explore_noise_map")
    explorer.set(t=t, reading=reading)
    assert_same(said(page, t=t, reading=reading), explorer.words)


@pytest.mark.parametrize("values", [{}, {"contamination": 0.2}, {"count": 5, "view": "the cloud of normal images"}, {"count": 40, "contamination": 0.1}])
def test_the_forest_says_the_same(tabs, data, detector, values):
    explorer, page = explore_features(detector, detector.features(data.test), data.labels), tabs("explore_features")
    start = {"contamination": 0.05, "count": len(detector.calibration_features_), "view": "all images"} | values
    explorer.set(**start)
    assert said(page, **(start | {"count": str(start["count"])})) == explorer.words
    assert page.locator(".live-status").inner_text() == TEXTS["live"]["loaded"], "whose features they are"


@pytest.mark.parametrize("name", PAGES)
def test_tab_reaches_each_control_and_keys_change_the_pictures(tabs, name):
    page, pictures = tabs(name), "[...document.querySelectorAll('.live canvas')].map((canvas) => canvas.toDataURL()).join()"
    said(page)
    count = page.evaluate("() => { const all = document.querySelectorAll('.live :is(input[type=range], select, input:checked, button)'); all[0].focus(); return all.length; }")
    for n in range(count):
        kind, at_the_end, inside = page.evaluate("(e => [e.type, (e.value === e.max) || (e.options && e.selectedIndex === e.options.length - 1), "
                                                 "e.closest('.live') !== null])(document.activeElement)")
        assert inside, n
        if kind in ("range", "radio", "select-one"):
            page.evaluate(f"window.before = {pictures}")
            page.keyboard.press("ArrowUp" if at_the_end and kind != "range" else "ArrowLeft" if at_the_end else "ArrowDown" if kind == "select-one" else "ArrowRight")
            page.wait_for_function(f"!document.querySelector('.live').panel.busy && {pictures} !== window.before", timeout=20_000)
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.live') === null"), "Tab leaves the explorer"


@pytest.mark.parametrize("name", ["explore_noise_map", "explore_features"])
def test_on_a_phone_plots_can_be_read(live_book, chromium, name):
    """They take the whole width, their words are at least 12 pixels high, also when the phone is turned; nothing is wider than the page."""
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True, color_scheme="dark")
    page = context.new_page()
    page.goto((live_book / "notebooks" / f"{PAGES[name]}.html").as_uri())
    page.locator(".live canvas").first.tap()
    said(page)
    words = """() => [...document.querySelectorAll(".live-plot canvas")].map((canvas) =>
        [parseFloat(canvas.getContext("2d").font) * canvas.clientWidth / canvas.width, canvas.clientWidth])"""
    for width, height in ((390, 844), (844, 390)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(300)
        said(page)
        seen = page.evaluate(words)
        assert seen and all(12 <= size <= 16 for size, _ in seen), seen
        assert width > 390 or all(shown > 240 for _, shown in seen), seen
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    pixel = page.evaluate("Array.from(document.querySelector('.live-plot canvas').getContext('2d').getImageData(1, 1, 1, 1).data)")
    assert sum(pixel[:3]) < 150, "plots are dark in the dark"
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_awake_it_has_no_serious_fault_in_the_light_and_in_the_dark(tabs, axe, name):
    page = tabs(name)
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        said(page)
        assert not faults_of(page, axe, explorer=True), scheme


def test_a_drawing_that_fails_is_told(tabs):
    page = tabs("explore_noise_map")
    said(page)
    page.evaluate("() => { const { panel } = document.querySelector('.live'); panel.kept = panel.radar.noiseMap; "
                  "panel.radar.noiseMap = () => { throw new Error('out of memory'); }; panel.redraw(); }")
    page.wait_for_function("document.querySelector('.live-status').textContent.includes('out of memory')")
    page.evaluate("() => { const { panel } = document.querySelector('.live'); panel.radar.noiseMap = panel.kept; panel.redraw(); }")
    page.wait_for_function("!document.querySelector('.live-status').textContent.includes('out of memory')")


@pytest.mark.parametrize("name", PAGES)
def test_the_network_comes_at_the_first_touch_only(live_book, chromium, name):
    page, asked = chromium.new_page(), []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    page.goto((live_book / "notebooks" / f"{PAGES[name]}.html").as_uri())
    page.wait_for_function("() => { const { panel } = document.querySelector('.live') || {}; return panel && !panel.busy; }")
    small = {"explore_forward": "", "explore_features": TEXTS["live"]["loaded"]}
    words = page.locator(".live-status").inner_text()
    assert words == small[name] if name in small else re.fullmatch(r"\d\.\d MB are loaded once you touch this\.", words)
    assert "labels.js" in asked and not {"runtime.js", "printed-fast.js"} & set(asked)
    page.close()


def test_without_webassembly_the_still_stays(live_book, chromium):
    context = chromium.new_context()
    context.add_init_script("delete window.WebAssembly")
    page = context.new_page()
    page.goto((live_book / "notebooks" / "05_noise_maps.html").as_uri())
    page.wait_for_timeout(500)
    assert page.locator(".live").is_hidden()
    assert page.locator("img[alt^='An image, its noise map']").first.is_visible()
    context.close()
