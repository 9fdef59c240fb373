"""Arrays, attributes and texts of an HDF5 file, from the messages of an object header.

Follows the HDF5 File Format Specification 3.0; chapters are named where they are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from snnkd.formats.netx.hdf5_format import (
    ATTRIBUTE,
    ATTRIBUTES,
    EXTERNAL,
    FILL,
    FILTERS,
    LAYOUT,
    LINKS,
    MAX_ELEMENTS,
    NEWER,
    REMEDY,
    SPACE,
    STRUCTURE,
    TABLE,
    TIME,
    TYPE,
    Bytes,
    Damaged,
    Messages,
    unpack,
)

_CLASSES = ("", "", "time", "", "bit field", "opaque", "compound", "reference", "enumeration", "list", "array")
_FLOATS = {2: (0, 16, 10, 5, 0, 10, 15), 4: (0, 32, 23, 8, 0, 23, 127), 8: (0, 64, 52, 11, 0, 52, 1023)}  # IEEE 754


@dataclass(frozen=True)
class Array:
    """kind: i, u, f as numpy has them, S for text of a fixed length, O for text in a heap, else a word for it."""

    kind: str
    size: int
    order: str = ""
    shape: tuple[int, ...] = ()
    raw: bytes = b""

    def __str__(self) -> str:
        return "text" if self.kind in "SO" else str(self.dtype) if self.kind in "iuf" else self.kind

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(f"{self.order}{self.kind}{self.size}")

    def values(self) -> np.ndarray:
        return np.frombuffer(self.raw, self.dtype).reshape(self.shape)


def array(data: Bytes, header: Messages) -> Array:
    """The array that an object header describes; Damaged where it is none, or not stored plainly."""
    described = dict(reversed(header))  # of two of a kind the first one counts
    if not {SPACE, TYPE, LAYOUT} <= described.keys() or {TABLE, LINKS} & described.keys():
        raise Damaged("expected an array")
    version, layout = unpack("BB", described[LAYOUT])
    if EXTERNAL in described or (version, layout) == (4, 3):
        raise Damaged("keeps its data in another file; that is not followed")
    found = _described(described[TYPE], described[SPACE])
    _check_unused(described)
    if version != 3 or layout > 1 or FILTERS in described:
        raise Damaged(f"is stored in chunks or compressed, which lava-dl does not write; {REMEDY}")
    expected = prod(found.shape) * found.size
    data.spend(max(prod(found.shape), expected // 8))
    if layout:
        at, size = unpack("QQ", described[LAYOUT][2:])
        raw = b"" if not expected else data.take(at, expected)
    else:
        (size,) = unpack("H", described[LAYOUT][2:])
        raw = described[LAYOUT][4 : 4 + expected]
    if size != expected or len(raw) != expected:
        raise Damaged(f"damaged: {size} bytes for the shape {found.shape}")
    return Array(found.kind, found.size, found.order, found.shape, raw)


def _check_unused(described: dict[int, bytes]) -> None:
    """Raises Damaged where the HDF5 library would not open an array for the sake of what is not used here."""
    version, _, _, defined, size = unpack("4BI", described.get(FILL, b"\2".ljust(8, b"\0")))
    if version not in (1, 2, 3) or (version < 3 and defined and size + 8 > len(described[FILL])):
        raise Damaged("damaged: no fill value")
    if described.get(TIME, b"\1")[:1] != b"\1":
        raise Damaged("damaged: no time of writing")


def attribute(header: Messages, name: str) -> Array | None:
    """The attribute `name` of an object, None where there is none (IV.A.2.m)."""
    for kind, body in header:
        if kind == ATTRIBUTES:
            raise Damaged(NEWER)
        if kind != ATTRIBUTE:
            continue
        version, shared, *sizes = unpack("BB3H", body)
        start, parts = 8 + (version == 3), []
        for size in sizes:
            parts.append(body[start : start + size])
            start += -(-size // 8) * 8 if version == 1 else size
        if parts[0].rstrip(b"\0") != name.encode():
            continue
        if version not in (1, 2, 3) or (shared and version > 1):
            raise Damaged(NEWER)
        found = _described(parts[1], parts[2])
        expected = prod(found.shape) * found.size
        if len(body) < start + expected:
            raise Damaged("damaged: shorter than its shape says")
        return Array(found.kind, found.size, found.order, found.shape, body[start : start + expected])
    return None


def string(data: Bytes, found: Array, longest: int) -> bytes:
    """The one text of an array of kind S or O, up to its first 0 where it lies in a heap (III.E)."""
    if found.kind == "S":
        return found.raw[:longest].rstrip(b"\0")
    length, heap, wanted = unpack("IQI", found.raw)
    if length > longest:
        raise Damaged(f"damaged, or longer than {longest} characters")
    if not length:
        return b""
    signature, size = data.unpack("8sQ", heap)
    if signature != b"GCOL\x01\0\0\0" or heap + size > data.end:
        raise Damaged("damaged: its text is missing")
    at, end, text = heap + 16, heap + size, None
    while at + 16 <= end:
        data.spend(STRUCTURE)
        index, size = data.unpack("HxxxxxxQ", at)
        step = 16 + -(-size // 8) * 8 if index else size  # that of the gap, 0, counts its own header
        if not 16 <= step <= end - at:
            raise Damaged("damaged: the texts of a heap overlap")
        if index == wanted and index:
            if size != length:
                raise Damaged("damaged: its text has another length than it says")
            text = data.take(at + 16, size).split(b"\0")[0]
        at += step
    if text is None:
        raise Damaged("damaged: its text is missing")
    return text


def _described(kind: bytes, space: bytes) -> Array:
    """Type and shape of an array (IV.A.2.b and d)."""
    version, rank, limited, empty = unpack("4B", space)
    if version not in (1, 2) or rank > 32 or limited > 1:
        raise Damaged("damaged: no shape")
    if version == 2 and empty == 2:
        raise Damaged("is empty")
    extents = unpack(f"{rank * (1 + limited)}Q", space[8 if version == 1 else 4 :])
    shape, limits = extents[:rank], extents[rank:]
    if any(extent > limit for extent, limit in zip(shape, limits, strict=False)):
        raise Damaged("damaged: a shape beyond its own limits")
    if max((*shape, prod(shape))) > MAX_ELEMENTS:
        raise Damaged(f"shape {shape} has more than {MAX_ELEMENTS} elements")
    first, bits, more, _, size = unpack("BBBBI", kind)
    order = ">" if bits & 1 else "<"
    versions = [first >> 4, kind[8] >> 4] if first & 15 == 9 and len(kind) > 8 else [first >> 4]  # a list's items, too
    if not {1, 2, 3}.issuperset(versions):
        raise Damaged("damaged: no type")
    named = first & 15
    if named == 0 and size in (1, 2, 4, 8) and unpack("HH", kind[8:]) == (0, 8 * size) and not bits & 6:
        return Array("i" if bits & 8 else "u", size, order, shape)
    if named == 1 and (bits >> 1, more) == (16, 8 * size - 1) and unpack("HHBBBBI", kind[8:]) == _FLOATS.get(size):
        return Array("f", size, order, shape)
    if named == 3 and size:
        return Array("S", size, "", shape)
    if named == 9 and bits & 15 == 1 and size == 16:
        return Array("O", size, "", shape)
    return Array(f"<{dict(enumerate(_CLASSES)).get(named) or 'unusual numbers'}>", size, "", shape)
