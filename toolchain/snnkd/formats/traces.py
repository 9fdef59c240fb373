"""Writes a trace to a file: all of it as .npz, or as HDF5 some samples at a time, so that neither what writes it nor
what reads it need hold it in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from snnkd.base.files import atomic
from snnkd.ir import trace
from snnkd.ir.trace import SpikeTrace

_CHUNK = 1 << 16  # bytes, about, of whole samples that HDF5 compresses together

Add = Callable[[SpikeTrace], None]  # writes the trace of the next samples


@contextlib.contextmanager
def in_blocks(path: Path, samples: int) -> Iterator[Add]:
    """Opens an .h5 file for the trace of so many samples, which is there, whole, when the block ends without an error.

    It has what `ir.trace.arrays` gives, under its names. Raises SnnkdError where it cannot be written.
    """
    import h5py

    written = 0
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:

        def add(part: SpikeTrace) -> None:
            nonlocal written
            for name, values in trace.arrays(part):
                if not written:
                    _create(file, name, samples, values)
                dataset: Any = file[name]
                dataset[written : written + part.samples] = values
            written += part.samples

        yield add


def _create(file, name: str, samples: int, values: np.ndarray) -> None:  # an h5py.File
    shape = values.shape[1:]
    together = max(1, min(samples, _CHUNK // (values.itemsize * prod(shape))))
    how = {"chunks": (together, *shape), "compression": "gzip", "compression_opts": 1, "shuffle": True}
    file.create_dataset(name, (samples, *shape), values.dtype, **how)


@contextlib.contextmanager
def at_once(path: Path, samples: int) -> Iterator[Add]:
    """Does the same for an .npz, whose samples are added all at once."""
    yield partial(trace.save, path=path)


WRITERS = {".npz": at_once, ".h5": in_blocks}
