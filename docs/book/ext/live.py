"""The live parts: RADAR itself in the reader's browser, from the file system, and no network is asked.

`onnxruntime-web` is taken with npm when the book is made, at the version and with the integrity hash of
docs/book/live/package-lock.json. U-Nets, forests and example images become plain scripts that hold bytes as
letters, since no browser lets a page from the file system read the files beside it. static/engine.js loads
them when they are first wanted. What was fetched and exported once stays in build/live.

Where npm has nothing to give, the book is made without live parts, and one line says so.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import live_parts
import nbformat
from docutils import nodes

# The explorers that answer in the page, and the script of each. An explorer stands at a notebook's still
# of the same name, or where a page has a place for it.
EXPLORERS = {"explore_paint": "paint.js", "paint_first": "paint.js",
             "drop_photograph": "drop.js"} | dict.fromkeys(
    ("explore_forward", "explore_reverse", "explore_attention", "explore_noise_map", "explore_features"),
    "explorers.js")


def prepare(app) -> None:
    """Make the scripts before pages are read, and note whether there are live parts."""
    app.radar_live = {}
    try:
        made = [live_parts.runtime(), *live_parts.exports()]
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        print(f"live parts left out: npm gave nothing ({said[0] if said else error})", file=sys.stderr)
        return
    app.radar_live = {script.stem.rpartition("-")[0]: script for script in made}


def explorers(path: Path) -> dict[str, str]:
    """The explorers among a notebook's outputs, by the SHA-256 of the still (as MyST-NB names its file)."""
    outputs = [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])]
    return {hashlib.sha256(base64.b64decode(output.data["image/png"])).hexdigest(): name for output in outputs
            if (name := output.get("metadata", {}).get("image/png", {}).get("name", "")) in EXPLORERS}


def place(app, doctree: nodes.document) -> None:
    """Put the place of a live explorer before its still, which stays where no script runs."""
    path = Path(app.env.doc2path(app.env.docname))
    found = explorers(path) if path.suffix == ".ipynb" and app.radar_live else {}
    for image in list(doctree.findall(nodes.image)):
        if name := found.get(Path(image["uri"]).stem):
            output = image
            while "cell_output" not in output.get("classes", []):
                output = output.parent
            at = output.parent.index(output)
            output.parent.insert(at, nodes.raw("", f'<div class="live" data-explorer="{name}" hidden></div>',
                                               format="html"))


def load(app, pagename: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """The scripts, on the pages that need them."""
    used = [name for name in EXPLORERS if doctree and f'data-explorer="{name}"' in context.get("body", "")]
    if not used or not app.radar_live:
        return
    sizes = {name: round(script.stat().st_size / 1e6, 1) for name, script in app.radar_live.items()}
    app.add_css_file("live.css")
    app.add_js_file("maths.js", loading_method="defer")
    app.add_js_file("engine.js", loading_method="defer", **{"data-sizes": json.dumps(sizes)})
    for script in ("panel.js", *dict.fromkeys(EXPLORERS[name] for name in used)):
        app.add_js_file(script, loading_method="defer")


def finish(app, error: Exception | None) -> None:
    """Put the scripts into the book, and take out what only the theme's developers use."""
    for unread in [*Path(app.outdir).glob("_static/**/*.map"), *Path(app.outdir).glob("_static/locales/*")]:
        unread.unlink() if unread.is_file() else shutil.rmtree(unread)
    target = Path(app.outdir) / "_static" / "live"
    shutil.rmtree(target, ignore_errors=True)
    if not error and app.radar_live:
        target.mkdir(parents=True)
        for name, script in app.radar_live.items():
            shutil.copy(script, target / f"{name}.js")


def setup(app) -> dict:
    """Called by Sphinx. Places before other extensions have changed the figures."""
    app.connect("builder-inited", prepare)
    app.connect("doctree-read", place, priority=200)
    app.connect("html-page-context", load)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
