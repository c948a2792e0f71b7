"""What a user is told: errors and notices, one line each."""

import warnings


def one_line(text: str) -> str:
    """`text` with all that does not print spelt out: line breaks, escape codes. A name may hold anything."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


class InputError(ValueError):
    """Something the user gave is wrong. One line: the file or argument, what was found, what to do."""

    def __str__(self) -> str:
        return one_line(super().__str__())

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in a notebook: the one line, without the way that led to it."""
        return [f"{type(self).__name__}: {self}"]


class StorageError(InputError):
    """The disk is full or cannot be written. What was there before is untouched."""


class Unavailable(InputError):
    """A method cannot be measured here; the message says what is missing and how to get it."""


class Notice(UserWarning):
    """Something the user should know, and need not do anything about."""


def tell(text: str) -> None:
    """Tell the user something in one line, once; the work goes on."""
    warnings.warn(Notice(one_line(text)), stacklevel=3)
