"""Find files in folders: images, what is left out, and what a file's bytes are."""

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path

from radar_nb.data.decode import SUFFIXES
from radar_nb.storage.errors import InputError, tell

SCORED = "scoring.json"  # in each folder that `score` has written
# What operating systems and tools leave behind; so do hidden names, which begin with a dot.
_OF_TOOLS = ("__macosx", "__pycache__", "@eadir", "lost+found", "$recycle.bin", "system volume information",
             "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r")


def look_through(folder: Path, skip: Collection[Path] = ()) -> tuple[list[Path], list[Path]]:
    """The files in a folder and in all folders inside it, links too, in the order of their names.

    Hidden names and those of tools (`.ipynb_checkpoints`, `__MACOSX`, `Thumbs.db`) are passed over, and so
    are the folders of `skip`, which are resolved.

    Returns:
        the image files, and what else was found: files of other kinds, folders that cannot be opened, and
        those that `score` has filled (`SCORED` lies in them): its masks are no photographs.
    """
    images, others, seen = [], [], set()

    def refused(error: OSError) -> None:
        others.append(Path(error.filename or folder))

    for place, folders, files in os.walk(folder, onerror=refused, followlinks=True):
        resolved = Path(place).resolve()
        if resolved in seen or resolved in skip:  # a link to what was seen, or to a folder around itself
            folders.clear()
            continue
        seen.add(resolved)
        if SCORED in files and Path(place) != folder:
            folders.clear()
            others.append(Path(place))
            continue
        folders[:] = sorted((name for name in folders if not of_tools(name)),
                            key=lambda name: (os.path.islink(os.path.join(place, name)), name))
        for name in files:
            if not of_tools(name):
                (images if is_image(name) else others).append(Path(place, name))
    return sorted(images), sorted(others)


def of_tools(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or left there by a system or a tool."""
    return name.startswith(".") or name.lower() in _OF_TOOLS


def is_image(name: str) -> bool:
    """Whether a file of this name is read as an image."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def tell_left_out(paths: Sequence[Path]) -> None:
    """Say in one line how many files of each kind are left out, with an example."""
    if paths:
        kinds = Counter("folders" if path.is_dir() else path.suffix.lower() or "without a suffix"
                        for path in paths)
        found = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(6))
        more = f" and {len(kinds) - 6} kinds more" if len(kinds) > 6 else ""
        tell(f"left out: {found}{more} (such as {paths[0]}); convert images to PNG to have them read")


def find_images(folder: str | Path, inside: bool = False, skip: Collection[Path] = ()) -> list[Path]:
    """The image files in `folder`, in the order of their names; `inside` its folders too, but `skip`.

    What is left out is said in one line; see `look_through` for what is passed over.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        near = [path.name for path in folders_in(folder.parent)]
        hint = f" ({folder.parent} holds {', '.join(near[:5])})" if near else ""
        raise InputError(f"{folder}: no such folder; check the path{hint}")
    files, others = look_through(folder, {path.resolve() for path in skip})
    if not inside:
        files, others = ([path for path in part if path.parent == folder] for part in (files, others))
    tell_left_out(others)
    if not files:
        raise InputError(f"{folder}: no images found; put files ending in {', '.join(SUFFIXES)} there")
    return files


def folders_in(folder: Path) -> list[Path]:
    """The folders in `folder`, but for hidden ones and those of tools."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not of_tools(path.name)) \
        if folder.is_dir() else []


def content(path: Path) -> str:
    """A fingerprint of a file's bytes, remembered as long as its size and times stay."""
    try:
        state = path.stat()
        return _content(path, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    except OSError:
        return ""  # reading it will say what is wrong


@lru_cache(1 << 17)
def _content(path: Path, *state: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
