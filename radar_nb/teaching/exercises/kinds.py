"""What exercises are made of: `check` tests what an answer does, `hint` helps in two steps, `solution` shows.

A check never raises and never shows the answer. What was tried and solved is kept in `exercises.json` of the
run, so that a notebook can count and a teacher can see. (The idea is that of Kaggle's learntools.)
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np

from radar_nb.storage.errors import InputError
from radar_nb.storage.places import runs_folder
from radar_nb.storage.whole import waiting_for, write_text
from radar_nb.teaching.exercises.telling import array, copies, difference, same, short

UNTRIED, RIGHT, WRONG = "not tried yet", "right", "not yet"


@dataclass(frozen=True)
class Verdict:
    """What a check found: `status` is UNTRIED, RIGHT or WRONG; `message` says why, in a student's words."""

    status: str
    message: str = ""

    def __repr__(self) -> str:
        return f"{self._title} {self.message}".rstrip()

    def _repr_html_(self) -> str:
        mark, colour = {UNTRIED: ("○", ""), RIGHT: ("✓", "#007a5a"), WRONG: ("✗", "#b34700")}[self.status]
        style = f' style="color: {colour}"' if colour else ""
        return f"<p{style}>{mark} <strong>{escape(self._title)}</strong> {escape(self.message)}</p>"

    @property
    def _title(self) -> str:
        return self.status.capitalize() + (":" if self.message else ".")


@dataclass(frozen=True, repr=False)
class Exercise:
    """One exercise. Kinds differ in how they judge an answer.

    Args:
        name: `<notebook>.<number>`, such as `01.2`.
        hints: two, the second says more.
        worked: the solution, shown on demand; code, or a sentence.
        why: one line on why it matters, said to whoever is right.
    """

    name: str
    hints: tuple[str, str]
    worked: str
    why: str

    def __repr__(self) -> str:
        """Not the solution: whoever forgets the brackets of `hint()` sees this."""
        return f"exercise {self.name}: .check(answer), .hint(), .hint(2), .solution()"

    def check(self, answer: object = None) -> Verdict:
        """Judge an answer. Never raises, whatever the answer is."""
        try:
            verdict = Verdict(UNTRIED) if answer is None or answer is ... else self.judge(answer)
        except KeyboardInterrupt:
            verdict = Verdict(WRONG, "you stopped it: does your loop ever end?")
        except (Exception, SystemExit) as error:
            verdict = Verdict(WRONG, f"your answer cannot be judged ({type(error).__name__}); look at what "
                                     "kind of thing is asked for")
        _remember(self.name, verdict)
        return verdict

    def judge(self, answer: object) -> Verdict:
        """The verdict on an answer that was tried."""
        raise NotImplementedError

    def hint(self, number: int = 1) -> None:
        """Print the first hint, or the second."""
        print(self.hints[1 if number == 2 else 0])

    def solution(self) -> None:
        """Print the solution."""
        print(self.worked)


@dataclass(frozen=True, repr=False)
class Code(Exercise):
    """Write a function. It is called with fresh random inputs and compared with `right`.

    `draw` makes the inputs, `repeats` is how many: more where few of them tell right from wrong. `mistakes`
    says what to tell somebody whose function does what a known wrong one does.
    """

    right: Callable = field(kw_only=True)
    draw: Callable[[np.random.Generator], tuple] = field(kw_only=True)
    mistakes: Mapping[str, Callable] = field(kw_only=True)
    repeats: int = field(default=6, kw_only=True)

    def judge(self, answer: object) -> Verdict:
        if not callable(answer):
            return Verdict(WRONG, "give the function itself, without calling it: check(my_function)")
        rng = np.random.default_rng()
        inputs = [self.draw(rng) for _ in range(self.repeats)]
        given, changed = [], False
        for arguments in inputs:
            own = copies(arguments)
            try:
                with np.errstate(all="ignore"):  # what overflows is wrong, and is said below
                    given.append(answer(*own))
                changed |= not all(map(np.array_equal, own, arguments))
            except NotImplementedError:
                return Verdict(UNTRIED)
            except (Exception, SystemExit) as error:
                return Verdict(WRONG, f"your function stops with {type(error).__name__}: {short(error)}. "
                                      "Its inputs are NumPy arrays and numbers")
        if all(value is ... for value in given):
            return Verdict(UNTRIED)
        if all(value is None for value in given):
            return Verdict(WRONG, "your function gives nothing back: is the return missing?")
        expected = [self.right(*copies(arguments)) for arguments in inputs]
        if all(map(same, given, expected)):
            return Verdict(RIGHT, self.why)
        for message, wrong in self.mistakes.items():
            with np.errstate(all="ignore"):
                if all(map(same, given, [wrong(*copies(arguments)) for arguments in inputs])):
                    return Verdict(WRONG, message)
        return Verdict(WRONG, difference(inputs, given, expected, changed))


@dataclass(frozen=True, repr=False)
class Number(Exercise):
    """Give a number. `mistakes` maps what a known wrong way gives to what to tell."""

    right: float = field(kw_only=True)
    mistakes: Mapping[float, str] = field(kw_only=True)
    tolerance: float = field(default=0.005, kw_only=True)  # relative: three digits are enough

    def judge(self, answer: object) -> Verdict:
        if isinstance(answer, (str, bytes)):
            return Verdict(WRONG, "that is a text; give a number, without quotes and without a unit")
        if isinstance(answer, bool) or np.size(array(answer)) != 1:
            return Verdict(WRONG, "one number is asked for")
        value = float(np.ravel(array(answer))[0])

        def near(other: float) -> bool:
            relative = 1e-9 if isinstance(other, int) else self.tolerance  # a count is right, or it is not
            return abs(value - other) <= relative * max(abs(other), 1e-9)

        if near(self.right):
            return Verdict(RIGHT, self.why)
        for wrong, message in self.mistakes.items():
            if near(wrong):
                return Verdict(WRONG, message)
        if not np.isfinite(value):
            return Verdict(WRONG, "that is no finite number")
        return Verdict(WRONG, "too large" if value > self.right else "too small")


@dataclass(frozen=True, repr=False)
class Choice(Exercise):
    """Give a letter. `mistakes` says for each wrong one what it overlooks."""

    right: str = field(kw_only=True)
    mistakes: Mapping[str, str] = field(kw_only=True)

    def judge(self, answer: object) -> Verdict:
        found = re.match(r"\W*([a-z])(?:\W|$)", str(answer).lower())  # c, "C.", "(c)", "c) because"
        letter = found[1] if found else ""
        if letter == self.right:
            return Verdict(RIGHT, self.why)
        letters = ", ".join(sorted([self.right, *self.mistakes]))
        return Verdict(WRONG, self.mistakes.get(letter, f"give one letter of {letters}, such as \"a\""))


def results() -> dict[str, dict]:
    """What was tried in this run: see `read_results`. A record that is not there or is broken counts as
    empty.
    """
    try:
        return read_results(_file())
    except (OSError, InputError):
        return {}


def read_results(path: Path) -> dict[str, dict]:
    """The record of a student: for each exercise that was tried, whether it was ever `solved`, and the number
    of `tries`.

    Raises:
        InputError: the file is no such record; the message names it.
    """
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): {"solved": bool(entry["solved"]), "tries": int(entry["tries"])} for name,
                entry in kept.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: no record of exercises ({type(error).__name__}); ask for the file that "
                         "the notebooks wrote") from None


def _file() -> Path:
    return Path(os.environ.get("RADAR_RUN") or runs_folder()) / "exercises.json"


def _remember(name: str, verdict: Verdict) -> None:
    """Keep the result; a folder that cannot be written costs the count, not the lesson."""
    if verdict.status == UNTRIED:
        return
    try:
        with waiting_for(_file(), seconds=5):  # several notebooks may be open
            known = results()
            entry = known.get(name, {"solved": False, "tries": 0})
            known[name] = {"solved": entry["solved"] or verdict.status == RIGHT, "tries": entry["tries"] + 1}
            write_text(_file(), json.dumps(known, indent=1) + "\n", durable=False)
    except (OSError, InputError):
        pass
