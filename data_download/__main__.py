"""`python -m data_download --help`. Exit status 0, 1 if something cannot be downloaded or is damaged, 2 for
wrong use.
"""

import argparse
import shutil
import sys
from pathlib import Path

from data_download.fetch import DownloadError, Patience, answers, fetch_all
from data_download.place import building, check
from data_download.sources import SOURCES, Source, unpack
from radar_nb.data.named import load_dataset
from radar_nb.storage.errors import InputError
from radar_nb.storage.places import data_folder


class WrongUse(InputError):
    """The call cannot work as it was made; exit status 2."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m data_download",
                                     description="Download real data sets, check them and sort them.",
                                     epilog="They go to the folder of RADAR_DATA, or to the cache folder.")
    parser.add_argument("names", nargs="+", choices=[*SOURCES, "all"], metavar="NAME",
                        help=f"{', '.join(SOURCES)}, or all that can be fetched")
    parser.add_argument("--from", dest="copy", type=Path, metavar="PATH",
                        help="a copy that you have: an archive or a folder; nothing is downloaded")
    parser.add_argument("--accept-license", action="store_true",
                        help="you have read the licence that is printed, and accept it")
    parser.add_argument("--to", type=Path, metavar="FOLDER",
                        help="where to put the data sets (default: RADAR_DATA, or the cache folder)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true",
                      help="print what would be downloaded, from where, and how much")
    what.add_argument("--check", action="store_true",
                      help="check the files that are there, and name each bad one")
    what.add_argument("--addresses", action="store_true",
                      help="check whether each address still answers; download nothing")
    return parser


def get(name: str, source: Source, folder: Path, copy: Path | None = None, patience: Patience = Patience(),
        progress: bool = True) -> Path:
    """Build `folder/name` from the network, or from the user's `copy`.

    What was downloaded stays in `folder/.<name>.downloads` until the data set is whole, so that a cut-off
    call is gone on with.

    Raises:
        InputError: the data set is there already; nothing can be downloaded; a file is missing or wrong.
    """
    downloads = folder / f".{name}.downloads"
    with building(folder / name) as work:
        unpacked = work.with_name(f"{work.name}-unpacked")
        shutil.rmtree(unpacked, ignore_errors=True)
        try:
            item = copy or _download(name, source, downloads, patience, progress)
            source.build(unpack(item, unpacked, source), work)
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)
    shutil.rmtree(downloads, ignore_errors=True)
    return folder / name


def _download(name: str, source: Source, downloads: Path, patience: Patience, progress: bool) -> Path:
    """The first offer that can be had whole: one archive, or a folder of many files."""
    if not source.offers:
        raise WrongUse(f"{name}: {source.help}")
    problems = []
    for files in source.offers:
        try:
            paths = fetch_all(files, downloads, patience, progress)
            return paths[0] if len(paths) == 1 else downloads
        except DownloadError as error:
            problems.append(str(error))
    raise DownloadError("; ".join(problems))


def _describe(name: str, source: Source) -> None:
    print(f"{name}: {source.title}\n  licence   {source.licence}\n  cite      {source.citation}\n  home     "
          f" {source.homepage}")


def _dry_run(source: Source, target: Path) -> None:
    for number, files in enumerate(source.offers):
        print(f"  {'or   ' if number else 'fetch'}     {len(files)} file{'s' * (len(files) > 1)}, "
              f"{source.sizes[number]}")
        for address in files[0].addresses:
            print(f"  from      {address}{' …' if len(files) > 1 else ''}")
    print(f"  to        {target}" if source.offers else f"  {source.help}")


def _do(name: str, source: Source, folder: Path, args: argparse.Namespace) -> bool:
    """One data set; returns whether all is well."""
    target = folder / name
    if args.check:
        problems = check(target)
        print("\n".join(problems) if problems else f"{target}: whole; {load_dataset(target)}")
        return not problems
    if args.addresses:
        # Of many files of one host, the first speaks for all.
        found = {address: answers(address) for files in source.offers for address in files[0].addresses}
        for address, answer in found.items():
            print(f"{name}: {address}: {answer}")
        return not found or "ok" in found.values()
    _describe(name, source)
    if args.dry_run:
        _dry_run(source, target)
        return True
    if not (source.commercial or args.accept_license or args.copy) and source.offers:
        raise WrongUse(f"{name}: not for commercial use; read the licence above, then call again with "
                       "--accept-license")
    print(f"  ready     {load_dataset(get(name, source, folder, args.copy))}\n  use it    make run "
          f"DATASET={name}")
    return True


def main(arguments: list[str] | None = None, sources: dict[str, Source] = SOURCES) -> int:
    """Run the command; returns the exit status."""
    args = _parser().parse_args(arguments)
    names = [name for name in sources if sources[name].offers] if "all" in args.names else args.names
    if args.copy and len(names) > 1:
        print("python -m data_download: --from is for one data set; give one name", file=sys.stderr)
        return 2
    folder, status = (args.to or data_folder()).expanduser().resolve(), 0
    for name in names:
        try:
            status = max(status, 0 if _do(name, sources[name], folder, args) else 1)
        except InputError as error:
            print(f"python -m data_download: {error}", file=sys.stderr)
            status = max(status, 2 if isinstance(error, WrongUse) else 1)
    return status


if __name__ == "__main__":
    sys.exit(main())
