"""Nothing is lost: trainings that are killed, stopped, or run out of disk, and checkpoints that the disk has
damaged.
"""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
import torch
from killing import digests
from small import TINY_RUN, tiny_images

from radar_nb.__main__ import main
from radar_nb.method import training
from radar_nb.runs import training as runs
from radar_nb.runs.training import TrainingStopped, steps_into, train_into
from radar_nb.storage import whole as files
from radar_nb.storage.errors import InputError, StorageError
from radar_nb.storage.places import REPOSITORY
from radar_nb.storage.whole import locked


@pytest.fixture(autouse=True)
def quick_samples(monkeypatch):
    monkeypatch.setattr(
        runs, "denoise", lambda unet, noise, start, steps, whole=runs.denoise: whole(unet, noise, start, 5)
    )


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """What an uninterrupted run writes: a checksum of each file."""
    out = tmp_path_factory.mktemp("straight")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            runs,
            "denoise",
            lambda unet, noise, start, steps, whole=runs.denoise: whole(unet, noise, start, 5),
        )
        train_into(out, tiny_images(), TINY_RUN, progress=False)
    return digests(out)


def test_killed_at_any_moment_and_resumed_every_file_is_bit_equal(tmp_path):
    """Weights and EMA (the model, the checkpoints), optimiser (the checkpoints), losses and samples: kill -9
    at 20 random moments, then at every single write, rename and removal."""
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'tests'}",
    }
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("killing.py")), str(tmp_path), "20"],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=600,
    )
    rows = json.loads(done.stdout)
    assert sum("%" in row["where"] for row in rows) == 20
    assert sum("write" in row["where"] for row in rows) >= 20
    assert {row["checkpoints"] for row in rows} == {0, 1, 2, 3}, (
        "kills struck before, between and after checkpoints, and before the oldest was removed"
    )
    assert [row for row in rows if not row["equal"]] == []


def test_a_break_is_a_clean_stop(tmp_path, straight):
    """Whoever looks on may stop: no lock, no thread is left, and the next call goes on from the last
    checkpoint.
    """
    for trainer in steps_into(tmp_path, tiny_images(), TINY_RUN, progress=False):
        if len(trainer.losses) == 5:
            break
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoints"}
    assert not [thread.name for thread in threading.enumerate() if "draw_batch" in thread.name]
    steps = [len(trainer.losses) for trainer in steps_into(tmp_path, tiny_images(), TINY_RUN, progress=False)]
    assert steps == [5, 6, 7] and digests(tmp_path) == straight
    assert list(steps_into(tmp_path, tiny_images(), TINY_RUN, progress=False)) == [], "it has ended"


def test_sigterm_is_a_clean_stop(tmp_path, monkeypatch, straight):
    losses = []

    def terminate_in_step_4(*batch, loss=training.diffusion_loss):
        losses.append(loss(*batch))
        if len(losses) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return losses[-1]

    before = signal.getsignal(signal.SIGTERM)
    with (
        monkeypatch.context() as patch,
        pytest.raises(
            TrainingStopped, match="stopped after step 4 of 7, checkpoint written; the same call continues"
        ),
    ):
        patch.setattr(training, "diffusion_loss", terminate_in_step_4)
        train_into(tmp_path, tiny_images(), TINY_RUN, progress=False)
    assert signal.getsignal(signal.SIGTERM) is before
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "step-0000002",
        "step-0000004",
    ]
    train_into(tmp_path, tiny_images(), TINY_RUN, progress=False)
    assert digests(tmp_path) == straight


@pytest.mark.parametrize("number", range(1, 15))
def test_a_full_disk_costs_what_is_being_written_and_nothing_else(tmp_path, monkeypatch, straight, number):
    """A layer below every write: the `number`-th file gets half its bytes, then the disk is full."""
    written = []

    def sync(path, whole=files.sync):
        written.append(path.name)
        if len(written) == number:
            os.truncate(path, path.stat().st_size // 2)
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(path)

    with monkeypatch.context() as patch:
        patch.setattr(files, "sync", sync)
        try:
            train_into(tmp_path, tiny_images(), TINY_RUN, progress=False)
        except StorageError as error:
            assert "no space left on the disk" in str(error) and len(str(error).splitlines()) == 1
            failed = True
        else:
            failed = False
    assert failed == (number <= 13), f"a run writes these: {written}"
    assert not [path for path in tmp_path.rglob("*") if "unfinished" in path.name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a checkpoint that cannot be used would be named
        train_into(tmp_path, tiny_images(), TINY_RUN, progress=False)
    assert digests(tmp_path) == straight


def test_a_limit_of_the_operating_system_is_met_in_mid_write(tmp_path):
    """No layer of ours: the kernel refuses to let a file grow beyond 100 kB."""
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, resource.RLIM_INFINITY))
        try:
            files.write_text(tmp_path / "small.txt", "fits")
            files.write_text(tmp_path / "small.txt", "x" * 10**6)
        except StorageError:
            os._exit(7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["small.txt"] and (
        tmp_path / "small.txt"
    ).read_text() == "fits"


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


# What happens to files of the newest checkpoint.
DAMAGE = {
    "a bit of the tensors": lambda folder: flip(folder / "state.safetensors"),
    "a bit of the losses": lambda folder: flip(folder / "state.json"),
    "a bit of the checksums": lambda folder: flip(folder / "SHA256SUMS"),
    "half the tensors": lambda folder: os.truncate(
        folder / "state.safetensors", (folder / "state.safetensors").stat().st_size // 2
    ),
    "empty tensors": lambda folder: os.truncate(folder / "state.safetensors", 0),
    "no tensors": lambda folder: (folder / "state.safetensors").unlink(),
    "empty losses": lambda folder: os.truncate(folder / "state.json", 0),
    "no losses": lambda folder: (folder / "state.json").unlink(),
    "no checksums": lambda folder: (folder / "SHA256SUMS").unlink(),
    "empty checksums": lambda folder: os.truncate(folder / "SHA256SUMS", 0),
    "an empty folder": lambda folder: [path.unlink() for path in folder.iterdir()],
    "a pickle in the place of the tensors": lambda folder: torch.save(
        {"unet": 1}, folder / "state.safetensors"
    ),
}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A training that was stopped after step 5: two checkpoints, no model."""
    out = tmp_path_factory.mktemp("stopped")

    def stop(images, config, step, *rest, draw=training.draw_batch):
        if step == 5:
            raise KeyboardInterrupt
        return draw(images, config, step, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "draw_batch", stop)
        with pytest.raises(KeyboardInterrupt):
            train_into(out, tiny_images(), TINY_RUN, progress=False)
    return {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path, stopped, straight, how):
    for name, content in stopped.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    folders = sorted((tmp_path / "checkpoints").iterdir())
    assert [folder.name for folder in folders] == ["step-0000002", "step-0000004"]
    DAMAGE[how](folders[1])
    steps = []
    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.warns(UserWarning, match="checkpoint left out: .*step-0000004"),
    ):
        patch.setattr(
            training,
            "draw_batch",
            lambda images, config, step, *rest, draw=training.draw_batch: (
                steps.append(step) or draw(images, config, step, *rest)
            ),
        )
        train_into(tmp_path, tiny_images(), TINY_RUN, progress=False)
    assert steps == [2, 3, 4, 5, 6] and digests(tmp_path) == straight


def test_where_both_checkpoints_are_damaged_it_begins_anew_and_says_so(tmp_path, stopped, straight):
    for name, content in stopped.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content[:50])
    with pytest.warns(UserWarning) as said:
        train_into(tmp_path, tiny_images(), TINY_RUN, progress=False)
    assert len(said) >= 2 and digests(tmp_path) == straight


def test_two_runs_at_once_in_one_folder(tmp_path):
    """The second is told so at once; a killed one holds nothing; a finished one leaves no lock behind."""
    told = "another run is writing here; wait until it is done, or give another folder"
    with locked(tmp_path), pytest.raises(InputError, match=told):
        train_into(tmp_path, tiny_images(), TINY_RUN, progress=False)
    assert list(tmp_path.iterdir()) == []
    pid = os.fork()
    if pid == 0:
        with locked(tmp_path):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "status"),
    [(StorageError("out: no space left on the disk"), 1), (TrainingStopped("out: stopped after step 3"), 143)],
)
def test_the_command_says_it_in_one_line(tmp_path, monkeypatch, capsys, error, status):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(runs, "train_into", fail)
    assert main(["train", "--profile", "smoke", "--out", str(tmp_path)]) == status
    assert capsys.readouterr().err == f"python -m radar_nb train: {error}\n"
