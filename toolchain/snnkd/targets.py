"""Targets as data: what a chip can hold, what its operations cost, and where each number comes from.

A target is a folder with `target.toml` (limits) and, where costs are known, `costs.toml`; see `docs/add_a_target.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from snnkd import c99, files
from snnkd.c99.cross import Build
from snnkd.c99.cross import build as read_build
from snnkd.errors import FormatError
from snnkd.network import Dense, Input, IntNet
from snnkd.quantities import ErrorFactor, Quantity, check_keys, error_factor, quantities, text

LIMIT_UNITS = {
    "cores": "cores",
    "neurons_per_core": "neurons",
    "synapse_memory_per_core": "byte",
    "stored_bits_per_weight": "bit",
    "weight_bits": "bit",
    "delay": "step",
    "payload_bits": "bit",
    "flash": "byte",
    "ram": "byte",
}
COST_UNITS = {
    "synop": "pJ",
    "synop_dense": "pJ",
    "synop_conv": "pJ",
    "neuron_update": "pJ",
    "spike": "pJ",
    "static_power": "W",
}
_TARGET_KEYS = {"name", "description", "engine", "limits", "build"}
_COST_KEYS = {"costs", "error_factors"}
_MAY_BE_ZERO = {"delay", "payload_bits"}

Limits = Mapping[str, Quantity]


@dataclass(frozen=True)
class Target:
    """A chip or a simulator of one. engine: name of the engine that runs networks on it, None where none here can.

    limits and costs: by the names of LIMIT_UNITS and COST_UNITS; one that is missing is not known. build: how firmware
    for it is built and emulated, None where that is not known; such a target has the limits flash and ram.
    """

    name: str
    description: str
    engine: str | None = None
    limits: Limits = field(default_factory=dict)
    costs: Mapping[str, Quantity] = field(default_factory=dict)
    error_factors: tuple[ErrorFactor, ...] = ()
    build: Build | None = None

    @property
    def takes(self) -> tuple[str, ...]:
        """Kinds of input event: 'binary' and, unless its limit `payload_bits` is 0, 'graded'."""
        payload = self.limits.get("payload_bits")
        return ("binary",) if payload is not None and payload.high == 0 else ("binary", "graded")


@dataclass(frozen=True)
class Violation:
    """One limit that a network breaks. layer: layer0, ..., 'input' or 'network'; actual, allowed: with their unit."""

    layer: str
    limit: str
    actual: str
    allowed: str
    fix: str
    source: str


def available() -> list[Target]:
    """The targets that snnkd comes with, by name."""
    return [load(name) for name in _known()]


def load(name: str | Path) -> Target:
    """The shipped target called `name`, or the user's own: a folder with `target.toml`, or a single TOML file.

    Costs are in the `[costs]` table of that file or in `costs.toml` beside a `target.toml`. Raises SnnkdError where
    there is no such target, FormatError that names file and entry where one is not what it should be.
    """
    known = _known()
    path = Path(name)
    own_folder = str(name) not in known and path.is_dir()
    path = files.find(path / "target.toml" if own_folder else name, known, "target")
    data = files.read_toml(path)
    beside = path.with_name("costs.toml")
    if path.name == "target.toml" and beside.is_file():
        costs = files.read_toml(beside)
        check_keys(path, "", data, _TARGET_KEYS)
        check_keys(beside, "", costs, _COST_KEYS)
        return _target(path, data, beside, costs)
    check_keys(path, "", data, _TARGET_KEYS | _COST_KEYS)
    return _target(path, data, path, data)


def check(net: IntNet, target: Target) -> list[Violation]:
    """Every limit of `target` that `net` surely breaks; an empty list promises nothing (see `docs/add_a_target.md`)."""
    found = (one(net, target.limits) for name, one in _CHECKS.items() if name in target.limits)
    return [violation for violations in found for violation in violations]


def fit(net: IntNet, target: Target) -> dict[str, Any]:
    """What `snnkd check --json` prints: target, verdict, cores, cores_typical and violations.

    cores: the fewest that could hold the network, all layers packed together; cores_typical: with each layer on its
    own cores, packed as in practice; null where the target's limits do not say. verdict: 'refused' (violations),
    'optimistic' (fits only at the ceilings) or 'likely' (also as packed in practice). None is a promise.
    """
    violations = check(net, target)
    fewest, typical = cores(net, target.limits), _cores_typical(net, target.limits)
    tight = typical is not None and "cores" in target.limits and typical > target.limits["cores"].high
    return {
        "target": target.name,
        "verdict": "refused" if violations else "optimistic" if tight else "likely",
        "cores": fewest,
        "cores_typical": typical,
        "violations": [asdict(violation) for violation in violations],
    }


def weight_bits(weight: np.ndarray) -> int:
    """Bits of a synapse for these integer weights: their common power of two is shared and costs none, and a sign only
    where both occur (Lava's sign modes). Even values in [-256, 254] need 8."""
    values = np.unique(weight.astype(np.int64))
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low == high == 0:
        return 1
    common = int(np.bitwise_or.reduce(np.abs(values)))
    step = common & -common
    low, high = low // step, high // step
    return max(high.bit_length(), (-low - 1).bit_length()) + 1 if low < 0 < high else max(-low, high).bit_length()


def cores(net: IntNet, limits: Limits) -> int | None:
    """The fewest cores that neurons and weights other than 0 need, None where no limit says."""
    needs = []
    if "neurons_per_core" in limits:
        needs.append(net.neurons / limits["neurons_per_core"].high)
    if "synapse_memory_per_core" in limits:
        bits = sum(np.count_nonzero(layer.weight) * weight_bits(layer.weight) for _, layer in _synaptic(net))
        needs.append(bits / 8 / limits["synapse_memory_per_core"].high)
    return max(1, *map(math.ceil, needs)) if needs else None


def _cores_typical(net: IntNet, limits: Limits) -> int | None:
    if not {"neurons_per_core", "synapse_memory_per_core", "stored_bits_per_weight"} <= limits.keys():
        return None
    per_core = limits["neurons_per_core"].typical
    weights = limits["synapse_memory_per_core"].typical * 8 / limits["stored_bits_per_weight"].typical
    sizes = [0 if isinstance(layer, Input) else layer.weight.size for layer in net.layers]
    return sum(
        max(math.ceil(prod(layer.shape) / per_core), math.ceil(size / weights))
        for layer, size in zip(net.layers, sizes, strict=True)
    )


def _synaptic(net: IntNet) -> Iterator[tuple[str, Any]]:
    return ((name, layer) for name, _, layer in net.inputs() if not isinstance(layer, Input))


def _check_payload(net: IntNet, limits: Limits) -> Iterator[Violation]:
    if net.message_bits > limits["payload_bits"].high:
        fix = "train with a binary encoding (rate, poisson, latency), or choose a target that takes graded events"
        yield _violation("input", "payload_bits", f"{net.message_bits} bit", limits, fix)


def _check_weight_bits(net: IntNet, limits: Limits) -> Iterator[Violation]:
    for name, layer in _synaptic(net):
        if (bits := weight_bits(layer.weight)) > limits["weight_bits"].high:
            fix = f"quantize the weights of {name} to {limits['weight_bits'].high:g} bit"
            yield _violation(name, "weight_bits", f"{bits} bit", limits, fix)


def _check_delay(net: IntNet, limits: Limits) -> Iterator[Violation]:
    for name, layer in _synaptic(net):
        longest = int(layer.delay.max(initial=0)) if isinstance(layer, Dense) and layer.delay is not None else 0
        if longest > limits["delay"].high:
            fix = f"clamp the delays of {name} to {limits['delay'].high:g} steps and train again"
            yield _violation(name, "delay", f"{longest} step", limits, fix)


def _check_one_neuron(net: IntNet, limits: Limits) -> Iterator[Violation]:
    """A layer can be split over cores, the weights into one neuron cannot."""
    for name, layer in _synaptic(net):
        fan_in = np.count_nonzero(layer.weight.reshape(len(layer.weight), -1), axis=1).max(initial=0)
        size = math.ceil(int(fan_in) * weight_bits(layer.weight) / 8)
        if size > limits["synapse_memory_per_core"].high:
            fix = f"give {name} fewer inputs: stride before it, or prune its weights"
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
    parts = {part.name: part.flash for part in plan.parts}
    yield from _short("flash", plan.flash, parts, limits, "fewer weights, or fewer bits of them (4 bits take half)")


def _check_ram(net: IntNet, limits: Limits) -> Iterator[Violation]:
    plan = c99.plan(net)
    parts = {part.name: prod(part.layer.shape) for part in plan.parts}
    yield from _short("ram", plan.ram, parts, limits, "fewer neurons: larger strides, or fewer channels")


def _short(name: str, needed: int, parts: Mapping[str, int], limits: Limits, fix: str) -> Iterator[Violation]:
    short = needed - math.floor(limits[name].high)
    if short > 0:
        largest = max(parts, key=lambda part: parts[part])
        yield _violation("network", name, f"{needed} byte, {short} too many", limits, f"give {largest} {fix}")


def _violation(layer: str, name: str, actual: str, limits: Limits, fix: str) -> Violation:
    return Violation(layer, name, actual, f"{limits[name].high:g} {limits[name].unit}", fix, limits[name].source)


_CHECKS: dict[str, Callable[[IntNet, Limits], Iterator[Violation]]] = {
    "payload_bits": _check_payload,
    "weight_bits": _check_weight_bits,
    "delay": _check_delay,
    "synapse_memory_per_core": _check_one_neuron,
    "cores": _check_cores,
    "flash": _check_flash,
    "ram": _check_ram,
}


def _known() -> dict[str, Path]:
    return files.names("hw_targets", "*/target.toml")


def _target(path: Path, data: dict[str, Any], costs_path: Path, costs: dict[str, Any]) -> Target:
    factors = costs.get("error_factors", [])
    if not isinstance(factors, list):
        raise FormatError(f"{costs_path}: error_factors: expected an array of tables, [[error_factors]]")
    limits = quantities(path, "limits", data.get("limits", {}), LIMIT_UNITS)
    for name, limit in limits.items():
        if limit.low == 0 and name not in _MAY_BE_ZERO:
            raise FormatError(f"{path}: limits.{name}: expected a number above 0, found 0")
    if "build" in data and not {"flash", "ram"} <= limits.keys():
        raise FormatError(f"{path}: build: expected the limits flash and ram too, which say how much memory there is")
    return Target(
        name=text(path, "name", data.get("name")),
        description=text(path, "description", data.get("description")),
        engine=text(path, "engine", data["engine"]) if "engine" in data else None,
        limits=limits,
        costs=quantities(costs_path, "costs", costs.get("costs", {}), COST_UNITS),
        error_factors=tuple(error_factor(costs_path, f"error_factors[{i}]", f) for i, f in enumerate(factors)),
        build=read_build(path, data["build"]) if "build" in data else None,
    )
