"""Runs layers whose neurons send integers: Delta encoders, sigma-delta neurons and Sigma decoders."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
from typing_extensions import assert_never

from snnkd.engines.fast import conv_layouts, layouts, products, strategy
from snnkd.engines.fast.kernels import graded
from snnkd.engines.fast.source import Source, largest_of, rearranged
from snnkd.engines.fast.threads import spread
from snnkd.ir.network import Conv, Delta, Dense, Layer, Sigma, SigmaDelta, per_neuron
from snnkd.ir.trace import LayerTrace

# Makes the sums of a block of samples: events (n, D, ...) to (a (n, D, neurons) int64, how many of them wrapped).
Make = Callable[[np.ndarray], tuple[np.ndarray, int]]

_BLOCK = 1 << 21  # sums, or inputs, that a block of samples may hold: 16 MB


def run(
    name: str, layer: Layer, neuron: Delta | SigmaDelta | Sigma, source: Source, steps: int, states: bool
) -> tuple[LayerTrace, Source]:
    """Runs such a layer over all samples and `steps`; gives its trace, and what the next layer reads."""
    samples, neurons = len(source.events), prod(layer.shape)
    messages = np.empty((samples, steps, neurons), np.int32)
    v_last = np.empty((samples, neurons), np.int32)
    kept = (len(neuron.states), *messages.shape) if states else (0, 0, 0, 0)
    recorded = np.empty(kept, np.int32)
    own = (_settings(neuron), _bias(layer, neuron), messages, v_last, recorded)
    overflows = _run(layer, source, own)
    every = dict(zip(neuron.states, (layouts.in_order(values, layer) for values in recorded), strict=states))
    images = layouts.in_order(messages, layer)
    held = layouts.in_order(v_last[:, None], layer)[:, 0]
    trace = LayerTrace(name, images, held, overflows=overflows, saturations=0, **every)
    return trace, Source(messages, images, layouts.order(layer), largest_of(messages))


def _settings(neuron: Delta | SigmaDelta | Sigma) -> np.ndarray:
    """(7,) int64, what `graded.SETTINGS` names."""
    none = -(1 << 31)
    if neuron.kind == "sigma":
        return np.array([graded.SIGMA, 0, 0, 0, none, 0, 0], np.int64)
    exponent = neuron.spike_exp + neuron.state_exp
    shared = [exponent, neuron.threshold << exponent, neuron.state_exp]
    if neuron.kind == "delta":
        return np.array([graded.DELTA, *shared, none, neuron.cumulative, 1], np.int64)
    if neuron.kind == "sigma-delta":
        lowest = 0 if neuron.activation == "relu" else none
        return np.array([graded.SIGMA_DELTA, *shared, lowest, neuron.cumulative, 1], np.int64)
    assert_never(neuron)


def _bias(layer: Layer, neuron: Delta | SigmaDelta | Sigma) -> np.ndarray:
    """(neurons,) int32 in the order in which they are kept, << exponent."""
    if neuron.kind != "sigma-delta" or neuron.bias is None:
        return np.zeros(prod(layer.shape), np.int32)
    aligned = per_neuron(neuron.bias, layer.shape) << (neuron.spike_exp + neuron.state_exp)
    return np.broadcast_to(aligned, layer.shape).reshape(-1)[layouts.order(layer)].astype(np.int32)


def _run(layer: Layer, source: Source, own: tuple[np.ndarray, ...]) -> int:
    """Writes what `own` holds to be written; how many values wrapped."""
    if layer.kind == "input":
        order = layouts.order(layer)
        return _by_sums(own, source.events, lambda part: (part[:, :, order].astype(np.int64), 0))
    bound = products.largest_sum(layer, source.largest)
    if layer.kind == "dense" and source.images.ndim > 3:
        layer = rearranged(layer, source.order)
    if layer.kind == "dense" and layer.delay is not None:
        delayed = layer
        every = np.broadcast_to(source.events, (*own[2].shape[:2], source.events.shape[2]))
        return _by_sums(own, every, lambda part: products.delayed_sums(delayed, part))
    if strategy.follows_messages(layer, source.images, bound):
        return _by_messages(layer, source, own)
    summed = layer
    events = source.images if layer.kind == "conv" else source.events
    return _by_sums(own, events, lambda part: products.exact_sums(summed, part, bound))


def _by_messages(layer: Dense | Conv, source: Source, own: tuple[np.ndarray, ...]) -> int:
    events = np.ascontiguousarray(source.events, np.int32)
    if layer.kind == "dense":
        weight = np.ascontiguousarray(layer.weight.T, np.int32)
        return spread(graded.run_dense, len(events), (events, weight, max(layer.weight_exp, -31), *own))[0]
    layout = conv_layouts.scatter(layer, source.images.shape[2:], source.order)
    return spread(graded.run_conv, len(events), (events, *layout.arguments, *own))[0]


def _by_sums(own: tuple[np.ndarray, ...], events: np.ndarray, make: Make) -> int:
    """Sums of a block of samples first, then its neurons."""
    settings, bias, messages, v_last, recorded = own
    samples, steps, neurons = messages.shape
    block = max(1, _BLOCK // (events.shape[1] * max(neurons, prod(events.shape[2:]))))
    overflows = 0
    for start in range(0, samples, block):
        part = slice(start, start + block)
        sums, wrapped = make(events[part])
        arguments = (np.ascontiguousarray(sums), settings, bias, messages[part], v_last[part], recorded[:, part])
        overflows += wrapped * (steps // sums.shape[1]) + spread(graded.run_sums, len(sums), arguments)[0]
    return overflows
