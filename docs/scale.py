"""How does `score` scale? `python docs/scale.py` scores 1,000, then 20,000 files with 1, 2 and 4 processes.

Prints for each the images a second, and the largest memory of any of its processes. The files are links to 64
made images, so that the disk holds few; the folder is removed at the end.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from radar_nb.data.images import write_image
from radar_nb.data.printed import make_image
from radar_nb.storage.places import REPOSITORY

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node")
MODEL = str(REPOSITORY / "weights" / "printed-fast")
SCORE = ("-m", "radar_nb", "score", "--engine", "onnx", "--model", MODEL)


def main() -> None:
    """Read the arguments, make the files, score them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 20000])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--side", type=int, default=64, help="of the images, pixels")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "made")
        for index in range(64):
            image, _ = make_image("standard", 0, "test", index, size=args.side)
            write_image(made / f"{index:02}.png", image)
        for count in args.images:
            images = Path(folder, f"{count}")
            images.mkdir()
            for index in range(count):
                os.link(made / f"{index % 64:02}.png", images / f"{index:06}.png")
            for processes in args.processes:
                seconds, peak = score(images, Path(folder, f"scores-{count}-{processes}"), processes)
                print(f"{count:6} images, {processes} processes: {seconds:6.0f} s, "
                      f"{count / seconds:5.0f} a second, {peak:5.0f} MB a process at most", flush=True)


def score(images: Path, out: Path, processes: int) -> tuple[float, float]:
    """Seconds from start to end, and the largest resident memory of any one process, MB."""
    return run_and_watch([*TORCHRUN, str(processes), *SCORE, str(images), "--out", str(out)])


def run_and_watch(arguments: list[str]) -> tuple[float, float]:
    """Run Python with these arguments: seconds, and the largest resident memory of any one process, MB."""
    one_thread = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(REPOSITORY)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    began, peak = time.perf_counter(), 0.0
    with subprocess.Popen([sys.executable, *arguments], env=os.environ | one_thread, **quiet) as run:
        while run.poll() is None:
            started = psutil.Process(run.pid)
            for process in (started, *started.children(recursive=True)):
                try:
                    peak = max(peak, process.memory_info().rss / 2**20)
                except psutil.Error:  # it has just ended
                    continue
            time.sleep(0.5)
    if run.returncode:
        raise SystemExit(f"{' '.join(arguments)}: exit status {run.returncode}")
    return time.perf_counter() - began, peak


if __name__ == "__main__":
    main()
