"""Folders that differ from the layout in one thing: read rightly, or named in one line; never in silence."""

import shutil
import warnings

import numpy as np
import pytest
from odd import defective, layout, save, surface

from radar_nb.data.named import find_dataset, load_dataset
from radar_nb.storage.errors import InputError, Notice


def told(folder):
    """The data set, and what is said about it."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        data = load_dataset(folder)
        data.check()
    return data, " ".join(str(each.message) for each in said if each.category is Notice)


def test_what_tools_leave_behind_is_no_data_and_no_news(tmp_path):
    root = layout(tmp_path / "parts")
    plain, said = told(root)
    for place in ("test", "train/good", "test/crack", "test/good", "ground_truth/crack", "ground_truth"):
        save(root / place / ".ipynb_checkpoints/000-checkpoint.png", surface(1))
        save(root / place / "__MACOSX/000.png", surface(1))
        (root / place / "Thumbs.db").write_bytes(b"x")
        (root / place / "._000.png").write_bytes(b"\0\5\x16\7")
    (root / "test/.cache").mkdir()
    after, said_after = told(root)
    assert said == said_after == "" and str(after) == str(plain) and after.kinds == plain.kinds


def test_folders_inside_links_and_rarer_suffixes_are_read(tmp_path):
    root = layout(tmp_path / "parts")
    save(root / "train/good/camera2/0.png", surface(300))
    save(root / "train/good/a.jfif", surface(301), format="JPEG")
    save(root / "train/good/b.JPE", surface(302), format="JPEG")
    save(root / "test/crack/deep/0.png", defective(9)[0])
    save(root / "ground_truth/crack/deep/0_mask.png", defective(9)[1])
    (root / "test/good").rename(tmp_path / "elsewhere")
    (root / "test/good").symlink_to(tmp_path / "elsewhere")
    data, said = told(root)
    assert len(data.train) + len(data.calibrate) == 11 and data.kinds.count("crack") == 3 and said == ""
    assert data.masks[-1].sum() == 100


def test_what_cannot_be_read_is_counted_in_one_line(tmp_path):
    root = layout(tmp_path / "parts")
    for number in range(3):
        (root / f"train/good/IMG_{number}.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(500))
    (root / "test/good/raw.cr2").write_bytes(b"II*\0")
    save(root / "train/stray.png", surface(1))
    _, said = told(root)
    assert "left out: 3 .heic" in said and "1 .cr2" in said and "1 .png" in said and said.count("left out") == 1


ERRORS = {
    "masks of a kind that is not there": (
        lambda root: (root / "ground_truth/crack").rename(root / "ground_truth/cracks"),
        "ground_truth/cracks: masks of a defect"),
    "good by another name beside good": (lambda root: save(root / "test/ok/0.png", surface(1)),
                                         "test/ok: counts as a defect, but its name says that it is none"),
    "two suffixes of one stem": (
        lambda root: save(root / "test/crack/000.jpg", surface(1)), "000.png: shares its name with 000.jpg"),
    "a mask too few": (lambda root: (root / "ground_truth/crack/000_mask.png").unlink(), "000.png: no mask"),
    "a mask too many": (lambda root: save(root / "ground_truth/crack/7_mask.png", surface(1)), "7_mask.png: a mask without its image"),
    "good by another name": (lambda root: (root / "test/good").rename(root / "test/ok"), "test/good: no such folder; check the path (test holds crack, ok)"),
    "train/ok": (lambda root: (root / "train/good").rename(root / "train/ok"), "train/good: no such folder"),
    "a mask of half the size": (lambda root: save(root / "ground_truth/crack/000_mask.png", defective(0)[1][::2, ::2]), "32 x 32, but its image is 64 x 64"),
    "an empty mask": (lambda root: save(root / "ground_truth/crack/000_mask.png", np.zeros((64, 64), np.uint8)), "marks nothing"),
    "three images": (lambda root: [path.unlink() for path in sorted((root / "train/good").iterdir())[3:]], "3 images; at least 4"),
    "no test/good": (lambda root: shutil.rmtree(root / "test/good"), "test/good: no such folder")}


@pytest.mark.parametrize("name", ERRORS)
def test_what_does_not_match_is_named(tmp_path, name):
    root = layout(tmp_path / "parts")
    change, said = ERRORS[name]
    change(root)
    with pytest.raises(InputError) as error:
        told(root)
    assert said in str(error.value).replace(str(root) + "/", "") and "\n" not in str(error.value)


def test_copies_of_training_images_among_the_tested_ones_are_said(tmp_path):
    root = layout(tmp_path / "parts")
    shutil.copy(root / "train/good/000.png", root / "test/good/copy.png")
    assert "1 files are exact copies" in told(root)[1]


def test_any_name_is_only_a_name(tmp_path):
    root = layout(tmp_path / 'defects in "quotes" & ümlaut\nnewline', kind="Kratzer é\n2")
    data, said = told(root)
    assert data.kinds.count("Kratzer é\n2") == 2 and "\n" not in str(data) and said == ""


def test_two_folders_of_one_name_are_two_data_sets(tmp_path, monkeypatch):
    first, second = layout(tmp_path / "a/parts"), layout(tmp_path / "b/parts", train=9)
    one, other = load_dataset(first), load_dataset(second)
    assert one.name != other.name and one.identity != other.identity
    assert load_dataset(layout(tmp_path / "printed")).name != "printed"
    monkeypatch.setenv("RADAR_DATA", str(tmp_path / "a"))
    assert load_dataset("parts").name == "parts", "a downloaded set keeps its name"


def test_a_replaced_file_changes_the_identity_and_a_touched_one_does_not(tmp_path):
    root = layout(tmp_path / "parts")
    before = load_dataset(root).identity
    (root / "train/good/000.png").touch()
    assert load_dataset(root).identity == before
    save(root / "train/good/000.png", surface(77))
    assert load_dataset(root).identity != before


def test_a_built_in_name_is_the_built_in_set_and_the_folder_is_said(tmp_path, monkeypatch):
    layout(tmp_path / "printed")
    monkeypatch.chdir(tmp_path)
    with pytest.warns(Notice, match="the built-in data set, not the folder ./printed"):
        assert load_dataset("printed").identity == ""
    assert find_dataset("printed") == "printed" and find_dataset("./printed") == str(tmp_path / "printed")
    assert load_dataset("./printed").identity
