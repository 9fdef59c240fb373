"""Groups, arrays and texts of an HDF5 file that is not to be trusted, with errors that name file, layer and field."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np

from snnkd.base import recognition
from snnkd.base.errors import FormatError
from snnkd.formats.hdf5.process import READER, Item, Wanted, plain

_MAX_PROBLEM = 300


@dataclass(frozen=True)
class Group:
    """A group of a file that was read; `file` and `place` ('layer/0') name it in messages."""

    items: dict[str, Item]  # of the whole file, by their places; attributes of the root as '/name'
    file: str
    place: str = ""
    members: dict[str, list[str]] = field(default_factory=dict)  # names in each group

    @property
    def where(self) -> str:
        """File and place, as messages name them."""
        return f"{self.file}: {plain(self.place)[-_MAX_PROBLEM // 2 :]}" if self.place else self.file

    def error(self, name: str, problem: str) -> FormatError:
        """Returns, for the caller to raise, the error that `problem` is wrong with `name` in this group.

        What the file says is quoted without its control characters, and not at length.
        """
        text = ": ".join(part for part in (name, problem) if part)[:_MAX_PROBLEM]
        return FormatError(f"{self.where}: {plain(text)}")

    def names(self) -> list[str]:
        """Returns the names of the group's members."""
        return list(self.members[self.place])

    def __contains__(self, name: str) -> bool:
        return name in self.members[self.place]

    def network(self, name: str) -> Group:
        """Returns the group `name` of the root, which makes the file a network's. Raises FormatError as `group` does;
        where it is missing the error says what the file is."""
        if name not in self:
            raise self.error("", recognition.of_members(self.names(), "network"))
        return self.group(name)

    def group(self, name: str) -> Group:
        """Returns the group `name`. Raises FormatError where it is missing, a link or something else."""
        if self._item(name).kind != "group":
            raise self.error(name, "expected a group")
        return Group(self.items, self.file, self._at(name), self.members)

    def numbers(self, name: str) -> np.ndarray:
        """Returns the array `name` as int64, floats truncated towards zero as NetX does.

        Raises FormatError where it is missing or no numbers, and for values that are not finite or beyond 32 bits.
        """
        return self._numbers(name).astype(np.int64)

    def floats(self, name: str) -> np.ndarray:
        """Returns the array `name` as float64, not truncated. Raises FormatError as `numbers` does."""
        return self._numbers(name).astype(np.float64)

    def reals(self, name: str) -> np.ndarray:
        """Returns the array `name` as float64, of any magnitude up to 1e30. Raises FormatError as `numbers` does."""
        return self._numbers(name, -1e30, 1e30).astype(np.float64)

    def integers(self, name: str) -> np.ndarray:
        """Returns the array `name` as int64. Raises FormatError as `numbers` does, and where it holds floats (a float
        decay makes Lava hang)."""
        item = self._array(name)
        if item.kind != "numbers" or item.dtype[1] == "f":
            raise self.error(name, f"expected integers, found {_named(item)}")
        return self.numbers(name)

    def text(self, name: str) -> str:
        """Returns the short string `name`, a scalar or of shape (1,), as NetX takes it: spaces count.

        Raises FormatError where it is missing or something else.
        """
        item = self._array(name)
        if item.kind != "text":
            raise self.error(name, f"expected one short string, found {_named(item)} of shape {item.shape}")
        return item.raw.decode("ascii", "replace")

    def value(self, name: str) -> np.ndarray | str:
        """Returns the numbers `name` as int64 or float64, whichever they are, or the text. Raises as `reals` does."""
        item = self._array(name)
        if item.kind == "text":
            return self.text(name)
        values = self.reals(name)
        return values if item.dtype[1:2] == "f" else values.astype(np.int64)

    def holds_value(self, name: str) -> bool:
        """Tells whether `value` may read the member `name`: numbers or one text."""
        return self.items[self._at(name)].kind in ("numbers", "text")

    def texts(self, name: str) -> np.ndarray:
        """Returns the array of strings `name`. Raises FormatError where it is missing or something else."""
        item = self._array(name)
        parts = bytes(item.raw).split(b"\0")
        if item.kind != "texts" or len(parts) != prod(item.shape):
            raise self.error(name, f"expected strings, found {_named(item)} of shape {item.shape}")
        return np.array([part.decode("utf-8", "replace") for part in parts], object).reshape(item.shape)

    def attribute(self, name: str) -> np.ndarray | str | None:
        """Returns the attribute `name` of the root, up to 16 integers or one string; None where there is none.

        Raises FormatError where it is something else or cannot be read.
        """
        item = self.items.get(f"/{name}")
        if problem := self.items["/"].problem or (item.problem if item else ""):
            raise self.error(f"attribute {name}", problem)
        if item is None:
            return None
        if item.kind == "text":
            try:
                return item.raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise self.error(f"attribute {name}", "expected text in UTF-8") from error
        if item.kind != "numbers" or item.dtype[1] == "f":
            raise self.error(f"attribute {name}", f"unexpected {_named(item)} of shape {item.shape}")
        return _values(item)

    def _numbers(self, name: str, low: float = -(1 << 31), high: float = (1 << 31) - 1) -> np.ndarray:
        item = self._array(name)
        if item.kind != "numbers":
            raise self.error(name, f"expected numbers, found {_named(item)}")
        values = _values(item)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise self.error(name, "holds NaN or infinite values")
        if values.size and (values.min().item() < low or values.max().item() > high):
            bound = "do not fit 32 bits" if isinstance(high, int) else f"are beyond {high:g}"
            raise self.error(name, f"values {values.min()} to {values.max()} {bound}")
        return values

    def _array(self, name: str) -> Item:
        item = self._item(name)
        if item.kind == "group":
            raise self.error(name, "expected an array")
        return item

    def _item(self, name: str) -> Item:
        if name not in self:
            raise self.error(name, "is missing")
        item = self.items[self._at(name)]
        if item.kind == "refused":
            raise self.error(name, item.problem)
        return item

    def _at(self, name: str) -> str:
        return f"{self.place}/{name}" if self.place else name


@contextlib.contextmanager
def opened(path: Path, wanted: Wanted) -> Iterator[Group]:
    """Reads what is wanted of the file at `path` and yields its root.

    Whatever is wrong with it is a FormatError that names the file.
    """
    if not path.exists():
        raise FormatError(f"{path}: no such file")
    try:
        if what := recognition.sentence(path, "network"):
            raise FormatError(what)
        yield _root(str(path), wanted)
    except FormatError as error:
        message = str(error)
        raise (error if message.startswith(str(path)) else FormatError(f"{path}: {message}")) from error
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror}") from error


def _root(path: str, wanted: Wanted) -> Group:
    items = READER.items(path, wanted)
    root = items.get("", Item("refused"))
    if root.kind != "group" or "/" not in items:
        raise FormatError(f"cannot be read as HDF5: {plain(root.problem)}")
    members: dict[str, list[str]] = {place: [] for place, item in items.items() if item.kind == "group"}
    for place in items:
        group, _, name = place.rpartition("/")
        if place and group not in members:
            raise FormatError("damaged: the HDF5 library says what it should not")
        if name:
            members[group].append(name)
    return Group(items, path, "", members)


def _values(item: Item) -> np.ndarray:
    return np.frombuffer(item.raw, item.dtype).reshape(item.shape)


def _named(item: Item) -> str:
    return str(np.dtype(item.dtype)) if item.kind == "numbers" else item.dtype
