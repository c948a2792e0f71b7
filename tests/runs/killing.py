"""Train, kill, train on: in forks of one warm process, so that a kill costs no interpreter start.
`test_resume.py` calls this as a program.

Prints a JSON list: for each kill, where it struck and whether everything in the folder is at last what an
uninterrupted run writes.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from small import TINY_RUN, tiny_images
from tqdm.auto import tqdm

from radar_nb.method.diffusion import denoise
from radar_nb.method.training import train
from radar_nb.runs import training
from radar_nb.runs.training import train_into
from radar_nb.storage import whole as files


def fork(out: Path, prepare: Callable[[], None] = lambda: None) -> int:
    """Train in a child; returns its process id at once."""
    pid = os.fork()
    if pid:
        return pid
    try:
        prepare()
        train_into(out, tiny_images(), TINY_RUN, progress=False)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def killed(pid: int) -> bool:
    """Wait for a child; whether it was killed. A failure of its own ends everything."""
    status = os.waitpid(pid, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit("a training failed")
    return os.WIFSIGNALED(status)


def digests(out: Path) -> dict[str, str]:
    """A checksum of each file of a training's folder; of its JSON, without the seconds."""
    found = {}
    for path in sorted(out.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.name == "training.json":
                content = json.dumps(json.loads(content) | {"seconds": 0}).encode()
            found[str(path.relative_to(out))] = hashlib.sha256(content).hexdigest()
    return found


def die_at(number: int) -> Callable[[], None]:
    """Make the process kill itself instead of its `number`-th flush to disk, rename or removal of a
    folder.
    """
    left = [number]

    def counted(call: Callable) -> Callable:
        def wrapper(*arguments, **options):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)
        return wrapper

    def prepare() -> None:
        files.sync, files.os.replace, shutil.rmtree = (
            counted(files.sync),
            counted(os.replace),
            counted(shutil.rmtree),
        )

    return prepare


def main(folder: Path, kills: int) -> list[dict]:
    """`kills` at random moments, then one at each write, rename and removal."""
    torch.set_num_threads(1)
    # tqdm's own lock is a semaphore that all forks share. One that is killed while holding it would stop the
    # others for ever.
    tqdm.set_lock(threading.RLock())
    training.denoise = lambda unet, noise, start, steps: denoise(
        unet, noise, start, 5
    )  # samples with fewer steps: a tenth of the time
    train(
        tiny_images(), replace(TINY_RUN, steps=1), progress=False
    )  # what is imported on first use, the children need not import
    began = time.perf_counter()
    assert not killed(fork(folder / "straight"))
    expected, seconds = digests(folder / "straight"), time.perf_counter() - began
    rows, rng = [], random.Random()

    def resume(out: Path, where: str) -> None:
        steps = len(list(out.glob("checkpoints/step-*[0-9]"))), (out / "training.json").exists()
        assert not killed(fork(out))
        rows.append(
            {"where": where, "checkpoints": steps[0], "finished": steps[1], "equal": digests(out) == expected}
        )
        shutil.rmtree(out)

    while len(rows) < kills:
        pid, delay = fork(folder / "random"), rng.uniform(0, seconds)
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
        if killed(pid):
            resume(folder / "random", f"{delay / seconds:.0%}")
        else:  # it was done before
            shutil.rmtree(folder / "random")
    number = 1
    while killed(fork(folder / "write", die_at(number))):
        resume(folder / "write", f"write {number}")
        number += 1
    return rows


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
