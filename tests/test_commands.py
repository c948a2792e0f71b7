"""The command line: what works, and one line with exit status 2 for wrong use."""

import csv
import json
import shutil

import numpy as np
import pytest

from radar_nb.__main__ import main
from radar_nb.beyond.detector import load_detector
from radar_nb.beyond.fused import FusedDetector
from radar_nb.data.images import write_image
from radar_nb.runs import notebooks as reproduce
from radar_nb.runs.kit import Kit
from radar_nb.storage.places import REPOSITORY


def status_and_error(capsys, *arguments):
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as exit_:
        status = exit_.code
    return status, capsys.readouterr().err.strip()


WRONG_USE = {
    "unknown command": (["fly"], "invalid choice: 'fly'"),
    "no command": ([], "required: command"),
    "unknown profile": (["run", "--profile", "huge", "--out", "OUT"], "profile='huge'"),
    "unknown data set": (["run", "--dataset", "nothing", "--out", "OUT"], "dataset='nothing'"),
    "negative seed": (["run", "--seed", "-1", "--out", "OUT"], "seed=-1"),
    "seed that is no number": (["run", "--seed", "x"], "--seed: invalid int value: 'x'"),
    "missing folder": (["train", "--dataset", "EMPTY/nowhere", "--out", "OUT"], "nowhere"),
    "empty folder": (["train", "--dataset", "EMPTY", "--out", "OUT"], "train/good: no such folder"),
    "images of no size": (["train", "--longest-side", "5", "--out", "OUT"], "longest_side=5: choose 64 to 2048"),
    "no steps": (["train", "--steps", "0", "--out", "OUT"], "steps=0"),
    "unknown method": (["compare", "--methods", "magic", "--results", "OUT"], "--methods magic"),
    "unknown ablation": (["ablate", "--ablations", "coffee", "--results", "OUT"], "--ablations coffee"),
    "no tables": (["claims", "--results", "EMPTY", "--out", "OUT"], "comparison.csv: no such file"),
    "no model": (["score", "--model", "EMPTY", "a.png", "--out", "OUT"], "not a saved detector"),
}


@pytest.mark.parametrize("case", WRONG_USE)
def test_wrong_use_is_one_line_and_status_2(capsys, tmp_path, case):
    arguments, said = WRONG_USE[case]
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    arguments = [a.replace("OUT", str(out)).replace("EMPTY", str(tmp_path / "empty")) for a in arguments]
    status, error = status_and_error(capsys, *arguments)
    assert status == 2 and said in error and len(error.splitlines()) == 1 and "Traceback" not in error
    assert not out.exists()


BAD_DATA = {
    "a file that is no image": (lambda good, rng: (good / "003.png").write_text("hello"), "003.png: not an image"),
    "an image smaller than a patch": (lambda good, rng: write_image(good / "003.png", np.zeros((9, 50), np.uint8)), "003.png: 9 x 50 is smaller than a patch"),
    "mixed channels": (lambda good, rng: write_image(good / "003.png", rng.integers(0, 256, (48, 48, 3), np.uint8)), "003.png: RGB, but grey is expected"),
    "a mask without its image": (lambda good, rng: (good.parents[1] / "test/scratch/001.png").unlink(), "001_mask.png: a mask without its image"),
    "no images": (lambda good, rng: [path.unlink() for path in good.iterdir()], "no images found"),
}


@pytest.mark.parametrize("command", ["run", "train"])
@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_one_line_and_status_2_and_overwrites_nothing(capsys, tmp_path, mvtec_folder, rng, case, command):
    spoil, said = BAD_DATA[case]
    spoil(mvtec_folder / "train" / "good", rng)
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.json").write_text("precious")
    status, error = status_and_error(capsys, command, "--profile", "smoke", "--dataset", mvtec_folder, "--out", out)
    assert status == 2 and said in error and len(error.splitlines()) == 1
    assert [path.name for path in out.iterdir()] == ["config.json"] and (out / "config.json").read_text() == "precious"


def test_train_then_score(capsys, tmp_path, mvtec_folder):
    model, out = tmp_path / "model", tmp_path / "out"
    assert main(["train", "--profile", "smoke", "--dataset", str(mvtec_folder), "--steps", "3", "--longest-side", "300", "--out", str(model)]) == 0
    assert "false alarms" in capsys.readouterr().out
    assert {"config.json", "diffusion_pytorch_model.safetensors", "detector.json", "README.md", "card.html"} <= {p.name for p in model.iterdir()}
    assert "| image auroc |" in (model / "README.md").read_text()
    images = mvtec_folder / "test" / "scratch"
    (images / "broken.png").write_text("no image")
    assert main(["score", "--model", str(model), str(images), str(mvtec_folder / "test/good/000.png"), "--out", str(out)]) == 1
    rows = list(csv.DictReader((out / "scores.csv").open()))
    assert [row["decision"] != "" for row in rows] == [True, True, False, True] and "broken.png: not an image" in rows[2]["error"]
    loaded = load_detector(model)
    assert isinstance(loaded, FusedDetector) and loaded.longest_side == 300
    assert float(rows[0]["score"]) == pytest.approx(loaded.score_samples([images / "000.png"])[0], rel=1e-4)
    assert sum(1 for _ in (out / "masks").rglob("*.png")) == 3


def test_train_needs_no_test_images_and_run_says_that_it_does(capsys, tmp_path, mvtec_folder):
    for part in ("test", "ground_truth"):
        shutil.rmtree(mvtec_folder / part)
    model = tmp_path / "model"
    assert main(["train", "--profile", "smoke", "--dataset", str(mvtec_folder), "--steps", "3", "--out", str(model)]) == 0
    assert "Not tested: there were no test images." in (model / "README.md").read_text() and (model / "card.html").is_file()
    assert len(load_detector(model).score_samples([mvtec_folder / "train/good/000.png"])) == 1
    capsys.readouterr()
    status, error = status_and_error(capsys, "run", "--profile", "smoke", "--dataset", mvtec_folder, "--out", tmp_path / "out")
    assert status == 2 and "parts: no folder test/good; put normal images there" in error and len(error.splitlines()) == 1


def test_a_failing_notebook_stops_the_run_and_is_named(capsys, tmp_path, monkeypatch):
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    new = reproduce.nbformat.v4
    for name, source in (("00_good", "print('fine')"), ("01_bad", "x = 1\n1 / 0"), ("02_never", "print('never')")):
        parameters = new.new_code_cell("profile = dataset = ''\nseed = 0", metadata={"tags": ["parameters"]})
        kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
        reproduce.nbformat.write(new.new_notebook(cells=[parameters, new.new_code_cell(source)], metadata=kernel), notebooks / f"{name}.ipynb")
    monkeypatch.setattr(reproduce, "NOTEBOOKS", notebooks)
    status, error = status_and_error(capsys, "run", "--profile", "smoke", "--out", tmp_path / "out")
    assert status == 1 and len(error.splitlines()) == 1
    assert "01_bad.ipynb: cell" in error and "ZeroDivisionError: division by zero" in error
    kept = {path.name for path in (tmp_path / "out").glob("*.ipynb")}
    assert kept == {"00_good.ipynb", "01_bad.ipynb"} and not (tmp_path / "out" / "summary.json").exists()


def test_a_kit_shrinks_images_to_the_side_that_is_asked_for(tmp_path, mvtec_folder, rng):
    write_image(mvtec_folder / "train" / "good" / "large.png", rng.integers(0, 256, (90, 180), np.uint8))
    for asked, longest in ((None, 180), (100, 100)):
        data = Kit("smoke", str(mvtec_folder), folder=tmp_path, longest_side=asked).data
        assert max(max(image.shape) for part in (data.train, data.calibrate) for image in part) == longest


def test_the_smoke_kit_takes_released_weights_and_trains_where_there_are_none(tmp_path, mvtec_folder):
    released = Kit("smoke", "printed", folder=tmp_path)
    assert released.unet.config.in_channels == 4 and not released.model_folder.exists()
    own = Kit("smoke", str(mvtec_folder), folder=tmp_path)
    assert own.unet.config.in_channels == 4 and (own.model_folder / "training.json").is_file()


def test_released_models_have_a_card_and_are_small():
    for folder in (REPOSITORY / "weights").iterdir():
        card = (folder / "README.md").read_text()
        assert all(word in card for word in ("python -m radar_nb train", "seed", "image auroc", "pixel auroc"))
        assert sum(path.stat().st_size for path in folder.rglob("*")) < 5e6
        assert len(json.loads((folder / "training.json").read_text())["losses"]) > 100


def test_compare_writes_tables_that_claims_reads(tmp_path, mvtec_folder, monkeypatch):
    monkeypatch.setattr("sys.argv", ["radar_nb", "compare", "--datasets", "parts"])
    results, claims = tmp_path / "results", tmp_path / "CLAIMS.md"
    common = ["--datasets", str(mvtec_folder), "--methods", "pca", "ocsvm", "--profile", "smoke", "--out", str(tmp_path / "run"), "--results", str(results)]
    assert main(["compare", *common]) == 0
    first = (results / "comparison.csv").read_text()
    assert main(["compare", *common]) == 0 and (results / "comparison.csv").read_text() == first, "measured once, kept"
    assert main(["claims", "--results", str(results), "--out", str(claims)]) == 0
    text = claims.read_text()
    assert "cannot be tested here" in text and "PCA of patches" in text and "compare --datasets" in text
    assert str(tmp_path) not in first


def test_figures_are_vector_and_png_with_alt_text(tmp_path):
    assert main(["figures", "--out", str(tmp_path)]) == 0
    index = json.loads((tmp_path / "index.json").read_text())
    assert [name.split("_")[1] for name in index] == [str(number) for number in range(1, 9)]
    for name, entry in index.items():
        assert len(entry["alt"]) > 60
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        svg = (tmp_path / f"{name}.svg").read_text()
        assert "<svg" in svg and entry["alt"][:30] in svg
