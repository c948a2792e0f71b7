"""Score any number of image files with a saved detector, in any number of processes; go on after a stop.

The images are cut into chunks, always the same ones. Of N processes, process k scores each chunk whose number
is k modulo N, and writes its rows as one whole file into `journal/`. When all are there, the main process
joins them. So the result does not depend on the number of processes, nor on how many times a run was killed.
"""

import csv
import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from unicodedata import normalize

import numpy as np
from accelerate import Accelerator, InitProcessGroupKwargs
from PIL import Image
from tqdm import tqdm

from radar_nb.data.images import as_channels, check_image, overlay, read_image, write_image
from radar_nb.data.listing import SCORED, content
from radar_nb.method.detector import RadarDetector
from radar_nb.storage.errors import InputError
from radar_nb.storage.untrusted import read_json
from radar_nb.storage.whole import locked, whole_file, write_json

CHUNK = 64  # images in a journal file; no batch crosses it, so scores do not depend on where a run stopped
PATIENCE = timedelta(days=30)  # for the slowest process; torch's 30 minutes are short for many huge images
COLUMNS = ("image", "score", "decision", "error")
LONGEST_NAME = 180  # bytes of a file's name that go into the names of its mask and overlay


def score_files(detector: RadarDetector, paths: Sequence[Path], out: Path, progress: bool = True) -> int:
    """Write `scores.jsonl`, `scores.csv`, and for each image a mask and an overlay in its size, into `out`.

    A file that cannot be scored has the reason in its row, and does not stop the rest. Memory does not grow
    with the number of images. What an earlier call has scored is not scored again, whatever number of
    processes it had. Under `torchrun` or `accelerate launch` the processes share the work; the bytes are
    those of one process with as many threads.

    Returns:
        the number of files that could not be scored; 0 in all processes but the main one.

    Raises:
        InputError: `out` holds the scores of other images, of images that have changed since, or of another
            detector; another run writes there; another process of this run has failed (a launcher ends the
            others, too, when one fails).
        StorageError: the disk is full; the same call goes on.
    """
    accelerator = Accelerator(kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)])
    main, scores = accelerator.is_main_process, out / "scores.jsonl"
    fingerprint = _fingerprint(detector, paths)
    with locked(out) if main else nullcontext():
        if main:
            _begin(out, fingerprint)
        _wait_for_all(accelerator)
        _check(out, fingerprint)  # in each process: has it found the same images?
        if not _is_whole(scores, len(paths)):
            with tqdm(total=len(paths), desc="scoring", unit="image", disable=not (progress and main)) as bar:
                _score_share(detector, paths, out, bar, accelerator.process_index, accelerator.num_processes)
                _wait_for_all(accelerator)
                bar.update(_count(out, len(paths)) - bar.n)
            if main:
                _join(scores, len(paths))
        if not main:
            return 0
        failed = _write_csv(scores, out / "scores.csv")
        _remove_journal(out)
        return failed


def _score_share(detector: RadarDetector, paths: Sequence[Path], out: Path, bar: tqdm, index: int,
                 processes: int) -> None:
    """Score every chunk whose number is `index` modulo `processes`, but for those that the journal holds."""
    names = _names(paths)
    for number, (piece, chunk) in enumerate(_pieces(out, len(paths))):
        if number % processes != index or _is_whole(piece, len(paths[chunk])):
            continue
        if not piece.parent.is_dir():  # this process has outlived its run, and a later run has finished
            return
        rows = [json.dumps(row, ensure_ascii=False) + "\n"
                for row in _score_chunk(detector, paths[chunk], names[chunk], out)]
        with suppress(FileNotFoundError), whole_file(piece, make_folder=False) as work:
            work.write_text("".join(rows), encoding="utf-8", newline="\n")
        bar.update(_count(out, len(paths)) - bar.n)


def _score_chunk(detector: RadarDetector, paths: Sequence[Path], names: Sequence[str],
                 out: Path) -> Iterator[dict]:
    """A row for each file, in order. Images are read when needed; a bad one makes no gap in a batch."""
    rows: dict[int, tuple] = {}
    waiting: deque[tuple[int, np.ndarray]] = deque()

    def readable() -> Iterator[np.ndarray]:
        for number, path in enumerate(paths):
            try:
                image = read_image(path, detector.value_range_)
                image = check_image(as_channels(image, detector.channels_), str(path), detector.smallest_side,
                                    detector.channels_, detector.longest_side)
            except InputError as error:
                rows[number] = None, None, str(error)
                continue
            waiting.append((number, image))
            yield image

    for finding in detector.inspect(readable()):
        number, image = waiting.popleft()
        size = image.shape[1::-1]
        mask = np.asarray(Image.fromarray(finding["mask"]).resize(size, Image.Resampling.NEAREST))
        write_image(out / "masks" / f"{names[number]}_mask.png", mask)
        write_image(out / "overlays" / f"{names[number]}_overlay.png", overlay(image, mask))
        rows[number] = round(finding["score"], 6), "normal" if finding["normal"] else "anomalous", None
    for number, path in enumerate(paths):
        yield dict(zip(COLUMNS, (_printable(str(path)), *rows[number]), strict=True))


def _names(paths: Sequence[Path]) -> list[str]:
    """`<folder>/<stem>` of each file, made different where two files would share one, also on a disk that
    takes large and small letters for the same.
    """
    names, seen = [], {}
    for path in paths:
        name = stem = f"{_short(Path(os.path.abspath(path)).parent.name)}/{_short(path.stem)}"
        while (key := normalize("NFC", name).casefold()) in seen:
            seen[stem] = seen.get(stem, 1) + 1
            name = f"{stem}-{seen[stem]}"
        seen[key] = seen[stem] = 1
        names.append(name)
    return names


def _printable(text: str) -> str:
    """A name as text: bytes that are no UTF-8 are spelt out, such as `Pr\\xfcfteil.png`."""
    return os.fsencode(text).decode(errors="backslashreplace")


def _short(name: str) -> str:
    """At most `LONGEST_NAME` bytes of a name, so that a name of 255 bytes may get an ending."""
    return _printable(name).encode()[:LONGEST_NAME].decode(errors="ignore")


def _fingerprint(detector: RadarDetector, paths: Sequence[Path]) -> dict[str, str]:
    """Identifies a scoring: its detector and its list of images."""
    model = hashlib.sha256(detector.calibration_features_.tobytes())
    model.update(repr(detector.pixel_threshold_).encode())
    for tensor in detector.unet_.state_dict().values():
        model.update(tensor.cpu().contiguous().numpy().tobytes())
    options = detector.get_params(deep=False)
    del options["unet"], options["training"]
    model.update(repr(sorted(options.items())).encode())
    images = hashlib.sha256(b"\0".join(map(os.fsencode, paths)))
    contents = hashlib.sha256("\0".join(map(content, paths)).encode())
    return {"model": model.hexdigest(), "images": images.hexdigest(), "contents": contents.hexdigest()}


def _begin(out: Path, fingerprint: dict[str, str]) -> None:
    """Prepare `out`: go on with the scores that it holds, else begin anew."""
    begun = (out / "scores.jsonl").exists() or _journal(out).exists()
    if not begun or not (out / SCORED).exists():
        (out / "scores.jsonl").unlink(missing_ok=True)
        _remove_journal(out)
        write_json(out / SCORED, fingerprint)
    _check(out, fingerprint)
    for folder in ("", "journal/", "masks/*/", "overlays/*/"):
        for path in out.glob(f"{folder}.*.unfinished*"):  # of a killed run
            path.unlink(missing_ok=True)
    _journal(out).mkdir(exist_ok=True)


def _check(out: Path, fingerprint: dict[str, str]) -> None:
    before = read_json(out / SCORED)
    others = {"model": "another model", "images": "other images",
              "contents": "images that have changed since"}
    for what, value in fingerprint.items():
        if before.get(what) != value:
            raise InputError(f"{out}: holds scores of {others[what]}; give another --out, or remove it")


def _wait_for_all(accelerator: Accelerator) -> None:
    try:
        accelerator.wait_for_everyone()
    except RuntimeError:  # it waits for one that is no more
        raise InputError("another process of this scoring failed and printed the reason; "
                         "the same call continues") from None


def _journal(out: Path) -> Path:
    return out / "journal"


def _remove_journal(out: Path) -> None:
    """Rename it first: a process that has outlived an earlier run then finds no folder to write to."""
    removed = out / "journal-removed"
    shutil.rmtree(removed, ignore_errors=True)  # of a run that was killed here
    with suppress(FileNotFoundError):
        _journal(out).rename(removed)
    shutil.rmtree(removed, ignore_errors=True)


def _pieces(out: Path, count: int) -> Iterator[tuple[Path, slice]]:
    """The journal's files, each with the place of its images among all."""
    for start in range(0, count, CHUNK):
        yield _journal(out) / f"{start // CHUNK:06}.jsonl", slice(start, start + CHUNK)


def _count(out: Path, most: int) -> int:
    """How many images are in the journal, whoever scored them."""
    return min(most, CHUNK * sum(1 for _ in _journal(out).glob("[0-9]*.jsonl")))


def _is_whole(path: Path, lines: int) -> bool:
    """Whether a file is there and has so many lines; a torn one is made again."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        return sum(line.endswith(b"\n") for line in file) == lines


def _join(scores: Path, count: int) -> None:
    """The journal as one file."""
    with whole_file(scores) as work, work.open("wb") as file:
        for piece, _ in _pieces(scores.parent, count):
            with piece.open("rb") as rows:
                shutil.copyfileobj(rows, file)


def _write_csv(scores: Path, path: Path) -> int:
    """The rows as a table; returns how many files failed."""
    failed = 0
    with scores.open(encoding="utf-8") as lines, whole_file(path) as work, \
            work.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in map(json.loads, lines):
            failed += row["error"] is not None
            score = None if row["score"] is None else f"{row['score']:.6f}"
            writer.writerow(row | {"score": score})
    return failed
