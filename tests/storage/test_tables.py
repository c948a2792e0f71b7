"""Tables come back number for number, and are whole or not there."""

import numpy as np
import pandas as pd
import pytest

from radar_nb.storage.errors import InputError
from radar_nb.storage.places import RESULTS
from radar_nb.storage.tables import read_table, write_table

STORED = [*RESULTS.glob("*.csv"), *(RESULTS / "images").glob("*.csv")]


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.name)
def test_a_stored_table_is_rewritten_byte_for_byte(path, tmp_path):
    write_table(tmp_path / "again.csv", read_table(path))
    assert (tmp_path / "again.csv").read_bytes() == path.read_bytes()


def test_every_number_comes_back(tmp_path, rng):
    x = rng.random(1000) * 10.0 ** rng.integers(-20, 20, 1000)
    table = pd.DataFrame({"x": x, "n": np.arange(1000), "s": "a,b"})
    write_table(tmp_path / "t.csv", table)
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.csv"), table, check_dtype=False, check_exact=True)


def test_whole_numbers_stay_whole_where_one_is_missing(tmp_path):
    write_table(tmp_path / "t.csv", [{"n": 1, "x": 1.0, "s": "None"}, {"n": None, "x": None, "s": ""}])
    assert (tmp_path / "t.csv").read_text() == "n,x,s\n1,1.0,None\n,,\n"
    table = read_table(tmp_path / "t.csv")
    assert table["n"].dtype == "Int64" and table["x"].dtype == float and table["s"][0] == "None"
    assert table.iloc[1].isna().all()


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n3,4,5\n", b"\xff\xfe\x00"])
def test_what_is_no_table_is_one_clear_line(content, tmp_path):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match="t.csv: not a CSV table"):
        read_table(tmp_path / "t.csv")
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(InputError, match="no rows to write"):
        write_table(tmp_path / "none.csv", [])
