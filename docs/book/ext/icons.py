"""The theme brings 2,000 icons, 1.6 MB that each page loads. The book keeps those that its pages show."""

import re
from pathlib import Path

# One icon of Font Awesome's script: name, width, height, other names, code, one path or two.
ICON = re.compile(r'"?([\w-]+)"?:\[\d+,\d+,\[([^\]]*)\],"\w+",(?:"[^"]*"|\["[^"]*","[^"]*"\])\],?')


def only(script: str, names: set[str]) -> str:
    """The script with the icons of these names alone; a name may be one of an icon's other names."""
    return ICON.sub(lambda one: one[0] if names & {one[1], *re.findall(r'[\w-]+', one[2])} else "", script)


def named(text: str) -> set[str]:
    """Names of icons in a page or a script: each word after `fa-`."""
    return set(re.findall(r"\bfa-([a-z0-9-]+)", text))


def thin(app, failed: Exception | None) -> None:
    """Thin the script out once all pages are written."""
    script = Path(app.outdir) / "_static" / "scripts" / "fontawesome.js"
    if failed or not script.is_file():
        return
    files = {*Path(app.outdir).rglob("*.html"), *script.parent.glob("*.js")} - {script}
    script.write_text(only(script.read_text(), set().union(*(named(file.read_text()) for file in files))))


def setup(app) -> dict:
    """Called by Sphinx."""
    app.connect("build-finished", thin)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
