"""Read the lists that ship with the kit: registry files (`name checksum` a line) and splits (a name a
line).
"""

import re
from pathlib import Path

from radar_nb.storage.errors import InputError


def read_registry(path: Path) -> list[tuple[str, str]]:
    """The file names and SHA-256 checksums of a registry file.

    Raises:
        InputError: a line is not a relative name and a checksum, or a name comes twice.
    """
    entries = {}
    for number, line in enumerate(_lines(path), 1):
        name, _, checksum = line.rpartition(" ")
        if not _is_name(name) or name in entries or not re.fullmatch("[0-9a-f]{64}", checksum):
            raise InputError(f"{path}:{number}: {line[:80]!r} is not a new name and a SHA-256 checksum; get "
                             "the file again from the repository")
        entries[name] = checksum
    return list(entries.items())


def read_split(path: Path) -> set[str]:
    """The names of a split file. Raises InputError where a line is not one name."""
    names = _lines(path)
    for number, name in enumerate(names, 1):
        if not _is_name(name):
            raise InputError(f"{path}:{number}: {name[:80]!r} is not a name; get the file again from the "
                             "repository")
    return set(names)


def _is_name(name: str) -> bool:
    """A relative path of letters, digits and a few marks; nothing that leads elsewhere."""
    return re.fullmatch(r"[\w.+-]+(/[\w.+-]+)*", name, re.ASCII) is not None and ".." not in name.split("/")


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="ascii").split("\n")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); get the file again from the "
                         "repository") from None
    return [line.removesuffix("\r") for line in lines if line.strip()]
