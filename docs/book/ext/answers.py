"""Exercises that the page checks by itself: those whose answer is a letter or a number, from the same source
as in JupyterLab (radar_nb/teaching/exercises).

Letters and exact counts are kept as hashes, other numbers as ranges, and the whole is scrambled. That keeps
no secret from anybody who wants to know; it keeps the answer out of sight in the page's source.
"""

import base64
import json
import re
from collections import defaultdict
from html import escape
from pathlib import Path

from docutils import nodes

from radar_nb.teaching.exercises import EXERCISES, exercise
from radar_nb.teaching.exercises.kinds import FACTOR_OF_100, Choice, Exercise, Number

CHECK = re.compile(r'exercise\("(\d\d\.\d)"\)\.check\(answer\)')


def hashed(text: str) -> str:
    """FNV-1a, 64 bits, as hexadecimal digits; exercises.js has the same."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def scrambled(record: dict, key: str) -> str:
    """A record as one line of text that says nothing at a glance."""
    plain, secret = json.dumps(record).encode(), key.encode()
    return base64.b64encode(bytes(byte ^ secret[i % len(secret)] for i, byte in enumerate(plain))).decode()


def compiled(asked: Choice | Number) -> dict:
    """What the page needs to judge an answer as `check` does.

    Returns:
        `answers`: hash of an exact answer -> message; `ranges`: `[low, high, message]` in the order in which
        they are tried; `right`: the hash, or the number of the range, of the right one; `hints`; `letters`;
        `share`: what to say where percent was given for a share, or a share for percent; else empty.
    """
    choice = isinstance(asked, Choice)
    counted = choice or (isinstance(asked.right, int) and asked.tolerance is None)
    known = [(asked.right, asked.why), *asked.mistakes.items()]
    answers, ranges = {}, []
    for answer, message in known:
        if choice or (counted and float(answer).is_integer()):
            exact = answer if choice else int(answer)
            answers.setdefault(hashed(f"{asked.name}={exact}"), message)
        else:
            counts = isinstance(answer, int) and asked.tolerance is None
            reach = (1e-9 if counts else asked.tolerance or 0.005) * max(abs(answer), 1e-9)
            ranges.append([float(answer - reach), float(answer + reach), message])
    letters = "".join(sorted([asked.right, *asked.mistakes])) if choice else ""
    return {"letters": letters, "answers": answers, "ranges": ranges, "hints": asked.hints,
            "right": hashed(f"{asked.name}={asked.right}") if counted else 0,
            "share": "" if isinstance(asked.right, (int, str)) else FACTOR_OF_100}


def form(asked: Choice | Number, options: list[str]) -> str:
    """The form under an exercise. `options`: the texts of a choice, `a) ...`, for screen readers."""
    if isinstance(asked, Choice):
        letters = sorted([asked.right, *asked.mistakes])
        texts = {text[0]: text for text in options}
        inputs = "".join(f'<label><input type="radio" name="answer" value="{letter}" '
                         f'aria-label="{escape(texts.get(letter, letter))}"> {letter}</label>'
                         for letter in letters)
    else:
        inputs = ('<label>a number <input type="text" name="answer" inputmode="decimal" '
                  'autocomplete="off"></label>')
    record = scrambled(compiled(asked), asked.name)
    return (f'<form class="exercise" data-name="{asked.name}" data-record="{record}">'
            f"<fieldset><legend>Answer {asked.name} here</legend>{inputs}</fieldset>"
            '<button type="submit">Check</button> <button type="button" class="hint">Hint</button>'
            '<p class="verdict" role="status"></p></form>')


def place(app, doctree: nodes.document) -> None:
    """Put a form under the cell of each exercise that the page can check."""
    for block in list(doctree.findall(nodes.literal_block)):
        found = CHECK.search(block.astext())
        asked: Exercise | None = exercise(found[1]) if found else None
        if isinstance(asked, (Choice, Number)):
            cell = block
            while "cell" not in cell.get("classes", []):
                cell = cell.parent
            at = cell.parent.index(cell)
            lists = [node for node in cell.parent.children[:at] if isinstance(node, nodes.bullet_list)]
            options = [item.astext() for item in lists[-1].children] if lists else []
            cell.parent.insert(at + 1, nodes.raw("", form(asked, options), format="html"))


def contents(app, error: Exception | None) -> None:
    """Write what the progress page needs: the pages and the exercises that can be solved on them."""
    if error:
        return
    by_notebook = defaultdict(list)
    for each in EXERCISES:
        if isinstance(each, (Choice, Number)):
            by_notebook[each.name[:2]].append(each.name)
    pages = [{"page": name, "title": app.env.titles[name].astext(),
              "exercises": by_notebook[Path(name).name[:2]]}
             for name in sorted(app.env.found_docs) if name.startswith("notebooks/")]
    target = Path(app.outdir) / "_static" / "contents.js"
    target.write_text(f'"use strict";\nconst CONTENTS = {json.dumps(pages, indent=1)};\n')


def setup(app) -> dict:
    """Called by Sphinx."""
    app.connect("doctree-read", place)
    app.connect("build-finished", contents)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
