"""A little of what `tests/fuzz/fuzz.py` does at length: damaged and made-up input gives an answer or an InputError of one line."""

import base64
import sys
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radar_nb.storage.places import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "tests" / "fuzz"))
import targets

# What fuzzing has found, for good.
FOUND: list[tuple[str, bytes]] = [
    # a TIFF file of 227 bytes that promises 15 million rows
    ("image", base64.b64decode("BElJKgAIAAAACgAAAQQAAQAAABQAAAABAQQAAQAAABQA4wAAAAMAAQAAACAAAAADAQMAAQAAAAEAAAAGAQMAAQAAAAEIAAARAQUAAQAAAIIAAAAWAQQAAQAAAAIAAAAAAHgAfEIAAIBCAAAAAAAAAIBAAACgQAAAwEAAAOBAAAAAQQAAEEEAACBBAAAwQcxCAADOQgAA0EIAANJCAADUQgAA1kIAANhCAADaQgAA3EIAAOLFAADkQgAA5kIAAOhCAADqQgAA7EIAAO5CAADwQgAA8kIAAEIA9kL0UgAAALAAD0M=")),
    # a zip archive with a member that has no name
    ("archive", base64.b64decode("UEsDBBQAAAAIAFG1eF3RidJCCgAAAGQAAAAHAAAAYS9iLnR4dMtIzcnJz6AtAQBQSwECFAMUAAAACABRtXhd0YnSQgoAAABkAAAABwAAAAAAAAAAAAAAgAEAAC9hAABiLnR4dFBLBQYAAAAAAQABADUAAAAvAAAAAAA=")),
    # arguments with a line separator, a line break, a terminal's escape code
    ("command_line", targets.words("run", "\u2028")),
    ("command_line", targets.words("run", "é\n")),
    ("command_line", b"run\n\x1b[2J!"),
]


def damaged(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """Real input with bytes changed, cut, or put in; or none of it real."""
    def change(seed: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
        for where, count, new in edits:
            where %= len(seed) + 1
            seed = seed[:where] + new + seed[where + count:]
        return seed

    edits = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 40), st.binary(max_size=8)), min_size=1, max_size=4)
    return st.builds(change, st.sampled_from(seeds), edits) | st.binary(max_size=200)


@pytest.mark.parametrize("name", targets.TARGETS)
def test_damaged_input_never_surprises(name):
    seeds = targets.TARGETS[name][1]()

    @settings(max_examples=15 if "config" in name else 60, deadline=None, database=None, derandomize=True,
              suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(damaged(seeds))
    def give(data):
        targets.survives(name, data)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in seeds:
            targets.survives(name, seed)
        give()


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_fuzzing_found_stays_mended(name, data):
    targets.survives(name, data)
