"""One neuron again, step by step in Python's integers: by the definition, or by rules that differ from it in one point.

It needs no more memory than the events of one sample that reach the neuron. `tests/test_explanation.py` holds it
against `reference.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnkd.fixedpoint import DECAY_BITS, STATE_LIMIT, STATE_SHIFT
from snnkd.network import Conv, Dense, Input, IntNet, Layer, Shape, per_neuron
from snnkd.trace import SpikeTrace

Sums = tuple[int, ...]  # sums of weight * event that arrive at one step, one of the synapses of each delay


@dataclass(frozen=True)
class Rules:
    """What a neuron follows; the defaults are the definition.

    sum_wraps: the sum, in 32 bits (dense) or 24 (convolution). current_wraps: a << 6 and u, in 32 bits. correction of
    u beyond 2^23: 'once' by 2^24, 'modulo' 2^24, 'clip', or 'none'. clips: of v at +-(2^23 - 1). fires_at_threshold:
    >= instead of >. floors: decays round down instead of towards zero. early_bias: steps of bias before the first
    input.
    """

    sum_wraps: bool = True
    current_wraps: bool = True
    correction: str = "once"
    clips: bool = True
    fires_at_threshold: bool = False
    floors: bool = False
    early_bias: int = 0


DEFINITION = Rules()


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
class Synapses:
    """Those into one neuron, F of them. place: their indices in the layer's weight, a tuple of (F,) arrays. events:
    (T, F) what their inputs send in one sample. weight, delay: (F,)."""

    place: tuple[np.ndarray, ...]
    events: np.ndarray
    weight: np.ndarray
    delay: np.ndarray

    def active(self, step: int) -> np.ndarray:
        """(F,) int64: the events that arrive at `step`."""
        sent = step - self.delay
        found = self.events[np.maximum(sent, 0), np.arange(len(sent))].astype(np.int64)
        return np.where(sent >= 0, found, 0)

    def sums(self) -> list[Sums]:
        """By step."""
        waits = np.unique(self.delay)
        groups = [(wait, self.delay == wait) for wait in waits]
        weights = [np.where(mask, self.weight, 0) for _, mask in groups]
        return [
            tuple(
                int(self.events[t - wait].astype(np.int64) @ weight) if t >= wait else 0
                for (wait, _), weight in zip(groups, weights, strict=True)
            )
            for t in range(len(self.events))
        ]


@dataclass(frozen=True)
class Replay:
    """One neuron of a layer in one sample. weight_exp: None for a convolution, whose sums wrap to 24 bits."""

    sums: list[Sums]
    weight_exp: int | None
    current_decay: int
    voltage_decay: int
    threshold: int
    bias: int

    def run(self, rules: Rules = DEFINITION) -> list[Step]:
        """Every step, from u = v = 0."""
        u = v = 0
        for _ in range(rules.early_bias):
            v = self._step((0,), 0, v, rules).v
        steps = []
        for sums in self.sums:
            steps.append(self._step(sums, u, v, rules))
            u, v = steps[-1].u, steps[-1].v
        return steps

    def _step(self, sums: Sums, u_before: int, v_before: int, rules: Rules) -> Step:
        a = self.activation(sums, rules)
        activation = wrapped(a << STATE_SHIFT, 32) if rules.current_wraps else a << STATE_SHIFT
        u_decayed = decayed(u_before, self.current_decay, rules.floors)
        u_exact = u_decayed + activation
        u = _corrected(wrapped(u_exact, 32) if rules.current_wraps else u_exact, rules.correction)
        v_decayed = decayed(v_before, self.voltage_decay, rules.floors)
        bias, threshold = self.bias << STATE_SHIFT, self.threshold << STATE_SHIFT
        v_exact = v_decayed + u + bias
        v = max(1 - STATE_LIMIT, min(STATE_LIMIT - 1, v_exact)) if rules.clips else v_exact
        s = int(v >= threshold if rules.fires_at_threshold else v > threshold)
        return Step(
            total=sum(sums),
            a=a,
            u_before=u_before,
            u_decayed=u_decayed,
            activation=activation,
            u_exact=u_exact,
            u=u,
            v_before=v_before,
            v_decayed=v_decayed,
            bias=bias,
            v_exact=v_exact,
            threshold=threshold,
            s=s,
            v=0 if s else v,
        )

    def activation(self, sums: Sums, rules: Rules = DEFINITION) -> int:
        """a of the sums that arrive at one step."""
        if self.weight_exp is None:
            return wrapped(sums[0], 24) if rules.sum_wraps else sums[0]
        every = (wrapped(one, 32) if rules.sum_wraps else one for one in sums)
        return sum(one << self.weight_exp if self.weight_exp > 0 else one >> -self.weight_exp for one in every)


def of_neuron(
    net: IntNet, trace: SpikeTrace, layer: int, sample: int, neuron: tuple[int, ...]
) -> tuple[Replay, Synapses]:
    """The neuron `neuron` ([c, h, w] or [i]) of layer number `layer` on what that layer reads in `trace`."""
    _, shape, found = list(net.inputs())[layer]
    source = trace.input if layer == 0 else trace.layers[layer - 1].spikes
    synapses = _synapses(found, shape, neuron, source[sample])
    parameters = {
        name: int(np.broadcast_to(per_neuron(values, found.shape), found.shape)[neuron])
        for name in ("current_decay", "voltage_decay", "threshold")
        if (values := getattr(found.neuron, name)) is not None
    }
    exponent = None if isinstance(found, Conv) else getattr(found, "weight_exp", 0)
    bias = _bias(found, neuron, source[sample, 0].reshape(shape))
    return Replay(synapses.sums(), exponent, **parameters, bias=bias), synapses


def decayed(state: int, fraction: int, floors: bool = False) -> int:
    """trunc0(state * (4096 - fraction) / 4096), or rounded down."""
    product = state * ((1 << DECAY_BITS) - fraction)
    return product >> DECAY_BITS if floors or product >= 0 else -(-product >> DECAY_BITS)


def wrapped(value: int, bits: int) -> int:
    """`value` in two's complement of `bits`."""
    return (value + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


def _corrected(u: int, how: str) -> int:
    if how == "once":
        return u - 2 * STATE_LIMIT if u > STATE_LIMIT else u + 2 * STATE_LIMIT if u <= -STATE_LIMIT else u
    if how == "modulo":
        return wrapped(u, 24)
    return max(-STATE_LIMIT, min(STATE_LIMIT - 1, u)) if how == "clip" else u


def _bias(layer: Layer, neuron: tuple[int, ...], image: np.ndarray) -> int:
    if isinstance(layer, Input):
        return int(image[neuron].astype(np.int16))
    bias = layer.neuron.bias
    return 0 if bias is None else int(np.broadcast_to(per_neuron(bias, layer.shape), layer.shape)[neuron])


def _synapses(layer: Layer, shape: Shape, neuron: tuple[int, ...], events: np.ndarray) -> Synapses:
    """events: (T, *shape) of one sample."""
    if isinstance(layer, Input):
        none = np.zeros(0, np.int64)
        return Synapses((), events.reshape(len(events), -1)[:, :0], none, none)
    if isinstance(layer, Dense):
        inputs = np.arange(layer.weight.shape[1])
        place = (np.full_like(inputs, neuron[0]), inputs)
        delay = np.zeros_like(inputs) if layer.delay is None else layer.delay[place].astype(np.int64)
        return Synapses(place, events.reshape(len(events), -1), layer.weight[place].astype(np.int64), delay)
    output, row, column = neuron
    per_group = layer.weight.shape[1]
    c, i, j = (index.reshape(-1) for index in np.indices(layer.weight.shape[1:]))
    y = row * layer.stride[0] - layer.padding[0] + i * layer.dilation[0]
    x = column * layer.stride[1] - layer.padding[1] + j * layer.dilation[1]
    inside = (y >= 0) & (y < shape[1]) & (x >= 0) & (x < shape[2])
    c, i, j, y, x = (index[inside] for index in (c, i, j, y, x))
    channel = output // (layer.weight.shape[0] // layer.groups) * per_group + c
    place = (np.full_like(c, output), c, i, j)
    sent = events.reshape(len(events), *shape)[:, channel, y, x]
    return Synapses(place, sent, layer.weight[place].astype(np.int64), np.zeros_like(c))
