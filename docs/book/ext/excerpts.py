"""Excerpts for the search page. Sphinx would fetch every page that it finds, which no browser does from the
file system; so the text of all pages comes along in one script, which only the search page loads.
"""

import json
import re
from pathlib import Path

from docutils import nodes


def texts(doctree: nodes.document) -> list[list[str]]:
    """The text of each section with its anchor, `[[anchor, text], ...]`: prose first, then code."""
    found = []
    for section in doctree.findall(nodes.section):
        own = [child for child in section.children
               if not isinstance(child, (nodes.section, nodes.title, nodes.raw))]
        own = [child.astext() for child in sorted(own, key=lambda child: "cell" in child.get("classes", []))]
        found.append([section["ids"][0], re.sub(r"\s+", " ", " ".join(own)).strip()])
    return found


def write(app, error: Exception | None) -> None:
    """Write the script."""
    if not error:
        pages = {name: texts(app.env.get_doctree(name)) for name in sorted(app.env.found_docs)}
        target = Path(app.outdir) / "_static" / "excerpt_texts.js"
        target.write_text(f'"use strict";\nconst EXCERPTS = {json.dumps(pages, ensure_ascii=False)};\n')


def load(app, pagename: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """The scripts of the search page and of the progress page."""
    scripts = {"search": ("excerpt_texts.js", "excerpts.js"),
               "docs/book/progress": ("contents.js", "progress.js")}
    for script in scripts.get(pagename, ()):
        app.add_js_file(script, priority=900, loading_method="defer")  # after exercises.js


def setup(app) -> dict:
    """Called by Sphinx."""
    app.connect("build-finished", write)
    app.connect("html-page-context", load)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
