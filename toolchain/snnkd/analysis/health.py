"""What is wrong with a network, or wasted in it, on given samples: each finding with its cause and what to change.

`docs/health.md` lists the findings and the shares from which they count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from hashlib import blake2b
from math import floor, log2, prod
from typing import Any

import numpy as np

from snnkd.analysis import evaluation, headroom
from snnkd.analysis.early_exit import Course
from snnkd.analysis.headroom import NEAR, Headroom, LayerHeadroom
from snnkd.analysis.placement import weight_bits
from snnkd.analysis.reach import highest_voltage
from snnkd.base.errors import FormatError
from snnkd.engines.reference.definition import correlate
from snnkd.ir.arithmetic import STATE_LIMIT, STATE_SHIFT, THRESHOLD_LIMIT, WEIGHT_MAX
from snnkd.ir.events import check_input
from snnkd.ir.network import IntNet, per_neuron
from snnkd.ir.trace import SpikeTrace, fan_out

EXAMINED = 256  # images of a run that are enough, unless more are asked for
MEASURED = 16  # samples that the definition runs, for what comes to the limits of a, u and v
SATURATED = 0.95  # of all steps: who fires in so many fires always
ALIKE = 8  # spikes from which two equal rasters are no chance
FEW_CODES = 0.25  # of the codes there are
DOUBLINGS = 3  # that weights and thresholds leave unused
_BIAS_MAX = (1 << 15) - 1
HANGING = 0.05  # of the answers: from there on the last step decides too many


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or wasted, of `count` out of `total`. kind: its name; layer: 'input', layer0, ... or
    'readout'; what, cause, change: in words."""

    kind: str
    layer: str
    count: int
    total: int
    what: str
    cause: str
    change: str

    @property
    def text(self) -> str:
        """Says all of it in one sentence."""
        return f"{self.layer}: {self.count:,} of {self.total:,} {self.what}: {self.cause}; {self.change}"


@dataclass(frozen=True)
class Weights:
    """The weights of a layer. codes_used: different ones; codes: as many as their bits could tell apart. largest: their
    largest magnitude; doublings: how often they, thresholds and biases could double within their ranges."""

    count: int
    codes_used: int
    codes: int
    largest: int
    doublings: int


@dataclass(frozen=True)
class LayerHealth:
    """One layer, in numbers.

    silent, saturated: neurons that never and (of CUBA ones) that always fire, 0 where the layer need not fire;
    unreachable: those of the silent whose threshold lies above all that their weights can lift v to. threshold_share:
    the median threshold, as a fraction of that; None where nothing is known. duplicates: units that fire exactly as an
    earlier one; a unit is a neuron, of a convolution a channel. unread: neurons that no weight of the next layer reads.
    weights: None for an input layer. bits_left: of a, u, v, ..., how often the largest could double, None for 0.
    """

    name: str
    kind: str
    neurons: int
    silent: int
    unreachable: int
    saturated: int
    threshold_share: float | None
    units: int
    duplicates: int
    unread: int
    weights: Weights | None
    bits_left: dict[str, int | None]


@dataclass(frozen=True)
class Health:
    """A network on `samples` samples of `steps` steps; of `measured` of them, what came to the limits of a, u and v.

    channels: of the input, or its features; dead_channels: those without an event, or that no weight reads. ties:
    answers that only the lower number of a class decides. hanging: answers that were another one before the last step.
    """

    samples: int
    steps: int
    measured: int
    channels: int
    dead_channels: int
    layers: list[LayerHealth]
    ties: int
    hanging: int
    findings: list[Finding]

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data; keys in `docs/health.md`."""
        return asdict(self)


def examine(net: IntNet, blocks: Iterable[np.ndarray]) -> Health:
    """Runs `net` on blocks of events (n, T, *input shape), at least one, and says what is wrong with it there.

    Raises FormatError for unusable input.
    """
    watch = Watch(net)
    for block in blocks:
        run = evaluation.simulate(net, check_input(net, block))
        watch.add(run, evaluation.course(net, run))
    return watch.result()


class Watch:
    """Notes what runs of `net` show, block by block; `result` says what it means."""

    def __init__(self, net: IntNet) -> None:
        self._net = net
        self._room: Headroom | None = None
        self._samples = self._steps = self._ties = self._hanging = 0
        self._events = [np.zeros(shape, np.int64) for shape in (net.input_shape, *(row.shape for row in net.layers))]
        self._rasters = [[blake2b(digest_size=16) for _ in range(layer.shape[0])] for layer in net.layers]

    def add(self, run: SpikeTrace, course: Course) -> None:
        """Takes the next samples. course: what the readout says of them after each step."""
        self._room = self._room or headroom.measure(self._net, run.input[:MEASURED])
        self._samples += run.samples
        self._steps = run.steps
        self._ties += int(run.undecided(self._net).sum())
        self._hanging += int((course.classes[:, -1] != course.classes[:, -2:][:, 0]).sum())
        for total, values in zip(self._events, (run.input, *(row.spikes for row in run.layers)), strict=True):
            total += np.count_nonzero(values, axis=(0, 1))
        for rasters, row in zip(self._rasters, run.layers, strict=True):
            for unit, raster in enumerate(rasters):
                raster.update(row.spikes[:, :, unit].tobytes())

    def result(self) -> Health:
        """Returns the health of all samples. Raises FormatError where there are none."""
        if self._room is None:
            raise FormatError("health: expected at least one sample")
        room = self._room
        net, findings = self._net, list(self._of_input())
        layers = []
        for number, limits in enumerate(room.layers):
            examined = _Layer(net, number, self._events, self._samples * self._steps, self._steps)
            twins = _twins([raster.digest() for raster in self._rasters[number]], self._events[number + 1])
            layers.append(examined.in_numbers(limits, len(twins)))
            findings += [*examined.findings(), *examined.duplicates(twins)]
            findings += [*_of_weights(net.names[number], layers[-1].weights), *_of_limits(layers[-1], limits, room)]
        findings += self._of_readout()
        dead = self._empty | self._unread
        return Health(
            samples=self._samples,
            steps=self._steps,
            measured=room.samples,
            channels=len(dead),
            dead_channels=int(dead.sum()),
            layers=layers,
            ties=self._ties,
            hanging=self._hanging,
            findings=findings,
        )

    @property
    def _empty(self) -> np.ndarray:
        return _by_channel(self._events[0]) == 0

    @property
    def _unread(self) -> np.ndarray:
        first, shape = self._net.layers[0], self._net.input_shape
        return np.zeros(shape[0], bool) if first.kind == "input" else _by_channel(fan_out(first, shape)[1]) == 0

    def _of_input(self) -> Iterator[Finding]:
        channels = "channels" if len(self._net.input_shape) == 3 else "features"
        empty, unread = int(self._empty.sum()), int((self._unread & ~self._empty).sum())
        if empty:
            yield Finding(
                "dead-input",
                "input",
                empty,
                len(self._empty),
                f"{channels} never have an event",
                "these samples leave them empty",
                f"see how the events are made; {channels} that are always empty can go, with their weights",
            )
        if unread:
            yield Finding(
                "dead-input",
                "input",
                unread,
                len(self._unread),
                f"{channels} are read by no weight",
                "all weights from there are 0",
                "leave them out: what they say is lost",
            )

    def _of_readout(self) -> Iterator[Finding]:
        if self._ties:
            change = "run more steps, or break ties by the voltage: --readout membrane"
            if self._net.readout.kind == "membrane":
                change = "see whether the outputs get any input"
            yield Finding(
                "ties",
                "readout",
                self._ties,
                self._samples,
                "answers are ties",
                "the best classes have the same score, and the lower number wins",
                change,
            )
        if self._steps > 1 and self._hanging >= HANGING * self._samples:
            yield Finding(
                "last-step",
                "readout",
                self._hanging,
                self._samples,
                "answers hang on the last step",
                f"one step before the end, after {self._steps - 1}, they were another class",
                "run or train with more steps: the scores have not settled",
            )


class _Layer:
    """Looks at the neurons of one layer. events: by neuron, of the input and of each layer; times: samples x steps."""

    def __init__(self, net: IntNet, number: int, events: list[np.ndarray], times: int, steps: int) -> None:
        self.net, self.number, self.layer = net, number, net.layers[number]
        last = number == len(net.layers) - 1
        self._read, self._sent, self._times = events[number], events[number + 1], times
        self._fires = not (last and net.readout.kind == "membrane")
        neuron, shape = self.layer.neuron, self.layer.shape
        self._cuba = neuron.kind == "cuba"
        self._threshold = np.asarray(THRESHOLD_LIMIT)  # of other neurons: one that nothing is said about
        if neuron.kind == "cuba":
            self._threshold = per_neuron(neuron.threshold, shape)
        self._bias = per_neuron(np.asarray(0 if neuron.bias is None else neuron.bias), shape)
        self._highest = np.asarray(STATE_LIMIT)
        if number == 0 or net.layers[number - 1].neuron.kind == "cuba":  # whose spikes are 0 or 1
            largest = net.largest_event if number == 0 else 1
            self._highest = highest_voltage(self.layer, largest, number == 0 and net.message_bits > 0, steps)
        every, effective = (np.ones(shape), np.ones(shape)) if last else fan_out(net.layers[number + 1], shape)
        self._unread, self._out_of_reach = effective == 0, every == 0

    @property
    def _silent(self) -> np.ndarray:
        return (self._sent == 0) & self._fires

    @property
    def _saturated(self) -> np.ndarray:
        return (self._sent >= SATURATED * self._times) & self._fires & self._cuba

    @property
    def _unreachable(self) -> np.ndarray:
        beyond = (self._highest <= self._threshold << STATE_SHIFT) | (self._threshold > THRESHOLD_LIMIT)
        return self._silent & beyond & self._cuba

    @property
    def _starved(self) -> np.ndarray:
        """Neurons that no event came to, over a weight other than 0."""
        if self.layer.kind == "input":
            return np.zeros(self.layer.shape, bool)
        weight = (self.layer.weight != 0).astype(np.float32)
        active = self._read > 0
        if self.layer.kind == "dense":
            return weight @ active.reshape(-1).astype(np.float32) == 0
        return correlate(self.layer, weight, active[None])[0] == 0

    @property
    def _why_silent(self) -> tuple[str, str]:
        """Cause and change of neurons that could send something, and do not."""
        if not self._cuba:
            return "their sum with the bias never rises above 0", "those that stay so on all data can go"
        lower = "lower their thresholds (neuron.threshold_gain of a recipe)"
        cause = "their input never lifts the voltage over the threshold"
        return cause, f"{lower}; those that stay silent on all data can go"

    @property
    def _threshold_share(self) -> float | None:
        if self.layer.kind == "input" or not self._fires or not self._cuba:
            return None
        threshold, highest = np.broadcast_arrays(self._threshold << STATE_SHIFT, self._highest)
        known = highest > 0
        return float(np.median(threshold[known] / highest[known])) if known.any() else None

    def in_numbers(self, limits: LayerHeadroom, duplicates: int) -> LayerHealth:
        layer = self.layer
        return LayerHealth(
            name=self.net.names[self.number],
            kind=layer.kind,
            neurons=prod(layer.shape),
            silent=int(self._silent.sum()),
            unreachable=int(self._unreachable.sum()),
            saturated=int(self._saturated.sum()),
            threshold_share=self._threshold_share,
            units=layer.shape[0],
            duplicates=duplicates,
            unread=int(self._unread.sum()),
            weights=None if layer.kind == "input" else _weights(layer.weight, self._threshold, self._bias),
            bits_left={name: use.bits_left for name, use in limits.uses.items()},
        )

    def findings(self) -> Iterator[Finding]:
        unreachable, silent, starved = self._unreachable, self._silent, self._starved
        quiet = silent & ~unreachable & ~starved
        yield from self._some(
            "unreachable",
            unreachable & ~starved,
            "neurons cannot fire",
            "their thresholds lie above the highest voltage that their weights allow in these steps",
            "lower their thresholds (neuron.threshold_gain of a recipe), or raise their weights",
        )
        yield from self._some(
            "silent",
            silent & starved,
            "neurons never fire",
            "no event comes to them: what they read is silent, or their weights are 0",
            "mend what is before them, or leave them out",
        )
        yield from self._some(
            "silent",
            quiet,
            "neurons never fire",
            *self._why_silent,
        )
        forced = self._saturated & (self._bias > self._threshold)
        raised = "raise their thresholds (neuron.threshold_gain of a recipe)"
        says = f"always fire, in {100 * SATURATED:.0f} of 100 steps or more"
        yield from self._some(
            "saturated", forced, f"neurons {says}", "their bias alone is above the threshold", f"lower it, or {raised}"
        )
        yield from self._some(
            "saturated",
            self._saturated & ~forced,
            f"neurons {says}",
            "the threshold is low beside what comes in",
            f"{raised}: who always fires says nothing and costs most",
        )
        idle = self._unread & (self._sent > 0)
        yield from self._some(
            "unread",
            idle & self._out_of_reach,
            "neurons fire for nothing",
            "strides and padding of the next layer leave out where they are",
            "pad the next layer, or make this one smaller at its border",
        )
        yield from self._some(
            "unread",
            idle & ~self._out_of_reach,
            "neurons fire for nothing",
            "all weights of the next layer that read them are 0",
            "leave them out: nothing changes but the cost",
        )

    def duplicates(self, twins: list[tuple[int, int]]) -> Iterator[Finding]:
        """Yields the finding of `twins`, pairs (earlier, later) of units that fire alike."""
        if not twins or self.layer.kind == "input":
            return
        weight, (one, other) = self.layer.weight, twins[0]
        same = sum(np.array_equal(weight[earlier], weight[later]) for earlier, later in twins)
        units = "channels" if self.layer.kind == "conv" else "neurons"
        change = "leave them out, and add their outgoing weights to those of the one that stays"
        if self.number == len(self.net.layers) - 1:
            change = "the outputs say the same: see their labels, or train them apart"
        yield Finding(
            "duplicate",
            self.net.names[self.number],
            len(twins),
            self.layer.shape[0],
            f"{units} fire exactly as an earlier one, {other} as {one}",
            f"{same:,} of them have its weights" if same else "their weights differ in what makes no difference here",
            change,
        )

    def _some(self, kind: str, which: np.ndarray, what: str, cause: str, change: str) -> Iterator[Finding]:
        if count := int(which.sum()):
            yield Finding(kind, self.net.names[self.number], count, which.size, what, cause, change)


def _by_channel(values: np.ndarray) -> np.ndarray:
    """Sums (C, H, W) to (C,); (features,) stay."""
    return values.reshape(len(values), -1).sum(axis=1)


def _twins(rasters: list[bytes], events: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (earlier, later) of units with the same raster and at least ALIKE spikes."""
    spikes, seen, pairs = _by_channel(events), {}, []
    for unit, raster in enumerate(rasters):
        if spikes[unit] < ALIKE:
            continue
        if raster in seen:
            pairs.append((seen[raster], unit))
        seen.setdefault(raster, unit)
    return pairs


def _weights(weight: np.ndarray, threshold: np.ndarray, bias: np.ndarray) -> Weights:
    largest = [int(np.abs(values.astype(np.int64)).max(initial=0)) for values in (weight, threshold, bias)]
    limits = (WEIGHT_MAX, THRESHOLD_LIMIT, _BIAS_MAX)
    rooms = [floor(log2(limit / value)) for limit, value in zip(limits, largest, strict=True) if value]
    return Weights(
        weight.size, len(np.unique(weight)), 1 << weight_bits(weight), largest[0], max(0, min(rooms, default=0))
    )


def _of_weights(name: str, weights: Weights | None) -> Iterator[Finding]:
    if weights is None:
        return
    if weights.codes_used < FEW_CODES * min(weights.codes, weights.count):
        yield Finding(
            "few-codes",
            name,
            weights.codes_used,
            weights.codes,
            "weight codes are used",
            "a few large weights stretch the range, so that the others share few steps",
            "clip the largest before rounding, or use fewer bits: the other codes are paid for nothing",
        )
    if weights.doublings >= DOUBLINGS:
        yield Finding(
            "narrow-range",
            name,
            weights.largest,
            WEIGHT_MAX,
            "is the largest weight",
            "the decays of small u and v are rounded coarsely",
            f"multiply weights, biases and thresholds by {1 << weights.doublings}: the same network, rounded less",
        )


def _of_limits(row: LayerHealth, limits: LayerHeadroom, room: Headroom) -> Iterator[Finding]:
    cells = room.samples * room.steps * row.neurons
    for name, use in limits.uses.items():
        kind, happens = ("clipped", "is clipped") if name == "v" else ("wrapped", "wraps")
        change = f"lower the weights, or {'raise the decays' if name in 'uv' else 'give it fewer inputs'}"
        cause = f"the largest {name} is {use.used:.2f} of its limit"
        if use.beyond:
            yield Finding(kind, row.name, use.beyond, cells, f"times {name} {happens}", cause, change)
        elif use.used > NEAR:
            change = f"other input may pass it: {change}"
            yield Finding("near-limit", row.name, use.largest, use.limit, f"is the largest {name}", cause, change)
