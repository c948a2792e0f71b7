"""The toy of the plane, in Chromium and from the file system: it learns, walks back, and is loud off the cloud."""

import numpy as np
import pytest

from radar_nb.method.diffusion import make_scheduler

PAGES = {"01_forward_diffusion": "noise", "02_backward_diffusion": "back", "03_attention_unet": "off", "04_train_with_accelerate": "train"}
TOY = "document.querySelector('.toy').toy"
WAIT = 120_000  # for three thousand steps on busy cores


def open_toy(context, book, notebook):
    page = context.new_page()
    page.errors, page.asked = [], []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto((book / "notebooks" / f"{notebook}.html").as_uri())
    page.wait_for_selector(".toy-plane")
    return page


def middle(page, x, y):
    """Where on the screen a place of the plane is."""
    box = page.locator(".toy-plane").bounding_box()
    return box["x"] + box["width"] * (1 + x / 2.4) / 2, box["y"] + box["height"] * (1 - y / 2.4) / 2


@pytest.fixture(scope="module")
def trained(book, chromium):
    """Page 04 after the reader has pressed "Train", with the default cloud."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    page = open_toy(context, book, "04_train_with_accelerate")
    page.get_by_role("button", name="Train: about 10 seconds").click()
    page.wait_for_function(f"{TOY}.losses && !{TOY}.trainer", timeout=WAIT)
    yield page
    assert not page.errors and all(url.startswith(("file:", "data:", "blob:")) for url in page.asked)
    context.close()


def test_the_noise_schedule_is_that_of_the_notebooks(trained):
    shares = np.array(trained.evaluate("Array.from(Toy.alphasCumprod)"))
    np.testing.assert_allclose(shares, make_scheduler().alphas_cumprod.numpy(), rtol=1e-4)
    x_t = trained.evaluate("[0, 300, 999].map((t) => Toy.addNoise(0.8, -0.5, t))")
    np.testing.assert_allclose(x_t, [np.sqrt(shares[t]) * 0.8 - np.sqrt(1 - shares[t]) * 0.5 for t in (0, 300, 999)])


def test_random_numbers_are_gaussian_and_come_from_the_seed(trained):
    draw = "(seed) => { const r = Toy.randomNumbers(seed); return Array.from({ length: 20000 }, () => r.gaussian()); }"
    values = np.array(trained.evaluate(draw, 1))
    assert abs(values.mean()) < 0.03 and abs(values.std() - 1) < 0.03 and abs((values**4).mean() - 3) < 0.3
    assert trained.evaluate(draw, 1) == values.tolist() != trained.evaluate(draw, 2)


def test_backpropagation_by_hand_is_the_slope_of_the_loss(trained):
    """Against finite differences, for a sample of the weights of each layer."""
    pairs = trained.evaluate("""() => {
        const network = new Toy.NoisePredictor(3), gradient = new Float64Array(network.weights.length), eps = [0.7, -1.1];
        const loss = () => { const e = network.predict(0.4, -0.9, 250); return ((e[0] - eps[0]) ** 2 + (e[1] - eps[1]) ** 2) / 2; };
        for (let i = 0; i < network.weights.length; i++) network.weights[i] *= 3;  // slopes worth looking at
        network.predict(0.4, -0.9, 250);
        network.backward(eps[0], eps[1], gradient);
        const pairs = [];
        for (let i = 0; i < gradient.length; i += 23) {
            const kept = network.weights[i];
            network.weights[i] = kept + 1e-5; const up = loss();
            network.weights[i] = kept - 1e-5; const down = loss();
            network.weights[i] = kept;
            pairs.push([gradient[i], (up - down) / 2e-5]);
        }
        return pairs;
    }""")
    by_hand, measured = np.array(pairs).T
    assert len(pairs) > 100 and np.abs(by_hand).max() > 0.1
    np.testing.assert_allclose(by_hand, measured, rtol=1e-4, atol=1e-7)


def test_the_loss_falls(trained):
    losses = np.array(trained.evaluate(f"{TOY}.losses"))
    assert len(losses) == 3000 and losses[:10].mean() > 0.7 and losses[-200:].mean() < 0.25
    assert "3000 of 3000 steps" in trained.locator(".toy-told").inner_text()
    assert trained.evaluate(f"{TOY}.weights.length") == 3458, "the number that page 03 tells"


def test_the_same_seed_trains_the_same_network(trained):
    same = trained.evaluate(f"""() => {{ const again = new Toy.Trainer({TOY}.cloud, 0, 3000);
        for (let n = 0; n < 30; n++) again.trainStep(); return again.losses; }}""")
    assert same == trained.evaluate(f"{TOY}.losses.slice(0, 30)")


def test_the_walk_back_ends_near_the_cloud(trained):
    stations = trained.evaluate(f"{TOY}.walk()")
    cloud = np.array(trained.evaluate(f"{TOY}.cloud"))

    def distances(points):
        return np.linalg.norm(np.array(points)[:, None] - cloud[None], axis=-1).min(1)

    assert [station["t"] for station in (stations[0], stations[-1])] == [999, 0] and len(stations) == 51
    start, end = distances(stations[0]["points"]), distances(stations[-1]["points"])
    assert np.median(start) > 0.2 and np.median(end) < 0.06 and np.quantile(end, 0.9) < 0.25
    covered = np.linalg.norm(cloud[:, None] - np.array(stations[-1]["points"])[None], axis=-1).min(1)
    assert np.quantile(covered, 0.9) < 0.25, "not all of the cloud is reached"


def test_off_the_cloud_more_is_called_noise_than_on_it(trained):
    """RADAR in two dimensions: the residual at t = 50, at every place that is far from the cloud and at points of it."""
    residuals = trained.evaluate(f"""() => {{
        const toy = {TOY}, line = [-1.8, -1.2, -0.6, 0, 0.6, 1.2, 1.8];
        const asked = (place) => Toy.ask(toy.network, toy.weights, place, 50, 60, 1).residual;
        const far = line.flatMap((x) => line.map((y) => [x, y])).filter((place) => toy.distance(place) > 0.5);
        return [toy.cloud.filter((_, n) => n % 10 === 0).map(asked), far.map(asked)];
    }}""")
    on, off = map(np.array, residuals)
    assert len(on) == 30 and len(off) > 15
    assert np.median(off) > 2.5 * np.median(on) and (off > np.quantile(on, 0.9)).all()


@pytest.mark.parametrize("notebook", PAGES)
def test_a_page_opens_the_toy_at_its_own_stage(book, pages, notebook):
    toy = pages[book / "notebooks" / f"{notebook}.html"].select_one(".toy")
    assert toy["data-stage"] == PAGES[notebook] and "JavaScript" in toy.text  # what is read where there is none
    scripts = [script["src"].split("?")[0] for script in pages[book / "notebooks" / f"{notebook}.html"].select("script[src]")]
    assert [name.split("/")[-1] for name in scripts if "toy" in name] == ["toy_model.js", "toy.js"]
    assert not pages[book / "notebooks" / "05_noise_maps.html"].select("script[src*=toy]")


def test_what_was_trained_is_there_on_the_next_page(book, trained):
    page = open_toy(trained.context, book, "03_attention_unet")
    page.get_by_role("button", name="Cross off the cloud").click()
    assert "Broken" in page.locator(".toy-told").inner_text()
    page.get_by_role("button", name="Cross on the cloud").click()
    assert "Normal" in page.locator(".toy-told").inner_text()
    assert not page.errors
    page.close()


def test_mouse_draws_and_too_few_points_are_told(book, chromium):
    context = chromium.new_context(viewport={"width": 800, "height": 900})
    page = open_toy(context, book, "04_train_with_accelerate")
    page.get_by_text("Draw", exact=True).click()
    page.get_by_role("button", name="Empty").click()
    page.mouse.move(*middle(page, -1, 0))
    page.mouse.down()
    page.mouse.up()
    assert page.locator(".toy-told").inner_text() == "3 points."
    page.get_by_text("Train", exact=True).click()
    page.locator(".toy").get_by_role("button", name="Train").click()
    assert page.locator(".toy-told").inner_text() == "Draw more first: 3 points, at least 20 are needed."
    page.get_by_text("Draw", exact=True).click()
    page.mouse.move(*middle(page, -1, 0))
    page.mouse.down()
    page.mouse.move(*middle(page, 1, 0.5), steps=20)
    page.mouse.up()
    cloud = np.array(page.evaluate(f"{TOY}.cloud"))
    assert len(cloud) > 40 and np.abs(cloud[:, 1] - (cloud[:, 0] + 1) / 4).max() < 0.4, "the points lie along the stroke"
    assert not page.errors
    context.close()


def test_a_finger_draws_on_a_phone(book, chromium):
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True, color_scheme="dark")
    page = open_toy(context, book, "01_forward_diffusion")
    page.get_by_text("Draw", exact=True).tap()
    page.get_by_role("button", name="Empty").tap()
    page.locator(".toy-plane").scroll_into_view_if_needed()
    page.touchscreen.tap(*middle(page, 0.5, 0.5))
    assert len(page.evaluate(f"{TOY}.cloud")) == 3
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    pixel = page.evaluate("Array.from(document.querySelector('.toy-plane').getContext('2d').getImageData(2, 2, 1, 1).data)")
    assert sum(pixel[:3]) < 150, "the plane is dark in the dark"
    assert not page.errors
    context.close()


def test_keys_alone_do_all_of_it(book, chromium):
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    page = open_toy(context, book, "01_forward_diffusion")
    page.locator(".toy-stages input:checked").focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator(".toy").get_attribute("data-stage") == "draw"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "toy-plane"
    before = page.evaluate(f"[{TOY}.cloud.length, ...{TOY}.cross]")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    after = page.evaluate(f"[{TOY}.cloud.length, ...{TOY}.cross]")
    assert after == pytest.approx([before[0] + 3, before[1] - 0.1, before[2] - 0.1])
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    assert "0 % of the variance is left from the cloud" in page.locator(".toy-told").inner_text()
    context.close()
