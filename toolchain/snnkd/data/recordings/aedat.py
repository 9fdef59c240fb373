"""Reader of .aedat files: AEDAT 2.0 of a DVS128 camera, and AEDAT 3.1.

Both begin with lines that start with '#', of which the first names the version. The format: inivation.github.io,
"AEDAT file formats". Times are the camera's clock: a recording starts at its first event.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from snnkd.data.recordings.recording import Damaged, Recording, recording
from snnkd.ir.event_encoding import Sensor

_VERSION = re.compile(rb"#!AER-DAT(\d)\.(\d)")
_LONG = ("size", "stamp_at", "overflow", "capacity", "number", "valid")
_PACKET = np.dtype([("kind", "<i2"), ("source", "<i2"), *((name, "<i4") for name in _LONG)])
_POLARITY = 1  # the kind of the packets with a camera's events
_DVS128 = 128  # its sensor's side


@dataclass(frozen=True, eq=False)
class Stream:
    """The events of a whole file, (events,) each: t int64 microseconds of the camera's clock, x, y, p, and at, the byte
    where each lies."""

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray
    at: np.ndarray

    def part(self, sensor: Sensor, start: int, end: int) -> Recording:
        """Makes a recording of what came from `start` to before `end`, which counts from `start`."""
        inside = (self.t >= start) & (self.t < end)
        t, x, y, p, at = (values[inside] for values in (self.t, self.x, self.y, self.p, self.at))
        return recording(t - start, x, y, p, sensor, at)


def decode(data: bytes, sensor: Sensor) -> Recording:
    """Reads the events in a file's bytes. Raises Damaged with the byte, see `recording`."""
    events = stream(data, sensor)
    if not len(events.t):
        raise Damaged("no event in it")
    return recording(events.t - events.t[0], events.x, events.y, events.p, sensor, events.at)


def stream(data: bytes, sensor: Sensor) -> Stream:
    """Reads all events in a file's bytes, by the camera's clock. Raises Damaged with the byte."""
    version = _VERSION.match(data)
    if version is None:
        raise Damaged("expected '#!AER-DAT2.0' or '#!AER-DAT3.1'", 0)
    number = f"{int(version[1])}.{int(version[2])}"
    if number == "2.0":
        return _version_2(data, sensor)
    if number in ("3.0", "3.1"):
        return _version_3(data)
    raise Damaged(f"AEDAT {number}; expected 2.0 or 3.1: convert it", 0)


def _version_2(data: bytes, sensor: Sensor) -> Stream:
    """Eight bytes an event, big-endian: address, microseconds. The address of a DVS128, as jAER has it: bit 15 for what
    is no event of the camera; 7 bits of y from bit 8, 7 bits of x from bit 1, and bit 0, which is set for OFF. x and y
    are turned as jAER and SpikingJelly show them: (127 - y, 127 - x)."""
    if sensor != (_DVS128, _DVS128):
        raise Damaged(f"AEDAT 2.0 is read of a DVS128, {_DVS128} x {_DVS128}; the sensor is {list(sensor)}")
    begin = _lines_end(data)
    if left := (len(data) - begin) % 8:
        raise Damaged(f"the file ends within an event: {left} of 8 bytes", len(data) - left)
    words = np.frombuffer(data, ">u4", offset=begin).reshape(-1, 2).astype(np.int64)
    own = np.flatnonzero(words[:, 0] & 0x8000 == 0)
    address, t = words[own, 0], words[own, 1]
    x, y = 127 - (address >> 8 & 0x7F), 127 - (address >> 1 & 0x7F)
    return Stream(t, x, y, 1 - (address & 1), begin + own * 8)


def _lines_end(data: bytes) -> int:
    """Where the lines end that start with '#'."""
    at = 0
    while data[at : at + 1] == b"#":
        end = data.find(b"\n", at)
        if end < 0:
            raise Damaged("the file ends within its header", len(data))
        at = end + 1
    return at


def _version_3(data: bytes) -> Stream:
    """Packets, little-endian: a header of 28 bytes, then the events. Of polarity events, 8 bytes each: a word with 15
    bits of x from bit 17, 15 bits of y from bit 2, bit 1 for ON, bit 0 for valid; then 31 bits of microseconds, on top
    of which come the header's overflows."""
    mark = b"#!END-HEADER\r\n"
    begin = data.find(mark)
    if begin < 0:
        raise Damaged("no end of the header, '#!END-HEADER'", len(data))
    at, parts = begin + len(mark), list[tuple[np.ndarray, np.ndarray, np.ndarray]]()
    while at < len(data):
        if len(data) - at < _PACKET.itemsize:
            raise Damaged(f"the file ends within the header of a packet: {len(data) - at} bytes", at)
        kind, _, size, stamp_at, overflow, capacity, number, _ = np.frombuffer(data, _PACKET, 1, at)[0].tolist()
        first = at + _PACKET.itemsize
        if size < 1 or not 0 <= number <= capacity or first + size * capacity > len(data):
            raise Damaged(
                f"a packet of {number} of {capacity} events of {size} bytes; {len(data) - first} bytes are left", at
            )
        if kind == _POLARITY:
            if size != 8 or stamp_at != 4 or overflow < 0:
                raise Damaged(f"polarity events of {size} bytes, expected 8", at)
            words = np.frombuffer(data, "<u4", 2 * number, first).reshape(-1, 2).astype(np.int64)
            valid = np.flatnonzero(words[:, 0] & 1)
            parts.append((words[valid, 0], (overflow << 31) + words[valid, 1], first + valid * 8))
        at = first + size * capacity
    nothing = np.zeros(0, np.int64)
    word, t, where = (np.concatenate([nothing, *(part[k] for part in parts)]) for k in range(3))
    return Stream(t, word >> 17 & 0x7FFF, word >> 2 & 0x7FFF, word >> 1 & 1, where)
