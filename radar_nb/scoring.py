"""Score any number of image files with a saved detector, and go on where an earlier call stopped."""

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from tqdm import tqdm

from radar_nb.detector import RadarDetector
from radar_nb.files import InputError, locked, whole_file, write_json
from radar_nb.images import load_images, write_image
from radar_nb.saved import read_json

CHUNK = 64  # images between two entries in the journal; a batch never crosses it, so a score does not depend on where a run stopped
COLUMNS = ("image", "score", "decision", "error")
OUTLINE = (255, 69, 0)


def score_files(detector: RadarDetector, paths: Sequence[Path], out: Path, progress: bool = True) -> int:
    """Write `scores.jsonl`, `scores.csv`, and a mask and an overlay an image, in the images' own sizes, into `out`.

    A file that cannot be scored has its reason in the place of a score, and does not stop the rest. Memory does not grow with the
    number of images. `scores.jsonl` is also the journal: the images in it are not scored again.

    Returns:
        the number of files that could not be scored.

    Raises:
        InputError: `out` holds the scores of other images, or of another detector; or another run writes there.
        StorageError: the disk is full; the same call goes on.
    """
    with locked(out):
        return _score_files(detector, paths, out, progress)


def _score_files(detector: RadarDetector, paths: Sequence[Path], out: Path, progress: bool) -> int:
    journal = out / "scores.jsonl"
    done = _done(journal, out / "scoring.json", _fingerprint(detector, paths))
    with journal.open("r+" if journal.exists() else "w", encoding="utf-8") as file, \
            tqdm(total=len(paths), initial=done, desc="scoring", unit="image", disable=not progress) as bar:
        file.truncate(_end_of_line(journal, done))
        file.seek(0, 2)
        names = _names(paths)
        for start in range(done, len(paths), CHUNK):
            rows = list(_score_chunk(detector, paths[start:start + CHUNK], names[start:start + CHUNK], out))
            file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
            file.flush()
            bar.update(len(rows))
    return _write_csv(journal, out / "scores.csv")


def _score_chunk(detector: RadarDetector, paths: Sequence[Path], names: Sequence[str], out: Path) -> Iterator[dict]:
    """A row a file, in order. Bad files are found on reading, so the good ones go through the U-Net in batches."""
    images, errors = [], {}
    for path in paths:
        try:
            images += load_images([path], detector.smallest_side, detector.channels_)
        except InputError as error:
            errors[path] = str(error)
    findings = zip(detector.inspect(images), images, strict=True)
    for path, name in zip(paths, names, strict=True):
        if path in errors:
            yield dict(zip(COLUMNS, (str(path), None, None, errors[path]), strict=True))
            continue
        finding, image = next(findings)
        mask = np.asarray(Image.fromarray(finding["mask"]).resize(image.shape[1::-1], Image.Resampling.NEAREST))
        write_image(out / "masks" / f"{name}_mask.png", mask)
        write_image(out / "overlays" / f"{name}_overlay.png", overlay(image, mask))
        yield dict(zip(COLUMNS, (str(path), round(finding["score"], 6), "normal" if finding["normal"] else "anomalous", None), strict=True))


def overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The image as `(H, W, 3)` uint8 with the mask's outline in orange-red, as thick as can be seen at the image's size."""
    photo = image if image.dtype == np.uint8 else np.round(255 * image).astype(np.uint8)
    photo = np.repeat(photo[..., None], 3, axis=2) if photo.ndim == 2 else photo.copy()
    thick = max(1, round(max(mask.shape) / 400))
    photo[ndimage.binary_dilation(mask, iterations=thick) & ~mask] = OUTLINE
    return photo


def _names(paths: Sequence[Path]) -> list[str]:
    """`<folder>/<stem>` of each file, made different where two files would share one."""
    names, seen = [], {}
    for path in paths:
        name = f"{path.resolve().parent.name}/{path.stem}"
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return names


def _fingerprint(detector: RadarDetector, paths: Sequence[Path]) -> dict[str, str]:
    """What a journal must have been made with, to be gone on with."""
    model = hashlib.sha256(detector.calibration_features_.tobytes())
    for tensor in detector.unet_.state_dict().values():
        model.update(tensor.cpu().contiguous().numpy().tobytes())
    model.update(repr(sorted((key, value) for key, value in detector.get_params(deep=False).items() if key not in ("unet", "training"))).encode())
    return {"model": model.hexdigest(), "images": hashlib.sha256("\0".join(map(str, paths)).encode()).hexdigest()}


def _done(journal: Path, made_with: Path, fingerprint: dict[str, str]) -> int:
    """How many whole chunks of images an earlier call has scored."""
    if journal.exists() and made_with.exists():
        before = read_json(made_with)
        for what, value in fingerprint.items():
            if before.get(what) != value:
                raise InputError(f"{journal}: holds scores of {'other images' if what == 'images' else 'another model'}; give another --out, or remove it")
        with journal.open("rb") as file:
            return sum(line.endswith(b"\n") for line in file) // CHUNK * CHUNK
    journal.unlink(missing_ok=True)
    write_json(made_with, fingerprint)
    return 0


def _end_of_line(journal: Path, count: int) -> int:
    """Bytes of the first `count` lines."""
    with journal.open("rb") as file:
        return sum(len(next(file)) for _ in range(count))


def _write_csv(journal: Path, path: Path) -> int:
    """The journal as a table; returns how many files failed."""
    failed = 0
    with journal.open(encoding="utf-8") as lines, whole_file(path) as work, work.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in map(json.loads, lines):
            failed += row["error"] is not None
            writer.writerow(row | ({} if row["score"] is None else {"score": f"{row['score']:.6f}"}))
    return failed
