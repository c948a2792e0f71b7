"""`score` on files of odd names, kinds, sizes and places: a row each, none lost, none silently wrong."""

import csv
import os
import shutil
import warnings

import numpy as np
import pytest
import tifffile
from odd import save, surface
from PIL import Image

from radar_nb.__main__ import main
from radar_nb.data.listing import find_images
from radar_nb.method.detector import RadarDetector
from radar_nb.method.training import TrainingConfig, train
from radar_nb.storage.errors import Notice


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The smallest detector, that shrinks images to 64 pixels: what is tested here is no skill."""
    folder = tmp_path_factory.mktemp("model")
    config = TrainingConfig(steps=1, batch_size=2, patch_size=32, widths=(8, 8, 8, 8))
    images = [surface(seed, 48, 48) for seed in range(8)]
    unet = train(images, config, progress=False).unet
    RadarDetector(unet=unet, training=config, longest_side=64).fit(images).save_pretrained(folder)
    return folder


def score(model, *arguments):
    """Status of a `score` call, its rows, and what was said."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        status = main(["score", "--model", str(model), *map(str, arguments)])
    out = arguments[arguments.index("--out") + 1]
    with open(out / "scores.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return status, rows, [str(each.message) for each in said if each.category is Notice]


NAMES = ("plain", "with space", "-dash", "dot.dot", "quote\"'", "new\nline", "tab\t", "\u202emirror", "emoji🙂", "表面検査画像" * 13,
         "x" * 250, "é", "e\u0301", "Large", "LARGE", "percent%s", "star*", "back\\slash", "$(touch x)", "~", "a,b;c", "\x1b[31m")
GOOD = {
    "grey": lambda path, image: save(path, image),
    "colour": lambda path, image: save(path, np.dstack([image] * 3)),
    "alpha": lambda path, image: save(path, Image.fromarray(image).convert("RGBA")),
    "palette": lambda path, image: save(path, Image.fromarray(image).convert("P")),
    "grey alpha": lambda path, image: save(path, Image.fromarray(image).convert("LA")),
    "bilevel": lambda path, image: save(path, Image.fromarray(image > 120)),
    "16 bit": lambda path, image: save(path, image.astype(np.uint16) * 257),
    "wide": lambda path, image: save(path, np.hstack([image] * 2)),
    "tall": lambda path, image: save(path, np.vstack([image, image[:20]]))}
BAD = {
    "empty": lambda path, image: path.write_bytes(b""),
    "text": lambda path, image: path.write_text("no image"),
    "cut": lambda path, image: (save(path, image), path.write_bytes(path.read_bytes()[:200])),
    "thin": lambda path, image: save(path, np.hstack([image] * 60)),
    "small": lambda path, image: save(path, image[:20]),
    "dark 16 bit": lambda path, image: save(path, image.astype(np.uint16)),
    "broken link": lambda path, image: path.symlink_to("nowhere.png")}


def test_a_thousand_odd_files(model, tmp_path):
    photos, wrong, count = tmp_path / "photos", set(), 0
    kinds = [*GOOD.items(), *BAD.items()]
    for number in range(1000):
        kind, write = kinds[number % len(kinds)]
        name = NAMES[number % len(NAMES)]
        path = photos / f"place {number // 352}" / ("deep" * (number % 3)) / f"{number}{name}.png"
        path = path.with_name(f"{name}{number}.png") if name.startswith(("-", "~", ".")) else path
        while len(os.fsencode(path.name)) > 255:
            path = path.with_name(path.stem[:-1] + ".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, surface(number, 40, 40))
        wrong |= {number} if kind in BAD else set()
        count += 1
    latin = os.fsencode(photos) + b"/Pr\xfcfteil.png"
    shutil.copy(photos / "place 0" / "0plain.png", latin)
    tifffile.imwrite(photos / "float.tif", surface(1, 40, 40).astype(np.float32) / 255)
    (photos / "round").symlink_to(photos)
    status, rows, said = score(model, photos, "--out", tmp_path / "out")
    assert status == 1 and len(rows) == count + 2 and said == []
    failed = [row for row in rows if row["error"]]
    assert len(failed) == len(wrong) and all("\n" not in row["error"] for row in failed)
    assert all(bool(row["error"]) != bool(row["score"]) for row in rows), "a score or a reason"
    assert len({row["image"] for row in rows}) == len(rows)
    assert any("Pr\\xfcfteil.png" in row["image"] for row in rows)
    masks = list((tmp_path / "out/masks").rglob("*.png"))
    assert len(masks) == len(rows) - len(failed) == len(list((tmp_path / "out/overlays").rglob("*.png")))


def test_replaced_photographs_are_not_taken_for_the_old_ones(model, tmp_path, capsys):
    path = tmp_path / "line/part.png"
    save(path, surface(1))
    (tmp_path / "line/broken.png").write_bytes(b"")
    assert score(model, tmp_path / "line", "--out", tmp_path / "out")[0] == 1
    assert score(model, tmp_path / "line", "--out", tmp_path / "out")[0] == 1, "the same call goes on"
    state = path.stat()
    save(path, surface(2)[::-1])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    arguments = ["score", "--model", str(model), str(tmp_path / "line"), "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "images that have changed since; give another --out" in capsys.readouterr().err
    save(path, surface(1))
    assert main(arguments) == 1, "as they were"
    save(tmp_path / "line/broken.png", surface(3))
    assert main(arguments) == 2, "an empty file that was replaced"


def test_results_inside_the_photographs_are_no_photographs(model, tmp_path, monkeypatch):
    for number in range(3):
        save(tmp_path / f"{number}.png", surface(number))
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        status, rows, _ = score(model, ".", "--out", tmp_path / "results")
        assert status == 0 and len(rows) == 3
    status, rows, said = score(model, ".", "--out", tmp_path / "other")
    assert status == 0 and len(rows) == 3 and "left out: 1 folders" in said[0]


def test_what_is_no_image_is_counted_and_tools_are_passed_over(model, tmp_path):
    folder = tmp_path / "photos"
    save(folder / "a.png", surface(0))
    save(folder / "b.jfif", surface(1), format="JPEG")
    save(folder / ".ipynb_checkpoints/a-checkpoint.png", surface(0))
    (folder / "IMG.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    save(folder / "moving.gif", surface(2))
    status, rows, said = score(model, folder, "--out", tmp_path / "out")
    assert status == 0 and len(rows) == 2 and "left out: 1 .heic, 1 .gif" in said[0]


def test_a_huge_image_has_the_limit_in_its_row(model, tmp_path, monkeypatch):
    save(tmp_path / "photos/a.png", surface(0))
    save(tmp_path / "photos/huge.png", np.tile(surface(1), (10, 10)))
    monkeypatch.setenv("RADAR_MAX_PIXELS", "100000")
    status, rows, _ = score(model, tmp_path / "photos", "--out", tmp_path / "out")
    assert status == 1 and "RADAR_MAX_PIXELS=409600" in rows[1]["error"] and rows[0]["score"]
    monkeypatch.delenv("RADAR_MAX_PIXELS")
    assert score(model, tmp_path / "photos", "--out", tmp_path / "again")[0] == 0


def test_broken_exif_does_not_lose_a_photograph(model, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = exif.tobytes()
    for name, data in {"none": None, "turned": turned, "cut": turned[:-8], "garbage": b"Exif\0\0" + b"\x11" * 40}.items():
        save(tmp_path / f"photos/{name}.jpg", surface(0, 40, 60), **({"exif": data} if data else {}))
    status, rows, _ = score(model, tmp_path / "photos", "--out", tmp_path / "out")
    assert status == 0 and len(rows) == 4
    assert Image.open(tmp_path / "out/masks/photos/turned_mask.png").size == (40, 60)


def test_find_images_skips_what_it_is_told(tmp_path):
    for place in ("a", "b"):
        save(tmp_path / place / "0.png", surface(0))
    assert [path.parent.name for path in find_images(tmp_path, True, skip=[tmp_path / "b"])] == ["a"]
