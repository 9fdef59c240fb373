"""Recordings in HDF5 files of spike lists, as the Heidelberg data sets have them: one file, many recordings.

A zip or gz is unpacked into a temporary folder, which goes with the process: HDF5 has to find its way in the file.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, cast

import numpy as np

from snnkd.base.errors import DataError, FormatError
from snnkd.data.recordings.collection import Source
from snnkd.data.recordings.recording import Damaged, Recording, recording
from snnkd.data.recordings.tree import stamp_of
from snnkd.formats.spike_lists import SpikeLists
from snnkd.ir.event_encoding import Sensor


@dataclass(frozen=True)
class SpikeList:
    """The recording `index` of the file `path`."""

    path: Path
    index: int
    sensor: Sensor

    @property
    def where(self) -> str:
        """Names the file and the recording."""
        return f"{self.path}: recording {self.index:,}"

    @property
    def stamp(self) -> str:
        """Tells the file and its state."""
        return f"{stamp_of(self.path)} {self.index}"

    def read(self) -> Recording:
        """Reads it; raises as `Source.read` says."""
        try:
            times, units = _opened(self.path, stamp_of(self.path)).read(self.index)
        except FormatError as error:
            raise DataError(str(error)) from error
        if len(times) and not 0 <= times.min() <= times.max() < 1e6:
            raise Damaged("times that are no seconds from its start")
        t = np.rint(times * 1e6).astype(np.int64)
        return recording(t, units, np.zeros(t.shape, np.int64), np.ones(t.shape, np.int64), self.sensor)


def listed(path: Path, sensor: Sensor) -> list[tuple[Source, int]]:
    """Lists the recordings of a file, an .h5 or a .zip or .gz of one, and their labels.

    Raises DataError where it cannot be read.
    """
    try:
        labels = _opened(path, stamp_of(path)).labels
    except FormatError as error:
        raise DataError(str(error)) from error
    return [(SpikeList(path, index, sensor), int(label)) for index, label in enumerate(labels)]


@lru_cache(maxsize=8)
def _opened(path: Path, stamp: str) -> SpikeLists:
    """stamp: of the file, so that a changed one is opened again."""
    if path.suffix not in (".zip", ".gz"):
        return SpikeLists(path)
    folder = tempfile.TemporaryDirectory(prefix="snnkd-h5-")
    unpacked = Path(folder.name) / path.stem
    try:
        with _packed(path) as source, unpacked.open("wb") as sink:
            shutil.copyfileobj(source, sink)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise DataError(f"{path}: cannot be unpacked: {error}") from error
    lists = SpikeLists(unpacked)
    lists.folder = folder  # lives as long as the file is read
    return lists


def _packed(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path))
    names = [name for name in zipfile.ZipFile(path).namelist() if name.endswith(".h5")]
    if len(names) != 1:
        raise DataError(f"{path}: expected one .h5 in it, found {len(names)}")
    return zipfile.ZipFile(path).open(names[0])
