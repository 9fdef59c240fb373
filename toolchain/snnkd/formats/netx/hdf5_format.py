"""The structures of an HDF5 file, read from untrusted bytes: every offset, size and count is checked before it is used.

Not read with the HDF5 library, because that believes a file: damaged ones make it loop for ever or take gigabytes.
`.net` files need little of the format: plain arrays, strings and attributes in groups, in the form that h5py writes by
default. Follows the HDF5 File Format Specification 3.0; chapters are named where they are read.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator

MAX_ELEMENTS = 1 << 24  # of all arrays of a file: the synapses of the largest networks for one board
STRUCTURE = 64  # reading one entry of the structure takes as long as so many elements
_MAX_NAME = 256
_LEAF, _NODE = 8, 32  # members of a leaf, children of a node, at most: HDF5's default, which h5py does not change
_NOWHERE = (1 << 64) - 1  # an address that says: nothing here
REMEDY = "copy every array to a file of h5py's defaults: new[name] = old[name][()]"
NEWER = f"is in a newer form of HDF5 than lava-dl writes; {REMEDY}"

# Messages of an object header (IV.A.2), as far as they matter here
SPACE, LINKS, TYPE, FILL, LINK, EXTERNAL, LAYOUT, FILTERS = 0x01, 0x02, 0x03, 0x05, 0x06, 0x07, 0x08, 0x0B
ATTRIBUTE, CONTINUED, TABLE, TIME, ATTRIBUTES = 0x0C, 0x10, 0x11, 0x12, 0x15

Messages = list[tuple[int, bytes]]


class Damaged(Exception):
    """What is wrong with a part of the file; whoever reads it adds the file, layer and field."""


class Bytes:
    """The file's bytes, and how much work they may still cause."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.end, self.budget = data, len(data), MAX_ELEMENTS

    def take(self, at: int, size: int) -> bytes:
        if at + size > self.end:
            raise Damaged(f"damaged or truncated: needs {size} bytes at {at}, the file has {self.end}")
        return self.data[at : at + size]

    def unpack(self, form: str, at: int) -> tuple:
        return struct.unpack(f"<{form}", self.take(at, struct.calcsize(f"<{form}")))

    def text(self, at: int, end: int) -> bytes:
        """The bytes before the first 0 at or behind `at`."""
        stop = self.data.find(b"\0", at, min(end, at + _MAX_NAME)) if at < end <= self.end else -1
        if stop < 0:
            raise Damaged("damaged: a name has no end")
        return self.take(at, stop - at)

    def spend(self, elements: int) -> None:
        self.budget -= elements
        if self.budget < 0:
            raise Damaged(f"more than {MAX_ELEMENTS} elements in one file, or damaged")


def root(data: Bytes) -> Messages:
    """Messages of the root group, from a superblock of version 0 (II.A)."""
    if data.take(0, 8) != b"\x89HDF\r\n\x1a\n":
        raise Damaged("is no HDF5 file")
    version, *others = data.unpack("8B2HI", 8)
    if version > 0:
        raise Damaged(NEWER)
    base, free, end, driver, _, header, cached = data.unpack("6QI", 24)
    plain = others == [0, 0, 0, 0, 8, 8, 0, _LEAF // 2, _NODE // 2, 0] and cached <= 1
    if not plain or (base, free, driver) != (0, _NOWHERE, _NOWHERE):
        raise Damaged("damaged, or in no form that lava-dl writes")
    data.take(0, end)
    data.end = end
    return messages(data, header)


def messages(data: Bytes, at: int) -> Messages:
    """(kind, body) of each message of the object header at `at` (IV.A.1.a)."""
    version, count, references, size = data.unpack("BxHII", at)
    if version != 1:
        raise Damaged(NEWER if data.take(at, 4) == b"OHDR" else "damaged: no object header where one should be")
    blocks, found = [(at + 16, size)], []
    for start, length in blocks:
        data.spend(STRUCTURE)
        end = start + length
        while start + 8 <= end:
            data.spend(STRUCTURE)
            kind, size, flags = data.unpack("HHB3x", start)
            if start + 8 + size > end or size % 8:
                raise Damaged("damaged: an object header ends within a message")
            body = data.take(start + 8, size)
            if flags > 1:
                raise Damaged("damaged, or shares its description with others; expected plain arrays")
            if kind == CONTINUED:
                blocks.append(unpack("QQ", body))
                if blocks[-1][1] < 8:
                    raise Damaged("damaged: a part of an object header is empty")
            found.append((kind, body))
            start += 8 + size
    if len(found) != count or not references:
        raise Damaged("damaged: an object header counts other messages than it has")
    return found


def members(data: Bytes, header: Messages) -> dict[str, int | None]:
    """Addresses of what a group with a TABLE holds, None for links (III.A.1, B, C, D)."""
    described = dict(reversed(header))
    tree, heap = unpack("QQ", described[TABLE])
    start, end = _names(data, heap)

    def name(offset: int) -> bytes:
        return data.text(start + offset, end)

    found: list[tuple[bytes, int | None]] = []
    for symbols, low, high in _leaves(data, tree, None):
        signature, count = data.unpack("6sH", symbols)
        if signature != b"SNOD\x01\0" or not 0 < count <= _LEAF:
            raise Damaged("damaged: a group without members")
        data.take(symbols, 8 + 40 * _LEAF)
        first = len(found)
        for k in range(count):
            data.spend(STRUCTURE)
            offset, header_at, cached = data.unpack("QQI", symbols + 8 + 40 * k)
            if cached > 2:
                raise Damaged("damaged: a member of a group is of no kind")
            found.append((name(offset), None if cached == 2 else header_at))
        if not name(low) < found[first][0] <= found[-1][0] <= name(high):
            raise Damaged("damaged: members of a group out of order")
    keys = [key for key, _ in found]
    if keys != sorted(set(keys)):
        raise Damaged("damaged: members of a group out of order")
    return {key.decode("utf-8", "replace"): address for key, address in found}


def _names(data: Bytes, heap: int) -> tuple[int, int]:
    """From where to where the names of a group lie; the gaps between them must, too (III.D)."""
    signature, size, free, start = data.unpack("8s3Q", heap)
    if signature != b"HEAP\0\0\0\0":
        raise Damaged("damaged: a group without names")
    data.take(start, size)
    while free != 1:
        data.spend(STRUCTURE)
        behind, length = data.unpack("QQ", start + free)
        if not free or not length or free + max(length, 16) > size:
            raise Damaged("damaged: the names of a group overlap")
        free = behind
    return start, start + size


def _leaves(data: Bytes, node: int, above: int | None) -> Iterator[tuple[int, int, int]]:
    """(address, names before and up to its own) of each leaf of a B-tree; levels must fall, so it cannot loop."""
    data.spend(STRUCTURE)
    signature, kind, level, count = data.unpack("4sBBH", node)
    if signature != b"TREE" or kind or count > _NODE or (above is not None and level != above - 1):
        raise Damaged("damaged: a group without a tree")
    data.take(node, 32 + 16 * _NODE)
    for k in range(count):
        low, child, high = data.unpack("3Q", node + 24 + 16 * k)
        if level:
            yield from _leaves(data, child, level)
        else:
            yield child, low, high


def unpack(form: str, body: bytes) -> tuple:
    """From the beginning of a message."""
    size = struct.calcsize(f"<{form}")
    if len(body) < size:
        raise Damaged("damaged: a message is too short")
    return struct.unpack(f"<{form}", body[:size])
