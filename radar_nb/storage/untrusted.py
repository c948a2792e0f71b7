"""Read JSON and tensors of unknown origin: nothing in them is trusted, and nothing can run code."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from radar_nb.storage.errors import InputError

CHECKSUMS = "SHA256SUMS"  # as `sha256sum --check` reads it

_FLOATS = ("F16", "BF16", "F32", "F64")
Shapes = Mapping[str, tuple[int, ...]]


def read_json(path: str | Path, most: int = 1 << 20, finite: bool = True) -> dict:
    """Read a JSON object.

    Raises:
        InputError: no such file, longer than `most` bytes, no JSON object, or (where `finite`) a number that
            is not finite.
    """
    path = Path(path)
    try:
        if path.stat().st_size > most:
            raise InputError(f"{path}: {path.stat().st_size} bytes, but at most {most} are read; this is not "
                             "the right file")
        text = path.read_text(encoding="utf-8")
        checks = {"parse_constant": _not_finite, "parse_float": _finite} if finite else {}
        value = json.loads(text, **checks)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except InputError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}); write it again, or remove "
                         "it") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds a {type(value).__name__}, not a JSON object; write it again, or "
                         "remove it")
    return value


def _not_finite(text: str) -> float:
    raise ValueError(f"{text} is not a finite number")


def _finite(text: str) -> float:
    return float(text) if math.isfinite(float(text)) else _not_finite(text)


def read_tensors(path: str | Path, shapes: Shapes | None = None) -> dict[str, torch.Tensor]:
    """Read the tensors of a safetensors file, which has been looked over before memory is taken for them.

    Args:
        path: the file.
        shapes: exactly these names and shapes must be in it; None takes what is there.

    Returns:
        float tensors, all finite, independent of the file.

    Raises:
        InputError: no such file, damaged, other names or shapes, numbers that are no floats, NaN or infinite
            ones.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a folder that `python -m radar_nb train` wrote")
    try:
        with safe_open(path, "pt") as file:
            found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no dictionary
            odd = [name for name, entry in found.items() if entry.get_dtype() not in _FLOATS]
            problem = _other(shapes, {name: tuple(entry.get_shape()) for name, entry in found.items()})
            if odd:
                problem = f"{odd[0]} is {found[odd[0]].get_dtype()}, not a float type"
            if problem:
                raise InputError(f"{path}: {problem}; damaged, or of another model")
            tensors = {name: file.get_tensor(name).clone() for name in found}
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: damaged ({error}); copy or train it again") from None
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise InputError(f"{path}: {name} holds NaN or infinite numbers; copy or train it again")
    return tensors


def _other(expected: Shapes | None, found: Shapes) -> str | None:
    """How the names and shapes differ from the expected ones: the first difference, in words."""
    if expected is None:
        return None
    if missing := sorted(set(expected) - set(found)):
        return f"{missing[0]} is missing"
    if extra := sorted(set(found) - set(expected)):
        return f"{extra[0][:80]!r} does not belong there"
    return next((f"{name} has the shape {found[name]}, {tuple(shape)} is "
                 "expected" for name, shape in expected.items()
                 if found[name] != tuple(shape)), None)


def check_checksums(folder: Path, complete: bool = False) -> None:
    """Compare the files of a folder with its `SHA256SUMS`; without one, nothing is known and nothing said.

    Args:
        folder: where the files lie.
        complete: `SHA256SUMS` must be there.

    Raises:
        InputError: a file is missing, or is not what was written.
    """
    sums = folder / CHECKSUMS
    if not sums.is_file() and not complete:
        return
    try:
        lines = [line.partition("  ") for line in sums.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(f"{sums}: cannot be read ({error})") from None
    if not lines:
        raise InputError(f"{sums}: is empty")
    for expected, _, name in lines:
        path = folder / name
        if not name or path.parent != folder or not path.is_file():
            raise InputError(f"{sums}: names {name[:80]!r}, which is not there")
        if checksum(path) != expected:
            raise InputError(f"{path}: damaged (wrong checksum); copy or train it "
                             "again")


def check_values(path: Path, values: Mapping[str, object], defaults: Mapping[str, object]) -> None:
    """Compare the settings that a file holds with those that are known: no other names, and each of the kind
    of its default.

    A default of None stands for None or a whole number; one of several values may stand as a list.

    Raises:
        InputError: an unknown name, or a value of another kind.
    """
    for name, value in values.items():
        if name not in defaults:
            raise InputError(f"{path}: {name[:80]!r} is not a known setting; remove it, or update "
                             "the kit")
        several = isinstance(value, list) and isinstance(defaults[name], (int, tuple)) and len(value) <= 100
        parts = value if several else [value]
        if not all(_alike(part, defaults[name]) for part in parts):
            raise InputError(f"{path}: {name}={str(value)[:80]!r} has the wrong type; {defaults[name]!r} "
                             "is the default")


def _alike(value: object, default: object) -> bool:
    if isinstance(default, (bool, str)) or isinstance(value, bool):
        return type(value) is type(default)
    if isinstance(default, float):
        return isinstance(value, (int, float))
    return (value is None and default is None) or (isinstance(value, int) and abs(value) < 1 << 32)


def write_checksums(folder: Path, names: Iterable[str]) -> None:
    """Write `SHA256SUMS` of files in a folder."""
    lines = [f"{checksum(folder / name)}  {name}\n" for name in names]
    (folder / CHECKSUMS).write_text("".join(lines))


def checksum(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
