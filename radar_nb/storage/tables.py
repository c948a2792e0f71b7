"""Tables on disk: CSV files, read and written with pandas."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from radar_nb.storage.errors import InputError
from radar_nb.storage.whole import whole_file


def write_table(path: str | Path, rows: pd.DataFrame | Sequence[Mapping[str, object]]) -> None:
    """Write a DataFrame without its index, or rows with the same keys. The file is whole or not there.

    Raises:
        InputError: there are no rows; StorageError: no room, or no right to write there.
    """
    if not isinstance(rows, pd.DataFrame):
        rows = pd.DataFrame(list(rows), dtype=object)  # whole numbers stay whole where a value is missing
    if not len(rows.columns):
        raise InputError(f"{path}: no rows to write; measure something first")
    with whole_file(path) as work:
        rows.to_csv(work, index=False, lineterminator="\n", encoding="utf-8")


def read_table(path: str | Path) -> pd.DataFrame:
    """Read what `write_table` wrote, number for number. Empty cells are missing values.

    A column of whole numbers in which some are missing is of pandas' type Int64.

    Raises:
        InputError: there is no such file, or it is no table.
    """
    try:
        table = pd.read_csv(path, dtype_backend="numpy_nullable",
                            keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the folder's name") from None
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV table ({type(error).__name__}); write it again") from None
    return table.astype({name: _plain(column) for name, column in table.items()})


def _plain(column: pd.Series) -> object:
    """NumPy's type where it can hold the column."""
    kind = column.dtype.kind if hasattr(column.dtype, "kind") else "O"
    if kind == "i" and column.hasnans:
        return column.dtype
    return {"i": "int64", "f": "float64"}.get(kind, object)
