"""`CLAIMS.md`: the claims with our verdicts, and the comparison of every data set, from `results/`."""

import json
from dataclasses import asdict
from pathlib import Path

import jinja2
import pandas as pd

from radar_nb.experiments.beside import STAND_INS, beside_ours
from radar_nb.experiments.claims import Claim, make_claims
from radar_nb.experiments.detective import trivial_rows
from radar_nb.experiments.evidence import Evidence
from radar_nb.experiments.methods import METHODS
from radar_nb.storage.whole import write_text

# Columns of the comparison: with intervals, and means over seeds without.
INTERVALS = {"F1": "f1", "image AUROC": "image_auroc", "recall at 5 %": "recall_at_5"}
MEANS = {"precision": "precision", "recall": "recall", "accuracy": "accuracy", "AP": "average_precision",
         "pixel AUROC": "pixel_auroc", "AUPRO": "aupro"}


def write_claims(evidence: Evidence, path: Path) -> list[Claim]:
    """Write the report in Markdown: claims, the comparison on every data set, and how it was measured."""
    claims = make_claims(evidence)
    provenance = json.loads((evidence.folder / "provenance.json").read_text())
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - Markdown, not HTML
    template = environment.from_string((Path(__file__).parent / "claims.md.jinja").read_text())
    tables = {name: comparison_table(evidence, name) for name in evidence.datasets()}
    beside = {name: beside_ours(evidence, name).reset_index(names="row").map(escape) for name in STAND_INS}
    write_text(path, template.render(claims=[asdict(claim) for claim in claims], datasets=tables,
                                     beside=beside, stand_ins={name: STAND_INS[name][0] for name in beside},
                                     missing=not_measured(evidence), provenance=provenance))
    return claims


def escape(text: str) -> str:
    """Text for a cell of a Markdown table."""
    return text.replace("|", "\\|")


def not_measured(evidence: Evidence) -> list[str]:
    """Labels of the methods that were not measured on any data set."""
    known = set(evidence.rows["method"])
    return [method.label for name, method in METHODS.items() if name not in known]


def comparison_table(evidence: Evidence, dataset: str) -> pd.DataFrame:
    """One row for each method, as text, and two trivial rows for the same number of images.

    F1, image AUROC and recall at 5 % false alarms come with intervals; the others are means over seeds.
    """
    rows = [_row(evidence, dataset, name) for name in evidence.methods(dataset)]
    return pd.DataFrame([*rows, *_trivial(evidence, dataset)]).fillna("")


def _row(evidence: Evidence, dataset: str, name: str) -> dict[str, str]:
    row = {"method": METHODS[name].label, "seeds": str(len(evidence.seeds(dataset, name)))}
    row |= {title: str(evidence.interval(dataset, name, metric)) for title, metric in INTERVALS.items()}
    for title, metric in MEANS.items():
        values = evidence.over_seeds(dataset, name, metric)
        row[title] = f"{values.mean():.3f}" if len(values) else ""
    timing = evidence.timing()
    timed = name in timing.index
    row["ms"] = f"{timing.loc[name, 'ms_median']:.0f}" if timed else ""
    row["GFLOP"] = f"{timing.loc[name, 'gflop']:.1f}" if timed and timing.loc[name, "gflop"] > 0 else ""
    return row


def _trivial(evidence: Evidence, dataset: str) -> list[dict[str, str]]:
    """Everything anomalous, and a coin. Neither ranks images, so AUROC, AP and recall at 5 % are chance."""
    name = evidence.methods(dataset)[0]
    labels, _, _ = evidence.said(dataset, evidence.seeds(dataset, name)[0], name)
    defective, good = int(labels.sum()), int((~labels).sum())
    return [{"method": row.Index, "F1": f"{row.f1:.3f}", "image AUROC": "0.500", "recall at 5 %": "0.050",
             "precision": f"{row.precision:.3f}", "recall": f"{row.recall:.3f}",
             "accuracy": f"{row.accuracy:.3f}", "AP": f"{defective / (defective + good):.3f}"}
            for row in trivial_rows(defective, good).itertuples()]
