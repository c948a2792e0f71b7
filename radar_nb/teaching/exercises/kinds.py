"""What exercises are made of: `check` tests what an answer does, `hint` helps in two steps, `solution` shows.

A check never raises and never shows the answer. What was tried and solved is counted in a record (see
`record.py`), for the notebooks and for teachers. (The idea is that of Kaggle's learntools.)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape

import numpy as np

from radar_nb.teaching.exercises import telling
from radar_nb.teaching.exercises.record import remember, solved_before

UNTRIED, RIGHT, WRONG = "not tried yet", "right", "not yet"
FACTOR_OF_100 = "a factor of 100 wrong: does the question ask for a share or for percent?"


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
        """Judge an answer, and count the try. Never raises, whatever the answer is."""
        try:
            verdict = Verdict(UNTRIED) if answer is None or answer is ... else self.judge(answer)
        except KeyboardInterrupt:
            verdict = Verdict(WRONG, "you stopped it: does your loop ever end?")
        except (Exception, SystemExit) as error:
            verdict = Verdict(WRONG, f"your answer cannot be judged ({type(error).__name__}); check what "
                                     "the exercise asks you to give")
        if verdict.status != UNTRIED:
            remember(self.name, verdict.status == RIGHT)
        elif solved_before(self.name):
            return Verdict(UNTRIED, "this cell is as it was; you have solved it before")
        return verdict

    def judge(self, answer: object) -> Verdict:
        """The verdict on an answer that was tried."""
        raise NotImplementedError

    def hint(self, number: int = 1) -> None:
        """Print the first hint, or the second, which says more."""
        print(self.hints[0 if number == 1 else 1])

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
            own = telling.copies(arguments)
            try:
                with np.errstate(all="ignore"):  # what overflows is wrong, and is said below
                    given.append(answer(*own))
                changed |= not all(map(np.array_equal, own, arguments))
            except NotImplementedError:
                return Verdict(UNTRIED)
            except (Exception, SystemExit) as error:
                said = f"{type(error).__name__}: {telling.short(error)}"
                case = telling.listed(answer, arguments)
                return Verdict(WRONG, f"your function stops with {said}. The input was {case}")
        if all(value is ... for value in given):
            return Verdict(UNTRIED)
        return self._compare(answer, inputs, given, changed)

    def _compare(self, answer: Callable, inputs: list, given: list, changed: bool) -> Verdict:
        if all(value is None for value in given):
            return Verdict(WRONG, "your function gives nothing back"
                                  + (", it changes its input: work on a copy and return that" if changed
                                     else ": is the return missing?"))
        expected = [self.right(*telling.copies(arguments)) for arguments in inputs]
        if all(map(telling.same, given, expected)):
            return Verdict(RIGHT, self.why + (". (But your function changes its input, and its caller "
                                              "may still need that)" if changed else ""))
        for message, wrong in self.mistakes.items():
            with np.errstate(all="ignore"):
                known = [wrong(*telling.copies(arguments)) for arguments in inputs]
            if all(map(telling.same, given, known)):
                return Verdict(WRONG, message)
        return Verdict(WRONG, telling.difference(answer, inputs, given, expected, changed))


@dataclass(frozen=True, repr=False)
class Number(Exercise):
    """Give a number. `mistakes` maps what a known wrong way gives to what to tell.

    A count (an int) is right or it is not; of a fraction three digits are enough. `tolerance` (relative) is
    for what is read from a picture.
    """

    right: float = field(kw_only=True)
    mistakes: Mapping[float, str] = field(kw_only=True)
    tolerance: float | None = field(default=None, kw_only=True)

    def judge(self, answer: object) -> Verdict:
        try:
            value = telling.number(answer)
        except ValueError as error:
            return Verdict(WRONG, str(error))
        if self._near(value, self.right):
            return Verdict(RIGHT, self.why)
        for wrong, message in self.mistakes.items():
            if self._near(value, wrong):
                return Verdict(WRONG, message)
        if not isinstance(self.right, int) and (self._near(100 * value, self.right)
                                                or self._near(value / 100, self.right)):
            return Verdict(WRONG, FACTOR_OF_100)
        return Verdict(WRONG, "too large" if value > self.right else "too small")

    def _near(self, value: float, other: float) -> bool:
        exact = isinstance(other, int) and self.tolerance is None
        relative = 1e-9 if exact else self.tolerance or 0.005
        return abs(value - other) <= relative * max(abs(other), 1e-9)


@dataclass(frozen=True, repr=False)
class Choice(Exercise):
    """Give a letter. `mistakes` says for each wrong one what it overlooks."""

    right: str = field(kw_only=True)
    mistakes: Mapping[str, str] = field(kw_only=True)

    def judge(self, answer: object) -> Verdict:
        letters = sorted([self.right, *self.mistakes])
        letter = telling.letter(answer, "".join(letters))
        if letter == self.right:
            return Verdict(RIGHT, self.why)
        return Verdict(WRONG, self.mistakes.get(
            letter, f"give one letter of {', '.join(letters)}, in quotes, such as \"a\""))
