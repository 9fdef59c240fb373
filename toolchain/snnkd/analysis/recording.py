"""A network beside a recording of it: a chip's, or another simulator's. What the recording holds must be what the
definition gives, so many steps later as the recording lags behind.

Each array of a recording has one lag. It is given, or found as the one at which the most recorded spikes (of states: of
values other than 0) are the definition's; where two lags do equally well, neither is taken. A lag explains nothing but
lateness: what differs at it is a difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np

from snnkd.analysis import evaluation, verification
from snnkd.analysis.evaluation import COMPARED, DEFINITION, Comparison
from snnkd.analysis.explanation import Cause, explain_recorded
from snnkd.analysis.replay import Recorded
from snnkd.analysis.verification import Difference, Pair, Verification
from snnkd.base.errors import FormatError, MismatchError
from snnkd.ir.network import IntNet
from snnkd.ir.partial_trace import PartialTrace, Record
from snnkd.ir.trace import SpikeTrace, array_name

LONGEST_LAG = 16  # steps; of those that are tried
_FEW = 10  # spikes that agree: a lag found by fewer may be chance


@dataclass(frozen=True)
class Compared:
    """How one array of a recording was compared.

    neurons of `size`, and `steps` of the network that it has. lag: steps that it is later; found: not a given one.
    At this lag `agree` of its `values` spikes (of states: values other than 0) are the definition's, at any other
    that was tried `at_most`, None where no other was. Both are counted in the first `samples` samples.
    """

    array: str
    neurons: int
    size: int
    steps: int
    lag: int
    found: bool
    agree: int
    values: int
    at_most: int | None
    samples: int


@dataclass(frozen=True)
class RecordingVerification(Verification):
    """A `Verification` against a recording. arrays: what was compared. missing: layers, and states of layers, that the
    recording has not; ignored: its arrays that are no part of the layout."""

    arrays: tuple[Compared, ...] = ()
    missing: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


class Lag(NamedTuple):
    """A lag, and what speaks for it, as `Compared` has it."""

    steps: int
    found: bool
    agree: int
    values: int
    at_most: int | None


def verify(
    net: IntNet,
    recording: PartialTrace,
    events: np.ndarray,
    lags: int | Mapping[str, int] | None = None,
    most: int = COMPARED,
) -> RecordingVerification:
    """Compares `recording` with the definition on `events` (N, T, *input shape), in all that it holds.

    lags: of all arrays, or by their names; those of the others are found. most: bytes of traces at a time. Raises
    MismatchError where recording and events have other samples, FormatError for a lag that is ambiguous or too long.
    """
    if len(events) != recording.samples:
        raise MismatchError(f"{recording.name}: has {recording.samples} samples, its input {len(events)}")
    given = _given(recording, lags)
    size = evaluation.block_of(net, events.shape[1], recording.has_states, most)
    comparison, chosen, arrays = Comparison(net), dict[str, Lag](), list[Compared]()
    for start in range(0, len(events), size):
        expected = evaluation.simulate(net, events[start : start + size], DEFINITION, recording.has_states)
        part = recording.between(start, start + size)
        if not chosen:
            chosen = {record.name: _lag(recording.name, record, expected, given) for record in part.records}
            arrays = [_compared(record, expected, chosen[record.name]) for record in part.records]
        comparison.join(expected, compare(net, expected, part, {name: lag.steps for name, lag in chosen.items()}))
    compared = comparison.result()
    shown = {field.name: getattr(compared, field.name) for field in fields(compared)}
    shown["warnings"] = (*compared.warnings, *_unsure(arrays), *_unseen(net, recording, compared.first_difference))
    return RecordingVerification(
        **shown, arrays=tuple(arrays), missing=_missing(net, recording), ignored=recording.ignored
    )


def compare(net: IntNet, expected: SpikeTrace, recording: PartialTrace, lags: Mapping[str, int]) -> Verification:
    """Compares what `recording` holds with a trace by the definition of the same samples, each array at its lag.

    Before its lag is over an array of spikes has to be empty: a spike there is a difference, at a negative step. The
    first difference is chosen as `verification.compare` does.
    """
    first: Difference | None = None
    differences = dict.fromkeys(net.names, 0)
    cells = states = spikes = 0
    for number, (name, layer) in enumerate(zip(net.names, net.layers, strict=True)):
        firsts: list[Difference] = []
        for record in (record for record in recording.records if record.layer == number):
            pair = _aligned(record, expected, lags[record.name])
            differing = pair.expected != pair.actual
            cells += differing.size
            states += differing.size if record.quantity != "s" else 0
            spikes += int(np.count_nonzero(pair.expected)) if record.quantity == "s" else 0
            differences[name] += int(np.count_nonzero(differing))
            if differing.any():
                found = verification.first_of(name, pair, differing)
                neuron = np.unravel_index(record.neurons[found.neuron[0]], layer.shape)
                firsts.append(replace(found, neuron=[int(i) for i in neuron]))
        if first is None and firsts:
            first = min(firsts, key=lambda difference: (difference.step, difference.sample))
    compared = {"samples": expected.samples, "steps": expected.steps, "cells": cells, "spikes": spikes}
    compared["states"] = states
    if first is None:
        return Verification(True, compared, None, differences)
    if first.step < 0:
        return Verification(False, compared, first, differences, causes=(_too_early(recording, first),))
    index = tuple(first.neuron)
    number = net.names.index(first.layer)
    recorded = _recorded(recording, expected, (number, first.sample, index), lags)
    why = explain_recorded(net, expected, recorded, (number, first.sample, first.step, index))
    return Verification(False, compared, first, differences, *why)


def _aligned(record: Record, expected: SpikeTrace, lag: int) -> Pair:
    """What both have, by the steps of the network: of spikes also the steps before the first one, without any."""
    wanted = record.of(expected.layers[record.layer])
    steps = min(wanted.shape[1], record.values.shape[1] - lag)
    if record.quantity != "s":
        return Pair(record.quantity, 0, wanted[:, :steps], record.values[:, lag : lag + steps])
    before = np.zeros((len(wanted), lag, wanted.shape[2]), wanted.dtype)
    return Pair("s", -lag, np.concatenate([before, wanted[:, :steps]], axis=1), record.values[:, : lag + steps])


def _recorded(
    recording: PartialTrace, expected: SpikeTrace, place: tuple[int, int, tuple[int, ...]], lags: Mapping[str, int]
) -> Recorded:
    """What the recording has of one neuron, by the steps of the network."""
    number, sample, index = place
    shape = expected.layers[number].spikes.shape[2:]
    flat, series = np.ravel_multi_index(index, shape), dict[str, np.ndarray]()
    for record in recording.records:
        column = np.flatnonzero(record.neurons == flat)
        if record.layer == number and len(column):
            known = record.values[sample, lags[record.name] :, column[0]][: expected.steps].astype(np.int64)
            masked = np.ma.masked_array(np.zeros(expected.steps, np.int64), mask=True)
            masked[: len(known)] = known
            series[record.quantity] = masked
    return Recorded(recording.name, series)


# Lags


def _given(recording: PartialTrace, lags: int | Mapping[str, int] | None) -> dict[str, int]:
    names = [record.name for record in recording.records]
    given = dict.fromkeys(names, lags) if isinstance(lags, int) else dict(lags or {})
    for name, lag in given.items():
        if name not in names:
            raise FormatError(f"--lag {name}={lag}: {recording.name} has no array of this name, but {', '.join(names)}")
        steps = recording.records[names.index(name)].values.shape[1]
        if not 0 <= lag < steps:
            raise FormatError(
                f"--lag {name}={lag}: expected 0 to {steps - 1}, {recording.name} has {steps} steps of it"
            )
    return given


def _lag(place: str, record: Record, expected: SpikeTrace, given: Mapping[str, int]) -> Lag:
    """The lag of an array, given or found. Raises FormatError where two are equally good."""
    values = int(np.count_nonzero(record.values))
    steps = range(min(LONGEST_LAG + 1, record.values.shape[1]))
    if record.name in given:
        lag = given[record.name]
        return Lag(lag, False, _agreement(record, expected, lag), values, None)
    agree = {lag: _agreement(record, expected, lag) for lag in steps}
    best = max(steps, key=lambda lag: agree[lag])
    if agree[best] == 0:
        return Lag(0, True, 0, values, 0)  # nothing speaks for any: what there is differs as it stands
    equals = [lag for lag in steps if agree[lag] == agree[best]]
    if len(equals) > 1:
        raise FormatError(
            f"{place}: {record.name}: its lag is ambiguous: at each of {', '.join(map(str, equals))} steps "
            f"{agree[best]} of its {values} {_things(record.quantity)} agree; give it, --lag {record.name}=STEPS"
        )
    others = [count for lag, count in agree.items() if lag != best]
    return Lag(best, True, agree[best], values, max(others, default=None))


def _agreement(record: Record, expected: SpikeTrace, lag: int) -> int:
    """How many recorded values other than 0 are the definition's at a lag."""
    pair = _aligned(record, expected, lag)
    return int(np.count_nonzero((pair.expected == pair.actual) & (pair.actual != 0)))


def _compared(record: Record, expected: SpikeTrace, lag: Lag) -> Compared:
    steps = min(expected.steps, record.values.shape[1] - lag.steps)
    sizes = (len(record.neurons), record.size, steps)
    return Compared(record.name, *sizes, *lag, samples=expected.samples)


# What a comparison does not show


def _things(quantity: str) -> str:
    return "spikes" if quantity == "s" else "values other than 0"


def _too_early(recording: PartialTrace, first: Difference) -> Cause:
    early = -first.step
    return Cause("lag", f"{recording.name} has it {early} steps before its lag is over, when no network has begun")


def _unsure(arrays: list[Compared]) -> list[str]:
    """What speaks for a lag that was found by few values, or by none."""
    warnings = []
    for row in arrays:
        if row.found and row.agree == 0:
            why = f"at no lag of 0 to {LONGEST_LAG} does any agree" if row.values else "it holds nothing but 0"
            warnings.append(f"{row.array}: its lag is not known, {why}; compared as it stands")
        elif row.found and row.agree < _FEW:
            told = f"{row.array}: its lag of {row.lag} steps was found by {row.agree} values alone"
            warnings.append(f"{told}; where you know it, give --lag {row.array}={row.lag}")
    return warnings


def _unseen(net: IntNet, recording: PartialTrace, first: Difference | None) -> list[str]:
    """That a difference may come from a layer before, which the recording does not wholly show."""
    if first is None or first.layer == net.names[0]:
        return []
    before = net.names.index(first.layer) - 1
    whole = any(
        record.layer == before and record.quantity == "s" and len(record.neurons) == record.size
        for record in recording.records
    )
    name = net.names[before]
    return (
        []
        if whole
        else [f"the recording does not show all spikes of {name}: what differs in {first.layer} may come from there"]
    )


def _missing(net: IntNet, recording: PartialTrace) -> tuple[str, ...]:
    has = {record.name for record in recording.records}
    named = (array_name(name, what) for name, _, layer in net.inputs() for what in ("s", *layer.neuron.states))
    return tuple(name for name in named if name not in has)
