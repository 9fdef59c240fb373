"""How long the chunks of an HDF5 array really are: the library takes short ones for whole, and hands out whatever lies
behind them in memory."""

# h5py says nothing of its low-level modules.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import contextlib
import itertools
import zlib
from collections.abc import Callable
from typing import Any

from h5py import h5d

_GZIP, _SHUFFLE, _FLETCHER32, _SZIP, _LZF = 1, 2, 3, 4, 32000
# Not the library's nbit and scaleoffset: how long what they unpack would be is not to be seen from outside.
PACKINGS = {_GZIP: "gzip", _LZF: "lzf", _SZIP: "szip", _SHUFFLE: "shuffle", _FLETCHER32: "fletcher32"}


def up_to(count: int, collected: list[Any]) -> Callable[[Any], bool | None]:
    """Returns what h5py calls with each item of a walk: it adds the item to `collected`, and ends a walk that has more
    than `count` of them, as one through a damaged file may have no end."""

    def add(item: Any) -> bool | None:
        collected.append(item)
        return True if len(collected) > count else None  # h5py goes on while it is None

    return add


def stored_sizes(dataset: h5d.DatasetID, count: int) -> list[int]:
    """Returns the bytes that each of `count` chunks takes in the file."""
    sizes: list[int] = []
    if hasattr(dataset, "chunk_iter"):  # needs HDF5 1.14
        add = up_to(count, sizes)
        dataset.chunk_iter(lambda chunk: add(chunk.size))
        return sizes
    return [dataset.get_chunk_info(index).size for index in range(count)]


def unpacked_sizes(dataset: h5d.DatasetID, grid: list[range], filters: list[int], expected: int) -> list[int]:
    """Returns the bytes that unpacking makes of each chunk that was written.

    grid: where chunks begin, in each dimension. filters: their numbers, in the order in which they packed. expected:
    bytes of a whole chunk.
    """
    sizes: list[int] = []
    for corner in itertools.product(*grid):
        with contextlib.suppress(OSError, RuntimeError):  # a chunk that was never written holds the fill value
            skipped, raw = dataset.read_direct_chunk(corner)  # a bit for each filter that this chunk did without
            applied = [code for bit, code in enumerate(filters) if not skipped >> bit & 1]
            sizes.append(_unpacked_size(raw, applied, expected))
    return sizes


def _unpacked_size(raw: bytes, filters: list[int], expected: int) -> int:
    """How many bytes the filters, the last one first, make of a chunk; much more than `expected` are not counted."""
    length = len(raw)
    for code in reversed(filters):
        if code == _FLETCHER32:
            length -= 4
        elif code != _SHUFFLE:
            if len(raw) < length:
                return 0  # packed twice: nobody does that
            packed, raw = raw[:length], b""
            if code == _GZIP:
                raw = zlib.decompressobj().decompress(packed, expected + 8)
                length = len(raw)
            else:
                length = _lzf_size(packed) if code == _LZF else int.from_bytes(packed[:4], "little")
    return length


def _lzf_size(packed: bytes) -> int:
    """How many bytes the lzf filter makes of these: runs of plain bytes, and references to what came before."""
    at = size = 0
    while at < len(packed):
        code = packed[at]
        if code < 32:
            at, size = at + code + 2, size + code + 1
        elif code < 224:
            at, size = at + 2, size + (code >> 5) + 2
        else:
            at, size = at + 3, size + 9 + (packed[at + 1] if at + 1 < len(packed) else 0)
    return size
