"""Downloads against a local server that misbehaves; the builders; the command."""

import dataclasses
import hashlib
import http.server
import io
import re
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_download import __main__ as command
from data_download import kolektor_sdd, magnetic_tile
from data_download.fetch import DownloadError, Patience, RemoteFile, fetch, fetch_all
from data_download.place import building, check
from data_download.sources import SOURCES
from radar_nb.data.named import load_dataset
from radar_nb.storage.errors import InputError

QUICK = Patience(connect=0.5, read=0.5, tries=3, pause=0.01)
SHARED = Path(__file__).parents[3] / "shared" / "data"


def _toy_archive() -> bytes:
    """KolektorSDD in small: three items, a crack in each of two, one exact copy."""
    rng, buffer = np.random.default_rng(0), io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for item in ("kos01", "kos02", "kos39"):
            for part in range(4):
                picture, label = io.BytesIO(), io.BytesIO()
                Image.fromarray(rng.integers(0, 255, (40, 36), np.uint8)).save(picture, "JPEG")
                mask = np.zeros((40, 36), np.uint8)
                mask[10:14, 10:20] = 255 * (part == 3 and item != "kos01")
                Image.fromarray(mask).save(label, "BMP")
                archive.writestr(f"{item}/Part{part}.jpg", picture.getvalue())
                archive.writestr(f"{item}/Part{part}_label.bmp", label.getvalue())
                if (item, part) == ("kos01", 0):
                    archive.writestr(f"{item}/Part9.jpg", picture.getvalue())
                    archive.writestr(f"{item}/Part9_label.bmp", label.getvalue())
    return buffer.getvalue()


BODY = _toy_archive()
CUTS = [round(len(BODY) * share) for share in np.linspace(0.02, 0.98, 10)]


class _Handler(http.server.BaseHTTPRequestHandler):
    """The first part of the path says how to misbehave."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.send_response(200 if self.path.startswith("/ok") else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        how, seen = self.path.split("/")[1], self.server.seen
        seen[self.path] = seen.get(self.path, 0) + 1
        self.server.ranges.append(self.headers.get("Range"))
        getattr(self, f"do_{how.split('-')[0]}")(how, seen[self.path])
        self.close_connection = True

    def reply(self, body, status=200, length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.send_header("Connection", "close")  # else a client that is sent elsewhere may ask again where nobody listens any more
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_ok(self, how="", count=0, body=BODY):
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(found[1]) if found else 0
        if found and start >= len(body):
            return self.reply(b"", 416)
        if found:
            return self.reply(body[start:], 206, Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}")
        return self.reply(body)

    def do_status(self, how, count):
        self.reply(b"no", int(how.split("-")[1]))

    def do_busy(self, how, count):
        self.reply(b"busy", 503) if count < 3 else self.do_ok()

    def do_timeout(self, how, count):
        time.sleep(1.5)

    def do_slow(self, how, count):
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        step = len(BODY) // 8 + 1
        for start in range(0, len(BODY), step):
            self.wfile.write(BODY[start:start + step])
            self.wfile.flush()
            time.sleep(0.1)

    def do_redirect(self, how, count):
        self.reply(b"", 302, Location="/ok/file")

    def do_loop(self, how, count):
        self.reply(b"", 302, Location=self.path)

    def do_short(self, how, count):      # says it is whole, and is not
        self.reply(BODY[:-10])

    def do_wrong(self, how, count):
        self.do_ok(body=bytes(len(BODY)))

    def do_long(self, how, count):
        self.reply(BODY + b"x" * 100_000)

    def do_cut(self, how, count):        # breaks off once, and goes on when asked
        if count == 1:
            self.reply(BODY[:int(how.split("-")[1])], length=len(BODY))
        else:
            self.do_ok()

    def do_norange(self, how, count):    # breaks off once, and then starts anew whatever is asked
        self.reply(BODY[:len(BODY) // 2] if count == 1 else BODY, length=len(BODY))

    def do_badrange(self, how, count):   # answers a range with another one
        if self.headers.get("Range"):
            self.reply(BODY[5:], 206, Content_Range=f"bytes 5-{len(BODY) - 1}/{len(BODY)}")
        elif count == 1:
            self.reply(BODY[:1000], length=len(BODY))
        else:
            self.reply(BODY)

    def do_never(self, how, count):      # breaks off each time, and sends nothing new
        if self.headers.get("Range"):
            self.reply(b"", 206, length=9, Content_Range=f"bytes {len(BODY) // 2}-{len(BODY) - 1}/{len(BODY)}")
        else:
            self.reply(BODY[:len(BODY) // 2], length=len(BODY))


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads, server.seen, server.ranges = True, {}, []
    server.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def _source(server, *ways, size=len(BODY)):
    file = RemoteFile("toy.zip", tuple(f"{server.address}/{way}/file" for way in ways), hashlib.sha256(BODY).hexdigest(), size)
    return dataclasses.replace(SOURCES["kolektor_sdd"], offers=((file,),))


def _assert_whole(folder):
    assert check(folder) == []
    data = load_dataset(folder)
    assert len(data.train) + len(data.calibrate) == 7 and sorted(set(data.kinds)) == ["defect", "good"] and data.labels.sum() == 2
    assert len({path.name for path in (folder / "train/good").iterdir()}) == 7 and not (folder / "train/good/kos01_Part9.jpg").exists()
    data.check()


GOOD = ["ok", "busy", "slow", "redirect", "norange", "badrange", *(f"cut-{cut}" for cut in CUTS)]
BAD = {"status-404": "answers 404", "status-403": "answers 403", "status-500": "answers 500", "timeout": "does not answer in time",
       "loop": "cannot be reached", "short": "other bytes", "wrong": "other bytes", "long": "sends more than", "never": "breaks off"}


@pytest.mark.parametrize("way", GOOD)
def test_a_difficult_server_still_gives_a_whole_data_set(server, tmp_path, way):
    command.get("toy", _source(server, way), tmp_path, patience=QUICK, progress=False)
    _assert_whole(tmp_path / "toy")
    assert [path.name for path in tmp_path.iterdir() if "lock" not in path.name] == ["toy"], "something was left behind"
    if way.startswith("cut"):
        assert server.ranges == [None, f"bytes={way.split('-')[1]}-"], "it did not go on where it broke off"


@pytest.mark.parametrize("way", BAD)
def test_a_bad_server_gives_one_clear_error_and_no_half_data_set(server, tmp_path, way):
    # With the size unknown, a server that stops short and says it is done is found out by the checksum.
    source = _source(server, way, size=None if way == "short" else len(BODY))
    with pytest.raises(DownloadError, match=f"toy.zip: cannot be downloaded .*{BAD[way]}.*--from"):
        command.get("toy", source, tmp_path, patience=QUICK, progress=False)
    assert not (tmp_path / "toy").exists() and not list(tmp_path.rglob("toy.zip"))


@pytest.mark.parametrize("way", BAD)
def test_a_dead_first_mirror_does_no_harm(server, tmp_path, way):
    command.get("toy", _source(server, way, "ok"), tmp_path, patience=QUICK, progress=False)
    _assert_whole(tmp_path / "toy")


def test_no_server_at_all(tmp_path):
    file = RemoteFile("toy.zip", ("http://127.0.0.1:9/file",), "0" * 64)
    with pytest.raises(DownloadError, match="cannot be reached"):
        fetch(file, tmp_path, QUICK, progress=False)


def test_a_second_offer_stands_in_for_the_first(server, tmp_path):
    dead, alive = _source(server, "status-404"), _source(server, "ok")
    command.get("toy", dataclasses.replace(alive, offers=dead.offers + alive.offers), tmp_path, patience=QUICK, progress=False)
    _assert_whole(tmp_path / "toy")


def test_a_later_call_goes_on_with_what_arrived(server, tmp_path):
    source = _source(server, f"cut-{CUTS[5]}")
    with pytest.raises(DownloadError):
        command.get("toy", source, tmp_path, patience=dataclasses.replace(QUICK, tries=0), progress=False)
    command.get("toy", source, tmp_path, patience=QUICK, progress=False)
    _assert_whole(tmp_path / "toy")
    assert server.ranges == [None, f"bytes={CUTS[5]}-"]


def test_a_part_of_another_file_is_thrown_away(server, tmp_path):
    file = _source(server, "ok").offers[0][0]
    (tmp_path / "toy.zip.part").write_bytes(b"something else" * 20)
    assert fetch(file, tmp_path, QUICK, progress=False).read_bytes() == BODY


def test_a_whole_file_is_not_fetched_again_and_a_damaged_one_is(server, tmp_path):
    file = _source(server, "ok").offers[0][0]
    path = fetch(file, tmp_path, QUICK, progress=False)
    fetch(file, tmp_path, QUICK, progress=False)
    assert server.seen == {"/ok/file": 1}
    path.write_bytes(b"damaged")
    assert fetch(file, tmp_path, QUICK, progress=False).read_bytes() == BODY


def test_md5_stands_where_nothing_better_is_published(server, tmp_path):
    file = dataclasses.replace(_source(server, "ok").offers[0][0], checksum="md5:" + hashlib.md5(BODY).hexdigest())
    assert file.is_whole(fetch(file, tmp_path, QUICK, progress=False))
    with pytest.raises(DownloadError, match="other bytes"):
        fetch(dataclasses.replace(file, name="b.zip", checksum="md5:" + "0" * 32), tmp_path, QUICK, progress=False)


def test_many_files_come_side_by_side_and_one_dead_file_stops_them(server, tmp_path):
    digest = hashlib.sha256(BODY).hexdigest()
    files = [RemoteFile(f"a/{i}.zip", (f"{server.address}/ok/{i}",), digest) for i in range(12)]
    assert all(path.read_bytes() == BODY for path in fetch_all(files, tmp_path, QUICK, progress=False))
    with pytest.raises(DownloadError, match="b.zip"):
        fetch_all([*files, RemoteFile("b.zip", (f"{server.address}/status-404/b",), digest)], tmp_path, QUICK, progress=False)


# --- in place, in one step -------------------------------------------------------------------------------------


def test_an_interrupted_build_leaves_nothing_that_looks_whole(tmp_path):
    with pytest.raises(KeyboardInterrupt), building(tmp_path / "toy") as work:
        (work / "train/good").mkdir(parents=True)
        raise KeyboardInterrupt
    assert not (tmp_path / "toy").exists()
    with pytest.raises(InputError, match="another run"), building(tmp_path / "a"), building(tmp_path / "a"):
        pass


def test_check_names_each_bad_file(server, tmp_path):
    folder = command.get("toy", _source(server, "ok"), tmp_path, patience=QUICK, progress=False)
    (folder / "train/good/kos01_Part0.jpg").write_bytes(b"x")
    (folder / "test/good/kos39_Part0.jpg").unlink()
    (folder / "test/good/mine.jpg").write_bytes(b"x")
    assert [problem.split(": ")[1].split(" (")[0] for problem in check(folder)] == ["is missing", "does not belong to the data set", "has changed"]
    assert "is not there" in check(tmp_path / "nowhere")[0]
    (folder / "SHA256SUMS").unlink()
    assert "kos01_Part0.jpg" in check(folder)[0]
    with pytest.raises(InputError, match="is already there"):
        command.get("toy", _source(server, "ok"), tmp_path)


# --- the command -----------------------------------------------------------------------------------------------


def test_the_command(server, tmp_path, capsys):
    sources = {"kolektor_sdd": _source(server, "ok"), "printed_real": SOURCES["printed_real"]}
    to = ["--to", str(tmp_path / "mit Ümlaut")]
    assert command.main(["kolektor_sdd", *to], sources) == 2 and not server.seen
    shown = capsys.readouterr()
    assert "CC BY-NC-SA" in shown.out and "--accept-license" in shown.err and shown.err.count("\n") == 1
    assert command.main(["kolektor_sdd", "--dry-run", *to], sources) == 0 and not server.seen
    assert "/ok/file" in capsys.readouterr().out
    assert command.main(["all", "--accept-license", *to], sources) == 0
    assert command.main(["kolektor_sdd", "--check", *to], sources) == 0
    assert command.main(["kolektor_sdd", "--addresses", *to], sources) == 0
    assert command.main(["kolektor_sdd", "--accept-license", *to], sources) == 1
    assert command.main(["printed_real", *to], sources) == 2 and "ask" in capsys.readouterr().err
    assert command.main(["printed_real", "--check", *to], sources) == 1
    copy = str(tmp_path / "mit Ümlaut" / "kolektor_sdd")
    assert command.main(["printed_real", "--from", copy, *to], sources) == 0
    assert command.main(["printed_real", "--from", str(tmp_path / "nowhere"), "--to", str(tmp_path)], sources) == 1
    assert command.main(["all", "printed_real", "--from", copy, *to], {**sources, "b": sources["kolektor_sdd"]}) == 2


def test_a_copy_may_be_the_archive(tmp_path):
    (tmp_path / "mine.zip").write_bytes(BODY)
    command.get("kolektor_sdd", SOURCES["kolektor_sdd"], tmp_path, copy=tmp_path / "mine.zip")
    _assert_whole(tmp_path / "kolektor_sdd")
    (tmp_path / "mine.zip").write_bytes(BODY[:5000])
    with pytest.raises(InputError, match="mine.zip"):
        command.get("b", SOURCES["kolektor_sdd"], tmp_path, copy=tmp_path / "mine.zip")
    assert not (tmp_path / "b").exists()


def test_mvtec_tile_takes_just_tile_out_of_the_whole_archive_and_counts(tmp_path):
    import tarfile
    picture = io.BytesIO()
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(picture, "PNG")
    source = SOURCES["mvtec_tile"]

    def archive(tiles):
        with tarfile.open(tmp_path / "a.tar.xz", "w:xz") as file:
            for part, count in {"tile/train/good": tiles, "tile/test/good": 33, "tile/test/crack": 17, "tile/test/glue_strip": 18, "tile/test/gray_stroke": 16,
                                "tile/test/oil": 18, "tile/test/rough": 15, "bottle/train/good": 3}.items():
                for i in range(count):
                    for name in [f"{part}/{i:03}.png"] + [f"{part.replace('test', 'ground_truth')}/{i:03}_mask.png"] * ("/test/" in part and "good" not in part):
                        entry = tarfile.TarInfo(name)
                        entry.size = len(picture.getvalue())
                        file.addfile(entry, io.BytesIO(picture.getvalue()))
        return tmp_path / "a.tar.xz"

    folder = command.get("mvtec_tile", source, tmp_path, copy=archive(230))
    assert len(list(folder.rglob("*.png"))) == 230 + 33 + 2 * 84 and check(folder) == []
    with pytest.raises(InputError, match="229 images of train/good, 230 are expected"):
        command.get("b", source, tmp_path, copy=archive(229))


# --- the real sets, where they lie beside the checkout -----------------------------------------------------------


@pytest.mark.parametrize(("name", "copy", "counts"), [
    ("magnetic_tile", "magnetic_tile_raw", (760, 192, 388)), ("kolektor_sdd", "kolektor_sdd", (250, 83, 50)),
    ("mvtec_tile_192", "mvtec_tile_192", (20, 13, 84))])
def test_the_real_sets_are_built_from_a_copy(tmp_path, name, copy, counts):
    if not (SHARED / copy).is_dir():
        pytest.skip(f"no copy of {name} beside the checkout")
    folder = command.get(name, SOURCES[name], tmp_path, copy=SHARED / copy)
    data = load_dataset(folder)
    assert (len(data.train) + len(data.calibrate), int((~data.labels).sum()), int(data.labels.sum())) == counts
    assert check(folder) == []
    if (SHARED / copy / "SHA256SUMS").is_file():
        sums = lambda path: {line.replace("  ./", "  ") for line in path.read_text().splitlines() if "SOURCE" not in line}
        assert sums(folder / "SHA256SUMS") == sums(SHARED / copy / "SHA256SUMS")


def test_splits_are_files_in_the_repository():
    stems = (magnetic_tile.HERE / "splits/magnetic_tile_test_good.txt").read_text().split()
    free = {Path(file.name).stem for file in magnetic_tile.FILES if "MT_Free" in file.name}
    assert len(stems) == len(set(stems)) == 192 and set(stems) < free and len(free) == 952 and len(magnetic_tile.FILES) == 2688
    assert (kolektor_sdd.HERE / "splits/kolektor_sdd_test_good.txt").read_text().split() == [f"kos{i}" for i in range(39, 51)]
    assert {Path(file.name).stem for file in magnetic_tile.FILES} >= set(magnetic_tile.EMPTY_MASKS)
    assert all(address.startswith("https://") for source in SOURCES.values() for files in source.offers for file in files for address in file.addresses)
