"""Every exercise: untouched, right in two ways, wrong in each of its known ways, and with any object at all."""

import csv
import json
import re
from concurrent.futures import ThreadPoolExecutor

import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from sklearn import metrics

from radar_nb.__main__ import main
from radar_nb.runs import notebooks as reproduce
from radar_nb.storage.places import REPOSITORY
from radar_nb.teaching.exercises import EXERCISES, exercise, progress, record
from radar_nb.teaching.exercises import kinds as checking
from radar_nb.teaching.exercises.kinds import RIGHT, UNTRIED, WRONG, Choice, Code, Number
from radar_nb.teaching.exercises.record import results

CODE, NUMBERS, CHOICES = ([each for each in EXERCISES if isinstance(each, kind)] for kind in (Code, Number, Choice))
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


@pytest.fixture(autouse=True)
def run_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RADAR_RUN", str(tmp_path))
    return tmp_path


def _loop_softmax(x):
    return np.stack([np.exp(row - row.max()) / np.exp(row - row.max()).sum() for row in x])


def _loop_local_norm(sobel, window):
    height, width = sobel.shape
    return max(np.linalg.norm(sobel[i:i + window, j:j + window]) for i in range(height - window + 1) for j in range(width - window + 1)) / window


# A second right way of each, written otherwise than the solution: with torch, with loops, with a library.
OTHER_WAYS = {
    "01.1": lambda x0, eps, a_t: torch.tensor(x0) * a_t**0.5 + torch.tensor(eps) * (1 - a_t) ** 0.5,
    "01.2": lambda x_t, eps, a_t: [(x - (1 - a_t) ** 0.5 * e) / a_t**0.5 for x, e in zip(x_t, eps)],
    "01.4": lambda betas, t: np.cumprod(1 - betas)[t],
    "02.1": lambda x_t, eps, a, b: (b / a) ** 0.5 * x_t + ((1 - b) ** 0.5 - (b / a * (1 - a)) ** 0.5) * eps,
    "03.1": _loop_softmax,
    "03.2": lambda q, k, v: torch.nn.functional.scaled_dot_product_attention(*(torch.tensor(each)[None] for each in (q, k, v)))[0],
    "04.1": lambda eps, predicted: torch.nn.functional.mse_loss(torch.tensor(eps), torch.tensor(predicted)),
    "04.2": lambda average, weights, decay: average + (1 - decay) * (weights - average),
    "05.1": lambda x: stats.kurtosis(x),
    "06.1": lambda down, across: np.hypot(down, across),
    "06.2": _loop_local_norm,
    "07.1": lambda scores, contamination: np.percentile(scores, 100 * contamination),
    "07.2": lambda alarms, misses, alarm, miss, defective: np.average([alarms * alarm, misses * miss], weights=[1 - defective, defective]),
    "08.1": lambda truth, found: metrics.jaccard_score(truth.ravel(), found.ravel()),
    "08.3": lambda truth, found: found[~truth].mean(),
    "09.1": lambda values: np.percentile(values, (2.5, 97.5)).tolist(),
    "09.2": lambda a, b: stats.sem(np.subtract(a, b)),
    "09.5": lambda precision, recall, positives, negatives: recall * positives / negatives * (1 / precision - 1),
    "10.4": lambda values, scores, slack: [value for value, score in zip(values, scores) if max(scores) - score <= slack + 1e-12],
    "11.1": lambda length: 32 if length <= 8 else 64 if length <= 16 else 128,
}


def worked(each):
    """The function that a solution's code defines."""
    names = {}
    exec(each.worked, {"np": np, "softmax": special.softmax}, names)
    (function,) = names.values()
    return function


def test_there_are_at_least_thirty_of_all_kinds_and_two_to_four_a_notebook():
    names = [each.name for each in EXERCISES]
    assert len(names) == len(set(names)) >= 30 and min(map(len, (CODE, NUMBERS, CHOICES))) >= 5
    assert f"{len(names)} exercises" in (REPOSITORY / "docs" / "teaching.md").read_text()
    for path in NOTEBOOKS:
        most = 6 if path.stem.startswith("09") else 4  # two more on reading a published table
        assert 2 <= sum(name.startswith(path.stem[:2] + ".") for name in names) <= most, path.stem


@pytest.mark.parametrize("each", EXERCISES, ids=lambda each: each.name)
def test_untouched(each, run_folder):
    assert each.check().status == each.check(...).status == each.check(None).status == UNTRIED
    if isinstance(each, Code):
        def stub(*_):
            return ...

        def undone(*_):
            raise NotImplementedError
        assert each.check(stub).status == each.check(undone).status == UNTRIED
    assert not (run_folder / "exercises.json").exists()


@pytest.mark.parametrize("each", CODE, ids=lambda each: each.name)
def test_a_right_function_is_right_however_it_is_written(each):
    for way in (each.right, worked(each), OTHER_WAYS[each.name]):
        verdict = each.check(way)
        assert verdict.status == RIGHT and verdict.message == each.why, verdict


@pytest.mark.parametrize("each", NUMBERS, ids=lambda each: each.name)
def test_a_right_number_is_right_however_it_is_given(each):
    for way in (each.right, float(f"{each.right:.3g}") if not isinstance(each.right, int) else each.right, np.array([each.right]), torch.tensor(each.right)):
        assert each.check(way).status == RIGHT


@pytest.mark.parametrize("each", CHOICES, ids=lambda each: each.name)
def test_a_right_letter_is_right_however_it_is_given(each):
    for way in (each.right, each.right.upper(), f" {each.right}) "):
        assert each.check(way).status == RIGHT


@pytest.mark.parametrize("each", EXERCISES, ids=lambda each: each.name)
def test_every_common_mistake_is_recognised(each):
    assert len(each.mistakes) >= 3
    for key, value in each.mistakes.items():
        (answer, message) = (value, key) if isinstance(each, Code) else (key, value)
        for _ in range(5):  # the inputs are drawn afresh each time
            verdict = each.check(answer)
            assert verdict == checking.Verdict(WRONG, message)


@pytest.mark.parametrize("each", EXERCISES, ids=lambda each: each.name)
def test_nothing_that_is_said_spoils_the_answer(each):
    if isinstance(each, Code):
        secret = re.sub(r"\s", "", each.worked.split("return ")[-1])
        said = [each.hints[0], *each.mistakes]
    else:
        secret = None
        said = [each.hints[0], *each.mistakes.values()]
    if secret and len(secret) > 12:
        assert all(secret not in re.sub(r"\s", "", text) for text in said)
    if isinstance(each, Choice):
        assert not any(re.search(rf"\b{each.right}\)", text) for text in said)
    assert len(each.hints) == 2 and all(each.hints) and each.hints[0] != each.hints[1] and each.why


class Nasty:
    """Raises whatever is asked of it."""

    def __getattr__(self, name):
        raise RuntimeError(name)

    def __str__(self):
        raise RuntimeError("str")

    __repr__ = __len__ = __iter__ = __array__ = __float__ = __bool__ = __eq__ = __hash__ = __str__


def _exits(*_):
    raise SystemExit(3)


def _deep(*arguments):
    return _deep(*arguments)


ODD = [Nasty(), Nasty, _exits, _deep, lambda: 1, lambda *a: Nasty(), lambda *a: a, lambda *a: "text", lambda *a: 1j, lambda *a: [[1], [2, 3]], lambda *a: {"a": 1},
       lambda *a: np.array([]), lambda *a: np.nan, lambda *a: np.array(["a"]), print, type, np, object(), float("inf"), float("nan"), 10**400, -1, True, "", "zz", b"a", [], [[]], {}, {1}, (),
       range(3), 1j, np.zeros((2, 2)), np.array(None), torch.zeros(3), torch.ones(1, requires_grad=True), Exception(), NotImplemented, iter([1]), (i for i in range(2))]


@pytest.mark.parametrize("each", EXERCISES, ids=lambda each: each.name)
@pytest.mark.filterwarnings("ignore")
def test_a_check_never_raises(each):
    for odd in ODD:
        verdict = each.check(odd)
        assert verdict.status in (RIGHT, WRONG, UNTRIED) and repr(verdict) and verdict._repr_html_()


_anything = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.text() | st.binary(),
                         lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner), max_leaves=8)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None)
@given(_anything, st.sampled_from(EXERCISES))
def test_a_check_never_raises_whatever_is_drawn(anything, each):
    for answer in (anything, lambda *_: anything):
        verdict = each.check(answer)
        assert verdict.status in (RIGHT, WRONG, UNTRIED)


def test_a_function_cannot_change_the_inputs_it_is_judged_by():
    def cheat(x0, eps, a_t):
        x0[:], eps[:] = 0, 0
        return np.zeros(7)
    assert exercise("01.1").check(cheat).status == WRONG


def test_what_is_wrong_is_said_in_the_students_terms():
    assert "shape (3,), the right shape is (7,)" in exercise("01.1").check(lambda x0, eps, a_t: np.zeros(3)).message
    assert "ZeroDivisionError" in exercise("01.1").check(lambda x0, eps, a_t: 1 / 0).message
    assert "return missing" in exercise("01.1").check(lambda x0, eps, a_t: None).message
    assert "without calling it" in exercise("01.1").check(np.zeros(7)).message
    assert exercise("00.2").check(600).message == "too large" and exercise("00.2").check(3).message == "too small"
    assert "one letter of a, b, c, d" in exercise("00.1").check("q").message


def test_progress_counts_what_is_solved_and_remembers_it(run_folder):
    assert progress("02").startswith("0 of 3") and progress("02").endswith(f"0 of {len(EXERCISES)} in all")
    for answer in (9, 8, 9):
        exercise("02.2").check(answer)
    assert results() == {"02.2": {"solved": True, "tries": 3}}
    assert progress("02").startswith("1 of 3") and progress("01").startswith("0 of 4 exercises solved here, 1 of")


def test_notebooks_that_are_open_together_lose_nothing():
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: each.check(each.right), 3 * EXERCISES))
    assert results() == {each.name: {"solved": True, "tries": 3} for each in EXERCISES}


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"02.2": 3}', '{"02.2": {"solved": true}}', "\x00", '{"02.2": null}'])
def test_a_broken_record_costs_the_count_not_the_lesson(run_folder, text):
    (run_folder / "exercises.json").write_text(text)
    assert results() == {} and exercise("02.2").check(8).status == RIGHT
    assert json.loads((run_folder / "exercises.json").read_text()) == {"02.2": {"solved": True, "tries": 1}}


def test_a_folder_that_cannot_be_written_costs_the_count_not_the_lesson(monkeypatch, run_folder):
    (run_folder / "file").touch()
    monkeypatch.setenv("RADAR_RUN", str(run_folder / "file"))
    assert exercise("02.2").check(8).status == RIGHT and results() == {}


def test_hint_and_solution_help_in_steps(capsys):
    each = exercise("01.1")
    each.hint(), each.hint(2), each.solution()
    assert capsys.readouterr().out.splitlines()[:2] == list(each.hints)


def test_an_unknown_exercise_is_named():
    with pytest.raises(KeyError, match="99.9.*known are 00.1"):
        exercise("99.9")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_notebook_asks_its_exercises_untouched_and_counts_them(path):
    cells = nbformat.read(path, 4).cells
    for each in [each for each in EXERCISES if each.name.startswith(path.stem[:2] + ".")]:
        (asked,) = [cell for cell in cells if cell.cell_type == "code" and f'exercise("{each.name}").check' in cell.source]
        assert "Not tried yet." in asked.outputs[-1].data["text/plain"]
        assert any(f"**{each.name}" in cell.source for cell in cells if cell.cell_type == "markdown")
    assert any(f'progress("{path.stem[:2]}")' in cell.source for cell in cells)


def test_the_records_of_several_students_become_a_table(tmp_path, monkeypatch, capsys):
    for student, answers in (("anna/runs/cpu", (9, 8)), ("ben", (9,))):
        monkeypatch.setenv("RADAR_RUN", str(tmp_path / student))
        for answer in answers:
            exercise("02.2").check(answer)
    exercise("00.1").check("b")
    (tmp_path / "ben" / "exercises.json").rename(tmp_path / "ben_late.json")
    assert main(["grade", str(tmp_path / "anna"), str(tmp_path / "ben_late.json"), "--out", str(tmp_path / "grades.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "grades.csv").open()))
    assert [(row["student"], row["solved"], row["tried"], row["tries"], row["00.1"], row["02.2"], row["11.3"]) for row in rows] == [
        ("anna", "1", "1", "2", "", "1", ""), ("ben_late", "1", "2", "2", "1", "0", "")]
    (tmp_path / "anna" / "runs" / "cpu" / "exercises.json").write_text("lost")
    assert main(["grade", str(tmp_path), "--out", str(tmp_path / "grades.csv")]) == 1
    assert "exercises.json: no record of exercises" in capsys.readouterr().out
    assert main(["grade", str(tmp_path / "carl"), "--out", str(tmp_path / "grades.csv")]) == 2
    (tmp_path / "empty").mkdir()
    assert main(["grade", str(tmp_path / "empty"), "--out", str(tmp_path / "grades.csv")]) == 2


def test_a_readers_record_does_not_get_into_the_stored_outputs(tmp_path, monkeypatch):
    (tmp_path / "01_one.ipynb").write_text(nbformat.writes(nbformat.v4.new_notebook()))
    seen = []
    monkeypatch.setattr(reproduce, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(reproduce.papermill, "execute_notebook", lambda *_, **__: seen.append(record.record_file()))
    monkeypatch.delenv("RADAR_RUN")
    reproduce.refresh_stored_outputs()
    (own,) = seen
    assert REPOSITORY not in own.parents and record.record_file() == REPOSITORY / "runs" / "exercises.json"


@pytest.mark.parametrize("answer, right", [("c", True), ("(b)", True), ("b)", True), ("B.", True), ("b) because", True),
                                           ("bc", False), ("", False), ("the second", False)])
def test_a_letter_is_read_in_any_dress(answer, right):
    expected = exercise("00.1").right == "b" and right
    said = exercise("00.1").check(answer)
    assert (said.status == "right") == expected if "c" not in answer[:1] else said.status != "right"


@pytest.mark.parametrize("answer", [499, 501, 500.5, "500", "five hundred", "5 %", True, [500, 500]])
def test_a_count_is_right_or_it_is_not_and_a_text_is_no_number(answer):
    said = exercise("00.2").check(answer)
    assert said.status == "not yet" and "cannot be judged" not in said.message
    assert exercise("00.2").check(500).status == "right" == exercise("00.2").check(500.0).status


def test_forgotten_brackets_do_not_show_the_solution():
    for shown in (repr(exercise("01.1")), repr(exercise("01.1").hint), str(exercise("05.3"))):
        assert exercise("01.1").worked not in shown and "worked" not in shown and ".hint()" in shown


def test_a_wrong_function_is_told_one_input_and_both_values():
    def stopped(*_):
        raise KeyboardInterrupt

    worked = exercise("05.1")
    assert "you give" in worked.check(lambda x: x.mean() + 1e3).message
    assert "does your loop ever end" in worked.check(stopped).message
    assert worked.check(lambda x: "3.2").status == "not yet"

    def mutates(x):
        x -= x.mean()
        return (x**3).mean()

    assert "changes its input" in worked.check(mutates).message
    rounded = worked.check(lambda x: round(float((((x - x.mean()) / x.std()) ** 4).mean() - 3), 1))
    assert "rounded" in rounded.message
    assert "True or False" in worked.check(lambda x: np.bool_(True)).message


def test_the_verdict_has_a_colour_and_a_symbol():
    assert "✗" in exercise("00.2").check(3)._repr_html_() and "color" in exercise("00.2").check(3)._repr_html_()
    assert "✓" in exercise("00.2").check(500)._repr_html_()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_an_exercise_runs_first_in_a_fresh_kernel_and_says_that_tries_are_recorded(path, run_folder):
    """Each cell brings its own import; nothing of the notebook has run before it."""
    cells = nbformat.read(path, 4).cells
    for cell in cells:
        if cell.cell_type == "code" and re.search(r'exercise\("\d\d\.\d"\)\.check', cell.source):
            assert cell.source.startswith("from radar_nb.teaching.exercises import exercise\n")
            before, last = cell.source.rsplit("\n", 1)
            names = {}
            exec(before, names)
            assert eval(last, names).status == UNTRIED
    told = " ".join(cell.source for cell in cells if cell.source.startswith("## Exercises"))
    assert "`runs/exercises.json`" in told and not (run_folder / "exercises.json").exists()


@pytest.mark.parametrize("answer, said", [
    ("500", "remove the quotes"), ("five hundred", "in digits"), ("5 %", "percent"), ("5%", "percent"), ("1,000", "write 1000,"),
    ("0,5", "with a point"), ("1/2", "computes it"), ("500 calls", "without a unit"), ((1, 000), "1000 for 1,000"), (b"500", "remove the quotes"),
    (lambda: 500, "call it"), (np.True_, "True and False"), (1j, "such as 12"), ({}, "such as 12"), (float("nan"), "finite"), (10**400, "too large")])
def test_what_is_no_number_is_told_by_its_kind(answer, said):
    verdict = exercise("00.2").check(answer)
    assert verdict.status == WRONG and said in verdict.message, verdict


@pytest.mark.parametrize("each", [each for each in NUMBERS if isinstance(each.right, int) and each.tolerance is None], ids=lambda each: each.name)
def test_a_count_that_is_one_off_is_wrong(each):
    assert each.check(each.right + 1).status == each.check(each.right - 1).status == each.check(1.001 * each.right).status == WRONG


def test_what_is_read_from_a_picture_may_be_off_a_little_and_percent_is_told_from_a_share():
    assert exercise("01.3").check(exercise("01.3").right + 15).status == RIGHT
    assert "factor of 100" in exercise("10.1").check(100 * exercise("10.1").right).message
    assert "factor of 100" in exercise("06.3").check(exercise("06.3").right / 100).message


@pytest.mark.parametrize("answer, right", [("b", True), ("B", True), ("(b)", True), ("b.", True), ("b:", True), ("Answer: b", True), (["b"], True), ("**b**", True),
                                           ("b or c", False), ("b, c", False), ("b/c", False), ("b c", False), ("a b c d", False), (b"b", False), (2, False),
                                           ("not b", False), ("b) because a defect is no edge", True), ("bb", False)])
def test_one_letter_counts_and_two_do_not(answer, right):
    assert exercise("00.1").right == "b" and (exercise("00.1").check(answer).status == RIGHT) == right


def test_a_wrong_function_is_told_why_where_that_can_be_known():
    def in_place(x0, eps, a_t):
        x0 *= np.sqrt(a_t)
        x0 += np.sqrt(1 - a_t) * eps

    def right_in_place(x0, eps, a_t):
        in_place(x0, eps, a_t)
        return x0

    each = exercise("01.1")
    assert "changes its input: work on a copy" in each.check(in_place).message
    assert each.check(right_in_place).status == RIGHT and "changes its input" in each.check(right_in_place).message
    for digits in (1, 2, 3):
        assert "rounded" in each.check(lambda x0, eps, a_t, digits=digits: np.round(each.right(x0, eps, a_t), digits)).message
    assert "rounded" not in each.check(lambda x0, eps, a_t: np.zeros(7)).message
    assert "a mask" in each.check(lambda x0, eps, a_t: x0 > 0).message
    assert "a mask" in exercise("10.4").check(lambda values, scores, slack: scores >= scores.max() - slack).message
    for method in ("lower", "higher", "nearest"):
        for name, share in (("07.1", None), ("09.1", [0.025, 0.975])):
            said = exercise(name).check(lambda x, c=share, method=method: np.quantile(x, c, method=method)).message
            assert "between" in said and "the numbers are not" not in said, (name, method, said)
    assert "count" in exercise("07.1").check(lambda scores, contamination: np.percentile(scores, contamination)).message
    said = each.check(lambda x0, eps, a_t: x0).message  # one input by the student's names, both values, where they part
    assert "for x0 = [" in said and "a_t = 0." in said and "you give [" in said and "right is [" in said
    assert "first difference is at [0, 0]" in exercise("06.1").check(lambda down, across: down - across).message
    assert "The input was x0 = [" in each.check(lambda x0, eps, a_t: x0 @ np.zeros(3)).message


def test_what_was_solved_before_is_not_said_to_be_untried():
    for each in [each for each in EXERCISES if each.name.startswith("02.")]:
        each.check(each.right)
        assert each.check() == checking.Verdict(UNTRIED, "this cell is as it was; you have solved it before")
    assert progress("02").startswith("3 of 3") and "since your first try" in progress("02")
