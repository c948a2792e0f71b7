"""Fuzz one of the targets for as long as you like; not part of `make test`.

    pip install atheris
    python tests/fuzz/fuzz.py image -max_total_time=60            # seconds; other options are libFuzzer's
    python tests/fuzz/fuzz.py image crash-0123…                   # again with what it found

What it finds becomes an entry of `FOUND` in `tests/test_fuzz.py`.
"""

import sys
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).parent)]
with atheris.instrument_imports(include=["radar_nb", "data_download", "PIL", "tifffile"]):
    import targets


def main() -> None:
    """Write the target's seeds as its corpus, then fuzz."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in targets.TARGETS:
        sys.exit(f"python tests/fuzz/fuzz.py TARGET [options]; TARGET is one of {', '.join(targets.TARGETS)}")
    corpus = targets.FOLDER / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(targets.TARGETS[name][1]()):
        (corpus / str(number)).write_bytes(seed)
    replay = [argument for argument in sys.argv[2:] if not argument.startswith("-")]
    atheris.Setup([sys.argv[0], *sys.argv[2:], *([] if replay else [str(corpus)])], lambda data: targets.survives(name, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
