"""The book as a book: folded code, dark figures, glossary notes, exercises that check themselves, search, progress, cheat sheet."""

import ast
import inspect
import json
import re
import subprocess
import sys
from importlib import import_module

import nbformat
import numpy as np
import PIL.Image
import pytest
import torch
import yaml
from bs4 import BeautifulSoup

from radar_nb.experiments.metrics import image_metrics
from radar_nb.method import diffusion, features, noise_map
from radar_nb.method.detector import RadarDetector
from radar_nb.method.unet import build_unet
from radar_nb.storage.places import REPOSITORY
from radar_nb.teaching.exercises import EXERCISES, kinds
from radar_nb.teaching.exercises.kinds import Choice, Number

sys.path.insert(0, str(REPOSITORY / "docs" / "book" / "ext"))
answers, dark_figures, folding, launch, terms = map(import_module, ("answers", "dark_figures", "folding", "launch", "terms"))

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("[0-9]*.ipynb"))
IN_PAGE = [each for each in EXERCISES if isinstance(each, (Choice, Number))]


# ---- folded code

@pytest.mark.parametrize(("code", "tags", "folded"), [
    ("figure, axes = new_figure()\n_ = axes.plot(x)\nshow(figure, alt='a')", [], True),
    ("import numpy as np\nkit = Kit(profile, dataset, seed)\nprint(kit.data)", [], True),
    ("profile = 'smoke'", ["parameters"], True),
    ("answer = ...\nexercise('00.1').check(answer)", [], True),
    ("def forward(x0, eps, a):\n    return a**0.5 * x0 + (1 - a)**0.5 * eps", [], False),
    ("maps = detector.noise_maps(images)\nvalues = maps.std()\nlow = values < 1\nshow(figure)", [], False),
    ("def mended(x):\n    return ...\nexercise('01.1').check(mended)", [], False)])
def test_drawing_is_folded_and_ideas_are_not(code, tags, folded):
    assert folding.folded(code, tags) == folded


def test_on_each_page_some_code_is_folded_and_most_is_not(book, pages):
    for path in NOTEBOOKS:
        cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        expected = [folding.folded(cell.source, cell.metadata.get("tags", [])) for cell in cells]
        shown = pages[book / "notebooks" / f"{path.stem}.html"].select("div.cell")
        assert ["tag_hide-input" in cell["class"] for cell in shown] == expected
        assert 2 <= sum(expected) <= 0.7 * len(expected), path.stem
    essential = BeautifulSoup((book / "notebooks" / "01_forward_diffusion.html").read_text(), "html.parser")
    by_hand = next(cell for cell in essential.select("div.cell") if "def forward_by_hand" in cell.text)
    assert not by_hand.select("details")


# ---- figures

def test_a_dark_figure_keeps_its_pictures():
    """Paper and ink change places, a hue stays a hue, and an image inside is the same to the last pixel."""
    rng = np.random.default_rng(0)
    light = np.full((120, 300, 3), 255, np.uint8)
    light[30:90, 20:100] = rng.integers(0, 256, (60, 80, 1))  # a grey image, whites included
    light[40:80, 150:260] = (0, 114, 178)  # a bar of a chart
    light[10:14, 20:60] = 0  # letters
    dark = dark_figures.darkened(light)
    assert (dark[30:90, 20:100] == light[30:90, 20:100]).all()
    assert dark[0, 0].max() < 40 and dark[11, 30].min() > 220
    red, green, blue = dark[60, 200].astype(int)
    assert red < green < blue and blue > 200


def test_each_figure_has_a_dark_twin_with_the_same_words(book, pages):
    pairs = 0
    for page, soup in pages.items():
        for image in soup.select("article img.only-light"):
            twin = image.find_next("img", class_="only-dark")
            assert twin["alt"] == image["alt"]
            light, dark = (np.asarray(PIL.Image.open((page.parent / each["src"]).resolve()).convert("L")) for each in (image, twin))
            assert light.shape == dark.shape and light[0, 0] > 250 and dark[0, 0] < 40
            pairs += 1
    assert pairs > 60


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_one_of_the_two_figures_is_seen(visit, scheme):
    page = visit("notebooks/05_noise_maps.html", color_scheme=scheme)
    other = {"light": "dark", "dark": "light"}[scheme]
    assert page.locator(f"article img.only-{scheme}:visible").count() > 5
    assert page.locator(f"article img.only-{other}:visible").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_fit_a_phone_and_open_at_full_size(visit, scheme):
    page = visit("notebooks/05_noise_maps.html", viewport={"width": 390, "height": 844}, has_touch=True, color_scheme=scheme)
    page.wait_for_selector("button.enlarge:visible")
    empty = "[...document.querySelectorAll('button.enlarge')].filter((b) => b.offsetParent && !b.querySelector('img').offsetParent).length"
    assert page.evaluate(empty) == 0
    assert page.evaluate("Math.max(...[...document.querySelectorAll('article img')].map((i) => i.getBoundingClientRect().right))") <= 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("button.enlarge:visible").first.tap()
    large = page.locator("dialog.large-figure img")
    assert large.evaluate("(i) => i.clientWidth === i.naturalWidth && i.naturalWidth > 390 && i.alt.length > 20")
    page.keyboard.press("Escape")
    assert not large.is_visible()
    page = visit("notebooks/03_attention_unet.html", viewport={"width": 390, "height": 844}, has_touch=True, color_scheme=scheme)
    page.locator("button.enlarge:has(svg.drawing)").tap()
    assert page.locator("dialog.large-figure svg").bounding_box()["width"] > 700


# ---- the glossary

def test_words_of_the_glossary():
    words = terms.glossary()
    assert words["sobel map"] == ("how quickly the noise map changes at a pixel, in any direction", "06")
    assert {"u-net", "isolation forest", "contamination", "auroc", "excess kurtosis"} <= set(words)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_word_opens_once_a_page_where_it_stands(book, pages, path):
    article = pages[book / "notebooks" / f"{path.stem}.html"].find("article")
    buttons, notes = article.select("button.term"), article.select("div[popover]")
    assert 4 <= len(buttons) == len(notes)
    assert {button["popovertarget"] for button in buttons} == {note["id"] for note in notes}
    for button in buttons:
        assert not button.find_parent(["h1", "h2", "h3", "a", "code", "pre", "table"])


def test_a_note_stands_at_its_word_and_closes_with_escape(visit):
    page = visit("notebooks/00_start_here.html")
    word = page.locator("button.term").first
    word.focus()
    page.keyboard.press("Enter")
    note = page.locator(f"#{word.get_attribute('popovertarget')}")
    assert note.is_visible()
    at, box = word.bounding_box(), note.bounding_box()
    assert abs(box["y"] - at["y"] - at["height"]) < 20 or abs(box["y"] + box["height"] - at["y"]) < 20
    page.keyboard.press("Escape")
    assert not note.is_visible()


# ---- exercises

def test_each_exercise_with_a_letter_or_a_number_has_a_form(book, pages):
    found = {form["data-name"]: form for path in NOTEBOOKS for form in pages[book / "notebooks" / f"{path.stem}.html"].select("form.exercise")}
    assert list(found) == [each.name for each in IN_PAGE] and len(found) > 20
    for each in IN_PAGE:
        radios = found[each.name].select("input[type=radio]")
        if isinstance(each, Choice):
            assert [radio["value"] for radio in radios] == sorted([each.right, *each.mistakes])
            assert all(radio["aria-label"].startswith(radio["value"] + ")") for radio in radios), "the text of the option"


def test_no_answer_lies_in_plain_sight(book):
    for path in NOTEBOOKS:
        page = (book / "notebooks" / f"{path.stem}.html").read_text()
        for each in IN_PAGE:
            if each.name[:2] == path.stem[:2]:
                assert each.why not in page and each.hints[1] not in page and each.worked not in page
    for each in IN_PAGE:  # and unscrambled: hashes of letters and counts, no solution
        record = answers.compiled(each)
        assert each.worked not in json.dumps(record)
        assert all(re.fullmatch("[0-9a-f]{16}", key) for key in record["answers"])
        exact = isinstance(each, Choice) or (isinstance(each.right, int) and each.tolerance is None)
        assert not exact or re.fullmatch("[0-9a-f]{16}", record["right"])


def test_the_page_judges_as_python_does(visit, monkeypatch):
    """Every letter; every right number and known mistake, numbers near them, far ones, and texts that are none."""
    monkeypatch.setattr(kinds, "remember", lambda *_: None)
    page = visit("notebooks/00_start_here.html")
    judged = 0
    for each in IN_PAGE:
        if isinstance(each, Choice):
            tried = ["a", "b", "c", "d", "e"]
        else:
            known = [float(each.right), *map(float, each.mistakes)]
            tried = [value * factor for value in known for factor in (1, 1.004, 0.996, 1.03, 0.97, 1.2, 100, 0.01)] + [-1.0, 0.0, 7.25]
        scrambled = answers.scrambled(answers.compiled(each), each.name)
        texts = [one if isinstance(one, str) else repr(one) for one in tried]
        verdicts = page.evaluate("([name, record, texts]) => texts.map((text) => Exercises.judge(name, record, text))", [each.name, scrambled, texts])
        for answer, verdict in zip(tried, verdicts, strict=True):
            python = each.judge(answer)
            assert verdict["right"] == (python.status == kinds.RIGHT), (each.name, answer)
            if verdict["message"] != "a hint may help" and "one of" not in verdict["message"]:
                assert verdict["message"] == python.message, (each.name, answer)
            judged += 1
    assert judged > 500


@pytest.mark.parametrize(("text", "value"), [("12", 12), (" 0.5 ", 0.5), ("0,5", 0.5), ("18,496", 18496), ("5 %", 5), ("2/3", 2 / 3), ("1e3", 1000),
                                             (".5", 0.5), ("-3", -3), ("twelve", None), ("", None), ("1 2", None), ("0x10", None)])
def test_how_a_number_is_read(visit, text, value):
    read = visit("notebooks/00_start_here.html").evaluate("(text) => { const x = Exercises.number(text); return Number.isFinite(x) ? x : null; }", text)
    assert read == (value if value is None else pytest.approx(value))


def test_an_exercise_is_solved_by_keyboard_and_the_progress_page_knows(book, visit):
    page = visit("notebooks/00_start_here.html")
    first = page.locator("form.exercise").first
    verdict = first.locator(".verdict")
    assert verdict.get_attribute("role") == "status"
    first.get_by_role("button", name="Check").click()
    assert verdict.inner_text() == "Not tried yet."
    first.locator("input").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    assert verdict.inner_text().startswith("✗ Not yet: the forest decides")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert verdict.inner_text().startswith("✓ Right: each step")
    first.get_by_role("button", name="Hint").click()
    assert verdict.inner_text() == f"Hint: {IN_PAGE[0].hints[0]}"
    first.get_by_role("button", name="Hint").click()
    assert verdict.inner_text() == f"Hint: {IN_PAGE[0].hints[1]}"
    page.locator("section#summary").scroll_into_view_if_needed()
    page.wait_for_function("Exercises.record().read['00_start_here']")
    page.goto((book / "docs" / "book" / "progress.html").as_uri())
    page.wait_for_selector("#progress table")
    assert page.locator(".progress-line").inner_text() == f"1 of 12 pages read, 1 of {len(IN_PAGE)} exercises solved in this book."
    assert page.locator("#progress tbody tr").first.inner_text().endswith("1 of 3 (00.1)")
    page.get_by_label("read: 01").check()
    assert page.locator(".progress-line").inner_text().startswith("2 of 12 pages read")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Forget all of it").click()
    assert page.locator(".progress-line").inner_text().startswith("0 of 12 pages read, 0 of")


def test_without_javascript_there_is_no_form_that_does_nothing(visit):
    page = visit("notebooks/01_forward_diffusion.html", java_script_enabled=False)
    assert page.locator("form.exercise").count() and not page.locator("form.exercise:visible").count()
    assert "JavaScript" in page.locator(".toy").inner_text()


# ---- search

@pytest.mark.parametrize("words", ["kurtosis", "moving average", "contamination"])
def test_search_shows_where_the_word_stands(visit, words):
    page = visit("search.html")
    page.goto(page.url + f"?q={words.replace(' ', '+')}")
    page.wait_for_selector(".excerpt mark")
    results, excerpts = page.locator("#search-results ul.search > li").count(), page.locator(".excerpt").all_inner_texts()
    assert results and len(excerpts) >= 0.8 * results
    assert all(words.split()[0][:5] in text.lower() for text in page.locator(".excerpt mark").all_inner_texts() if words != "moving average")


# ---- the cheat sheet

def cheat_sheet() -> str:
    return (REPOSITORY / "docs" / "cheatsheet.md").read_text()


def test_the_cheat_sheet_prints_on_one_page(visit, tmp_path):
    for scheme in ("light", "dark"):
        page = visit("docs/cheatsheet.html", color_scheme=scheme)
        pdf = page.pdf(path=str(tmp_path / "sheet.pdf"), format="A4")
        assert len(re.findall(rb"/Type\s*/Page[^s]", pdf)) == 1


def test_the_code_of_the_cheat_sheet_is_the_package_s():
    """Every call has a function of that name, with arguments of these names and, where told, these defaults."""
    calls = [ast.parse(code, mode="eval").body for code in re.findall(r"\| `([a-z_.0-9]+\(.*?\)[\w.]*)` \|", cheat_sheet())]
    assert len(calls) == 11
    for call in calls:
        call = call.value if isinstance(call, ast.Attribute) else call
        if isinstance(call.func, ast.Attribute):
            function, given = getattr(RadarDetector, call.func.attr), ["self"]
        else:
            function = next(getattr(module, call.func.id) for module in (diffusion, features) if hasattr(module, call.func.id))
            given = []
        names = list(inspect.signature(function).parameters)
        given += [argument.id for argument in call.args]
        assert names[:len(given)] == given, ast.unparse(call)
        for keyword in call.keywords:
            assert keyword.arg in names and ast.literal_eval(keyword.value) == inspect.signature(RadarDetector).parameters[
                {"kernel": "blur", "window": "window", "step": "window_step"}[keyword.arg]].default
    sheet = re.search(r"RadarDetector\((.*?)\)", cheat_sheet())[1]
    for name, value in (part.split("=") for part in sheet.split(", ")):
        assert inspect.signature(RadarDetector).parameters[name].default == ast.literal_eval(value)
    for command, option in re.findall(r"radar_nb (\w+) .*?(--\w+)", cheat_sheet()):
        shown = subprocess.run([sys.executable, "-m", "radar_nb", command, "--help"], capture_output=True, text=True, check=True)
        assert option in shown.stdout
    assert all(f"\n{target}:" in (REPOSITORY / "Makefile").read_text() for target in re.findall(r"`make (\w+)`", cheat_sheet()))


def test_the_equations_of_the_cheat_sheet_are_what_the_code_does():
    """Each equation as it stands on the sheet, computed by hand, against the function beside it."""
    rng, torch_rng = np.random.default_rng(0), torch.Generator().manual_seed(0)
    unet = build_unet(widths=(8, 8)).eval()
    x0, eps = (torch.randn(2, 1, 16, 16, generator=torch_rng) for _ in range(2))
    shares, t = diffusion.make_scheduler().alphas_cumprod, torch.tensor([40, 700])
    a = shares[t].reshape(-1, 1, 1, 1)
    x_t = a.sqrt() * x0 + (1 - a).sqrt() * eps
    x_1 = shares[1].sqrt() * x0 + (1 - shares[1]).sqrt() * eps
    with torch.inference_mode():
        said = diffusion.predict_noise(unet, x_t, t)
        loss = diffusion.diffusion_loss(unet, x0, eps, t, shares)
    betas = np.linspace(1e-4, 0.02, 1000)
    small, pure = torch.rand(1, 1, 8, 8) * 0.1, torch.randn(1, 1, 8, 8)
    at = 300
    guess = (small - (1 - shares[at]).sqrt() * pure * 0.1) / shares[at].sqrt()
    maps = rng.normal(size=(3, 1, 40, 50))
    sobel = features.sobel_magnitude(features.blur(maps, 5), 5)
    smooth, difference = features.sobel_weights(5)
    by_hand = np.pad(features.blur(maps, 5)[0, 0], 2, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(by_hand, (5, 5))
    d_x, d_y = (windows * np.outer(smooth, difference)).sum((2, 3)), (windows * np.outer(difference, smooth)).sum((2, 3))
    inside = np.lib.stride_tricks.sliding_window_view(sobel[0], (20, 20))
    labels, called = rng.random(50) < 0.4, rng.random(50) < 0.5
    measured = image_metrics(labels, rng.random(50), called)
    hits, p, r, s = (labels & called).sum(), measured["precision"], measured["recall"], labels.mean()
    overlap = (labels & called).sum() / (labels | called).sum()
    right = {
        r"a_t = \prod_{s=0}^{t} (1 - \beta_s)": (np.cumprod(1 - betas), shares),
        r"x_t = \sqrt{a_t}\, x_0 + \sqrt{1 - a_t}\, \epsilon": (x_t, diffusion.add_noise(x0, eps, t, shares)),
        r"L = \mathrm{mean}\,(\epsilon - \epsilon_\theta(x_t, t))^2": (((eps - said) ** 2).mean(), loss),
        r"\hat x_0 = (x_t - \sqrt{1 - a_t}\, \epsilon_\theta) / \sqrt{a_t}": (guess.clamp(-1, 1), diffusion.reverse_step(small, 0.1 * pure, at, -1, shares)),
        r"M = \epsilon_\theta(x_1, 1)": (2 * x_1, noise_map.noise_map(lambda x, t: (t + 1) * x, x0, 1, "predicted", eps)),
        r"B = G_5 * M": (features.blur_weights(5).sum(), 1.0),
        r"S = \sqrt{(D_x * B)^2 + (D_y * B)^2}": (np.hypot(d_x, d_y), sobel[0]),
        r"g = \sqrt{\mathrm{mean}\, S^2}": (np.sqrt((sobel[0] ** 2).mean()), features.global_norm(sobel)[0]),
        r"l = \max_{\text{windows}} \sqrt{\mathrm{mean}\, S^2}": (np.sqrt((inside**2).mean((2, 3))).max(), features.local_norm(sobel, 20)[0]),
        r"p = \mathrm{TP} / (\mathrm{TP} + \mathrm{FP})": (hits / called.sum(), p),
        r"r = \mathrm{TP} / (\mathrm{TP} + \mathrm{FN})": (hits / labels.sum(), r),
        r"F = 2 p r / (p + r)": (2 * p * r / (p + r), measured["f1"]),
        r"2 s / (1 + s)": (2 * s / (1 + s), image_metrics(labels, np.ones(50), np.ones(50, bool))["f1"]),
        r"D = 2 J / (1 + J)": (2 * overlap / (1 + overlap), 2 * hits / (labels.sum() + called.sum()))}
    rows = re.findall(r"\| \$(.*?=.*?)\$ \|", cheat_sheet()) + re.findall(r"everything anomalous: \$(.*?)\$", cheat_sheet())
    assert sorted(rows) == sorted(right), "an equation that this test does not know, or one that it misses"
    for equation, (hand, code) in right.items():
        np.testing.assert_allclose(np.asarray(hand), np.asarray(code), rtol=2e-4, atol=1e-5, err_msg=equation)


# ---- where to run it

def test_no_button_without_an_address_and_none_is_invented(book, pages):
    assert launch.address('[project]\nname = "a"') == "" and launch.buttons("") == {}
    if not launch.address(launch.PYPROJECT.read_text()):
        assert not [page for page in pages.values() if page.select("a[href*=mybinder], a[href*='colab.']")]


@pytest.mark.parametrize(("repository", "sites"), [("https://github.com/example/radar", {"mybinder.org", "colab.research.google.com"}),
                                                   ("https://gitlab.com/example/radar", {"mybinder.org"})])
def test_one_address_brings_the_buttons(tmp_path, repository, sites):
    address = launch.address(f'[project]\nname = "a"\n[project.urls]\nRepository = "{repository}/"')
    assert address == repository
    (tmp_path / "conf.py").write_text(f'extensions = ["myst_nb"]\nnb_execution_mode = "off"\nhtml_theme = "sphinx_book_theme"\n'
                                      f"html_theme_options = {launch.buttons(address)!r}\n")
    (tmp_path / "index.md").write_text("# a\n\n```{toctree}\nb\n```\n")
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# b")]), tmp_path / "b.ipynb")
    subprocess.run([sys.executable, "-m", "sphinx", "-q", str(tmp_path), str(tmp_path / "out")], check=True, timeout=120)
    page = BeautifulSoup((tmp_path / "out" / "b.html").read_text(), "html.parser")
    links = [link["href"] for link in page.select("a[href]")]
    assert {site for site in ("mybinder.org", "colab.research.google.com") if any(site in link for link in links)} == sites


def test_the_container_installs_the_kit():
    container = json.loads((REPOSITORY / ".devcontainer" / "devcontainer.json").read_text())
    target = container["postCreateCommand"].removeprefix("make ")
    makefile = (REPOSITORY / "Makefile").read_text()
    assert f"READY := {target}" in makefile
    python = container["image"].split(":")[1]
    assert f"python={python}" in yaml.safe_load((REPOSITORY / "environment.yml").read_text())["dependencies"]
