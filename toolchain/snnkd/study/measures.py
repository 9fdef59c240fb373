"""What a candidate is judged by, all of it measured on validation data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from snnkd import targets
from snnkd.analysis import evaluation, verification
from snnkd.base.errors import RecipeError
from snnkd.engines import c99
from snnkd.ir.network import IntNet
from snnkd.recipe import Recipe, outline
from snnkd.study.space import GOALS, Constraints, Space

PROFILED = 1000  # validation images, at most, that energy and latency are counted on


@dataclass(frozen=True)
class Measures:
    """Of the integer network. accuracy: a fraction of the validation images; spikes: of all neurons, mean per image;
    flash, ram: bytes of it as C, None where there is no C of it; energy_uJ, latency_us: typical, per image on the
    space's target, None without one or where its costs do not tell."""

    accuracy: float
    spikes: float
    flash: int | None
    ram: int | None
    energy_uJ: float | None = None
    latency_us: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data."""
        return asdict(self)


def sizes(net: IntNet) -> tuple[int | None, int | None]:
    """Counts flash and ram, bytes, of a network as C; None where the runtime does not take it."""
    if c99.refuses(net) is not None:
        return None, None
    plan = c99.plan(net)
    return plan.flash, plan.ram


def price(net: IntNet, blocks: Iterable[np.ndarray], target: str) -> tuple[float | None, float | None]:
    """Estimates energy (uJ) and latency (us) per image on `target`, typical ones, from events in blocks (n, T, ...).

    The energy has the static part where the target's costs tell it.
    """
    on = targets.load(target)
    counted = evaluation.profile_of(net, evaluation.survey(net, blocks, answers=False), target)
    estimate = counted.energy[on.name].estimate
    energy = estimate.total or estimate.dynamic
    return (None if energy is None else energy.typical, None if estimate.latency is None else estimate.latency.typical)


def check(space: Space, recipe: Recipe) -> None:
    """Tries on an untrained candidate whether all that the space seeks or limits can be measured.

    Raises RecipeError that names what cannot.
    """
    net = outline.student(recipe)
    spikes = verification.synthetic_input(net, recipe.encoding.steps, 1)
    energy, latency = price(net, [spikes], space.priced) if space.priced else (None, None)
    flash, ram = sizes(net)
    where = f"on {space.priced}" if space.priced else "without a target, or fits in [constraints]"
    for name in lacking(Measures(0.0, 0.0, flash, ram, energy, latency), space):
        raise RecipeError(f"objectives: '{name}' is not known {where}; see `snnkd targets`, or seek another one")
    if space.constraints.max_energy_uJ is not None and energy is None:
        raise RecipeError(f"constraints.max_energy_uJ: the energy is not known {where}; see `snnkd targets`")


def lacking(measures: Measures, space: Space) -> list[str]:
    """Lists the objectives that are not known of a candidate."""
    return [name for name in space.objectives if getattr(measures, GOALS[name].measure) is None]


def excesses(measures: Measures, constraints: Constraints) -> Iterator[tuple[str, float, str]]:
    """Yields (name, by what share it is broken, in words) for each constraint that a trained candidate breaks."""
    least = constraints.min_accuracy
    if measures.accuracy < least:
        yield "min_accuracy", least - measures.accuracy, f"accuracy {measures.accuracy:.2%}, at least {least:.2%}"
    most = {name: getattr(constraints, f"max_{name}") for name in ("flash", "ram", "energy_uJ")}
    for name, limit in most.items():
        value = getattr(measures, name)
        if limit is not None and value is not None and value > limit:
            yield f"max_{name}", value / limit - 1, f"{name} {value:,.6g}, at most {limit:,g}"
