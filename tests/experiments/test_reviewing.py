"""The reviewer's map, README's table and the report: made from the tables, and a number changed by hand is found."""

import importlib.util
import re
import shutil

import pytest

from radar_nb.__main__ import main
from radar_nb.experiments import reviewing
from radar_nb.experiments.checks import CHECKS, Check, Rerun, disagreements
from radar_nb.experiments.detective import tables_that_fit
from radar_nb.experiments.evidence import Evidence
from radar_nb.experiments.pages import BEGIN, STAND_IN, beside, write_pages
from radar_nb.experiments.paper_table import METRICS, paper_table, published_size
from radar_nb.experiments.reviewing import check_claims, run_checks
from radar_nb.storage.errors import InputError
from radar_nb.storage.places import REPOSITORY, RESULTS
from radar_nb.storage.tables import read_table, write_table

PAGES = ("README.md", "docs/reviewing.md", "docs/report/report.md", "docs/real_images.md")


@pytest.fixture
def copy(tmp_path):
    """The pages and the tables, to be written to."""
    (tmp_path / "docs/report").mkdir(parents=True)
    for name in PAGES:
        shutil.copy(REPOSITORY / name, tmp_path / name)
    shutil.copytree(RESULTS, tmp_path / "results", ignore=shutil.ignore_patterns("*.png"))
    return tmp_path


def test_the_committed_pages_are_what_the_tables_say(copy):
    assert write_pages(copy) == list(PAGES)
    for name in PAGES:
        assert (copy / name).read_text() == (REPOSITORY / name).read_text(), f"{name}: run `python go.py pages`"


@pytest.mark.parametrize("metric", ["f1", "image_auroc", "recall"])
def test_a_number_changed_by_hand_in_a_table_is_found(copy, capsys, metric):
    path = copy / "results/comparison.csv"
    table = read_table(path)
    row = table.index[(table["dataset"] == "extrusion") & (table["method"] == "radar") & (table["seed"] == 2)][0]
    table.loc[row, metric] = table.loc[row, metric] - 0.02
    write_table(path, table)
    assert disagreements(Evidence(copy / "results")) == 1
    monkey = [check for check in CHECKS if check.name == "tables"]
    rows = list(run(monkey, Evidence(copy / "results")))
    assert [row["inside"] for row in rows] == [False]
    write_pages(copy, Evidence(copy / "results"))
    if metric != "recall":  # README shows the mean of AUROC and F1
        assert (copy / "README.md").read_text() != (REPOSITORY / "README.md").read_text()


def run(checks, evidence):
    """`run_checks` on some checks alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reviewing, "CHECKS", checks)
        yield from run_checks(evidence)


def test_a_number_changed_by_hand_in_a_page_is_found(copy):
    for name in PAGES:
        text = (copy / name).read_text()
        number = re.search(r"(?<=\d, )0\.\d{3}|(?<=\[)-?0\.\d{3}", text)  # of a table
        (copy / name).write_text(text[:number.start()] + "0.999" + text[number.end():])
    write_pages(copy)
    for name in PAGES:
        assert (copy / name).read_text() == (REPOSITORY / name).read_text()


def test_a_value_outside_its_tolerance_is_exit_status_1(monkeypatch, capsys, tmp_path):
    def check(name, value):
        return Check(name, "", "", lambda _: "", "", "", lambda _: 0.5, 0.01, "", lambda _: value, quick=True)

    monkeypatch.setattr(reviewing, "CHECKS", (check("well", 0.505), check("off", 0.52)))
    assert main(["check-claims", "--quick", "--out", str(tmp_path / "checks.csv")]) == 1
    said = capsys.readouterr().out
    assert "OUTSIDE off" in said and "1 of 2 inside tolerance; outside: off" in said
    assert read_table(tmp_path / "checks.csv")["inside"].tolist() == [True, False]
    monkeypatch.setattr(reviewing, "CHECKS", (check("well", 0.505),))
    assert main(["check-claims", "--quick"]) == 0


def test_each_check_has_a_tolerance_that_is_said_and_files_that_are_there():
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    for check in CHECKS:
        assert check.why and (check.tolerance > 0 or check.why == "exact"), check.name
        for name in check.file.split(", "):
            assert (REPOSITORY / name).exists(), name
    committed = read_table(RESULTS / "checks.csv")
    assert committed["check"].tolist() == [check.name for check in CHECKS if check.rerun]
    assert committed["inside"].all() and committed["seconds"].sum() < 600


def test_the_checks_that_take_a_second_are_inside():
    cheap = [check for check in CHECKS if check.why == "exact"]
    assert len(cheap) == 4 and all(row["inside"] for row in run(cheap, Evidence()))


def test_a_method_is_measured_once_for_several_checks(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr("radar_nb.experiments.checks.run_method",
                        lambda name, kit: calls.append(name) or {"metrics": {"f1": 0.9, "image_auroc": 0.8}})
    again = Rerun(Evidence(), tmp_path)
    assert again.metric("extrusion", "radar", "f1") == 0.9
    assert again.metric("extrusion", "radar", "image_auroc") == 0.8 and calls == ["radar"]
    assert check_claims.__doc__


def test_a_readme_without_its_marks_is_named(copy):
    (copy / "README.md").write_text((copy / "README.md").read_text().replace(BEGIN, ""))
    with pytest.raises(InputError, match="README.md: the line"):
        write_pages(copy)


def test_table_i_holds_the_papers_numbers_and_ours():
    evidence = Evidence()
    for name, dataset in STAND_IN.items():
        table = beside(evidence, name).set_index("method")
        for metric in METRICS:
            papers, ours = table.loc["RADAR", metric].split(" / ")
            assert float(papers) == paper_table(name).loc["RADAR", metric]
            assert float(ours) == pytest.approx(evidence.over_seeds(dataset, "radar", metric).mean(), abs=0.006)
    assert len(tables_that_fit(paper_table("printed"), *published_size("printed"))) == 6, "exactly one a row"


def builder():
    spec = importlib.util.spec_from_file_location("build_report", REPOSITORY / "docs/report/build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_html_and_pdf_are_of_the_same_report():
    build = builder()
    advice = "run `python go.py report`"
    assert (REPOSITORY / "docs/report/report.html").read_text(encoding="utf-8") == build.page(), advice
    pdf = (REPOSITORY / "docs/report/report.pdf").read_bytes()
    assert pdf.startswith(b"%PDF") and f"tables {build.fingerprint()}".encode() in pdf, advice
    assert b"file://" not in pdf and len(re.findall(rb"/Type /Page\b", pdf)) <= 6
