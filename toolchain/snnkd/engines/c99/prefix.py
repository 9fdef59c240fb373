"""Generated C under a prefix of its own, so that several networks can be in one firmware.

Runtime and generator write `snnkd_step`, `SNNKD_STEPS`, `model.h`, `golden_input` and so on; in the finished text a
prefix takes the place of snnkd, or is put in front. What is static in a file keeps its name, as does the start-up code
in cortex-m/, which a firmware has once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from snnkd.base.errors import LimitError

PLAIN = "snnkd"  # the prefix that the sources have
_LONGEST = 20
_FILES = ("snnkd", "model", "golden", "selftest", "port")  # NAME.c or NAME.h
_STEMS = ("snnkd", "golden", "port")  # of identifiers, and of files: snnkd_step, GOLDEN_STEPS, port_host.c
_NAME = re.compile(
    rf"(?<=project\()snnkd|\b(?:(?P<file>{'|'.join(_FILES)})(?=\.[ch]\b)|(?P<stem>{'|'.join(_STEMS)})(?=_)"
    rf"|(?P<upper>{'|'.join(_STEMS).upper()}|MODEL)(?=_))"
)


def check(prefix: str) -> str:
    """Returns the prefix itself. Raises LimitError for one that C or this generator cannot use."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", prefix) or len(prefix) > _LONGEST or "__" in prefix:
        raise LimitError(
            f"--prefix {prefix}: expected 2 to {_LONGEST} lower-case letters, digits and single underscores, a letter "
            "first, like wake_word"
        )
    return prefix


def renamed(text: str, prefix: str) -> str:
    """Writes `text`, C or what speaks of it, with `prefix` in all public names, macros, guards and names of files."""
    return text if prefix == PLAIN else _NAME.sub(lambda found: _own(found, prefix), text)


def of_files(files: Mapping[str, bytes], prefix: str) -> dict[str, bytes]:
    """Gives files of C, makefiles included, by path, their own names and contents with `prefix`."""
    return {renamed(path, prefix): renamed(data.decode(), prefix).encode() for path, data in files.items()}


def _own(found: re.Match[str], prefix: str) -> str:
    word = found[0]
    if found["upper"]:
        return prefix.upper() if word == PLAIN.upper() else f"{prefix.upper()}_{word}"
    return prefix if word == PLAIN else f"{prefix}_{word}"
