"""Energy on a processor: instructions of the C99 runtime, counted in QEMU, times cycles, times energy of a cycle.

`docs/energy_model.md` has the formula, the origin of every constant and what is not known.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from snnkd.analysis.energy import NO_HOST, UJ_PER_PJ, Profile, Range, TargetEnergy, band, constants, sums
from snnkd.base import progress
from snnkd.base.errors import LimitError
from snnkd.engines import c99
from snnkd.engines.reference import definition
from snnkd.ir.network import IntNet
from snnkd.targets import Target

NOTE = "estimate, not a measurement: instructions counted in QEMU times cycles and energy of a cycle, without the host"
COUNTED = (16, 4, 1)  # samples whose instructions are counted: of these the most that fit beside the network
_ENERGY = ("cycles_per_instruction", "cycle")
_TIME = ("cycles_per_instruction", "cycle_time")
_ASLEEP = "dynamic and static energy apart: a cycle's energy is that of the whole chip while it runs"
_BETWEEN = "the chip between two inferences, asleep or not; encoding of the input"
_US_PER_NS = 1e-3


@dataclass(frozen=True)
class ProcessorEnergy:
    """Energy per inference on `target`, a processor that runs the C99 runtime.

    instructions: of an inference, in the mean over `samples`; None where they could not be counted. reason: why.
    """

    target: Target
    instructions: int | None
    samples: int = 0
    reason: str = ""

    @property
    def parts(self) -> dict[str, Range | None]:
        """By part: there is one."""
        return {"instructions": self.total}

    @property
    def dynamic(self) -> None:
        """Not known apart from static energy."""
        return None

    @property
    def static(self) -> None:
        """Not known apart from dynamic energy."""
        return None

    @property
    def total(self) -> Range | None:
        """Energy of the chip while it runs, None where instructions or costs are not known."""
        return _of(self.target, self.instructions, _ENERGY, UJ_PER_PJ)

    @property
    def latency(self) -> Range | None:
        """Time of an inference in us, None where instructions or costs are not known."""
        return _of(self.target, self.instructions, _TIME, _US_PER_NS)

    @property
    def compared(self) -> Range | None:
        """What other networks on the target are held against: all of it."""
        return self.total

    def by_cost(self, whole: bool, latency: float | None = None) -> Mapping[str, float] | None:
        """Gives the typical energy by its cost, in uJ, None where it is not known; dynamic energy alone never is.
        latency: does not matter."""
        return {"cycle": self.total.typical} if whole and self.total is not None else None

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data; keys in `docs/energy_model.md`."""
        lacking = [cost for cost in dict.fromkeys((*_ENERGY, *_TIME)) if cost not in self.target.costs]
        unknown = [f"energy or latency: {self.target.name} has no cost of {', '.join(lacking)}"] if lacking else []
        counted = [f"instructions: {self.reason}"] if self.reason else []
        return {
            **sums(self),
            "instructions": self.instructions,
            "instructions_samples": self.samples,
            "layers_uJ": [],
            "dominates": None,
            "not_known": [*counted, *unknown, _ASLEEP, _BETWEEN, NO_HOST],
            "note": NOTE,
            **constants(self.target),
        }


def emulated(net: IntNet, profile: Profile, events: np.ndarray) -> Profile:
    """Returns `profile` of `net` with the energy on its targets that are processors.

    events: (N, T, *input_shape) of some samples, of which as many run in the emulator as fit.
    """
    energy = {name: _on(net, priced, events) for name, priced in profile.energy.items()}
    return replace(profile, energy=energy)


def of_macs(target: Target, macs: int) -> Range | None:
    """Computes what so many multiplications of an ANN take on a processor, in uJ; None where a cost is not known."""
    return _of(target, macs, ("instructions_per_mac", *_ENERGY), UJ_PER_PJ)


def _on(net: IntNet, priced: TargetEnergy, events: np.ndarray) -> TargetEnergy:
    target = priced.estimate.target
    if target.build is None:
        return priced
    if priced.verdict == "refused":
        reason = f"this network does not fit; see snnkd check --target {target.name}"
        return replace(priced, estimate=ProcessorEnergy(target, None, reason=reason))
    return replace(priced, estimate=_counted(net, target, events))


def _counted(net: IntNet, target: Target, events: np.ndarray) -> ProcessorEnergy:
    missing = c99.qemu_missing()
    reason = f"they are counted in an emulator, which is {missing}" if missing else c99.refuses(net)
    if reason:
        return ProcessorEnergy(target, None, reason=reason)
    for samples in (count for count in COUNTED if count <= len(events)):
        try:
            return ProcessorEnergy(target, _instructions(net, target, events[:samples]), samples)
        except LimitError as error:
            reason = str(error).strip().splitlines()[-1]
    return ProcessorEnergy(target, None, reason=str(reason))


def _instructions(net: IntNet, target: Target, events: np.ndarray) -> int:
    """Runs the self-test of the runtime on `events`. Raises LimitError where it does not fit, or spikes differ."""
    assert target.build is not None
    files: Mapping[str, bytes] = {
        **c99.runtime_files(target),
        **c99.model_files(net, target),
        **c99.golden_files(net, definition.simulate(net, events)),
    }
    with tempfile.TemporaryDirectory(prefix="snnkd-c99-") as folder:
        c99.write(Path(folder), files)
        with progress.doing(f"{target.build.machine} runs {len(events)} samples in QEMU"):
            done = c99.on_qemu(Path(folder), target.build)
    if done.figures is None:
        raise LimitError(f"{target.name}: the emulated run failed: {done.text}")
    return done.figures.instructions


def _of(target: Target, count: int | None, costs: tuple[str, ...], unit: float) -> Range | None:
    """`count` times all of these costs, in `unit`s of them; None where one is not known."""
    if count is None or not set(costs) <= target.costs.keys():
        return None
    product = Range(count, count, count) * unit
    for cost in costs:
        product *= band(target, cost)
    return product
