"""Energy from counts: what synops, neuron updates and spikes of an integer network would cost on a target.

`docs/energy_model.md` has the formula, the origin of every constant and what is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from snnkd.analysis.fit import fit
from snnkd.base.errors import FormatError
from snnkd.ir.network import IntNet
from snnkd.ir.trace import LayerCount, fan_out
from snnkd.targets import Target

if TYPE_CHECKING:
    from snnkd.analysis.real_time import RealTime

NOTE = "estimate, not a measurement: counts of the integer network times constants, without the host"
PARTS = ("synops", "updates", "spikes")
_NO_LATENCY = "static and total energy: static power times latency, and there is no latency model"
_NO_HOST = "host, sensor and input events: nothing is published that would apply to every network"
_UJ_PER_PJ = 1e-6


@dataclass(frozen=True)
class Range:
    """An estimate with its bounds, in uJ per inference."""

    low: float
    typical: float
    high: float

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.typical + other.typical, self.high + other.high)


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
    """Dynamic energy per inference on `target`, by layer and part. missing: names of the costs that are not known."""

    target: Target
    layers: tuple[LayerEnergy, ...]
    missing: tuple[str, ...]

    @property
    def parts(self) -> dict[str, Range | None]:
        """By part, over all layers."""
        return {part: total(layer.parts[part] for layer in self.layers) for part in PARTS}

    @property
    def dynamic(self) -> Range | None:
        """Over all layers and parts, None where a part is not known."""
        return total(layer.dynamic for layer in self.layers)

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

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data; keys in `docs/energy_model.md`. Energies in uJ per inference, null if unknown."""
        unknown = (
            [f"dynamic energy: {self.target.name} has no cost of {', '.join(self.missing)}"] if self.missing else []
        )
        return {
            "dynamic_uJ": _json(self.dynamic),
            "static_uJ": None,
            "total_uJ": None,
            "parts_uJ": {part: _json(cost) for part, cost in self.parts.items()},
            "layers_uJ": [
                {"name": layer.name, "dynamic": _json(layer.dynamic)}
                | {part: _json(cost) for part, cost in layer.parts.items()}
                for layer in self.layers
            ],
            "dominates": self.dominates,
            "not_known": [*unknown, _NO_LATENCY, _NO_HOST],
            "note": NOTE,
            "error_factors": [asdict(factor) for factor in self.target.error_factors],
            "costs": [{"name": name, **asdict(cost)} for name, cost in self.target.costs.items()],
        }


@dataclass(frozen=True)
class TargetEnergy:
    """An estimate on a target, the verdict of whether the network fits it (`fit.Fit`), and the same at the recording's
    real time, None where that is not known."""

    estimate: Energy
    verdict: str
    real_time: RealTime | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data; keys in `docs/energy_model.md`, without `real_time` where that is not known."""
        timed = {} if self.real_time is None else {"real_time": self.real_time.to_json()}
        return {**self.estimate.to_json(), "verdict": self.verdict, **timed}


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
    over all samples. energy: by target, in uJ per inference. warnings: what the counts do not show.
    """

    fidelity: str
    samples: int
    steps: int
    data: str
    layers: list[LayerProfile]
    energy: dict[str, TargetEnergy]
    early_exit: EarlyExitWork | None = None
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data; keys in `docs/energy_model.md`, without `early_exit` where there is none."""
        energy = {name: target.to_json() for name, target in self.energy.items()}
        exits = {} if self.early_exit is None else {"early_exit": asdict(self.early_exit)}
        shared = {key: getattr(self, key) for key in ("fidelity", "samples", "steps", "data")}
        return {
            **shared,
            "layers": [asdict(row) for row in self.layers],
            "energy": energy,
            "warnings": self.warnings,
            **exits,
        }


def estimate(counts: Sequence[LayerCount], samples: int, target: Target) -> Energy:
    """Estimates the dynamic energy per inference of `counts`, totals over `samples` inferences.

    Each layer's synops are those into it; a layer's synop cost is the target's for its kind ('synop_dense',
    'synop_conv') where there is one, else 'synop'. Events of the row 'input' cost no spike: no neuron on the chip
    sends them. A cost that the target lacks makes its part None (where there is anything to charge); it is never
    replaced. Raises FormatError for samples < 1.
    """
    if samples < 1:
        raise FormatError(f"energy per inference of {samples} samples: expected at least 1")
    missing: dict[str, None] = {}  # an ordered set

    def part(count: int, *names: str) -> Range | None:
        if count == 0:
            return Range(0.0, 0.0, 0.0)
        cost = next((target.costs[name] for name in names if name in target.costs), None)
        if cost is None:
            missing[names[-1]] = None
            return None
        scale = count / samples * _UJ_PER_PJ
        return Range(cost.low * scale, cost.typical * scale, cost.high * scale)

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
    return Energy(target, layers, tuple(missing))


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
) -> Profile:
    """Puts counts and the energy on each target together.

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
        target.name: TargetEnergy(estimate(counts, samples, target), fit(net, target).verdict) for target in targets
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


def _json(cost: Range | None) -> dict[str, float] | None:
    return None if cost is None else asdict(cost)
