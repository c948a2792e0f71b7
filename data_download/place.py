"""Put a finished data set into its place in one step, and say later whether it is still what it was."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pooch
from filelock import FileLock, Timeout

from radar_nb.data.named import load_dataset
from radar_nb.storage.errors import InputError

MANIFEST = "SHA256SUMS"  # as `sha256sum --check` reads it


@contextmanager
def building(target: Path) -> Iterator[Path]:
    """A folder to build in, beside `target`. On success it becomes `target`, whole; on any error nothing is
    there.

    Raises:
        InputError: `target` is there already, or somebody else is building it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(target.with_name(f".{target.name}.lock"), timeout=0):
            if target.exists():
                raise InputError(f"{target}: is already there; check it with --check, or remove "
                                 "it to build it again")
            work = target.with_name(f".{target.name}.building")
            shutil.rmtree(work, ignore_errors=True)  # of an earlier try that was cut off
            work.mkdir()
            try:
                yield work
                load_dataset(work)
                write_manifest(work)
                os.replace(work, target)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except Timeout:
        raise InputError(f"{target}: is being built by another run; wait for it") from None


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)


def write_manifest(folder: Path) -> None:
    """Write the checksums of all files of `folder` into `SHA256SUMS`."""
    lines = [f"{pooch.file_hash(str(path))}  {path.relative_to(folder).as_posix()}\n"
             for path in _files(folder)]
    (folder / MANIFEST).write_text("".join(lines))


def check(folder: Path) -> list[str]:
    """What is wrong with a data set: a line for each file that is missing, changed, too many, or no image.

    Without `SHA256SUMS` (a folder that the user made) every image and mask is read instead.
    """
    if not folder.is_dir():
        return [f"{folder}: is not there"]
    if not (folder / MANIFEST).is_file():
        try:
            load_dataset(folder).check()
        except InputError as error:
            return [str(error)]
        return []
    expected = {}
    for line in (folder / MANIFEST).read_text(encoding="utf-8", errors="replace").splitlines():
        checksum, _, name = line.partition("  ")
        expected[name] = checksum
    found = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    problems = [f"{folder / name}: is missing" for name in expected if name not in found]
    problems += [f"{path}: does not belong to the data set" for name, path in found.items()
                 if name not in expected and not name.startswith(".") and name != "SOURCE.txt"]
    return problems + [f"{found[name]}: has changed (checksum)" for name, checksum in expected.items()
                       if name in found and pooch.file_hash(str(found[name])) != checksum]
