"""Do two engines agree? Compares traces element by element, and makes the input for files that come without any."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np

from snnkd.analysis import cautions
from snnkd.analysis.explanation import Cause, Sums, explain
from snnkd.analysis.graded_explanation import GradedSums
from snnkd.base import memory, progress
from snnkd.base.errors import MismatchError
from snnkd.ir.network import Input, IntNet, Neuron, quantities
from snnkd.ir.trace import LayerTrace, SpikeTrace

DEFAULT_STEPS = 32


@dataclass(frozen=True)
class Difference:
    """One element that differs: `quantity` s, u or v, of sigma-delta neurons s or a state of theirs, of `neuron`
    ([c, h, w] or [i]) at the end of `step`."""

    quantity: str
    layer: str
    sample: int
    step: int
    neuron: list[int]
    expected: int
    actual: int


@dataclass(frozen=True)
class Verification:
    """Outcome of a comparison.

    compared: `samples`, `steps`, `cells` (array elements of s, u and v), `spikes` (events expected, all layers) and
    `states` (how many of the cells were u or v; v after the last step counts where that is all there is).
    differences: differing cells by layer name, all layers. sums: what led to the first difference; causes: the usual
    ones that explain it. warnings: what the comparison does not show, e.g. of layers that never fired.
    """

    equal: bool
    compared: dict[str, int]
    first_difference: Difference | None
    differences: dict[str, int]
    sums: Sums | GradedSums | None = None
    causes: tuple[Cause, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data with the same names."""
        return asdict(self)


def compare(net: IntNet, expected: SpikeTrace, actual: SpikeTrace) -> Verification:
    """Compares what all layers send, states where both traces have them, else v after the last step where both do.

    The first difference is the one in the earliest layer, there at the earliest step, then in the first sample; of
    its u, v and s, in that order, the first one that differs. Raises MismatchError where the traces are not of the
    same network, samples and steps.
    """
    _check_alike(net, expected, actual)
    first: Difference | None = None
    differences: dict[str, int] = {}
    cells = states = 0
    for layer, expected_layer, actual_layer in zip(net.layers, expected.layers, actual.layers, strict=True):
        name = expected_layer.name
        firsts: list[Difference] = []  # of each quantity of this layer
        differences[name] = 0
        for pair in _pairs(expected.steps, layer.neuron, expected_layer, actual_layer):
            differing = pair.expected != pair.actual
            cells += differing.size
            states += differing.size if pair.quantity != "s" else 0
            differences[name] += int(np.count_nonzero(differing))
            if differing.any():
                firsts.append(first_of(name, pair, differing))
        if first is None and firsts:  # of equal step and sample, min takes the quantity that comes first
            first = min(firsts, key=lambda difference: (difference.step, difference.sample))
    compared = {
        "samples": expected.samples,
        "steps": expected.steps,
        "cells": cells,
        "spikes": sum(expected.events[1:]),
        "states": states,
    }
    warnings = tuple(cautions.silent_layers(net, expected.events, f"the {expected.samples} samples compared"))
    if first is None:
        return Verification(True, compared, None, differences, warnings=warnings)
    place = (net.names.index(first.layer), first.sample, first.step, tuple(first.neuron))
    with progress.doing("looking for the cause of the first difference"):
        found = explain(net, expected, actual, place)
    return Verification(False, compared, first, differences, *found, warnings)


class Pair(NamedTuple):
    """Two arrays (N, T, *shape) of a quantity of a layer, 's' or a state; of the membrane, maybe only the last step."""

    quantity: str
    first_step: int
    expected: np.ndarray
    actual: np.ndarray


def _pairs(steps: int, neuron: Neuron, expected: LayerTrace, actual: LayerTrace) -> list[Pair]:
    """The quantities that both traces have, in the order in which a step computes them."""
    pairs = []
    for quantity in quantities(neuron):
        left, right, first_step = expected.of(quantity), actual.of(quantity), 0
        if quantity == neuron.membrane and (left is None or right is None):
            left, right, first_step = _last_step(expected), _last_step(actual), steps - 1
        if left is not None and right is not None:
            pairs.append(Pair(quantity, first_step, left, right))
    return pairs


def _last_step(layer: LayerTrace) -> np.ndarray | None:
    """The membrane after the last step, (N, 1, *shape)."""
    return None if layer.v_last is None else layer.v_last[:, None]


def first_of(layer: str, pair: Pair, differing: np.ndarray) -> Difference:
    """The earliest step at which `pair` differs, there the first sample, there the first neuron."""
    step, sample, *neuron = (int(i) for i in np.argwhere(differing.swapaxes(0, 1))[0])
    cell = (sample, step, *neuron)
    values = (int(pair.expected[cell]), int(pair.actual[cell]))
    return Difference(pair.quantity, layer, sample, step + pair.first_step, neuron, *values)


def _check_alike(net: IntNet, expected: SpikeTrace, actual: SpikeTrace) -> None:
    for trace in (expected, actual):
        shapes = [layer.spikes.shape for layer in trace.layers]
        expected_shapes = [(expected.samples, expected.steps, *layer.shape) for layer in net.layers]
        if shapes != expected_shapes:
            raise MismatchError(f"trace of engine {trace.engine}: expected layers {expected_shapes}, found {shapes}")
    if expected.input is not actual.input and not np.array_equal(expected.input, actual.input):
        raise MismatchError(f"traces of engines {expected.engine} and {actual.engine}: their inputs differ")


def synthetic_input(
    net: IntNet, steps: int | None = None, samples: int = 16, activity: float = 0.1, seed: int = 0
) -> np.ndarray:
    """Makes seeded random input (N, T, *net.input_shape) for a network that comes without data.

    steps: the network's own where None, or else 32 and as many as its delays can hold an event back. Each element is an
    event with probability `activity`; on graded input with a value from 1 to 2^message_bits - 1. For an input layer
    with neurons: an image of 0 to 2550 * activity, at all steps; for Delta encoders a video of which so many pixels
    change at each step. Raises LimitError where it would not fit in memory.
    """
    steps = steps or net.steps or DEFAULT_STEPS + net.longest_delay
    drawn = samples if isinstance(net.layers[0], Input) else samples * steps  # an image is the same at all steps
    memory.check(
        f"random events, {samples:,} samples of {steps:,} steps and {prod(net.input_shape):,} inputs",
        drawn * prod(net.input_shape) * (10 if net.message_bits else 2),
        "ask for fewer samples, or give events with fewer steps by --input",
    )
    random = np.random.default_rng(seed)
    if net.layers[0].neuron.kind == "delta":
        return _video(random, (samples, steps, *net.input_shape), activity)
    if isinstance(net.layers[0], Input):
        brightest = round(2550 * activity)
        dtype = np.uint8 if brightest < 256 else np.int32
        image = random.integers(0, brightest + 1, (samples, 1, *net.input_shape), dtype=dtype)
        return np.broadcast_to(image, (samples, steps, *net.input_shape))
    shape = (samples, steps, *net.input_shape)
    events = np.empty(shape, dtype=bool)
    for sample in events:  # one by one: the random numbers take eight times the memory
        np.less(random.random(shape[1:]), activity, out=sample)
    if net.message_bits == 0:
        return events.astype(np.uint8)
    values = random.integers(1, 1 << net.message_bits, shape)
    return np.where(events, values, 0).astype(np.uint8 if net.message_bits <= 8 else np.int32)


def _video(random: np.random.Generator, shape: tuple[int, ...], activity: float) -> np.ndarray:
    """(N, T, *input_shape) int32 in [-64, 64], as lava-dl's PilotNet has it; at each step a share `activity` is new."""
    frames = random.integers(-64, 65, shape).astype(np.int32)
    kept = random.random(shape) >= activity
    for t in range(1, shape[1]):
        frames[:, t] = np.where(kept[:, t], frames[:, t - 1], frames[:, t])
    return frames
