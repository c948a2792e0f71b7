"""How a student's result is compared with the right one, and what is told of the difference."""

import numpy as np


def copies(arguments: tuple) -> list:
    """The arguments of a call, arrays copied: a student's function may change them."""
    return [argument.copy() if isinstance(argument, np.ndarray) else argument for argument in arguments]


def array(value: object) -> np.ndarray:
    """A student's result as an array; a tensor that remembers its gradients too."""
    values = np.asarray(value.detach() if hasattr(value, "detach") else value)
    if values.dtype.kind in "USO" and not all(isinstance(part, (int, float)) for part in values.ravel()):
        raise TypeError("no numbers")
    return values.astype(float)


def same(given: object, expected: object) -> bool:
    """Whether a result is the right one, to four digits."""
    try:
        given, expected = array(given), array(expected)
    except (TypeError, ValueError):
        return False
    return given.shape == expected.shape and np.allclose(given, expected, rtol=1e-4, atol=1e-7,
                                                         equal_nan=True)


def difference(inputs: list, given: list, expected: list, changed: bool) -> str:
    """What a student is told of a function that is wrong in no known way: one input, both results."""
    wrong = next(index for index, pair in enumerate(zip(given, expected, strict=True)) if not same(*pair))
    theirs, ours = given[wrong], array(expected[wrong])
    try:
        values = array(theirs)
    except (TypeError, ValueError):
        return f"your function gives {told(theirs)}; {told(ours)} is asked for"
    if values.shape != ours.shape:
        return f"your result has the shape {values.shape}, {ours.shape} is asked for"
    case = f"for {', '.join(map(told, inputs[wrong]))} you give {told(theirs)}, right is {told(ours)}"
    if changed:
        return f"your function changes its input; work on a copy ({case})"
    if np.asarray(theirs).dtype == bool and not np.isin(ours, (0, 1)).all():
        return f"your result is True or False, numbers are asked for ({case})"
    if any(np.allclose(values, np.round(ours, digits), rtol=0, atol=1e-9) for digits in range(4)):
        return f"your result is rounded; leave all digits ({case})"
    return f"the shape is right, the numbers are not: {case}"


def told(value: object) -> str:
    """A value in a few words: the first numbers of an array, with three digits."""
    if isinstance(value, np.ndarray) and value.size > 1:
        first = ", ".join(f"{number:.3g}" for number in value.ravel()[:4].astype(float))
        return f"[{first}{', ...' if value.size > 4 else ''}]"
    number = isinstance(value, (int, float, np.number, np.ndarray))
    return f"{float(value):.4g}" if number else repr(value)[:60]


def short(error: BaseException) -> str:
    """The first line of an error, which may itself fail to be told."""
    try:
        return str(error).splitlines()[0][:100]
    except Exception:
        return "no message"
