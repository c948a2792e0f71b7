"""What a notebook starts from."""

from types import SimpleNamespace

import pytest
import torch
from odd import layout, save, surface

from radar_nb.runs import kit as kits
from radar_nb.runs.kit import Kit
from radar_nb.storage.errors import Notice


@pytest.mark.parametrize("profile, device, warned", [("gpu", "cpu", True), ("gpu", "cuda", False), ("cpu", "cpu", False)])
def test_the_gpu_profile_warns_without_a_gpu_before_anything_is_made(tmp_path, monkeypatch, capsys, profile, device, warned):
    def load(*_):
        said.append(capsys.readouterr().err)
        return SimpleNamespace(name="printed", identity="", test=[0])

    said = []
    monkeypatch.setattr(kits, "load_dataset", load)
    monkeypatch.setattr(kits, "process_device", lambda: torch.device(device))
    Kit(profile, folder=tmp_path)
    assert ("no GPU found" in said[0]) == warned and said[0].count("\n") == warned


def test_two_folders_of_one_name_share_nothing(tmp_path):
    first, second = (Kit("smoke", str(layout(tmp_path / line / "parts", train=8 + extra)), 0, tmp_path / "run")
                     for extra, line in enumerate(("a", "b")))
    assert first.model_folder != second.model_folder
    assert first.keep("x", lambda: {"line": "a"}) == {"line": "a"} and second.keep("x", lambda: {"line": "b"}) == {"line": "b"}


def test_a_folder_called_like_a_built_in_set_gets_no_released_network(tmp_path):
    assert not Kit("smoke", str(layout(tmp_path / "printed")), 0, tmp_path / "run").weights_folder.exists()
    assert Kit("smoke", "printed", 0, tmp_path / "run").weights_folder.is_dir()


def test_what_was_measured_on_other_files_is_not_used(tmp_path):
    root = layout(tmp_path / "parts")
    before = Kit("smoke", str(root), 0, tmp_path / "run")
    before.keep("x", lambda: {"value": 1})
    assert Kit("smoke", str(root), 0, tmp_path / "run").keep("x", lambda: {"value": 2}) == {"value": 1}
    save(root / "test/good/000.png", surface(99))
    with pytest.warns(Notice, match="its files have changed"):
        after = Kit("smoke", str(root), 0, tmp_path / "run")
    assert after.keep("x", lambda: {"value": 2}) == {"value": 2} and after.model_folder != before.model_folder
