"""One neuron of a layer in one sample, cut out and run again by the definition or by other rules.

It becomes a layer of its own, dense, or a 1x1 convolution on what its window sees, and `definition.run` runs that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from snnkd.engines.reference.definition import run
from snnkd.engines.reference.rules import DEFINITION, Rules
from snnkd.ir.arithmetic import STATE_SHIFT, wrap32
from snnkd.ir.network import Conv, Cuba, Dense, Input, IntNet, Layer, per_neuron
from snnkd.ir.trace import LayerTrace, SpikeTrace


class States(NamedTuple):
    """What K neurons do in T steps, int64 arrays (T, K), as `Step` names it; of an input layer the first two (T, 1)."""

    a_shifted: np.ndarray  # a << 6 before it wraps
    activation: np.ndarray
    u_exact: np.ndarray
    u: np.ndarray
    v_exact: np.ndarray
    s: np.ndarray
    v: np.ndarray

    def recorded(self) -> dict[str, np.ndarray]:
        """Returns what a trace holds of them, in 32 bits."""
        return {"s": self.s, "u": wrap32(self.u), "v": wrap32(self.v)}


@dataclass(frozen=True)
class Step:
    """One neuron at one step, in the order in which it is computed.

    total: the sum of weight * event; a: the same behind weight_exp or in 24 bits. activation: a << 6 in 32 bits.
    u_exact: u_decayed + activation; u: the same corrected. bias and threshold: << 6. v_exact: v_decayed + u + bias.
    s: 0 or 1. v: clipped, and 0 where s.
    """

    total: int
    a: int
    u_before: int
    u_decayed: int
    activation: int
    u_exact: int
    u: int
    v_before: int
    v_decayed: int
    bias: int
    v_exact: int
    threshold: int
    s: int
    v: int


@dataclass(frozen=True, eq=False)
class OneNeuron:
    """A neuron and what it reads: F events at each step, one through each of its synapses (0 for an input layer).

    layer: the one that it was cut out of. place: where its weights are in those of that layer, a tuple of (F,) arrays.
    weight, delay: (F,) int64. exists: (F,) bool, False in the padding of a convolution. events: (T, F). bias: its
    mantissa; of a neuron of an input layer the image there.
    """

    layer: Layer
    place: tuple[np.ndarray, ...]
    weight: np.ndarray
    delay: np.ndarray
    exists: np.ndarray
    events: np.ndarray
    current_decay: int
    voltage_decay: int
    threshold: int
    bias: int

    def arriving(self, step: int) -> np.ndarray:
        """Returns the events that arrive at `step`, (F,) int64."""
        sent = step - self.delay
        values = self.events[np.maximum(sent, 0), np.arange(len(sent))].astype(np.int64)
        return np.where(sent >= 0, values, 0)

    def steps(self) -> list[Step]:
        """Runs the neuron by the definition from u = v = 0 and returns every step."""
        a_shifted, activation, u_exact, u, v_exact, s, v = (values[:, 0] for values in again([self]))
        u_before, v_before = (np.concatenate([[0], states[:-1]]) for states in (u, v))
        bias, threshold = (np.full_like(u, value << STATE_SHIFT) for value in (self.bias, self.threshold))
        total = [self.arriving(t) @ self.weight for t in range(len(u))]
        by_current = (total, a_shifted >> STATE_SHIFT, u_before, u_exact - activation, activation, u_exact, u)
        by_voltage = (v_before, v_exact - u - bias, bias, v_exact, threshold, s, v)
        return [Step(*map(int, row)) for row in zip(*by_current, *by_voltage, strict=True)]


@dataclass(frozen=True, eq=False)
class Recorded:
    """What an engine's trace, or somebody's recording, has of one neuron in one sample.

    series: 's' and states by name, (T,), those of which any step was recorded, masked at the others. v_last: ().
    """

    engine: str
    series: Mapping[str, np.ndarray]
    v_last: np.ndarray | None = None

    @classmethod
    def of(cls, engine: str, layer: LayerTrace, sample: int, neuron: tuple[int, ...]) -> Recorded:
        """Returns what `layer`, of a trace by `engine`, has of the neuron [c, h, w] or [i] in one sample."""
        own = (sample, slice(None), *neuron)
        series = {name: values[own] for name, values in {"s": layer.spikes, **layer.states}.items()}
        return cls(engine, series, None if layer.v_last is None else layer.v_last[(sample, *neuron)])

    def equals(self, done: Mapping[str, np.ndarray], membrane: str) -> np.ndarray:
        """Compares what K neurons do, (T, K) by quantity, with what was recorded; (K,) bool, where all is the same."""
        same = [_alike(recorded, done[name]) for name, recorded in self.series.items()]
        if self.v_last is not None:
            same.append(_alike(self.v_last[None], done[membrane][-1:]))
        return np.logical_and.reduce(same)

    def at(self, quantity: str, step: int) -> int | None:
        """Returns 's' or a state at the end of `step`, 0 before the first one; None where it was not recorded."""
        series = self.series.get(quantity)
        if series is None or (step >= 0 and np.ma.getmaskarray(series)[step]):
            return None
        return int(series[step]) if step >= 0 else 0


def _alike(recorded: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Compares (T,) with (T, K) at the steps that were recorded: (K,) bool."""
    same = np.ma.getdata(recorded)[..., None] == values
    return np.all(same | np.ma.getmaskarray(recorded)[..., None], axis=0)


def cut_out(net: IntNet, trace: SpikeTrace, number: int, sample: int, neuron: tuple[int, ...]) -> OneNeuron:
    """Cuts the neuron [c, h, w] or [i] out of layer `number`, with what that layer reads in one sample of `trace`."""
    _, shape, layer = list(net.inputs())[number]
    source = (trace.input if number == 0 else trace.layers[number - 1].spikes)[sample]
    parameters = {name: _own(getattr(layer.neuron, name), layer, neuron) for name in _PARAMETERS}
    if isinstance(layer, Input):
        nothing = np.zeros(0, np.int64)
        parameters["bias"] = int(source[0].reshape(shape)[neuron].astype(np.int16))
        return OneNeuron(layer, (), nothing, nothing, nothing > 0, source.reshape(len(source), -1)[:, :0], **parameters)
    inputs = np.indices(layer.weight.shape[1:]).reshape(layer.weight.ndim - 1, -1)
    place = (np.full_like(inputs[0], neuron[0]), *inputs)
    delay = np.zeros_like(inputs[0])
    if isinstance(layer, Conv):
        events = window(layer, neuron, source.reshape(len(source), *shape))
        exists = window(layer, neuron, np.ones((1, *shape), bool))[0]
    else:
        events, exists = source.reshape(len(source), -1), np.ones(len(delay), bool)
        delay = delay if layer.delay is None else layer.delay[place].astype(np.int64)
    return OneNeuron(layer, place, layer.weight[place].astype(np.int64), delay, exists, events, **parameters)


def again(neurons: Sequence[OneNeuron], rules: Rules = DEFINITION, early: int = 0) -> States:
    """Runs neurons that were cut out of the same layer, and so read the same events, side by side.

    early: how many steps come before the first event, in which only bias comes in; the states leave them out.
    """
    events = np.pad(neurons[0].events, ((early, 0), (0, 0)))[None]
    layer = _side_by_side(neurons)
    if isinstance(layer, Input):
        events = np.broadcast_to([neuron.bias for neuron in neurons], (1, events.shape[1], *layer.shape))
    elif isinstance(layer, Conv):
        events = events[..., None, None]
    exact: dict[str, list[np.ndarray]] = {"activation": [], "current": [], "voltage": []}
    limited: dict[str, list[np.ndarray]] = {name: [] for name in exact}

    def watch(limit: str, before: np.ndarray, after: np.ndarray, _: int) -> None:
        if limit in exact:
            exact[limit].append(before.reshape(-1))
            limited[limit].append(after.reshape(-1))

    trace = run(IntNet(events.shape[2:], (layer,)), events, [rules.watched(watch)])
    a_shifted, u_exact, v_exact = (np.array(values[early:]) for values in exact.values())
    activation, u, v = (np.array(values[early:]) for values in limited.values())
    s = trace.layers[0].spikes.reshape(-1, len(neurons))[early:].astype(np.int64)
    return States(a_shifted, activation, u_exact, u, v_exact, s, np.where(s, 0, v))


def _side_by_side(neurons: Sequence[OneNeuron]) -> Layer:
    """A layer of these neurons, which were cut out of the same one."""
    layer = neurons[0].layer
    parameters = Cuba(*(np.array([getattr(neuron, name) for neuron in neurons], np.int32) for name in _PARAMETERS))
    if isinstance(layer, Input):
        return Input((len(neurons),), parameters)
    weight = np.stack([neuron.weight for neuron in neurons])
    if isinstance(layer, Conv):
        return Conv(weight[:, :, None, None], parameters, (len(neurons), 1, 1))
    return Dense(weight, parameters, layer.weight_exp, np.stack([neuron.delay for neuron in neurons]))


_PARAMETERS = ("current_decay", "voltage_decay", "threshold", "bias")  # of Cuba, in its order


def _own(values: np.ndarray | None, layer: Layer, neuron: tuple[int, ...]) -> int:
    """A parameter of one neuron of `layer`; 0 for no bias."""
    return 0 if values is None else int(np.broadcast_to(per_neuron(values, layer.shape), layer.shape)[neuron])


def window(layer: Conv, neuron: tuple[int, ...], events: np.ndarray) -> np.ndarray:
    """Returns (T, F) of events (T, *shape): what one neuron of a convolution reads, in the order of its weights, and 0
    in the padding."""
    output, *position = neuron
    per_group = layer.weight.shape[1]
    group = output // (layer.weight.shape[0] // layer.groups)
    channels = events[:, group * per_group : (group + 1) * per_group]
    padded = np.pad(channels, ((0, 0), (0, 0), *((pad, pad) for pad in layer.padding)))
    rows, columns = (
        slice(index * stride, index * stride + dilation * (kernel - 1) + 1, dilation)
        for index, stride, dilation, kernel in zip(
            position, layer.stride, layer.dilation, layer.weight.shape[2:], strict=True
        )
    )
    return padded[:, :, rows, columns].reshape(len(events), -1)
