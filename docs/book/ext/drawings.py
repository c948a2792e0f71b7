"""Drawings in the page: an SVG of docs/drawings becomes part of the page, so that it is light or dark with
the theme, and its title and description are read aloud.
"""

import re
from pathlib import Path

from docutils import nodes

FOLDER = Path(__file__).parents[2] / "drawings"


def inline(svg: str) -> str:
    """The SVG for a page: its dark colours follow the theme's button, not the system's setting."""
    return re.sub(r"@media \(prefers-color-scheme: dark\) \{\s*(\.drawing \{.*?\}) \}",
                  r'html[data-theme="dark"] \1', svg, flags=re.DOTALL)


def place(app, doctree: nodes.document) -> None:
    """Put each drawing itself in the place of the link to its file."""
    for image in list(doctree.findall(nodes.image)):
        path = Path(app.srcdir) / image["uri"]
        if path.suffix == ".svg" and path.parent == FOLDER:
            image.replace_self(nodes.raw("", inline(path.read_text()), format="html"))


def setup(app) -> dict:
    """Called by Sphinx."""
    app.connect("doctree-read", place)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
