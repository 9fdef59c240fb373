"""The honest rival: an ANN of the same shape, in 8 bit integers, on the same technology.

Two answers, both estimates. On a chip, its own constants price the ANN as if it ran there. `in_memory` counts
every access to memory of both, in 45 nm, after Lemaire et al. (ICONIP 2022, arXiv 2210.13107).

Both also say at which activity the two would be equal: events per synapse and inference, above which the spiking
network needs more than the ANN. `docs/energy_model.md` has the formulas.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any

from snnkd.analysis import processor
from snnkd.analysis.energy import (
    UJ_PER_PJ,
    Energy,
    LayerProfile,
    Profile,
    Range,
    TargetEnergy,
    charged,
    dense_macs,
    total,
)
from snnkd.ir.network import IntNet
from snnkd.targets import Target
from snnkd.targets.quantities import Quantity

_WEIGHT, _ACTIVATION, _POTENTIAL = 8, 8, 32  # bits


@dataclass(frozen=True)
class Rival:
    """An ANN beside the spiking network, in uJ per inference.

    activity: of the spiking network, events per synapse and inference; break_even_activity: the one at which both would
    need the same, 0 where the spiking network needs more even without events, None where that is not known.
    """

    snn: Range | None
    ann: Range | None
    activity: float
    break_even_activity: float | None

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data; keys in `docs/energy_model.md`."""
        return {
            "snn_energy_uJ": None if self.snn is None else asdict(self.snn),
            "energy_uJ": None if self.ann is None else asdict(self.ann),
            "activity": self.activity,
            "break_even_activity": self.break_even_activity,
        }


def beside(net: IntNet, profile: Profile) -> Profile:
    """Returns `profile` of `net` with the ANN on each target and in 45 nm."""
    energy = {name: replace(on, ann=_on(net, on, profile)) for name, on in profile.energy.items()}
    return replace(profile, energy=energy, in_memory=in_memory(net, profile))


def _on(net: IntNet, priced: TargetEnergy, profile: Profile) -> Rival:
    estimate, seen = priced.estimate, activity(profile.layers, profile.samples)
    ann, even = on_target(estimate.target, net), None
    if isinstance(estimate, Energy):
        updates, dynamic = estimate.parts["updates"], estimate.dynamic
        if ann is not None and updates is not None and dynamic is not None:
            even = _break_even(ann.typical, updates.typical, dynamic.typical - updates.typical, seen)
    return Rival(estimate.compared, ann, seen, even)


def on_target(target: Target, net: IntNet) -> Range | None:
    """Computes what an ANN with the layers of `net` would need on a target, in uJ; None where a cost is not known.

    On a chip for spikes, as if it ran there: a synop for each of its MACs, and of each neuron one update and, but in
    the last layer, one message of 8 bits. On a processor: instructions for each MAC.
    """
    macs = [count for _, count in dense_macs(net)]
    if target.build is not None:
        return processor.of_macs(target, sum(macs))
    parts = [
        charged(target, count, f"synop_{layer.kind}", "synop") for layer, count in zip(net.layers, macs, strict=True)
    ]
    hidden = net.neurons - prod(net.layers[-1].shape)
    return total([*parts, charged(target, net.neurons, "neuron_update"), charged(target, hidden, "spike")])


def in_memory(net: IntNet, profile: Profile) -> Rival:
    """Counts the memory accesses and the arithmetic of both networks in 45 nm."""
    moving, resting = Range(0, 0, 0), Range(0, 0, 0)  # what grows with activity, and what does not
    add, multiply = _cost("add_int32"), _cost("multiply_int32")
    events = profile.layers[0].spikes / profile.samples
    for row, (_, shape, layer) in zip(profile.layers[1:], net.inputs(), strict=True):
        weights = 0 if layer.kind == "input" else layer.weight.size
        sent, synops = row.spikes / profile.samples, row.synops / profile.samples
        updates, potential = row.neurons * profile.steps, _ram(row.neurons, _POTENTIAL)
        moving += _ram(prod(shape), 1) * events + _ram(weights, _WEIGHT) * synops + potential * (2 * synops)
        moving += _ram(row.neurons, 1) * sent + add * (2 * synops + sent)  # addresses are sums, too
        resting += potential * (2 * updates) + (add * 2 + multiply) * updates
        events = sent
    ann = ann_in_memory(net)
    seen = activity(profile.layers, profile.samples)
    even = _break_even(ann.typical, resting.typical * UJ_PER_PJ, moving.typical * UJ_PER_PJ, seen)
    return Rival((moving + resting) * UJ_PER_PJ, ann, seen, even)


def ann_in_memory(net: IntNet) -> Range:
    """Computes the energy of an ANN with the layers of `net` in 45 nm, in uJ."""
    whole = Range(0, 0, 0)
    for (_, shape, layer), (_, macs) in zip(net.inputs(), dense_macs(net), strict=True):
        weights = 0 if layer.kind == "input" else layer.weight.size
        whole += of_layer(macs, weights, prod(shape), prod(layer.shape))
    return whole * UJ_PER_PJ


def of_layer(macs: int, weights: int, inputs: int, neurons: int) -> Range:
    """Computes the energy of one layer of an ANN in 45 nm, in pJ: each weight read once for each MAC, sums kept in
    registers, each output written once. Each input is read once (low, typical), or for each MAC (high)."""
    reading = _ram(inputs, _ACTIVATION)
    inputs_read = Range(reading.low * inputs, reading.typical * inputs, reading.high * max(macs, inputs))
    arithmetic = (_cost("multiply_int8") + _cost("add_int32")) * macs
    return inputs_read + _ram(weights, _WEIGHT) * macs + _ram(neurons, _ACTIVATION) * neurons + arithmetic


def activity(layers: Iterable[LayerProfile], samples: int) -> float:
    """Computes events per synapse and inference, 0 for a network without synapses."""
    rows = list(layers)
    macs = sum(row.macs_ann for row in rows)
    return sum(row.synops for row in rows) / samples / macs if macs else 0.0


def _break_even(ann: float, resting: float, moving: float, measured: float) -> float | None:
    """The activity at which resting + moving * activity / measured = ann."""
    return max(0.0, (ann - resting) / moving) * measured if moving > 0 else None


def _ram(values: int, bits: int) -> Range:
    """One access to a memory of so many values of so many bits, in pJ. low: that of a memory of 8 KiB with words of 64
    bits, of which each access takes its share; typical, high: the line that Lemaire et al. lay through Horowitz's
    figures for 8 KiB, 32 KiB and 1 MiB."""
    line = _cost("access").typical + _cost("access_by_bit").typical * values * bits
    return Range(_cost("word_8k").low * bits / 64, line, line)


def _cost(name: str) -> Range:
    known = COSTS[name]
    return Range(known.low, known.typical, known.high)


def _entry(value: float, unit: str, source: str) -> Quantity:
    return Quantity(value, value, value, unit, "literature", source)


_HOROWITZ = "Horowitz, ISSCC 2014, 45 nm"
_LEMAIRE = "Lemaire et al. 2022, as their code has it (qualia-plugin-snn)"
COSTS = {
    "multiply_int8": _entry(0.2, "pJ", _HOROWITZ),
    "multiply_int32": _entry(3.1, "pJ", _HOROWITZ),
    "add_int32": _entry(0.1, "pJ", _HOROWITZ),
    "word_8k": _entry(10.0, "pJ", f"{_HOROWITZ}: 64 bits of a memory of 8 KiB"),
    "access": _entry(13.2, "pJ", _LEMAIRE),
    "access_by_bit": _entry(1.09e-5, "pJ", _LEMAIRE),
}
