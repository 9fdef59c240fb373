"""Successive halving for several objectives: which candidates go on, and which are the best of all.

Candidates are sorted into fronts, each of those that no other of the rest beats in everything, and within a front by
accuracy (R. Schmucker, M. Donini, M. B. Zafar, D. Salinas and C. Archambeau, "Multi-objective Asynchronous Successive
Halving", arXiv 2106.12639, with accuracy in place of their distance). By accuracy alone, all small students would be
stopped, which are what a search for a small student is after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

from snnkd.study.measures import Measures
from snnkd.study.space import Goal


def promoted(rivals: Mapping[int, Measures], goals: Sequence[Goal], keep: float) -> set[int]:
    """Returns the numbers of the best share `keep` of `rivals`, at least one of any."""
    order: list[int] = []
    left = dict(rivals)
    while left:
        front = pareto(left, goals)
        order += sorted(front, key=lambda number: (-left[number].accuracy, number))
        left = {number: measures for number, measures in left.items() if number not in front}
    return set(order[: ceil(keep * len(order))])


def pareto(rivals: Mapping[int, Measures], goals: Sequence[Goal]) -> set[int]:
    """Returns the numbers of those that no other of `rivals` dominates."""
    losses = {number: _losses(measures, goals) for number, measures in rivals.items()}
    return {number for number, own in losses.items() if not any(_dominates(other, own) for other in losses.values())}


def _losses(measures: Measures, goals: Sequence[Goal]) -> tuple[float, ...]:
    values = ((getattr(measures, goal.measure), goal) for goal in goals)
    return tuple(-value if goal.rises else value for value, goal in values)


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(mine <= theirs for mine, theirs in zip(one, other, strict=True))
