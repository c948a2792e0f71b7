"""The book: notebooks as git holds them, and the pages around them, as a static site. `make book` calls
Sphinx with this file.

Sphinx reads the repository itself, so that links between pages are the same in the book, in JupyterLab and on
a code host. Nothing is executed, and nothing is loaded from a network, neither when the book is made nor when
it is read: equations become MathML, figures lie beside the pages.
"""

import base64
import hashlib
import html
import re
import sys
import unicodedata
from collections import defaultdict
from importlib import import_module
from pathlib import Path

import nbformat
from docutils import nodes
from latex2mathml.converter import convert
from sphinx import addnodes
from sphinx.util import logging

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent / "ext"))
launch = import_module("launch")
logger = logging.getLogger(__name__)

project, author, copyright = "RADAR in notebooks", "the kit's authors", "the kit's authors, MIT licence"
html_title = project
language = "en"

extensions = ["myst_nb", "drawings", "toy_pages", "folding", "dark_figures", "terms", "answers",
              "excerpts", "live", "icons"]
root_doc = "docs/book/index"
include_patterns = ["notebooks/[0-9]*.ipynb", "docs/*.md", "docs/book/*.md", "docs/report/report.md",
                    "README.md", "CLAIMS.md",
                    "data_download/README.md",
                    "weights/*/README.md"]
exclude_patterns = [".venv*", ".git", "build", "runs", "**/.ipynb_checkpoints"]

nb_execution_mode = "off"
nb_ipywidgets_js = {}  # its default loads scripts from a network; widgets need a kernel anyway
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None),
                              ("html", "application/javascript", None)]
nb_render_text_lexer = "none"
nb_code_prompt_show = nb_code_prompt_hide = "The code"
myst_enable_extensions = ["dollarmath", "amsmath", "attrs_inline"]
myst_heading_anchors = 4

html_theme = "sphinx_book_theme"
html_theme_options = {"use_fullscreen_button": False, "use_download_button": False,
                      "footer_content_items": ["copyright.html"], "show_toc_level": 2,
                      "navbar_persistent": []}  # one search field, in the sidebar
html_theme_options |= launch.buttons(launch.address(launch.PYPROJECT.read_text()))
html_context = {"default_mode": "auto"}  # as the reader's system is, until the button is pressed
html_static_path, html_css_files, templates_path = ["static", "toy"], ["book.css"], ["templates"]
html_js_files = [(name, {"defer": "defer"}) for name in ("exercises.js", "figures.js")]
html_additional_pages = {"index": "redirect.html"}  # build/book/index.html leads to the first page
html_math_renderer = "mathml"
html_show_sphinx = html_show_search_summary = False  # they would be fetched: no browser does so from files
html_copy_source = False  # notebooks are downloaded with the kit; here they would be a sixth of the book
html_domain_indices = html_use_index = False


def mathml(latex: str, display: str) -> str:
    """One equation as MathML, which browsers draw by themselves, with its LaTeX kept beside it for tests and
    for whoever copies it.
    """
    simple = re.sub(r"\\([bB]igg?)[lr]?(?=\s*\\)", "",
                    latex)  # the size of a bracket, which the converter takes for the bracket
    math = convert(simple, display=display).replace("<mi>&#x0007E;</mi>",
                                                    "<mo>&#x0223C;</mo>")  # a relation, with its spaces
    # Browsers know no mathvariant any more, so a letter says itself that it is a script letter.
    math = re.sub(r'<mi mathvariant="script">([A-Z])</mi>', lambda found: f"<mi>{script(found[1])}</mi>",
                  math)
    if "\\" in math or "<mi>&</mi>" in math:
        logger.warning("not all of this equation is understood: %s", latex)
    return math.replace("<math ", f'<math data-latex="{html.escape(latex)}" ', 1)


def script(letter: str) -> str:
    """A capital as script letter: the old one of Unicode where there is one (B, E, F, ...), else the
    mathematical one.
    """
    try:
        return unicodedata.lookup(f"SCRIPT CAPITAL {letter}")
    except KeyError:
        return unicodedata.lookup(f"MATHEMATICAL SCRIPT CAPITAL {letter}")


def visit_math(translator, node: nodes.math) -> None:
    """An equation within a line."""
    translator.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_math_block(translator, node: nodes.math_block) -> None:
    """An equation on a line of its own."""
    translator.body.append(f'<div class="equation">{mathml(node.astext(), "block")}</div>\n')
    raise nodes.SkipNode


def alt_texts(path: Path) -> dict[str, list[str]]:
    """The alt texts of a notebook's PNG outputs in order, by the SHA-256 of the picture (which MyST-NB takes
    as its file name).
    """
    found = defaultdict(list)
    for output in (output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])):
        if "image/png" in output.get("data", {}):
            picture = base64.b64decode(output.data["image/png"])
            found[hashlib.sha256(picture).hexdigest()].append(output.metadata.get("image/png", {}).get("alt",
                                                                                                       ""))
    return found


def keep_alt_text(app, doctree: nodes.document) -> None:
    """Give each figure the alt text of its output's metadata, which MyST-NB leaves behind."""
    path = Path(app.env.doc2path(app.env.docname))
    alts = alt_texts(path) if path.suffix == ".ipynb" else {}
    for image in doctree.findall(nodes.image):
        if waiting := alts.get(Path(image["uri"]).stem):
            image["alt"] = waiting.pop(0)


def box_mistakes(app, doctree: nodes.document) -> None:
    """Paragraphs that begin with "Common mistake" get a class, and with it a box."""
    for paragraph in doctree.findall(nodes.paragraph):
        if paragraph.astext().startswith("Common mistake"):
            box = paragraph.parent if isinstance(paragraph.parent, nodes.block_quote) else paragraph
            box["classes"].append("mistake")


def unlink_folders(app, doctree: nodes.document) -> None:
    """A link to a folder of the repository has no page in the book: its text stays, without the link."""
    here = Path(app.env.doc2path(app.env.docname)).parent
    for link in list(doctree.findall(addnodes.pending_xref)):
        if (here / link.get("reftarget", "")).is_dir():
            link.replace_self(link.children)


def setup(app) -> dict:
    """Add equations, alt texts and folders to Sphinx."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    for change in (keep_alt_text, box_mistakes, unlink_folders):
        app.connect("doctree-read", change)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
