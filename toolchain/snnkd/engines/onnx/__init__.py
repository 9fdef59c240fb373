"""The network in ONNX, run by onnxruntime on the CPU."""

from __future__ import annotations

from math import prod

import numpy as np
from typing_extensions import assert_never

from snnkd.base.errors import LimitError
from snnkd.engines.onnx import limits
from snnkd.engines.onnx.session import available, open_session
from snnkd.ir.events import check_input
from snnkd.ir.network import IntNet, Layer, Neuron
from snnkd.ir.trace import LayerTrace, SpikeTrace

__all__ = ["BYTES", "available", "refuses", "run"]

BYTES = 1 << 28  # about what one call of onnxruntime may hold


def refuses(net: IntNet) -> str | None:
    """Says which layer of `net` has sums that could leave the 64 bits of ONNX, None where none has."""
    return limits.refusal(net)


def run(net: IntNet, spikes: np.ndarray, states: bool = False) -> SpikeTrace:
    """Runs `graph.inference_model` of `net` on integers (N, T, *input shape), in blocks of samples.

    Equals `definition.simulate`, overflows and saturations -1. Raises FormatError for unusable input, LimitError where
    a package is missing or the network is refused.
    """
    if reason := available() or refuses(net):
        raise LimitError(f"engine onnx: {reason}")
    from snnkd.engines.onnx import graph

    model = graph.inference_model(net, check_input(net, spikes).shape[1], states).SerializeToString()
    return run_model(model, net, spikes, states)


def run_model(model: bytes, net: IntNet, spikes: np.ndarray, states: bool = False, most: int = BYTES) -> SpikeTrace:
    """Runs the ONNX file `model`, an inference model of `net` for as many steps as `spikes` has, as `run` does.

    most: bytes, about, that one call of onnxruntime may hold.
    Raises LimitError where a package is missing or onnxruntime refuses the model, FormatError for unusable input.
    """
    if reason := available():
        raise LimitError(f"engine onnx: {reason}")
    events = check_input(net, spikes)
    samples, steps = events.shape[:2]
    session = open_session(model)
    names = [output.name for output in session.get_outputs() if output.name.startswith("layer")]
    kind = np.uint8 if session.get_inputs()[0].type == "tensor(uint8)" else np.int32
    outputs: dict[str, np.ndarray] = {}
    block = max(1, most // _bytes_of_a_sample(net, steps, states))
    for start in range(0, samples, block):
        part = np.ascontiguousarray(events[start : start + block], dtype=kind)
        for name, values in zip(names, map(np.asarray, session.run(names, {"input": part})), strict=True):
            whole = outputs.setdefault(name, np.empty((samples, *values.shape[1:]), values.dtype))
            whole[start : start + block] = values
    return SpikeTrace("onnx", events, tuple(_layer(outputs, name, layer.neuron) for name, _, layer in net.inputs()))


def _layer(outputs: dict[str, np.ndarray], name: str, neuron: Neuron) -> LayerTrace:
    steps = {state: f"{name}_{state}_steps" for state in neuron.states}
    states = {state: outputs[key] for state, key in steps.items() if key in outputs}
    return LayerTrace(name, outputs[name], outputs[f"{name}_{neuron.membrane}"]).holding(states)


def _bytes_of_a_sample(net: IntNet, steps: int, states: bool) -> int:
    """What its input and outputs take, twice for Scan's copies, and the largest layer of a time step."""
    recorded = steps * (4 * prod(net.input_shape) + (9 if states else 1) * net.neurons)
    return 2 * recorded + max(map(_working_bytes, net.layers))


def _working_bytes(layer: Layer) -> int:
    """Some values of 8 bytes for each neuron, and for each delay of a dense layer or column of a convolution."""
    values = 4 * prod(layer.shape)
    if layer.kind == "input":
        pass
    elif layer.kind == "conv":
        values += prod(layer.weight.shape[1:]) * layer.groups * prod(layer.shape[1:])
    elif layer.kind == "dense":
        if layer.delay is not None:
            values += 4 * prod(layer.shape) * (1 + layer.longest_delay)
    else:
        assert_never(layer)
    return 8 * values
