"""Samples that a network is run on: events, or images that an encoder makes events of, and what is known of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np

from snnkd.base import arrays, progress
from snnkd.base.arrays import Rows
from snnkd.base.errors import FormatError
from snnkd.data.encoding import Encoder, encode, read_by
from snnkd.data.recordings.collection import Recordings
from snnkd.ir.events import check_input, check_labels, fits
from snnkd.ir.network import IntNet

_EVENTS = ("input", "events")  # names of their array in an .npz


@dataclass(frozen=True, eq=False)
class EventFile:
    """Events for `net` in a file that may be larger than memory: some samples are read, and checked as `check_input`
    does, when they are asked for."""

    net: IntNet
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """Returns (N, T, *input shape)."""
        return (*self.rows.shape[:2], *self.net.input_shape)

    def __getitem__(self, samples: slice) -> np.ndarray:
        return check_input(self.net, self.rows[samples], str(self.rows.path))


@dataclass(frozen=True, eq=False)
class Samples:
    """N samples of T steps; `data` says in words what they are.

    given: events (N, T, *input shape), all or in a file, or None where `encoder` makes them of `images`, (N, C, H, W)
    uint8 or recordings, image n with the index n, so that they need not all be in memory. labels: (N,) integers, or
    None where nobody knows the classes. Raises FormatError for labels that are not one for each sample.
    """

    data: str
    given: np.ndarray | EventFile | None = None
    images: np.ndarray | Recordings | None = None
    encoder: Encoder | None = None
    labels: np.ndarray | None = None

    def __post_init__(self) -> None:
        if (self.given is None) == (self.images is None or self.encoder is None):
            raise FormatError(f"{self.data}: expected events, or images with their encoder")
        if self.labels is not None:
            check_labels(self.labels, len(self), self.steps)

    def __len__(self) -> int:
        source = self.images if self.given is None else self.given
        assert source is not None
        return len(source)

    @property
    def steps(self) -> int:
        """T, the time steps of a sample."""
        if self.given is not None:
            return self.given.shape[1]
        assert self.encoder is not None
        return self.encoder.steps

    def read_by(self, net: IntNet) -> Samples:
        """Returns the same samples as `net` reads them beside others, see `encoding.read_by`; given events as they
        are."""
        return self if self.encoder is None else replace(self, encoder=read_by(net, self.encoder))

    def events(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Returns the events (n, T, *input shape) of the samples `start` to `stop`, all of them unless told."""
        stop = len(self) if stop is None else min(stop, len(self))
        if self.given is not None:
            return self.given[start:stop]
        assert self.images is not None and self.encoder is not None
        return encode(self.encoder, self.images[start:stop], np.arange(start, stop))

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """Yields the events of all samples, `size` samples at a time."""
        for start in range(0, len(self), size):
            progress.say(f"sample {start + 1:,} of {len(self):,}")
            yield self.events(start, start + size)


def read_events(path: Path) -> np.ndarray:
    """Reads the array of events in an .npy or .npz file. Raises FormatError and LimitError as `arrays.read`."""
    return arrays.read(path, _EVENTS)


def read_labels(path: Path) -> np.ndarray:
    """Reads the array of labels in an .npy or .npz file. Raises FormatError and LimitError as `arrays.read`."""
    return arrays.read(path, ("labels", "y"))


def opened_events(net: IntNet, path: Path) -> np.ndarray | EventFile:
    """Opens the array of events for `net` in an .npy or .npz file.

    Of an .npy, values that do not fit are found when they are read. Raises FormatError that names the file and what
    does not fit, LimitError for more than fits in memory, which an .npy need not.
    """
    found = arrays.opened(path, _EVENTS)
    if isinstance(found, Rows) and fits(net, found.shape, found.dtype):
        return EventFile(net, found)
    return check_input(net, found[:], str(path))


def given(net: IntNet, events: Path, labels: Path | None) -> Samples:
    """Opens events for `net` as `opened_events` does, and reads their labels, from files."""
    found = opened_events(net, events)
    if labels is None:
        return Samples(str(events), found)
    classes = prod(net.layers[-1].shape) // net.readout.population
    numbers = read_labels(labels)
    samples, steps = found.shape[:2]
    check_labels(numbers, samples, steps, classes, str(labels))
    return Samples(str(events), found, labels=numbers)
