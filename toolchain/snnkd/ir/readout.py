"""How a class comes out of a network's last layer, and when a run may end before its last step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from snnkd.base.errors import FormatError

# What is read of v after each step, from v (N, T, O) int64 after each step.
OVER: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "last": lambda v: v,
    "max": lambda v: np.maximum.accumulate(v, axis=1),
    "sum": lambda v: v.cumsum(axis=1),
}
# The names of readouts on the command line: (kind, over).
READOUTS = {
    "count": ("count", "last"),
    "membrane": ("membrane", "last"),
    "membrane-max": ("membrane", "max"),
    "membrane-sum": ("membrane", "sum"),
}


@dataclass(frozen=True)
class Readout:
    """How a class comes out of the last layer, (C, H, W) flattened in that order.

    Each class has `population` neurons, side by side, as SLAYER's `block.cuba.Average` groups them. With `kind` =
    'count' the class is the one whose neurons spike most over all steps; where spike counts tie, with `ties` =
    'membrane' the one with the higher sum of v after the last step. With `kind` = 'membrane' it is the one whose
    neurons have the highest sum of what is read of v, whatever they spike, and `ties` is 'first'. `over` says what that
    is: v after the 'last' step, its 'max' after any step, or its 'sum' after all of them. A count is over all steps
    already, so with 'count' it is 'last'. Where nothing else decides, it is the one with the lower index.
    """

    kind: str = "count"
    ties: str = "first"
    population: int = 1
    over: str = "last"

    def __post_init__(self) -> None:
        if (self.kind, self.ties) not in (("count", "first"), ("count", "membrane"), ("membrane", "first")):
            raise FormatError(
                f"readout {{kind: {self.kind!r:.80}, ties: {self.ties!r:.80}}}: expected kind 'count' and ties 'first' "
                "or 'membrane', or kind 'membrane' and ties 'first'"
            )
        if type(self.population) is not int or self.population < 1:
            raise FormatError(f"readout population: expected an integer of at least 1, found {self.population!r:.80}")
        if (self.kind, self.over) not in READOUTS.values():
            raise FormatError(
                f"readout {{kind: {self.kind!r}, over: {self.over!r:.80}}}: expected over 'last', 'max' or 'sum' with "
                "kind 'membrane', 'last' with 'count', which is over all steps already"
            )

    @property
    def name(self) -> str:
        """Names it as the command line does: 'count', 'membrane', 'membrane-max' or 'membrane-sum'."""
        return next(name for name, what in READOUTS.items() if what == (self.kind, self.over))

    def to_json(self) -> dict[str, Any]:
        """Returns its fields as plain JSON data, without `over` where it is 'last', as files had it before."""
        data = asdict(self)
        if self.over == "last":
            del data["over"]
        return data

    def classify(self, counts: np.ndarray, v: np.ndarray | None) -> np.ndarray:
        """Returns the classes, (N,) int64.

        counts: (N, O) spikes of each output over all steps. v: (N, O) what is read of the outputs' v, see `read`;
        needed where kind or ties is 'membrane'. Raises FormatError where it is needed and None.
        """
        scores = self.scores(counts, v)
        if self.ties == "first":
            return scores.argmax(axis=1)
        if v is None:
            raise FormatError("readout ties = 'membrane' needs the output neurons' v after the last step")
        most = scores == scores.max(axis=1, keepdims=True)
        return np.where(most, self._by_class(v), np.iinfo(np.int64).min).argmax(axis=1)

    def read(self, v: np.ndarray) -> np.ndarray:
        """Returns what is read of v after each step if it is the last one: (N, T, O) int64 of v (N, T, O)."""
        return OVER[self.over](v.astype(np.int64))

    def scores(self, counts: np.ndarray, v: np.ndarray | None) -> np.ndarray:
        """Returns each class's score, of which the highest wins: sums of spike counts or of v, (N, classes) int64.

        Arguments and errors are those of `classify`.
        """
        if self.kind == "count":
            return self._by_class(counts)
        if v is None:
            when = "after the last step" if self.over == "last" else "after every step; run it with states"
            raise FormatError(f"readout kind = 'membrane' needs the output neurons' v {when}")
        return self._by_class(v)

    def undecided(self, counts: np.ndarray, v: np.ndarray | None) -> np.ndarray:
        """Tells where the best classes are equal in all that is compared, so that the lower index wins: (N,) bool.

        Arguments as of `classify`.
        """
        scores = self.scores(counts, v)
        best = scores == scores.max(axis=1, keepdims=True)
        if self.ties == "membrane" and v is not None:
            held = np.where(best, self._by_class(v), np.iinfo(np.int64).min)
            best = held == held.max(axis=1, keepdims=True)
        return best.sum(axis=1) > 1

    @property
    def reads_v(self) -> bool:
        """Tells whether a class may depend on the output neurons' v."""
        return "membrane" in (self.kind, self.ties)

    @property
    def reads_every_v(self) -> bool:
        """Tells whether a class depends on the output neurons' v after each step, not on the last one's alone."""
        return self.over != "last"

    def _by_class(self, values: np.ndarray) -> np.ndarray:
        """(N, classes) int64 sums over each class's neurons of (N, O)."""
        grouped = values.reshape(len(values), values.shape[1] // self.population, self.population)
        return grouped.sum(axis=2, dtype=np.int64)


@dataclass(frozen=True)
class EarlyExit:
    """A rule that ends the run of a sample where its class is safe.

    With steps counted from 1, the run ends after the first step t >= `first` at which the score of the best class
    exceeds that of every other class by at least `margin`; without such a step, after the last one. Scores are those
    of `Readout.scores`, so `margin` is in spikes with the readout kind 'count', in units of v with 'membrane'. The
    class is the one that the readout gives of the steps that were run.
    """

    margin: int
    first: int

    def __post_init__(self) -> None:
        for name, low in (("margin", 0), ("first", 1)):
            value = getattr(self, name)
            if type(value) is not int or not low <= value < 1 << 62:
                raise FormatError(f"early exit {name}: expected an integer of at least {low}, found {value!r:.80}")
