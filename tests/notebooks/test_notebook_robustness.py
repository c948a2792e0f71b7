"""Notebooks in careless hands: wrong parameters, a kernel interrupted in mid-write, two at once, any order."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import nbformat
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

from radar_nb.storage import whole as files
from radar_nb.storage.errors import InputError
from radar_nb.storage.tables import write_table
from radar_nb.storage.whole import locked, whole_file
from radar_nb.data.images import write_image
from radar_nb.runs.kit import Kit
from radar_nb.storage.places import REPOSITORY
from radar_nb.runs.notebooks import run_notebooks

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("[0-9]*.ipynb"))
# Parameters that a user may type, and what is said.
WRONG = {
    'profile = "large"': "profile='large': choose one of smoke, cpu, gpu",
    "profile = 3": "profile=3: choose one of",
    "profile = ['smoke']": "profile=['smoke']: choose one of",
    "profile = None": "profile=None: choose one of",
    'dataset = "prnted"': "dataset='prnted': not a data set",
    "dataset = 5": "dataset=5: give a name in quotes",
    "dataset = None": "dataset=None: give a name in quotes",
    'dataset = ""': "dataset='': not a data set",
    'dataset = "/nowhere/at/all"': "dataset='/nowhere/at/all': not a data set",
    r'dataset = "a\0b"': "not a data set",
    'dataset = "x" * 5000': "not a data set",
    'dataset = "~nobody-of-that-name/x"': "not a data set",
    "seed = -1": "seed=-1: give a whole number from 0",
    "seed = 1.5": "seed=1.5: give a whole number",
    'seed = "0"': "seed='0': give a whole number",
    "seed = True": "seed=True: give a whole number",
    "seed = 10**12": "seed=1000000000000: give a whole number",
}


def first_cells(path):
    """The code from the parameters to the first Kit."""
    cells = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    return cells[:next(number for number, source in enumerate(cells) if "Kit(" in source) + 1]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_parameter_is_one_line_in_a_notebook(wrong, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("RADAR_RUN", str(tmp_path / "run"))
    shell = InteractiveShell()
    parameters, *others = first_cells(NOTEBOOKS[0])
    assert shell.run_cell(f"{parameters}\n{wrong}").success
    capsys.readouterr()
    results = [shell.run_cell(source) for source in others]
    said = re.sub(r"\x1b\[[0-9;]*m", "", "".join(capsys.readouterr())).strip()
    assert not results[-1].success and said.startswith("InputError: ") and WRONG[wrong] in said and len(said.splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_gives_all_its_parameters_to_the_kit_before_it_does_anything(path):
    parameters, *others = first_cells(path)
    for source in others[:-1]:
        assert not re.sub(r"^(from .*|import .*|\s.*|\)|#.*|)$", "", source, flags=re.MULTILINE).strip(), "imports alone"
    head = others[-1].split("Kit(")[0]
    assert others[-1].count("Kit(profile, dataset, seed)") == 1 and "dataset" not in re.sub(r"def .*?\n\n\n", "", head, flags=re.DOTALL)


WRITERS = {
    "an image": ("a.png", lambda path: write_image(path, np.zeros((4, 4), np.uint8)), lambda path: write_image(path, np.ones((9, 9), np.uint8))),
    "a table": ("a.csv", lambda path: write_table(path, [{"a": 1}]), lambda path: write_table(path, [{"b": 2}] * 99)),
    "JSON": ("a.json", lambda path: files.write_json(path, {"a": 1}), lambda path: files.write_json(path, {"b": [2] * 99})),
}


@pytest.mark.parametrize("stage", ["while writing", "before the rename"])
@pytest.mark.parametrize("kind", WRITERS)
def test_an_interrupted_kernel_leaves_the_old_file_or_the_new_one(tmp_path, monkeypatch, kind, stage):
    name, before, after = WRITERS[kind]
    path = tmp_path / name
    before(path)
    content = path.read_bytes()

    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        if stage == "before the rename":
            patch.setattr(files.os, "replace", interrupt)
            after(path)
        else:
            with whole_file(path) as work:
                work.write_bytes(b"half")
                interrupt()
    assert path.read_bytes() == content and [item.name for item in tmp_path.iterdir()] == [name]
    after(path)
    assert path.read_bytes() != content


def test_two_notebooks_at_once_lose_nothing(tmp_path):
    """Sixty records from six threads with a Kit each: every one arrives."""
    def record(number):
        Kit("smoke", folder=tmp_path).record(f"method{number}", {"f1": number})

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(record, range(60)))
    kept = json.loads((tmp_path / "methods.json").read_text())
    assert kept == {f"method{number}": {"f1": float(number)} for number in range(60)}


def test_a_second_run_in_the_same_folder_is_refused_and_touches_nothing(tmp_path):
    (tmp_path / "methods.json").write_text("precious")
    with locked(tmp_path), pytest.raises(InputError, match="another run is writing here; wait until it is done, or give another folder"):
        run_notebooks(Kit("smoke", folder=tmp_path), "printed")
    assert (tmp_path / "methods.json").read_text() == "precious"


def test_a_damaged_file_of_a_run_is_named(tmp_path):
    kit = Kit("smoke", folder=tmp_path)
    (tmp_path / "methods.json").write_text('{"radar": ')
    with pytest.raises(InputError, match="methods.json: cannot be read as JSON .* remove it"):
        kit.record("radar", {"f1": 1})
