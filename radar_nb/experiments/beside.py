"""The paper's tables beside ours: what each row says there, what it says on our data, and if they agree."""

import pandas as pd

from radar_nb.experiments.evidence import Estimate, Evidence
from radar_nb.experiments.paper_table import METRICS, paper_table
from radar_nb.storage.errors import InputError

# Which data set of ours stands in for a table's images, and which method for each of its rows. Where a row
# has two, the first one that is measured counts: every tenth step is for who has no GPU.
_RECONSTRUCTION = {"DiffusionAD": ("diffusion_ad",), "AnoDDPM": ("anoddpm_250", "anoddpm_250_strided"),
                   "DDPM": ("ddpm_250", "ddpm_250_strided"), "RADAR": ("radar",)}
STAND_INS = {
    "printed": ("extrusion", {"B&A": ("causal_residual_per_angle",),
                              "C&B": ("forest_clustering_per_angle",), **_RECONSTRUCTION}),
    "tile": ("mvtec_tile_192", {"B&A": ("causal_residual",), "C&B": ("forest_clustering",),
                                **_RECONSTRUCTION}),
    "features": ("mvtec_tile_192", {"current": ("radar",), **{
        name: (f"radar_{name.lower()}",) for name in ("GLCM", "SSIM", "Hough", "entropy")}})}
FIRST = {"printed": "RADAR", "tile": "RADAR", "features": "current"}  # whose lead is looked at


def beside_ours(evidence: Evidence, name: str) -> pd.DataFrame:
    """One table of results of the paper, with our numbers beside it.

    Args:
        name: `printed` (Table I, slide 14), `tile` (slide 15) or `features` (slide 17).

    Returns:
        a line for each row of the paper's table, as text: our method's name (`as`), accuracy, precision and
        recall `paper | ours`, F1 likewise, with our 95 % interval; image AUROC and recall at 5 % false
        alarms, which the paper does not give; RADAR's lead in F1, in points, there and here; `agrees`.

    Raises:
        InputError: there is no such table.
    """
    if name not in STAND_INS:
        raise InputError(f"table={name!r}: choose one of {', '.join(STAND_INS)}")
    paper, (dataset, methods) = paper_table(name), STAND_INS[name]
    measured = evidence.methods(dataset)
    rows = {}
    for row, candidates in methods.items():
        ours = next((method for method in candidates if method in measured), None)
        rows[row] = (_row(evidence, dataset, ours, paper.loc[row], paper.loc[FIRST[name]], row == FIRST[name])
                     if ours else {"as": "not measured", **{metric: f"{paper.loc[row, metric]:.2f} |"
                                                            for metric in METRICS}})
    return pd.DataFrame(rows).T.loc[paper.index].fillna("")


def _row(evidence: Evidence, dataset: str, method: str, paper: pd.Series, first: pd.Series,
         is_first: bool) -> dict[str, str]:
    ours = {metric: evidence.interval(dataset, method, metric)
            for metric in (*METRICS, "image_auroc", "recall_at_5")}
    row = {"as": f"`{method}`, {len(evidence.seeds(dataset, method))} seeds".replace(" 1 seeds", " 1 seed")}
    row |= {metric: f"{paper[metric]:.2f} | {ours[metric].value:.2f}" for metric in METRICS[:3]}
    row |= {"f1": f"{paper['f1']:.2f} | {_short(ours['f1'])}", "image AUROC": _short(ours["image_auroc"]),
            "recall at 5 %": _short(ours["recall_at_5"])}
    if is_first:
        return row
    lead = evidence.difference(dataset, "radar", method)
    points = Estimate(*(100 * value for value in (lead.value, lead.low, lead.high)))
    return row | {"lead, points of F1": f"{100 * (first['f1'] - paper['f1']):.0f} | {points.value:.0f} "
                                        f"[{points.low:.0f}, {points.high:.0f}]",
                  "agrees": agreement(lead)}


def agreement(lead: Estimate) -> str:
    """Whether our lead over a rival agrees with the paper's, which is ahead of all of them."""
    if lead.low > 0:
        return "RADAR ahead, as in the paper"
    return "rival ahead, unlike the paper" if lead.high < 0 else "no clear difference"


def _short(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
