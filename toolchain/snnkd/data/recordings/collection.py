"""Recordings of a data set: where they are, read one at a time when they are needed, so that memory does not grow."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from snnkd import __version__
from snnkd.base.errors import DataError, SnnkdWarning
from snnkd.data.recordings import cache
from snnkd.data.recordings.recording import Damaged, Recording
from snnkd.data.recordings.tree import Tree
from snnkd.ir.event_encoding import Sensor
from snnkd.ir.events import RawEvents

Decode = Callable[[bytes, Sensor], Recording]


class Source(Protocol):
    """Where one recording is."""

    @property
    def where(self) -> str:
        """Names file and place for messages."""
        ...

    @property
    def stamp(self) -> str:
        """Tells file, place, size and time of change: while it stays the same, so does the recording."""
        ...

    def read(self) -> Recording:
        """Reads it. Raises DataError that names the file, and Damaged where the caller is to name it."""
        ...


@dataclass(frozen=True)
class FileSource:
    """A recording that is a file of its own."""

    tree: Tree
    name: str
    decode: Decode
    sensor: Sensor

    @property
    def where(self) -> str:
        """Names the file."""
        return self.tree.where(self.name)

    @property
    def stamp(self) -> str:
        """Tells the file and its state."""
        return self.tree.stamp(self.name)

    def read(self) -> Recording:
        """Reads the file; raises as `Source.read` says."""
        return self.decode(self.tree.read(self.name), self.sensor)


class Recordings:
    """N recordings of one sensor, in the place of an array of images.

    sources: where each is. digests: (N, 32) uint8, of their events, once they have been scanned. As an array of images
    it has a length and a shape (N, 2, H, W), and is indexed by slices, masks and arrays; by an integer it gives the
    Recording.
    """

    def __init__(self, sensor: Sensor, sources: Sequence[Source], digests: np.ndarray | None = None):
        self.sensor = sensor
        self._sources = np.empty(len(sources), dtype=object)
        self._sources[:] = sources
        self.digests = digests

    def __len__(self) -> int:
        return len(self._sources)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Returns (N, polarities, H, W)."""
        return (len(self), 2, *self.sensor)

    @property
    def sources(self) -> list[Source]:
        """Lists where each recording is."""
        return list(self._sources)

    def read(self, index: int) -> Recording:
        """Reads one recording. Raises DataError that names file and place where it is damaged."""
        source = self._sources[index]
        try:
            return source.read()
        except Damaged as error:
            raise DataError(f"{source.where}: {error}") from error

    def __iter__(self) -> Iterator[Recording]:
        return (self.read(index) for index in range(len(self)))

    def __getitem__(self, chosen: slice | np.ndarray) -> Recordings:
        digests = None if self.digests is None else self.digests[chosen]
        return Recordings(self.sensor, list(self._sources[chosen]), digests)

    @property
    def stamp(self) -> str:
        """Digest of the state of all files, and of the code that reads them by its version."""
        return cache.key_of([__version__, str(self.sensor), *(source.stamp for source in self._sources)])

    @property
    def sha256(self) -> str:
        """Digest of all recordings, which have been scanned, in their order."""
        assert self.digests is not None
        return hashlib.sha256(np.ascontiguousarray(self.digests).data).hexdigest()


def scanned(recordings: Recordings, skip_damaged: bool) -> tuple[Recordings, np.ndarray]:
    """Reads each recording once, checks it and takes its digest; returns those that are whole, and a mask (N,) of them.

    What was whole before, in files that have not changed since, is not read again.
    Raises DataError that names file and place of the first damaged one; with skip_damaged it is left out, and a warning
    counts them at the end and names the first.
    """
    whole = np.ones(len(recordings), dtype=bool)
    first: DataError | None = None

    def digests() -> np.ndarray:
        nonlocal first
        rows = np.zeros((len(recordings), 32), dtype=np.uint8)
        for index in range(len(recordings)):
            try:
                rows[index] = np.frombuffer(recordings.read(index).sha256, np.uint8)
            except DataError as error:
                if not skip_damaged:
                    raise DataError(f"{error} (data.skip_damaged = true leaves damaged recordings out)") from error
                first, whole[index] = first or error, False
        return rows

    known = digests() if skip_damaged else cache.kept(recordings.stamp, (len(recordings), 32), digests)
    if first is not None:
        count = int((~whole).sum())
        text = f"{count:,} of {len(whole):,} recordings are damaged and left out; the first: {first}"
        warnings.warn(text, SnnkdWarning, stacklevel=2)
    kept = recordings[whole]
    kept.digests = np.asarray(known)[whole]
    return kept, whole


def raw_events(recordings: Iterable[Recording]) -> RawEvents:
    """Reads all of some recordings, one after the other in one array."""
    read = list(recordings)
    columns = [np.concatenate([np.zeros(0, int), *(getattr(one, key) for one in read)]) for key in ("t", "x", "y", "p")]
    return RawEvents(np.stack(columns, axis=1).astype(np.int64), np.cumsum([len(one) for one in read], dtype=np.int64))
