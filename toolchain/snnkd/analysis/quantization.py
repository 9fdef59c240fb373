"""Networks of other tools with weights that are no integers, or with more bits than a target has, as integer networks.

A layer of CUBA neurons does the same when its weights, thresholds and biases are all multiplied by one number. So each
layer gets the scale at which its weights lose least when they are rounded to N bits; thresholds and biases follow.

Of sigma-delta neurons the messages are multiplied as well, and with them all that the layers behind them add up: so the
scales of a chain multiply. They stay at 1 or below, at which no sum that fitted its bits leaves them.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from snnkd import formats
from snnkd.analysis import cautions, evaluation, headroom, real_weights
from snnkd.base import progress
from snnkd.base.errors import FormatError, LimitError, SnnkdWarning
from snnkd.formats import netx
from snnkd.ir import rounding
from snnkd.ir.arithmetic import THRESHOLD_LIMIT, WEIGHT_MIN
from snnkd.ir.events import check_input
from snnkd.ir.network import Conv, Dense, Input, IntNet, Layer, Neuron, Shape
from snnkd.ir.rounding import Fit

SLAYER_UNIT = 64  # SLAYER's weight 1 is 64 as hardware holds it (lava-dl slayer/neuron/base.py, w_scale)
_FAR = 16  # thresholds are at least so many times SLAYER's weights where only the thresholds were made integers
_BIAS_MAX = (1 << 15) - 1


@dataclass(frozen=True)
class Scaled:
    """How one layer was quantized.

    scale: factor of its weights; step: between two of its integer weights. threshold: lowest, before and after; None of
    Sigma decoders. sums: factor of what it adds up, beside that of all weights; thresholds and biases follow it.
    clipped: how many weights lay beyond the range. error: root mean square error of the weights as a fraction of their
    own root mean square.
    """

    layer: str
    scale: float
    sums: float
    step: int
    threshold: tuple[int | None, int | None]
    clipped: int
    error: float


@dataclass(frozen=True, eq=False)
class Quantized:
    """A quantized network and what it was.

    unit: what all weights of the file were multiplied by before a layer's own scale, 64 for those in SLAYER's units.
    neurons: of each layer before; weights and biases: those of each layer with synapses before, float64.
    """

    net: IntNet
    unit: float
    layers: tuple[Scaled, ...]
    neurons: tuple[Neuron, ...]
    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray | None, ...]


@dataclass(frozen=True)
class Effect:
    """What quantization changed on `samples` samples of `data`, before in float64 and after in integers.

    accuracy: before and after, fractions, None without labels. classes_equal: fraction of equal answers. spikes: of
    each layer, before and after.
    """

    data: str
    samples: int
    accuracy: dict[str, float] | None
    classes_equal: float
    spikes: list[dict[str, Any]]
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data with the same names."""
        return asdict(self)


def quantize(path: str | Path, bits: int, scale: float | None = None, input_shape: Shape | None = None) -> Quantized:
    """Reads the `.net` or `.nir` file at `path` and rounds its weights to `bits` bits, 2 to 8, sign included.

    scale: of all weights, with thresholds as they are; None chooses one for each layer: 1 where its weights have no
    more bits, SLAYER's 64 where they are in its units and fit 8 bits, else the one at which the rounding loses least.
    Raises FormatError for a file that cannot be read, LimitError for other bits or a scale that is not above 0.
    """
    if not 2 <= bits <= 8:
        raise LimitError(f"--bits {bits}: expected 2 to 8")
    if scale is not None and not 0 < scale < float("inf"):
        raise LimitError(f"--scale {scale:g}: expected auto or a number above 0")
    if Path(path).suffix == ".nir":
        with tempfile.TemporaryDirectory(prefix="snnkd-") as folder:
            copy = Path(folder) / f"{Path(path).stem}.net"
            netx.save(formats.load(path, input_shape), copy)
            return quantize(copy, bits, scale, input_shape)
    progress.say("looking for each layer's scale")
    values = netx.stored_weights(path)
    with warnings.catch_warnings(record=True):  # the same warnings come again below
        outline = netx.load(path, input_shape, _signs)
    unit = _unit(outline, values) if scale is None else scale
    how = _Rounding(bits, unit, list(_synaptic(outline)), chosen=scale is None)
    net = netx.load(path, input_shape, how)
    fitted, layers, scaled = iter(zip(how.layers, how.sums, strict=True)), [], []
    for name, layer in zip(net.names, net.layers, strict=True):
        if not isinstance(layer, Input):
            fit, sums = next(fitted)
            neuron = _rescaled(layer.neuron, sums)
            thresholds = _lowest(layer.neuron), _lowest(neuron)
            scaled.append(Scaled(name, unit * fit.factor, sums, fit.step, thresholds, fit.clipped, fit.error))
            layer = replace(layer, neuron=neuron)
        layers.append(layer)
    neurons = tuple(layer.neuron for layer in net.layers)
    weights, biases = tuple(fit.weight for fit in how.layers), tuple(fit.bias for fit in how.layers)
    if net.early_exit is not None:  # its margin may be in units of v, which are others now
        warnings.warn(f"{path}: its rule for early exit is left out: other weights need another", SnnkdWarning, 2)
    net = replace(net, layers=tuple(layers), early_exit=None)
    return Quantized(net, unit, tuple(scaled), neurons, weights, biases)


def effect(quantized: Quantized, events: np.ndarray, labels: np.ndarray | None, data: str) -> Effect:
    """Runs the network before, in float64, and after, in integers, and compares what they do.

    events: (N, T, *input shape), as `check_input` takes them. labels: (N,) integers or None. data: what the events are,
    in words. Raises FormatError for events or labels that do not fit.
    """
    events = check_input(quantized.net, events)
    if labels is not None and (labels.shape != (len(events),) or labels.dtype.kind not in "iu"):
        raise FormatError(f"labels: expected ({len(events)},) integers, found {labels.dtype} {labels.shape}")
    spikes = np.zeros((len(quantized.net.layers), 2), np.int64)
    classes: list[list[np.ndarray]] = [[], []]
    undecided, counted = [], np.zeros(len(quantized.net.layers) + 1, np.int64)  # of the run after
    for start in range(0, len(events), evaluation.BLOCK):
        block = events[start : start + evaluation.BLOCK]
        progress.say(f"in float64 and in integers: sample {start + 1:,} of {len(events):,}")
        before = real_weights.run(quantized.net, quantized.neurons, quantized.weights, quantized.biases, block)
        runs = (before, evaluation.simulate(quantized.net, block))
        for side, run in enumerate(runs):
            spikes[:, side] += run.events[1:]
            classes[side].append(run.classes(quantized.net))
        undecided.append(runs[1].undecided(quantized.net))
        counted += runs[1].events
    before, after = (np.concatenate(parts) for parts in classes)
    samples = f"the {len(events):,} samples"
    caveats = cautions.silent_layers(quantized.net, counted.tolist(), samples)
    if labels is not None:
        caveats += cautions.of_classes(after, np.concatenate(undecided), labels, samples)
    caveats += _beyond_limits(quantized.net, events, samples)
    accuracy = None if labels is None else {"before": _accuracy(before, labels), "after": _accuracy(after, labels)}
    rows = [
        {"layer": name, "before": int(old), "after": int(new)}
        for name, (old, new) in zip(quantized.net.names, spikes, strict=True)
    ]
    return Effect(data, len(events), accuracy, float((before == after).mean()), rows, caveats)


def _beyond_limits(net: IntNet, events: np.ndarray, samples: str) -> list[str]:
    """A warning for each layer in which a limit changes a value."""
    uses = {row.name: sum(use.beyond for use in row.uses.values()) for row in headroom.measure(net, events).layers}
    return [
        f"{name}: a sum or a state leaves its range {beyond:,} times on {samples}; a lower --scale helps"
        for name, beyond in uses.items()
        if beyond
    ]


class _Rounding:
    """Makes integers of each layer's weights and biases for `netx.load`, and keeps how.

    outline: the layers with synapses, whose neurons are known. chosen: whether each may have a factor beside `unit`.
    sums: the factor of what each layer adds up: its own times that of the messages that it reads.
    """

    def __init__(self, bits: int, unit: float, outline: Sequence[Layer], chosen: bool):
        self.layers: list[Fit] = []
        self.sums: list[float] = []
        self._bits, self._unit, self._outline, self._chosen = bits, unit, outline, chosen

    def __call__(self, _: object, name: str, values: np.ndarray) -> np.ndarray:
        if name == "weight":
            return self._weights(values * self._unit)
        fit, whole = self.layers[-1], bool((values == np.trunc(values)).all())
        bias = fit.bias = values * (1 if whole else self._unit)
        return np.rint(bias * self.sums[-1]).astype(np.int64)

    def _weights(self, weight: np.ndarray) -> np.ndarray:
        number = len(self.layers)
        graded = number > 0 and self._outline[number - 1].neuron.kind != "cuba"
        arriving = self.sums[-1] if graded else 1.0
        largest = _largest_factor(self._outline[number]) / arriving if self._chosen else None
        integers, fit = _fitted(weight, self._bits, largest, self._unit == SLAYER_UNIT)
        self.layers.append(fit)
        self.sums.append(arriving * fit.factor)
        return integers


def _signs(_: object, name: str, values: np.ndarray) -> np.ndarray:
    """Even weights of the same signs: a `Rounding` where only what a file says beside its weights matters."""
    return np.where(values < 0, -2, 2) if name == "weight" else np.trunc(values).astype(np.int64)


def _synaptic(net: IntNet) -> Iterator[Dense | Conv]:
    return (layer for layer in net.layers if not isinstance(layer, Input))


def _unit(net: IntNet, values: list[np.ndarray]) -> float:
    """64 where weights are SLAYER's but thresholds are integers as hardware holds them, else 1. Thresholds of
    sigma-delta neurons tell nothing, they may be 0."""
    largest = max(float(np.abs(weight).max()) for weight in values)
    whole = all((weight == np.trunc(weight)).all() for weight in values)
    neurons = [layer.neuron for layer in _synaptic(net)]
    reachable = [neuron.threshold.max() for neuron in neurons if neuron.kind == "cuba" and neuron.can_fire]
    fits = largest * SLAYER_UNIT <= -WEIGHT_MIN and all(_FAR * largest <= threshold for threshold in reachable)
    return SLAYER_UNIT if not whole and fits and (reachable or net.is_sigma_delta) else 1


def _largest_factor(layer: Layer) -> float:
    """The largest factor at which thresholds and biases stay within their bits; of sigma-delta neurons the one at which
    sums do, as far as they did before."""
    neuron = layer.neuron
    if neuron.kind != "cuba":
        return 1.0
    threshold = neuron.threshold[neuron.threshold <= THRESHOLD_LIMIT]
    bias = np.abs(neuron.bias).max() if neuron.bias is not None else 0
    return float(min(THRESHOLD_LIMIT / max(threshold.max(initial=0), 1), _BIAS_MAX / max(bias, 1)))


def _fitted(weight: np.ndarray, bits: int, largest: float | None, slayers: bool) -> tuple[np.ndarray, Fit]:
    """Integers for a layer's weights and how they were made.

    largest: the largest factor that is tried, None for 1 whatever it loses. slayers: whether weights are in SLAYER's
    units, of which those that fit 8 bits keep the factor 1.
    """
    steps = rounding.steps(bits)
    as_they_are = min((rounding.rounded(weight, 1.0, step, bits) for step in steps), key=_error)
    fits = as_they_are[1].clipped == 0
    if largest is None or as_they_are[1].error == 0 or (slayers and fits and bits == 8):
        return as_they_are
    factors = rounding.factors(weight, bits, largest)
    return min((rounding.rounded(weight, factor, step, bits) for factor in factors for step in steps), key=_error)


def _error(fitted: tuple[np.ndarray, Fit]) -> float:
    return fitted[1].error


def _rescaled(neuron: Neuron, sums: float) -> Neuron:
    """Neurons whose thresholds are multiplied as the layer's sums are; one that is never reached stays so."""
    if neuron.kind == "cuba":
        scaled = np.clip(np.rint(neuron.threshold * sums), 0, THRESHOLD_LIMIT).astype(np.int32)
        return replace(neuron, threshold=np.where(neuron.threshold > THRESHOLD_LIMIT, neuron.threshold, scaled))
    return neuron if neuron.kind == "sigma" else replace(neuron, threshold=round(neuron.threshold * sums))


def _lowest(neuron: Neuron) -> int | None:
    return None if neuron.kind == "sigma" else int(np.min(neuron.threshold))


def _accuracy(classes: np.ndarray, labels: np.ndarray) -> float:
    return float((classes == labels).mean())
