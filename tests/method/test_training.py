import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.training_utils import EMAModel
from small import SMALL, TINY
from torch.nn import functional as F

from radar_nb.data.images import load_tensors, to_tensor
from radar_nb.data.named import load_dataset
from radar_nb.data.printed import make_image
from radar_nb.experiments.metrics import evaluate
from radar_nb.method.detector import RadarDetector
from radar_nb.method.diffusion import diffusion_loss, make_scheduler
from radar_nb.method.training import (
    TIMESTEPS,
    Trainer,
    TrainingConfig,
    draw_batch,
    draw_calibration,
    one_cycle,
    train,
    training_steps,
)
from radar_nb.method.unet import build_unet, predict_noise
from radar_nb.runs.training import train_into
from radar_nb.storage.errors import InputError
from radar_nb.storage.places import REPOSITORY
from radar_nb.storage.unet_folder import load_unet


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
    assert all(map(torch.equal, first, again))
    for other in (draw_batch(tensors, TINY, 8), draw_batch(tensors, replace(TINY, seed=1), 7)):
        assert not torch.equal(first[1], other[1])


def test_one_cycle_rises_then_falls():
    rates = [one_cycle(step / 100, 0.15) for step in range(101)]
    assert rates[0] < 0.05 and rates[15] == pytest.approx(1) and rates[100] == pytest.approx(0)
    assert np.argmax(rates) == 15 and all(a >= b for a, b in pairwise(rates[15:]))


def drawing_threads():
    return [thread.name for thread in threading.enumerate() if "draw_batch" in thread.name]


def test_the_next_batch_is_drawn_while_a_step_runs(images, monkeypatch):
    """Step 1 trains only once batch 2 is asked for; without a thread that would be never. None is left."""
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
    monkeypatch.setattr("radar_nb.method.training.diffusion_loss", loss)
    train(images, replace(TINY, steps=3), progress=False)
    assert threading.main_thread() not in drawn_by and not drawing_threads()


def test_the_average_of_the_weights_is_that_of_diffusers(images):
    trainer = Trainer(TINY, 1)
    other = EMAModel(trainer.unet.parameters(), decay=TINY.ema_decay)
    for step in range(4):
        trainer.step(*draw_batch([to_tensor(image) for image in images], TINY, step))
        other.step(trainer.unet.parameters())
    assert other.optimization_step == trainer.ema.optimization_step
    torch.testing.assert_close(trainer.ema.shadow_params, other.shadow_params, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("losses", "patience", "ends"),
    [
        ([3, 2, 1, 1, 1], 100, 250),
        ([3, 2, 1, 1, 1], 99, 250),
        ([3, 2, 1, 1, 1], 50, 200),
        ([3, 2, 1, 1, 1], 101, None),
        ([3, 2, 1, 1, 1], 0, None),
        ([3, 4, 2, 4, 4, 1], 100, 250),
        ([], 50, None),
        ([3], 50, None),
        ([float("nan"), 1, 2], 50, 100),
    ],
)
def test_patience_ends_where_nothing_was_better(losses, patience, ends):
    trainer, ended = Trainer(replace(TINY, steps=10**6, validate_every=50, patience=patience), 1), []
    for loss in losses:
        trainer.calibration_losses.append(loss)
        ended += [50 * len(trainer.calibration_losses)] if trainer.ended else []
    assert next(iter(ended), None) == ends


def test_the_learning_rate_follows_one_cycle(images):
    trainer, rates = Trainer(TINY, 1), []
    for _ in training_steps(trainer, [to_tensor(image) for image in images]):
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    assert rates == [
        pytest.approx(TINY.learning_rate * one_cycle(step / 6, TINY.warmup)) for step in range(1, 7)
    ]


def test_a_training_that_diverges_stops_at_once_and_keeps_the_last_good_checkpoint(
    images, tmp_path, monkeypatch
):
    """Where the loss is not finite, where only its gradient is not, and where the calibration loss is not."""
    straight = train_into(tmp_path / "straight", images, TINY, progress=False)
    good = diffusion_loss

    def spoil(number, value):
        calls = []

        def loss(*batch):
            calls.append(good(*batch))
            return calls[-1] * (value if len(calls) == number else 1)
        return loss

    def steep(loss):
        """The loss itself, with an infinite gradient."""
        return loss + torch.sqrt((loss - loss.detach()).clamp(min=0)).nan_to_num()

    for number, spoilt in enumerate((spoil(4, float("nan")), spoil(4, float("inf")))):
        out = tmp_path / str(number)
        with (
            monkeypatch.context() as patch,
            pytest.raises(
                InputError,
                match=r"learning_rate=0.001: training diverged in step 4 \(loss (nan|inf)\); choose",
            ),
        ):
            patch.setattr("radar_nb.method.training.diffusion_loss", spoilt)
            train_into(out, images, TINY, progress=False)
        assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-0000002"]
        assert not (out / "config.json").exists()
        assert train_into(out, images, TINY, progress=False).losses == straight.losses
    calls = []
    with monkeypatch.context() as patch, pytest.raises(InputError, match="diverged in step 2 "):
        patch.setattr(
            "radar_nb.method.training.diffusion_loss",
            lambda *batch: calls.append(1) or (steep(good(*batch)) if len(calls) == 2 else good(*batch)),
        )
        train_into(tmp_path / "steep", images, TINY, progress=False)
    assert not (tmp_path / "steep" / "checkpoints").exists(), "the weights of step 2 are not finite"


@pytest.mark.parametrize("rate", [1e3, 1e6, 1e30])
def test_a_learning_rate_that_is_too_large_is_named(images, rate):
    with pytest.raises(
        InputError, match=rf"learning_rate={re.escape(f'{rate:g}')}: training diverged in step \d+ "
    ):
        train(images, replace(TINY, steps=60, learning_rate=rate))
    with pytest.raises(InputError, match=re.escape(f"learning_rate={rate:g}: training diverged")):
        RadarDetector(training=replace(TINY, steps=60, learning_rate=rate), calibration_points=10).fit(images)


def test_images_stay_uint8_until_a_patch_is_cut(images):
    """In the memory that they have already, where it is contiguous; the batches are the same numbers."""
    colour = [np.stack([image, image[::-1], image.T], axis=-1) for image in images]
    for given in (
        images,
        colour,
        [image[::-1] for image in images],
        [image / np.float32(255) for image in images],
    ):
        tensors, floats = load_tensors(given), [to_tensor(image) for image in given]
        assert all(map(torch.equal, draw_batch(tensors, TINY, 3), draw_batch(floats, TINY, 3)))
        assert {tensor.dtype for tensor in tensors} == {
            torch.uint8 if given[0].dtype == np.uint8 else torch.float32
        }
    assert load_tensors(colour)[0].data_ptr() == colour[0].ctypes.data
    mixed = [images[0], images[1] / 255]
    assert {tensor.dtype for tensor in load_tensors(mixed)} == {torch.float32}
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    x0, _, _ = draw_batch(load_tensors([levels]), replace(TINY, batch_size=1), 0)
    assert torch.equal(x0[0], to_tensor(levels))


def test_the_loss_falls(images):
    losses = train(
        images, TrainingConfig(steps=120, batch_size=8, patch_size=16, widths=(16, 16)), progress=False
    ).losses
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:5]) and np.mean(losses[-20:]) < 0.5


def test_the_same_seed_gives_the_same_weights(images):
    first, again, other = (train(images, replace(TINY, seed=seed), progress=False) for seed in (0, 0, 1))
    assert first.losses == again.losses and torch.equal(weights(first.unet), weights(again.unet))
    assert not torch.equal(weights(first.unet), weights(other.unet))


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(images, tmp_path, monkeypatch):
    straight = train_into(tmp_path / "straight", images, TINY, progress=False)

    def stop_at_step_5(images, config, step, *rest):
        if step == 5:
            raise KeyboardInterrupt
        return draw_batch(images, config, step, *rest)

    monkeypatch.setattr("radar_nb.method.training.draw_batch", stop_at_step_5)
    with pytest.raises(KeyboardInterrupt):
        train_into(tmp_path / "broken", images, TINY, progress=False)
    monkeypatch.undo()
    assert not (tmp_path / "broken" / "config.json").exists()
    assert not drawing_threads()
    resumed = train_into(tmp_path / "broken", images, TINY, progress=False)
    assert resumed.losses == straight.losses
    assert torch.equal(weights(resumed.unet), weights(straight.unet))


def test_a_run_writes_a_model_its_losses_two_checkpoints_and_samples_and_no_pickle(images, tmp_path):
    train_into(tmp_path, images, replace(TINY, steps=8, sample_every=4), progress=False)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {
        "config.json",
        "diffusion_pytorch_model.safetensors",
        "SHA256SUMS",
        "training.json",
        *(
            f"checkpoints/step-000000{step}/{name}"
            for step in (4, 6)
            for name in ("state.json", "state.safetensors", "SHA256SUMS")
        ),
        "samples/step-0000004.png",
        "samples/step-0000008.png",
    }
    assert len(json.loads((tmp_path / "training.json").read_text())["losses"]) == 8


def test_checkpoints_of_another_training_are_refused(images, tmp_path):
    train_into(tmp_path, images, TINY, progress=False)
    assert (
        train_into(tmp_path, images, TINY, progress=False).seconds
        == json.loads((tmp_path / "training.json").read_text())["seconds"]
    )
    (tmp_path / "training.json").unlink()
    for wrong, said in (
        ((images, replace(TINY, learning_rate=0.1)), "another config"),
        ((images[:3], TINY), "another images"),
    ):
        with pytest.raises(InputError, match=f"state.json: a training with {said}"):
            train_into(tmp_path, *wrong, progress=False)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"steps": 0}, "steps=0"),
        ({"patch_size": 30}, "patch_size=30: choose a multiple of 4"),
        ({"mixed_precision": "fp16"}, "mixed_precision='fp16'"),
        ({"steps": None}, "steps=None: give a value"),
        ({"batch_size": 2.5}, "batch_size=2.5: give a whole number"),
        ({"learning_rate": float("nan")}, "learning_rate=nan"),
        ({"learning_rate": "0.1"}, "learning_rate='0.1': give a number"),
        ({"widths": 8}, "widths=8: give a tuple"),
        ({"widths": ()}, r"widths=\(\): give a tuple"),
        ({"widths": (8, 12)}, r"widths=\(8, 12\): .*multiples of 8"),
        ({"warmup": 1.0}, "warmup=1.0"),
        ({"checkpoint_every": 0}, "checkpoint_every=0"),
    ],
)
def test_bad_configs_are_named(images, change, named):
    with pytest.raises(InputError, match=named):
        train(images, replace(TINY, **change), progress=False)
    with pytest.raises(InputError, match=r"images=\[\]: no images; give at least one"):
        train([], TINY)


# A learning rate at which every step makes it worse, so that training stops early, after step 6.
WORSE = replace(TINY, steps=30, learning_rate=0.3, validate_every=2, patience=4)


def test_early_stop_is_exact_under_resume(images, tmp_path, monkeypatch):
    """Stopped twice before patience ended: the same losses, calibration losses, length and weights."""
    calibrate = [make_image("easy", 0, "calibrate", index, size=48)[0] for index in range(2)]
    straight = train_into(tmp_path / "straight", images, WORSE, progress=False, calibrate=calibrate)
    assert len(straight.losses) == 6 and len(straight.calibration_losses) == 3
    assert min(straight.calibration_losses) == straight.calibration_losses[0]
    for stop in (3, 5):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(
                "radar_nb.method.training.draw_batch",
                lambda *given, stop=stop: draw_batch(*given) if given[2] != stop else interrupt(),
            )
            train_into(tmp_path / "broken", images, WORSE, progress=False, calibrate=calibrate)
    resumed, loaded = (
        train_into(tmp_path / "broken", images, WORSE, progress=False, calibrate=calibrate) for _ in range(2)
    )
    for result in (resumed, loaded):
        assert (result.losses, result.calibration_losses) == (straight.losses, straight.calibration_losses)
        assert torch.equal(weights(result.unet), weights(straight.unet))
    with pytest.raises(InputError, match="training.json: a training with another calibrate"):
        train_into(tmp_path / "broken", images, WORSE, progress=False, calibrate=calibrate[:1])


def interrupt():
    raise KeyboardInterrupt


def test_the_calibration_loss_is_that_of_the_averaged_weights_on_fixed_draws(images):
    tensors = [to_tensor(image) for image in images]
    x0, eps, t = draw_calibration(tensors, TINY)
    other = draw_calibration(tensors, replace(TINY, batch_size=9, steps=99))
    assert all(map(torch.equal, (x0, eps, t), other))
    assert not torch.equal(eps, draw_calibration(tensors, replace(TINY, seed=1))[1])
    assert make_scheduler().config.num_train_timesteps == TIMESTEPS
    assert len(t) == len(x0) == 128 and set((t[1:] - t[:-1]).tolist()) == {7, 8} and t[0] < 8 and t[-1] > 991
    result = train(images[:2], replace(TINY, validate_every=4), progress=False, calibrate=images[2:])
    with torch.no_grad():
        expected = diffusion_loss(
            result.unet, *draw_calibration(tensors[2:], TINY), make_scheduler().alphas_cumprod
        )
    assert len(result.calibration_losses) == 2 and result.calibration_losses[-1] == pytest.approx(
        expected.item(), abs=1e-6
    )
    plain = train(images[:2], TINY, progress=False)
    assert plain.losses == result.losses and plain.calibration_losses == [], "measuring changes nothing"


def test_trainings_of_before_the_early_stop_go_on(images, tmp_path):
    """Their files know nothing of it: neither does a training that does without."""
    train_into(tmp_path, images, TINY, progress=False)
    settings = json.loads((tmp_path / "training.json").read_text())["config"]
    assert (
        settings.keys()
        == json.loads((REPOSITORY / "weights" / "printed" / "training.json").read_text())["config"].keys()
    )
    with pytest.raises(
        InputError, match="training.json: a training with another config; give an empty folder"
    ):
        train_into(tmp_path, images, TINY, progress=False, calibrate=images)


def test_patience_needs_images_to_calibrate_on(images):
    with pytest.raises(InputError, match="patience=4: .*give calibrate="):
        train(images, WORSE, progress=False)
    with pytest.raises(InputError, match=r"calibrate=\[\]: no images; give at least one"):
        train(images, WORSE, progress=False, calibrate=[])
    with pytest.raises(InputError, match="patience=-1"):
        replace(TINY, patience=-1)
    detector = RadarDetector(training=replace(WORSE, steps=3, learning_rate=1e-3), calibration_points=10).fit(
        images
    )
    assert detector.unet_ is not None, "a detector gives the images that it holds out"


MEMORY = """
import resource
import numpy as np
from radar_nb.method.detector import RadarDetector
from radar_nb.method.training import TrainingConfig, train
config = TrainingConfig(steps=2, batch_size=4, patch_size=16, widths=(8, 8), attention=False)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
images = [np.full((512, 512, 3), number, np.uint8) for number in range(200)]
detector = RadarDetector(unet=train(images[:2], config).unet, training=config, calibration_points=0)
detector.fit(images[:2])
before = peak()
train(images, config)
after = peak()
detector.fit([image[:256, :256] for image in images])
print(after - before, sum(image.nbytes for image in images) / 2**20, peak() - after)
"""


def test_images_take_no_memory_beyond_their_own():
    """200 photographs take 150 MB already, and would take 600 MB in float32. Allowed: a tenth more.

    Nor are the maps of the images that calibrate kept: noise and Sobel maps of 256 x 256 take 200 MB.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), "MALLOC_MMAP_THRESHOLD_": "100000"}
    done = subprocess.run([sys.executable, "-c", MEMORY], env=environment, check=True, capture_output=True,
                          text=True, timeout=120)
    trained, images, calibrated = map(float, done.stdout.split())
    assert images == 150 and trained < 0.1 * images and calibrated < 20


# Four channels a group, as by default. In TINY each channel is a group of its own: a bias before it changes
# nothing, so its gradient is rounding alone, which Adam makes as large as any other.
PAIR = TrainingConfig(steps=6, batch_size=4, patch_size=16, widths=(32, 32), validate_every=3)
TWO_PROCESSES = """
import os, signal, sys
sys.path[:0] = ["tests", "tests/method"]
from small import tiny_images
from test_training import PAIR, WORSE
from radar_nb.method.training import train
from radar_nb.runs.training import TrainingStopped, is_main_process, steps_into, train_into
# Asked before the training, as the command does.
sys.stdout.write("main\\n" if is_main_process() else "other\\n")
train_into(sys.argv[1], tiny_images()[:3], PAIR, progress=False, calibrate=tiny_images()[3:])
result = train(tiny_images()[:3], WORSE, progress=False, calibrate=tiny_images()[3:])
sys.stdout.write(f"{len(result.losses)} steps\\n")
try:
    for trainer in steps_into(sys.argv[1] + " stopped", tiny_images(), PAIR, progress=False):
        if len(trainer.losses) == 2 and not is_main_process():
            os.kill(os.getpid(), signal.SIGTERM)
except TrainingStopped as stopped:
    sys.stdout.write(str(stopped).split("two ")[1] + "\\n")
"""


def test_two_processes_give_the_result_of_one(images, tmp_path):
    """Losses to 1e-6, weights to 1e-5: float32 sums in another order."""
    one = train(images[:3], PAIR, progress=False, calibrate=images[3:])
    script = tmp_path / "script.py"
    script.write_text(TWO_PROCESSES)
    environment = os.environ | {
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(REPOSITORY),
    }
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc_per_node",
            "2",
            "--master_port",
            "0",
            "--standalone",
            str(script),
            str(tmp_path / "two"),
        ],
        cwd=REPOSITORY,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = sorted(done.stdout.splitlines())
    assert said[2:4] == ["main", "other"], "two processes of one training, not two trainings"
    assert said[4:] == ["stopped: stopped after step 3 of 6, checkpoint written; the same call continues"] * 2
    assert [path.name for path in (tmp_path / "two stopped" / "checkpoints").iterdir()] == ["step-0000003"]
    assert said[:2] == ["6 steps"] * 2, "an early stop is the same one for all"
    state = json.loads((tmp_path / "two" / "training.json").read_text())
    assert np.allclose(state["losses"], one.losses, rtol=0, atol=1e-6)
    assert (
        np.allclose(state["calibration_losses"], one.calibration_losses, rtol=0, atol=1e-6)
        and len(one.calibration_losses) == 2
    )
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
    colour = [
        np.stack([make_image("easy", 0, "train", index, size=48)[0]] * 3, axis=-1) for index in range(2)
    ]
    assert (
        train(colour, TINY, progress=False).unet.config.in_channels
        == build_unet(3, widths=(8, 8)).config.in_channels
    )


def test_training_and_measuring_twice_gives_equal_bytes(tmp_path):
    """All that a run's `summary.json` says of a method, but for the time; in two processes of this
    machine.
    """
    script = "; ".join(
        [
            "import sys",
            "sys.path[:0] = ['tests', 'tests/method']",
            "from test_training import summarise",
            "summarise(sys.argv[1])",
        ]
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    for number in "12":
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / number)],
            cwd=REPOSITORY,
            env=environment,
            check=True,
            timeout=300,
        )
    first, again = (
        {
            path.name: path.read_bytes()
            for path in (tmp_path / number).iterdir()
            if path.is_file() and path.name != "training.json"
        }
        for number in "12"
    )
    assert first == again and {
        "summary.json",
        "diffusion_pytorch_model.safetensors",
        "calibration.safetensors",
        "detector.json",
    } <= set(first)
    assert b'"image_auroc"' in first["summary.json"]


def summarise(folder):
    """Train, calibrate, save, measure; write the scores that do not depend on the clock."""
    data = load_dataset("printed", SMALL)
    unet = train_into(folder, data.train, TINY, progress=False).unet
    detector = RadarDetector(unet=unet, training=TINY, calibration_points=50).fit(data.calibrate)
    detector.save_pretrained(folder)
    (Path(folder) / "summary.json").write_text(
        json.dumps(
            {name: value for name, value in evaluate(detector, data).items() if name != "ms_per_image"}
        )
    )
