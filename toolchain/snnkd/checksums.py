"""SHA256SUMS: the digests of a folder's files, in the format of `sha256sum --check`.

A run folder and a bundle have one. A file that it lists is compared with its digest whenever it is read back
(`files.read_bytes`), so that a damaged one is refused and never used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from snnkd.errors import FormatError

SUMS = "SHA256SUMS"


def of(data: bytes) -> str:
    """Returns the sha256 (hex) of bytes."""
    return hashlib.sha256(data).hexdigest()


def text(digests: Mapping[str, str]) -> str:
    """Writes digests (hex, by file name) as the contents of a SHA256SUMS, sorted by name."""
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))


def parsed(contents: str) -> dict[str, str]:
    """Reads the digests (hex, by file name) in the contents of a SHA256SUMS."""
    lines = (line.partition("  ") for line in contents.splitlines())
    return {name: digest for digest, _, name in lines}


def beside(path: Path) -> dict[str, str]:
    """Reads the SHA256SUMS in the folder of `path`; empty where there is none."""
    sums = path.with_name(SUMS)
    return parsed(sums.read_text(encoding="utf-8", errors="replace")) if sums.is_file() else {}


def check(path: Path, data: bytes) -> None:
    """Compares what was read from `path` with the SHA256SUMS beside it. Raises FormatError where it differs."""
    listed = beside(path).get(path.name)
    if listed is not None and listed != of(data):
        raise FormatError(
            f"{path}: damaged, or changed since it was written: its SHA-256 is not the one in {SUMS} beside it; put "
            "the original back or have it made again; to use a changed file, copy it to another folder"
        )
