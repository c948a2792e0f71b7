"""How an answer is read, how a result is compared with the right one, and what is told of the difference."""

import inspect
import re
from collections.abc import Callable

import numpy as np


def copies(arguments: tuple) -> list:
    """The arguments of a call, arrays copied: a student's function may change them."""
    return [argument.copy() if isinstance(argument, np.ndarray) else argument for argument in arguments]


def array(value: object) -> np.ndarray:
    """A student's result as an array of floats; a tensor that remembers its gradients too.

    Raises:
        TypeError, ValueError: it holds something else than real numbers.
    """
    values = np.asarray(value.detach() if hasattr(value, "detach") else value)
    numbers = values.dtype.kind in "biuf" or (
        values.dtype.kind == "O" and all(hasattr(part, "__float__") for part in values.ravel()))
    if not numbers:
        raise TypeError("no numbers")
    return values.astype(float)


def number(answer: object) -> float:
    """The one number that an answer is.

    Raises:
        ValueError: it is none; the message tells the student what to write.
    """
    if isinstance(answer, (str, bytes)):
        raise ValueError(_written(answer if isinstance(answer, str) else answer.decode("utf-8", "replace")))
    if isinstance(answer, tuple) and len(answer) > 1:
        raise ValueError("give one number; Python reads a comma as several: "
                         "write 1000 for 1,000 and 0.5 for 0,5")
    if callable(answer):
        raise ValueError("give one number, not a function: call it first")
    try:
        values = array(answer)
    except OverflowError:
        raise ValueError("that number is too large for any count") from None
    except (TypeError, ValueError):
        raise ValueError("give one number, such as 12 or 0.5") from None
    if np.size(values) != 1:
        raise ValueError("give one number, not several")
    if _is_mask(answer):
        raise ValueError("True and False are not numbers; give one number")
    if not np.isfinite(values).all():
        raise ValueError("that number is not finite")
    return float(values.ravel()[0])


def _written(text: str) -> str:
    """What to tell somebody who gave a text for a number; says nothing about the number itself."""
    text = text.strip()
    if re.fullmatch(r"[-+]?\d+(\.\d+)?", text):
        return f"that is a text: remove the quotes, and write {text}"
    if "%" in text:
        return ("that is a text; write the number alone, without quotes and without %: "
                "5 % is 5 if the question asks for percent, and 0.05 if it asks for a share")
    if re.fullmatch(r"[-+]?\d{1,3}([,' _]\d{3})+(\.\d+)?", text):
        whole = re.sub("[,' _]", "", text)
        return f"that is a text; write {whole}, without quotes and in one piece"
    if re.fullmatch(r"[-+]?\d+,\d+", text):
        return f"that is a text; write {text.replace(',', '.')}, without quotes and with a point"
    if re.fullmatch(r"[-+\d.\s()*/e]*\d[-+\d.\s()*/e]*", text):
        return "that is a text: remove the quotes, and Python computes it"
    if re.match(r"[-+~]?\s*\d", text):
        return "that is a text; write the number alone, without quotes, without a unit or a word"
    return "that is a text; write the number in digits, without quotes"


def letter(answer: object, letters: str) -> str:
    """The letter of a choice in any dress: c, "C.", "(c)", "c) because"; empty if it is none, or several."""
    if isinstance(answer, (list, tuple, set, frozenset)) and len(answer) == 1:
        (answer,) = answer
    if not isinstance(answer, str):
        return ""
    found = re.match(r"[\W_]*(?:(?:answer|option|letter|choice)[\W_]+)?([a-z])(?:[\W_]|$)(.*)",
                     answer.lower(), re.DOTALL)
    another = found and re.match(rf"\W*(?:or\b|and\b)?\W*[{letters}]"
                                 rf"(?:\W*$|\W*(?:or|and)\b|\W*[,/|;]|\W+[{letters}](?:\W|$))", found[2])
    return found[1] if found and not another else ""


def same(given: object, expected: object) -> bool:
    """Whether a result is the right one, to four digits."""
    try:
        given, expected = array(given), array(expected)
    except (TypeError, ValueError, OverflowError):
        return False
    return given.shape == expected.shape and np.allclose(given, expected, rtol=1e-4, atol=1e-7,
                                                         equal_nan=True)


def difference(answer: Callable, inputs: list, given: list, expected: list, changed: bool) -> str:
    """What a student is told of a function that is wrong in no known way: one input, both values.

    Args:
        answer: the function; inputs, given, expected: of each call; changed: whether it changes its input.
    """
    wrong = next(index for index, pair in enumerate(zip(given, expected, strict=True)) if not same(*pair))
    theirs, ours = given[wrong], array(expected[wrong])
    case = f"for {listed(answer, inputs[wrong])} you give {told(theirs)}, right is {told(ours)}"
    try:
        values = array(theirs)
    except (TypeError, ValueError, OverflowError):
        return f"your result is no {'array of numbers' if ours.size > 1 else 'number'}: {case}"
    if _is_mask(theirs) and not np.isin(ours, (0, 1)).all():
        return f"your result is True or False (a mask), the exercise needs numbers: {case}"
    if values.shape != ours.shape:
        return f"your result has the shape {values.shape}, the right shape is {ours.shape}: {case}"
    if ours.size > 8:
        place = tuple(map(int, np.argwhere(~np.isclose(values, ours, rtol=1e-4, atol=1e-7))[0]))
        case += f"; the first difference is at {list(place)}: {values[place]:.6g}, right is {ours[place]:.6g}"
    if changed:
        return f"your function changes its input, which may be the fault; work on a copy: {case}"
    if _rounded(given, expected):
        return f"your result is rounded; leave all digits: {case}"
    return f"the shape is right, the numbers are not: {case}"


def listed(answer: Callable, arguments: tuple) -> str:
    """The arguments of a call in a few words, `x = [1, 2, ...], t = 3`, with the student's own names."""
    try:
        names = [f"{name} = " for name in inspect.signature(answer).parameters]
    except Exception:  # whatever a student hands over
        names = []
    names = names if len(names) == len(arguments) else [""] * len(arguments)
    return ", ".join(name + told(value) for name, value in zip(names, arguments, strict=True))


def told(value: object) -> str:
    """A value in a few words: the first numbers of an array, and its shape."""
    try:
        values = np.asarray(value.detach() if hasattr(value, "detach") else value)
        if values.dtype.kind == "b":
            return str(values.ravel()[0]) if values.size == 1 else f"a mask of shape {values.shape}"
        numbers = array(values).ravel()
    except Exception:  # whatever a student's function gives
        return _printed(value)
    if values.ndim == 0:
        return f"{numbers[0]:.6g}"
    few = numbers if values.size <= 8 else numbers[:4]
    shape = f" of shape {values.shape}" if values.ndim > 1 else ""
    return f"[{', '.join(f'{each:.4g}' for each in few)}{', ...' if values.size > 8 else ''}]{shape}"


def short(error: BaseException) -> str:
    """The first line of an error, which may itself fail to be told."""
    try:
        return str(error).splitlines()[0][:100]
    except Exception:
        return "no message"


def _printed(value: object) -> str:
    try:
        return repr(value)[:60]
    except Exception:
        return f"an object of type {type(value).__name__}"


def _is_mask(value: object) -> bool:
    values = np.asarray(value.detach() if hasattr(value, "detach") else value)
    return values.dtype.kind == "b"


def _rounded(given: list, expected: list) -> bool:
    """Whether all results are the right ones, rounded to the same few digits (and not just one constant)."""
    try:
        theirs = [array(value) for value in given]
        ours = [array(value) for value in expected]
    except (TypeError, ValueError, OverflowError):
        return False
    if any(a.shape != b.shape for a, b in zip(theirs, ours, strict=True)):
        return False
    theirs, ours = (np.concatenate([values.ravel() for values in each]) for each in (theirs, ours))
    cut = [np.trunc(ours), *(np.round(ours, digits) for digits in range(6))]
    return len(np.unique(theirs)) > 1 and any(np.allclose(theirs, each, rtol=0, atol=1e-6) for each in cut)
