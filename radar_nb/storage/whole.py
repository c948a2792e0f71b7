"""Files that are whole or not there.

What is written goes to a temporary name beside its place, is flushed to the disk, and is renamed: whoever
kills the program, or pulls the plug, finds the old file or the new one. A full disk costs what was being
written, never what was there before.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from radar_nb.storage.errors import InputError, StorageError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def whole_file(path: str | Path, durable: bool = True, make_folder: bool = True) -> Iterator[Path]:
    """A temporary path to write to, with the same suffix; on success it becomes `path`, on any error nothing
    is left.

    Args:
        path: where the file goes.
        make_folder: make its folder where it is missing; else that is a FileNotFoundError.
        durable: wait until the disk has it; not worth it for what is made again in no time.

    Raises:
        StorageError: no room, or no right to write there.
    """
    path = Path(path)
    short = os.fsencode(path.stem)[:80].decode(errors="ignore")  # a name may have 255 bytes
    work = path.with_name(f".{short}.{os.getpid()}.unfinished{path.suffix}")
    try:
        with _storage_errors(path):
            if make_folder:
                path.parent.mkdir(parents=True, exist_ok=True)
            yield work
            if durable:
                sync(work)
            os.replace(work, path)
            if durable:
                _sync_folder(path.parent)
    finally:
        with suppress(OSError):
            work.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: str | Path) -> Iterator[Path]:
    """A temporary folder to fill; on success it takes the place of `folder`. Raises as `whole_file`."""
    folder = Path(folder)
    work = folder.with_name(f"{folder.name}.unfinished")
    try:
        with _storage_errors(folder):
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            yield work
            for path in sorted(work.iterdir()):
                sync(path)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(work, folder)
            _sync_folder(folder.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def whole_files(folder: str | Path, last: str) -> Iterator[Path]:
    """A temporary folder whose files are moved into `folder`, `last` at the end: who sees that one sees all.
    Raises as `whole_file`.
    """
    folder = Path(folder)
    work = folder / ".unfinished"
    try:
        with _storage_errors(folder):
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            yield work
            paths = sorted(work.iterdir(), key=lambda path: (path.name == last, path.name))
            for path in paths:
                sync(path)
            (folder / last).unlink(missing_ok=True)  # of an earlier model: half of each would be neither
            for path in paths:
                os.replace(path, folder / path.name)
            _sync_folder(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def sync(path: Path) -> None:
    """Wait until the disk has what was written to `path`."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """The same for the names in a folder, where the system knows such a thing (Windows does not)."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        code = getattr(error, "errno", None)
        in_words = "os error 28" in str(error) or "No space left" in str(error)  # as safetensors says it
        if code in _NO_ROOM or in_words:
            raise StorageError(f"{path}: no space left on the disk; the earlier files are intact. Free "
                               "some space and call again") from None
        refused = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)
        if isinstance(error, OSError) and code in refused:
            raise StorageError(f"{path}: cannot be written ({error.strerror}); give another folder, or the "
                               "permission to write there") from None
        raise


def write_text(path: str | Path, text: str, durable: bool = True) -> None:
    """Write a text file, whole or not at all; always UTF-8. Raises as `whole_file`."""
    with whole_file(path, durable) as work:
        work.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, value: object, indent: int | None = 1) -> None:
    """Write JSON, whole or not at all. Raises as `whole_file`."""
    write_text(path, json.dumps(value, indent=indent) + "\n")


@contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Hold a folder for one run: a second one is told so at once. A run that was killed holds nothing.

    Raises:
        InputError: another run is writing there.
    """
    folder = Path(folder)
    with _storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"{folder}: another run is writing here; wait until it is done, or give another "
                         "folder") from None
    try:
        yield
    finally:
        with suppress(OSError):
            (folder / ".lock").unlink(missing_ok=True)
        lock.release()


@contextmanager
def waiting_for(path: str | Path, seconds: float = 30) -> Iterator[None]:
    """Hold a file while it is read, changed and written again; others wait their turn.

    Raises:
        InputError: somebody else holds it for longer than `seconds`.
    """
    path = Path(path)
    with _storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=seconds):
            yield
    except Timeout:
        raise InputError(f"{path}: held by another run for {seconds:.0f} s; close that run, then call "
                         "again") from None
