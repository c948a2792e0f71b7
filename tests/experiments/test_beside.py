"""The paper's tables beside ours: every row and number of the paper, and ours from the tables of results/."""

import pytest

from radar_nb.experiments.beside import STAND_INS, agreement, beside_ours
from radar_nb.experiments.evidence import Estimate, Evidence
from radar_nb.experiments.methods import METHODS
from radar_nb.experiments.paper_table import METRICS, paper_table
from radar_nb.experiments.report import escape
from radar_nb.storage.errors import InputError


@pytest.fixture(scope="module")
def evidence():
    return Evidence()


@pytest.mark.parametrize("name", STAND_INS)
def test_every_number_of_the_paper_is_there_with_ours_beside_it(name, evidence):
    paper, table, (dataset, methods) = paper_table(name), beside_ours(evidence, name), STAND_INS[name]
    assert list(table.index) == list(paper.index) and set(methods) == set(paper.index)
    for row in paper.index:
        for metric in METRICS:
            told, _, ours = table.loc[row, metric].partition("|")
            assert float(told) == paper.loc[row, metric]
            measured = [method for method in methods[row] if method in evidence.methods(dataset)]
            assert (ours == "") == (not measured)
            if measured:
                value = evidence.interval(dataset, measured[0], metric).value
                assert float(ours.split("[")[0]) == pytest.approx(value, abs=0.005)


def test_every_method_named_is_one_and_suits_its_data():
    for dataset, methods in STAND_INS.values():
        assert all(METHODS[name].suits(dataset) for names in methods.values() for name in names)


def test_what_agrees():
    assert agreement(Estimate(0.1, 0.05, 0.2)) == "RADAR ahead, as in the paper"
    assert agreement(Estimate(-0.1, -0.2, -0.05)) == "rival ahead, unlike the paper"
    assert agreement(Estimate(0.1, -0.05, 0.2)) == "no clear difference"


def test_the_lead_is_in_points_and_of_the_paper_too(evidence):
    table = beside_ours(evidence, "printed")
    there, _, here = table.loc["B&A", "lead, points of F1"].partition("|")
    assert int(there) == 13
    lead = evidence.difference("extrusion", "radar", "causal_residual_per_angle")
    assert float(here.split("[")[0]) == pytest.approx(100 * lead.value, abs=0.5)
    assert table.loc["RADAR", "agrees"] == ""


def test_bad_names_and_cells():
    with pytest.raises(InputError, match="table='claims': choose one of printed, tile, features"):
        beside_ours(Evidence(), "claims")
    assert escape("0.1 | 0.2") == r"0.1 \| 0.2"
