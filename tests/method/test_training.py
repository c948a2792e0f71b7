import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from conftest import SMALL, TINY
from diffusers.training_utils import EMAModel
from torch.nn import functional as F

from radar_nb.runs.checkpoints import History
from radar_nb.data.named import load_dataset
from radar_nb.method.detector import RadarDetector
from radar_nb.method.diffusion import make_scheduler
from radar_nb.method.unet import build_unet, predict_noise
from radar_nb.storage.unet_folder import load_unet
from radar_nb.data.images import to_tensor
from radar_nb.storage.errors import InputError
from radar_nb.method.learner import Learner
from radar_nb.experiments.metrics import evaluate
from radar_nb.data.printed import make_image
from radar_nb.storage.places import REPOSITORY
from radar_nb.method.schedule import Schedule, patience_ends
from radar_nb.method.training import (
    TIMESTEPS, TrainingConfig, diffusion_loss, draw_batch, draw_calibration, one_cycle, train,
)


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


def drawing_threads():
    return [thread.name for thread in threading.enumerate() if "draw_batch" in thread.name]


def test_the_next_batch_is_drawn_while_a_step_runs(images, monkeypatch):
    """Step 1 trains only once batch 2 is asked for; without a thread that would be never. No thread is left behind."""
    asked, drawn_by = threading.Event(), set()

    def draw(images, config, step, *rest):
        drawn_by.add(threading.current_thread())
        if step == 2:
            asked.set()
        return draw_batch(images, config, step, *rest)

    def loss(*batch):
        if len(losses) == 1:
            assert asked.wait(20), "batch 2 was not drawn while step 1 ran"
        losses.append(diffusion_loss(*batch))
        return losses[-1]

    losses = []
    monkeypatch.setattr("radar_nb.method.training.draw_batch", draw)
    monkeypatch.setattr("radar_nb.method.diffusion.diffusion_loss", loss)
    train(images, replace(TINY, steps=3), progress=False)
    assert threading.main_thread() not in drawn_by and not drawing_threads()


def test_the_average_of_the_weights_is_that_of_diffusers(images):
    learner = Learner(Accelerator(), TINY, 1, History())
    other = EMAModel(learner.unet.parameters(), decay=TINY.ema_decay)
    for step in range(4):
        learner.step(*draw_batch([to_tensor(image) for image in images], TINY, step))
        other.step(learner.unet.parameters())
    assert other.optimization_step == learner.ema.optimization_step
    torch.testing.assert_close(learner.ema.shadow_params, other.shadow_params, rtol=0, atol=1e-7)


@pytest.mark.parametrize(("losses", "patience", "ends"), [
    ([3, 2, 1, 1, 1], 100, 250), ([3, 2, 1, 1, 1], 99, 250), ([3, 2, 1, 1, 1], 50, 200), ([3, 2, 1, 1, 1], 101, None), ([3, 2, 1, 1, 1], 0, None),
    ([3, 4, 2, 4, 4, 1], 100, 250), ([], 50, None), ([3], 50, None), ([float("nan"), 1, 2], 50, 100)])
def test_patience_ends_where_nothing_was_better(losses, patience, ends):
    assert patience_ends(losses, 50, patience) == ends


def test_where_patience_ends_the_learning_rate_falls_to_zero_over_a_tenth_of_the_steps_done():
    losses = [3.0, 2.0]
    schedule, cycle = Schedule(1000, 0.15, 50, 100, losses), [one_cycle(step / 1000, 0.15) for step in range(1001)]
    assert [schedule.rate(step) for step in range(1001)] == cycle and schedule.tail() == (1000, 1000)
    losses += [2.0, 2.0, 1.0]  # patience ended at 200; nothing that comes after changes that
    assert schedule.tail() == (200, 220)
    rates = [schedule.rate(step) for step in range(221)]
    assert rates[:201] == cycle[:201] and rates[220] == pytest.approx(0) and all(a > b for a, b in zip(rates[200:], rates[201:]))
    late = Schedule(1000, 0.15, 50, 100, [float(loss) for loss in range(17, 0, -1)] + [9.0, 9.0])
    assert late.tail() == (950, 1000) and late.rate(1000) == pytest.approx(0), "no room for the whole tail"


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

    monkeypatch.setattr("radar_nb.method.training.draw_batch", stop_at_step_5)
    with pytest.raises(KeyboardInterrupt):
        train(images, TINY, tmp_path / "broken", progress=False)
    monkeypatch.undo()
    assert not (tmp_path / "broken" / "config.json").exists()
    assert not drawing_threads()
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


# A learning rate at which every step makes it worse, so that patience ends: in step 6, and training one step later.
WORSE = replace(TINY, steps=30, learning_rate=0.3, validate_every=2, patience=4)


def test_early_stop_is_exact_under_resume(images, tmp_path, monkeypatch):
    """Stopped before patience ended, and in the tail: the same losses, calibration losses, length and weights."""
    calibrate = [make_image("easy", 0, "calibrate", index, size=48)[0] for index in range(2)]
    straight = train(images, WORSE, tmp_path / "straight", progress=False, calibrate=calibrate)
    assert len(straight.losses) == 7 and len(straight.calibration_losses) == 4
    assert min(straight.calibration_losses) == straight.calibration_losses[0]
    for stop in (5, 6):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("radar_nb.method.training.draw_batch", lambda *given, stop=stop: draw_batch(*given) if given[2] != stop else interrupt())
            train(images, WORSE, tmp_path / "broken", progress=False, calibrate=calibrate)
    resumed, loaded = (train(images, WORSE, tmp_path / "broken", progress=False, calibrate=calibrate) for _ in range(2))
    for result in (resumed, loaded):
        assert (result.losses, result.calibration_losses) == (straight.losses, straight.calibration_losses)
        assert torch.equal(weights(result.unet), weights(straight.unet))
    with pytest.raises(InputError, match="training.json: a training with another calibrate"):
        train(images, WORSE, tmp_path / "broken", progress=False, calibrate=calibrate[:1])


def interrupt():
    raise KeyboardInterrupt


def test_the_calibration_loss_is_that_of_the_averaged_weights_on_fixed_draws(images):
    tensors = [to_tensor(image) for image in images]
    x0, eps, t = draw_calibration(tensors, TINY)
    assert all(torch.equal(a, b) for a, b in zip((x0, eps, t), draw_calibration(tensors, replace(TINY, batch_size=9, steps=99))))
    assert not torch.equal(eps, draw_calibration(tensors, replace(TINY, seed=1))[1])
    assert TIMESTEPS == make_scheduler().config.num_train_timesteps
    assert len(t) == len(x0) == 128 and set((t[1:] - t[:-1]).tolist()) == {7, 8} and t[0] < 8 and t[-1] > 991
    result = train(images[:2], replace(TINY, validate_every=4), progress=False, calibrate=images[2:])
    with torch.no_grad():
        expected = diffusion_loss(result.unet, *draw_calibration(tensors[2:], TINY), make_scheduler().alphas_cumprod)
    assert len(result.calibration_losses) == 2 and result.calibration_losses[-1] == pytest.approx(expected.item(), abs=1e-6)
    plain = train(images[:2], TINY, progress=False)
    assert plain.losses == result.losses and plain.calibration_losses == [], "measuring changes nothing"


def test_trainings_of_before_the_early_stop_go_on(images, tmp_path):
    """Their files know nothing of it: neither does a training that does without."""
    train(images, TINY, tmp_path, progress=False)
    settings = json.loads((tmp_path / "training.json").read_text())["config"]
    assert settings.keys() == json.loads((REPOSITORY / "weights" / "printed" / "training.json").read_text())["config"].keys()
    with pytest.raises(InputError, match="training.json: a training with another config; give an empty folder"):
        train(images, TINY, tmp_path, progress=False, calibrate=images)


def test_patience_needs_images_to_calibrate_on(images):
    with pytest.raises(InputError, match="patience=4: .*give calibrate="):
        train(images, WORSE, progress=False)
    with pytest.raises(InputError, match="calibrate=.*: no images to calibrate on"):
        train(images, WORSE, progress=False, calibrate=[])
    with pytest.raises(InputError, match="patience=-1"):
        replace(TINY, patience=-1)
    detector = RadarDetector(training=replace(WORSE, steps=3, learning_rate=1e-3), calibration_points=10).fit(images)
    assert detector.unet_ is not None, "a detector gives the images that it holds out"


# Four channels a group, as by default. In TINY each channel is a group of its own: a bias before it changes nothing, so its gradient is
# rounding alone, which Adam makes as large as any other.
PAIR = TrainingConfig(steps=6, batch_size=4, patch_size=16, widths=(32, 32), validate_every=3)
TWO_PROCESSES = """
import sys
sys.path[:0] = ["tests", "tests/method"]
from conftest import tiny_images
from test_training import PAIR, WORSE
from radar_nb.method.training import is_main_process, train
sys.stdout.write("main\\n" if is_main_process() else "other\\n")  # asked before the training, as the command does
train(tiny_images()[:3], PAIR, sys.argv[1], progress=False, calibrate=tiny_images()[3:])
sys.stdout.write(f"{len(train(tiny_images()[:3], WORSE, progress=False, calibrate=tiny_images()[3:]).losses)} steps\\n")
"""


def test_two_processes_give_the_result_of_one(images, tmp_path):
    """Losses to 1e-6, weights to 1e-5: float32 sums in another order."""
    one = train(images[:3], PAIR, progress=False, calibrate=images[3:])
    script = tmp_path / "script.py"
    script.write_text(TWO_PROCESSES)
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "0", "--standalone",
                           str(script), str(tmp_path / "two")], cwd=REPOSITORY, env=environment, check=True, capture_output=True, text=True, timeout=120)
    said = sorted(done.stdout.splitlines())
    assert said[2:] == ["main", "other"], "two processes of one training, not two trainings"
    assert said[:2] == ["7 steps"] * 2, "an early stop is the same one for all"
    state = json.loads((tmp_path / "two" / "training.json").read_text())
    assert np.allclose(state["losses"], one.losses, rtol=0, atol=1e-6)
    assert np.allclose(state["calibration_losses"], one.calibration_losses, rtol=0, atol=1e-6) and len(one.calibration_losses) == 2
    two = load_unet(tmp_path / "two").state_dict()
    for name, weight in one.unet.state_dict().items():
        assert (two[name] - weight).abs().max() < 1e-5, name


def test_what_cannot_learn_stays_as_it_was(images):
    """A bias of the attention's keys changes no output (softmax); all other weights learn."""
    torch.manual_seed(TINY.seed)
    before = build_unet(widths=TINY.widths).state_dict()
    unet = train(images, TINY, progress=False).unet
    still = [name for name, weight in unet.state_dict().items() if torch.equal(weight, before[name])]
    assert still and all(name.endswith("to_k.bias") for name in still)
    output = predict_noise(unet, torch.ones(1, 1, 16, 16), 100)
    with torch.no_grad():
        for name in still:
            unet.get_parameter(name).add_(3)
    assert torch.allclose(predict_noise(unet, torch.ones(1, 1, 16, 16), 100), output, atol=1e-5)


def test_bf16_where_the_device_has_it(images):
    """On a CPU, auto is float32; asked for, bf16 runs there too."""
    result = train(images, replace(TINY, mixed_precision="bf16"), progress=False)
    assert np.isfinite(result.losses).all() and next(result.unet.parameters()).dtype == torch.float32


def test_rgb(tmp_path):
    colour = [np.stack([make_image("easy", 0, "train", index, size=48)[0]] * 3, axis=-1) for index in range(2)]
    assert train(colour, TINY, progress=False).unet.config.in_channels == build_unet(3, widths=(8, 8)).config.in_channels


def test_training_and_measuring_twice_gives_equal_bytes(tmp_path):
    """All that a run's `summary.json` says of a method, but for the time; in two processes of this machine."""
    script = "; ".join(["import sys", "sys.path[:0] = ['tests', 'tests/method']", "from test_training import summarise", "summarise(sys.argv[1])"])
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
