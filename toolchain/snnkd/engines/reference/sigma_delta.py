"""Sigma-delta neurons, Delta encoders and Sigma decoders of the definition, whose docstring has their formulas."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from typing_extensions import assert_never

from snnkd.engines.reference.rules import Rules
from snnkd.ir.network import Delta, Layer, Sigma, SigmaDelta, per_neuron
from snnkd.ir.trace import LayerTrace

_LOWEST = -(1 << 31)

# Takes a step: a, (N, *shape) int64, to what is sent; counts of wraps and states are kept by whoever made it.
_Step = Callable[[np.ndarray], np.ndarray]


@dataclass
class _Held:
    """The states of a layer by name, (N, *shape) int64, and how many of its values have wrapped."""

    states: dict[str, np.ndarray]
    overflows: int = 0
    recorded: dict[str, np.ndarray] = field(default_factory=dict)

    def limited(self, limited: tuple[np.ndarray, int]) -> np.ndarray:
        """Counts the wraps of what a limit returns, and gives the values."""
        values, wraps = limited
        self.overflows += wraps
        return values


def run(
    name: str,
    layer: Layer,
    neuron: Delta | SigmaDelta | Sigma,
    sums: Iterable[tuple[np.ndarray, int]],
    size: tuple[int, int],
    rules: Rules,
    states: bool,
) -> LayerTrace:
    """Runs a layer of such neurons.

    sums: for each step a, (N, *layer.shape) int64, of a Delta layer the input itself, and how many of them wrapped.
    size: N and T. states: whether to record them.
    """
    samples, steps = size
    held = _Held({state: np.zeros((samples, *layer.shape), np.int64) for state in neuron.states})
    step = _step(layer, neuron, held, rules)
    messages = np.zeros((samples, steps, *layer.shape), np.int32)
    recorded = {state: np.zeros(messages.shape, np.int32) for state in neuron.states if states}
    for t, (a, wraps) in enumerate(sums):
        held.overflows += wraps
        messages[:, t] = step(a)
        for state, values in recorded.items():
            values[:, t] = held.states[state]
    membrane = held.states[neuron.membrane].astype(np.int32)
    return LayerTrace(name, messages, membrane, overflows=held.overflows, saturations=0, **recorded)


def _step(layer: Layer, neuron: Delta | SigmaDelta | Sigma, held: _Held, rules: Rules) -> _Step:
    """What such neurons do at each step with what `held` keeps of the one before."""

    def summed(a: np.ndarray) -> np.ndarray:
        held.states["sigma"] = held.limited(rules.sigma(held.states["sigma"] + a))
        return held.states["sigma"]

    if neuron.kind == "sigma":
        return summed
    exponent = neuron.spike_exp + neuron.state_exp
    if neuron.kind == "delta":
        return lambda a: _change(neuron, held.limited(rules.change(a << exponent)), held, rules)
    if neuron.kind == "sigma-delta":
        bias = np.zeros((), np.int64) if neuron.bias is None else per_neuron(neuron.bias, layer.shape) << exponent
        lowest = 0 if neuron.activation == "relu" else _LOWEST

        def activated(a: np.ndarray) -> np.ndarray:
            active = held.limited(rules.change(summed(a) + bias))
            return _change(neuron, np.maximum(active, lowest), held, rules)

        return activated
    assert_never(neuron)


def _change(neuron: Delta | SigmaDelta, new: np.ndarray, held: _Held, rules: Rules) -> np.ndarray:
    """What is sent where the activation becomes `new`, (N, *shape) int64."""
    states = held.states
    change = held.limited(rules.change(new - states["act"] + states["residue"]))
    error = held.limited(rules.change(states["error"] + change)) if neuron.cumulative else change
    threshold = neuron.threshold << (neuron.spike_exp + neuron.state_exp)
    sent = np.where(rules.sends(_magnitude(error), threshold), change, 0)
    states["act"], states["residue"] = new, change - sent
    if neuron.cumulative:
        states["error"] = np.where(_magnitude(sent) > 0, 0, error)
    return rules.scale(sent, neuron.state_exp)


def _magnitude(values: np.ndarray) -> np.ndarray:
    """|values| as 32 bits have it: that of -2^31 is -2^31."""
    return np.where(values == _LOWEST, values, np.abs(values))
