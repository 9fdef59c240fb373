"""One time step of neurons, and the class that comes out of the last ones, as nodes."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto
from typing_extensions import assert_never

from snnkd.engines.onnx.graph.nodes import Nodes, Value
from snnkd.ir.arithmetic import DECAY_BITS, STATE_LIMIT, STATE_SHIFT
from snnkd.ir.network import Cuba, Delta, Layer, Shape, SigmaDelta, per_neuron
from snnkd.ir.readout import Readout


def step(nodes: Nodes, name: str, layer: Layer, activation: Value | None, bias: str | None) -> str:
    """Adds the neurons of `layer`: gives what they send, (N, *shape) uint8 or of sigma-delta ones int32, and adds the
    next states as outputs.

    activation, bias: a << 6 and bias << 6, of sigma-delta neurons a and bias << spike_exp + state_exp, of Delta
    encoders the input; (N, *shape) or what broadcasts to it, None for none.
    """
    neuron = layer.neuron
    if neuron.kind == "cuba":
        return _cuba(nodes, name, neuron, layer.shape, activation, bias)
    assert activation is not None
    if neuron.kind == "delta":
        return _change(nodes, name, neuron, nodes.wrapped(nodes.scaled(activation, 1 << _exponent(neuron)), 32).name)
    sigma = nodes.cast(f"{nodes.prefix}{name}_sigma", TensorProto.INT64)
    sigma = nodes.wrapped(Value(nodes.add("Add", sigma, activation.name), activation.bound + (1 << 31)), 32).name
    kept = nodes.cast(sigma, TensorProto.INT32, f"{name}_sigma_next")
    if neuron.kind == "sigma":
        return nodes.add("Identity", kept, name=name)
    if neuron.kind == "sigma-delta":
        new = sigma if bias is None else nodes.wrapped(Value(nodes.add("Add", sigma, bias), 1 << 32), 32).name
        if neuron.activation == "relu":
            new = nodes.add("Clip", new, nodes.number(0), nodes.number((1 << 31) - 1))
        return _change(nodes, name, neuron, new)
    assert_never(neuron)


def _exponent(neuron: Delta | SigmaDelta) -> int:
    return neuron.spike_exp + neuron.state_exp


def _change(nodes: Nodes, name: str, neuron: Delta | SigmaDelta, new: str) -> str:
    """What is sent where the activation becomes `new`, of 32 bits."""
    act, residue = (nodes.cast(f"{nodes.prefix}{name}_{state}", TensorProto.INT64) for state in ("act", "residue"))
    nodes.cast(new, TensorProto.INT32, f"{name}_act_next")
    change = nodes.wrapped(Value(nodes.add("Add", nodes.add("Sub", new, act), residue), 3 << 31), 32).name
    error = change
    if neuron.cumulative:
        before = nodes.cast(f"{nodes.prefix}{name}_error", TensorProto.INT64)
        error = nodes.wrapped(Value(nodes.add("Add", before, change), 1 << 32), 32).name
    quiet = nodes.add("Less", _magnitude(nodes, error), nodes.number(neuron.threshold << _exponent(neuron)))
    sent = nodes.add("Where", quiet, nodes.number(0), change)
    nodes.cast(nodes.add("Sub", change, sent), TensorProto.INT32, f"{name}_residue_next")
    if neuron.cumulative:
        shown = nodes.add("Greater", _magnitude(nodes, sent), nodes.number(0))
        nodes.cast(nodes.add("Where", shown, nodes.number(0), error), TensorProto.INT32, f"{name}_error_next")
    message = nodes.floored(Value(sent, 1 << 31), neuron.state_exp) if neuron.state_exp else Value(sent, 1 << 31)
    return nodes.cast(message.name, TensorProto.INT32, name)


def _magnitude(nodes: Nodes, value: str) -> str:
    """|value| as 32 bits have it: that of -2^31 is -2^31."""
    lowest = nodes.number(-(1 << 31))
    return nodes.add("Where", nodes.add("Equal", value, lowest), lowest, nodes.add("Abs", value))


def _cuba(nodes: Nodes, name: str, neuron: Cuba, shape: Shape, activation: Value | None, bias: str | None) -> str:
    u = _decayed(nodes, name, "u", per_neuron(neuron.current_decay, shape))
    if activation is not None:
        # Where no activation is above 2^23, no u is, and their sum stays far from 32 bits.
        most = activation.bound + (STATE_LIMIT if activation.bound <= STATE_LIMIT else 1 << 31)
        u = _corrected(nodes, nodes.wrapped(Value(nodes.add("Add", u, activation.name), most), 32).name)
    nodes.cast(u, TensorProto.INT32, f"{name}_u_next")
    v = nodes.add("Add", _decayed(nodes, name, "v", per_neuron(neuron.voltage_decay, shape)), u)
    if bias is not None:
        v = nodes.add("Add", v, bias)
    v = nodes.add("Clip", v, nodes.number(1 - STATE_LIMIT), nodes.number(STATE_LIMIT - 1))
    threshold = per_neuron(neuron.threshold, shape) << STATE_SHIFT
    fires = nodes.add("Greater", v, nodes.small(f"{name}_threshold", threshold))
    nodes.cast(nodes.add("Where", fires, nodes.number(0), v), TensorProto.INT32, f"{name}_v_next")
    return nodes.cast(fires, TensorProto.UINT8, name)


def constant_bias(nodes: Nodes, name: str, layer: Layer) -> str | None:
    """Adds the bias of a layer, shifted as its states are; None where it has no bias."""
    neuron = layer.neuron
    if neuron.bias is None:
        return None
    shift = _exponent(neuron) if neuron.kind == "sigma-delta" else STATE_SHIFT
    return nodes.small(f"{name}_bias", per_neuron(neuron.bias, layer.shape) << shift)


def image_bias(nodes: Nodes, image: str) -> str:
    """Adds bias << 6 of an input layer, whose mantissa is the image (N, *shape) int32, wrapped to 16 bits."""
    mantissa = nodes.wrapped(Value(nodes.cast(image, TensorProto.INT64), 1 << 31), 16)
    return nodes.scaled(mantissa, 1 << STATE_SHIFT).name


def classes(nodes: Nodes, readout: Readout, counts: str, v: str) -> None:
    """Adds the output `classes` (N,) int64 from the outputs' spike counts, or sums of messages, (N, O) and what is read
    of their membrane, (N, *shape) int32 or (N, O) int64."""
    most = _highest(nodes, _by_class(nodes, readout, counts if readout.kind == "count" else v))
    if readout.ties == "membrane":
        lowest = nodes.number(np.iinfo(np.int64).min)
        most = _highest(nodes, nodes.add("Where", most, _by_class(nodes, readout, v), lowest))
    # ArgMax takes the first of equals; of int64 older runtimes have none.
    nodes.add("ArgMax", nodes.cast(most, TensorProto.INT32), name="classes", axis=1, keepdims=0)


def read_so_far(nodes: Nodes, readout: Readout, v: str, name: str) -> None:
    """Adds what a readout over all steps has read of v, (N, O) int64, to the state `name`, which is 0 before them: the
    largest one lies there 2^31 higher than it is, so that none is below 0."""
    now = nodes.cast(nodes.add("Flatten", v, axis=1), TensorProto.INT64)
    if readout.over == "max":
        now = nodes.add("Add", now, nodes.number(1 << 31))
    nodes.add("Max" if readout.over == "max" else "Add", f"{nodes.prefix}{name}", now, name=f"{name}_next")


def _highest(nodes: Nodes, scores: str) -> str:
    """Which of the scores (N, classes) equal the highest of their sample."""
    return nodes.add("Equal", scores, nodes.add("ReduceMax", scores, axes=[1], keepdims=1))


def _by_class(nodes: Nodes, readout: Readout, values: str) -> str:
    """(N, classes) sums over each class's neurons."""
    wide = nodes.cast(nodes.add("Flatten", values, axis=1), TensorProto.INT64)
    if readout.population == 1:
        return wide
    grouped = nodes.add("Reshape", wide, nodes.indices(0, -1, readout.population))
    return nodes.add("ReduceSum", grouped, nodes.indices(2), keepdims=0)


def _decayed(nodes: Nodes, name: str, state: str, decay: np.ndarray) -> str:
    """trunc0(state * (4096 - decay) / 4096); integers divide towards zero in ONNX."""
    kept = nodes.small(f"{name}_{state}_kept", (1 << DECAY_BITS) - decay)
    wide = nodes.cast(f"{nodes.prefix}{name}_{state}", TensorProto.INT64)
    return nodes.add("Div", nodes.add("Mul", wide, kept), nodes.number(1 << DECAY_BITS))


def _corrected(nodes: Nodes, u: str) -> str:
    """One correction by 2^24 where u > 2^23 or u <= -2^23; what the first one gives needs no second."""
    span = nodes.number(2 * STATE_LIMIT)
    above = nodes.add("Greater", u, nodes.number(STATE_LIMIT))
    u = nodes.add("Where", above, nodes.add("Sub", u, span), u)
    below = nodes.add("Less", u, nodes.number(1 - STATE_LIMIT))
    return nodes.add("Where", below, nodes.add("Add", u, span), u)
