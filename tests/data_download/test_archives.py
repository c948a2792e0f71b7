"""Archives that mean harm: all refused, and nothing is written outside the target."""

import io
import stat
import tarfile
import zipfile

import pytest

from data_download.archives import Limits, extract
from radar_nb.storage.errors import InputError


def _tar(path, *entries, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, kind, content in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size = kind, len(content) if kind == tarfile.REGTYPE else 0
            entry.linkname = content.decode() if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            archive.addfile(entry, io.BytesIO(content) if kind == tarfile.REGTYPE else None)


def _zip(path, *entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, mode, content in entries:
            entry = zipfile.ZipInfo(name)
            entry.filename = name  # ZipInfo tidies names up; a bad archive does not
            entry.external_attr, entry.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)


def _encrypted(path):
    _zip(path, ("a.png", 0o644, b"secret"))
    raw = bytearray(path.read_bytes())
    raw[6] |= 1                                    # local header: flag "encrypted"
    raw[raw.index(b"PK\x01\x02") + 8] |= 1         # central directory: the same
    path.write_bytes(raw)


def _lying_size(path):
    """A zip whose directory says 10 bytes and whose data unpack to a million."""
    _zip(path, ("a.png", 0o644, bytes(1_000_000)))
    raw = bytearray(path.read_bytes())
    place = raw.index(b"PK\x01\x02") + 24
    raw[place:place + 4] = (10).to_bytes(4, "little")
    path.write_bytes(raw)


FILE, LINK, HARD = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
ELSEWHERE = "leads elsewhere"
HOSTILE = {
    "tar absolute": (lambda p: _tar(p, ("/etc/evil.png", FILE, b"x")), ELSEWHERE),
    "tar parent": (lambda p: _tar(p, ("../evil.png", FILE, b"x")), ELSEWHERE),
    "tar parent inside": (lambda p: _tar(p, ("a/../../evil.png", FILE, b"x")), ELSEWHERE),
    "tar backslash": (lambda p: _tar(p, ("..\\evil.png", FILE, b"x")), ELSEWHERE),
    "tar drive": (lambda p: _tar(p, ("C:evil.png", FILE, b"x")), ELSEWHERE),
    "tar line break": (lambda p: _tar(p, ("a\n.png", FILE, b"x")), ELSEWHERE),
    "tar symbolic link": (lambda p: _tar(p, ("a", LINK, b"/etc"), ("a/evil.png", FILE, b"x")), "a link"),
    "tar hard link": (lambda p: _tar(p, ("a.png", HARD, b"/etc/passwd")), "a link"),
    "tar pipe": (lambda p: _tar(p, ("a.png", tarfile.FIFOTYPE, b"")), "a device"),
    "tar device": (lambda p: _tar(p, ("a.png", tarfile.CHRTYPE, b"")), "a device"),
    "tar twice": (lambda p: _tar(p, ("a.png", FILE, b"x"), ("./a.png", FILE, b"y")), "second time"),
    "tar twice but for case": (lambda p: _tar(p, ("a.png", FILE, b"x"), ("A.PNG", FILE, b"y")), "second time"),
    "tar too many": (lambda p: _tar(p, *((f"{i}.png", FILE, b"x") for i in range(101))), "more than 100 members"),
    "tar too large": (lambda p: _tar(p, ("a.png", FILE, bytes(200_000)), mode="w:xz"), "limit"),
    "tar cut off": (lambda p: (_tar(p, ("a.png", FILE, bytes(50_000))), p.write_bytes(p.read_bytes()[:20_000])), "cannot be unpacked"),
    "zip absolute": (lambda p: _zip(p, ("/etc/evil.png", 0o644, b"x")), ELSEWHERE),
    "zip parent": (lambda p: _zip(p, ("a/../../evil.png", 0o644, b"x")), ELSEWHERE),
    "zip backslash": (lambda p: _zip(p, ("..\\evil.png", 0o644, b"x")), ELSEWHERE),
    "zip symbolic link": (lambda p: _zip(p, ("a", stat.S_IFLNK | 0o777, b"/etc")), "a link"),
    "zip device": (lambda p: _zip(p, ("a.png", stat.S_IFCHR | 0o644, b"")), "a device"),
    "zip encrypted": (_encrypted, "an encrypted member"),
    "zip twice": (lambda p: _zip(p, ("a.png", 0o644, b"x"), ("a.png", 0o644, b"y")), "second time"),
    "zip too large": (lambda p: _zip(p, ("a.png", 0o644, bytes(200_000))), "limit"),
    "zip that lies about its size": (_lying_size, "a.png|cannot be unpacked|limit"),
    "zip cut off": (lambda p: (_zip(p, ("a.png", 0o644, bytes(99))), p.write_bytes(p.read_bytes()[:-30])), "cannot be unpacked"),
    "no archive": (lambda p: p.write_bytes(b"hello" * 500), "cannot be unpacked"),
    "empty": (lambda p: p.write_bytes(b""), "cannot be unpacked"),
    "not there": (lambda p: None, "no such file"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused(tmp_path, name):
    make, message = HOSTILE[name]
    make(tmp_path / "archive")
    before = {path for path in tmp_path.parent.rglob("*")}
    with pytest.raises(InputError, match=message):
        extract(tmp_path / "archive", tmp_path / "target", limits=Limits(members=100, bytes=100_000))
    outside = {path for path in tmp_path.parent.rglob("*")} - before
    assert all((tmp_path / "target") in (path, *path.parents) for path in outside), "written outside the target"
    assert sum(path.stat().st_size for path in (tmp_path / "target").rglob("*") if path.is_file()) <= 100_000


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_an_honest_tar_is_unpacked(tmp_path, mode):
    _tar(tmp_path / "archive", ("tile", tarfile.DIRTYPE, b""), ("./tile/a b.png", FILE, b"A"), ("ünicode/b.png", FILE, b"B"), mode=mode)
    assert extract(tmp_path / "archive", tmp_path / "target") == 2
    assert (tmp_path / "target/tile/a b.png").read_bytes() == b"A" and (tmp_path / "target/ünicode/b.png").read_bytes() == b"B"


def test_an_honest_zip_is_unpacked_and_only_what_is_wanted(tmp_path):
    _zip(tmp_path / "archive", ("tile/", stat.S_IFDIR | 0o755, b""), ("tile/a.png", 0o644, b"A"), ("bottle/b.png", 0, b"B"))
    assert extract(tmp_path / "archive", tmp_path / "target", wanted=lambda name: name.startswith("tile")) == 1
    assert [path.name for path in (tmp_path / "target").rglob("*") if path.is_file()] == ["a.png"]
