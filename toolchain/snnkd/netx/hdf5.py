"""Reading an HDF5 file that is not to be trusted: hard links only, sizes checked first, errors that name the place."""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import h5py
import numpy as np

from snnkd.errors import FormatError

MAX_ELEMENTS = 1 << 26  # of one array: four times what the largest networks for one board hold
_MAX_TEXT = 1 << 20
_HEAP = b"GCOL\x01\0\0\0"  # a collection of strings: this, its size, then objects of a 16 byte header each


@dataclass(frozen=True)
class Group:
    """A group of an open file; `file` and `place` ('layer/0') name it in messages."""

    handle: h5py.Group
    file: str
    place: str = ""

    @property
    def where(self) -> str:
        return f"{self.file}: {self.place}" if self.place else self.file

    def error(self, name: str, problem: str) -> FormatError:
        return FormatError(": ".join(part for part in (self.file, self.place, name, problem) if part))

    def names(self) -> list[str]:
        return list(self.handle.keys())

    def __contains__(self, name: str) -> bool:
        return name in self.names()

    def group(self, name: str) -> Group:
        """The group `name`; FormatError where it is missing, a link or something else."""
        member = self._member(name)
        if not isinstance(member, h5py.Group):
            raise self.error(name, "expected a group")
        return Group(member, self.file, f"{self.place}/{name}" if self.place else name)

    def numbers(self, name: str) -> np.ndarray:
        """The array `name`: integers as int64, floats truncated towards zero as NetX does, all in 32 bits."""
        dataset = self._array(name)
        if dataset.dtype.kind not in "iuf":
            raise self.error(name, f"expected numbers, found {dataset.dtype}")
        values = np.asarray(dataset[()])
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise self.error(name, "holds NaN or infinite values")
        if values.size and (values.min() < -(1 << 31) or values.max() >= 1 << 31):
            raise self.error(name, f"values {values.min()} to {values.max()} do not fit 32 bits")
        return values.astype(np.int64)

    def integers(self, name: str) -> np.ndarray:
        """The array `name` as int64; FormatError where it holds floats (a float decay makes Lava hang)."""
        dtype = self._array(name).dtype
        if dtype.kind not in "iu":
            raise self.error(name, f"expected integers, found {dtype}")
        return self.numbers(name)

    def text(self, name: str) -> str:
        """The short string `name`, a scalar or of shape (1,)."""
        dataset = self._array(name)
        if dataset.size != 1 or h5py.check_string_dtype(dataset.dtype) is None or dataset.dtype.itemsize > 256:
            raise self.error(name, f"expected one short string, found {dataset.dtype} of shape {dataset.shape}")
        if dataset.dtype.kind == "O" and not 0 < self._stored_length(dataset) <= 256:
            raise self.error(name, "damaged, or longer than any name")
        value = np.asarray(dataset[()], dtype=object).reshape(-1)[0]
        raw = value if isinstance(value, bytes) else str(value).encode()
        return raw.decode("ascii", "replace").strip("\0 ")

    def attribute(self, name: str) -> np.ndarray | str | None:
        """The attribute `name`: up to 16 numbers or one string; None where there is none."""
        if name not in self.handle.attrs:
            return None
        found = self.handle.attrs.get_id(name)
        is_text = h5py.check_string_dtype(found.dtype) is not None
        if prod(found.shape) > (1 if is_text else 16) or not (is_text or found.dtype.kind in "iu"):
            raise self.error(f"attribute {name}", f"unexpected {found.dtype} of shape {found.shape}")
        value = self.handle.attrs[name]
        if not is_text:
            return np.asarray(value)
        value = np.asarray(value, dtype=object).reshape(-1)[0]
        if len(value) > _MAX_TEXT:
            raise self.error(f"attribute {name}", f"a text of {len(value)} characters is too long")
        return value.decode("utf-8") if isinstance(value, bytes) else str(value)

    def _stored_length(self, dataset: h5py.Dataset) -> int:
        """Length of a string that lies in a heap, as the reference to it says: the library takes any for real."""
        offset = dataset.id.get_offset()
        if offset is None:
            return -1
        with Path(self.file).open("rb") as file:
            file.seek(offset)
            return int.from_bytes(file.read(4), "little")

    def _member(self, name: str) -> h5py.HLObject:
        if name not in self.names():
            raise self.error(name, "is missing")
        if not isinstance(self.handle.get(name, getlink=True), h5py.HardLink):
            raise self.error(name, "is a link; expected the data itself, links are not followed")
        return self.handle[name]

    def _array(self, name: str) -> h5py.Dataset:
        member = self._member(name)
        if not isinstance(member, h5py.Dataset):
            raise self.error(name, "expected an array")
        if member.external or member.is_virtual:
            raise self.error(name, "keeps its data in another file; that is not followed")
        if member.shape is None:
            raise self.error(name, "is empty")
        if prod(member.shape) > MAX_ELEMENTS:
            raise self.error(name, f"shape {member.shape} has more than {MAX_ELEMENTS} elements")
        return member


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Group]:
    """The root of the file at `path`, open for reading. Whatever goes wrong with it is a FormatError that names it."""
    if not path.is_file():
        raise FormatError(f"{path}: no such file")
    try:
        _check_heaps(path)
        with h5py.File(path, "r") as file:
            yield Group(file, str(path))
    except FormatError as error:
        message = str(error)
        raise (error if message.startswith(str(path)) else FormatError(f"{path}: {message}")) from error
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise FormatError(f"{path}: cannot be read as a .net file (HDF5): {error}") from error


def _check_heaps(path: Path) -> None:
    """Raises FormatError where a string heap's objects do not fill it: the HDF5 library loops for ever on an empty one.

    Layout: HDF5 file format specification, III.E "Global Heap" (8 byte sizes, as every .net file has).
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise FormatError(f"{path}: is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            start = data.find(_HEAP)
            while start >= 0:
                (size,) = struct.unpack("<Q", data[start + 8 : start + 16].ljust(8, b"\0"))
                end, at = start + size, start + 16
                while at + 16 <= end <= len(data):
                    index, _, length = struct.unpack("<HHxxxxQ", data[at : at + 16])
                    step = length if index == 0 else 16 + (length + 7) // 8 * 8
                    if step < 16:
                        raise FormatError(f"{path}: damaged: a string heap at byte {start} has an empty object")
                    at += step
                start = data.find(_HEAP, start + 8)
