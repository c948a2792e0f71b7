"""Download files: several addresses each, resumed where it broke off, checked before anyone sees them."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests
import urllib3
from tqdm import tqdm

from radar_nb.storage.errors import InputError

pooch.get_logger().setLevel("ERROR")


class DownloadError(InputError):
    """A file cannot be had. The message names it, says what each address answered, and what to do."""


@dataclass(frozen=True)
class RemoteFile:
    """One file to download.

    `addresses` are tried in order. `checksum` is the SHA-256 in hexadecimal, or `md5:` and the MD5 where no
    better is published. `size` in bytes, if known: for `--dry-run`, and no server can send more.
    """

    name: str
    addresses: tuple[str, ...]
    checksum: str
    size: int | None = None

    def is_whole(self, path: Path) -> bool:
        """Whether `path` holds this file, by its checksum."""
        algorithm, _, digest = self.checksum.rpartition(":")
        return path.is_file() and pooch.file_hash(str(path), alg=algorithm or "sha256") == digest.lower()


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, and how many times to come back."""

    connect: float = 10.0    # seconds until a server must have answered
    read: float = 30.0       # seconds without a single byte until it counts as gone
    tries: int = 4           # an address, when the fault may pass: no connection, cut off, too busy
    pause: float = 1.0       # seconds before the second try; doubled before each one after


def fetch(file: RemoteFile, folder: Path, patience: Patience = Patience(), progress: bool = True) -> Path:
    """Download one file into `folder`, or find it whole there.

    What has arrived is kept in `<name>.part` and gone on with, even by a later call. A file with the wrong
    bytes is thrown away, never kept under its name.

    Returns:
        the path of the whole file, its checksum compared.

    Raises:
        DownloadError: no address has it.
    """
    target, answers = folder / file.name, []
    target.parent.mkdir(parents=True, exist_ok=True)
    for address in file.addresses:
        resuming = target.with_name(target.name + ".part").exists()
        for _ in range(1 + resuming):  # a part of another file: once more, from the first byte
            try:
                downloader = _Downloader(file, target, patience, progress)
                return Path(pooch.retrieve(address, file.checksum, fname=target.name, path=target.parent,
                                           downloader=downloader))
            except (requests.RequestException, DownloadError) as error:
                problem = _in_words(error)
                break
            except ValueError:  # from pooch: it has thrown the file away
                problem = "sent other bytes than its checksum promises"
        answers.append(f"{address} {problem}")
    raise DownloadError(f"{file.name}: cannot be downloaded ({'; '.join(answers)}); try again later, or get "
                        "it by hand and give it with --from")


def fetch_all(files: Sequence[RemoteFile], folder: Path, patience: Patience = Patience(),
              progress: bool = True, workers: int = 8) -> list[Path]:
    """`fetch` for many files, several at a time; the first error stops the rest."""
    if len(files) == 1:
        return [fetch(files[0], folder, patience, progress)]
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(fetch, file, folder, patience, False) for file in files]
        try:
            return [job.result() for job in tqdm(jobs, "downloading", unit="file", disable=not progress)]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def answers(address: str, patience: Patience = Patience()) -> str:
    """Ask an address for its headers alone: "ok", or what is wrong, in words."""
    try:
        response = requests.head(address, allow_redirects=True, timeout=(patience.connect, patience.read))
        response.raise_for_status()
        return "ok"
    except requests.RequestException as error:
        return _in_words(error)


def _in_words(error: Exception) -> str:
    if isinstance(error, requests.HTTPError):
        return f"answers {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "does not answer in time"
    return str(error) if isinstance(error, DownloadError) else "cannot be reached, or breaks off"


class _Downloader:
    """What pooch calls to get the bytes. It goes on with `<name>.part`, and comes back when a fault may
    pass.
    """

    def __init__(self, file: RemoteFile, target: Path, patience: Patience, progress: bool):
        self.file, self.patience, self.progress = file, patience, progress
        self.part = target.with_name(target.name + ".part")

    def __call__(self, url: str, output_file: str | os.PathLike, pooch: object) -> None:
        self.retry(lambda: self.attempt(url))
        os.replace(self.part, output_file)

    def retry(self, attempt: Callable[[], None]) -> None:
        """Call until it works: at most `tries` times in a row without a new byte, and longer pauses each
        time.
        """
        tried, had = 1, self.had()
        while True:
            try:
                return attempt()
            except requests.RequestException as error:
                status = error.response.status_code if error.response is not None else 500
                tried, had = (1, self.had()) if self.had() > had else (tried + 1, had)
                if tried > self.patience.tries or (status < 500 and status not in (408, 429)):
                    raise
                time.sleep(self.patience.pause * 2 ** (tried - 1))

    def had(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def attempt(self, url: str) -> None:
        had = self.had()
        if self.file.size and had == self.file.size:
            return
        headers = {"Range": f"bytes={had}-",
                   "Accept-Encoding": "identity"} if had else {"Accept-Encoding": "identity"}
        with requests.get(url, headers=headers, stream=True,
                          timeout=(self.patience.connect, self.patience.read)) as response:
            if response.status_code == 416 or (had and not self.goes_on(response, had)):
                self.part.unlink()
                had = 0
                if response.status_code != 200:
                    raise requests.ConnectionError("the server knows no such range", request=response.request)
            response.raise_for_status()
            length = response.headers.get("Content-Length")
            self.receive(response, had, had + int(length) if length and length.isdigit() else None)

    def goes_on(self, response: requests.Response, had: int) -> bool:
        """Whether the server sends what follows the bytes we have, and not the file from its start."""
        range_sent = response.headers.get("Content-Range", "")
        follows = response.status_code == 206 and range_sent.startswith(f"bytes {had}-")
        return response.status_code >= 400 or follows

    def receive(self, response: requests.Response, had: int, whole: int | None) -> None:
        most = self.file.size or float("inf")
        bar = tqdm(total=whole, initial=had, unit="B", unit_scale=True, desc=self.file.name,
                   disable=not self.progress)
        with self.part.open("ab") as out, bar:
            try:
                # What is there: when it breaks off, nothing that came is lost.
                while chunk := response.raw.read1(1 << 16):
                    had += len(chunk)
                    if had > most:
                        break
                    out.write(chunk)
                    bar.update(len(chunk))
            except urllib3.exceptions.HTTPError as error:
                raise requests.ConnectionError(str(error), request=response.request) from None
        if had > most:
            self.part.unlink()
            raise DownloadError(f"sends more than the {most} bytes that the file has")
        if whole is not None and had != whole:
            raise requests.ConnectionError("broken off", request=response.request)
