"""The definition of the integer network in plain numpy. Every other engine must equal it exactly, states included.

Per layer and time step, for input events s (0 or 1, or integers on graded input); each line is exact integer
arithmetic, `wrapN` is two's complement in N bits:

    a = sum over connections of weight * s       dense: wrap32, then << weight_exp (arithmetic >> where negative)
                                                 convolution: wrap24
    u = wrap32(trunc0(u * (4096 - current_decay) / 4096) + wrap32(a << 6))
        then one correction, no modulo: u > 2^23 -> u - 2^24; u <= -2^23 -> u + 2^24
    v = trunc0(v * (4096 - voltage_decay) / 4096) + u + (bias << 6), clipped to +-(2^23 - 1)
    s = v > threshold << 6;  v = 0 where s

of CUBA-LIF neurons. Of sigma-delta neurons, with E = spike_exp + state_exp and every line wrapped to 32 bits:

    sigma = sigma + a
    new = sigma + (bias << E), with activation 'relu' at least 0
    change = new - act + residue;  act = new
    error = error + change where cumulative, else change
    s = change where |error| >= threshold << E, else 0, as |-2^31| is
    residue = change - s;  error = 0 where |s| > 0 or not cumulative
    and s >> state_exp is sent

Delta encoders of an input layer do the same with new = input << E. Sigma decoders keep sigma, and send it at every
step.

Time is local to each layer: all states are 0 before its first input, all layers see step t at step t, bias comes in at
every step. An event at step t through a synapse of delay d arrives at step t + d; past the last step it is dropped.

The wraps, corrections and clips of these lines, the decays and the comparison are fields of `Rules`, whose defaults are
the definition. `headroom` and `explanation` run the same lines by rules that differ in one of them.

Follows lava-nc 0.10.0 `proc/lif/models.py` (AbstractPyLifModelFixed), `proc/sdn/models.py` (those of fixed_pt),
`proc/dense/models.py` (PyDenseModelBitAcc, PyDelayDenseModelBitAcc), `proc/conv/models.py` (PyConvModelFixed), without
the step that Lava's synapses are late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from typing_extensions import assert_never

from snnkd.base.errors import FormatError
from snnkd.engines.reference import sigma_delta
from snnkd.engines.reference.rules import DEFINITION, Rules
from snnkd.ir.arithmetic import STATE_SHIFT, shift
from snnkd.ir.events import check_input
from snnkd.ir.network import Conv, Cuba, Dense, IntNet, Layer, Shape, largest_sum, per_neuron
from snnkd.ir.trace import LayerTrace, SpikeTrace

_COLUMNS = 1 << 24  # elements of the unfolded input that one convolution call may hold


def simulate(net: IntNet, spikes: np.ndarray, states: bool = False) -> SpikeTrace:
    """Runs `net` on integers (N, T, *input shape) as `check_input` takes them; all samples start from states of 0.

    Records the states of every step with `states`, of the last layer also where the readout reads its membrane at every
    step. A layer's `overflows` counts, by neuron and step, each of these that
    changed a value: the 24 bit wrap of a convolution's sum, the 32 bit wrap of a << 6, that of the current, and the
    current's correction by 2^24; of sigma-delta neurons the 32 bit wraps of a dense layer's sum, of sigma, of its sum
    with the bias, of the input << E, of the change and of the error. `saturations` counts the clips of v. Raises
    FormatError for unusable input.
    """
    return run(net, check_input(net, spikes), [DEFINITION] * len(net.layers), states)


def run(net: IntNet, events: np.ndarray, rules: Sequence[Rules], states: bool = False) -> SpikeTrace:
    """Runs `net` as `simulate` does, by the rules of each layer, on events as `check_input` gives them."""
    source, traces = events, []
    for name, layer, own, kept in zip(net.names, net.layers, rules, net.recorded(states), strict=True):
        traces.append(_run_layer(name, layer, source, own, bool(kept)))
        source = traces[-1].spikes
    return SpikeTrace("reference", events, tuple(traces))


def _run_layer(name: str, layer: Layer, events: np.ndarray, rules: Rules, states: bool) -> LayerTrace:
    """One layer on the events (N, T, *shape) that it reads."""
    neuron = layer.neuron
    if neuron.kind == "cuba":
        return _run_cuba(name, layer, neuron, events, rules, states)
    return sigma_delta.run(name, layer, neuron, sums(layer, events, rules), events.shape[:2], rules, states)


def _run_cuba(name: str, layer: Layer, neuron: Cuba, events: np.ndarray, rules: Rules, states: bool) -> LayerTrace:
    samples, steps = events.shape[:2]
    shape = (samples, *layer.shape)
    spikes = np.zeros((samples, steps, *layer.shape), np.uint8)
    recorded = [np.zeros(spikes.shape, np.int32) for _ in "uv"] if states else None
    u, v = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    bias = _bias(layer, events)
    overflows = saturations = 0
    for t, (a, wraps) in enumerate(sums(layer, events, rules)):
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


def sums(layer: Layer, events: np.ndarray, rules: Rules) -> Iterator[tuple[np.ndarray, int]]:
    """For each step: a, (N, *layer.shape) int64, and how many sums wrapped; of Delta encoders, the events."""
    steps = events.shape[1]
    if layer.neuron.kind == "delta":
        yield from ((events[:, t].astype(np.int64), 0) for t in range(steps))
    elif layer.kind == "input":
        yield from ((np.zeros((1,) * events[:, 0].ndim, np.int64), 0) for _ in range(steps))
    elif layer.kind == "dense":
        if layer.delay is not None:
            yield from _delayed_sums(layer, layer.delay, events, rules)
            return
        weight = layer.weight.astype(_exact_dtype(layer, events))
        yield from _each_step(events, lambda now: _dense_sum(layer, weight, now, rules))
    elif layer.kind == "conv":
        weight = layer.weight.astype(_exact_dtype(layer, events))
        yield from _each_step(events, lambda now: rules.conv_sum(correlate(layer, weight, now).astype(np.int64)))
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


def _dense_sum(layer: Dense, weight: np.ndarray, events: np.ndarray, rules: Rules) -> tuple[np.ndarray, int]:
    """a of CUBA neurons wraps once more, behind << 6, and is counted there."""
    flat = events.reshape(len(events), -1).astype(weight.dtype)
    total, wraps = rules.dense_sum((flat @ weight.T).astype(np.int64))
    return shift(total, layer.weight_exp), 0 if layer.neuron.kind == "cuba" else wraps


def _delayed_sums(
    layer: Dense, delay: np.ndarray, events: np.ndarray, rules: Rules
) -> Iterator[tuple[np.ndarray, int]]:
    """Synapses of each delay sum and shift on their own, when the event is sent, as in Lava's DelayDense."""
    samples, steps = events.shape[:2]
    dtype = _exact_dtype(layer, events)
    pending = np.zeros((steps, samples, *layer.shape), np.int64)
    wraps = [0] * steps
    for wait in np.unique(delay):
        group = np.where(delay == wait, layer.weight, 0).astype(dtype)
        for t in range(steps - wait):
            total, wrapped = _dense_sum(layer, group, events[:, t], rules)
            pending[t + wait] += total
            wraps[t] += wrapped
    yield from zip(pending, wraps, strict=True)


def correlate(layer: Conv, weight: np.ndarray, events: np.ndarray) -> np.ndarray:
    """Correlates events (N, C, H, W) with `weight`, the layer's in a type where sums are exact, as a matrix product
    over the unfolded input: (N, O, H', W') of that type."""
    (pad_h, pad_w), (_, out_h, out_w) = layer.padding, layer.shape
    kernels = weight.reshape(layer.groups, weight.shape[0] // layer.groups, -1)
    total = np.empty((len(events), *layer.shape), weight.dtype)
    block = max(1, _COLUMNS // (kernels.shape[2] * layer.groups * out_h * out_w))
    for start in range(0, len(events), block):
        part = events[start : start + block].astype(weight.dtype)
        padded = np.pad(part, ((0, 0), (0, 0), (pad_h, pad_h), (pad_w, pad_w)))
        windows = sliding_window_view(padded, layer.extent, axis=(2, 3))  # type: ignore[call-overload]  (N, C, H', W', kh, kw)
        windows = windows[:, :, :: layer.stride[0], :: layer.stride[1], :: layer.dilation[0], :: layer.dilation[1]]
        columns = windows.transpose(0, 1, 4, 5, 2, 3).reshape(len(part), layer.groups, kernels.shape[2], out_h * out_w)
        total[start : start + block] = (kernels @ columns).reshape(len(part), *layer.shape)
    return total
