"""The paper's own numbers, from its first author's slides and its abstract, all in `paper.csv`."""

from pathlib import Path

import pandas as pd

from radar_nb.storage.errors import InputError

PAPER = Path(__file__).with_name("paper.csv")
METRICS = ("accuracy", "precision", "recall", "f1")  # of each method in the tables of results


def paper_numbers() -> pd.DataFrame:
    """Every number, one a line: `table`, `row`, `metric`, `value`, `source` (a slide, or the abstract)."""
    return pd.read_csv(PAPER, keep_default_na=False)


def paper_tables() -> list[str]:
    """The names of the tables: `data`, `mvtec`, `printed`, `tile`, `features`, `claims`, `recipe`."""
    return list(paper_numbers()["table"].unique())


def paper_table(name: str) -> pd.DataFrame:
    """One table of the paper, as it is printed there.

    Args:
        name: `printed` or `tile`: the results of six methods, by the paper's own names (Table I, slides 14
            and 15); `features`: RADAR's two norms, called current, against other descriptors, on tile
            (slide 17); `data`: images of each printing angle (slide 12); `mvtec`: images of MVTec AD's tile
            as published; `claims`: by how much F1 leads (abstract); `recipe`: the numbers of the recipe.

    Returns:
        a line for each method (or kind of image, data set, setting), a column for each metric; shares are
        between 0 and 1, with two digits; counts are whole numbers.

    Raises:
        InputError: there is no such table.
    """
    numbers = paper_numbers()
    chosen = numbers[numbers["table"] == name]
    if chosen.empty:
        raise InputError(f"table={name!r}: choose one of {', '.join(paper_tables())}")
    table = chosen.pivot(index="row", columns="metric", values="value")
    table = table.loc[chosen["row"].unique(), chosen["metric"].unique()]
    whole = (table % 1 == 0).all(axis=None)
    return (table.astype(int) if whole else table).rename_axis(index=None, columns=None)


def published_size(name: str) -> tuple[int, int]:
    """Defective and normal test images behind a table, as published: 44 + 40 for `printed` (slide 12), MVTec
    AD's 84 + 33 for `tile` and `features`.

    Raises:
        InputError: no such table of results.
    """
    source = {"printed": "data", "tile": "mvtec", "features": "mvtec"}.get(name)
    if source is None:
        raise InputError(f"table={name!r}: choose printed, tile or features")
    counts = paper_table(source).sum(axis=1)
    return int(counts["test defective"]), int(counts["test normal"])
