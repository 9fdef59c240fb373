"""Early exit: what a readout says after each step of a run, and where a rule ends the run of each sample.

An engine runs all steps: the first t steps of a run are the run of t steps, so what a shorter run would say and cost
is read from a trace of the whole one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np

from snnkd.ir.readout import EarlyExit, Readout
from snnkd.ir.trace import LayerTrace, SpikeTrace

_ROUNDING = 1e-9  # of tolerance * samples, which may come out just below the integer that was meant


@dataclass(frozen=True, eq=False)
class Course:
    """What a readout says of N samples after each of T steps, if the run ends there.

    classes: (N, T) int64. lead: (N, T) int64, by how much the score of the best class exceeds the next one; 0 where
    there is one class only.
    """

    classes: np.ndarray
    lead: np.ndarray

    def accuracy(self, labels: np.ndarray) -> list[float]:
        """Returns, after each step, the fraction of the samples whose class is that of `labels` (N,), N at least 1."""
        return (self.classes == labels[:, None]).mean(axis=0).tolist()


def scores(readout: Readout, spikes: np.ndarray, v: np.ndarray | None) -> np.ndarray:
    """Returns the scores of each class after each step, (N, T, classes) int64.

    spikes, v: of the last layer (N, T, *shape), v after each step; v is needed for the readout kind 'membrane' only.
    Raises FormatError where v is needed and missing.
    """
    flat = _by_step(readout, readout.scores, spikes, v)
    return flat.reshape(*spikes.shape[:2], flat.shape[1])


def course(readout: Readout, spikes: np.ndarray, v: np.ndarray | None) -> Course:
    """Returns what `readout` says after each step.

    spikes, v: as `scores` takes them; v is also needed where ties are decided by it. Raises FormatError where v is
    needed and missing.
    """
    classes = _by_step(readout, readout.classify, spikes, v).reshape(spikes.shape[:2])
    best = np.sort(scores(readout, spikes, v), axis=2)[:, :, -2:]
    return Course(classes, best[:, :, -1] - best[:, :, 0])


def _by_step(readout: Readout, rule: Callable[..., np.ndarray], spikes: np.ndarray, v: np.ndarray | None) -> np.ndarray:
    """What `rule` makes of the spike counts and v read after each step; each step of each sample is taken for a run."""
    rows, outputs = prod(spikes.shape[:2]), prod(spikes.shape[2:])
    counts = spikes.cumsum(axis=1, dtype=np.int64).reshape(rows, outputs)
    if v is None:
        return rule(counts, None)
    return rule(counts, readout.read(v.reshape(*v.shape[:2], outputs)).reshape(rows, outputs))


def stops(course: Course, rule: EarlyExit) -> tuple[np.ndarray, np.ndarray]:
    """Returns (classes, steps), both (N,) int64: what each sample is taken for, and after how many steps it ends."""
    may_end = course.lead >= rule.margin
    may_end[:, : rule.first - 1] = False
    may_end[:, -1] = True
    last = may_end.argmax(axis=1)
    return course.classes[np.arange(len(last)), last], last + 1


def choose(course: Course, labels: np.ndarray, tolerance: float) -> EarlyExit | None:
    """Chooses the rule that needs the fewest steps; None where none saves a step.

    labels: (N,). tolerance: how many samples, as a fraction of all, a rule may get wrong beyond those that a run of all
    steps gets wrong. Of rules with equally many steps, the one that is right most often is chosen, with the largest
    margin that does the same on these samples. All rules are looked at: O(T^2 N log(T N)).
    """
    samples, steps = course.lead.shape
    if not samples:
        return None
    right = (course.classes == labels[:, None]).astype(np.int64)
    whole = int(right[:, -1].sum())
    needed = whole - int(tolerance * samples + _ROUNDING)
    fewest, chosen = (samples * steps, 0), None  # (steps of all samples, minus how many are right)
    for first in range(1, steps):
        if first * samples > fewest[0]:
            break  # no run ends before `first`
        # A margin ends a run by step t where it is not above the highest lead from `first` to t. As the margin falls,
        # each such (sample, t) saves one step, and moves what counts from the class after t + 1 to that after t.
        highest = np.maximum.accumulate(course.lead[:, first - 1 : -1], axis=1).ravel()
        order = np.argsort(-highest, kind="stable")
        margins = highest[order]
        correct = whole + np.cumsum((right[:, first - 1 : -1] - right[:, first:]).ravel()[order])
        ends = np.flatnonzero(np.append(margins[1:] != margins[:-1], True))
        ends = ends[correct[ends] >= needed]
        if len(ends):
            end = int(ends[-1])
            total = (samples * steps - end - 1, -int(correct[end]))
            if total < fewest:
                fewest, chosen = total, EarlyExit(int(margins[end]), first)
    return chosen


def cut(trace: SpikeTrace, steps: np.ndarray) -> SpikeTrace:
    """Returns `trace` without states and without what comes after the first `steps` (N,) of each sample: input events
    and spikes are 0 there."""
    running = np.arange(trace.steps) < steps[:, None]

    def until(events: np.ndarray) -> np.ndarray:
        return events * running.reshape(*running.shape, *(1,) * (events.ndim - 2))

    layers = tuple(LayerTrace(layer.name, until(layer.spikes)) for layer in trace.layers)
    return SpikeTrace(trace.engine, until(trace.input), layers)
