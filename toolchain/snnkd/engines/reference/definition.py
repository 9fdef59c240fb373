"""The definition of the integer network in plain numpy. Every other engine must equal it exactly, states included.

Per layer and time step, for input events s (0 or 1, or integers on graded input); each line is exact integer
arithmetic, `wrapN` is two's complement in N bits:

    a = sum over connections of weight * s       dense: wrap32, then << weight_exp (arithmetic >> where negative)
                                                 convolution: wrap24
    u = wrap32(trunc0(u * (4096 - current_decay) / 4096) + wrap32(a << 6))
        then one correction, no modulo: u > 2^23 -> u - 2^24; u <= -2^23 -> u + 2^24
    v = trunc0(v * (4096 - voltage_decay) / 4096) + u + (bias << 6), clipped to +-(2^23 - 1)
    s = v > threshold << 6;  v = 0 where s

Time is local to each layer: u = v = 0 before its first input, all layers see step t at step t, bias comes in at every
step. An event at step t through a synapse of delay d arrives at step t + d; past the last step it is dropped.

The wraps, corrections and clips of these lines, the decays and the comparison are fields of `Rules`, whose defaults are
the definition. `headroom` and `explanation` run the same lines by rules that differ in one of them.

Follows lava-nc 0.10.0 `proc/lif/models.py` (AbstractPyLifModelFixed), `proc/dense/models.py` (PyDenseModelBitAcc,
PyDelayDenseModelBitAcc), `proc/conv/models.py` (PyConvModelFixed), without the step that Lava's synapses are late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from typing_extensions import assert_never

from snnkd.base.errors import FormatError
from snnkd.ir.arithmetic import STATE_SHIFT, decay, saturate_voltage, shift, wrap24, wrap32, wrap_current
from snnkd.ir.events import check_input
from snnkd.ir.network import Conv, Cuba, Dense, IntNet, Layer, Shape, largest_sum, per_neuron
from snnkd.ir.trace import LayerTrace, SpikeTrace

_COLUMNS = 1 << 24  # elements of the unfolded input that one convolution call may hold

# Brings int64 values, whose first dimension is the sample, into a range; also returns how many that changed.
Limit = Callable[[np.ndarray], tuple[np.ndarray, int]]


def _in_24_bits(a: np.ndarray) -> tuple[np.ndarray, int]:
    wrapped = wrap24(a)
    return wrapped, int(np.count_nonzero(wrapped != a))


def _in_32_bits(a: np.ndarray) -> tuple[np.ndarray, int]:
    wrapped = wrap32(a)
    return wrapped, int(np.count_nonzero(wrapped != a))


def _corrected(total: np.ndarray) -> tuple[np.ndarray, int]:
    current, wraps = _in_32_bits(total)
    u, corrected = wrap_current(current)
    return u, wraps + int(np.count_nonzero(corrected))


def _saturated(total: np.ndarray) -> tuple[np.ndarray, int]:
    v, clipped = saturate_voltage(total)
    return v, int(np.count_nonzero(clipped))


@dataclass(frozen=True)
class Rules:
    """What a layer follows where engines are known to differ; the defaults are the definition.

    dense_sum, conv_sum: of the sum of weight * s; activation: of a << 6; current: of the new u; voltage: of the new v,
    in the order in which they are computed. decay: (state, fraction of 4096) to what is left of the state. fires: (v,
    threshold << 6) to where there is a spike.
    """

    dense_sum: Limit = _in_32_bits
    conv_sum: Limit = _in_24_bits
    activation: Limit = _in_32_bits
    current: Limit = _corrected
    voltage: Limit = _saturated
    decay: Callable[[np.ndarray, np.ndarray], np.ndarray] = decay
    fires: Callable[[np.ndarray, np.ndarray], np.ndarray] = np.greater

    def watched(self, watch: Callable[[str, np.ndarray, np.ndarray, int], None]) -> Rules:
        """Returns the same rules, whose limits also tell `watch` their name, the values that came, what became of them
        and how many changed."""

        def telling(name: str, limit: Limit) -> Limit:
            def tell(values: np.ndarray) -> tuple[np.ndarray, int]:
                limited, count = limit(values)
                watch(name, values, limited, count)
                return limited, count

            return tell

        return replace(self, **{name: telling(name, getattr(self, name)) for name in LIMITS})


def no_limit(bound: int) -> Limit:
    """Makes a limit that changes no value of a real network; `bound` keeps the products that follow in 64 bits."""
    return lambda values: (np.clip(values, -bound, bound), 0)


LIMITS = ("dense_sum", "conv_sum", "activation", "current", "voltage")
DEFINITION = Rules()
# Nothing wraps and nothing is clipped.
UNLIMITED = Rules(no_limit(1 << 44), no_limit(1 << 44), no_limit(1 << 50), no_limit(1 << 50), no_limit(1 << 50))


def simulate(net: IntNet, spikes: np.ndarray, states: bool = False) -> SpikeTrace:
    """Runs `net` on integers (N, T, *input shape) as `check_input` takes them; all samples start from u = v = 0.

    Records u and v of every step with `states`, of the last layer also where the readout reads every v. A layer's
    `overflows` counts, per neuron and step, each of these that changed a value: the 24 bit wrap of a convolution's sum,
    the 32 bit wrap of a << 6, that of the current, and the current's correction by 2^24; `saturations` counts the clips
    of v. Raises FormatError for unusable input.
    """
    return run(net, check_input(net, spikes), [DEFINITION] * len(net.layers), states)


def run(net: IntNet, events: np.ndarray, rules: Sequence[Rules], states: bool = False) -> SpikeTrace:
    """Runs `net` as `simulate` does, by the rules of each layer, on events as `check_input` gives them."""
    source, traces = events, []
    for name, layer, own in zip(net.names, net.layers, rules, strict=True):
        kept = states or (layer is net.layers[-1] and net.readout.reads_every_v)
        traces.append(_run_layer(name, layer, source, own, kept))
        source = traces[-1].spikes
    return SpikeTrace("reference", events, tuple(traces))


def _run_layer(name: str, layer: Layer, events: np.ndarray, rules: Rules, states: bool) -> LayerTrace:
    """One layer on the events (N, T, *shape) that it reads."""
    samples, steps = events.shape[:2]
    shape = (samples, *layer.shape)
    spikes = np.zeros((samples, steps, *layer.shape), np.uint8)
    recorded = [np.zeros(spikes.shape, np.int32) for _ in "uv"] if states else None
    u, v = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    bias = _bias(layer, events)
    overflows = saturations = 0
    if layer.neuron.kind == "cuba":
        neuron = layer.neuron
    else:
        assert_never(layer.neuron)
    for t, (a, wraps) in enumerate(_sums(layer, events, rules)):
        u, v, spikes[:, t], overflowed, clipped = _step(neuron, layer.shape, bias, a, u, v, rules)
        overflows += wraps + overflowed
        saturations += clipped
        if recorded:
            recorded[0][:, t], recorded[1][:, t] = u, v
    every_u, every_v = recorded or (None, None)
    return LayerTrace(name, spikes, v.astype(np.int32), every_u, every_v, overflows, saturations)


def _step(
    neuron: Cuba, shape: Shape, bias: np.ndarray, a: np.ndarray, u: np.ndarray, v: np.ndarray, rules: Rules
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int]:
    """One time step of CUBA-LIF neurons: (u, v, s, overflows, saturations). All arrays (N, *shape) int64."""
    activation, wraps = rules.activation(a << STATE_SHIFT)
    u, corrections = rules.current(rules.decay(u, per_neuron(neuron.current_decay, shape)) + activation)
    v, clips = rules.voltage(rules.decay(v, per_neuron(neuron.voltage_decay, shape)) + u + (bias << STATE_SHIFT))
    s = rules.fires(v, per_neuron(neuron.threshold, shape) << STATE_SHIFT)
    return u, np.where(s, 0, v), s, wraps + corrections, clips


def _bias(layer: Layer, events: np.ndarray) -> np.ndarray:
    """Bias mantissa that broadcasts over (N, *layer.shape): on an input layer the image, cast to int16 as Lava does."""
    if layer.kind == "input":
        return events[:, 0].astype(np.int16).astype(np.int64)
    bias = layer.neuron.bias
    return np.zeros((), np.int64) if bias is None else per_neuron(bias, layer.shape)


def _sums(layer: Layer, events: np.ndarray, rules: Rules) -> Iterator[tuple[np.ndarray, int]]:
    """For each step: a, (N, *layer.shape) int64, and how many convolution sums wrapped."""
    steps = events.shape[1]
    if layer.kind == "input":
        yield from ((np.zeros((1,) * events[:, 0].ndim, np.int64), 0) for _ in range(steps))
    elif layer.kind == "dense":
        if layer.delay is not None:
            yield from _delayed_sums(layer, layer.delay, events, rules)
            return
        weight = layer.weight.astype(_exact_dtype(layer, events))
        yield from _each_step(events, lambda now: (_dense_sum(weight, layer.weight_exp, now, rules), 0))
    elif layer.kind == "conv":
        weight = layer.weight.astype(_exact_dtype(layer, events))
        yield from _each_step(events, lambda now: rules.conv_sum(correlate(layer, weight, now)))
    else:
        assert_never(layer)


def _each_step(
    events: np.ndarray, sums: Callable[[np.ndarray], tuple[np.ndarray, int]]
) -> Iterator[tuple[np.ndarray, int]]:
    """`sums` of the events (N, *shape) of each step, made once where all steps are the same."""
    result = None
    for t in range(events.shape[1]):
        if result is None or events.strides[1] != 0:
            result = sums(events[:, t])
        yield result


def _exact_dtype(layer: Dense | Conv, events: np.ndarray) -> type:
    """The fastest type in which a sum of products is exact: a float below its mantissa (BLAS), else int64."""
    distinct = events[:, :1] if events.strides[1] == 0 else events
    bound = largest_sum(layer, max(abs(int(distinct.min())), abs(int(distinct.max()))))
    if bound >= 1 << 63:
        raise FormatError(f"weights and input: sums of up to {bound} do not fit 64 bits")
    return np.float32 if bound < 1 << 24 else np.float64 if bound < 1 << 53 else np.int64


def _dense_sum(weight: np.ndarray, weight_exp: int, events: np.ndarray, rules: Rules) -> np.ndarray:
    flat = events.reshape(len(events), -1).astype(weight.dtype)
    return shift(rules.dense_sum((flat @ weight.T).astype(np.int64))[0], weight_exp)


def _delayed_sums(
    layer: Dense, delay: np.ndarray, events: np.ndarray, rules: Rules
) -> Iterator[tuple[np.ndarray, int]]:
    """Synapses of each delay sum and shift on their own, when the event is sent, as in Lava's DelayDense."""
    samples, steps = events.shape[:2]
    dtype = _exact_dtype(layer, events)
    pending = np.zeros((steps, samples, *layer.shape), np.int64)
    for wait in np.unique(delay):
        group = np.where(delay == wait, layer.weight, 0).astype(dtype)
        for t in range(steps - wait):
            pending[t + wait] += _dense_sum(group, layer.weight_exp, events[:, t], rules)
    yield from ((a, 0) for a in pending)


def correlate(layer: Conv, weight: np.ndarray, events: np.ndarray) -> np.ndarray:
    """Correlates events (N, C, H, W) with `weight`, the layer's in a type where sums are exact, as a matrix product
    over the unfolded input: (N, O, H', W') int64."""
    (pad_h, pad_w), (_, out_h, out_w) = layer.padding, layer.shape
    kernels = weight.reshape(layer.groups, weight.shape[0] // layer.groups, -1)
    total = np.empty((len(events), *layer.shape), np.int64)
    block = max(1, _COLUMNS // (kernels.shape[2] * layer.groups * out_h * out_w))
    for start in range(0, len(events), block):
        part = events[start : start + block].astype(weight.dtype)
        padded = np.pad(part, ((0, 0), (0, 0), (pad_h, pad_h), (pad_w, pad_w)))
        windows = sliding_window_view(padded, layer.extent, axis=(2, 3))  # type: ignore[call-overload]  (N, C, H', W', kh, kw)
        windows = windows[:, :, :: layer.stride[0], :: layer.stride[1], :: layer.dilation[0], :: layer.dilation[1]]
        columns = windows.transpose(0, 1, 4, 5, 2, 3).reshape(len(part), layer.groups, kernels.shape[2], out_h * out_w)
        total[start : start + block] = (kernels @ columns).reshape(len(part), *layer.shape)
    return total
