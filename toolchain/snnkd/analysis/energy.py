"""Energy from counts: what synops, neuron updates and spikes of an integer network would cost on a target.

`docs/energy_model.md` has the formula, the origin of every constant and what is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from snnkd.analysis.fit import fit
from snnkd.analysis.traffic import LINK_TIME, TIMES, Traffic, traffic
from snnkd.base.errors import FormatError
from snnkd.ir.network import IntNet
from snnkd.ir.trace import Activity, LayerCount, fan_out
from snnkd.targets import Target

if TYPE_CHECKING:
    from snnkd.analysis.measured import MeasuredEnergy
    from snnkd.analysis.neurobench import NeuroBench
    from snnkd.analysis.processor import ProcessorEnergy
    from snnkd.analysis.real_time import RealTime
    from snnkd.analysis.rival import Rival
    from snnkd.analysis.teachers import Teacher

NOTE = "estimate, not a measurement: counts of the integer network times constants, without the host"
PARTS = ("synops", "updates", "spikes")
_ROUTED = {"messages": "message", "hops": "hop"}  # the costs of parts of no single layer
_NO_PLACEMENT = "messages to further cores, hops, latency, static and total energy: no placement of this network"
_NO_TIMES = "latency, static and total energy: {target} has no cost of {costs}"
_ONLY_CORES = "input and output: latency is that of the busiest cores{links}, with nothing to wait for outside"
_NO_LINKS = "links of the mesh: {target} has no cost of link_time, so that latency waits for cores alone"
NO_HOST = "host, sensor and input events: nothing is published that would apply to every network"
UJ_PER_PJ = 1e-6


@dataclass(frozen=True)
class Range:
    """An estimate with its bounds, in uJ or us per inference."""

    low: float
    typical: float
    high: float

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.typical + other.typical, self.high + other.high)

    def __mul__(self, other: Range | float) -> Range:
        by = other if isinstance(other, Range) else Range(other, other, other)
        return Range(self.low * by.low, self.typical * by.typical, self.high * by.high)


@dataclass(frozen=True)
class LayerEnergy:
    """One layer's dynamic energy by part ('synops', 'updates', 'spikes'), None where its cost is not known."""

    name: str
    parts: Mapping[str, Range | None]

    @property
    def dynamic(self) -> Range | None:
        """Over all parts, None where one is not known."""
        return total(self.parts.values())


@dataclass(frozen=True)
class Energy:
    """Energy per inference on `target`: dynamic by layer and part, and static.

    missing: names of the costs that are not known. routing: parts of no single layer, 'messages' to cores beyond the
    first that reads a spike, and 'hops'; those only whose cost is known. latency: in us, of the busiest cores and
    links. chips: that the placement takes. dynamic_by_cost: the typical one, in uJ by the names of costs. Without a
    placement: no routing, None and 0.
    """

    target: Target
    layers: tuple[LayerEnergy, ...]
    missing: tuple[str, ...]
    routing: Mapping[str, Range] = field(default_factory=dict)
    latency: Range | None = None
    chips: int = 0
    dynamic_by_cost: Mapping[str, float] = field(default_factory=dict)

    def by_cost(self, whole: bool, latency: float | None = None) -> Mapping[str, float] | None:
        """Splits the typical dynamic energy, or the whole one, by the costs that it is made of, in uJ; None where it is
        not known. latency: in us, where that was measured; else the estimate."""
        if self.dynamic is None or not whole:
            return None if self.dynamic is None else self.dynamic_by_cost
        power, lasts = self.target.costs.get("static_power"), latency or (self.latency and self.latency.typical)
        if power is None or not lasts or not self.chips:
            return None
        return {**self.dynamic_by_cost, "static_power": power.typical * self.chips * lasts}

    @property
    def parts(self) -> dict[str, Range | None]:
        """By part, over all layers."""
        return {part: total(layer.parts[part] for layer in self.layers) for part in PARTS} | dict(self.routing)

    @property
    def dynamic(self) -> Range | None:
        """Over all layers and parts, None where a part is not known."""
        return total([*(layer.dynamic for layer in self.layers), *self.routing.values()])

    @property
    def static(self) -> Range | None:
        """Static power of the chips for as long as an inference takes, None where that is not known."""
        power = self.target.costs.get("static_power")
        if power is None or self.latency is None:
            return None
        return self.latency * Range(power.low, power.typical, power.high) * self.chips

    @property
    def total(self) -> Range | None:
        """Dynamic and static, None where one of them is not known."""
        return total([self.dynamic, self.static])

    @property
    def compared(self) -> Range | None:
        """What other networks on the target are held against: dynamic energy."""
        return self.dynamic

    @property
    def dominates(self) -> dict[str, Any] | None:
        """Layer and part with the largest typical energy and its share of all, None where a part is not known."""
        dynamic = self.dynamic
        if dynamic is None or dynamic.typical == 0:
            return None
        typical = {
            (layer.name, part): cost.typical for layer in self.layers for part, cost in layer.parts.items() if cost
        }
        layer, part = max(typical, key=lambda key: typical[key])
        return {"layer": layer, "part": part, "share": typical[layer, part] / dynamic.typical}

    def _no_time(self) -> list[str]:
        if not self.chips:
            return [_NO_PLACEMENT]
        name, costs = self.target.name, self.target.costs
        if lacking := [cost for cost in (*TIMES, "static_power") if cost not in costs]:
            return [_NO_TIMES.format(target=name, costs=", ".join(lacking))]
        linked = LINK_TIME in costs
        outside = _ONLY_CORES.format(links=" and links" if linked else "")
        return [outside] if linked or self.target.mesh is None else [outside, _NO_LINKS.format(target=name)]

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data; keys in `docs/energy_model.md`. Energies in uJ per inference, null if unknown."""
        unknown = (
            [f"dynamic energy: {self.target.name} has no cost of {', '.join(self.missing)}"] if self.missing else []
        )
        return {
            **sums(self),
            "layers_uJ": [
                {"name": layer.name, "dynamic": as_json(layer.dynamic)}
                | {part: as_json(cost) for part, cost in layer.parts.items()}
                for layer in self.layers
            ],
            "dominates": self.dominates,
            "not_known": [*unknown, *self._no_time(), NO_HOST],
            "note": NOTE,
            **constants(self.target),
        }


@dataclass(frozen=True)
class TargetEnergy:
    """An estimate on a target, the verdict of whether the network fits it (`fit.Fit`), the same at the recording's real
    time, None where that is not known, an ANN of the same shape, None where nobody asked, and what was measured."""

    estimate: Energy | ProcessorEnergy
    verdict: str
    real_time: RealTime | None = None
    ann: Rival | None = None
    measured: tuple[MeasuredEnergy, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data; keys in `docs/energy_model.md`."""
        timed = {} if self.real_time is None else {"real_time": self.real_time.to_json()}
        ann = {} if self.ann is None else {"ann": self.ann.to_json()}
        measured = {"measured": [one.to_json() for one in self.measured]} if self.measured else {}
        return {**self.estimate.to_json(), "verdict": self.verdict, **timed, **ann, **measured}


@dataclass(frozen=True)
class LayerProfile(LayerCount):
    """Totals of one layer, and `macs_ann`: multiplications of one pass of an ANN with the same layer."""

    macs_ann: int


@dataclass(frozen=True)
class EarlyExitWork:
    """What a rule for early exit leaves, means per inference: steps, and the layers' spikes and synops."""

    steps: float
    spikes: float
    synops: float


@dataclass(frozen=True)
class Profile:
    """What a network did on `samples` samples of `steps` steps, and what that costs.

    fidelity: what was counted, 'integer', 'lava' or 'device'. data: what the samples are. layers: 'input' first, totals
    over all samples. energy: by target, in uJ per inference. warnings: what the counts do not show. in_memory: an ANN
    beside it in 45 nm (`rival.in_memory`). neurobench: NeuroBench's metrics. teachers:
    of the network, and what they would need.
    """

    fidelity: str
    samples: int
    steps: int
    data: str
    layers: list[LayerProfile]
    energy: dict[str, TargetEnergy]
    early_exit: EarlyExitWork | None = None
    warnings: list[str] = field(default_factory=list)
    in_memory: Rival | None = None
    neurobench: NeuroBench | None = None
    teachers: Sequence[Teacher] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data; keys in `docs/energy_model.md`, without those of parts that there are none of."""
        shared = {key: getattr(self, key) for key in ("fidelity", "samples", "steps", "data")}
        parts = {
            "early_exit": None if self.early_exit is None else asdict(self.early_exit),
            "in_memory": None if self.in_memory is None else self.in_memory.to_json(),
            "neurobench": None if self.neurobench is None else self.neurobench.to_json(),
            "teachers": [teacher.to_json() for teacher in self.teachers] or None,
        }
        return {
            **shared,
            "layers": [asdict(row) for row in self.layers],
            "energy": {name: target.to_json() for name, target in self.energy.items()},
            "warnings": self.warnings,
            **{key: part for key, part in parts.items() if part is not None},
        }


def estimate(counts: Sequence[LayerCount], samples: int, target: Target, work: Traffic | None = None) -> Energy:
    """Estimates the energy per inference of `counts`, totals over `samples` inferences.

    work: what the same events do on the target's cores, None where there is no placement: then neither routing nor
    latency is known.

    Each layer's synops are those into it; a layer's synop cost is the target's for its kind ('synop_dense',
    'synop_conv') where there is one, else 'synop'. Events of the row 'input' cost no spike: no neuron on the chip
    sends them. A cost that the target lacks makes its part None (where there is anything to charge); it is never
    replaced. Raises FormatError for samples < 1.
    """
    if samples < 1:
        raise FormatError(f"energy per inference of {samples} samples: expected at least 1")
    missing: dict[str, None] = {}  # an ordered set
    by_cost: dict[str, float] = {}

    def part(count: int, *names: str) -> Range | None:
        name, cost = _first(target, names), charged(target, count / samples, *names)
        if cost is None:
            missing[names[-1]] = None
        elif name is not None:
            by_cost[name] = by_cost.get(name, 0.0) + cost.typical
        return cost

    layers = tuple(
        LayerEnergy(
            row.name,
            {
                "synops": part(row.synops, f"synop_{row.kind}", "synop"),
                "updates": part(row.updates, "neuron_update"),
                "spikes": part(row.spikes, "spike"),
            },
        )
        for row in counts
        if row.name != "input"
    )
    if work is None:
        return Energy(target, layers, tuple(missing), dynamic_by_cost=by_cost)
    routing = _routing(work, target)
    by_cost |= {_ROUTED[part]: cost.typical for part, cost in routing.items()}
    return Energy(target, layers, tuple(missing), routing, _latency(work, target), work.chips, by_cost)


def charged(target: Target, count: float, *names: str) -> Range | None:
    """Computes what `count` operations cost, in uJ, by the first of these costs that the target has; None where it has
    none of them and there is anything to charge."""
    if not count:
        return Range(0.0, 0.0, 0.0)
    cost = _first(target, names)
    return None if cost is None else band(target, cost) * (count * UJ_PER_PJ)


def _first(target: Target, names: Sequence[str]) -> str | None:
    return next((name for name in names if name in target.costs), None)


def _routing(work: Traffic, target: Target) -> dict[str, Range]:
    counts = {"messages": work.copies, "hops": work.hops}
    return {
        part: band(target, _ROUTED[part]) * (count * UJ_PER_PJ)
        for part, count in counts.items()
        if _ROUTED[part] in target.costs and count is not None
    }


def _latency(work: Traffic, target: Target) -> Range | None:
    if not set(TIMES) <= target.costs.keys():
        return None
    bands = {name: band(target, name) for name in (*TIMES, LINK_TIME) if name in target.costs}
    low, typical, high = (
        work.latency_us({name: getattr(times, edge) for name, times in bands.items()})
        for edge in ("low", "typical", "high")
    )
    return Range(low, typical, high)


def band(target: Target, cost: str) -> Range:
    """Returns a cost that the target has, in its own unit."""
    known = target.costs[cost]
    return Range(known.low, known.typical, known.high)


def dense_macs(net: IntNet) -> list[tuple[str, int]]:
    """Counts the MACs of an ANN with the same layers in one forward pass, as (layer, MACs).

    One for each connection that exists, zero weights included, none outside a convolution's borders.
    """
    return [(name, int(fan_out(layer, shape)[0].sum())) for name, shape, layer in net.inputs()]


def profile(
    net: IntNet,
    counts: Sequence[LayerCount],
    *,
    samples: int,
    steps: int,
    data: str,
    targets: Iterable[Target] = (),
    fidelity: str = "integer",
    seen: Activity | None = None,
) -> Profile:
    """Puts counts and the energy on each target together.

    seen: the same events by neuron and step, None where only totals are known.

    counts: totals over `samples` x `steps`, as `trace.count` gives them (summed with + where samples came in blocks).
    data: what the events are, in words. fidelity: what was counted, 'integer', 'lava' or 'device'. Raises FormatError
    where counts are not those of this network over so many samples and steps.
    """
    _check_counts(net, counts, samples, steps)
    targets = list(targets)
    names = [target.name for target in targets]
    if len(set(names)) < len(names):
        raise FormatError(f"profile: two targets have the same name: {', '.join(names)}; rename one of them")
    macs = {"input": 0, **dict(dense_macs(net))}
    energy = {
        target.name: TargetEnergy(
            estimate(counts, samples, target, None if seen is None else traffic(net, seen, target)),
            fit(net, target).verdict,
        )
        for target in targets
    }
    layers = [LayerProfile(**vars(row), macs_ann=macs[row.name]) for row in counts]
    return Profile(fidelity, samples, steps, data, layers, energy)


def total(ranges: Iterable[Range | None]) -> Range | None:
    """Adds up `ranges`; None where one of them is not known."""
    result = Range(0.0, 0.0, 0.0)
    for cost in ranges:
        if cost is None:
            return None
        result += cost
    return result


def _check_counts(net: IntNet, counts: Sequence[LayerCount], samples: int, steps: int) -> None:
    if min(samples, steps) < 1:
        raise FormatError(f"profile of {samples} samples of {steps} steps: expected at least 1 of each")
    names = [row.name for row in counts]
    if names != ["input", *net.names]:
        raise FormatError(f"profile: counts of {', '.join(names)} given for input, {', '.join(net.names)}")
    for row in counts[1:]:
        if row.updates != row.neurons * samples * steps:
            raise FormatError(
                f"profile: {row.name} has {row.updates} updates of {row.neurons} neurons, which is not {samples} "
                f"samples of {steps} steps"
            )


def as_json(cost: Range | None) -> dict[str, float] | None:
    """Returns plain JSON data, None for what is not known."""
    return None if cost is None else asdict(cost)


def sums(estimate: Energy | ProcessorEnergy) -> dict[str, Any]:
    """Returns what estimates of all kinds have in JSON: energies in uJ and latency in us, per inference."""
    whole = {f"{name}_uJ": getattr(estimate, name) for name in ("dynamic", "static", "total")}
    return {
        **{key: as_json(cost) for key, cost in (whole | {"latency_us": estimate.latency}).items()},
        "parts_uJ": {part: as_json(cost) for part, cost in estimate.parts.items()},
    }


def constants(target: Target) -> dict[str, Any]:
    """Returns a target's costs and how far off estimates were, as JSON data."""
    return {
        "error_factors": [asdict(factor) for factor in target.error_factors],
        "costs": [{"name": name, **asdict(cost)} for name, cost in target.costs.items()],
    }
