"""Does a network fit a target, and what would have to change? Sizes are counted, nothing is run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any

import numpy as np

from snnkd.analysis import remedies
from snnkd.analysis.narrowing import narrower
from snnkd.analysis.placement import Placement, place, weight_bits
from snnkd.engines import c99
from snnkd.ir.network import Dense, Input, IntNet
from snnkd.targets import Limits, Target


@dataclass(frozen=True)
class Violation:
    """One limit that a network breaks. layer: layer0, ..., 'input' or 'network'; actual, allowed: with their unit."""

    layer: str
    limit: str
    actual: str
    allowed: str
    fix: str
    source: str


def check(net: IntNet, target: Target) -> list[Violation]:
    """Finds every limit of `target` that `net` surely breaks; an empty list promises nothing (see
    `docs/add_a_target.md`)."""
    checks = {name: check_limit for name, check_limit in _CHECKS.items() if name in target.limits}
    found = [violation for check_limit in checks.values() for violation in check_limit(net, target.limits)]
    return [_in_numbers(net, target.limits, violation) for violation in found]


def _in_numbers(net: IntNet, limits: Limits, violation: Violation) -> Violation:
    """Adds to the advice how narrow one layer would have to be, where that alone keeps to the limit."""
    if violation.limit not in _OF_SIZE:
        return violation

    def fits(other: IntNet) -> bool:
        return all(broken.layer != violation.layer for broken in _CHECKS[violation.limit](other, limits))

    size = narrower(net, fits)
    return violation if size is None else replace(violation, fix=f"{violation.fix}; it fits with {size}")


@dataclass(frozen=True)
class Fit:
    """Whether a network fits a target. verdict: 'refused' (violations), 'optimistic' (fits only at the ceilings) or
    'likely' (also as packed in practice). None is a promise.

    cores: the fewest that could hold the network, all layers packed together; cores_typical: those of `placement`,
    which packs as in practice; None where the target's limits do not say.
    """

    target: str
    verdict: str
    cores: int | None
    cores_typical: int | None
    placement: Placement | None
    violations: list[Violation]

    def to_json(self) -> dict[str, Any]:
        """Returns what `snnkd check --json` prints."""
        return asdict(self)


def fit(net: IntNet, target: Target) -> Fit:
    """Tells whether `net` fits `target`, and what would have to change."""
    violations = check(net, target)
    fewest = cores(net, target.limits)
    placed = place(net, target, fewest or 1)
    tight = placed is not None and (placed.chips > 1 or any(core.utilization > 1 for core in placed.by_core))
    verdict = "refused" if violations else "optimistic" if tight else "likely"
    return Fit(target.name, verdict, fewest, None if placed is None else placed.cores, placed, violations)


def cores(net: IntNet, limits: Limits) -> int | None:
    """Returns the fewest cores that neurons and weights other than 0 need, None where no limit says."""
    needs = []
    if "neurons_per_core" in limits:
        needs.append(net.neurons / limits["neurons_per_core"].high)
    if "synapse_memory_per_core" in limits:
        bits = sum(np.count_nonzero(layer.weight) * weight_bits(layer.weight) for _, layer in _synaptic(net))
        needs.append(bits / 8 / limits["synapse_memory_per_core"].high)
    return max(1, *map(math.ceil, needs)) if needs else None


def _synaptic(net: IntNet) -> Iterator[tuple[str, Any]]:
    return ((name, layer) for name, _, layer in net.inputs() if not isinstance(layer, Input))


def _check_payload(net: IntNet, limits: Limits) -> Iterator[Violation]:
    if net.message_bits > limits["payload_bits"].high:
        fix = "train with a binary encoding (rate, poisson, latency), or choose a target that takes graded events"
        yield _violation("input", "payload_bits", f"{net.message_bits} bit", limits, fix)


def _check_weight_bits(net: IntNet, limits: Limits) -> Iterator[Violation]:
    for name, layer in _synaptic(net):
        if (bits := weight_bits(layer.weight)) > limits["weight_bits"].high:
            fix = remedies.fewer_bits(name, math.floor(limits["weight_bits"].high))
            yield _violation(name, "weight_bits", f"{bits} bit", limits, fix)


def _check_delay(net: IntNet, limits: Limits) -> Iterator[Violation]:
    for name, layer in _synaptic(net):
        longest = int(layer.delay.max(initial=0)) if isinstance(layer, Dense) and layer.delay is not None else 0
        if longest > limits["delay"].high:
            fix = f"train {name} again with delays of at most {limits['delay'].high:g} steps (max_delay of its network)"
            yield _violation(name, "delay", f"{longest} step", limits, fix)


def _check_one_neuron(net: IntNet, limits: Limits) -> Iterator[Violation]:
    """A layer can be split over cores, the weights into one neuron cannot."""
    for name, layer in _synaptic(net):
        fan_in = np.count_nonzero(layer.weight.reshape(len(layer.weight), -1), axis=1).max(initial=0)
        size = math.ceil(int(fan_in) * weight_bits(layer.weight) / 8)
        if size > limits["synapse_memory_per_core"].high:
            fix = remedies.fewer_inputs(net, name, limits["synapse_memory_per_core"].high / size)
            yield _violation(name, "synapse_memory_per_core", f"{size} byte into one neuron", limits, fix)


def _check_cores(net: IntNet, limits: Limits) -> Iterator[Violation]:
    fewest = cores(net, limits)
    if fewest is not None and fewest > limits["cores"].high:
        wide = max(zip(net.names, net.layers, strict=True), key=lambda item: prod(item[1].shape))[0]
        heavy = max(_synaptic(net), key=lambda item: item[1].weight.size, default=(wide, None))[0]
        fix = f"make {wide} (most neurons) or {heavy} (most weights) smaller, or split over chips"
        yield _violation("network", "cores", f"at least {fewest} cores", limits, fix)


def _check_flash(net: IntNet, limits: Limits) -> Iterator[Violation]:
    plan = c99.plan(net)
    if (excess := _excess("flash", plan.flash, limits)) > 0:
        actual = f"{plan.flash} byte, {excess} too many"
        yield _violation("network", "flash", actual, limits, remedies.less_flash(plan))


def _check_ram(net: IntNet, limits: Limits) -> Iterator[Violation]:
    plan = c99.plan(net)
    if (excess := _excess("ram", plan.ram, limits)) > 0:
        actual = f"{plan.ram} byte, {excess} too many"
        yield _violation("network", "ram", actual, limits, remedies.less_ram(plan, excess))


def _excess(name: str, needed: int, limits: Limits) -> int:
    """Bytes that are needed beyond the limit `name`."""
    return needed - math.floor(limits[name].high)


def _violation(layer: str, name: str, actual: str, limits: Limits, fix: str) -> Violation:
    return Violation(layer, name, actual, f"{limits[name].high:g} {limits[name].unit}", fix, limits[name].source)


_OF_SIZE = ("synapse_memory_per_core", "cores", "flash", "ram")
_CHECKS: dict[str, Callable[[IntNet, Limits], Iterator[Violation]]] = {
    "payload_bits": _check_payload,
    "weight_bits": _check_weight_bits,
    "delay": _check_delay,
    "synapse_memory_per_core": _check_one_neuron,
    "cores": _check_cores,
    "flash": _check_flash,
    "ram": _check_ram,
}
