"""`pip install .` away from the repository: a built wheel trains, scores and says what needs the repository."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from radar_nb.data.images import write_image
from radar_nb.data.printed import make_image
from radar_nb.storage.places import REPOSITORY


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with nothing but what the wheel holds, and the environment that imports it from there."""
    place = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(place), str(REPOSITORY)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    wheel = next(place.glob("radar_nb-*.whl"))
    subprocess.run([*pip, "install", "--no-deps", "--target", str(place / "site"), str(wheel)], check=True, timeout=120)
    paths = os.pathsep.join([str(place / "site"), sysconfig.get_paths()["purelib"]])
    # -S leaves out the editable install of the repository; PYTHONPATH brings everything else back.
    return place, os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}


def run(installed, tmp_path, *arguments):
    place, environment = installed
    return subprocess.run([sys.executable, "-S", *arguments], cwd=tmp_path, env=environment, capture_output=True,
                          text=True, timeout=300)


def test_it_trains_and_scores_away_from_the_repository(installed, tmp_path):
    for split, count in (("train", 8), ("test", 2)):
        for index in range(count):
            image = make_image("easy", 0, split, index, size=48)[0]
            write_image(tmp_path / "parts" / split / "good" / f"{index}.png", image)
    write_image(tmp_path / "parts/test/hole/0.png", np.zeros((48, 48), np.uint8) + np.eye(48, dtype=np.uint8))
    done = run(installed, tmp_path, "-m", "radar_nb", "train", "--dataset", "parts", "--steps", "2", "--out", "model")
    assert done.returncode == 0, done.stderr[-2000:]
    done = run(installed, tmp_path, "-m", "radar_nb", "score", "--model", "model", "parts/test", "--out", "scores")
    assert done.returncode == 0, done.stderr[-2000:]
    assert len((tmp_path / "scores/scores.csv").read_text().splitlines()) == 1 + 3
    code = ("import json, radar_nb; d = radar_nb.load_detector('model'); "
            "print(json.dumps([radar_nb.__file__, d.offset_]))")
    where, offset = json.loads(run(installed, tmp_path, "-c", code).stdout)
    assert str(REPOSITORY) not in where and np.isfinite(offset)


def test_templates_tables_and_the_command_are_in_the_wheel(installed, tmp_path):
    place, _ = installed
    site = place / "site"
    assert {path.name for path in site.rglob("*.jinja")} == {path.name for path in REPOSITORY.glob("radar_nb/**/*.jinja")}
    assert (site / "radar_nb/experiments/paper.csv").is_file() and (site / "bin/radar-nb").is_file()
    code = "from radar_nb.experiments.paper_table import paper_table; print(len(paper_table('printed')))"
    assert run(installed, tmp_path, "-c", code).stdout.strip() == "6"


def test_what_needs_the_repository_says_so_in_one_line(installed, tmp_path):
    for arguments in (["run", "--profile", "smoke"], ["notebooks"]):
        done = run(installed, tmp_path, "-m", "radar_nb", *arguments)
        assert done.returncode == 2, (arguments, done.stderr[-500:])
        assert "repository" in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr[-1000:]
    code = "from radar_nb import Kit; Kit('smoke').unet"
    assert "InputError: weights: part of the repository" in run(installed, tmp_path, "-c", code).stderr
    assert not list(Path(tmp_path).rglob("*.safetensors")), "nothing was trained in its place"
