"""Arrays in .npy and .npz files that are not to be trusted: what they claim to hold is checked before it is read."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from snnkd.base import memory, recognition
from snnkd.base.errors import FormatError

_ADVICE = "cut it into several files"


def read(path: Path, names: Sequence[str]) -> np.ndarray:
    """Reads the array in an .npy file; of an .npz the only one in it, or the first that is there of `names`.

    Raises FormatError that says what the file is and what to do, LimitError for more than fits in memory.
    """
    try:
        check(path)
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            chosen = found.files if len(found.files) == 1 else [name for name in names if name in found.files]
            if not chosen:
                there = ", ".join(found.files)[:200] or "none"
                raise FormatError(f"{path}: expected one array, or one called {' or '.join(names)}, found {there}")
            return found[chosen[0]]
    except FileNotFoundError as error:
        raise FormatError(f"{path}: no such file") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        what = recognition.sentence(path, "array") or f"not an .npy file with an array ({error})"
        raise FormatError(f"{path}: {what}") from error


def check(source: Path | bytes, name: str = "") -> None:
    """Checks what the headers of an .npy or .npz file say, without reading an array.

    source: its path or its bytes. name: what messages call it, its path where it is empty.

    Raises FormatError for an array of Python objects and one that claims to be longer than what is there, LimitError
    for more than fits in memory, OSError, ValueError or BadZipFile for a file that is neither.
    """
    name = name or (str(source) if isinstance(source, Path) else "the array")
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        if file.read(4) == b"PK\3\4":
            with zipfile.ZipFile(file) as packed:
                entries = [entry for entry in packed.infolist() if entry.filename.endswith(".npy")]
                memory.check(name, sum(entry.file_size for entry in entries), _ADVICE)
                for entry in entries:
                    with packed.open(entry) as member:
                        _check_one(f"{name}: {entry.filename.removesuffix('.npy')}", member, entry.file_size)
            return
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        _check_one(name, file, size)


def _check_one(name: str, file: IO[bytes], size: int) -> None:
    version = npy.read_magic(file)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        shape, _, dtype = read_header(file)
    except Exception as error:  # numpy raises nearly anything on a damaged one
        raise ValueError(f"its header is damaged: {str(error)[:200]}") from error
    if dtype.hasobject:
        raise FormatError(f"{name}: is an array of Python objects, which could run any code; make it one of numbers")
    claimed, there = prod(shape) * dtype.itemsize, size - file.tell()
    if claimed > there:
        raise FormatError(
            f"{name}: its header claims {dtype} {shape}, {memory.said(claimed)}, and {memory.said(there)} are there: "
            "cut off or damaged; copy or write it again"
        )
    memory.check(name, claimed, _ADVICE)
