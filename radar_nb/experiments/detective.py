"""Read a published table like a detective: which counts of images fit the numbers that were printed?

Accuracy, precision, recall and F1 are four views of two counts: the defective images that were found (true
positives) and the normal ones that raised a false alarm (false positives). Test sets are small, so all pairs
of counts can be tried, and often exactly one gives the printed digits. It tells what the table leaves out,
above all the false-alarm rate.

Whole numbers are compared, never floats. Half a unit of the last digit may have been rounded either way: up,
to the even digit, or as a binary fraction happens to fall.
"""

from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np
import pandas as pd

from radar_nb.experiments.paper_table import METRICS
from radar_nb.storage.errors import InputError

LARGEST, LARGEST_SEARCH = 2000, 200  # images of one kind: in one test set, and where all sizes are tried
Row = Mapping[str, float] | pd.Series


def tables_that_fit(printed: Row | pd.DataFrame, positives: int, negatives: int,
                    digits: int = 2) -> pd.DataFrame:
    """Every confusion table of one size that gives the printed numbers.

    Args:
        printed: one row, `{"accuracy": 0.82, "recall": 0.93}`, or a DataFrame of rows, such as
            `paper_table("printed")`. Any of accuracy, precision, recall and f1, as shares; what was not
            printed is left out. NaN for precision or f1 says that it is undefined: nothing was called
            anomalous. (A precision of 0 may mean that too, as scikit-learn prints it.)
        positives: number of defective test images; negatives: of normal ones.
        digits: after the point, as printed.

    Returns:
        a line for each table, with the row's name as index: the four counts, and accuracy, precision, recall,
        f1 and false_alarm_rate without rounding.

    Raises:
        InputError: no table of this size fits a row, or an argument that cannot be; the message names it.
    """
    _check_sizes(positives, negatives, LARGEST)
    found = []
    for name, row in _rows(printed):
        true, false, _ = _search(_whole(row, digits, name), positives, np.array([negatives]), digits)
        if not len(true):
            said = ", ".join(f"{metric} {value:.{digits}f}" for metric, value in row.items())
            raise InputError(f"{name}: no table of this size fits: {positives} defective + {negatives} "
                             f"normal images never give {said}; look for a misprint, or try other sizes "
                             "with sizes_that_fit")
        found.append(_measured(true, false, positives, negatives, [name] * len(true)))
    return pd.concat(found)


def number_of_tables(printed: Row | pd.DataFrame, positives: int, negatives: int,
                     digits: int = 2) -> pd.Series:
    """How many confusion tables of one size fit each printed row, 0 where none does; see
    `tables_that_fit`."""
    _check_sizes(positives, negatives, LARGEST)
    rows = {name: _whole(row, digits, name) for name, row in _rows(printed)}
    size = np.array([negatives])
    counts = {name: len(_search(row, positives, size, digits)[0]) for name, row in rows.items()}
    return pd.Series(counts, name=f"tables of {positives} + {negatives}")


def sizes_that_fit(printed: Row | pd.DataFrame, positives: int = 120, negatives: int = 80,
                   digits: int = 2) -> pd.DataFrame:
    """Every size of the test set, up to `positives` defective + `negatives` normal images, that fits all.

    Returns:
        a line for each size: positives, negatives, and for each row how many confusion tables fit it.

    Raises:
        InputError: no size fits all rows, or as `tables_that_fit`.
    """
    _check_sizes(positives, negatives, LARGEST_SEARCH)
    rows = {name: _whole(row, digits, name) for name, row in _rows(printed)}
    sizes = []
    for number in range(1, positives + 1):
        left, counts = np.arange(1, negatives + 1), {}
        for name, row in rows.items():  # each row leaves fewer sizes to the next
            counts[name] = np.bincount(_search(row, number, left, digits)[2], minlength=negatives + 1)
            left = np.flatnonzero(counts[name])
        sizes += [{"positives": number, "negatives": int(size)}
                  | {name: int(counts[name][size]) for name in rows} for size in left]
    if not sizes:
        raise InputError(f"{', '.join(rows)}: no table of any size up to {positives} defective + "
                         f"{negatives} normal images fits all of these; look for a misprint, or for rows "
                         "of different tests")
    return pd.DataFrame(sizes)


def trivial_rows(positives: int, negatives: int) -> pd.DataFrame:
    """What it takes no method to reach: calling everything anomalous, and a coin that calls as many anomalous
    as there are (its expected counts). Columns as `tables_that_fit`."""
    _check_sizes(positives, negatives, LARGEST)
    called = np.array([1.0, positives / (positives + negatives)])
    return _measured(called * positives, called * negatives, positives, negatives,
                     ["everything anomalous", "a coin at the prevalence"])


def _search(row: dict[str, float], positives: int, negatives: np.ndarray,
            digits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True positives, false positives and negatives of all tables that fit; `negatives`: the sizes to try."""
    true = np.arange(positives + 1)
    if "recall" in row:
        true = true[_rounds_to(row["recall"], true, positives, digits)]
    largest = negatives.max(initial=-1)  # no sizes left: no tables
    true, false = (grid.ravel() for grid in np.meshgrid(true, np.arange(largest + 1), indexing="ij"))
    keep = np.ones(len(true), bool)
    if "precision" in row:
        keep &= _rounds_to(row["precision"], true, true + false, digits)
    if "f1" in row:
        nothing_called = np.isnan(row["f1"])
        below = true + false if nothing_called else positives + true + false
        keep &= _rounds_to(row["f1"], 2 * true, below, digits)
    true, false = true[keep, None], false[keep, None]
    keep = np.broadcast_to(false <= negatives, (len(true), len(negatives)))
    if "accuracy" in row:
        keep = keep & _rounds_to(row["accuracy"], true + negatives - false, positives + negatives, digits)
    pair, size = np.nonzero(keep)
    return true[pair, 0], false[pair, 0], negatives[size]


def _rounds_to(printed: float, above: np.ndarray, below: np.ndarray | int, digits: int) -> np.ndarray:
    """Where the fraction `above / below` may be printed as `printed`, in units of the last digit."""
    if np.isnan(printed):
        return below == 0
    near = np.abs(2 * 10**digits * above - 2 * int(printed) * below) <= below
    return near & ((below > 0) | (printed == 0))


def _measured(true: np.ndarray, false: np.ndarray, positives: int, negatives: int,
              names: list[str]) -> pd.DataFrame:
    with np.errstate(invalid="ignore"):  # precision of nothing is undefined
        precision = true / (true + false)
    return pd.DataFrame({
        "true_positives": true, "false_positives": false, "false_negatives": positives - true,
        "true_negatives": negatives - false, "accuracy": (true + negatives - false) / (positives + negatives),
        "precision": precision, "recall": true / positives, "f1": 2 * true / (positives + true + false),
        "false_alarm_rate": false / negatives}, index=names)


def _rows(printed: Row | pd.DataFrame) -> list[tuple[str, dict]]:
    """The rows by name; a single one is called `row`, or as its Series is."""
    if isinstance(printed, pd.DataFrame):
        if printed.empty or not printed.index.is_unique:
            raise InputError(f"rows: {len(printed)}, some have the same name or none; name each differently")
        return [(str(name), dict(row)) for name, row in printed.iterrows()]
    if not isinstance(printed, (Mapping, pd.Series)):
        raise InputError(f"printed: {type(printed).__name__}; give a row such as {{'recall': 0.93}}, "
                         "or a DataFrame of rows")
    return [(str(getattr(printed, "name", None) or "row"), dict(printed))]


def _whole(row: dict, digits: int, name: str) -> dict[str, float]:
    """The printed numbers in units of the last digit."""
    if isinstance(digits, bool) or not isinstance(digits, Integral) or not 1 <= digits <= 9:
        raise InputError(f"digits={digits!r}: give how many were printed after the point, 1 to 9")
    if not row or set(row) - set(METRICS):
        found = ", ".join(map(str, row)) or "no number"
        raise InputError(f"{name}: {found}; give some of {', '.join(METRICS)}")
    return {metric: _in_last_digits(metric, value, digits, f"{name}, {metric}={value!s}")
            for metric, value in row.items()}


def _in_last_digits(metric: str, value: object, digits: int, said: str) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise InputError(f"{said}: not a number; give a share between 0 and 1")
    value = float(value)
    if np.isnan(value) and metric in ("precision", "f1"):
        return float("nan")
    if not 0 <= value <= 1:
        raise InputError(f"{said}: give a share between 0 and 1 (0.82, not 82 percent), or leave it out")
    units = value * 10**digits
    if abs(units - round(units)) > 1e-4:
        raise InputError(f"{said}: more than {digits} digits; say how many with digits=")
    return round(units)


def _check_sizes(positives: int, negatives: int, largest: int) -> None:
    for name, count in (("positives", positives), ("negatives", negatives)):
        if isinstance(count, bool) or not isinstance(count, Integral) or not 1 <= count <= largest:
            raise InputError(f"{name}={count!r}: give a whole number of images, 1 to {largest}")
