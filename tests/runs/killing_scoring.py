"""Score in several processes, kill one of them, score on with another number: in forks of one warm process,
so that a kill costs no interpreter start. `test_scoring.py` calls this as a program; the forks get the
environment that `torchrun` would give them.

Prints JSON: which process scored which chunk where none was killed; for each kill, where it struck and
whether everything in the folder is at last what one uninterrupted process writes.
"""

import json
import os
import shutil
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

from killing import digests

from radar_nb.method.detector import RadarDetector
from radar_nb.runs import scoring

# Of how many processes which one dies, at the renaming of which file, and whether before or after it.
# `journal`: while it is removed.
PLACES = [
    (1, 0, "*_overlay.png", "after"),
    (1, 0, "0*.jsonl", "after"),
    (2, 0, "scoring.json", "after"),
    (2, 0, "*_mask.png", "before"),
    (2, 0, "0*.jsonl", "before"),
    (2, 0, "0*.jsonl", "after"),
    (2, 0, "scores.jsonl", "after"),
    (2, 0, "scores.csv", "after"),
    (2, 0, "journal", "after"),
    (2, 1, "0*.jsonl", "before"),
    (2, 1, "0*.jsonl", "after"),
]


def start(
    score: Callable[[], int], count: int, prepare: Callable[[int], None] = lambda rank: None
) -> list[int]:
    """Score in `count` children; returns their process ids at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    pids = []
    for rank in range(count):
        pid = os.fork()
        if pid == 0:
            if count > 1:
                os.environ.update(
                    RANK=str(rank),
                    LOCAL_RANK=str(rank),
                    WORLD_SIZE=str(count),
                    MASTER_ADDR="127.0.0.1",
                    MASTER_PORT=str(port),
                )
            try:
                prepare(rank)
                score()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        pids.append(pid)
    return pids


def die_at(name: str, when: str) -> None:
    """Make this process kill itself where it renames a file to such a name."""
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def replace(source, target, whole=os.replace):
        struck = fnmatch(Path(target).name, name)
        if struck and when == "before":
            die()
        whole(source, target)
        if struck:
            die()

    def rmtree(folder, ignore_errors, whole=shutil.rmtree):
        if name == "journal" and next(Path(folder).glob("0*.jsonl"), None):
            next(Path(folder).glob("0*.jsonl")).unlink()
            die()
        whole(folder, ignore_errors)

    os.replace, shutil.rmtree = replace, rmtree


def slow_down(say: Callable[[str], None] = lambda name: None) -> None:
    """Make this process take its time for a chunk, so that another one has some, too."""
    def score_chunk(detector, paths, *rest, whole=scoring._score_chunk):
        say(paths[0].stem)
        time.sleep(0.1)
        return whole(detector, paths, *rest)
    scoring._score_chunk = score_chunk


def main(model: Path, images: Path, folder: Path) -> dict[str, list]:
    """Two processes undisturbed, then a kill at each place."""
    scoring.CHUNK = 4  # many chunks of few images
    detector, paths = RadarDetector.from_pretrained(model), sorted(images.iterdir())

    def run(out: Path, count: int, prepare: Callable[[int], None] = lambda rank: None) -> list[int]:
        return start(lambda: scoring.score_files(detector, paths, out, progress=False), count, prepare)

    def end(pids: list[int]) -> list[int]:
        return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]

    assert end(run(folder / "straight", 1)) == [0]
    expected, rows = digests(folder / "straight"), []

    def write_down(rank: int) -> None:
        file = (folder / "chunks").open("a", buffering=1)
        slow_down(lambda name: file.write(f"{rank} {name}\n"))

    assert end(run(folder / "two", 2, write_down)) == [0, 0] and digests(folder / "two") == expected
    for number, (count, victim, name, when) in enumerate(PLACES):
        out = folder / str(number)

        def prepare(rank: int, victim: int = victim, name: str = name, when: str = when) -> None:
            die_at(name, when) if rank == victim else slow_down()

        pids = run(out, count, prepare)
        ended = end([pids.pop(victim)])
        # Where the main process is dead, the other one may still be at work: go on beside it.
        others = [] if victim == 0 else end(pids)
        resumed = end(run(out, 1 + number % 3))
        others = others or end(pids)
        rows.append(
            {
                "where": f"process {victim} of {count} {when} {name}",
                "killed": ended == [-signal.SIGKILL],
                "others": others,
                "resumed": resumed,
                "equal": digests(out) == expected,
                "folders": sorted(path.name for path in out.iterdir() if path.is_dir()),
            }
        )
    return {"chunks": (folder / "chunks").read_text().splitlines(), "kills": rows}


if __name__ == "__main__":
    print(json.dumps(main(*map(Path, sys.argv[1:]))))
