"""Scoring folders: what is written, memory, several processes, and going on after a kill."""

import csv
import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from radar_nb.__main__ import main
from radar_nb.data.images import read_image, write_image
from radar_nb.data.printed import make_image
from radar_nb.method.detector import RadarDetector
from radar_nb.method.training import TrainingConfig, train
from radar_nb.runs import scoring
from radar_nb.runs.scoring import CHUNK, _names, overlay, score_files
from radar_nb.storage import whole as files
from radar_nb.storage.errors import InputError, StorageError
from radar_nb.storage.places import REPOSITORY
from radar_nb.storage.whole import locked


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A detector with the smallest U-Net: what is scored here is speed and order, not skill."""
    folder = tmp_path_factory.mktemp("model")
    config = TrainingConfig(steps=1, batch_size=2, patch_size=32, widths=(8, 8, 8, 8))
    images = [make_image("easy", 0, "calibrate", index, size=48)[0] for index in range(8)]
    detector = RadarDetector(
        unet=train(images, config, progress=False).unet, training=config, longest_side=64
    ).fit(images)
    detector.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    """150 files, one of them bad, and what one process writes of them."""
    folder = tmp_path_factory.mktemp("whole")
    _folder(folder / "in", 150)
    (folder / "in" / "00100.png").write_text("no image")
    assert (
        score_files(
            RadarDetector.from_pretrained(model),
            sorted((folder / "in").iterdir()),
            folder / "out",
            progress=False,
        )
        == 1
    )
    return folder


def _folder(folder, count, side=32):
    rng = np.random.default_rng(0)
    for index in range(count):
        write_image(folder / f"{index:05}.png", rng.integers(0, 256, (side, side), np.uint8))
    return sorted(folder.iterdir())


def _outputs(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


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
    assert read_image(out / "masks/in/wide-2_mask.png").shape == (100, 160) and read_image(
        out / "masks/in/wide_mask.png"
    ).shape == (160, 160)
    assert {path.name for path in (out / "overlays/in").iterdir()} == {
        "wide_overlay.png",
        "wide-2_overlay.png",
    }


def test_an_overlay_outlines_the_mask():
    mask = np.zeros((40, 40), bool)
    mask[10:20, 10:20] = True
    drawn = overlay(np.full((40, 40), 0.5, np.float32), mask)
    assert tuple(drawn[9, 15]) == (255, 69, 0) and tuple(drawn[15, 15]) == tuple(drawn[30, 30]) == (
        128,
        128,
        128,
    )


def test_files_that_would_share_a_name_do_not():
    paths = [Path("a", name) for name in ("x.png", "x.jpg", "x-2.png", "x.tif", "x-2.jpg")]
    assert _names(paths) == ["a/x", "a/x-2", "a/x-2-2", "a/x-3", "a/x-2-3"]


def _scored(monkeypatch):
    """The chunks that are scored from now on, by the number of their first image."""
    starts, score_chunk = [], scoring._score_chunk
    monkeypatch.setattr(
        scoring,
        "_score_chunk",
        lambda detector, paths, *rest: (
            starts.append(int(paths[0].stem)) or score_chunk(detector, paths, *rest)
        ),
    )
    return starts


@pytest.mark.parametrize("torn", [0, 1, 37])
def test_only_what_is_missing_or_torn_is_scored_again(model, whole, tmp_path, monkeypatch, torn):
    paths, detector, out = (
        sorted((whole / "in").iterdir()),
        RadarDetector.from_pretrained(model),
        tmp_path / "out",
    )
    shutil.copytree(whole / "out", out)
    lines = (out / "scores.jsonl").read_bytes().splitlines(keepends=True)
    for name in ("scores.jsonl", "scores.csv"):
        (out / name).unlink()
    (out / "journal").mkdir()
    (out / "journal/000000.jsonl").write_bytes(b"".join(lines[:CHUNK]))
    (out / "journal/000001.jsonl").write_bytes(
        b"".join(lines[CHUNK : 2 * CHUNK - 1]) + lines[2 * CHUNK - 1][:torn]
    )  # never by a kill: by a bad disk
    scored = _scored(monkeypatch)
    assert score_files(detector, paths, out, progress=False) == 1
    assert scored == [CHUNK, 2 * CHUNK] and _outputs(out) == _outputs(whole / "out")
    assert score_files(detector, paths, out, progress=False) == 1
    assert len(scored) == 2 and _outputs(out) == _outputs(whole / "out"), (
        "what is finished is not scored again"
    )


def test_a_full_disk_costs_what_is_being_written_and_nothing_else(model, tmp_path, monkeypatch):
    paths, detector = _folder(tmp_path / "in", 3), RadarDetector.from_pretrained(model)
    score_files(detector, paths, tmp_path / "straight", progress=False)
    for number, name in enumerate(["scoring.json", "000000.jsonl", "scores.jsonl", "scores.csv"]):
        def sync(path, name=name, whole=files.sync):
            if path.name.startswith(f".{Path(name).stem}.") and path.suffix == Path(name).suffix:
                os.truncate(path, path.stat().st_size // 2)
                raise OSError(errno.ENOSPC, "No space left on device")
            whole(path)

        with (
            monkeypatch.context() as patch,
            pytest.raises(StorageError, match=f"{name}: no space left on the disk"),
        ):
            patch.setattr(files, "sync", sync)
            score_files(detector, paths, tmp_path / str(number), progress=False)
        score_files(detector, paths, tmp_path / str(number), progress=False)
        assert _outputs(tmp_path / str(number)) == _outputs(tmp_path / "straight")


def test_another_run_in_the_same_folder_is_refused(model, tmp_path):
    paths, detector = _folder(tmp_path / "in", 1), RadarDetector.from_pretrained(model)
    with locked(tmp_path / "out"), pytest.raises(InputError, match="another run is writing here"):
        score_files(detector, paths, tmp_path / "out", progress=False)
    assert _outputs(tmp_path / "out") == {}


def test_a_journal_of_other_images_or_another_model_is_not_gone_on_with(model, tmp_path):
    paths, detector = _folder(tmp_path / "in", 3), RadarDetector.from_pretrained(model)
    score_files(detector, paths, tmp_path / "out", progress=False)
    before = _outputs(tmp_path / "out")
    with pytest.raises(InputError, match="other images"):
        score_files(detector, paths[:2], tmp_path / "out", progress=False)
    with pytest.raises(InputError, match="another model"):
        score_files(detector.set_params(window=9), paths, tmp_path / "out", progress=False)
    assert _outputs(tmp_path / "out") == before


def test_a_process_that_outlives_its_run_brings_no_journal_back(model, tmp_path, monkeypatch):
    """Its main process is dead, a later run has finished and removed the journal: nothing is left to write
    to.
    """
    paths, detector, out = _folder(tmp_path / "in", 2), RadarDetector.from_pretrained(model), tmp_path / "out"
    score_files(detector, paths, out, progress=False)
    before = _outputs(out)
    (out / "journal").mkdir()

    def score_chunk(*given, whole=scoring._score_chunk):
        yield from whole(*given)
        scoring._remove_journal(out)

    monkeypatch.setattr(scoring, "_score_chunk", score_chunk)
    with scoring.tqdm(total=2, disable=True) as bar:
        scoring._score_share(detector, paths, out, bar, 0, 1)
    assert _outputs(out) == before and not (out / "journal").exists()


# --- several processes
# -----------------------------------------------------------------------------------------

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true",
                            "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'tests'}"}


def test_another_engine_scores_the_same_and_goes_on(model, whole, tmp_path):
    pytest.importorskip("onnxruntime")
    files, out = sorted((whole / "in").iterdir())[:3], tmp_path / "out"
    command = ["score", "--engine", "onnx", "--model", str(model), *map(str, files), "--out", str(out)]
    assert main(command) == main(command) == 0
    here, there = (list(csv.DictReader((folder / "scores.csv").open())) for folder in (out, whole / "out"))
    assert [float(row["score"]) for row in here] == pytest.approx([float(row["score"]) for row in there[:3]], abs=1e-3)


def test_two_machines_give_the_bytes_of_one_process(model, whole, tmp_path):
    """The commands of docs/speed.md, one a machine, here with two groups of processes; they share a folder.

    A bad file makes the exit status 1. One process alone prints and shows a bar.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = ["score", "--model", str(model), str(whole / "in"), "--out", str(tmp_path / "out")]
    groups = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--node_rank", rank, "--nproc_per_node", "1",
             "--master_addr", "127.0.0.1", "--master_port", port, "-m", "radar_nb", *command],
            env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in "01"
    ]
    (said, errors), (other, other_errors) = (group.communicate(timeout=300) for group in groups)
    assert said == f"{tmp_path / 'out' / 'scores.csv'}: 149 images scored, 1 failed\n" and other == "", errors + other_errors
    assert [group.returncode for group in groups] == [1, 0]
    assert errors.count(" 0/150 ") == 1 and " 150/150 " in errors and "/150 " not in other_errors
    assert _outputs(tmp_path / "out") == _outputs(whole / "out")


def test_any_process_may_be_killed_and_any_number_goes_on(model, tmp_path):
    """One of one or two is killed; the other ends by itself; one, two or three go on, also beside one that
    has outlived its main process.
    """
    _folder(tmp_path / "in", 10)
    done = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("killing_scoring.py")),
            str(model),
            str(tmp_path / "in"),
            str(tmp_path),
        ],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
        check=True,
    )
    said = json.loads(done.stdout)
    rows, shares = said["kills"], [line.split() for line in said["chunks"]]
    assert {rank for rank, _ in shares} == {"0", "1"} and sorted(name for _, name in shares) == [
        "00000",
        "00004",
        "00008",
    ], "shared, none twice"
    assert (
        len(rows) == 11
        and [row for row in rows if not row["killed"] or not row["equal"] or any(row["resumed"])] == []
    )
    assert {tuple(row["folders"]) for row in rows} == {("masks", "overlays")}, (
        "the journal is gone, also where a process outlived its run"
    )
    assert [row for row in rows if row["others"] != [1] and "process 1 of 2" in row["where"]] == [], (
        "the main process does not wait for ever"
    )


# --- a process of its own: memory
# ------------------------------------------------------------------------------

PEAK = """
import resource, sys
from radar_nb.__main__ import main
for folder in sys.argv[2:]:
    assert main(["score", "--model", sys.argv[1], folder, "--out", folder + " scores"]) == 0
    print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_is_flat(model, tmp_path):
    """Twenty times the images take no more memory."""
    _folder(tmp_path / "few", CHUNK)
    (tmp_path / "many").mkdir()
    for index in range(20 * CHUNK):
        os.link(tmp_path / "few" / "00000.png", tmp_path / "many" / f"{index:05}.png")
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(model), str(tmp_path / "few"), str(tmp_path / "many")],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=600,
        check=True,
    )
    few, many = (int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("PEAK"))
    assert many <= 1.1 * few, (many, few)
    rows = [json.loads(line) for line in (tmp_path / "many scores/scores.jsonl").read_text().splitlines()]
    assert [row["image"][-9:-4] for row in rows] == [f"{index:05}" for index in range(20 * CHUNK)] and len(
        {row["score"] for row in rows}
    ) == 1
    assert sum(1 for _ in (tmp_path / "many scores/masks/many").iterdir()) == 20 * CHUNK
