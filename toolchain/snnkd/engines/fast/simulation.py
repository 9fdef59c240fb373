"""Runs the layers of a network one after another, each over all samples and on all cores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TypeVar

import numpy as np

from snnkd.engines.fast import conv_layouts, graded_layers, layouts, products, strategy
from snnkd.engines.fast.kernels import convolutions, layers
from snnkd.engines.fast.source import Source, rearranged
from snnkd.engines.fast.threads import spread
from snnkd.ir.arithmetic import STATE_SHIFT
from snnkd.ir.events import check_input
from snnkd.ir.network import Conv, Dense, Input, IntNet, Layer
from snnkd.ir.trace import LayerTrace, SpikeTrace

Summed = TypeVar("Summed", Dense, Conv, Dense | Conv)

_BLOCK = 1 << 22  # sums, or inputs, that a block of samples may hold: 16 MB, twice that with delays


def simulate(net: IntNet, spikes: np.ndarray, states: bool = False) -> SpikeTrace:
    """Runs `net` on integers (N, T, *input shape); the same trace and errors as `definition.simulate`.

    Memory beyond the trace and one copy of the input does not grow with N. Arrays of shape (N, T, C, H, W) in the
    trace are views of memory in which channels come last. The first call with a kind of layer compiles its kernel, a
    few seconds; later processes find it on disk.
    """
    events = check_input(net, spikes)
    source = Source.of_input(net, events)
    traces = []
    for name, layer, kept in zip(net.names, net.layers, net.recorded(states), strict=True):
        if layer.neuron.kind == "cuba":
            record = _Record.empty(layer, events.shape[0], events.shape[1], bool(kept))
            overflows, saturations = _run_layer(layer, source, record)
            traces.append(record.trace(name, layer, overflows, saturations))
            source = Source(record.spikes, traces[-1].spikes, layouts.order(layer), 1)
        else:
            trace, source = graded_layers.run(name, layer, layer.neuron, source, events.shape[1], bool(kept))
            traces.append(trace)
    return SpikeTrace("fast", events, tuple(traces))


@dataclass(frozen=True, eq=False)
class _Record:
    """What the kernels write, neurons as in `layouts.order`: spikes (N, T, neurons) uint8, v_last (N, neurons) and, or
    empty, u and v (N, T, neurons), int32."""

    spikes: np.ndarray
    v_last: np.ndarray
    u: np.ndarray
    v: np.ndarray

    @classmethod
    def empty(cls, layer: Layer, samples: int, steps: int, states: bool) -> _Record:
        shape = (samples, steps, prod(layer.shape))
        kept = shape if states else (0, 0, 0)
        v_last = np.empty((samples, shape[2]), np.int32)
        return cls(np.empty(shape, np.uint8), v_last, np.empty(kept, np.int32), np.empty(kept, np.int32))

    def arrays(self, start: int, stop: int) -> tuple[np.ndarray, ...]:
        """Those of samples start to stop, in the order of the kernels' arguments."""
        return self.spikes[start:stop], self.v_last[start:stop], self.u[start:stop], self.v[start:stop]

    def trace(self, name: str, layer: Layer, overflows: int, saturations: int) -> LayerTrace:
        spikes, v_last = layouts.in_order(self.spikes, layer), layouts.in_order(self.v_last[:, None], layer)[:, 0]
        u, v = (layouts.in_order(x, layer) if x.size else None for x in (self.u, self.v))
        return LayerTrace(name, spikes, v_last, u, v, overflows, saturations)


def _run_layer(layer: Layer, source: Source, record: _Record) -> tuple[int, int]:
    """Writes `record`; (overflows, saturations)."""
    if layer.kind == "input":
        return _by_bias(layer, source, record)
    bound = products.largest_sum(layer, source.largest)
    if layer.kind == "dense" and source.images.ndim > 3:
        layer = rearranged(layer, source.order)
    if layer.kind == "dense" and layer.delay is not None:
        every = np.broadcast_to(source.events, (*record.spikes.shape[:2], source.events.shape[2]))
        return _by_sums(layer, every, record, _delayed)
    if source.largest == 1 and strategy.by_events(layer, source.images, bound):
        return _by_events(layer, source, record)
    events = source.images if layer.kind == "conv" else source.events
    return _by_sums(layer, events, record, lambda layer, part: products.sums(layer, part, bound))


def _by_bias(layer: Input, source: Source, record: _Record) -> tuple[int, int]:
    """An input layer with neurons: the image is their bias, cast to int16 as Lava does."""
    parameters, order = layouts.parameters(layer), layouts.order(layer)
    overflows = saturations = 0
    for start in range(0, len(source.events), block := max(1, _BLOCK // len(order))):
        image = np.ascontiguousarray(source.events[start : start + block, 0, order]).astype(np.int16)
        sums = np.zeros((len(image), 1, len(order)), np.int32)
        bias = image.astype(np.int32) << STATE_SHIFT
        arguments = (sums, parameters, bias, *record.arrays(start, start + block))
        wraps, clips = spread(layers.run_sums, len(image), arguments)
        overflows, saturations = overflows + wraps, saturations + clips
    return overflows, saturations


def _by_events(layer: Dense | Conv, source: Source, record: _Record) -> tuple[int, int]:
    samples = len(source.events)
    neurons = layouts.parameters(layer), layouts.bias(layer), *record.arrays(0, samples)
    if layer.kind == "dense":
        exponent = max(-31, min(31, layer.weight_exp))  # beyond that only 0 and -1 are left of 32 bits
        arguments = (source.events, layouts.dense_weight(layer.weight), exponent, *neurons)
        return spread(layers.run_dense, samples, arguments)
    shape = source.images.shape[2:]
    if strategy.scatters(layer, source.images):
        layout, kernel = conv_layouts.scatter(layer, shape, source.order), convolutions.run_scatter
    else:
        layout, kernel = conv_layouts.patterns(layer, shape, source.order), convolutions.run_patterns
    return spread(kernel, samples, (source.events, *layout.arguments, *neurons))


def _by_sums(
    layer: Summed, events: np.ndarray, record: _Record, make: Callable[[Summed, np.ndarray], tuple[np.ndarray, int]]
) -> tuple[int, int]:
    """Sums of a block of samples first, then its neurons."""
    samples, steps = record.spikes.shape[:2]
    neurons = layouts.parameters(layer), layouts.bias(layer)
    block = max(1, _BLOCK // (events.shape[1] * max(prod(layer.shape), prod(events.shape[2:]))))
    overflows = saturations = 0
    for start in range(0, samples, block):
        sums, wrapped = make(layer, events[start : start + block])
        arguments = (sums, *neurons, *record.arrays(start, start + block))
        wraps, clips = spread(layers.run_sums, len(sums), arguments)
        overflows += wrapped * (steps // sums.shape[1]) + wraps
        saturations += clips
    return overflows, saturations


def _delayed(layer: Dense, events: np.ndarray) -> tuple[np.ndarray, int]:
    """As `products.sums` for a layer with delays and events of all steps."""
    return products.in_32_bits(products.delayed_sums(layer, events)[0])
