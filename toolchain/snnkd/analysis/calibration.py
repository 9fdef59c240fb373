"""Cost factors fitted to a user's own measurements, and a target of the user's own with them.

Energy is linear in the costs, so factors of costs come from linear equations, one for each measured energy, each
weighted by 1 / measured. Latency waits for the busiest core, so that all costs of time get one factor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from snnkd.analysis.energy import Energy
from snnkd.analysis.processor import ProcessorEnergy
from snnkd.base.errors import LimitError
from snnkd.targets import Target
from snnkd.targets.measurement import Measurement
from snnkd.targets.quantities import ErrorFactor, Quantity

Estimate = Energy | ProcessorEnergy
COMMON, EACH = "one common factor", "non-negative least squares over the costs"


@dataclass(frozen=True)
class Residual:
    """A measured value, its typical estimate, and what that is with the fitted costs; in uJ or us per inference."""

    file: str
    quantity: str
    measured: float
    estimate: float
    fitted: float

    @property
    def ratio(self) -> float | None:
        """Measured / fitted, None where that is 0."""
        return self.measured / self.fitted if self.fitted else None


@dataclass(frozen=True)
class Calibration:
    """method: of the costs of energy, None where only times were measured; why: it was taken. factors: by cost; a cost
    that is not in it stays as it was. residuals: of each measured value. target: with the fitted costs."""

    method: str | None
    why: str
    factors: Mapping[str, float]
    residuals: tuple[Residual, ...]
    target: Target

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data; keys in `docs/energy_model.md`."""
        return {
            "target": self.target.name,
            "method": self.method,
            "why": self.why,
            "factors": dict(self.factors),
            "residuals": [asdict(residual) | {"ratio": residual.ratio} for residual in self.residuals],
        }


@dataclass(frozen=True)
class _Equation:
    """What was measured of an energy, and the typical energies that it is made of, by cost."""

    measurement: Measurement
    quantity: str
    measured: float
    parts: Mapping[str, float]


def calibrate(measured: Sequence[tuple[Measurement, Estimate]]) -> Calibration:
    """Fits the costs of a target to measurements, each with the estimate of the same network on it.

    Raises LimitError where the measurements are of several targets, and for a value whose estimate is not known.
    """
    names = list(dict.fromkeys(estimate.target.name for _, estimate in measured))
    if len(names) > 1:
        raise LimitError(f"--calibrate: expected measurements of one target, found {', '.join(names)}; fit each alone")
    target = measured[0][1].target
    energies = [equation for one, estimate in measured for equation in _energies(one, estimate)]
    times = [equation for one, estimate in measured for equation in _times(one, estimate)]
    method, why, factors = _fitted(energies, target)
    if times:
        factors |= dict.fromkeys(_costs(target, "ns"), _common(_relative(times).sum(axis=1)))
        why += "; times: one common factor, since latency is no sum of costs"
    residuals = tuple(_residual(equation, factors) for equation in (*energies, *times))
    return Calibration(method, why.removeprefix("; "), factors, residuals, _with(target, factors, residuals, measured))


def _energies(one: Measurement, estimate: Estimate) -> list[_Equation]:
    found = []
    for quantity, whole in (("dynamic_uJ", False), ("total_uJ", True)):
        if quantity in one.values:
            parts = estimate.by_cost(whole, one.values.get("latency_us"))
            if parts is None or not sum(parts.values()):
                raise _unknown(one, quantity, estimate)
            found.append(_Equation(one, quantity, one.values[quantity], parts))
    return found


def _times(one: Measurement, estimate: Estimate) -> list[_Equation]:
    if "latency_us" not in one.values:
        return []
    if estimate.latency is None:
        raise _unknown(one, "latency_us", estimate)
    # as if a cost alone: all of them get the same factor
    parts = {next(iter(_costs(estimate.target, "ns"))): estimate.latency.typical}
    return [_Equation(one, "latency_us", one.values["latency_us"], parts)]


def _unknown(one: Measurement, quantity: str, estimate: Estimate) -> LimitError:
    return LimitError(
        f"{one.file}: measured.{quantity}: {estimate.target.name} has no estimate of it to be fitted; leave it out, or "
        "--calibrate (snnkd profile --energy says what is not known)"
    )


def _fitted(equations: list[_Equation], target: Target) -> tuple[str | None, str, dict[str, float]]:
    """The method, why it was taken, and the factors of the costs of energy."""
    if not equations:
        return None, "", {}
    names = _unknowns(equations)
    matrix = _relative(equations)
    told = f"{len(equations)} measured energies, {len(names)} costs"
    if len(names) > 1 and np.linalg.matrix_rank(matrix / np.linalg.norm(matrix, axis=0)) == len(names):
        return EACH, told, dict(zip(names, _non_negative(matrix).tolist(), strict=True))
    apart = [name for name in _costs(target, "W") if name in names]
    factor = _common(matrix.sum(axis=1))
    told += "" if len(equations) < len(names) or len(names) == 1 else ", which the measurements do not tell apart"
    return COMMON, told, dict.fromkeys([*_costs(target, "pJ"), *apart], factor)


def _unknowns(equations: Sequence[_Equation]) -> list[str]:
    return list(dict.fromkeys(name for one in equations for name, part in one.parts.items() if part))


def _relative(equations: Sequence[_Equation]) -> np.ndarray:
    """(equations, costs): shares of what was measured, so that each equation asks for a sum of 1."""
    names = _unknowns(equations)
    return np.array([[one.parts.get(name, 0.0) / one.measured for name in names] for one in equations])


def _common(estimates: np.ndarray) -> float:
    """The factor that brings estimates (n,), as shares of what was measured, closest to 1."""
    return float(estimates.sum() / (estimates**2).sum())


def _non_negative(matrix: np.ndarray) -> np.ndarray:
    """Least squares of matrix @ x = 1 over x >= 0: the best of the solutions with some of x at 0; there are few."""
    rows, columns = matrix.shape
    best, error = np.zeros(columns), float(rows)
    for size in range(1, columns + 1):
        for chosen in map(list, combinations(range(columns), size)):
            solution = np.linalg.lstsq(matrix[:, chosen], np.ones(rows), rcond=None)[0]
            left = float(((matrix[:, chosen] @ solution - 1) ** 2).sum())
            if (solution >= 0).all() and left < error:
                best, error = np.zeros(columns), left
                best[chosen] = solution
    return best


def _residual(one: _Equation, factors: Mapping[str, float]) -> Residual:
    fitted = sum(part * factors[name] for name, part in one.parts.items() if part)
    return Residual(str(one.measurement.file), one.quantity, one.measured, sum(one.parts.values()), fitted)


def _costs(target: Target, unit: str) -> list[str]:
    return [name for name, cost in target.costs.items() if cost.unit == unit]


def _with(
    target: Target,
    factors: Mapping[str, float],
    residuals: Sequence[Residual],
    measured: Sequence[tuple[Measurement, Estimate]],
) -> Target:
    """The target with these factors in its costs, and with the residuals for how far off it is."""
    by = "; ".join(dict.fromkeys(str(one) for one, _ in measured))
    costs = {name: _scaled(cost, factors[name], by) if name in factors else cost for name, cost in target.costs.items()}
    ratios = [residual.ratio for residual in residuals if residual.ratio is not None]
    of = f"the {len(residuals)} values that these costs were fitted to, and nothing else"
    factor = ErrorFactor(of, min(ratios), max(ratios), "measured / estimate", "measured", by)
    described = f"{target.description}; costs fitted to own measurements"
    name = f"{target.name}-calibrated"
    return replace(target, name=name, description=described, costs=costs, error_factors=(factor,))


def _scaled(cost: Quantity, factor: float, by: str) -> Quantity:
    low, typical, high = (float(f"{value * factor:.6g}") for value in (cost.low, cost.typical, cost.high))
    return Quantity(low, typical, high, cost.unit, "measured", f"{factor:.4g} times: {cost.source}. Fitted to {by}")
