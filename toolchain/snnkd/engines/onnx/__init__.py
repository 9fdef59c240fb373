"""The network in ONNX, run by onnxruntime on the CPU."""

from __future__ import annotations

import importlib.util
from math import prod

import numpy as np

from snnkd.base.errors import LimitError
from snnkd.ir.events import check_input
from snnkd.ir.network import Conv, Dense, IntNet
from snnkd.ir.trace import LayerTrace, SpikeTrace

_BYTES = 1 << 28  # about what one call of onnxruntime may hold


def available() -> str | None:
    """None where onnx and onnxruntime are installed, else what to do."""
    for package in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed: pip install {package}"
    return None


def run(net: IntNet, spikes: np.ndarray, states: bool = False) -> SpikeTrace:
    """Runs `onnx_graph.inference_model` of `net` on integers (N, T, *input shape), in blocks of samples.

    Equals `definition.simulate`, overflows and saturations -1. Raises FormatError for unusable input, LimitError where
    a package is missing or a sum could leave 64 bits.
    """
    if reason := available():
        raise LimitError(f"engine onnx: {reason}")
    from snnkd.engines.onnx import graph

    model = graph.inference_model(net, check_input(net, spikes).shape[1], states).SerializeToString()
    return run_model(model, net, spikes, states)


def run_model(model: bytes, net: IntNet, spikes: np.ndarray, states: bool = False) -> SpikeTrace:
    """As `run`, by the ONNX file `model`, an inference model of `net` for as many steps as `spikes` has.

    Raises LimitError where onnxruntime is missing, or refuses the model.
    """
    if reason := available():
        raise LimitError(f"engine onnx: {reason}")
    import onnxruntime

    events = check_input(net, spikes)
    samples, steps = events.shape[:2]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common type
        raise LimitError(f"onnxruntime refuses the model: {error}") from error
    names = [output.name for output in session.get_outputs() if output.name.startswith("layer")]
    kind = np.uint8 if session.get_inputs()[0].type == "tensor(uint8)" else np.int32
    found: dict[str, np.ndarray] = {}
    block = max(1, _BYTES // _bytes_of_a_sample(net, steps, states))
    for start in range(0, samples, block):
        part = np.ascontiguousarray(events[start : start + block], dtype=kind)
        for name, values in zip(names, map(np.asarray, session.run(names, {"input": part})), strict=True):
            whole = found.setdefault(name, np.empty((samples, *values.shape[1:]), values.dtype))
            whole[start : start + block] = values
    return SpikeTrace("onnx", events, tuple(_layer(found, name) for name in net.names))


def _layer(found: dict[str, np.ndarray], name: str) -> LayerTrace:
    return LayerTrace(name, found[name], found[f"{name}_v"], found.get(f"{name}_u_steps"), found.get(f"{name}_v_steps"))


def _bytes_of_a_sample(net: IntNet, steps: int, states: bool) -> int:
    """What its input and outputs take, twice for Scan's copies, and the largest layer of a time step."""
    recorded = steps * (4 * prod(net.input_shape) + (9 if states else 1) * net.neurons)
    return 2 * recorded + max(_working_bytes(net, k) for k in range(len(net.layers)))


def _working_bytes(net: IntNet, k: int) -> int:
    """Some values of 8 bytes for each neuron, and for each delay of a dense layer or column of a convolution."""
    layer = net.layers[k]
    values = 4 * prod(layer.shape)
    if isinstance(layer, Conv):
        values += prod(layer.weight.shape[1:]) * layer.groups * prod(layer.shape[1:])
    if isinstance(layer, Dense) and layer.delay is not None:
        values += 4 * prod(layer.shape) * (1 + int(layer.delay.max(initial=0)))
    return 8 * values
