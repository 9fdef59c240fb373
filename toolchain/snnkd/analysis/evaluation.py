"""Runs an integer network over any number of samples, in blocks: traces, comparisons and profiles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snnkd import engines, targets
from snnkd.analysis import cautions, early_exit, energy, verification
from snnkd.analysis.early_exit import Course
from snnkd.analysis.verification import Verification
from snnkd.ir import trace
from snnkd.ir.network import IntNet
from snnkd.ir.trace import LayerCount, LayerTrace, SpikeTrace

BLOCK = 256  # samples at a time, so that memory stays bounded for a test set of any size
DEFINITION = "reference"  # the engine that others are compared with
ACTIVITIES = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 0.05, 0.02)  # shares of elements that are events, in random input
_TRIED = 16  # samples on which they are tried
FAST = "fast"  # the engine that accuracies and profiles are computed with; it equals the definition


def simulate(net: IntNet, spikes: np.ndarray, engine: str = FAST, states: bool = False) -> SpikeTrace:
    """Spikes of every layer, and u and v with `states`, of `net` on events (N, T, C, H, W) or (N, T, features).

    Raises LimitError where the engine cannot run here or refuses the network, FormatError for events that do not fit.
    """
    return engines.usable(engine, net).run(net, spikes, states)


def verify(net: IntNet, spikes: np.ndarray, against: str = "lava", states: bool = True) -> Verification:
    """Compares the engine `against` with the definition, element by element; the definition itself with `fast`."""
    other = FAST if against == DEFINITION else against
    expected = simulate(net, spikes, DEFINITION, states)
    return verification.compare(net, expected, simulate(net, spikes, other, states))


def random_input(net: IntNet, samples: int, steps: int | None = None) -> tuple[np.ndarray, str]:
    """Makes seeded random events on which as many layers as possible fire, and says what they are.

    Densities are tried in the order of ACTIVITIES, on the first few samples; the first of the best is taken.
    """
    best: tuple[int, float] | None = None
    for activity in ACTIVITIES:
        tried = verification.synthetic_input(net, steps, min(samples, _TRIED), activity)
        silent = len(cautions.silent(net, simulate(net, tried).events))
        if best is None or silent < best[0]:
            best = (silent, activity)
        if silent == 0:
            break
    assert best is not None
    silent, activity = best
    chosen = "" if activity == ACTIVITIES[0] else " (of those tried, the first at which "
    if chosen:
        chosen += "every layer fires)" if not silent else "the most layers fire)"
    events = verification.synthetic_input(net, steps, samples, activity)
    return events, f"{samples} seeded random samples at {activity:.0%} activity{chosen}, not real data (give --input)"


def blocks(net: IntNet, spikes: np.ndarray) -> Iterator[SpikeTrace]:
    """Traces of `spikes`, BLOCK samples at a time."""
    for start in range(0, len(spikes), BLOCK):
        yield simulate(net, spikes[start : start + BLOCK])


def course(net: IntNet, run: SpikeTrace) -> Course:
    """What the network's readout says after each step of `run`, a trace of the network with or without states."""
    last = output(net, run) if net.readout.reads_v else run.layers[-1]
    return early_exit.course(net.readout, last.spikes, last.v)


def output(net: IntNet, run: SpikeTrace) -> LayerTrace:
    """The last layer in `run`, a trace of the network, with its u and v: where the trace lacks them, that layer alone
    runs once more on what it has read, so that the states of all the others are not held."""
    if run.layers[-1].v is not None:
        return run.layers[-1]
    events = run.input if len(net.layers) == 1 else run.layers[-2].spikes
    bits = net.message_bits if len(net.layers) == 1 else 0
    return simulate(IntNet(events.shape[2:], net.layers[-1:], message_bits=bits), events, states=True).layers[-1]


def courses(net: IntNet, events: Iterable[np.ndarray]) -> Course:
    """Runs `net` on blocks of samples and collects what its readout says after each step.

    events: blocks (N, T, *input shape), at least one; N may differ, T may not. Each is run and dropped before the next
    one is taken, so that a generator keeps memory bounded. Returns one Course, (samples of all blocks, T), in their
    order. Raises FormatError for events that do not fit, ValueError for no block and for blocks of another T.
    """
    by_block = [course(net, simulate(net, block)) for block in events]
    return Course(
        classes=np.concatenate([block.classes for block in by_block]),
        lead=np.concatenate([block.lead for block in by_block]),
    )


def profile(
    net: IntNet, spikes: np.ndarray, target: str | Path | Sequence[str | Path] = (), data: str = "the given samples"
) -> dict[str, Any]:
    """Spikes, synaptic operations, updates and energy of `net` on events (N, T, ...), as `snnkd profile --json` has it:
    of all steps, and of a network with a rule for early exit also what is left of steps, spikes and synops with it.

    target: name, file or several of them; all shipped targets with costs unless given. data: what the events are.
    """
    totals: list[LayerCount] = []
    shorter: list[LayerCount] = []
    steps = 0
    for part in blocks(net, spikes):
        totals = _added(totals, trace.count(net, part))
        if net.early_exit is not None:
            _, ends = early_exit.stops(course(net, part), net.early_exit)
            shorter, steps = _added(shorter, trace.count(net, early_exit.cut(part, ends))), steps + int(ends.sum())
    names = [target] if isinstance(target, str | Path) else target
    chosen = [targets.load(name) for name in names] or [one for one in targets.available() if one.costs]
    found = energy.profile(net, totals, samples=len(spikes), steps=spikes.shape[1], data=data, targets=chosen)
    found["warnings"] = cautions.silent_layers(net, [row.spikes for row in totals], f"these {len(spikes):,} samples")
    return found if net.early_exit is None else {**found, "early_exit": _per_inference(shorter, steps, len(spikes))}


def _added(totals: list[LayerCount], counts: list[LayerCount]) -> list[LayerCount]:
    return [a + b for a, b in zip(totals, counts, strict=True)] if totals else counts


def _per_inference(counts: list[LayerCount], steps: int, samples: int) -> dict[str, float]:
    network = [row for row in counts if row.name != "input"]
    totals = {"steps": steps, **{key: sum(getattr(row, key) for row in network) for key in ("spikes", "synops")}}
    return {key: total / samples for key, total in totals.items()}
