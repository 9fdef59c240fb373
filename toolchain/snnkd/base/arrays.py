"""Arrays in .npy and .npz files that are not to be trusted: what they claim to hold is checked before it is read."""

from __future__ import annotations

import io
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from snnkd.base import memory, recognition
from snnkd.base.errors import FormatError, in_a_line

# What numpy and zipfile raise of damaged files, their members and headers.
DAMAGE = (OSError, ValueError, EOFError, TypeError, SyntaxError, OverflowError, MemoryError, RuntimeError, LookupError)
DAMAGE += (AttributeError, NotImplementedError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error)
_LONGEST_HEADER = 1 << 16  # bytes
_ADVICE = "cut it into several files"


@dataclass(frozen=True, eq=False)
class Rows:
    """An array (N, ...) in an .npy file that may be larger than memory: slices of its rows are read when they are asked
    for. Not mapped: of a file that is cut off meanwhile, that ends the process."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    start: int  # where the first row is in the file

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Reads rows. Raises FormatError where they are there no more."""
        first, stop, _ = rows.indices(len(self))
        shape = (max(0, stop - first), *self.shape[1:])
        memory.check(str(self.path), prod(shape) * self.dtype.itemsize, _ADVICE)
        try:
            skipped = self.start + first * prod(self.shape[1:]) * self.dtype.itemsize
            values = np.fromfile(self.path, self.dtype, prod(shape), offset=skipped)
            return values.reshape(shape)
        except (OSError, ValueError) as error:
            raise FormatError(f"{self.path}: was changed while it was read: {in_a_line(error)}") from error


def opened(path: Path, names: Sequence[str]) -> np.ndarray | Rows:
    """Opens what `read` reads, without reading it where that is possible: an .npy file in C order.

    Raises as `read` does; but for more than fits in memory only where it has to be read.
    """
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":
                size = file.seek(0, io.SEEK_END)
                file.seek(0)
                shape, in_fortran_order, dtype = _header(str(path), file, size)
                if shape and not in_fortran_order:
                    return Rows(path, shape, dtype, file.tell())
    except DAMAGE:
        pass  # `read` says what it is
    return read(path, names)


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
    except DAMAGE as error:
        what = recognition.sentence(path, "array") or f"not an .npy file with an array ({in_a_line(error)})"
        raise FormatError(f"{path}: {what}") from error


def read_all(path: Path) -> dict[str, np.ndarray]:
    """Reads all arrays of an .npz file, by name; what else is in it is left. Raises FormatError and LimitError as
    `read` does."""
    try:
        check(path)
        with np.load(path, allow_pickle=False) as found:
            if isinstance(found, np.ndarray):
                raise FormatError(f"{path}: a single array: expected an .npz file with several")
            return {name: found[name] for name in found.files}
    except DAMAGE as error:
        raise FormatError(f"{path}: not a readable .npz file ({in_a_line(error)})") from error


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
                entries = packed.infolist()
                for entry in entries:
                    if not entry.filename.endswith(".npy") or entry.filename != in_a_line(entry.filename):
                        raise ValueError(f"'{in_a_line(entry.filename)}' in it is no array")
                memory.check(name, sum(entry.file_size for entry in entries), _ADVICE)
                for entry in entries:
                    with packed.open(entry) as member:
                        _check_one(f"{name}: {entry.filename.removesuffix('.npy')}", member, entry.file_size)
            return
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        _check_one(name, file, size)


def _check_one(name: str, file: IO[bytes], size: int) -> None:
    shape, _, dtype = _header(name, file, size)
    memory.check(name, prod(shape) * dtype.itemsize, _ADVICE)


def _header(name: str, file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran's order, and type of the array in a file of `size` bytes, which holds all of it."""
    version, start = npy.read_magic(file), file.tell()
    length = int.from_bytes(file.read(2 if version == (1, 0) else 4), "little")
    if length > min(size, _LONGEST_HEADER):  # numpy takes the memory for it before it reads
        raise ValueError(f"its header claims to be {length:,} bytes long")
    file.seek(start)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        shape, in_fortran_order, dtype = read_header(file)
    except Exception as error:  # numpy raises nearly anything on a damaged one
        raise ValueError(f"its header is damaged: {in_a_line(error)}") from error
    if dtype.hasobject:
        raise FormatError(f"{name}: is an array of Python objects, which could run any code; make it one of numbers")
    claimed, there = prod(shape) * dtype.itemsize, size - file.tell()
    if claimed > there or min(shape, default=0) < 0:
        what = f"{in_a_line(dtype)} {in_a_line(shape)}, {memory.said(claimed)}"
        raise FormatError(
            f"{name}: its header claims {what}, and {memory.said(there)} are there: cut off or damaged; copy or write "
            "it again"
        )
    return shape, in_fortran_order, dtype
