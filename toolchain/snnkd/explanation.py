"""Why do two traces differ? The sums behind a first difference, and the usual causes where one of them explains it.

A cause is only named where it reproduces everything that an engine recorded of the neuron in that sample: s, u and v of
all steps. The inputs are the same in both traces, because a first difference is in the earliest layer that has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np

from snnkd import replay
from snnkd.fixedpoint import STATE_LIMIT, STATE_SHIFT, THRESHOLD_LIMIT, shift, wrap24, wrap32, wrap_current
from snnkd.network import Dense, IntNet, Layer
from snnkd.replay import Replay, Rules, Step, Synapses, wrapped
from snnkd.trace import LayerTrace, SpikeTrace

_WEIGHT_BITS = 9  # with the sign: [-256, 255]
_NAMED = 3  # as many explanations of one kind are worth printing; more explain nothing
_UNLIMITED = Rules(sum_wraps=False, current_wraps=False, correction="none", clips=False)
_TRIED = 256  # synapses that are looked at over all steps


@dataclass(frozen=True)
class Sums:
    """What led to the value of one neuron at one step.

    engine: the other one. synapses: how many the neuron has; events: how many arrived through them, `delayed` of them
    sent at an earlier step. current_decay, voltage_decay, weight_exp: its own; weight_exp is None but for dense layers.
    expected: by the definition, on the inputs that the expected trace has. actual: the other engine's u, v and s as
    recorded, and what follows from them with the same parameters, a included; None where that is not known.
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


@dataclass(frozen=True)
class Recorded:
    """What an engine's trace has of one neuron in one sample, by step; u and v None without states."""

    engine: str
    s: list[int]
    u: list[int] | None
    v: list[int] | None
    v_last: int | None

    @classmethod
    def of(cls, engine: str, layer: LayerTrace, sample: int, neuron: tuple[int, ...]) -> Recorded:
        s, u, v = (
            None if x is None else x[(sample, slice(None), *neuron)].tolist() for x in (layer.spikes, layer.u, layer.v)
        )
        return cls(engine, s or [], u, v, None if layer.v_last is None else int(layer.v_last[(sample, *neuron)]))

    def equals(self, steps: list[Step]) -> bool:
        """Whether `steps` are what was recorded; a trace holds u and v in 32 bits."""
        return (
            self.s == [step.s for step in steps]
            and (self.u is None or self.u == [wrapped(step.u, 32) for step in steps])
            and (self.v is None or self.v == [wrapped(step.v, 32) for step in steps])
            and (self.v_last is None or self.v_last == wrapped(steps[-1].v, 32))
        )


@dataclass(frozen=True)
class Case:
    """The neuron, by the definition; number and layer are those of its layer, step the one that differs first."""

    again: Replay
    synapses: Synapses
    definition: list[Step]
    recorded: Recorded
    number: int
    layer: Layer
    step: int

    def explained_by(self, other: Replay, rules: Rules = replay.DEFINITION) -> bool:
        return self.recorded.equals(other.run(rules))


# (name, rules, what they say, how a step shows it); of several with one name, the first that applies.
RULES = (
    ("overflow", Rules(sum_wraps=False), "the sum of weight * event does not wrap", "that sum is {total:,}"),
    ("overflow", Rules(current_wraps=False), "a << 6 and u do not wrap in 32 bits", "a is {a:,}"),
    ("overflow", Rules(correction="none"), "u is not corrected by 2^24", "u is {u_exact:,} before that"),
    ("overflow", Rules(correction="modulo"), "u wraps modulo 2^24, also further out and at 2^23", "u is {u_exact:,}"),
    ("overflow", Rules(correction="clip"), "u is clipped instead of corrected by 2^24", "u is {u_exact:,} before that"),
    ("saturation", Rules(clips=False), "v is not clipped at +-(2^23 - 1)", "v is {v_exact:,} before that"),
    (
        "limits",
        _UNLIMITED,
        "nothing wraps or is clipped, as in lava-dl's own neuron",
        "u is {u_exact:,}, v {v_exact:,}",
    ),
    (
        "threshold",
        Rules(fires_at_threshold=True),
        "neurons also fire where v equals the threshold, as lava-dl's own do in float32",
        "both are {v_exact:,}",
    ),
    ("rounding", Rules(floors=True), "decays round down instead of towards zero", "u was {u_before:,}, v {v_before:,}"),
)


def explain(
    net: IntNet, expected: SpikeTrace, actual: SpikeTrace, place: tuple[int, int, int, tuple[int, ...]]
) -> tuple[Sums, tuple[Cause, ...]]:
    """The sums of one neuron at one step, and the causes that explain how the traces differ there.

    place: number of the layer, sample, step and neuron ([c, h, w] or [i]) of the first difference.
    """
    number, sample, step, neuron = place
    again, synapses = replay.of_neuron(net, expected, number, sample, neuron)
    definition = again.run()
    want, have = (Recorded.of(one.engine, one.layers[number], sample, neuron) for one in (expected, actual))
    arriving = synapses.active(step) != 0
    sums = Sums(
        actual.engine,
        len(arriving),
        int(arriving.sum()),
        int((arriving & (synapses.delay > 0)).sum()),
        again.current_decay,
        again.voltage_decay,
        again.weight_exp if isinstance(net.layers[number], Dense) else None,
        definition[step],
        _from_states(again, have, definition[step], step),
    )
    swapped = have.equals(definition)
    case = Case(again, synapses, definition, want if swapped else have, number, net.layers[number], step)
    found = _causes(case)
    if swapped:
        text = f"the definition has what {actual.engine} has: it is {expected.engine} that differs"
        found = (Cause("expected", text), *found)
    return sums, found


def _from_states(again: Replay, seen: Recorded, expected: Step, step: int) -> dict[str, int | None]:
    """The keys of a Step, as far as the recorded states tell them."""
    found: dict[str, int | None] = dict.fromkeys(Step.__dataclass_fields__)
    found |= {"bias": expected.bias, "threshold": expected.threshold, "s": seen.s[step]}
    if seen.u is not None:
        before, u = seen.u[step - 1] if step else 0, seen.u[step]
        decayed = replay.decayed(before, again.current_decay)
        found |= {"u_before": before, "u_decayed": decayed, "u": u}
        exact = (u + k * 2 * STATE_LIMIT for k in (-1, 0, 1))  # corrected or not
        fitting = [one for one in exact if (one - decayed) % (1 << STATE_SHIFT) == 0]
        if fitting:
            u_exact = min(fitting, key=lambda one: abs(one - expected.u_exact))
            activation = u_exact - decayed
            found |= {"u_exact": u_exact, "activation": activation, "a": activation >> STATE_SHIFT}
    if seen.v is not None:
        before = seen.v[step - 1] if step else 0
        found |= {"v_before": before, "v_decayed": replay.decayed(before, again.voltage_decay), "v": seen.v[step]}
        if seen.u is not None:
            found["v_exact"] = replay.decayed(before, again.voltage_decay) + seen.u[step] + expected.bias
    elif seen.v_last is not None and step == len(seen.s) - 1:
        found["v"] = seen.v_last
    return found


def _causes(case: Case) -> tuple[Cause, ...]:
    named: dict[str, str] = {}
    for name, rules, what, shown in RULES:
        if name not in named and not (name == "limits" and named) and case.explained_by(case.again, rules):
            step = _first_change(case, case.again.run(rules))
            named[name] = f"{what}; first at step {step}, where {shown.format(**asdict(case.definition[step]))}"
    for functions in (FUNCTIONS, ONE_BIT):
        if functions is FUNCTIONS or not named:
            named |= {name: text for name, function in functions.items() if (text := function(case))}
    return tuple(Cause(name, f"{case.recorded.engine} has what follows if {text}") for name, text in named.items())


def _first_change(case: Case, steps: list[Step]) -> int:
    changes = (
        (one.u, one.v, one.s) != (other.u, other.v, other.s) for one, other in zip(case.definition, steps, strict=True)
    )
    return next((t for t, changed in enumerate(changes) if changed), case.step)


def _delay(case: Case) -> str | None:
    if not isinstance(case.layer, Dense) or case.layer.delay is None:
        return None
    delay = case.layer.delay
    others = {"the delays of this layer are ignored": np.zeros_like(case.synapses.delay)}
    if delay.shape[0] == delay.shape[1]:
        others["the delays are taken by input instead of by output, or the other way"] = delay.T[case.synapses.place]
    for text, other in others.items():
        sums = replace(case.synapses, delay=other).sums()
        if case.explained_by(replace(case.again, sums=sums)):
            return text
    return None


def _bias(case: Case) -> str | None:
    for early in range(1, case.number + 2) if case.again.bias else ():
        if case.explained_by(case.again, Rules(early_bias=early)):
            return f"its bias has come in {early} time{'s' * (early > 1)} before the first input"
    return None


def _weight(case: Case) -> str | None:
    """One bit of one synapse."""
    weight, place = case.synapses.weight, case.synapses.place
    found = []
    candidates = list(_fitting_weights(case))
    for index, other in candidates if len(candidates) <= _TRIED else ():
        changed = weight.copy()
        changed[index] = other
        if case.explained_by(replace(case.again, sums=replace(case.synapses, weight=changed).sums())):
            where = ", ".join(str(int(axis[index])) for axis in place)
            found.append(f"weight[{where}] is {other} instead of {weight[index]}")
    return _either(found)


def _fitting_weights(case: Case) -> Iterator[tuple[int, int]]:
    """(synapse, weight) one bit apart from the network's that give the u recorded at the step that differs."""
    if case.recorded.u is None or not case.synapses.weight.size:
        return
    before = case.recorded.u[case.step - 1] if case.step else 0
    decayed = replay.decayed(before, case.again.current_decay)
    weight, active = case.synapses.weight, case.synapses.active(case.step)
    sums = np.array(case.again.sums[case.step])[np.unique(case.synapses.delay, return_inverse=True)[1]]
    for bit in range(_WEIGHT_BITS):
        sign = bit == _WEIGHT_BITS - 1
        other = np.where(weight < 0, weight + (1 << bit), weight - (1 << bit)) if sign else weight ^ (1 << bit)
        changed = sums + (other - weight) * active
        exponent = case.again.weight_exp
        if exponent is None:
            a = wrap24(changed)
        else:
            a = shift(wrap32(changed), exponent) - shift(wrap32(sums), exponent) + case.definition[case.step].a
        u, _ = wrap_current(wrap32(decayed + wrap32(a << STATE_SHIFT)))
        for index in np.flatnonzero((u == case.recorded.u[case.step]) & (active != 0)):
            yield int(index), int(other[index])


def _parameter(case: Case) -> str | None:
    """One bit of a decay or the threshold."""
    found = []
    for name, largest in (("current_decay", 4096), ("voltage_decay", 4096), ("threshold", THRESHOLD_LIMIT)):
        value = getattr(case.again, name)
        for other in (value ^ (1 << bit) for bit in range(largest.bit_length())):
            if other <= largest and case.explained_by(replace(case.again, **{name: other})):
                found.append(f"its {name} is {other} instead of {value}")
    return _either(found)


def _either(found: list[str]) -> str | None:
    return " or ".join(found) if 1 <= len(found) <= _NAMED else None


FUNCTIONS: dict[str, Callable[[Case], str | None]] = {"delay": _delay, "bias": _bias}
# Only asked where no other cause applies: one bit can imitate a rule.
ONE_BIT: dict[str, Callable[[Case], str | None]] = {"weight": _weight, "parameter": _parameter}
