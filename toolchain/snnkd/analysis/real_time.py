"""Energy of a chip that reads recordings as fast as they come: then the time of an inference is known, and with it what
static power adds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from snnkd.analysis.energy import Profile, Range
from snnkd.ir import event_encoding
from snnkd.ir.network import IntNet
from snnkd.targets import Target

NOTE = "static power of one chip, for as long as a recording lasts"
_UJ_PER_J = 1e6


@dataclass(frozen=True)
class RealTime:
    """Energy on a target at a recording's real time; parts that are not known are None.

    seconds: of one inference, its steps times their length. dynamic, static: in uJ per inference.
    """

    seconds: float
    dynamic: Range | None
    static: Range | None

    @property
    def total(self) -> Range | None:
        """Dynamic and static together, None where one of them is not known."""
        return None if self.dynamic is None or self.static is None else self.dynamic + self.static

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data; keys in `docs/energy_model.md`."""
        parts = {"dynamic": self.dynamic, "static": self.static, "total": self.total}
        return {
            "seconds": self.seconds,
            "per_inference_uJ": {name: _json(part, 1.0) for name, part in parts.items()},
            "per_second_uJ": {name: _json(part, 1 / self.seconds) for name, part in parts.items()},
            "note": NOTE,
        }


def timed(net: IntNet, profile: Profile) -> Profile:
    """Returns `profile` of `net` with the energy at real time on each target, the same where that is not known."""
    seconds = seconds_of(net, profile.steps)
    if seconds is None:
        return profile
    energy = {
        name: replace(on, real_time=at(seconds, on.estimate.dynamic, on.estimate.target))
        for name, on in profile.energy.items()
    }
    return replace(profile, energy=energy)


def seconds_of(net: IntNet, steps: int) -> float | None:
    """Returns how long so many steps of a recording last; None where that is not known: the network reads no
    recordings, or a step of it is a number of events."""
    encoding = event_encoding.of_network(net)
    if encoding is None or encoding.window_us is None:
        return None
    return steps * encoding.window_us * 1e-6


def at(seconds: float, dynamic: Range | None, target: Target) -> RealTime:
    """Returns the energy of an inference that lasts `seconds`. dynamic: in uJ, None where it is not known."""
    power = target.costs.get("static_power")
    if power is None:
        return RealTime(seconds, dynamic, None)
    scale = seconds * _UJ_PER_J
    return RealTime(seconds, dynamic, Range(power.low * scale, power.typical * scale, power.high * scale))


def _json(part: Range | None, factor: float) -> dict[str, float] | None:
    return None if part is None else {name: value * factor for name, value in asdict(part).items()}
