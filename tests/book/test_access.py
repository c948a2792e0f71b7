"""What any reader needs: no serious fault by axe-core on any page, sizes that load, and a book that is also served."""

import re
import subprocess
import sys
from importlib import import_module

import pytest

live, live_parts = map(import_module, ("live", "live_parts"))
# All rules but contrast look at the whole page. Contrast is slow, so it looks at three of like neighbours: of the rows of a table, the words of a program.
FAULTS = """async (context) => {
    const told = async (rules) => (await axe.run(context, { resultTypes: ["violations"], rules })).violations
        .filter(({ impact }) => impact === "serious" || impact === "critical").map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 200)}`);
    const faults = await told({ "color-contrast": { enabled: false } });
    if (context === document) for (const parent of document.querySelectorAll("*")) {
        const seen = {};
        for (const child of [...parent.children]) {
            const kind = `${child.tagName} ${child.className} ${child.getAttribute("style")}`;
            seen[kind] = (seen[kind] || 0) + 1;
            if (seen[kind] > 3) child.remove();
        }
    }
    return [...faults, ...await told(Object.fromEntries(axe.getRules().map(({ ruleId }) => [ruleId, { enabled: ruleId === "color-contrast" }])))];
}"""


def faults_of(page, axe, explorer=False):
    """Serious faults by axe-core: of a page, which loses some of its elements by it, or of the explorer alone."""
    page.evaluate(axe)
    return page.evaluate(f"({FAULTS})({'document.querySelector(`.live`)' if explorer else 'document'})")


LIVE = ("docs/book/index.html", "docs/book/photograph.html", "notebooks/00_start_here.html")


def test_a_fault_is_noticed(chromium, axe):
    page = chromium.new_page()
    row = "<p class=row>a</p>"
    page.set_content(f"<html lang=en><title>t</title><main><h1>t</h1><canvas role=img></canvas><input>{9 * row}<p style='color: #ccc'>pale</p></main>")
    found = faults_of(page, axe)
    assert len(found) >= 3 and any("color-contrast" in fault and "pale" in fault for fault in found)
    page.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 390)])
def test_no_page_has_a_serious_fault(pages, chromium, axe, scheme, width):
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, faults = context.new_page(), {}
    for path in sorted(path for path, soup in pages.items() if not soup.select("meta[http-equiv=refresh]")):
        page.goto(path.as_uri())
        if found := faults_of(page, axe):
            faults[path.name] = found
    context.close()
    assert len(pages) > 30 and not faults


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", LIVE)
def test_an_explorer_awake_has_no_serious_fault(live_book, chromium, axe, scheme, name):
    context = chromium.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
    page = context.new_page()
    page.goto((live_book / name).as_uri())
    page.wait_for_function("document.querySelector('.live').panel")
    if "photograph" not in name:
        page.locator(".live canvas").first.tap(position={"x": 50, "y": 50})
        page.wait_for_function("document.querySelector('.live').panel.radar && !document.querySelector('.live').panel.busy", timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert not faults_of(page, axe)
    context.close()


def test_a_first_visit_is_at_most_12_megabytes_and_the_book_25(live_book, pages):
    """A page, all that it loads, and the runtime and the network that its explorers ask for; what is in both themes counts twice."""
    parts = live_book / "_static" / "live"
    size = {name: (parts / f"{name}.js").stat().st_size for name in ("runtime", "labels", *live_parts.NETWORKS)}
    for path, soup in pages.items():
        loaded = [path, *((path.parent / re.sub(r"[?#].*", "", tag.get("src") or tag.get("href"))).resolve()
                          for tag in soup.select("script[src], img[src], link[rel=stylesheet]"))]
        total = sum(file.stat().st_size for file in set(loaded))
        if soup.select(".live"):
            total += size["runtime"] + size["labels"] + size["printed-fast"] + (parts / "images-printed.js").stat().st_size
        assert total < 12e6, f"{path.name}: {total / 1e6:.1f} MB"
    assert sum(file.stat().st_size for file in live_book.rglob("*") if file.is_file()) < 25e6


def test_the_book_is_also_served(live_book, chromium):
    """By `python -m http.server`: the same answer, and nothing is asked of another place."""
    server = subprocess.Popen([sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(live_book)],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = re.search(r"port (\d+)", server.stdout.readline())[1]
        context = chromium.new_context()
        page, asked = context.new_page(), []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"http://127.0.0.1:{address}/docs/book/index.html")
        page.locator(".live canvas").first.click(position={"x": 50, "y": 50})
        page.wait_for_selector(".live[data-decision=anomalous]", timeout=60_000)
        assert all(re.match(rf"(blob:)?http://127\.0\.0\.1:{address}/|data:", url) for url in asked)
        context.close()
    finally:
        server.terminate()
        server.wait(10)


# ---- making it

def test_without_npm_the_book_has_no_live_parts_and_one_line_says_so(monkeypatch, capsys):
    """npm is there and gives nothing, as without a network."""
    def nothing():
        raise subprocess.CalledProcessError(1, ["npm"], stderr="npm error code ENOTFOUND\nnpm error network")

    class App:
        pass

    monkeypatch.setattr(live_parts, "runtime", nothing)
    live.prepare(App)
    said = capsys.readouterr().err
    assert App.radar_live == {} and said == "live parts left out: npm gave nothing (npm error code ENOTFOUND)\n"


def test_what_is_fetched_is_pinned_by_hash_and_names_no_registry():
    lock = (live_parts.PINNED / "package-lock.json").read_text()
    assert '"onnxruntime-web": "1.30.0"' in lock and not re.search(r'"resolved"', lock)
    assert lock.count('"integrity": "sha512-') == lock.count('    "node_modules/')
