"""Runs a network with real weights, biases and states, in float64: nothing of these is rounded, wraps or is clipped.

Spikes are 0 and 1 and messages integers, rounded down, as in the network that is made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from snnkd.engines.reference.definition import correlate
from snnkd.ir.arithmetic import DECAY_BITS, STATE_SHIFT
from snnkd.ir.network import (
    Conv,
    Cuba,
    Delta,
    Dense,
    Input,
    IntNet,
    Neuron,
    Shape,
    Sigma,
    SigmaDelta,
    per_neuron,
)
from snnkd.ir.trace import LayerTrace, SpikeTrace


def run(
    net: IntNet,
    neurons: Sequence[Neuron],
    weights: Sequence[np.ndarray],
    biases: Sequence[np.ndarray | None],
    events: np.ndarray,
) -> SpikeTrace:
    """Runs the layers of `net` on events (N, T, *input shape) with other numbers.

    neurons: of each layer; their own biases do not count. weights, biases: of each layer with synapses, float64 as a
    file has them, None for no bias. A trace holds what the readout of `net` reads; messages and states are int64.
    """
    source, traces = events, []
    synapses = iter(zip(weights, biases, strict=True))
    for name, layer, neuron in zip(net.names, net.layers, neurons, strict=True):
        if isinstance(layer, Input):
            steps = events.shape[1]
            arriving, added = np.moveaxis(events, 1, 0).astype(np.float64), 0.0
            if neuron.kind == "cuba":
                arriving, added = np.zeros((steps, len(events), *layer.shape)), arriving[0]
        else:
            weight, bias = next(synapses)
            arriving, added = _sums(layer, weight, source), _by_neuron(bias, layer.shape)
        every = net.readout.reads_every_v
        if neuron.kind == "cuba":
            source, held = _cuba(layer.shape, neuron, arriving, added, every)
        else:
            source, held = _graded(neuron, arriving, added, every)
        states: dict[str, Any] = {neuron.membrane: held} if every else {}
        traces.append(LayerTrace(name, source, held[:, -1], **states))
    return SpikeTrace("float64", events, tuple(traces))


def _cuba(
    shape: Shape, neuron: Cuba, arriving: np.ndarray, added: np.ndarray | float, every: bool
) -> tuple[np.ndarray, np.ndarray]:
    """CUBA-LIF neurons on what arrives, (T, N, *shape): their spikes (N, T, *shape), and v of the last step or of every
    one, int64 (N, 1 or T, *shape)."""
    steps, samples = arriving.shape[:2]
    current, voltage = (1 - per_neuron(d, shape) / 2**DECAY_BITS for d in (neuron.current_decay, neuron.voltage_decay))
    threshold = per_neuron(neuron.threshold, shape)
    u, v = np.zeros((2, samples, *shape))
    spikes = np.zeros((samples, steps, *shape), np.uint8)
    held = np.zeros((samples, steps if every else 1, *shape), np.int64)
    for t in range(steps):
        u = u * current + arriving[t]
        v = v * voltage + u + added
        spikes[:, t] = v > threshold
        v = np.where(spikes[:, t], 0, v)
        held[:, t if every else 0] = np.rint(v * 2**STATE_SHIFT)
    return spikes, held


def _graded(
    neuron: Delta | SigmaDelta | Sigma, arriving: np.ndarray, added: np.ndarray | float, every: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Delta encoders, sigma-delta neurons and Sigma decoders on what arrives, (T, N, *shape): their messages, int64 (N,
    T, *shape), and act or sigma as `_cuba` has v."""
    steps, samples, *shape = arriving.shape
    messages = np.zeros((samples, steps, *shape), np.int64)
    held = np.zeros((samples, steps if every else 1, *shape), np.int64)
    sigma, act, residue, error = np.zeros((4, samples, *shape))
    for t, now in enumerate(arriving):
        sigma = sigma + now
        if neuron.kind == "sigma":
            messages[:, t] = held[:, t if every else 0] = np.rint(sigma)
            continue
        unit = 2.0 ** (neuron.spike_exp + neuron.state_exp)
        before, act = act, now * unit if neuron.kind == "delta" else sigma + added * unit
        if neuron.kind == "sigma-delta" and neuron.activation == "relu":
            act = np.maximum(act, 0)
        change = act - before + residue
        error = error + change if neuron.cumulative else change
        sent = np.where(np.abs(error) >= neuron.threshold * unit, change, 0)
        residue, error = change - sent, np.where(sent != 0, 0, error)
        messages[:, t] = np.floor(sent / 2.0**neuron.state_exp)
        held[:, t if every else 0] = np.rint(act)
    return messages, held


def _by_neuron(bias: np.ndarray | None, shape: Shape) -> np.ndarray | float:
    """Real biases of a file, (), (O,) or (W, H, C), that broadcast over (N, *shape)."""
    if bias is None:
        return 0.0
    return bias.transpose(2, 1, 0) if bias.ndim == 3 else bias.reshape(-1, *(1,) * (len(shape) - 1))


def _sums(layer: Dense | Conv, weight: np.ndarray, events: np.ndarray) -> np.ndarray:
    """What arrives of events (N, T, ...) at each step, (T, N, *shape) float64."""
    samples, steps = events.shape[:2]
    sums = np.zeros((steps, samples, *layer.shape))
    weight = weight.reshape(layer.weight.shape)
    if isinstance(layer, Conv):
        for t in range(steps):
            sums[t] = correlate(layer, weight, events[:, t])
        return sums
    flat = events.reshape(samples, steps, -1).swapaxes(0, 1).astype(np.float64)
    delay = np.zeros(1, np.int32) if layer.delay is None else layer.delay
    for wait in np.unique(delay[delay < steps]):
        sums[wait:] += flat[: steps - wait] @ np.where(delay == wait, weight, 0).T
    return sums
