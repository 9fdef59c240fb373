"""Groups, arrays and texts of an HDF5 file that is not to be trusted, with errors that name file, layer and field."""

from __future__ import annotations

import contextlib
import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from snnkd.base.errors import FormatError
from snnkd.formats.netx import hdf5_arrays as arrays
from snnkd.formats.netx import hdf5_format as form

_MAX_TEXT = 1 << 20
_MAX_PROBLEM = 300
_EXTERNAL_LINK = re.compile(rb"\x01\x08\x40(.)", re.DOTALL)  # version, flags, kind; the length of its name


@dataclass(frozen=True)
class Group:
    """A group of an open file; `file` and `place` ('layer/0') name it in messages."""

    data: form.Bytes
    header: form.Messages
    members: dict[str, int | None]
    file: str
    place: str = ""

    @property
    def where(self) -> str:
        return f"{self.file}: {self.place}" if self.place else self.file

    def error(self, name: str, problem: str) -> FormatError:
        """What the file says is quoted without its control characters, and not at length."""
        told = ": ".join(part for part in (name, problem) if part)[:_MAX_PROBLEM]
        return FormatError(f"{self.where}: " + "".join(c if c.isprintable() else "\ufffd" for c in told))

    def names(self) -> list[str]:
        return list(self.members)

    def __contains__(self, name: str) -> bool:
        return name in self.members

    def group(self, name: str) -> Group:
        """The group `name`; FormatError where it is missing, a link or something else."""
        with self._reading(name):
            header = self._header(name)
        found = Group(self.data, header, {}, self.file, f"{self.place}/{name}" if self.place else name)
        with found._reading(""):
            found.members.update(_members(self.data, header))
        return found

    def numbers(self, name: str) -> np.ndarray:
        """The array `name`: integers as int64, floats truncated towards zero as NetX does, all in 32 bits."""
        return self._numbers(name, self._array(name)).astype(np.int64)

    def floats(self, name: str) -> np.ndarray:
        """The array `name` as float64, in 32 bits before the point: nothing of it is truncated."""
        return self._numbers(name, self._array(name)).astype(np.float64)

    def integers(self, name: str) -> np.ndarray:
        """The array `name` as int64; FormatError where it holds floats (a float decay makes Lava hang)."""
        array = self._array(name)
        if array.kind not in "iu":
            raise self.error(name, f"expected integers, found {array}")
        return self._numbers(name, array).astype(np.int64)

    def text(self, name: str) -> str:
        """The short string `name`, a scalar or of shape (1,), as NetX takes it: spaces count."""
        array = self._array(name)
        if array.kind not in "SO" or array.shape not in ((), (1,)) or array.size > 256:
            raise self.error(name, f"expected one short string, found {array} of shape {array.shape}")
        with self._reading(name):
            return arrays.string(self.data, array, 256).decode("ascii", "replace")

    def attribute(self, name: str) -> np.ndarray | str | None:
        """The attribute `name`: up to 16 integers or one string; None where there is none."""
        with self._reading(f"attribute {name}"):
            array = arrays.attribute(self.header, name)
            if array is None:
                return None
            if array.kind not in "iuSO" or prod(array.shape) > (1 if array.kind in "SO" else 16):
                raise form.Damaged(f"unexpected {array} of shape {array.shape}")
            if array.kind in "iu":
                return array.values()
            if array.shape not in ((), (1,)):
                raise form.Damaged(f"expected one string, found the shape {array.shape}")
            try:
                return arrays.string(self.data, array, _MAX_TEXT).decode("utf-8")
            except UnicodeDecodeError as error:
                raise form.Damaged("expected text in UTF-8") from error

    def _numbers(self, name: str, array: arrays.Array) -> np.ndarray:
        if array.kind not in "iuf":
            raise self.error(name, f"expected numbers, found {array}")
        values = array.values()
        if array.kind == "f" and not np.isfinite(values).all():
            raise self.error(name, "holds NaN or infinite values")
        if values.size and (values.min() < -(1 << 31) or values.max() >= 1 << 31):
            raise self.error(name, f"values {values.min()} to {values.max()} do not fit 32 bits")
        return values

    @contextlib.contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except form.Damaged as error:
            raise self.error(name, str(error)) from error

    def _header(self, name: str) -> form.Messages:
        if name not in self.members:
            raise form.Damaged("is missing")
        address = self.members[name]
        if address is None:
            raise form.Damaged("is a link; expected the data itself, links are not followed")
        return form.messages(self.data, address)

    def _array(self, name: str) -> arrays.Array:
        with self._reading(name):
            return arrays.array(self.data, self._header(name))


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Group]:
    """The root of the file at `path`, open for reading. Whatever is wrong with it is a FormatError that names it."""
    if not path.is_file():
        raise FormatError(f"{path}: no such file")
    try:
        if not path.stat().st_size:
            raise FormatError("is empty")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield _root(form.Bytes(data), str(path))
    except FormatError as error:
        message = str(error)
        raise (error if message.startswith(str(path)) else FormatError(f"{path}: {message}")) from error
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror}") from error


def _root(data: form.Bytes, name: str) -> Group:
    try:
        header = form.root(data)
        return Group(data, header, _members(data, header), name)
    except form.Damaged as error:
        raise FormatError(f"cannot be read as a .net file (HDF5): {error}") from error


def _members(data: form.Bytes, header: form.Messages) -> dict[str, int | None]:
    """Addresses of what a group holds. One with links to other files has the newer form: the first of them is named."""
    described = dict(reversed(header))
    if form.LINKS in described:
        links = b"".join(body for kind, body in header if kind == form.LINK) + _link_heap(data, described[form.LINKS])
        if found := _EXTERNAL_LINK.search(links):
            name = links[found.end() :][: found[1][0]].decode("utf-8", "replace")
            raise form.Damaged(f"{name}: is a link to another file; links are not followed")
        raise form.Damaged(form.NEWER)
    if form.TABLE not in described:
        raise form.Damaged("expected a group")
    return form.members(data, header)


def _link_heap(data: form.Bytes, described: bytes) -> bytes:
    """The first links of a group that has too many for its header (III.G); nothing where they are not found."""
    counted = 8 * (described[1:2] in (b"\1", b"\3"))
    heap = int.from_bytes(described[2 + counted : 10 + counted], "little")
    try:
        (size,), (block,) = data.unpack("Q", heap + 112), data.unpack("Q", heap + 132)
        return data.take(block, min(size, 4096))
    except form.Damaged:
        return b""
