"""Why do two traces differ? The sums behind a first difference, and the usual causes where one of them explains it.

A cause is only named where it reproduces everything that an engine recorded of the neuron in that sample: s, u and v of
all steps. The inputs are the same in both traces, because a first difference is in the earliest layer that has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice

import numpy as np

from snnkd.analysis import graded_explanation, replay
from snnkd.analysis.graded_explanation import GradedSums
from snnkd.analysis.replay import OneNeuron, Recorded, Step
from snnkd.engines.reference.rules import DEFINITION, UNLIMITED, Limit, Rules
from snnkd.ir.arithmetic import (
    DECAY_BITS,
    STATE_LIMIT,
    STATE_SHIFT,
    THRESHOLD_LIMIT,
    shift,
    wrap24,
    wrap32,
    wrap_current,
)
from snnkd.ir.network import Cuba, Dense, IntNet
from snnkd.ir.trace import SpikeTrace

_WEIGHT_BITS = 9  # with the sign: [-256, 255]
_NAMED = 3  # as many explanations of one kind are worth printing; more explain nothing
_TRIED = 256  # synapses that are looked at over all steps
_WEIGHTS = 1 << 22  # that neurons which run side by side may have


@dataclass(frozen=True)
class Sums:
    """What led to the value of one neuron at one step.

    engine: the one that is compared with the definition. synapses: how many the neuron has; events: how many arrived
    through them, `delayed` of them sent at an earlier step. current_decay, voltage_decay, weight_exp: the neuron's;
    weight_exp is None but for dense layers.
    expected: by the definition, on the inputs that the expected trace has. actual: u, v and s as `engine` recorded
    them, and what follows from them with the same parameters, a included; None where that is not known.
    """

    engine: str
    synapses: int
    events: int
    delayed: int
    current_decay: int
    voltage_decay: int
    weight_exp: int | None
    expected: Step
    actual: dict[str, int | None]


@dataclass(frozen=True)
class Cause:
    """name: that of one of RULES, FUNCTIONS or ONE_BIT, or `expected`; text: what it is and where it shows."""

    name: str
    text: str


@dataclass(frozen=True, eq=False)
class Case:
    """What a cause has to explain: the neuron that differs, its steps by the definition, and what was recorded instead.

    number: that of its layer. step: the first one that differs.
    """

    neuron: OneNeuron
    definition: list[Step]
    recorded: Recorded
    number: int
    step: int

    def explained_by(self, neurons: Iterable[OneNeuron], rules: Rules = DEFINITION, early: int = 0) -> list[bool]:
        """Says of each of `neurons` whether, by `rules`, it does what was recorded. early: as in `replay.again`."""
        remaining, explained = iter(neurons), list[bool]()
        at_once = max(1, _WEIGHTS // (1 + len(self.neuron.weight)))
        while group := list(islice(remaining, at_once)):
            explained += self.recorded.equals(replay.again(group, rules, early).recorded(), Cuba.membrane).tolist()
        return explained


def _uncounted(function: Callable[[np.ndarray], np.ndarray]) -> Limit:
    return lambda values: (function(values), 0)


# (name, rules, how an engine behaves by them, how a step shows it); of several with one name, the first that applies.
RULES = (
    (
        "overflow",
        Rules(dense_sum=UNLIMITED.dense_sum, conv_sum=UNLIMITED.conv_sum),
        "the sum of weight * event does not wrap",
        "that sum is {total:,}",
    ),
    (
        "overflow",
        Rules(activation=UNLIMITED.activation, current=_uncounted(lambda u: wrap_current(u)[0])),
        "a << 6 and u do not wrap in 32 bits",
        "a is {a:,}",
    ),
    ("overflow", Rules(current=_uncounted(wrap32)), "u is not corrected by 2^24", "u is {u_exact:,} before that"),
    (
        "overflow",
        Rules(current=_uncounted(wrap24)),
        "u wraps modulo 2^24, also further out and at 2^23",
        "u is {u_exact:,}",
    ),
    (
        "overflow",
        Rules(current=_uncounted(lambda u: np.clip(wrap32(u), -STATE_LIMIT, STATE_LIMIT - 1))),
        "u is clipped instead of corrected by 2^24",
        "u is {u_exact:,} before that",
    ),
    (
        "saturation",
        Rules(voltage=UNLIMITED.voltage),
        "v is not clipped at +-(2^23 - 1)",
        "v is {v_exact:,} before that",
    ),
    (
        "limits",
        UNLIMITED,
        "nothing wraps or is clipped, as in lava-dl's own neuron",
        "u is {u_exact:,}, v {v_exact:,}",
    ),
    (
        "threshold",
        Rules(fires=np.greater_equal),
        "neurons also fire where v equals the threshold, as lava-dl's own do in float32",
        "both are {v_exact:,}",
    ),
    (
        "rounding",
        Rules(decay=lambda state, fraction: state * ((1 << DECAY_BITS) - fraction) >> DECAY_BITS),
        "decays round down instead of towards zero",
        "u was {u_before:,}, v {v_before:,}",
    ),
)


def explain(
    net: IntNet, expected: SpikeTrace, actual: SpikeTrace, place: tuple[int, int, int, tuple[int, ...]]
) -> tuple[Sums | GradedSums, tuple[Cause, ...]]:
    """Finds the sums of one neuron at one step, and the causes that explain how the traces differ there.

    place: number of the layer, sample, step and neuron ([c, h, w] or [i]) of the first difference.
    """
    number, sample, _, index = place
    return explain_recorded(net, expected, Recorded.of(actual.engine, actual.layers[number], sample, index), place)


def explain_recorded(
    net: IntNet, expected: SpikeTrace, of_actual: Recorded, place: tuple[int, int, int, tuple[int, ...]]
) -> tuple[Sums | GradedSums, tuple[Cause, ...]]:
    """Finds the same as `explain` where of the other trace no more is known than `of_actual`, of that neuron."""
    number, sample, step, index = place
    if net.layers[number].neuron.kind != "cuba":
        graded, causes = graded_explanation.explain(net, expected, of_actual, place)
        return graded, tuple(Cause(*cause) for cause in causes)
    neuron = replay.cut_out(net, expected, number, sample, index)
    definition = neuron.steps()
    of_expected = Recorded.of(expected.engine, expected.layers[number], sample, index)
    arriving = neuron.arriving(step) != 0
    sums = Sums(
        engine=of_actual.engine,
        synapses=int(neuron.exists.sum()),
        events=int(arriving.sum()),
        delayed=int((arriving & (neuron.delay > 0)).sum()),
        current_decay=neuron.current_decay,
        voltage_decay=neuron.voltage_decay,
        weight_exp=neuron.layer.weight_exp if isinstance(neuron.layer, Dense) else None,
        expected=definition[step],
        actual=_from_states(neuron, of_actual, definition[step], step),
    )
    swapped = of_actual.equals(replay.again([neuron]).recorded(), Cuba.membrane)[0]
    causes = _causes(Case(neuron, definition, of_expected if swapped else of_actual, number, step))
    if swapped:
        text = f"the definition has what {of_actual.engine} has: it is {expected.engine} that differs"
        causes = (Cause("expected", text), *causes)
    return sums, causes


def _from_states(neuron: OneNeuron, recorded: Recorded, expected: Step, step: int) -> dict[str, int | None]:
    """The keys of a Step, as far as the recorded states tell them."""
    known: dict[str, int | None] = dict.fromkeys(Step.__dataclass_fields__)
    known |= {"bias": expected.bias, "threshold": expected.threshold, "s": recorded.at("s", step)}
    before, u = recorded.at("u", step - 1), recorded.at("u", step)
    known |= {"u_before": before, "u": u}
    if before is not None and u is not None:
        u_decayed = _decayed(before, neuron.current_decay)
        known["u_decayed"] = u_decayed
        exact = (u + k * 2 * STATE_LIMIT for k in (-1, 0, 1))  # corrected or not
        fitting = [value for value in exact if (value - u_decayed) % (1 << STATE_SHIFT) == 0]
        if fitting:
            u_exact = min(fitting, key=lambda value: abs(value - expected.u_exact))
            activation = u_exact - u_decayed
            known |= {"u_exact": u_exact, "activation": activation, "a": activation >> STATE_SHIFT}
    if "v" in recorded.series:
        before = recorded.at("v", step - 1)
        known |= {"v_before": before, "v": recorded.at("v", step)}
        if before is not None:
            v_decayed = _decayed(before, neuron.voltage_decay)
            known |= {"v_decayed": v_decayed, "v_exact": None if u is None else v_decayed + u + expected.bias}
    elif recorded.v_last is not None and step == neuron.events.shape[0] - 1:
        known["v"] = int(recorded.v_last)
    return known


def _decayed(state: int, fraction: int) -> int:
    return int(DEFINITION.decay(np.array(state), np.array(fraction)))


def _causes(case: Case) -> tuple[Cause, ...]:
    named: dict[str, str] = {}
    for name, rules, behaviour, evidence in RULES:
        if name not in named and not (name == "limits" and named) and all(case.explained_by([case.neuron], rules)):
            step = _first_change(case, rules)
            named[name] = f"{behaviour}; first at step {step}, where {evidence.format(**asdict(case.definition[step]))}"
    for functions in (FUNCTIONS, ONE_BIT):
        if functions is FUNCTIONS or not named:
            named |= {name: text for name, function in functions.items() if (text := function(case))}
    return tuple(Cause(name, f"{case.recorded.engine} has what follows if {text}") for name, text in named.items())


def _first_change(case: Case, rules: Rules) -> int:
    """The first step at which `rules` change the neuron, else the one that differs."""
    usual, changed = replay.again([case.neuron]), replay.again([case.neuron], rules)
    differing = [usual.u != changed.u, usual.v != changed.v, usual.s != changed.s]
    steps = np.flatnonzero(np.logical_or.reduce(differing))
    return int(steps[0]) if len(steps) else case.step


def _delay(case: Case) -> str | None:
    """The delays of the layer, ignored or taken by the wrong end."""
    neuron = case.neuron
    if not isinstance(neuron.layer, Dense) or neuron.layer.delay is None:
        return None
    delay = neuron.layer.delay
    texts = {"the delays of this layer are ignored": np.zeros_like(neuron.delay)}
    if delay.shape[0] == delay.shape[1]:
        texts["the delays are taken by input instead of by output, or the other way"] = delay.T[neuron.place]
    explained = case.explained_by(replace(neuron, delay=delays) for delays in texts.values())
    return next((text for text, fits in zip(texts, explained, strict=True) if fits), None)


def _bias(case: Case) -> str | None:
    """Bias that has come in at steps before the first input."""
    for early in range(1, case.number + 2) if case.neuron.bias else ():
        if all(case.explained_by([case.neuron], early=early)):
            return f"its bias has come in {early} time{'s' * (early > 1)} before the first input"
    return None


def _weight(case: Case) -> str | None:
    """One bit of one synapse."""
    weight, place = case.neuron.weight, case.neuron.place
    candidates = list(_fitting_weights(case))
    if len(candidates) > _TRIED:
        return None

    def changed(index: int, value: int) -> OneNeuron:
        return replace(case.neuron, weight=np.where(np.arange(len(weight)) == index, value, weight))

    texts = []
    explained = case.explained_by(changed(*candidate) for candidate in candidates)
    for (index, value), fits in zip(candidates, explained, strict=True):
        if fits:
            where = ", ".join(str(int(axis[index])) for axis in place)
            texts.append(f"weight[{where}] is {value} instead of {weight[index]}")
    return _either(texts)


def _fitting_weights(case: Case) -> Iterator[tuple[int, int]]:
    """(synapse, weight) one bit apart from the network's that give the u recorded at the step that differs."""
    neuron = case.neuron
    before, recorded = case.recorded.at("u", case.step - 1), case.recorded.at("u", case.step)
    if before is None or recorded is None or not neuron.weight.size:
        return
    u_decayed = _decayed(before, neuron.current_decay)
    weight, active = neuron.weight, neuron.arriving(case.step)
    _, group = np.unique(neuron.delay, return_inverse=True)  # synapses of each delay sum on their own
    sums = np.zeros(group.max() + 1, np.int64)
    np.add.at(sums, group, weight * active)
    for bit in range(_WEIGHT_BITS):
        sign = bit == _WEIGHT_BITS - 1
        value = np.where(weight < 0, weight + (1 << bit), weight - (1 << bit)) if sign else weight ^ (1 << bit)
        changed = sums[group] + (value - weight) * active
        if isinstance(neuron.layer, Dense):
            after, before = (
                shift(DEFINITION.dense_sum(total)[0], neuron.layer.weight_exp) for total in (changed, sums[group])
            )
            a = case.definition[case.step].a + after - before
        else:
            a = DEFINITION.conv_sum(changed)[0]
        u, _ = DEFINITION.current(u_decayed + DEFINITION.activation(a << STATE_SHIFT)[0])
        for index in np.flatnonzero((u == recorded) & (active != 0)):
            yield int(index), int(value[index])


def _parameter(case: Case) -> str | None:
    """One bit of a decay or the threshold."""
    changes: dict[str, OneNeuron] = {}
    all_decays = 1 << DECAY_BITS
    for name, largest in (("current_decay", all_decays), ("voltage_decay", all_decays), ("threshold", THRESHOLD_LIMIT)):
        value = getattr(case.neuron, name)
        for changed in (value ^ (1 << bit) for bit in range(largest.bit_length())):
            if changed <= largest:
                text = f"its {name} is {changed} instead of {value}"
                changes[text] = replace(case.neuron, **{name: changed})
    explained = case.explained_by(changes.values())
    return _either([text for text, fits in zip(changes, explained, strict=True) if fits])


def _either(texts: list[str]) -> str | None:
    """The explanations in one sentence; None where there is none, or so many that they explain nothing."""
    return " or ".join(texts) if 1 <= len(texts) <= _NAMED else None


FUNCTIONS: dict[str, Callable[[Case], str | None]] = {"delay": _delay, "bias": _bias}
# Only asked where no other cause applies: one bit can imitate a rule.
ONE_BIT: dict[str, Callable[[Case], str | None]] = {"weight": _weight, "parameter": _parameter}
