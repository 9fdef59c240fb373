"""What arrives at the neurons of a layer in one time step, a << 6, of sigma-delta ones a, as nodes."""

from __future__ import annotations

from math import prod

import numpy as np
from onnx import TensorProto

from snnkd.engines.onnx.graph.nodes import Nodes, Value, narrow
from snnkd.ir.arithmetic import STATE_SHIFT
from snnkd.ir.network import Conv, Dense, Layer, Shape


def aligned(layer: Layer) -> int:
    """Says by how many bits a is shifted up for the layer's neurons."""
    return STATE_SHIFT if layer.neuron.kind == "cuba" else 0


def dense(nodes: Nodes, name: str, layer: Dense, events: Value) -> Value:
    """Adds the sums (N, O) of the events (N, *shape); of a delayed layer also its next state, the later ones."""
    flat = Value(nodes.add("Flatten", events.name, axis=1), events.bound)
    if layer.longest_delay:
        return _delayed(nodes, name, layer, flat)
    return _shifted(nodes, nodes.wrapped(_product(nodes, name, layer.weight.T, flat), 32), layer)


def _shifted(nodes: Nodes, total: Value, layer: Dense) -> Value:
    """total << weight_exp, aligned, for a `total` of 32 bits, or the same modulo 2^32, in which u and sigma wrap."""
    if layer.weight_exp < 0:
        return nodes.scaled(nodes.floored(total, min(-layer.weight_exp, 32)), 1 << aligned(layer))
    shift = aligned(layer) + layer.weight_exp
    return nodes.scaled(total, 1 << shift if shift < 32 else 0)


def _delayed(nodes: Nodes, name: str, layer: Dense, flat: Value) -> Value:
    """The synapses of each delay sum and shift on their own, when the event is sent; pending (N, delays, O) is what
    arrives in the steps to come, the next one first."""
    assert layer.delay is not None
    outputs = layer.weight.shape[0]
    waits, longest = np.unique(layer.delay), layer.longest_delay
    total = _product(nodes, name, layer.weight.T, flat, layer.delay.T)
    sent = _shifted(nodes, nodes.wrapped(total, 32), layer)
    by_wait = nodes.add("Reshape", sent.name, nodes.indices(0, len(waits), outputs))
    if len(waits) <= longest:  # a row of zeros stands for the delays that no synapse has
        with_zeros = nodes.add("Pad", by_wait, nodes.indices(0, 0, 0, 0, 1, 0))
        rows = np.full(longest + 1, len(waits))
        rows[waits] = np.arange(len(waits))
        by_wait = nodes.add("Gather", with_zeros, nodes.indices(*map(int, rows)), axis=1)
    pending = nodes.cast(f"{nodes.prefix}{name}_pending", TensorProto.INT64)
    pending = nodes.add("Pad", pending, nodes.indices(0, 0, 0, 0, 1, 0))
    # Each group rounds by itself where the exponent is negative, so the bound of one sum holds for each of them.
    arriving = nodes.wrapped(Value(nodes.add("Add", pending, by_wait), sent.bound * len(waits)), 32)
    later = nodes.add("Slice", arriving.name, nodes.indices(1), nodes.indices(longest + 1), nodes.indices(1))
    nodes.cast(later, TensorProto.INT32, f"{name}_pending_next")
    return Value(nodes.add("Gather", arriving.name, nodes.number(0), axis=1), arriving.bound)


def conv(nodes: Nodes, name: str, layer: Conv, events: Value, shape: Shape) -> Value:
    """Adds the sums (N, O, H, W) of the events (N, C, H, W): the input, unfolded by Gather, times the kernels."""
    columns = Value(_columns(nodes, name, layer, events.name, shape), events.bound)
    channels, *size = layer.weight.shape[1:]
    grouped = layer.weight.reshape(layer.groups, -1, channels, prod(size))
    kernels = grouped.transpose(0, 3, 2, 1).reshape(layer.groups, channels * prod(size), -1)
    total = nodes.wrapped(_product(nodes, name, kernels if layer.groups > 1 else kernels[0], columns), 24)
    order = (0, 1, 3, 2) if layer.groups > 1 else (0, 2, 1)
    a = nodes.add("Reshape", nodes.add("Transpose", total.name, perm=order), nodes.indices(0, *layer.shape))
    return nodes.scaled(Value(a, total.bound), 1 << aligned(layer))


def _columns(nodes: Nodes, name: str, layer: Conv, events: str, shape: Shape) -> str:
    """(N, groups, H * W of the output, kH * kW * C / groups), without `groups` where there is one.

    Gather copies all channels of a position at once, many times as fast as single values, so they come last.
    """
    _, out_h, out_w = layer.shape
    (pad_h, pad_w), (kernel_h, kernel_w) = layer.padding, layer.weight.shape[2:]
    height, width = shape[1] + 2 * pad_h, shape[2] + 2 * pad_w
    if pad_h or pad_w:
        events = nodes.add("Pad", events, nodes.indices(0, 0, pad_h, pad_w, 0, 0, pad_h, pad_w))
    flat = nodes.add("Reshape", events, nodes.indices(0, shape[0], height * width))
    last = nodes.add("Transpose", flat, perm=(0, 2, 1))
    first = np.add.outer(np.arange(out_h) * layer.stride[0] * width, np.arange(out_w) * layer.stride[1])
    offset = np.add.outer(np.arange(kernel_h) * layer.dilation[0] * width, np.arange(kernel_w) * layer.dilation[1])
    place, kernel = first.reshape(-1, 1), offset.reshape(1, -1)
    table = nodes.prepare("Add", nodes.small(f"{name}_place", place), nodes.small(f"{name}_kernel", kernel))
    columns = nodes.add("Gather", last, table, axis=1)
    places, positions, channels = out_h * out_w, kernel_h * kernel_w, layer.weight.shape[1]
    if layer.groups > 1:
        parts = nodes.add("Reshape", columns, nodes.indices(0, places, positions, layer.groups, channels))
        columns = nodes.add("Transpose", parts, perm=(0, 3, 1, 2, 4))
    lead = (layer.groups,) if layer.groups > 1 else ()
    return nodes.add("Reshape", columns, nodes.indices(0, *lead, places, positions * channels))


def _product(nodes: Nodes, name: str, weight: np.ndarray, events: Value, delay: np.ndarray | None = None) -> Value:
    """Multiplies events (..., I) @ weight (..., I, O), exactly where `limits.refusal` has nothing to say.

    delay: (I, O), for the outputs of each delay side by side.

    The weights' common power of two is taken out, so that trained weights, even integers in [-256, 254], are 8 bits
    in the file. Spikes and such weights multiply in MatMulInteger, several times as fast as in MatMul; other events
    do not, because its kernels for x86 without VNNI saturate pairs of products at 16 bits.
    """
    weight = weight.astype(np.int64)
    factor = _power_of_two(weight)
    stored = weight // factor
    most = events.bound * int(np.abs(stored).sum(axis=-2).max())
    if events.bound == 1 and narrow(stored).dtype == np.int8:
        matrix = _matrix(nodes, name, stored, delay, TensorProto.INT8)
        total = nodes.cast(nodes.add("MatMulInteger", events.name, matrix), TensorProto.INT64)
    else:
        kind = TensorProto.INT32 if most < 1 << 31 else TensorProto.INT64
        matrix = _matrix(nodes, name, stored, delay, kind)
        total = nodes.add("MatMul", nodes.cast(events.name, kind), matrix)
        if kind != TensorProto.INT64:
            total = nodes.cast(total, TensorProto.INT64)
    return nodes.scaled(Value(total, most), factor)


def _power_of_two(weight: np.ndarray) -> int:
    """The largest power of two that divides all weights; 1 where all are 0."""
    bits = int(np.bitwise_or.reduce(weight, axis=None))
    return bits & -bits or 1


def _matrix(nodes: Nodes, name: str, stored: np.ndarray, delay: np.ndarray | None, kind: int) -> str:
    """The constant weights as they are multiplied. Those of each delay are found when the file is opened, so that it
    holds each weight once."""
    if delay is None:
        return nodes.small(f"{name}_weight", stored, kind)
    inputs, outputs = stored.shape
    waits = np.unique(delay)
    weight = nodes.small(f"{name}_weight", stored.reshape(inputs, 1, outputs))
    held_back = nodes.small(f"{name}_delay", delay.reshape(inputs, 1, outputs))
    chosen = nodes.prepare("Equal", held_back, nodes.small(f"{name}_waits", waits.reshape(1, -1, 1)))
    groups = nodes.prepare("Mul", weight, nodes.prepare("Cast", chosen, to=TensorProto.INT64))
    matrix = nodes.prepare("Reshape", groups, nodes.indices(inputs, len(waits) * outputs))
    return nodes.prepare("Cast", matrix, to=kind)
