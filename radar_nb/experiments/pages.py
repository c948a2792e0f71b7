"""Pages that hold numbers, from the tables of `results/`: README's table, docs/reviewing.md, the report."""

from pathlib import Path

import jinja2
import numpy as np
import pandas as pd

from radar_nb.experiments.claims import make_claims
from radar_nb.experiments.detective import number_of_tables, sizes_that_fit, tables_that_fit, trivial_rows
from radar_nb.experiments.evidence import Evidence
from radar_nb.experiments.methods import METHODS, RIVALS
from radar_nb.experiments.paper_table import METRICS, paper_table, published_size
from radar_nb.experiments.reviewing import write_reviewing
from radar_nb.storage.errors import InputError
from radar_nb.storage.places import REPOSITORY
from radar_nb.storage.whole import write_text

BEGIN, END = "<!-- results: written by `python -m radar_nb pages` -->", "<!-- end of results -->"
SHOWN = ("extrusion", "printed", "mvtec_tile_192", "magnetic_tile", "kolektor_sdd", "texture")
COLUMNS = {"radar": "RADAR as in the paper", "radar_plain": "on a plain U-Net",
           "radar_lof": "with LOF, as on the slides", "radar_fused": "our fused detector"}
# The paper's names, and ours for the method of that idea.
SAME = {"B&A": ("causal_residual_per_angle", "causal_residual"), "RADAR": ("radar",),
        "C&B": ("forest_clustering_per_angle", "forest_clustering"), "DiffusionAD": ("diffusion_ad",),
        "AnoDDPM": ("anoddpm_250", "anoddpm_250_strided", "anoddpm"),
        "DDPM": ("ddpm_250", "ddpm_250_strided", "ddpm")}
STAND_IN = {"printed": "extrusion", "tile": "mvtec_tile_192"}


def write_pages(folder: Path = REPOSITORY, evidence: Evidence | None = None) -> list[str]:
    """Write the pages into a copy of the repository's folder; their names."""
    evidence = evidence or Evidence()
    write_reviewing(evidence, folder / "docs/reviewing.md")
    _fill(folder / "README.md", results_table(evidence))
    _fill(folder / "docs/real_images.md", photographs_table(evidence))
    write_text(folder / "docs/report/report.md", report(evidence))
    return ["README.md", "docs/reviewing.md", "docs/report/report.md", "docs/real_images.md"]


def _fill(path: Path, table: pd.DataFrame) -> None:
    """Put a table between a page's two marks."""
    page = path.read_text(encoding="utf-8")
    if BEGIN not in page or END not in page:
        raise InputError(f"{path}: the line {BEGIN} or {END} is missing; put it back")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    write_text(path, f"{before}{BEGIN}\n{markdown(table)}\n{END}{after}")


def photographs_table(evidence: Evidence) -> pd.DataFrame:
    """Image AUROC with its interval, F1 and seeds: the paper's recipe, ours, and what is pretrained. Then the
    false alarms of all four, in the same order, where 5 % were asked for.
    """
    def told(dataset: str, method: str) -> str:
        if method not in evidence.methods(dataset):
            return "not measured"
        f1 = evidence.over_seeds(dataset, method, "f1").mean()
        count = len(evidence.seeds(dataset, method))
        return f"{evidence.interval(dataset, method, 'image_auroc')}, {f1:.2f} ({count})"

    def alarms(dataset: str, method: str) -> str:
        said = [evidence.said(dataset, seed, method) for seed in evidence.seeds(dataset, method)]
        return f"{np.mean([anomalous[~labels].mean() for labels, _, anomalous in said]):.0%}" if said else "-"

    columns = {"the paper's recipe": "radar", "fused": "radar_fused", "PCA of patches": "pca",
               "PatchCore, pretrained": "patchcore"}
    return pd.DataFrame([{"data": f"`{dataset}`"}
                         | {title: told(dataset, method) for title, method in columns.items()}
                         | {"false alarms": ", ".join(alarms(dataset, name) for name in columns.values())}
                         for dataset in (*SHOWN, "printed_hard") if dataset in evidence.datasets()])


def results_table(evidence: Evidence) -> pd.DataFrame:
    """Image AUROC and F1, means over seeds: RADAR, and the best rival of the paper's kinds."""
    measured = set(evidence.datasets())
    return pd.DataFrame([_results(evidence, name) for name in SHOWN if name in measured])


def _results(evidence: Evidence, dataset: str) -> dict[str, str]:
    known = evidence.methods(dataset)

    def scores(method: str) -> str:
        values = (evidence.over_seeds(dataset, method, metric).mean() for metric in ("image_auroc", "f1"))
        return ", ".join(f"{value:.3f}" for value in values)

    row = {"data": f"`{dataset}`"}
    row |= {title: scores(name) if name in known else "not measured" for name, title in COLUMNS.items()}
    rivals = [name for name in known if METHODS[name].family in RIVALS]
    best = max(rivals, key=lambda name: evidence.over_seeds(dataset, name, "f1").mean())
    seeds = {len(evidence.seeds(dataset, name)) for name in {*(set(COLUMNS) & set(known)), best}}
    return row | {"best rival of the paper's kinds, by F1": f"{METHODS[best].label}: {scores(best)}",
                  "seeds": " to ".join(map(str, sorted({min(seeds), max(seeds)})))}


def markdown(table: pd.DataFrame) -> str:
    """A table of text as Markdown."""
    rows = [list(table), ["---"] * table.shape[1], *table.astype(str).values.tolist()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def report(evidence: Evidence) -> str:
    """The reproduction report in Markdown."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - Markdown, not HTML
    template = environment.from_string((Path(__file__).parent / "report.md.jinja").read_text())
    size = tuple(int(number) for number in
                 sizes_that_fit(paper_table("tile"))[["positives", "negatives"]].iloc[0])
    fitting = tables_that_fit(paper_table("printed"), *published_size("printed"))
    return template.render(
        claims=make_claims(evidence), beside={name: markdown(beside(evidence, name)) for name in STAND_IN},
        counts=markdown(_counts(fitting)), size=size,
        tile_alarms=tables_that_fit(paper_table("tile").loc[["RADAR"]], *size)["false_alarm_rate"].iloc[0],
        fits=int(number_of_tables(paper_table("tile"), *published_size("tile")).sum()),
        published=published_size("tile"), published_printed=published_size("printed"), printed=fitting,
        trivial=_trivial(size), results=markdown(results_table(evidence)),
        lead=evidence.difference("extrusion", "radar", "forest_clustering_per_angle"),
        tile_lead=evidence.difference("mvtec_tile_192", "radar", "diffusion_ad"),
        plain=("radar_plain" in evidence.methods("extrusion") and
               evidence.difference("extrusion", "radar_plain", "forest_clustering_per_angle")),
        linear=evidence.difference("printed", "radar", "pca"))


def beside(evidence: Evidence, name: str) -> pd.DataFrame:
    """A half of Table I, each number with ours after it, on the data set that stands in."""
    dataset, rows = STAND_IN[name], []
    for label, printed in paper_table(name).iterrows():
        ours = next((method for method in SAME[label] if method in evidence.methods(dataset)), None)
        row = {"method": label}
        for metric in METRICS:
            value = f"{evidence.over_seeds(dataset, ours, metric).mean():.2f}" if ours else "-"
            row[metric] = f"{printed[metric]:.2f} / {value}"
        rows.append(row | {"our seeds": str(len(evidence.seeds(dataset, ours))) if ours else "-"})
    name = evidence.methods(dataset)[0]
    labels, *_ = evidence.said(dataset, evidence.seeds(dataset, name)[0], name)
    trivial = trivial_rows(int(labels.sum()), int((~labels).sum())).iloc[0]
    return pd.DataFrame([*rows, {"method": "everything anomalous (ours)", "our seeds": "-"}
                         | {metric: f"{trivial[metric]:.2f}" for metric in METRICS}])


def _counts(tables: pd.DataFrame) -> pd.DataFrame:
    """The counts behind a printed table, as text."""
    return pd.DataFrame({"method": tables.index, "found": tables["true_positives"].astype(str).values,
                         "missed": tables["false_negatives"].astype(str).values,
                         "false alarms": tables["false_positives"].astype(str).values,
                         "false-alarm rate": [f"{rate:.3f}" for rate in tables["false_alarm_rate"]]})


def _trivial(size: tuple[int, int]) -> dict[str, float]:
    sizes = {"printed": published_size("printed"), "tile": size}
    return {name: float(trivial_rows(*each).f1.iloc[0]) for name, each in sizes.items()}
