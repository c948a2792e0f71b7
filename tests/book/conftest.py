"""The book as it is made, its pages parsed, and a browser to read it with: once for all tests of a process."""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib import import_module

import pytest
from bs4 import BeautifulSoup

from radar_nb.storage.places import REPOSITORY
from radar_nb.storage.whole import waiting_for

sys.path.insert(0, str(REPOSITORY / "docs" / "book" / "ext"))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="session")
def book(tmp_path_factory):
    """The book as `make book` makes it, in an empty folder, within the three minutes that it may take, and with no network to ask.

    The first worker makes it, and all read it.
    """
    out = tmp_path_factory.getbasetemp()
    out = (out.parent if "PYTEST_XDIST_WORKER" in os.environ else out) / "made" / "book"
    with waiting_for(out, 300):
        if not (out / "index.html").is_file():
            make_book(out)
    return out


def make_book(out):
    """Make the book in a folder."""
    pytest.importorskip("sphinx", reason="the book is made with Sphinx: pip install -e '.[test]'")
    with suppress(OSError, subprocess.SubprocessError):
        import_module("live_parts").runtime()  # what the live parts need is fetched before the network is shut
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs/book", "-d", str(out.parent / "doctrees"), ".", str(out)]
    nowhere = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
    done = subprocess.run(command, cwd=REPOSITORY, env=os.environ | nowhere, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def live_book(book):
    """The book, where it has live parts."""
    if not (book / "_static" / "live" / "runtime.js").is_file():
        pytest.skip("no live parts: npm did not give onnxruntime-web")
    return book


@pytest.fixture(scope="session")
def axe():
    """The source of axe-core, pinned beside what the book takes from npm."""
    parts = import_module("live_parts")
    kept = parts.KEPT / "axe-4.11.0.js"
    if not kept.is_file():
        try:
            with parts.packages() as folder:
                shutil.copy(folder / "axe-core" / "axe.min.js", kept)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"npm did not give axe-core ({error})")
    return kept.read_text()


@pytest.fixture(scope="session")
def pages(book):
    """Every page by its path, parsed."""
    return {path: BeautifulSoup(path.read_text(), "html.parser") for path in book.rglob("*.html") if "_static" not in path.parts}


@pytest.fixture(scope="module")  # two drivers in one process would be in each other's way
def chromium():
    """A browser, where there is one."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the browser is driven with Playwright")
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(book, chromium):
    """Open pages from the file system; afterwards none had an error, and nothing outside of the book's folder was asked for."""
    contexts, asked, errors = [], [], []

    def open_page(name, **settings):
        contexts.append(chromium.new_context(**{"viewport": {"width": 1400, "height": 900}} | settings))
        page = contexts[-1].new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((book / name).as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    inside = book.as_uri() + "/"
    assert not errors and all(url.startswith((inside, "data:", "blob:")) for url in asked), (errors, asked)
