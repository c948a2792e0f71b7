"""Buttons that open a notebook on Binder or Colab. They appear once the kit has an address: `Repository`
under `[project.urls]` in pyproject.toml, and nowhere else. Without it there are none.
"""

import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"


def address(pyproject: str) -> str:
    """The address that the text of a pyproject.toml tells, or nothing."""
    return tomllib.loads(pyproject)["project"].get("urls", {}).get("Repository", "").rstrip("/")


def buttons(repository: str) -> dict:
    """The theme's options for the buttons. Colab opens notebooks from GitHub only."""
    if not repository:
        return {}
    colab = {"colab_url": "https://colab.research.google.com"} if "//github.com/" in repository else {}
    return {"repository_url": repository, "repository_branch": "main",
            "launch_buttons": {"binderhub_url": "https://mybinder.org", "notebook_interface": "jupyterlab"}
            | colab}
