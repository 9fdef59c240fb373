"""Arrays in .npy and .npz files of anybody: what a header claims is compared with what the file can hold, before memory
is taken for it."""

from __future__ import annotations

import os
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import IO, TypeVar

import numpy as np

from snnkd.base.errors import FormatError

MOST = 1 << 33  # bytes of all arrays of a file, unpacked
_DEFLATE = 1032  # bytes that one byte can stand for in a zip, at most
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
Read = TypeVar("Read")
# What numpy and zipfile raise of damaged files
_DAMAGE = (OSError, ValueError, EOFError, TypeError, SyntaxError, OverflowError, MemoryError, struct.error)
_DAMAGE += (tokenize.TokenError, zipfile.BadZipFile, zlib.error, RuntimeError, KeyError, IndexError, AttributeError)


def read_array(path: Path) -> np.ndarray:
    """Reads the array of an .npy file. Raises FormatError that names the file; nothing in it is run."""
    return _guarded(path, ".npy file with an array", _whole)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Reads all arrays of an .npz file, by name. Raises FormatError that names the file; nothing in it is run."""
    return _guarded(path, ".npz file with arrays", _members)


def _guarded(path: Path, what: str, read: Callable[[Path], Read]) -> Read:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's, of headers that older versions wrote
            return read(path)
    except _DAMAGE as error:
        text = str(getattr(error, "strerror", None) or error) or type(error).__name__
        shown = "".join(letter if letter.isprintable() else " " for letter in text)
        raise FormatError(f"{path}: not a readable {what}: {' '.join(shown.split())[:200]}") from error


def _whole(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        _check_header(file, os.fstat(file.fileno()).st_size)
        return np.lib.format.read_array(file, allow_pickle=False)


def _members(path: Path) -> dict[str, np.ndarray]:
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        unpacked = sum(info.file_size for info in infos)
        if unpacked > MOST:
            raise ValueError(f"its arrays take {unpacked:,} bytes, more than {MOST:,}")
        return {info.filename.removesuffix(".npy"): _member(archive, info, size) for info in infos}


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int) -> np.ndarray:
    packed = min(info.compress_size, size)
    if info.file_size > packed * (_DEFLATE if info.compress_type == zipfile.ZIP_DEFLATED else 1) + _DEFLATE:
        raise ValueError(f"{info.filename}: {packed:,} bytes cannot hold the {info.file_size:,} that it claims")
    with archive.open(info) as file:
        _check_header(file, info.file_size)
        return np.lib.format.read_array(file, allow_pickle=False)


def _check_header(file: IO[bytes], size: int) -> None:
    """Raises ValueError for a header that claims more than `size` bytes, its own included; goes back to the start."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"format version {version} is not one of {', '.join(map(str, _HEADERS))}")
    shape, _, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are refused")
    claimed, held = prod(shape) * dtype.itemsize, size - file.tell()
    if claimed > held or min(shape, default=0) < 0:
        raise ValueError(f"its header claims {dtype} {shape}, {claimed:,} bytes; there are {held:,}")
    file.seek(0)
