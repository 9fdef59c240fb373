"""SpikeTrace: what an engine reports of a run, and the counts that energy and profiles are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np
from typing_extensions import assert_never

from snnkd.base.files import atomic
from snnkd.ir.network import Conv, IntNet, Layer, LayerKind, Shape


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """One layer over N samples and T steps.

    spikes: (N, T, *shape) uint8, or of sigma-delta neurons their messages, int32. v_last: (N, *shape) int32, the
    membrane after the last step: v after its reset; of sigma-delta neurons act, of Sigma sigma. u, v, sigma, act,
    residue, error: (N, T, *shape) int32, the states that the neurons hold, at the end of each step, v after the reset,
    where states were asked for; the membrane of the last layer also where the network's readout needs it. overflows:
    wraps of the states and of their sums; saturations: clips of v; both totals over neurons, steps and samples, -1
    where an engine cannot tell.
    """

    name: str
    spikes: np.ndarray
    v_last: np.ndarray | None = None
    u: np.ndarray | None = None
    v: np.ndarray | None = None
    overflows: int = -1
    saturations: int = -1
    sigma: np.ndarray | None = None
    act: np.ndarray | None = None
    residue: np.ndarray | None = None
    error: np.ndarray | None = None

    def holding(self, states: Mapping[str, np.ndarray]) -> LayerTrace:
        """Returns the same layer with states of every step, by their names."""
        return replace(self, **states)

    @property
    def states(self) -> dict[str, np.ndarray]:
        """Gives what was recorded of the states, by name, in the order in which a step computes them."""
        recorded = {name: getattr(self, name) for name in ("u", "v", "sigma", "act", "residue", "error")}
        return {name: values for name, values in recorded.items() if values is not None}

    def of(self, quantity: str) -> np.ndarray | None:
        """Gives a state of every step by its name, or of 's' what was sent; None where it was not recorded."""
        return self.spikes if quantity == "s" else self.states.get(quantity)

    @property
    def membrane(self) -> np.ndarray | None:
        """Gives what a readout reads after each step, None where it was not recorded: v, act, or of Sigma sigma."""
        return next((values for values in (self.v, self.act, self.sigma) if values is not None), None)


@dataclass(frozen=True, eq=False)
class SpikeTrace:
    """input: (N, T, *input_shape) as given to the network, uint8 or int32; layers in the network's order."""

    engine: str
    input: np.ndarray
    layers: tuple[LayerTrace, ...]

    @property
    def samples(self) -> int:
        """Returns N."""
        return self.input.shape[0]

    @property
    def steps(self) -> int:
        """Returns T."""
        return self.input.shape[1]

    @property
    def counts(self) -> np.ndarray:
        """Counts the spikes of each neuron of the last layer over all steps: (N, outputs) int64."""
        return self.layers[-1].spikes.sum(axis=1, dtype=np.int64).reshape(self.samples, -1)

    def classes(self, net: IntNet) -> np.ndarray:
        """Returns the classes that the network's readout gives: (N,) int64."""
        return net.readout.classify(self.counts, self._v_read(net))

    def undecided(self, net: IntNet) -> np.ndarray:
        """Tells where the best classes are equal in all that is compared, and the lower one wins: (N,) bool."""
        return net.readout.undecided(self.counts, self._v_read(net))

    @property
    def events(self) -> list[int]:
        """Counts the events of the input, then the spikes of each layer, over all samples and steps."""
        return [int(np.count_nonzero(values)) for values in (self.input, *(layer.spikes for layer in self.layers))]

    def _v_read(self, net: IntNet) -> np.ndarray | None:
        """What the readout reads of the last layer's membrane, (N, outputs); None where the trace lacks it."""
        last, every = self.layers[-1], self.layers[-1].membrane
        if not net.readout.reads_every_v:
            return None if last.v_last is None else last.v_last.reshape(self.samples, -1)
        return None if every is None else net.readout.read(every.reshape(self.samples, self.steps, -1))[:, -1]


@dataclass(frozen=True)
class LayerCount:
    """Integer totals of one layer over samples x steps.

    synops: existing connections *into* the layer read by events (zero weights included), synops_effective: those
    with a weight other than 0; updates: neurons x steps x samples. The input of the network counts as kind 'input'.
    """

    name: str
    kind: LayerKind
    neurons: int
    spikes: int
    synops: int
    synops_effective: int
    updates: int

    def __add__(self, more: LayerCount) -> LayerCount:
        """Adds the totals of more samples of the same layer."""
        return LayerCount(
            self.name,
            self.kind,
            self.neurons,
            self.spikes + more.spikes,
            self.synops + more.synops,
            self.synops_effective + more.synops_effective,
            self.updates + more.updates,
        )


def fan_out(layer: Layer, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Counts the connections into `layer` from each neuron of its input: all, and those with a weight other than 0.

    Both have the input's `shape`, int64. For a convolution only connections inside the output's borders exist.
    """
    if layer.kind == "input":
        return np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    if layer.kind == "dense":
        every = np.full(shape, layer.weight.shape[0], np.int64)
        return every, np.count_nonzero(layer.weight, axis=0).reshape(shape)
    if layer.kind == "conv":
        return _conv_fan_out(layer, shape)
    assert_never(layer)


def _conv_fan_out(layer: Conv, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    height, width = shape[1:]
    pad_h, pad_w = layer.padding
    padded = np.zeros((2, shape[0], height + 2 * pad_h, width + 2 * pad_w), np.int64)
    per_group = layer.weight.shape[0] // layer.groups
    grouped = layer.weight.reshape(layer.groups, per_group, *layer.weight.shape[1:])
    for i in range(layer.weight.shape[2]):
        for j in range(layer.weight.shape[3]):
            effective = np.count_nonzero(grouped[..., i, j], axis=1).reshape(-1)  # per input channel
            rows, columns = layer.seen_by(i, j)
            padded[0, :, rows, columns] += per_group
            padded[1, :, rows, columns] += effective[:, None, None]
    inside = padded[:, :, pad_h : pad_h + height, pad_w : pad_w + width]
    return inside[0], inside[1]


@dataclass(frozen=True, eq=False)
class Activity:
    """Events by neuron and step, summed over `samples` samples: of the input and of each layer, (T, *shape) int64.

    A graded event is one event.
    """

    samples: int
    events: tuple[np.ndarray, ...]

    def __add__(self, more: Activity) -> Activity:
        """Adds the events of more samples of the same network and steps."""
        summed = tuple(own + other for own, other in zip(self.events, more.events, strict=True))
        return Activity(self.samples + more.samples, summed)

    @property
    def steps(self) -> int:
        """Returns T."""
        return len(self.events[0])


def activity(net: IntNet, trace: SpikeTrace) -> Activity:
    """Counts the events of `trace`, a run of `net`, by neuron and step."""
    shapes = [net.input_shape, *(layer.shape for layer in net.layers)]
    values = [trace.input, *(layer.spikes for layer in trace.layers)]
    events = (np.count_nonzero(array, axis=0).reshape(-1, *shape) for array, shape in zip(values, shapes, strict=True))
    return Activity(trace.samples, tuple(events))


def counted(net: IntNet, seen: Activity) -> list[LayerCount]:
    """Counts the spikes, synaptic operations and updates of what `net` did: 'input' first, then each layer."""
    by_neuron = [events.sum(axis=0) for events in seen.events]
    rows = [LayerCount("input", "input", prod(net.input_shape), int(by_neuron[0].sum()), 0, 0, 0)]
    for (name, shape, layer), events, spikes in zip(net.inputs(), by_neuron[:-1], by_neuron[1:], strict=True):
        every, effective = fan_out(layer, shape)
        arriving, neurons = events.reshape(shape), prod(layer.shape)
        rows.append(
            LayerCount(
                name,
                layer.kind,
                neurons,
                int(spikes.sum()),
                int((arriving * every).sum()),
                int((arriving * effective).sum()),
                neurons * seen.steps * seen.samples,
            )
        )
    return rows


def count(net: IntNet, trace: SpikeTrace) -> list[LayerCount]:
    """Counts as `counted` does what is in `trace`, a run of `net`."""
    return counted(net, activity(net, trace))


def array_name(layer: str, quantity: str) -> str:
    """Names an array of a trace's file: `layerK` of what is sent, 's', and `layerK_u`, ... of states."""
    return layer if quantity == "s" else f"{layer}_{quantity}"


def arrays(trace: SpikeTrace) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the arrays of a trace's file by name: input and layerK (N, T, *shape), and layerK_u, ... where it has
    states."""
    yield "input", np.ascontiguousarray(trace.input)
    for layer in trace.layers:
        for quantity, values in {"s": layer.spikes, **layer.states}.items():
            yield array_name(layer.name, quantity), values


def save(trace: SpikeTrace, path: Path) -> None:
    """Writes the `arrays` of a trace as .npz."""
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **dict(arrays(trace)))  # pyright: ignore[reportArgumentType]
