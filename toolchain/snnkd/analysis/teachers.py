"""What the networks that taught a student would need, on the same targets and in the same technology."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from snnkd.analysis import rival
from snnkd.analysis.energy import Profile, Range, as_json
from snnkd.ir.network import IntNet
from snnkd.targets import Target

Kind = Literal["snn", "ann", "outside"]


@dataclass(frozen=True)
class Teacher:
    """Energy of one inference of a teacher or an assistant, in uJ.

    stage: of the chain; network: its name. energy: by target, in_memory: in 45 nm with every access to memory counted;
    None where that is not known. reason: why nothing is.
    """

    stage: str
    network: str
    kind: Kind
    energy: Mapping[str, Range | None] = field(default_factory=dict)
    in_memory: Range | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data; keys in `docs/energy_model.md`."""
        return {
            "stage": self.stage,
            "network": self.network,
            "kind": self.kind,
            "energy_uJ": {target: as_json(cost) for target, cost in self.energy.items()},
            "in_memory_uJ": as_json(self.in_memory),
            "not_known": self.reason,
        }


def spiking(stage: str, network: str, profile: Profile) -> Teacher:
    """Takes a spiking teacher's energy from its own profile, of the student's samples and targets."""
    energy = {name: on.estimate.compared for name, on in profile.energy.items()}
    return Teacher(stage, network, "snn", energy, profile.in_memory.snn if profile.in_memory else None)


def ann(stage: str, network: str, outline: IntNet, targets: Sequence[Target]) -> Teacher:
    """Computes the energy of an ANN in 8 bits, of which only its shape is needed, as of the student's rival."""
    energy = {target.name: rival.on_target(target, outline) for target in targets}
    return Teacher(stage, network, "ann", energy, rival.ann_in_memory(outline))
