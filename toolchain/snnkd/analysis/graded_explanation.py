"""Why do two traces of sigma-delta neurons differ? What led to a first difference, and the usual causes of one.

As `explanation` does for CUBA neurons: the neuron is cut out, runs again by the definition and by rules that differ in
one thing, and a cause is named where it reproduces all that an engine recorded of that neuron in that sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from math import prod

import numpy as np

from snnkd.analysis import replay
from snnkd.analysis.replay import Recorded
from snnkd.engines.reference.definition import run
from snnkd.engines.reference.rules import DEFINITION, UNLIMITED, Rules, no_limit
from snnkd.ir.arithmetic import shift, wrap24, wrap32
from snnkd.ir.network import Conv, Delta, Dense, Input, IntNet, Layer, Sigma, SigmaDelta, per_neuron
from snnkd.ir.trace import LayerTrace, SpikeTrace

_WEIGHT_BITS = 9  # with the sign: [-256, 255]
_NAMED = 3  # as many explanations of one kind are worth printing; more explain nothing
_TRIED = 64  # synapses that are looked at over all steps
_WIDE = no_limit((1 << 31) - 1)  # no wrap, and a trace still holds the state


@dataclass(frozen=True)
class GradedStep:
    """One neuron at one step, in the order in which it is computed; None for what its kind does not have.

    total: the sum of weight * message, of a Delta encoder its input; a: the same behind weight_exp or in 24 bits, or
    shifted by the exponents. bias and threshold: shifted too. act: what is activated. change: act - act_before +
    residue_before. error: what is compared with the threshold. s: what is sent.
    """

    total: int
    a: int
    sigma_before: int | None
    sigma: int | None
    bias: int | None
    act: int | None
    act_before: int | None
    residue_before: int | None
    change: int | None
    error: int | None
    threshold: int | None
    s: int
    residue: int | None


@dataclass(frozen=True)
class GradedSums:
    """What led to the value of one neuron at one step.

    engine: the one that is compared with the definition. kind: of the neuron. synapses: how many it has; events: how
    many messages arrived through them, `delayed` of them sent at an earlier step. weight_exp: None but for a dense one;
    state_exp: by how much what is sent is shifted down, None for Sigma. expected: by the definition. actual: what
    `engine` recorded, None where it did not.
    """

    engine: str
    kind: str
    synapses: int
    events: int
    delayed: int
    weight_exp: int | None
    state_exp: int | None
    expected: GradedStep
    actual: dict[str, int | None]


@dataclass(frozen=True, eq=False)
class GradedNeuron:
    """A neuron and what it reads: F messages (T, F) int64 through as many synapses, of a Delta encoder its input.

    weight, delay, place: of the synapses, as of `replay.OneNeuron`. neuron: its parameters, a bias of shape ().
    """

    layer: Layer
    neuron: Delta | SigmaDelta | Sigma
    place: tuple[np.ndarray, ...]
    weight: np.ndarray
    delay: np.ndarray
    events: np.ndarray

    def arriving(self, step: int) -> np.ndarray:
        """Returns the messages that arrive at `step`, (F,) int64."""
        sent = step - self.delay
        return np.where(sent >= 0, self.events[np.maximum(sent, 0), np.arange(len(sent))], 0)

    def again(self, rules: Rules = DEFINITION) -> LayerTrace:
        """Runs the neuron alone, with its states: arrays (1, T, 1, ...)."""
        events, layer = self.events[None], self.layer
        if isinstance(layer, Input):
            alone: Layer = Input((1,), self.neuron)
        elif isinstance(layer, Conv):
            events = events[..., None, None]
            alone = Conv(self.weight[None, :, None, None], self.neuron, (1, 1, 1))
        else:
            delay = None if layer.delay is None else self.delay[None]
            alone = Dense(self.weight[None], self.neuron, layer.weight_exp, delay)
        return run(IntNet(events.shape[2:], (alone,), message_bits=31), events, [rules], states=True).layers[0]

    def step(self, trace: LayerTrace, step: int) -> GradedStep:
        """Returns what a trace of `again` did at `step`."""
        arriving, neuron = self.arriving(step), self.neuron
        total = int(arriving.sum() if isinstance(self.layer, Input) else arriving @ self.weight)
        values: dict[str, int | None] = {"total": total, "a": self._activation(arriving)}
        values |= dict.fromkeys(("sigma_before", "sigma", "bias", "act", "act_before", "residue_before", "change"))
        values |= dict.fromkeys(("error", "threshold", "residue"))
        values |= _at(Recorded.of("reference", trace, 0, (0,) * (trace.spikes.ndim - 2)), step)
        if neuron.kind != "sigma":
            exponent = neuron.spike_exp + neuron.state_exp
            values["threshold"] = neuron.threshold << exponent
            parts = (values["act"], values["act_before"], values["residue_before"])
            values["change"] = parts[0] - parts[1] + parts[2]  # type: ignore[operator]
            error = int(trace.error[0, step - 1].item()) if trace.error is not None and step else 0
            values["error"] = error + values["change"]
            values["bias"] = None if neuron.bias is None else int(neuron.bias) << exponent
        return GradedStep(**values)  # type: ignore[arg-type]

    def _activation(self, arriving: np.ndarray) -> int:
        if isinstance(self.layer, Input):
            assert self.neuron.kind == "delta"
            return int(wrap32(arriving.sum() << (self.neuron.spike_exp + self.neuron.state_exp)))
        if isinstance(self.layer, Conv):
            return int(wrap24(arriving @ self.weight))
        sums = [np.where(self.delay == wait, arriving, 0) @ self.weight for wait in np.unique(self.delay)]
        return sum(int(shift(wrap32(total), self.layer.weight_exp)) for total in sums)


def explain(
    net: IntNet, expected: SpikeTrace, recorded: Recorded, place: tuple[int, int, int, tuple[int, ...]]
) -> tuple[GradedSums, tuple[tuple[str, str], ...]]:
    """Finds what led to one neuron's value at one step, and the causes (name, text) that explain what was recorded of
    it instead.

    place: number of the layer, sample, step and neuron ([c, h, w] or [i]) of the first difference.
    """
    number, sample, step, index = place
    neuron = cut_out(net, expected, number, sample, index)
    definition, arriving = neuron.again(), neuron.arriving(step) != 0
    sums = GradedSums(
        engine=recorded.engine,
        kind=neuron.neuron.kind,
        synapses=len(neuron.weight),
        events=int(arriving.sum()),
        delayed=int((arriving & (neuron.delay > 0)).sum()),
        weight_exp=neuron.layer.weight_exp if isinstance(neuron.layer, Dense) else None,
        state_exp=None if neuron.neuron.kind == "sigma" else neuron.neuron.state_exp,
        expected=neuron.step(definition, step),
        actual=dict.fromkeys(GradedStep.__dataclass_fields__) | _at(recorded, step),
    )
    case = _Case(neuron, recorded, step, sums.expected)
    if case.explained(DEFINITION):
        text = f"the definition has what {recorded.engine} has: it is {expected.engine} that differs"
        return sums, (("expected", text),)
    found = list(_causes(case))
    return sums, tuple((name, f"{recorded.engine} has what follows if {text}") for name, text in found)


def cut_out(net: IntNet, trace: SpikeTrace, number: int, sample: int, index: tuple[int, ...]) -> GradedNeuron:
    """Cuts the neuron [c, h, w] or [i] out of layer `number`, with what that layer reads in one sample of `trace`."""
    _, shape, layer = list(net.inputs())[number]
    source = (trace.input if number == 0 else trace.layers[number - 1].spikes)[sample].astype(np.int64)
    neuron = layer.neuron
    assert neuron.kind != "cuba"
    if neuron.kind == "sigma-delta" and neuron.bias is not None:
        own = np.broadcast_to(per_neuron(neuron.bias, layer.shape), layer.shape)[index]
        neuron = replace(neuron, bias=np.array(own, np.int32))
    if isinstance(layer, Input):
        column = source.reshape(len(source), *shape)[(slice(None), *index)][:, None]
        return GradedNeuron(layer, neuron, (), np.zeros(0, np.int64), np.zeros(1, np.int64), column)
    inputs = np.indices(layer.weight.shape[1:]).reshape(layer.weight.ndim - 1, -1)
    place = (np.full_like(inputs[0], index[0]), *inputs)
    delay = np.zeros_like(inputs[0])
    if isinstance(layer, Conv):
        events = replay.window(layer, index, source.reshape(len(source), *shape))
    else:
        events = source.reshape(len(source), prod(shape))
        delay = delay if layer.delay is None else layer.delay[place].astype(np.int64)
    return GradedNeuron(layer, neuron, place, layer.weight[place].astype(np.int64), delay, events)


def _at(recorded: Recorded, step: int) -> dict[str, int | None]:
    """What was recorded of one neuron at one step, by the names of `GradedStep`."""
    values = {"s": recorded.at("s", step)}
    for name in ("sigma", "act", "residue"):  # error is cleared where something is sent
        values |= {name: recorded.at(name, step), f"{name}_before": recorded.at(name, step - 1)}
    return values


@dataclass(frozen=True, eq=False)
class _Case:
    """What a cause has to explain: the neuron that differs, and what was recorded of it instead."""

    neuron: GradedNeuron
    recorded: Recorded
    step: int
    expected: GradedStep

    def explained(self, rules: Rules, neuron: GradedNeuron | None = None) -> bool:
        """Whether the neuron, or that one instead, does by `rules` what was recorded."""
        again = (neuron or self.neuron).again(rules)
        done = {name: values.reshape(-1, 1) for name, values in {"s": again.spikes, **again.states}.items()}
        return bool(self.recorded.equals(done, self.neuron.neuron.membrane)[0])


# (name, rules, how an engine behaves by them, how the step shows it); of several with one name, the first that applies.
RULES = (
    (
        "overflow",
        Rules(dense_sum=UNLIMITED.dense_sum, conv_sum=UNLIMITED.conv_sum),
        "the sum of weight * message does not wrap",
        "that sum is {total:,}",
    ),
    (
        "overflow",
        Rules(sigma=_WIDE, change=_WIDE),
        "sigma and what follows from it do not wrap in 32 bits",
        "a is {a:,}",
    ),
    (
        "threshold",
        Rules(sends=np.greater),
        "a change that equals the threshold is not sent",
        "the threshold is {threshold:,}",
    ),
    (
        "rounding",
        Rules(scale=lambda sent, bits: np.sign(sent) * (np.abs(sent) >> bits)),
        "messages round towards zero instead of down",
        "the change is {change:,}",
    ),
)


def _causes(case: _Case) -> Iterator[tuple[str, str]]:
    named = set[str]()
    for name, rules, behaviour, evidence in RULES:
        if name not in named and case.neuron.neuron.kind != "sigma" and case.explained(rules):
            named.add(name)
            yield name, f"{behaviour}; here {evidence.format(**asdict(case.expected))}"
    if not named:
        for name, texts in (("weight", list(_weights(case))), ("parameter", list(_parameters(case)))):
            if 1 <= len(texts) <= _NAMED:
                yield name, " or ".join(texts)


def _weights(case: _Case) -> Iterator[str]:
    """One bit of one synapse: what it adds to sigma at the step that differs is what sigma differs by."""
    neuron, sigma = case.neuron, case.recorded.at("sigma", case.step)
    if sigma is None or case.expected.sigma is None or not neuron.weight.size:
        return
    missing = sigma - case.expected.sigma
    exponent = neuron.layer.weight_exp if isinstance(neuron.layer, Dense) else 0
    active, weight = neuron.arriving(case.step), neuron.weight
    tried = 0
    for bit in range(_WEIGHT_BITS):
        sign = bit == _WEIGHT_BITS - 1
        value = np.where(weight < 0, weight + (1 << bit), weight - (1 << bit)) if sign else weight ^ (1 << bit)
        added = shift((value - weight) * active, exponent)
        for index in np.flatnonzero((np.abs(added - missing) <= (exponent < 0)) & (active != 0)):
            tried += 1
            changed = replace(neuron, weight=np.where(np.arange(len(weight)) == index, value, weight))
            if tried <= _TRIED and case.explained(DEFINITION, changed):
                where = ", ".join(str(int(axis[index])) for axis in neuron.place)
                yield f"weight[{where}] is {int(value[index])} instead of {weight[index]}"


def _parameters(case: _Case) -> Iterator[str]:
    """One bit of the threshold or the bias, or no bias at all."""
    own = case.neuron.neuron
    if own.kind == "sigma":
        return
    bits = 31 - own.spike_exp - own.state_exp
    for bit in range(bits):
        threshold = own.threshold ^ (1 << bit)
        if case.explained(DEFINITION, replace(case.neuron, neuron=replace(own, threshold=threshold))):
            yield f"its threshold is {threshold} instead of {own.threshold}"
    if own.kind == "sigma-delta" and own.bias is not None:
        bias = int(own.bias)
        for changed in (0, *(bias ^ (1 << bit) for bit in range(bits))):
            if changed != bias and case.explained(
                DEFINITION, replace(case.neuron, neuron=replace(own, bias=np.array(changed, np.int32)))
            ):
                yield f"its bias is {changed} instead of {bias}"
