"""Arrays as small pictures within the page: PNG files as data URIs."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

_BLUE = (46, 134, 222)  # is seen on white and on black
_ON, _OFF = (230, 126, 34), _BLUE
_FAINTEST = 0.25  # of what is not 0, so that it is seen


def png(pixels: np.ndarray) -> str:
    """Returns uint8 RGBA pixels (H, W, 4) as the URI of a PNG file (ISO/IEC 15948)."""
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + 4 * width), np.uint8)  # each begins with 0: not filtered
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    data = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + data).decode()


def raster(values: np.ndarray, most: tuple[int, int]) -> str:
    """Draws magnitudes (rows, columns): the larger, the darker. More than `most` rows and columns are put together,
    equally many, as their mean."""
    magnitudes = np.abs(values.astype(np.float64))
    largest = float(magnitudes.max(initial=0)) or 1.0
    return png(_tinted(shrunk(magnitudes, most) / largest, _BLUE))


def shrunk(values: np.ndarray, most: tuple[int, int]) -> np.ndarray:
    """Returns the means of blocks of equally many rows and columns, so that at most so many are left; of a last block
    of fewer, the mean of those."""
    for axis, limit in enumerate(most):
        size = values.shape[axis]
        starts = np.arange(0, size, grouped(size, limit))
        lengths = np.diff(np.append(starts, size))
        sums = np.add.reduceat(values, starts, axis=axis)
        values = sums / (lengths[:, None] if axis == 0 else lengths)
    return values


def grouped(size: int, most: int) -> int:
    """Counts how many of `size` are put together so that at most `most` are left."""
    return -(-size // most)


def image(values: np.ndarray) -> str | None:
    """Draws what a network sees: (C, H, W) of one channel in grey, of three in RGB, of two as OFF and ON events; None
    for any other. Its own brightest value is the brightest."""
    if values.ndim != 3 or len(values) not in (1, 2, 3):
        return None
    shares = np.abs(values.astype(np.float64)) / (float(np.abs(values).max()) or 1.0)
    if len(values) == 2:
        off, on = shares
        return png(np.where((on >= off)[..., None], _tinted(on, _ON), _tinted(off, _OFF)))
    grey = np.moveaxis(np.broadcast_to(shares, (3, *shares.shape[1:])), 0, -1)
    opaque = np.full((*grey.shape[:2], 1), 255, np.uint8)
    return png(np.concatenate([np.rint(255 * grey).astype(np.uint8), opaque], axis=2))


def _tinted(shares: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """RGBA (H, W, 4) of one colour, the less transparent the larger a share."""
    alpha = np.where(shares > 0, _FAINTEST + (1 - _FAINTEST) * shares**0.6, 0)
    return np.concatenate(
        [
            np.broadcast_to(np.array(colour, np.uint8), (*shares.shape, 3)),
            np.rint(255 * alpha).astype(np.uint8)[..., None],
        ],
        axis=2,
    )
