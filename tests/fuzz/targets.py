"""Places where the kit meets what others wrote. Each target takes bytes, and may end well or with an InputError; nothing else.

`test_fuzz.py` gives them a little (hypothesis), `fuzz.py` as much as you like (atheris).
"""

import contextlib
import io
import json
import os
import shutil
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from data_download.archives import Limits, extract
from data_download.lists import read_registry, read_split
from data_download.place import check
from radar_nb.__main__ import _training_config
from radar_nb.arguments import make_parser
from radar_nb.data.decode import SUFFIXES
from radar_nb.data.images import read_image
from radar_nb.data.masks import read_mask
from radar_nb.method.detector import RadarDetector
from radar_nb.method.training import TrainingConfig
from radar_nb.method.unet import build_unet
from radar_nb.runs.kit import Kit
from radar_nb.storage.errors import InputError
from radar_nb.storage.places import REPOSITORY
from radar_nb.storage.unet_folder import load_unet
from radar_nb.storage.untrusted import read_tensors
from radar_nb.teaching.exercises import EXERCISES, grade
from radar_nb.teaching.exercises.kinds import Verdict

FOLDER = Path(tempfile.mkdtemp(prefix="radar-fuzz-"))


def _file(name: str, content: bytes) -> Path:
    path = FOLDER / name
    path.write_bytes(content)
    return path


def image(data: bytes) -> None:
    """An image file: the first byte chooses the suffix."""
    path = _file(f"image{SUFFIXES[data[0] % len(SUFFIXES)]}" if data else "image.png", data[1:])
    try:
        found = read_image(path)
        assert found.ndim in (2, 3) and found.dtype in (np.uint8, np.float32) and np.isfinite(found).all()
        assert read_mask(path).dtype == bool
    finally:
        path.unlink(missing_ok=True)


def _image_seeds() -> list[bytes]:
    pixels, seeds = np.arange(400, dtype=np.uint8).reshape(20, 20), []
    for kind, mode in (("PNG", "L"), ("PNG", "RGB"), ("PNG", "P"), ("JPEG", "L"), ("BMP", "RGB"), ("TIFF", "L"), ("TIFF", "F"), ("WEBP", "RGB"), ("PPM", "L")):
        out = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(out, kind)
        seeds.append(bytes([SUFFIXES.index({"JPEG": ".jpg", "PPM": ".pgm", "TIFF": ".tif"}.get(kind, f".{kind.lower()}"))]) + out.getvalue())
    return seeds


def model() -> Path:
    """A small saved detector, made once; each call puts it back as it was."""
    whole, folder = FOLDER / "whole", FOLDER / "model"
    if not whole.exists():
        torch.manual_seed(0)
        images = [np.random.default_rng(seed).integers(0, 256, (16, 16), np.uint8) for seed in range(4)]
        detector = RadarDetector(unet=build_unet(widths=(8, 8)).eval(), training=TrainingConfig(patch_size=16), calibration_points=8)
        detector.fit(images).save_pretrained(whole)
    shutil.copytree(whole, folder, dirs_exist_ok=True)
    return folder


def unet_config(data: bytes) -> None:
    """`config.json` of a model folder."""
    (model() / "config.json").write_bytes(data)
    load_unet(FOLDER / "model")


def detector_config(data: bytes) -> None:
    """`detector.json` of a model folder."""
    (model() / "detector.json").write_bytes(data)
    RadarDetector.from_pretrained(FOLDER / "model")


def tensors(data: bytes) -> None:
    """A safetensors file."""
    found = read_tensors(_file("tensors.safetensors", data))
    assert all(tensor.isfinite().all() for tensor in found.values())


def registry(data: bytes) -> None:
    """A registry file."""
    for name, checksum in read_registry(_file("registry.txt", data)):
        assert len(checksum) == 64 and not name.startswith("/") and ".." not in name.split("/")


def split(data: bytes) -> None:
    """A split file."""
    assert not any("/../" in f"/{name}/" for name in read_split(_file("split.txt", data)))


def manifest(data: bytes) -> None:
    """`SHA256SUMS` of a data set."""
    folder = FOLDER / "data"
    folder.mkdir(exist_ok=True)
    (folder / "SHA256SUMS").write_bytes(data)
    assert isinstance(check(folder), list)


def archive(data: bytes) -> None:
    """A tar or zip archive; nothing may land outside the folder."""
    target = FOLDER / "inside" / "target"
    try:
        extract(_file("archive", data), target, limits=Limits(members=100, bytes=1 << 20))
    finally:
        assert not target.parent.exists() or {path.name for path in target.parent.iterdir()} <= {"target"}
        shutil.rmtree(target, ignore_errors=True)


def _archive_seeds() -> list[bytes]:
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/b.txt", "hello" * 20)
    with tarfile.open(fileobj=tarred, mode="w:gz") as file:
        entry = tarfile.TarInfo("a/b.txt")
        entry.size = 5
        file.addfile(entry, io.BytesIO(b"hello"))
    return [zipped.getvalue(), tarred.getvalue()]


# What a student may give as an answer: by a letter, with the bytes that follow.
_ANSWERS: Sequence[Callable[[bytes], object]] = (
    lambda data: data.decode("latin-1"), lambda data: len(data), lambda data: struct.unpack("d", data[:8].ljust(8, b"\0"))[0], lambda data: None,
    lambda data: np.frombuffer(data, np.uint8), lambda data: np.frombuffer(data[:len(data) // 8 * 8], float), lambda data: list(data), lambda data: {1: data},
    lambda data: torch.tensor(list(data)), lambda data: (lambda *arguments: list(data)), lambda data: (lambda *arguments: arguments[0]),
    lambda data: (lambda *arguments: np.frombuffer(data, np.uint8)), lambda data: (lambda *arguments: 1 / 0), lambda data: (lambda: 0), lambda data: object(),
    lambda data: (lambda *arguments: data.decode()), lambda data: True, lambda data: float("nan"), lambda data: np.ma.masked, lambda data: type, lambda data: ...)


def answer(data: bytes) -> None:
    """An answer to an exercise: a check never raises."""
    if len(data) >= 2:
        with np.errstate(all="ignore"):
            verdict = EXERCISES[data[0] % len(EXERCISES)].check(_ANSWERS[data[1] % len(_ANSWERS)](data[2:]))
        assert isinstance(verdict, Verdict) and str(verdict)


def record(data: bytes) -> None:
    """`exercises.json` of a student, as `grade` reads it."""
    grade([_file("exercises.json", data)], FOLDER / "grades.csv")


def command_line(data: bytes) -> None:
    """Arguments of `python -m radar_nb`, a line each, a line of one byte being one of `_WORDS`; what is named is looked up."""
    arguments = [line.decode("utf-8", "replace") if len(line) > 1 else _WORDS[ord(line) % len(_WORDS)] for line in data.split(b"\n") if line]
    try:
        with contextlib.redirect_stderr(io.StringIO()) as error, contextlib.redirect_stdout(io.StringIO()):
            args = make_parser().parse_args(arguments)
    except SystemExit as stop:
        assert stop.code == 0 or (stop.code == 2 and len(error.getvalue().splitlines()) <= 1), error.getvalue()
        return
    if args.command in ("run", "train"):
        kit = Kit(args.profile, args.dataset, args.seed, FOLDER / "run")
        if args.command == "train":
            _training_config(args, kit.training)


def _json_seeds(name: str) -> list[bytes]:
    whole = (model() / name).read_bytes()
    odd = [b"{}", b"[]", b"nul", b'{"_class_name": "UNet2DModel"}', whole.replace(b"8", b"8192"), whole.replace(b"1", b"1e999"), whole.replace(b"null", b"[]")]
    return [whole, json.dumps(json.loads(whole)).encode(), *odd]


# What an argument can be: commands, options, names that there are, and what may be mistaken for them.
_WORDS = ("run", "train", "score", "notebooks", "compare", "ablate", "bench", "claims", "grade", "figures", "--profile", "--dataset", "--datasets",
          "--seed", "--seeds", "--steps", "--network", "--patience", "--sample-every", "--model", "--engine", "--out", "--methods", "--everything",
          "--ablations", "--normality", "--quick", "--networks", "--run", "--results", "--help", "smoke", "cpu", "printed", "printed_hard", "texture", "fold4",
          "folded", "0", "1", "-1", "2147483648", "1e3", "nan", "", " ", "..", "/", "--", "-", "--seed=0", "--se", "\0", "\u2028", "é\n", "%s", "a" * 300)


def words(*chosen: str) -> bytes:
    """What `command_line` reads as these of `_WORDS`."""
    return b"\n".join(bytes([_WORDS.index(word)]) for word in chosen)


_LINES = ["score", "--model", "m", "--out", "o", "a.png", "train", "run", "--dataset", "printed", "--seed", "1", "--profile", "smoke", "compare", "--methods", "pca"]
TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]] = {
    "image": (image, _image_seeds),
    "unet_config": (unet_config, lambda: _json_seeds("config.json")),
    "detector_config": (detector_config, lambda: _json_seeds("detector.json")),
    "tensors": (tensors, lambda: [(model() / "calibration.safetensors").read_bytes(), struct.pack("<Q", 2) + b"{}"]),
    "registry": (registry, lambda: [b"a/b.png " + b"0" * 64 + b"\n"]),
    "split": (split, lambda: [(REPOSITORY / "data_download/splits/kolektor_sdd_test_good.txt").read_bytes()]),
    "manifest": (manifest, lambda: [b"0" * 64 + b"  train/good/000.png\n"]),
    "archive": (archive, _archive_seeds),
    "answer": (answer, lambda: [bytes([number, kind]) + b"12345678" for number in range(0, 40, 7) for kind in range(len(_ANSWERS))]),
    "record": (record, lambda: [b'{"01.1": {"solved": true, "tries": 2}}']),
    "command_line": (command_line, lambda: ["\n".join(_LINES[:6]).encode(), "\n".join(_LINES[6:]).encode(), "\n".join(_LINES).encode(),
                                    words("train", "--profile", "smoke", "--seed", "0", "--network", "fold4", "--out", "printed"),
                                    words("run", "--dataset", " ")]),
}


def survives(name: str, data: bytes) -> None:
    """Give `data` to a target; an InputError must be one line."""
    os.environ["RADAR_RUN"] = str(FOLDER / "run")  # not where a reader's solved exercises are counted
    try:
        TARGETS[name][0](data)
    except InputError as error:
        assert len(str(error).splitlines()) == 1, repr(str(error))
