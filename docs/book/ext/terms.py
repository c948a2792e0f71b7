"""Words of the glossary open where they stand: where a page first uses one, a click shows its sentence.

The browser does it (`popover`), also without JavaScript; static/figures.js only moves the note to its word.
"""

import re
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx import addnodes

GLOSSARY = Path(__file__).parents[2] / "glossary.md"
# Too usual: they also stand for something else.
LEFT_OUT = {"backward", "reading", "interval", "profile", "mask", "train", "test", "window", "seed", "patch"}
NOT_IN = (nodes.title, nodes.reference, addnodes.pending_xref, nodes.literal, nodes.literal_block, nodes.raw,
          nodes.table, nodes.math, nodes.math_block, nodes.strong)


def glossary() -> dict[str, tuple[str, str]]:
    """Each word of the glossary (lower case) with its meaning and the notebook that explains it, `05`."""
    words = {}
    for line in GLOSSARY.read_text().splitlines():
        row = re.fullmatch(r"\| ([^|$]+) \| ([^|]+) \(\[(\d\d)\].*\) \|", line)
        for word in re.sub(r" \(.*?\)", "", row[1]).split(", ") if row else ():
            if word not in LEFT_OUT:
                words[word.lower()] = (row[2], row[3])
    return words


def formatted(meaning: str) -> str:
    """A meaning as HTML: code and emphasis."""
    return re.sub(r"\*(.+?)\*", r"<em>\1</em>", re.sub(r"`(.+?)`", r"<code>\1</code>", escape(meaning)))


def place(app, doctree: nodes.document) -> None:
    """Make the first use of each word on a notebook's page a button, and put the notes at the page's end."""
    if not app.env.docname.startswith("notebooks/"):
        return
    words, notes = glossary(), []
    pages = {Path(name).name[:2]: Path(name).name for name in app.env.found_docs if "notebooks/" in name}
    for text in list(doctree.findall(nodes.Text)):
        longest = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
        found = re.search(rf"\b({longest})s?\b", text.astext(), re.IGNORECASE) if words else None
        if found and not any(isinstance(above, NOT_IN) for above in ancestors(text)):
            meaning, number = words.pop(found[1].lower())
            name = "term-" + re.sub(r"\W+", "-", found[1].lower())
            button = f'<button type="button" class="term" popovertarget="{name}">{found[0]}</button>'
            before, after = text.astext()[:found.start()], text.astext()[found.end():]
            text.parent.replace(text, [nodes.Text(before), nodes.raw("", button, format="html"),
                                       nodes.Text(after)])
            notes.append(f'<div popover class="term-note" id="{name}"><strong>{escape(found[1])}</strong>: '
                         f'{formatted(meaning)} (<a href="{pages[number]}.html">{number}</a>, '
                         '<a href="../docs/glossary.html">glossary</a>)</div>')
    next(doctree.findall(nodes.section)).append(nodes.raw("", "\n".join(notes), format="html"))


def ancestors(node: nodes.Node):
    """The nodes above a node, up to the page."""
    while node.parent is not None:
        node = node.parent
        yield node


def setup(app) -> dict:
    """Called by Sphinx."""
    app.connect("doctree-read", place, priority=800)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
