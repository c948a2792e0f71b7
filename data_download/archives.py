"""Unpack archives from the network, and trust nothing in them."""

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from radar_nb.storage.errors import InputError


@dataclass(frozen=True)
class Limits:
    """What an archive may hold, taken or not."""

    members: int = 50_000
    bytes: int = 20 << 30


def extract(archive: str | Path, target: str | Path, wanted: Callable[[str], bool] = lambda name: True,
            limits: Limits = Limits()) -> int:
    """Unpack the regular files of a tar (plain, gz, bz2, xz) or zip archive below `target`.

    A tar is read as a stream: of a large one, `wanted` picks what is written.

    Args:
        archive: the file.
        target: a folder; made if need be.
        wanted: which members, by their names, to write; all are checked.
        limits: how many members, and how many unpacked bytes in all.

    Returns:
        the number of files written.

    Raises:
        InputError: no archive, or damaged; or a member with an absolute path or `..`, a link, a device, an
            encrypted or a second one of a name, or more members or bytes than `limits`. What was written
            before stays: unpack into a folder that you throw away.
    """
    archive, target = Path(archive), Path(target)
    target.mkdir(parents=True, exist_ok=True)
    seen, left, written = set(), limits.bytes, 0
    try:
        for name, kind, size, read in _members(archive):
            _check_member(archive, name, kind, seen)
            if len(seen) > limits.members:
                raise InputError(f"{archive}: more than {limits.members} members; refused")
            if kind == "file" and wanted(name):
                left -= _write(target / name, read, left, archive)
                written += 1
            else:
                left -= size
            if left < 0:
                raise InputError(f"{archive}: unpacks to more than {limits.bytes} bytes; refused")
    except FileNotFoundError:
        raise InputError(f"{archive}: no such file; check the path") from None
    except (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, NotImplementedError,
            OSError) as error:
        raise InputError(f"{archive}: cannot be unpacked ({error}); download it again") from None
    return written


def _members(archive: Path) -> Iterator[tuple[str, str, int, Callable[[], IO[bytes]]]]:
    """Each member: its name, what it is (`file`, `folder`, or something that will be refused), its size, how
    to read it.
    """
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for entry in file.infolist():
                mode = entry.external_attr >> 16
                kind = ("an encrypted member" if entry.flag_bits & 0x1 else "a link" if stat.S_ISLNK(mode)
                        else
                        "folder" if entry.filename.endswith("/") else "file"
                        if stat.S_IFMT(mode) in (0, stat.S_IFREG) else "a device")
                yield entry.filename, kind, entry.file_size, lambda entry=entry: file.open(entry)
        return
    with tarfile.open(archive, "r|*") as file:
        for entry in file:
            other = "a link" if entry.issym() or entry.islnk() else "a device"
            kind = "file" if entry.isreg() else "folder" if entry.isdir() else other
            yield entry.name, kind, entry.size, lambda entry=entry: file.extractfile(entry)


def _check_member(archive: Path, name: str, kind: str, seen: set[str]) -> None:
    """Refuse what has no business in an archive of images. `seen` collects the names."""
    parts = name.rstrip("/").split("/")
    key = "/".join(part for part in parts if part != ".").casefold()
    odd = "\\" in name or ":" in name or any(ord(letter) < 32 for letter in name)
    if not name or name.startswith("/") or ".." in parts or odd:
        reason = "a path that leads elsewhere"
    elif kind not in ("file", "folder"):
        reason = kind
    elif key in seen and kind == "file":
        reason = "a name for the second time"
    else:
        seen.add(key)
        return
    raise InputError(f"{archive}: member {name!r} is {reason}; refused, nothing of this archive is used")


def _write(path: Path, read: Callable[[], IO[bytes]], most: int, archive: Path) -> int:
    """Copy one member; counts what really comes out, whatever its header says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with read() as source, path.open("xb") as out:
        while chunk := source.read(1 << 20):
            count += len(chunk)
            if count > most:
                raise InputError(f"{archive}: unpacks to more than its limit; refused")
            out.write(chunk)
    return count
