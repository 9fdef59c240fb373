"""Runs an integer network over any number of samples, in blocks: traces, comparisons and profiles."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

import numpy as np

from snnkd import engines, targets
from snnkd.analysis import cautions, early_exit, energy, neurobench, processor, real_time, rival, verification
from snnkd.analysis.early_exit import Course
from snnkd.analysis.energy import EarlyExitWork, Profile
from snnkd.analysis.verification import Verification
from snnkd.base import memory, progress
from snnkd.ir import trace
from snnkd.ir.network import IntNet
from snnkd.ir.trace import Activity, LayerCount, LayerTrace, SpikeTrace
from snnkd.targets import Target

BLOCK = 256  # samples at a time, so that memory stays bounded for a test set of any size
DEFINITION = "reference"  # the engine that others are compared with
ACTIVITIES = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 0.05, 0.02)  # shares of elements that are events, in random input
COMPARED = 1 << 30  # bytes of traces that a comparison may hold
_TRIED = 16  # samples on which they are tried
FAST = "fast"  # the engine that accuracies and profiles are computed with; it equals the definition
# What the definition runs before the kernels of `fast` are loaded, half a second: at most so many layers times steps,
# updates of neurons, and products of weights and inputs.
_SMALL = (1 << 10, 1 << 21, 1 << 27)


def simulate(net: IntNet, spikes: np.ndarray, engine: str = FAST, states: bool = False) -> SpikeTrace:
    """Runs `net` on events (N, T, C, H, W) or (N, T, features): spikes of every layer, and u and v with `states`.

    Raises LimitError where the engine cannot run here or refuses the network, FormatError for events that do not fit.
    """
    usable, (samples, steps) = engines.usable(engine, net), (*np.shape(spikes), 0, 0)[:2]
    memory.check(
        f"the trace of {samples:,} samples of {steps:,} steps and {net.neurons:,} neurons",
        samples * steps * net.neurons * (1 + 8 * states),
        "run fewer samples or steps at a time" + (", or leave out the states" if states else ""),
    )
    return usable.run(net, spikes, states)


def _soonest(net: IntNet, spikes: np.ndarray, states: bool = False) -> SpikeTrace:
    """Runs as `simulate` does, by the engine that is done first: to load Numba takes longer than a small network."""
    loaded = "numba" in sys.modules
    return simulate(net, spikes, FAST if loaded or not _is_small(net, *spikes.shape[:2]) else DEFINITION, states)


def _is_small(net: IntNet, samples: int, steps: int) -> bool:
    products = sum(count for _, count in energy.dense_macs(net))
    work = (steps * len(net.layers), samples * steps * net.neurons, samples * steps * products)
    return all(amount <= most for amount, most in zip(work, _SMALL, strict=True))


def verify(
    net: IntNet, spikes: np.ndarray, against: str = "lava", states: bool = True, most: int = COMPARED
) -> Verification:
    """Compares the engine `against` with the definition, element by element; the definition itself with `fast`.

    spikes: as of `simulate`. most: bytes of traces; so many samples run at a time as fit into them.
    """
    return verify_blocks(net, in_blocks(spikes, block_of(net, spikes.shape[1], states, most)), against, states)


def verify_blocks(
    net: IntNet, blocks: Iterable[np.ndarray], against: str = "lava", states: bool = True
) -> Verification:
    """Compares as `verify` does, on blocks of events (n, T, ...), at least one, each of which is let go behind it."""
    engine = FAST if against == DEFINITION else against
    comparison = Comparison(net)
    for block in blocks:
        with progress.doing(f"the definition runs {len(block):,} samples"):
            expected = simulate(net, block, DEFINITION, states)
        with progress.doing(f"engine {engine} runs {len(block):,} samples"):
            actual = simulate(net, block, engine, states)
        comparison.add(expected, actual)
    return comparison.result()


def in_blocks(spikes: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Yields `spikes` (N, ...), `size` samples at a time."""
    for start in range(0, len(spikes), size):
        yield spikes[start : start + size]


def block_of(net: IntNet, steps: int, states: bool, most: int = COMPARED) -> int:
    """Returns how many samples run at a time where two traces of `net`, with or without states, take `most` bytes."""
    sizes = ((prod(layer.shape), layer.neuron) for layer in net.layers)
    recorded = sum(n * ((1 if of.kind == "cuba" else 4) + 4 * states * len(of.states)) for n, of in sizes)
    per_sample = steps * (recorded + prod(net.input_shape))
    return max(1, most // (2 * per_sample))


class Comparison:
    """A comparison of two engines that grows block by block: `verification.compare` of all samples together."""

    def __init__(self, net: IntNet):
        self._net = net
        self._samples = 0
        self._events = np.zeros(len(net.layers) + 1, np.int64)
        self._sum: Verification | None = None

    def add(self, expected: SpikeTrace, actual: SpikeTrace) -> None:
        """Compares the next samples. Raises MismatchError as `compare` does."""
        self.join(expected, verification.compare(self._net, expected, actual))

    def join(self, expected: SpikeTrace, part: Verification) -> None:
        """Takes the comparison of the next samples, whose trace by the definition is `expected`."""
        if part.first_difference is not None:
            there = replace(part.first_difference, sample=part.first_difference.sample + self._samples)
            part = replace(part, first_difference=there)
        self._samples += expected.samples
        self._events += expected.events
        self._sum = part if self._sum is None else self._merged(self._sum, part)

    def result(self) -> Verification:
        """Returns the comparison of all samples, at least one block of which was added."""
        assert self._sum is not None
        told = cautions.silent_layers(self._net, self._events.tolist(), f"the {self._samples:,} samples compared")
        return replace(self._sum, warnings=tuple(told))

    def _merged(self, before: Verification, part: Verification) -> Verification:
        compared = {key: count + part.compared[key] for key, count in before.compared.items()}
        differences = {name: count + part.differences[name] for name, count in before.differences.items()}
        first = min((before, part), key=self._place)
        steps = {"steps": before.compared["steps"]}
        return replace(first, equal=before.equal and part.equal, compared=compared | steps, differences=differences)

    def _place(self, part: Verification) -> tuple[int, int, int]:
        """Layer, step and sample of the first difference: the smallest of all blocks is that of all samples."""
        first = part.first_difference
        if first is None:
            return len(self._net.layers), 0, 0
        return self._net.names.index(first.layer), first.step, first.sample


def random_input(net: IntNet, samples: int, steps: int | None = None) -> tuple[np.ndarray, str]:
    """Makes seeded random events on which as many layers as possible fire, and says what they are.

    Densities are tried in the order of ACTIVITIES, on the first few samples; the first of the best is taken.
    """
    best: tuple[int, float] | None = None
    progress.say("looking for random events on which every layer fires")
    for activity in ACTIVITIES:
        tried = verification.synthetic_input(net, steps, min(samples, _TRIED), activity)
        silent = len(cautions.silent(net, _soonest(net, tried).events))
        if best is None or silent < best[0]:
            best = (silent, activity)
        if silent == 0:
            break
    assert best is not None
    silent, activity = best
    reason = ""
    if activity != ACTIVITIES[0]:
        reason = f" (of those tried, the first at which {'the most layers fire' if silent else 'every layer fires'})"
    events = verification.synthetic_input(net, steps, samples, activity)
    return events, f"{samples} seeded random samples at {activity:.0%} activity{reason}, not real data (give --input)"


@dataclass(frozen=True, eq=False)
class Survey:
    """What a network did on samples that ran once, block by block.

    samples, steps: how many. counts: totals by layer, 'input' first. activity: the same by neuron and step. first: the
    events of the first samples, those that an emulator may run. classes: (N,) what its readout says of each sample;
    undecided: (N,) bool, where only the lower number of a class decides; both None where nobody asked. exits: classes
    and steps, (N,) each, of the rule for early exit; None without one.
    """

    samples: int
    steps: int
    counts: list[LayerCount]
    activity: Activity
    first: np.ndarray
    classes: np.ndarray | None = None
    undecided: np.ndarray | None = None
    exits: tuple[np.ndarray, np.ndarray] | None = None
    shorter: list[LayerCount] = field(default_factory=list)  # until the rule for early exit ends a sample


def survey(net: IntNet, blocks: Iterable[np.ndarray], answers: bool) -> Survey:
    """Runs `net` on blocks of events (n, T, ...), at least one, each of which is let go behind it.

    answers: also what its readout says; that includes what a rule for early exit leaves of the work.
    """
    seen: Activity | None = None
    first: np.ndarray | None = None
    shorter: list[LayerCount] = []
    told: list[tuple[np.ndarray, ...]] = []  # of each block: classes, undecided ones, and both of the exits
    for block in blocks:
        run = _soonest(net, block)
        first = block[: max(processor.COUNTED)].copy() if first is None else first
        more = trace.activity(net, run)
        seen = more if seen is None else seen + more
        if not answers:
            continue
        told.append((run.classes(net), run.undecided(net)))
        if net.early_exit is not None:
            told[-1] += early_exit.stops(course(net, run), net.early_exit)
            shorter = _added(shorter, trace.count(net, early_exit.cut(run, told[-1][-1])))
    assert seen is not None and first is not None
    whole = Survey(seen.samples, seen.steps, trace.counted(net, seen), seen, first)
    if not answers:
        return whole
    classes, undecided, *exits = (np.concatenate(parts) for parts in zip(*told, strict=True))
    return replace(whole, classes=classes, undecided=undecided, exits=tuple(exits) or None, shorter=shorter)


def course(net: IntNet, run: SpikeTrace) -> Course:
    """Says what the network's readout gives after each step of `run`, a trace of the network with or without states."""
    last = output(net, run) if net.readout.reads_v else run.layers[-1]
    return early_exit.course(net.readout, last.spikes, last.membrane)


def output(net: IntNet, run: SpikeTrace) -> LayerTrace:
    """Returns the last layer in `run`, a trace of the network, with its states.

    Where the trace lacks them, that layer alone runs once more on what it has read: the states of all the others are
    never held.
    """
    if run.layers[-1].membrane is not None:
        return run.layers[-1]
    events = run.input if len(net.layers) == 1 else run.layers[-2].spikes
    bits = net.message_bits if len(net.layers) == 1 else 0 if events.dtype == np.uint8 else 31
    return _soonest(IntNet(events.shape[2:], net.layers[-1:], message_bits=bits), events, states=True).layers[-1]


def joined(courses: Sequence[Course]) -> Course:
    """Returns the course of all samples of several ones, at least one, in their order."""
    return Course(
        classes=np.concatenate([part.classes for part in courses]),
        lead=np.concatenate([part.lead for part in courses]),
    )


def profile(
    net: IntNet, spikes: np.ndarray, target: str | Path | Sequence[str | Path] = (), data: str = "the given samples"
) -> Profile:
    """Counts spikes, synaptic operations and updates of `net` on events (N, T, ...), and estimates the energy.

    All is of all steps; of a network with a rule for early exit also what that leaves of steps, spikes and synops.
    target: name, file or several of them; unless given all shipped targets with costs, but those whose instructions an
    emulator has to count. data: what the events are.
    """
    return profile_of(net, survey(net, in_blocks(spikes, BLOCK), net.early_exit is not None), target, data)


def profile_of(
    net: IntNet,
    seen: Survey,
    target: str | Path | Sequence[str | Path | Target] | None = (),
    data: str = "the given samples",
) -> Profile:
    """Returns `profile` of samples that ran already; target: None for no estimate of the energy."""
    names = [target] if isinstance(target, str | Path) else target
    chosen = [name if isinstance(name, Target) else targets.load(name) for name in names or ()]
    if names is not None and not chosen:
        chosen = [target for target in targets.available() if target.costs and target.build is None]
    profile = energy.profile(
        net, seen.counts, samples=seen.samples, steps=seen.steps, data=data, targets=chosen, seen=seen.activity
    )
    if chosen:
        profile = rival.beside(net, real_time.timed(net, processor.emulated(net, profile, seen.first)))
    events, samples = [row.spikes for row in seen.counts], f"these {seen.samples:,} samples"
    exits = None
    if seen.exits is not None:
        exits = _per_inference(seen, int(seen.exits[1].sum()))
    warnings, metrics = cautions.silent_layers(net, events, samples), neurobench.of(net, profile)
    return replace(profile, warnings=warnings, early_exit=exits, neurobench=metrics)


def _added(totals: list[LayerCount], counts: list[LayerCount]) -> list[LayerCount]:
    return [a + b for a, b in zip(totals, counts, strict=True)] if totals else counts


def _per_inference(seen: Survey, steps: int) -> EarlyExitWork:
    layers = [row for row in seen.shorter if row.name != "input"]
    spikes, synops = (sum(getattr(row, key) for row in layers) for key in ("spikes", "synops"))
    return EarlyExitWork(steps / seen.samples, spikes / seen.samples, synops / seen.samples)
