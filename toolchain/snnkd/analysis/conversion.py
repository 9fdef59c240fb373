"""Networks of NIR graphs with real numbers as integer networks: scales chosen on events, and what the integers change.

What they are compared with is the graph itself, run in float64 by `formats/nir/definition.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from snnkd.analysis import cautions, evaluation
from snnkd.base import progress
from snnkd.formats.nir import assembly, definition
from snnkd.formats.nir import read as nir
from snnkd.formats.nir.graph import Graph
from snnkd.formats.nir.real import RealConv, RealLayer, RealNet
from snnkd.formats.nir.rounding import Choice, rounded
from snnkd.formats.nir.rules import NEURONS
from snnkd.ir.events import check_input, check_labels
from snnkd.ir.network import IntNet, Layer, Shape, cuba_of

CALIBRATED = 64  # samples, of those given, that scales are chosen on
_TRIED = 12  # scales of a layer, the best by its numbers first
_BLOCK = 16  # samples of a run in float64 at a time


@dataclass(frozen=True)
class Converted:
    """How one layer was made.

    nodes: kind and name of each node it is made of; becomes: in words. scale: what its weights, thresholds and biases
    were multiplied by; clipped: how many weights lay beyond the range; errors: relative, of weights, thresholds, biases
    and decays. notes: what is not exact, or was assumed.
    """

    layer: str
    nodes: list[str]
    becomes: str
    scale: float
    clipped: int
    errors: dict[str, float]
    exact: bool
    notes: list[str]


@dataclass(frozen=True)
class LayerEffect:
    """Spikes of a layer in float64 and in integers.

    differ: the fraction of all neurons and steps in which one spikes and the other does not. rate: the mean difference
    of a neuron's spikes per step, without its sign.
    """

    layer: str
    float64: int
    integers: int
    differ: float
    rate: float


@dataclass(frozen=True)
class Effect:
    """What the integers change on `samples` samples of `data`.

    classes_equal: fraction of equal answers. accuracy: of both, None without labels.
    """

    data: str
    samples: int
    steps: int
    layers: list[LayerEffect]
    classes_equal: float
    accuracy: dict[str, float] | None
    warnings: list[str]


@dataclass(frozen=True, eq=False)
class Conversion:
    """A network and how it came from the file.

    dt: seconds of a step, and `why`; None where the file's own integers were taken, as is effect then.
    """

    net: IntNet
    dt: float | None
    why: str
    layers: list[Converted]
    effect: Effect | None

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data with the same names, without the network."""
        return {
            "dt": self.dt,
            "why": self.why,
            "layers": [asdict(row) for row in self.layers],
            "effect": None if self.effect is None else asdict(self.effect),
        }


def convert(
    path: str | Path,
    bits: int = 8,
    dt: float | None = None,
    input_shape: Shape | None = None,
    events: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    data: str = "the given samples",
) -> Conversion:
    """Reads the `.nir` file at `path` and makes its integer network.

    bits: of a weight, 2 to 8. dt: seconds of a step, where the file does not tell it. events: (N, T, *input shape);
    scales and decays are chosen on the first of them, else by the numbers alone and compared on random events. labels:
    (N,) classes. data: what the events are. A file that holds an integer network of snnkd is taken as it is. Raises
    FormatError for a file or events that do not fit.
    """
    graph = nir.opened(path)
    exact = nir.exact_network(graph)
    if exact is not None:
        return Conversion(exact, None, "the integers that snnkd has written into the file", [], None)
    real = assembly.assembled(graph, input_shape, dt)
    message_bits, pick = 0, None
    if events is not None and events.dtype.kind in "biu" and events.size:
        largest = max(-int(events.min()), int(events.max()))
        message_bits = largest.bit_length() if largest > 1 else 0
    progress.say("looking for each layer's scale and decays")
    if events is not None:
        outline, _ = rounded(real, bits, None, message_bits)
        events = check_input(outline, events, data)
        pick = _Calibration(graph, real, events[:CALIBRATED], message_bits)
    net, choices = rounded(real, bits, pick, message_bits)
    rows = [_row(graph, layer, choice) for layer, choice in zip(real.layers, choices, strict=True)]
    if events is None:
        events, data = evaluation.random_input(net, _BLOCK)
    return Conversion(net, real.dt, real.why, rows, effect(graph, real, net, events, labels, data))


class _Calibration:
    """Picks, layer by layer, the integers whose spikes are nearest to those of the graph in float64, on what the
    layers picked before send."""

    def __init__(self, graph: Graph, real: RealNet, events: np.ndarray, message_bits: int):
        self._expected = _in_float64(graph, real, events)
        self._source, self._bits = events, message_bits

    def __call__(self, layer: RealLayer, options: list[Choice]) -> Choice:
        best = options[0]
        if best.layer.neuron.can_fire and (len(options) > 1 or best.decay_error):
            best = self._nearest(layer, options[:_TRIED])
            if best.decay_error:
                best = self._nearest(layer, [best, *_slower(best)])
        self._source, self._bits = self._spikes(best.layer), 0
        return best

    def _nearest(self, layer: RealLayer, options: list[Choice]) -> Choice:
        expected = self._expected[layer.name]
        return min(options, key=lambda option: int((self._spikes(option.layer) != expected).sum()))

    def _spikes(self, layer: Layer) -> np.ndarray:
        net = IntNet(self._source.shape[2:], (layer,), message_bits=self._bits)
        return evaluation.simulate(net, self._source).layers[0].spikes


def _slower(choice: Choice) -> Iterator[Choice]:
    """The same layer with decays less by 1/4096, as each step also rounds towards 0."""
    neuron = cuba_of(choice.layer)
    for current, voltage in ((0, 1), (1, 0), (1, 1)):
        changed = replace(
            neuron,
            current_decay=np.where(neuron.current_decay == 4096, 4096, np.maximum(neuron.current_decay - current, 0)),
            voltage_decay=np.where(neuron.voltage_decay == 4096, 4096, np.maximum(neuron.voltage_decay - voltage, 0)),
        )
        yield replace(choice, layer=replace(choice.layer, neuron=changed))


def effect(
    graph: Graph, real: RealNet, net: IntNet, events: np.ndarray, labels: np.ndarray | None, data: str
) -> Effect:
    """Compares `net` with its graph in float64 on events as `check_input` gives them.

    Raises FormatError for labels that do not fit.
    """
    if labels is not None:
        check_labels(labels, *events.shape[:2], source=f"labels of {data}")
    totals = np.zeros((len(net.layers), 2), np.int64)
    differ, rates, cells = (np.zeros(len(net.layers)) for _ in range(3))
    classes: list[list[np.ndarray]] = [[], []]
    counted, beyond = np.zeros(len(net.layers) + 1, np.int64), np.zeros(len(net.layers), np.int64)
    for start in range(0, len(events), _BLOCK):
        progress.say(f"in float64 and in integers: sample {start + 1:,} of {len(events):,}")
        block = events[start : start + _BLOCK]
        expected, run = _in_float64(graph, real, block), evaluation.simulate(net, block)
        counted += run.events
        for k, (layer, trace) in enumerate(zip(real.layers, run.layers, strict=True)):
            there, here = _fired(layer, expected), trace.spikes
            totals[k] += int(there.sum()), int(here.sum())
            differ[k] += int((there != here).sum())
            rates[k] += np.abs(there.sum(axis=1, dtype=np.int64) - here.sum(axis=1, dtype=np.int64)).sum()
            cells[k] += here.size
            beyond[k] += max(trace.overflows, 0) + max(trace.saturations, 0)
        classes[0].append(_float_classes(real, expected))
        classes[1].append(run.classes(net))
    before, after = (np.concatenate(parts) for parts in classes)
    rows = [
        LayerEffect(
            layer.name, int(totals[k, 0]), int(totals[k, 1]), float(differ[k] / cells[k]), float(rates[k] / cells[k])
        )
        for k, layer in enumerate(real.layers)
    ]
    told = cautions.silent_layers(net, counted.tolist(), f"the {len(events):,} samples")
    told += [
        f"{layer.name}: a sum, u or v leaves its range {count:,} times on {data}"
        for layer, count in zip(real.layers, beyond.tolist(), strict=True)
        if count
    ]
    accuracy = None
    if labels is not None:
        accuracy = {"float64": float((before == labels).mean()), "integers": float((after == labels).mean())}
    return Effect(data, len(events), events.shape[1], rows, float((before == after).mean()), accuracy, told)


def _in_float64(graph: Graph, real: RealNet, events: np.ndarray) -> dict[str, np.ndarray]:
    """(N, T, *shape) of each layer by its name: spikes as uint8; v of neurons that never fire; sums over the steps of a
    last layer without neurons."""
    signals, found = definition.run(graph, events, real.dt).signals, {}
    for layer in real.layers:
        signal = signals[layer.name].reshape(*events.shape[:2], *layer.shape)
        if np.isfinite(layer.neuron.threshold).all():
            signal = signal.astype(np.uint8)
        elif graph.nodes[layer.name].kind not in NEURONS:
            signal = signal.cumsum(axis=1)
        found[layer.name] = signal
    return found


def _fired(layer: RealLayer, expected: dict[str, np.ndarray]) -> np.ndarray:
    values = expected[layer.name]
    return values if values.dtype == np.uint8 else np.zeros(values.shape, np.uint8)


def _float_classes(real: RealNet, expected: dict[str, np.ndarray]) -> np.ndarray:
    last = expected[real.layers[-1].name]
    scores = last.sum(axis=1, dtype=np.int64) if last.dtype == np.uint8 else last[:, -1]
    return scores.reshape(len(last), -1).argmax(axis=1)


def _row(graph: Graph, layer: RealLayer, choice: Choice) -> Converted:
    errors = {key: getattr(choice, f"{key}_error") for key in ("weight", "threshold", "bias", "decay")}
    nodes = [f"{graph.nodes[name].kind} {name}" for name in layer.nodes]
    notes = [*layer.notes, *choice.notes]
    return Converted(layer.name, nodes, _becomes(layer), choice.scale, choice.clipped, errors, choice.exact, notes)


def _becomes(layer: RealLayer) -> str:
    synapse = layer.synapse
    if not isinstance(synapse, RealConv):
        delays = "" if synapse.delay is None else f", delays to {int(synapse.delay.max())}"
        return f"dense {synapse.weight.shape[1]} -> {len(synapse.weight)}{delays}"
    parts = [f"conv {synapse.weight.shape[2]}x{synapse.weight.shape[3]}"]
    usual = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    parts += [f"{key} {getattr(synapse, key)}" for key, value in usual.items() if getattr(synapse, key) != value]
    return ", ".join(parts)
