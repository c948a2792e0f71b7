"""What may differ from machine to machine, and by how much: float32 sums in another order, so the last digits (see docs/trust.md)."""

import re

import nbformat
import numpy as np
import pytest
import torch
from small import SMALL

from radar_nb.data.named import load_dataset
from radar_nb.method.detector import RadarDetector
from radar_nb.storage.places import REPOSITORY
from radar_nb.storage.unet_folder import load_unet


def test_rounding_of_another_machine_changes_scores_in_the_third_digit_at_most(detector):
    """Another machine, played: every weight off by a millionth, ten times what float32 rounds, and calibrated anew."""
    unet = load_unet(REPOSITORY / "weights" / "printed")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.mul_(1 + 1e-6 * torch.randn(parameter.shape, generator=generator))
    data = load_dataset("printed", SMALL)
    other = RadarDetector(unet=unet).fit(data.calibrate)
    assert np.allclose(other.features(data.test), detector.features(data.test), rtol=1e-4)
    assert np.allclose(other.score_samples(data.test), detector.score_samples(data.test), atol=2e-3)
    assert np.array_equal(other.predict(data.test), detector.predict(data.test))
    assert np.mean(other.segment(data.test) != detector.segment(data.test)) < 1e-4


@pytest.mark.parametrize("path", sorted((REPOSITORY / "notebooks").glob("[0-9]*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_print_no_more_digits_than_machines_agree_on(path):
    """Text that nbval compares: at most four digits after the point, and no path or address of an object."""
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "code" and "nbval-ignore-output" not in cell.metadata.get("tags", []):
            for output in cell.outputs:
                text = output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
                found = re.findall(r"\d\.\d{5,}|0x[0-9a-f]{6,}|/(?:home|tmp|usr)/\S+", text)
                assert not found, f"{found[:3]} in: {cell.source[:80]}"
