"""A trace that somebody else made, a chip's recording or another simulator's: of some layers, neurons and states.

Its file has the layout of `snnkd simulate --out`, an .npz with `layerK`, `layerK_u` and `layerK_v`, or the states of
sigma-delta neurons; any may be missing, and beside each of them may lie `<its name>_neurons`, which of the layer's
neurons it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np

from snnkd.base import arrays
from snnkd.base.errors import FormatError
from snnkd.ir.events import check_input
from snnkd.ir.network import IntNet, Shape, quantities
from snnkd.ir.trace import LayerTrace, array_name

_NEURONS = "_neurons"


@dataclass(frozen=True, eq=False)
class Record:
    """One array of a partial trace.

    name: in the file, like layer1_v. layer: its number. quantity: s or the name of a state. neurons: (K,) which of the
    layer it has, numbers in the order of its flattened shape, and `size` how many there are. values: (N, T, K)
    integers.
    """

    name: str
    layer: int
    quantity: str
    neurons: np.ndarray
    size: int
    values: np.ndarray

    def of(self, layer: LayerTrace) -> np.ndarray:
        """Returns the same quantity of the same neurons in a trace by an engine: (n, T, K)."""
        whole = layer.of(self.quantity)
        assert whole is not None, "the trace was made with states"
        return whole.reshape(*whole.shape[:2], -1)[:, :, self.neurons]


@dataclass(frozen=True, eq=False)
class PartialTrace:
    """records: in the order of the layers, there in that of `quantities`. input: the events that went in, None where
    the file has none. ignored: names of arrays that are no part of the layout. All records have the same N samples."""

    name: str
    records: tuple[Record, ...]
    input: np.ndarray | None = None
    ignored: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """Returns N."""
        return len(self.records[0].values)

    @property
    def has_states(self) -> bool:
        """Tells whether it has any states."""
        return any(record.quantity != "s" for record in self.records)

    def between(self, start: int, stop: int | None) -> PartialTrace:
        """Returns the same of the samples `start` to `stop`, to the last for None."""
        chosen = slice(start, stop)
        return replace(
            self,
            records=tuple(replace(record, values=record.values[chosen]) for record in self.records),
            input=None if self.input is None else self.input[chosen],
        )


def load(path: str | Path, net: IntNet) -> PartialTrace:
    """Reads the .npz file of a partial trace of `net`.

    Raises FormatError that names the file and the array: one without anything of the network, arrays of another shape,
    with what they look like, and real numbers.
    """
    held = arrays.read_all(Path(path))
    records, used = [], {"input"}
    for number, (name, layer) in enumerate(zip(net.names, net.layers, strict=True)):
        for quantity in quantities(layer.neuron):
            own = array_name(name, quantity)
            if own in held:
                records.append(_record(f"{path}: {own}", held, own, (number, quantity), layer.shape))
                used |= {own, own + _NEURONS}
    if not records:
        raise FormatError(f"{path}: has nothing to compare: {_nothing(net, held)}")
    _check_alike(str(path), records)
    return PartialTrace(str(path), tuple(records), _input(path, net, held), tuple(n for n in held if n not in used))


def _input(path: str | Path, net: IntNet, held: Mapping[str, np.ndarray]) -> np.ndarray | None:
    if "input" not in held:
        return None
    return check_input(net, held["input"], f"{path}: input")


def _record(place: str, held: Mapping[str, np.ndarray], name: str, what: tuple[int, str], shape: Shape) -> Record:
    values, size = held[name], prod(shape)
    if values.dtype.kind == "f" and np.isfinite(values).all() and (values == np.rint(values)).all():
        values = values.astype(np.int64)  # as SLAYER has its spikes
    if values.dtype.kind not in "biu":
        raise FormatError(
            f"{place}: expected integers, found {_words(values)}; convert it to the integers it stands for"
        )
    neurons, expected = np.arange(size), f"(N, T, {', '.join(map(str, shape))})"
    if name + _NEURONS in held:
        neurons, expected = _neurons(place, held[name + _NEURONS], size), f"(N, T, {len(held[name + _NEURONS])})"
        shape = neurons.shape
    if values.ndim < 3 or values.shape[2:] not in (shape, (prod(shape),)):
        raise FormatError(f"{place}: expected {expected}, found {values.shape}{_hint(values, shape)}")
    if 0 in values.shape:
        raise FormatError(f"{place}: expected at least one sample, step and neuron, found {values.shape}")
    return Record(name, *what, neurons, size, values.reshape(*values.shape[:2], -1))


def _neurons(place: str, listed: np.ndarray, size: int) -> np.ndarray:
    if listed.ndim != 1 or listed.dtype.kind not in "iu":
        raise FormatError(f"{place}{_NEURONS}: expected the numbers of neurons, (K,) integers, found {_words(listed)}")
    if len(listed) and (listed.min() < 0 or listed.max() >= size):
        raise FormatError(
            f"{place}{_NEURONS}: expected neurons 0 to {size - 1}, found {listed.min()} to {listed.max()}"
        )
    if len(np.unique(listed)) < len(listed):
        raise FormatError(f"{place}{_NEURONS}: names a neuron twice")
    return listed.astype(np.int64)


def _hint(values: np.ndarray, shape: Shape) -> str:
    """What an array of another shape looks like, and how to turn it."""
    found = values.shape
    if values.ndim == len(shape) + 2 and found[1:-1] == shape:
        return ": its steps come last, as in SLAYER; turn it with np.moveaxis(array, -1, 1)"
    if values.ndim == len(shape) + 1 and found[1:] == shape:
        return ": it has one axis for samples and steps; add the other one, array[None] for one sample"
    if values.ndim == len(shape) + 1 and found[:-1] == shape:
        return ": it is of one sample with its steps last; turn it with np.moveaxis(array, -1, 0)[None]"
    if values.ndim == 2 and found[1] in (2, 3):
        return (
            ": a list of events? Fill zeros (1, steps, neurons) with 1 at [0, step, neuron] of each, in whatever order "
            "they come"
        )
    return ""


def _check_alike(place: str, records: list[Record]) -> None:
    samples = {record.name: len(record.values) for record in records}
    if len(set(samples.values())) > 1:
        found = ", ".join(f"{name} {count}" for name, count in samples.items())
        raise FormatError(f"{place}: expected all arrays to have the same samples, their first axis, found {found}")


def _nothing(net: IntNet, held: Mapping[str, np.ndarray]) -> str:
    found = ", ".join(f"{name} {array.shape}" for name, array in held.items()) or "no arrays"
    ends = dict.fromkeys(f"_{state}" for layer in net.layers for state in layer.neuron.states)
    return f"expected any of {', '.join(net.names)}, with {', '.join(ends)} for states, found {found[:300]}"


def _words(values: np.ndarray) -> str:
    return f"{values.dtype} {values.shape}"
