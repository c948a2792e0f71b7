"""The book from the file system in Firefox: the toy learns, exercises answer, notes open, search shows excerpts, nothing is asked of a network."""

import base64
import json
import shutil

import numpy as np
import pytest

from radar_nb.data.dataset import Sizes
from radar_nb.data.named import load_dataset
from radar_nb.method.detector import RadarDetector
from radar_nb.storage.places import REPOSITORY

pytest.importorskip("websocket", reason="Firefox is asked through a web socket")
from firefox import Firefox  # noqa: E402

PROGRAM = shutil.which("firefox-esr") or shutil.which("firefox")
DOWN, ENTER, SPACE = "\uE015", "\uE007", " "
UNTIL = "new Promise((found) => {{ const look = () => {{ const it = {code}; if (it) found(it); else setTimeout(look, 50); }}; look(); }})"


@pytest.fixture(scope="module")
def firefox(tmp_path_factory):
    if not PROGRAM:
        pytest.skip("no Firefox on this machine")
    with Firefox(PROGRAM, tmp_path_factory.mktemp("firefox")) as browser:
        yield browser


@pytest.fixture
def visit(book, firefox):
    """Open a page; afterwards no error was logged, and nothing but files was asked for."""
    firefox.events.clear()
    yield lambda name, query="": firefox.goto((book / name).as_uri() + query)
    logged = [event["params"]["text"] for event in firefox.events if event.get("method") == "log.entryAdded" and event["params"]["level"] == "error"]
    asked = [event["params"]["request"]["url"] for event in firefox.events if event.get("method") == "network.beforeRequestSent"]
    assert not logged and all(url.startswith(("file:", "data:", "about:", "resource:", "blob:")) for url in asked), (logged, asked)


def test_the_toy_learns(firefox, visit):
    visit("notebooks/04_train_with_accelerate.html")
    firefox.evaluate("[...document.querySelectorAll('.toy button')].find((b) => b.textContent.startsWith('Train')).click()")
    loss = firefox.evaluate(UNTIL.format(code="(!document.querySelector('.toy').toy.trainer && document.querySelector('.toy').toy.losses)"))
    assert len(loss) == 3000 and sum(loss[-200:]) / 200 < 0.25 < 0.7 < sum(loss[:10]) / 10
    firefox.evaluate("document.querySelector('.toy input[value=off]').click()")
    assert "Broken" in firefox.evaluate("document.querySelector('.toy-told').textContent")


def test_exercises_answer_to_the_keyboard(firefox, visit):
    visit("notebooks/00_start_here.html")
    firefox.evaluate("document.querySelector('form.exercise input').focus()")
    firefox.key(SPACE, DOWN, ENTER)
    assert firefox.evaluate("document.querySelector('.verdict').textContent").startswith("✓ Right")


def test_a_note_opens_and_the_figure_is_the_light_or_the_dark_one(firefox, visit):
    visit("notebooks/05_noise_maps.html")
    firefox.click("button.term")
    assert firefox.evaluate("document.querySelectorAll('.term-note:popover-open').length") == 1
    seen = firefox.evaluate("['only-light', 'only-dark'].map((name) => [...document.querySelectorAll(`article img.${name}`)].filter((i) => i.offsetParent).length)")
    assert sorted(map(bool, seen)) == [False, True]


def test_search_shows_excerpts(firefox, visit):
    visit("search.html", "?q=kurtosis")
    assert firefox.evaluate(UNTIL.format(code="document.querySelector('.excerpt mark')?.textContent")) == "kurtosis"


def test_paint_and_the_page_decides(firefox, visit, live_book):
    """By the mouse, then by the keyboard; the U-Net runs from the file system here too."""
    visit("docs/book/index.html")
    firefox.evaluate(UNTIL.format(code="!!document.querySelector('.live').panel"))
    firefox.click(".live canvas")
    assert firefox.evaluate(UNTIL.format(code="document.querySelector('.live').dataset.decision")) == "anomalous"
    firefox.click(".live-controls button")  # a window without focus, as here, does not press buttons by key
    assert firefox.evaluate(UNTIL.format(code="document.querySelector('.live').dataset.decision === 'normal' && document.querySelector('.live-text').textContent")) == "NORMAL"
    firefox.evaluate("document.querySelector('.live canvas').focus()")
    firefox.key(SPACE)
    assert firefox.evaluate(UNTIL.format(code="document.querySelector('.live').dataset.decision === 'anomalous'"))


def test_firefox_gives_the_numbers_of_python(firefox, visit, live_book):
    """Ten images; Chromium is asked for a hundred in test_live.py."""
    images = list(load_dataset("printed", Sizes(train=1, calibrate=1, test_good=5, test_per_defect=1), 321).test)
    expected = list(RadarDetector.from_pretrained(REPOSITORY / "weights" / "printed-fast").inspect(images))
    visit("docs/book/index.html")
    sent = json.dumps([[*image.shape, base64.b64encode(image.tobytes()).decode()] for image in images])
    found = firefox.evaluate(f"""(async () => {{
        const radar = await Radar.load("printed-fast"), all = [];
        for (const [height, width, text] of {sent}) {{
            const found = await radar.inspect({{ data: Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)), height, width }});
            all.push([...found.features, found.normal]);
        }}
        return all; }})()""")
    np.testing.assert_allclose([one[:2] for one in found], [one["features"] for one in expected], rtol=1e-4)
    assert [one[2] for one in found] == [one["normal"] for one in expected]
