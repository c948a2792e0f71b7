"""The reviewer's map: from each claim to the paper's number, ours, the command, the file, and a re-run.

`python -m radar_nb claims` writes it to docs/reviewing.md; `python -m radar_nb check-claims` re-runs it.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import jinja2

from radar_nb.experiments.checks import CHECKS, Rerun
from radar_nb.experiments.evidence import Evidence
from radar_nb.storage.tables import read_table, write_table
from radar_nb.storage.whole import write_text


def run_checks(evidence: Evidence, quick: bool = False) -> Iterator[dict]:
    """Re-run the cheap checks; one row each, as they are done.

    Args:
        evidence: the tables to check.
        quick: only those of seconds.

    Yields:
        `check`, `expected`, `value`, `tolerance`, `inside`, `seconds`.
    """
    with tempfile.TemporaryDirectory() as folder:
        again = Rerun(evidence, folder)
        for check in CHECKS:
            if check.rerun and (check.quick or not quick):
                began, expected = time.perf_counter(), check.expected(evidence)
                value = check.rerun(again)
                inside = bool(abs(value - expected) <= check.tolerance + 1e-9)
                yield {"check": check.name, "expected": round(float(expected), 4),
                       "value": round(float(value), 4),
                       "tolerance": check.tolerance, "inside": inside,
                       "seconds": round(time.perf_counter() - began, 1)}


def write_reviewing(evidence: Evidence, path: Path) -> None:
    """Write the map as Markdown, with the last re-run of `checks.csv`, if there is one."""
    checks = evidence.folder / "checks.csv"
    done = read_table(checks).set_index("check").to_dict("index") if checks.is_file() else {}
    rows = [{"check": check, "ours": check.ours(evidence), "expected": check.expected(evidence),
             "done": done.get(check.name)} for check in CHECKS]
    seconds = {quick: sum(row["done"]["seconds"] for row in rows
                          if row["done"] and (row["check"].quick or not quick)) for quick in (True, False)}
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - Markdown, not HTML
    template = environment.from_string((Path(__file__).parent / "reviewing.md.jinja").read_text())
    write_text(path, template.render(rows=rows, quick=seconds[True], full=seconds[False]))


def check_claims(results: str | Path, quick: bool = False, out: str | Path | None = None) -> bool:
    """`run_checks` of a folder of tables, printed as it goes, written to `out`; whether all are inside."""
    rows = []
    for row in run_checks(Evidence(results), quick):
        rows.append(row)
        print(f"{'inside ' if row['inside'] else 'OUTSIDE'} {row['check']:16} {row['value']:8.3f}  "
              f"expected {row['expected']:.3f} +- {row['tolerance']}  {row['seconds']:5.0f} s", flush=True)
    if out:
        write_table(Path(out), rows)
    outside = [row["check"] for row in rows if not row["inside"]]
    print(f"{len(rows) - len(outside)} of {len(rows)} inside tolerance"
          + (f"; outside: {', '.join(outside)}" if outside else ""))
    return not outside
