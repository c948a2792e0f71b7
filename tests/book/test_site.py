"""The book: it builds without a network, every link leads somewhere, every figure is described, equations are drawn, search finds."""

import re
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import torch
from bs4 import BeautifulSoup

from radar_nb.storage.places import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("[0-9]*.ipynb"))
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src", "embed": "src", "object": "data",
         "link": "href"}

def broken_links(pages: dict[Path, BeautifulSoup]) -> list[str]:
    """Links, anchors and pictures that lead nowhere, as `page: target`."""
    found, anchors = [], {page: {tag["id"] for tag in soup.find_all(id=True)} for page, soup in pages.items()}
    for page, soup in pages.items():
        for tag in soup.find_all(["a", *LOADS]):
            target = urlsplit(tag.get(LOADS.get(tag.name, "href")) or "")
            if target.scheme or target.netloc or not (target.path or target.fragment):
                continue
            path = (page.parent / unquote(target.path)).resolve() if target.path else page
            anchored = not target.fragment or path not in pages or unquote(target.fragment) in anchors[path]
            if not path.is_file() or not anchored:
                found.append(f"{page.name}: {target.geturl()}")
    return found


def loaded_from_elsewhere(pages: dict[Path, BeautifulSoup], styles: list[Path]) -> list[str]:
    """What a page or a style sheet would load from a network."""
    found = [f"{page.name}: {tag[LOADS[tag.name]]}" for page, soup in pages.items() for tag in soup.find_all(list(LOADS))
             if re.match(r"(https?:)?//", tag.get(LOADS[tag.name], ""))]
    return found + [f"{style.name}: {match}" for style in styles
                    for match in re.findall(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')]+)""", style.read_text())]


def test_a_broken_page_is_noticed(tmp_path):
    page, other = tmp_path / "a.html", tmp_path / "b.html"
    other.write_text('<h1 id="there">b</h1>')
    page.write_text('<a href="b.html#there">well</a><a href="b.html#gone">1</a><a href="c.html">2</a><a href="#gone">3</a><img src="d.png">'
                    '<script src="https://example.org/x.js"></script><link rel="stylesheet" href="//example.org/x.css">')
    style = tmp_path / "a.css"
    style.write_text('@import url("https://example.org/font.css"); p { background: url(data:image/png;base64,AAAA) }')
    pages = {path: BeautifulSoup(path.read_text(), "html.parser") for path in (page, other)}
    assert broken_links(pages) == ["a.html: b.html#gone", "a.html: c.html", "a.html: #gone", "a.html: d.png"]
    assert len(loaded_from_elsewhere(pages, [style])) == 3


def test_every_page_is_there(book, pages):
    sources = [*NOTEBOOKS, *(REPOSITORY / "docs").glob("*.md"), REPOSITORY / "README.md", REPOSITORY / "CLAIMS.md", REPOSITORY / "data_download" / "README.md"]
    for source in sources:
        assert book / source.relative_to(REPOSITORY).with_suffix(".html") in pages, source
    first = pages[book / "index.html"].find("meta", attrs={"http-equiv": "refresh"})["content"].split("url=")[1]
    assert book / first in pages


def test_every_link_leads_somewhere(pages):
    assert not broken_links(pages)


def test_nothing_is_loaded_from_a_network(book, pages):
    assert not loaded_from_elsewhere(pages, list(book.rglob("*.css")))


def test_every_picture_is_described(pages):
    for page, soup in pages.items():
        bare = [image["src"] for image in soup.find_all("img") if len(image.get("alt", "").split()) < 3]  # Sphinx puts the file's name where there is none
        assert not bare, f"{page.name}: {bare}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_figures_of_a_notebook_keep_their_alt_text(book, pages, path):
    outputs = [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    shown = pages[book / "notebooks" / f"{path.stem}.html"].select(".cell_output img:not(.only-dark)")
    assert [image["alt"] for image in shown] == [output.metadata["image/png"]["alt"] for output in outputs]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_equations_are_drawn(book, pages, path):
    text = "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown")
    article = pages[book / "notebooks" / f"{path.stem}.html"].find("article")
    drawn = article.find_all("math")
    for equation in re.findall(r"\$\$(.+?)\$\$", text, re.DOTALL):
        assert equation.split() in [math["data-latex"].split() for math in drawn if math["display"] == "block"], equation
    assert len(drawn) == len(re.findall(r"(?<!\$)\$(?!\$)[^$\n]+\$|\$\$[^$]+\$\$", re.sub(r"`[^`\n]*`|```.*?```", "", text, flags=re.DOTALL)))
    assert not [math for math in drawn if "\\" in math.text], "a LaTeX command that nobody knew"
    for code in article.find_all(["pre", "code", "math"]):
        code.decompose()
    assert not re.findall(r"\\(?:frac|sqrt|epsilon|beta|cdot)|\$", article.text)


def test_each_notebook_leads_to_its_neighbours(book, pages):
    for before, after in zip(NOTEBOOKS, NOTEBOOKS[1:], strict=False):
        assert pages[book / "notebooks" / f"{before.stem}.html"].select_one("a.right-next")["href"] == f"{after.stem}.html"
        assert pages[book / "notebooks" / f"{after.stem}.html"].select_one("a.left-prev")["href"] == f"{before.stem}.html"


def test_a_page_has_contents_search_and_two_themes(book, pages):
    for notebook in NOTEBOOKS:
        soup = pages[book / "notebooks" / f"{notebook.stem}.html"]
        listed = {Path(link["href"]).stem for link in soup.select("nav.bd-links a.internal")}
        assert listed >= {path.stem for path in NOTEBOOKS} - {notebook.stem}
        assert soup.select_one(".search-button-field") and soup.select_one(".theme-switch-button")
        assert len(soup.select(".page-toc a, #pst-page-navigation-heading-2 ~ * a")) >= 3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_figure_says_what_is_to_be_seen(path):
    outputs = [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    alts = [output.metadata.get("image/png", {}).get("alt", "") for output in outputs]
    assert outputs and all(len(alt.split()) >= 10 for alt in alts), min(alts, key=len)
    assert len(set(alts)) == len(alts), "two figures with the same description"


@pytest.mark.parametrize(("page", "drawing"), [("00_start_here", "radar"), ("03_attention_unet", "unet")])
def test_a_drawing_is_part_of_the_page(book, pages, page, drawing):
    """With its title and description, and one colour scheme that follows the theme's button."""
    svg = pages[book / "notebooks" / f"{page}.html"].select_one("article svg.drawing")
    said = [svg.find(id=name) for name in svg["aria-labelledby"].split()]
    assert [tag.name for tag in said] == ["title", "desc"] and len(said[1].text.split()) > 60
    assert f"{drawing}-title" in svg["aria-labelledby"]
    assert "prefers-color-scheme" not in str(svg) and 'html[data-theme="dark"] .drawing' in str(svg)


def test_drawings_stand_alone():
    """Both colour schemes, no text without a class, nothing loaded, unique ids; the numbers are those of the code."""
    unet = (REPOSITORY / "docs" / "drawings" / "unet.svg").read_text()
    for path in (REPOSITORY / "docs" / "drawings").glob("*.svg"):
        svg = path.read_text()
        assert "prefers-color-scheme: dark" in svg and not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", svg)
        ids = re.findall(r'\bid="([^"]+)"', svg)
        assert len(ids) == len(set(ids)) and all(name.startswith(path.stem + "-") for name in ids)
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) <= set(ids)
    from radar_nb.method.unet import build_unet, predict_noise  # PyTorch takes a while

    network, shapes = build_unet(channels=1).eval(), []
    for block in [*network.down_blocks, network.mid_block, *network.up_blocks]:
        for part in block.resnets:
            part.register_forward_hook(lambda module, inputs, output: shapes.append(" x ".join(map(str, output.shape[1:]))))
    predict_noise(network, torch.zeros(1, 1, 128, 128), 1)
    assert len(shapes) == 3 + 2 + 6 and set(shapes) == set(re.findall(r"\d+ x (?:64 x 64|32 x 32|16 x 16)", unet))
    assert [len(block.resnets) for block in network.up_blocks] == [2, 2, 2]


def test_in_a_browser_from_the_file_system(book, chromium):
    """Search finds, light and dark change, a picture is on white in the dark, and nothing is asked of a network."""
    context = chromium.new_context(viewport={"width": 420, "height": 900}, color_scheme="dark")
    page, asked, errors = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((book / "index.html").as_uri())
    page.wait_for_url("**/docs/book/index.html")
    page.goto((book / "notebooks" / "05_noise_maps.html").as_uri())
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    picture = "(e => [getComputedStyle(e).backgroundColor, e.naturalWidth > 0])(document.querySelector('.cell_output img:not(.only-dark)'))"
    assert page.evaluate(picture) == ["rgb(255, 255, 255)", True]
    assert page.evaluate("document.documentElement.scrollWidth") <= 420, "the page itself scrolls sideways on a narrow window"
    assert page.evaluate("document.querySelector('math[display=block], math').getBoundingClientRect().height") > 5
    page.locator(".theme-switch-button:visible").first.click()
    assert page.evaluate("document.documentElement.dataset.mode") != "dark" or page.evaluate("document.documentElement.dataset.theme") != "dark"
    page.goto((book / "search.html").as_uri() + "?q=kurtosis")
    page.wait_for_selector("ul.search li a")
    assert any("05_noise_maps" in (link.get_attribute("href") or "") for link in page.query_selector_all("ul.search li a"))
    assert asked and all(url.startswith(("file:", "data:", "blob:")) for url in asked)
    assert not errors
    context.close()


def test_the_theme_s_icons_are_those_that_pages_show(book, pages):
    """The script of 2,000 icons has kept few, and each that a page asks for, by whichever of its names."""
    icons = import_module("icons")
    kept = icons.ICON.findall((book / "_static" / "scripts" / "fontawesome.js").read_text())
    names = {name for first, others in kept for name in (first, *re.findall(r'"([^"]+)"', others))}
    shown = {word.removeprefix("fa-") for soup in pages.values() for tag in soup.select("[class*=fa-]") for word in tag["class"] if word.startswith("fa-")}
    looks = {"solid", "brands", "regular", "lg", "fw"}
    assert {"bars", "magnifying-glass", "circle-half-stroke"} <= shown and shown - looks <= names and len(kept) < 60
