"""example/ of a bundle: a program with one inference, of the first golden sample, as the sensor would send it."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from snnkd.base import files
from snnkd.engines.c99.memory import plan
from snnkd.engines.c99.source import numbers
from snnkd.engines.c99.weights import channels_last
from snnkd.ir.events import RawEvents
from snnkd.ir.network import IntNet
from snnkd.ir.trace import SpikeTrace

_COLORS = {1: 0, 3: 2}  # channels: PNG's colour type


def example_files(net: IntNet, trace: SpikeTrace, images: np.ndarray | RawEvents | None) -> dict[str, bytes]:
    """Generates main.c and what it includes, by name; of an image with one channel or three also the picture.

    trace: a run of `net`, of which the first sample is taken. images: what it is encoded from, as for `golden_files`.
    """
    memory = plan(net)
    if isinstance(images, RawEvents) and memory.recorded is not None:
        rows = numbers(images.events[: images.ends[0]].tolist(), "{{{0[0]}U, {0[1]}U, {0[2]}U, {0[3]}U}}")
        return {"main.c": _program("recording"), "recording.inc": rows.encode()}
    if isinstance(images, np.ndarray) and memory.encoder and memory.recorded is None and not memory.wide_input:
        image = channels_last(images[:1], 1)[0].reshape(*images.shape[2:], images.shape[1])
        picture = {"image.png": _png(image)} if image.shape[2] in _COLORS else {}
        return {"main.c": _program("image"), "image.inc": numbers(image.reshape(-1).tolist()).encode(), **picture}
    events = channels_last(trace.input[:1], 2).reshape(trace.steps, -1)
    step, place = np.nonzero(events)
    sent = np.stack([step, place, events[step, place].astype(np.int64)], axis=1).tolist()
    rows = numbers([*sent, [trace.steps, 0, 0]], "{{{0[0]}U, {0[1]}U, {0[2]}}}")
    return {"main.c": _program("events"), "events.inc": rows.encode()}


def _program(name: str) -> bytes:
    return (files.data_root("hw_targets") / "c99" / "example" / f"{name}.c").read_bytes()


def _png(image: np.ndarray) -> bytes:
    """A PNG of (H, W, C) uint8, C 1 or 3, not compressed: the same bytes with every version of zlib."""
    height, width, channels = image.shape
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    parts = [rows[start : start + 0xFFFF] for start in range(0, len(rows), 0xFFFF)]
    stored = b"".join(struct.pack("<BHH", part is parts[-1], len(part), len(part) ^ 0xFFFF) + part for part in parts)
    header = struct.pack(">IIBBBBB", width, height, 8, _COLORS[channels], 0, 0, 0)
    data = b"\x78\x01" + stored + struct.pack(">I", zlib.adler32(rows))
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
