"""Files that a user names as samples, recordings or images, as the events that an encoder makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path

import numpy as np

from snnkd.base import arrays, memory
from snnkd.base.errors import DataError
from snnkd.data import encoding
from snnkd.data.datasets import folder
from snnkd.data.encoding import Encoder
from snnkd.data.recordings import FORMATS, spike_lists
from snnkd.data.recordings.collection import FileSource, Recordings, Source
from snnkd.data.recordings.tree import Tree
from snnkd.ir.event_encoding import EventEncoding, Sensor
from snnkd.ir.network import Shape


def encode(encoder: Encoder, shape: Shape, paths: Sequence[Path]) -> np.ndarray:
    """Encodes files, in their order, as events (N, T, C, H, W).

    shape: (C, H, W) of the network's input. Recordings: .bin, .aedat, .npy, .npz, and all in an .h5. Images: picture
    files, and .npy of uint8 (N, C, H, W) or (N, H, W); image n has the index n. Raises DataError that names the file
    that cannot be read or does not fit.
    """
    if isinstance(encoder, EventEncoding):
        sources = [source for path in paths for source in _sources(path, encoder.sensor)]
        recordings = Recordings(encoder.sensor, sources)
        _check_size(len(recordings), encoder.steps, encoder.shape)
        return encoding.encode(encoder, recordings, np.arange(len(recordings)))
    images = np.concatenate([_images(path, shape) for path in paths])
    _check_size(len(images), encoder.steps, shape)
    return encoding.encode(encoder, images, np.arange(len(images)))


def _check_size(samples: int, steps: int, shape: Shape) -> None:
    what = f"the events of {samples:,} inputs, {steps:,} steps of {prod(shape):,} values each"
    memory.check(what, samples * steps * prod(shape), "encode fewer of them at a time")


def _sources(path: Path, sensor: Sensor) -> Iterator[Source]:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix == ".h5":
        yield from (source for source, _ in spike_lists.listed(path, sensor))
    elif path.suffix in FORMATS:
        yield FileSource(Tree(path.parent), path.name, FORMATS[path.suffix], sensor)
    else:
        raise DataError(f"{path}: expected a recording, a file {', '.join(FORMATS)} or .h5")


def _images(path: Path, shape: Shape) -> np.ndarray:
    """uint8 (n, C, H, W)."""
    if path.suffix == ".npy":
        images = arrays.read(path, ("images", "x"))
        images = images[:, None] if images.ndim == 3 else images
    elif path.suffix.lower() in folder.SUFFIXES:
        image = folder.decoded(path)
        images = image[None, None] if image.ndim == 2 else image.transpose(2, 0, 1)[None]
    else:
        raise DataError(f"{path}: expected a picture, or .npy of uint8 (N, C, H, W) or (N, H, W)")
    if images.dtype != np.uint8 or images.shape[1:] != tuple(shape):
        raise DataError(f"{path}: expected uint8 images {tuple(shape)}, found {images.dtype} {images.shape[1:]}")
    return images
