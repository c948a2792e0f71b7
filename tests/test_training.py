import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL, TINY
from torch.nn import functional as F

from radar_nb.datasets import load_dataset
from radar_nb.detector import RadarDetector
from radar_nb.diffusion import build_unet, load_unet, make_scheduler, predict_noise
from radar_nb.images import InputError, to_tensor
from radar_nb.metrics import evaluate
from radar_nb.printed import make_image
from radar_nb.profiles import REPOSITORY
from radar_nb.training import TrainingConfig, diffusion_loss, draw_batch, one_cycle, train


@pytest.fixture(scope="module")
def images():
    return [make_image("easy", 0, "train", index, size=48)[0] for index in range(4)]


def weights(unet):
    return torch.cat([parameter.ravel() for parameter in unet.parameters()])


def test_loss_by_hand(tiny_unet):
    x0, eps, t = torch.randn(3, 1, 8, 8), torch.randn(3, 1, 8, 8), torch.tensor([0, 400, 999])
    scheduler = make_scheduler()
    expected = F.mse_loss(predict_noise(tiny_unet, scheduler.add_noise(x0, eps, t), t), eps)
    torch.testing.assert_close(diffusion_loss(tiny_unet, x0, eps, t, scheduler.alphas_cumprod), expected)


def test_a_batch_depends_on_seed_and_step_alone(images):
    tensors = [to_tensor(image) for image in images]
    first, again = draw_batch(tensors, TINY, 7), draw_batch(tensors, TINY, 7)
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    for other in (draw_batch(tensors, TINY, 8), draw_batch(tensors, replace(TINY, seed=1), 7)):
        assert not torch.equal(first[1], other[1])


def test_one_cycle_rises_then_falls():
    rates = [one_cycle(step / 100, 0.15) for step in range(101)]
    assert rates[0] < 0.05 and rates[15] == pytest.approx(1) and rates[100] == pytest.approx(0)
    assert np.argmax(rates) == 15 and all(a >= b for a, b in zip(rates[15:], rates[16:]))


def test_the_loss_falls(images):
    losses = train(images, TrainingConfig(steps=120, batch_size=8, patch_size=16, widths=(16, 16)), progress=False).losses
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:5]) and np.mean(losses[-20:]) < 0.5


def test_the_same_seed_gives_the_same_weights(images):
    first, again, other = (train(images, replace(TINY, seed=seed), progress=False) for seed in (0, 0, 1))
    assert first.losses == again.losses and torch.equal(weights(first.unet), weights(again.unet))
    assert not torch.equal(weights(first.unet), weights(other.unet))


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(images, tmp_path, monkeypatch):
    straight = train(images, TINY, tmp_path / "straight", progress=False)

    def stop_at_step_5(images, config, step, *rest):
        if step == 5:
            raise KeyboardInterrupt
        return draw_batch(images, config, step, *rest)

    monkeypatch.setattr("radar_nb.training.draw_batch", stop_at_step_5)
    with pytest.raises(KeyboardInterrupt):
        train(images, TINY, tmp_path / "broken", progress=False)
    monkeypatch.undo()
    assert not (tmp_path / "broken" / "config.json").exists()
    resumed = train(images, TINY, tmp_path / "broken", progress=False)
    assert resumed.losses == straight.losses
    assert torch.equal(weights(resumed.unet), weights(straight.unet))


def test_a_run_writes_a_model_its_losses_two_checkpoints_and_samples_and_no_pickle(images, tmp_path):
    train(images, replace(TINY, steps=8, sample_every=4), tmp_path, progress=False)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"config.json", "diffusion_pytorch_model.safetensors", "SHA256SUMS", "training.json",
                     *(f"checkpoints/step-000000{step}/{name}" for step in (4, 6) for name in ("state.json", "state.safetensors", "SHA256SUMS")),
                     "samples/step-0000004.png", "samples/step-0000008.png"}
    assert len(json.loads((tmp_path / "training.json").read_text())["losses"]) == 8


def test_checkpoints_of_another_training_are_refused(images, tmp_path):
    train(images, TINY, tmp_path, progress=False)
    assert train(images, TINY, tmp_path, progress=False).seconds == json.loads((tmp_path / "training.json").read_text())["seconds"]
    (tmp_path / "training.json").unlink()
    for wrong, said in (((images, replace(TINY, learning_rate=0.1)), "another config"), ((images[:3], TINY), "another images")):
        with pytest.raises(InputError, match=f"state.json: a training with {said}"):
            train(*wrong, tmp_path, progress=False)


@pytest.mark.parametrize(("change", "named"), [({"steps": 0}, "steps=0"), ({"patch_size": 30}, "patch_size=30: choose a multiple of 4"),
                                               ({"mixed_precision": "fp16"}, "mixed_precision='fp16'")])
def test_bad_configs_are_named(images, change, named):
    with pytest.raises(InputError, match=named):
        train(images, replace(TINY, **change), progress=False)
    with pytest.raises(InputError, match="no training images"):
        train([], TINY)


# Four channels a group, as by default. In TINY each channel is a group of its own: a bias before it changes nothing, so its gradient is
# rounding alone, which Adam makes as large as any other.
PAIR = TrainingConfig(steps=6, batch_size=4, patch_size=16, widths=(32, 32))
TWO_PROCESSES = """
import sys
sys.path.insert(0, "tests")
from conftest import tiny_images
from test_training import PAIR
from radar_nb.training import is_main_process, train
sys.stdout.write("main\\n" if is_main_process() else "other\\n")  # asked before the training, as the command does
train(tiny_images(), PAIR, sys.argv[1], progress=False)
"""


def test_two_processes_give_the_result_of_one(images, tmp_path):
    """Losses to 1e-6, weights to 1e-5: float32 sums in another order. A bias of the attention's keys changes nothing (softmax), so it
    follows rounding alone, and only its learning rate bounds it."""
    one = train(images, PAIR, progress=False)
    script = tmp_path / "script.py"
    script.write_text(TWO_PROCESSES)
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "0", "--standalone",
                           str(script), str(tmp_path / "two")], cwd=REPOSITORY, env=environment, check=True, capture_output=True, text=True, timeout=120)
    assert sorted(done.stdout.split()) == ["main", "other"], "two processes of one training, not two trainings"
    losses = json.loads((tmp_path / "two" / "training.json").read_text())["losses"]
    assert np.allclose(losses, one.losses, rtol=0, atol=1e-6)
    two = load_unet(tmp_path / "two").state_dict()
    for name, weight in one.unet.state_dict().items():
        assert (two[name] - weight).abs().max() < (PAIR.learning_rate if name.endswith("to_k.bias") else 1e-5), name


def test_bf16_where_the_device_has_it(images):
    """On a CPU, auto is float32; asked for, bf16 runs there too."""
    result = train(images, replace(TINY, mixed_precision="bf16"), progress=False)
    assert np.isfinite(result.losses).all() and next(result.unet.parameters()).dtype == torch.float32


def test_rgb(tmp_path):
    colour = [np.stack([make_image("easy", 0, "train", index, size=48)[0]] * 3, axis=-1) for index in range(2)]
    assert train(colour, TINY, progress=False).unet.config.in_channels == build_unet(3, widths=(8, 8)).config.in_channels


def test_training_and_measuring_twice_gives_equal_bytes(tmp_path):
    """All that a run's `summary.json` says of a method, but for the time; in two processes of this machine."""
    script = "; ".join(["import sys", "sys.path.insert(0, 'tests')", "from test_training import summarise", "summarise(sys.argv[1])"])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    for number in "12":
        subprocess.run([sys.executable, "-c", script, str(tmp_path / number)], cwd=REPOSITORY, env=environment, check=True, timeout=300)
    first, again = ({path.name: path.read_bytes() for path in (tmp_path / number).iterdir() if path.is_file() and path.name != "training.json"} for number in "12")
    assert first == again and {"summary.json", "diffusion_pytorch_model.safetensors", "calibration.safetensors", "detector.json"} <= set(first)
    assert b'"image_auroc"' in first["summary.json"]


def summarise(folder):
    """Train, calibrate, save, measure; write the scores that do not depend on the clock."""
    data = load_dataset("printed", SMALL)
    unet = train(data.train, TINY, folder, progress=False).unet
    detector = RadarDetector(unet=unet, training=TINY, calibration_points=50).fit(data.calibrate)
    detector.save_pretrained(folder)
    (Path(folder) / "summary.json").write_text(json.dumps({name: value for name, value in evaluate(detector, data).items() if name != "ms_per_image"}))
