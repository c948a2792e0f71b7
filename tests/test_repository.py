"""The repository agrees with itself: dependencies, layers, notebooks."""

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from radar_nb.storage.places import REPOSITORY

PACKAGE = REPOSITORY / "radar_nb"
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
# A room may import from rooms in rows above its own; rooms of one row never import each other.
ROOMS = [("storage", "figures"), ("data", "arguments"), ("method",), ("beyond", "rivals", "runs", "teaching"),
         ("experiments",), ("__main__",)]


def test_pyproject_constraints_and_environment_agree():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(line)
              for line in [*project["dependencies"], *project["optional-dependencies"]["test"]]]
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pins = {canonicalize_name(name): version for name,
            version in (line.split("==") for line in lines if line and line[0] != "#")}
    for requirement in wanted:
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, requirement
    conda = yaml.safe_load((REPOSITORY / "environment.yml").read_text())["dependencies"]
    names = dict(line.split("=") for line in conda if "=" in line)
    conda_names = {"torch": "pytorch", "matplotlib": "matplotlib-base", "playwright": "playwright-python"}
    listed = {conda_names.get(requirement.name, requirement.name): pins[canonicalize_name(requirement.name)]
              for requirement in wanted}
    assert names.pop("python") >= "3.11" and names == listed
    assert pins["torch"] == "2.13.0"


def imports(path):
    """The modules of the package that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("radar_nb"):
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                yield module if (PACKAGE.parent
                                 / module.replace(".", "/")).with_suffix(".py").is_file() else node.module


def test_rooms_import_only_from_rooms_below():
    row = {room: number for number, rooms in enumerate(ROOMS) for room in rooms}
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if room == "__init__":
            continue
        for module in imports(path):
            other = module.split(".")[1]
            assert row[other] < row[room] or other == room, f"{path.relative_to(PACKAGE)} imports {module}"


def test_no_module_imports_itself_in_a_circle():
    def dotted(path):
        return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")

    graph = {dotted(path): set(imports(path)) for path in PACKAGE.rglob("*.py")}
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_public_functions_have_docstrings_and_types():
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree) or not path.read_text(), path
        for node in [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef))]:
            public = not node.name.startswith("_") and node in tree.body
            assert not public or ast.get_docstring(node), f"{path.name}: {node.name}"
            length = node.end_lineno - node.lineno
            assert isinstance(node,
                              ast.ClassDef) or length <= 70, f"{path.name}: {node.name} has {length} lines"


def test_ruff_finds_nothing():
    """Lines of 110 characters, sorted imports and a modest set of rules: pyproject.toml, [tool.ruff]."""
    command = [sys.executable, "-m", "ruff", "check", "--quiet", "radar_nb", "data_download", "docs", "tests"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


def test_a_module_is_read_in_one_sitting():
    """At most 250 lines a module, and 40 a function without its docstring."""
    long = []
    for path in PACKAGE.rglob("*.py"):
        text, name = path.read_text(), path.relative_to(PACKAGE)
        if len(text.splitlines()) > 250:
            long.append(f"{name}: {len(text.splitlines())} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
                if node.end_lineno - first.lineno >= 40:
                    long.append(f"{name}: {node.name} has {node.end_lineno - first.lineno + 1}")
    assert not long, long


def test_the_method_room_touches_no_disk():
    """Arrays and tensors in, arrays out. Saving is a mixin of storage, which `RadarDetector` inherits."""
    lines = 0
    for path in (PACKAGE / "method").glob("*.py"):
        lines += sum(bool(line.strip()) for line in path.read_text().splitlines())
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else \
                [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] not in ("json", "pathlib", "safetensors", "os", "shutil"), path
                allowed = ("radar_nb.storage.errors", "radar_nb.storage.pretrained")
                assert not name.startswith("radar_nb.storage") or name in allowed, f"{path.name} imports {name}"
    assert lines <= 1050, f"{lines} lines that are not blank"


HEAVY = {"torch", "numpy", "pandas", "diffusers", "sklearn", "scipy", "skimage", "PIL", "matplotlib", "papermill"}


def test_public_names_are_loaded_when_first_used():
    """`import radar_nb` takes hundredths of a second, and each name of its table resolves."""
    code = (f"import sys, radar_nb; print({HEAVY} & set(sys.modules) or 'none'); "
            "[getattr(radar_nb, name) for name in radar_nb.__all__]")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "none"


@pytest.mark.parametrize("arguments", [["--help"], ["score", "--help"], ["fly"]], ids=" ".join)
def test_help_is_there_at_once(arguments):
    """No library of arrays or networks is loaded to print a page of help, or to say that a command is wrong."""
    command = [sys.executable, "-X", "importtime", "-m", "radar_nb", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert done.returncode == (2 if arguments == ["fly"] else 0) and "radar_nb.arguments" in loaded
    assert not HEAVY & loaded


def test_nothing_names_a_machine():
    files = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True,
                           check=True).stdout.split("\0")
    for name in filter(None, files):
        if name.endswith((".py", ".md", ".ipynb", ".yml", ".toml", ".txt", ".cff")) or name in ("Makefile",
                                                                                                ".ci/run"):
            found = re.findall(r"/(?:work|tmp|root|home)/[\w.-]+", (REPOSITORY / name).read_text())
            assert not found, f"{name}: {found[:3]}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_stored_notebook_is_one_clean_run(path):
    notebook = nbformat.read(path, 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    tagged = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    values = re.sub(r"\s*#.*", "", tagged[0].source).splitlines()
    assert len(tagged) == 1 and values == ['profile = "smoke"', 'dataset = "printed"', "seed = 0"]
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert pictures and all(len(output.metadata.get("image/png", {}).get("alt", "")) > 20
                            for output in pictures), "a figure lacks alt text"
    assert path.stat().st_size < 1_000_000
    assert max(len(cell.source.splitlines()) for cell in code) <= 26


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_its_parts(path):
    text = "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown")
    for part in ("**You will**", "**Time**", "**You need**", "## Exercises", "<details>", "## Summary",
                 "Common mistake"):
        assert part in text, part
    for link in re.findall(r"\]\(([\w.]+\.ipynb)\)", text):
        assert (REPOSITORY / "notebooks" / link).is_file(), link


@pytest.mark.parametrize("path",
                         [REPOSITORY / "README.md", *REPOSITORY.glob("[!.]*/README.md"),
                          *REPOSITORY.glob("docs/*.md")], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_links_of_the_documentation_lead_somewhere(path):
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text()):
        assert (path.parent / link).exists(), link
