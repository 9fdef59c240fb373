"""Typed errors and warnings. Each message says where, what was expected, and what to do.

The CLI prints an error and exits 2; it prints warnings and notes on stderr and goes on.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


def closest(name: Any, known: Iterable[str]) -> str:
    """Ends a message about an unknown name: ': did you mean ...?' with the closest known one, else '; known: ...'."""
    known = list(known)
    close = difflib.get_close_matches(str(name).lower(), known, n=1, cutoff=0.6)
    return f": did you mean '{close[0]}'?" if close else f"; known: {', '.join(known)}"


def in_a_line(value: object) -> str:
    """Returns what another library's error says, or a name in a file: one short line without control characters."""
    shown = "".join(letter if letter.isprintable() else " " for letter in str(value))
    line = " ".join(shown.split())[:200]
    return line or (type(value).__name__ if isinstance(value, Exception) else "")


class SnnkdError(Exception):
    """Unusable input or an unmet need. The message is complete: it is shown to the user as it is."""


class RecipeError(SnnkdError):
    """A recipe or a network description cannot be used; names the file and the field."""


class DataError(SnnkdError):
    """A data set is missing or damaged; names the file."""


class QuantizationError(SnnkdError):
    """A trained network has no exact integer form."""


class FormatError(SnnkdError):
    """A file or an array is not what it should be; names the file, the layer and the field."""


class LimitError(SnnkdError):
    """A target or an engine cannot take this network, or is not available here."""


class MismatchError(SnnkdError):
    """Things that must agree do not, e.g. a checkpoint and the recipe that it should belong to."""


class SnnkdWarning(UserWarning):
    """Something that was changed in the user's input, or that makes a result say less than it seems to."""


class Note(SnnkdWarning):
    """Something that the user wants to know and need not act on, e.g. where a training is taken up again."""
