"""Scoring folders: what is written, memory, and going on after a kill."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from radar_nb.detector import RadarDetector
from radar_nb.images import InputError, read_image, write_image
from radar_nb.printed import make_image
from radar_nb.profiles import REPOSITORY
from radar_nb.scoring import CHUNK, overlay, score_files
from radar_nb.training import TrainingConfig, train


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A detector with the smallest U-Net: what is scored here is speed and order, not skill."""
    folder = tmp_path_factory.mktemp("model")
    config = TrainingConfig(steps=1, batch_size=2, patch_size=32, widths=(8, 8, 8, 8))
    images = [make_image("easy", 0, "calibrate", index, size=48)[0] for index in range(8)]
    detector = RadarDetector(unet=train(images, config, progress=False).unet, training=config, longest_side=64).fit(images)
    detector.save_pretrained(folder)
    return folder


def _folder(folder, count, side=32):
    rng = np.random.default_rng(0)
    for index in range(count):
        write_image(folder / f"{index:05}.png", rng.integers(0, 256, (side, side), np.uint8))
    return sorted(folder.iterdir())


def _outputs(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_everything_is_written_in_the_images_own_size(model, tmp_path):
    image, _ = make_image("easy", 0, "test", 1, "blob", size=160)
    write_image(tmp_path / "in/wide.png", image[:100])
    (tmp_path / "in/bad.png").write_text("no image")
    write_image(tmp_path / "in/small.png", image[:20, :20])
    write_image(tmp_path / "in/wide.jpg", np.dstack([image] * 3))
    paths, out = sorted((tmp_path / "in").iterdir()), tmp_path / "out ü"
    assert score_files(RadarDetector.from_pretrained(model), paths, out, progress=False) == 2
    rows = [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]
    assert [row["image"] for row in rows] == [str(path) for path in paths]
    assert "not an image" in rows[0]["error"] and "smaller than a patch" in rows[1]["error"]
    table = list(csv.DictReader((out / "scores.csv").open()))
    assert [row["error"] == "" for row in table] == [False, False, True, True]
    assert [float(row["score"]) for row in table[2:]] == [row["score"] for row in rows[2:]]
    assert sorted(path.name for path in (out / "masks/in").iterdir()) == ["wide-2_mask.png", "wide_mask.png"]
    assert read_image(out / "masks/in/wide-2_mask.png").shape == (100, 160) and read_image(out / "masks/in/wide_mask.png").shape == (160, 160)
    assert {path.name for path in (out / "overlays/in").iterdir()} == {"wide_overlay.png", "wide-2_overlay.png"}


def test_an_overlay_outlines_the_mask():
    mask = np.zeros((40, 40), bool)
    mask[10:20, 10:20] = True
    drawn = overlay(np.full((40, 40), 0.5, np.float32), mask)
    assert tuple(drawn[9, 15]) == (255, 69, 0) and tuple(drawn[15, 15]) == tuple(drawn[30, 30]) == (128, 128, 128)


@pytest.mark.parametrize("torn", [0, 1, 37])
def test_a_torn_journal_is_gone_on_with(model, tmp_path, torn):
    paths, detector = _folder(tmp_path / "in", 150), RadarDetector.from_pretrained(model)
    score_files(detector, paths, tmp_path / "whole", progress=False)
    score_files(detector, paths, tmp_path / "cut", progress=False)
    journal = tmp_path / "cut/scores.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:CHUNK + 3]) + lines[CHUNK + 3][:torn])
    (tmp_path / "cut/scores.csv").unlink()
    score_files(detector, paths, tmp_path / "cut", progress=False)
    assert _outputs(tmp_path / "cut") == _outputs(tmp_path / "whole")


def test_a_journal_of_other_images_or_another_model_is_not_gone_on_with(model, tmp_path):
    paths, detector = _folder(tmp_path / "in", 3), RadarDetector.from_pretrained(model)
    score_files(detector, paths, tmp_path / "out", progress=False)
    before = _outputs(tmp_path / "out")
    with pytest.raises(InputError, match="other images"):
        score_files(detector, paths[:2], tmp_path / "out", progress=False)
    with pytest.raises(InputError, match="another model"):
        score_files(detector.set_params(window=9), paths, tmp_path / "out", progress=False)
    assert _outputs(tmp_path / "out") == before


# --- a process of its own: memory, and a kill ------------------------------------------------------------------

PEAK = "import resource, sys; from radar_nb.__main__ import main; status = main(sys.argv[1:]); print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(status)"


def _score(model, folder, out, **options):
    return subprocess.Popen([sys.executable, "-c", PEAK, "score", "--model", str(model), str(folder), "--out", str(out)], cwd=REPOSITORY,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, **options)


def _peak(process):
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return int(output.split("PEAK")[1])


def test_memory_is_flat_and_a_killed_run_goes_on(model, tmp_path):
    """Twenty times the images take no more memory; killed half-way and called again, the output is that of one whole run."""
    _folder(tmp_path / "few", 100)
    for path in _folder(tmp_path / "one", 1):
        (tmp_path / "many").mkdir()
        for index in range(2_000):
            os.link(path, tmp_path / "many" / f"{index:05}.png")
    few = _peak(_score(model, tmp_path / "few", tmp_path / "out few"))
    killed = _score(model, tmp_path / "many", tmp_path / "out many")
    journal = tmp_path / "out many/scores.jsonl"
    while not journal.exists() or journal.read_bytes().count(b"\n") < 1000:
        time.sleep(0.2)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    many = _peak(_score(model, tmp_path / "many", tmp_path / "out many"))
    assert many <= 1.1 * few, (many, few)
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [row["image"][-9:-4] for row in rows] == [f"{index:05}" for index in range(2_000)] and len({row["score"] for row in rows}) == 1
    assert sum(1 for _ in (tmp_path / "out many/masks/many").iterdir()) == 2_000
