"""How high can the voltage of a neuron come at all? A bound from its weights, whatever its input says."""

from __future__ import annotations

import numpy as np

from snnkd.ir.arithmetic import STATE_LIMIT, STATE_SHIFT, decay, shift
from snnkd.ir.network import Input, Layer, per_neuron


def highest_voltage(layer: Layer, largest_event: int, signed: bool, steps: int) -> np.ndarray:
    """Bounds v of each neuron in a run of `steps` steps, before any reset: int64 that broadcasts over its shape.

    It is v where at every step every event comes that lifts it, and no other. largest_event: their magnitude; signed:
    whether they may be negative. A neuron whose u could wrap, one of an input layer and one that is no CUBA neuron is
    given the end of v's range.
    """
    if isinstance(layer, Input) or layer.neuron.kind != "cuba":
        return np.asarray(STATE_LIMIT)
    current, voltage, bias = (
        per_neuron(np.asarray(0 if values is None else values), layer.shape)
        for values in (layer.neuron.current_decay, layer.neuron.voltage_decay, layer.neuron.bias)
    )
    weight = layer.weight.astype(np.int64).reshape(len(layer.weight), -1) * largest_event
    exponent = layer.weight_exp if layer.kind == "dense" else 0
    either, up = (
        (shift(values.sum(axis=1), exponent) << STATE_SHIFT).reshape(-1, *(1,) * (len(layer.shape) - 1))
        for values in (np.abs(weight), np.abs(weight) if signed else np.maximum(weight, 0))
    )
    shape = np.broadcast_shapes(up.shape, current.shape, voltage.shape, bias.shape)
    magnitude, u, v = (np.zeros(shape, np.int64) for _ in range(3))
    highest = v
    for _ in range(steps):
        before = u, v
        magnitude = np.minimum(decay(magnitude, current) + either, STATE_LIMIT + 1)
        u = np.minimum(decay(u, current) + up, STATE_LIMIT + 1)
        v = np.clip(decay(v, voltage) + u + (bias << STATE_SHIFT), 1 - STATE_LIMIT, STATE_LIMIT - 1)
        highest = np.maximum(highest, v)
        if np.array_equal(u, before[0]) and np.array_equal(v, before[1]):
            break
    return np.where(magnitude > STATE_LIMIT, STATE_LIMIT, highest)
