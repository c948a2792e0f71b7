"""What a notebook starts from."""

from types import SimpleNamespace

import pytest
import torch

from radar_nb.runs import kit as kits
from radar_nb.runs.kit import Kit


@pytest.mark.parametrize("profile, device, warned", [("gpu", "cpu", True), ("gpu", "cuda", False), ("cpu", "cpu", False)])
def test_the_gpu_profile_warns_without_a_gpu_before_anything_is_made(tmp_path, monkeypatch, capsys, profile, device, warned):
    def load(*_):
        said.append(capsys.readouterr().err)
        return SimpleNamespace(name="printed")

    said = []
    monkeypatch.setattr(kits, "load_dataset", load)
    monkeypatch.setattr(kits, "process_device", lambda: torch.device(device))
    Kit(profile, folder=tmp_path)
    assert ("no GPU found" in said[0]) == warned and said[0].count("\n") == warned
