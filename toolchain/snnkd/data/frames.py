"""A frame as events: what a network that reads recordings gets in the place of one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from snnkd.base.errors import DataError
from snnkd.data import saccades
from snnkd.data.encoding import Encoding
from snnkd.data.recordings import cells
from snnkd.ir.event_encoding import EventEncoding, Sensor

_LUMINANCE = np.array([77, 150, 29], np.uint32)  # Rec. 601 of red, green and blue, in 256ths


def still(images: np.ndarray, encoding: EventEncoding) -> np.ndarray:
    """Makes of uint8 images (N, C, H, W) the cells that `encoding` makes of recordings: (N, T, C, H, W).

    The grey image stands in the middle of the sensor, each pixel as a square of as many as fit; it is cropped, and
    pooled by the mean. A cell of intensity p of 255 is, in every channel, 1 at p / 255 of the steps, as evenly as
    'rate' has it; a cell that counts is p in `bits` at every step, as 'direct' has it. He et al. (AAAI 2024, arXiv
    2303.13077) also repeat a channel for polarities and steps. Raises DataError for images larger than the sensor.
    """
    top, left, height, width = encoding.window
    seen = _on_sensor(_grey(images), encoding.sensor)[:, top : top + height, left : left + width]
    channels, rows, columns = encoding.shape
    pool = encoding.pool
    levels = seen.reshape(len(seen), 1, rows, pool, columns, pool).mean(axis=(3, 5)).astype(np.uint8)
    if encoding.cell == "binary":
        encoder = Encoding("rate", encoding.steps)
    else:
        encoder = Encoding("direct", encoding.steps, encoding.bits)
    events = encoder.encode(levels, np.arange(len(levels)))
    return np.broadcast_to(events, (len(images), encoding.steps, channels, rows, columns))


def moved(images: np.ndarray, encoding: EventEncoding) -> np.ndarray:
    """Makes of uint8 images (N, C, H, W) the cells (N, T, C, H, W) of the events that a camera sends which moves over
    them as over N-MNIST's. They lie on the sensor as in `still`, and raise what that raises."""
    return cells.encode(encoding, saccades.events(saccades.NMNIST, _on_sensor(_grey(images), encoding.sensor)))


SHOWN: dict[str, Callable[[np.ndarray, EventEncoding], np.ndarray]] = {"still": still, "moved": moved}


def _grey(images: np.ndarray) -> np.ndarray:
    """(N, H, W) uint8 of one channel or three."""
    if images.shape[1] == 1:
        return images[:, 0]
    return ((images.astype(np.uint32) * _LUMINANCE[:, None, None]).sum(axis=1) >> 8).astype(np.uint8)


def _on_sensor(images: np.ndarray, sensor: Sensor) -> np.ndarray:
    """Images (N, h, w) in the middle of a sensor that is dark elsewhere: (N, H, W)."""
    times = min(side // own for side, own in zip(sensor, images.shape[1:], strict=True))
    if times < 1:
        raise DataError(f"frames of {images.shape[1]} x {images.shape[2]} are larger than the sensor, {list(sensor)}")
    larger = images.repeat(times, axis=1).repeat(times, axis=2)
    whole = np.zeros((len(images), *sensor), np.uint8)
    top, left = ((side - own) // 2 for side, own in zip(sensor, larger.shape[1:], strict=True))
    whole[:, top : top + larger.shape[1], left : left + larger.shape[2]] = larger
    return whole
