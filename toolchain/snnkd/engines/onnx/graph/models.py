"""The two models: one time step, and a whole inference that scans it over time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod

from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper
from typing_extensions import assert_never

from snnkd import __version__
from snnkd.base.errors import LimitError
from snnkd.engines.onnx import limits
from snnkd.engines.onnx.graph import neurons, synapses
from snnkd.engines.onnx.graph.nodes import Nodes, Value
from snnkd.ir import describe
from snnkd.ir.network import IntNet, Shape

OPSET, IR_VERSION = 13, 7  # onnxruntime reads them since 1.6, of 2020
_SAMPLES = "N"

_INPUT = {
    "events": "events 0 or 1, uint8",
    "graded": "graded events, integers of magnitude below 2^{bits}, int32",
    "image": "the image, int32, of which the input layer takes 16 bits as its bias, the same at every step",
    "delta": "the values of each step, int32, of which the input layer sends the changes",
}
_SIGMA_DELTA = (
    " Some of its layers are of sigma-delta neurons: their layerK are messages, int32, their states layerK_sigma, "
    "layerK_act, layerK_residue and layerK_error, of which layerK_act, or else layerK_sigma, takes the place of v; "
    "counts of such outputs are the sums of their messages, int64."
)
_STEP = (
    "One time step of a spiking network of CUBA-LIF neurons, in integers. input {shape}: {events}. The states "
    "layerK_u, layerK_v, layerK_pending (what arrives over delays in the steps to come) and counts (spikes of the "
    "outputs) are int32; of a readout over all steps v_max (each output's largest v so far, plus 2^31) or v_sum (the "
    "sum of its v) is int64. All are 0 before the first step; each output *_next is the state to give to the next one. "
    "layerK: spikes of that layer, 0 or 1, uint8. classes: what the readout says after this step."
)
_INFERENCE = (
    "A spiking network of CUBA-LIF neurons over {steps} time steps, in integers. input {shape}: {events}. layerK: "
    "spikes of that layer at each step, 0 or 1, uint8. layerK_v: its v after the last step. counts: spikes of the "
    "outputs. classes: the index of the class of each sample."
)


@dataclass(frozen=True)
class _Tensor:
    """A named input or output of a time step, (N, *shape)."""

    name: str
    kind: int
    shape: Shape

    def info(self, *leading: int | str, name: str | None = None) -> ValueInfoProto:
        """Declares it in a graph, behind the dimensions `leading`, as `name` or by its own."""
        return helper.make_tensor_value_info(name or self.name, self.kind, [*leading, *self.shape])


def step_model(net: IntNet) -> ModelProto:
    """Makes the model of one time step of `net`, N samples at once.

    Inputs: `input` (N, *input_shape), uint8 of a network of binary events, else int32; and the states, int32, zeros
    before the first step: `layerK_u` and `layerK_v` (N, *shape), `layerK_pending` (N, longest delay, O) of layers with
    delays, `counts` (N, outputs), and of a readout over all steps `v_max` or `v_sum` (N, outputs) int64. Outputs:
    `layerK` (N, *shape) uint8, each state as `*_next`, and `classes` (N,) int64, the readout's after this step. Raises
    LimitError where a sum could leave 64 bits.
    """
    nodes = _step(net, "")
    neurons.classes(nodes, net.readout, "counts_next", _read(net, "_next"))
    inputs = [tensor.info(_SAMPLES) for tensor in (_input(net), *_states(net))]
    after = [state.info(_SAMPLES, name=f"{state.name}_next") for state in _states(net)]
    outputs = [*(tensor.info(_SAMPLES) for tensor in _spikes(net)), *after, _classes()]
    graph = helper.make_graph(
        [*nodes.prepared, *nodes.steps], "step", inputs, outputs, [*nodes.constants.values()], _said(net, _STEP)
    )
    return _model(net, graph, net.steps)


def inference_model(net: IntNet, steps: int, states: bool = False) -> ModelProto:
    """Makes the model of a whole inference of `net` over `steps` time steps, N samples at once, all from zero.

    Input: `input` (N, T, *input_shape), as of `step_model`. Outputs: `layerK` (N, T, *shape) uint8 and `layerK_v`
    (N, *shape) int32, v after the last step, of each layer; `counts` (N, outputs) int32; `classes` (N,) int64. With
    `states` also `layerK_u_steps` and `layerK_v_steps` (N, T, *shape) int32, the last layer's `layerK_v_steps` also
    where the readout is over all steps. Raises LimitError as `step_model`.
    """
    inner = _step(net, "step_")
    kept, recorded = _states(net), _spikes(net)
    every = {f"{name}_{state}" for name, own in zip(net.names, net.recorded(states), strict=True) for state in own}
    for state in (state for state in kept if state.name in every):
        inner.add("Identity", f"step_{state.name}_next", name=f"{state.name}_steps")
        recorded.append(_Tensor(f"{state.name}_steps", state.kind, state.shape))
    outer = Nodes(constants=inner.constants)
    start = [_zeros(outer, state) for state in kept]
    by_step = outer.add("Transpose", "input", perm=_time_and_samples(_input(net)))
    outputs = [state.name for state in kept] + [f"{tensor.name}_by_step" for tensor in recorded]
    body = _body(net, inner, kept, recorded)
    outer.steps.append(helper.make_node("Scan", [*start, by_step], outputs, body=body, num_scan_inputs=1))
    for tensor in recorded:
        outer.add("Transpose", f"{tensor.name}_by_step", name=tensor.name, perm=_time_and_samples(tensor))
    neurons.classes(outer, net.readout, "counts", _read(net))
    last = {"counts", *(f"{name}_{layer.neuron.membrane}" for name, _, layer in net.inputs())}
    final = [state.info(_SAMPLES) for state in kept if state.name in last]
    graph = helper.make_graph(
        [*inner.prepared, *outer.steps],
        "inference",
        [_input(net).info(_SAMPLES, steps)],
        [*(tensor.info(_SAMPLES, steps) for tensor in recorded), *final, _classes()],
        [*outer.constants.values()],
        _said(net, _INFERENCE, steps),
    )
    return _model(net, graph, steps)


def _body(net: IntNet, nodes: Nodes, kept: list[_Tensor], recorded: list[_Tensor]) -> GraphProto:
    """What Scan does at each step, on values that begin with `step_`; constants are those of the graph around it."""
    inputs = [tensor.info(_SAMPLES, name=f"step_{tensor.name}") for tensor in (*kept, _input(net))]
    after = [state.info(_SAMPLES, name=f"step_{state.name}_next") for state in kept]
    seen = [tensor.info(_SAMPLES, name=f"step_{tensor.name}") for tensor in recorded]
    return helper.make_graph(nodes.steps, "step", inputs, [*after, *seen])


def _time_and_samples(tensor: _Tensor) -> list[int]:
    """(N, T, ...) to (T, N, ...) and back: runtimes need not scan any dimension but the first."""
    return [1, 0, *range(2, 2 + len(tensor.shape))]


def _zeros(nodes: Nodes, state: _Tensor) -> str:
    """The state before the first step, for as many samples as the input has."""
    samples = nodes.add("Gather", nodes.add("Shape", "input"), nodes.indices(0), axis=0)
    shape = nodes.add("Concat", samples, nodes.indices(*state.shape), axis=0)
    return nodes.add("ConstantOfShape", shape, value=helper.make_tensor("zero", state.kind, [1], [0]))


def _step(net: IntNet, prefix: str) -> Nodes:
    """The nodes of one time step: from `input` and the states to the spikes and the next states."""
    if reason := limits.refusal(net):
        raise LimitError(reason)
    nodes = Nodes(prefix)
    events = Value(f"{prefix}input", net.largest_event)
    for name, shape, layer in net.inputs():
        bias = neurons.constant_bias(nodes, name, layer)
        if layer.neuron.kind == "delta":
            activation = Value(nodes.cast(events.name, TensorProto.INT64), events.bound)
        elif layer.kind == "input":
            activation, bias = None, neurons.image_bias(nodes, events.name)
        elif layer.kind == "dense":
            activation = synapses.dense(nodes, name, layer, events)
        elif layer.kind == "conv":
            activation = synapses.conv(nodes, name, layer, events, shape)
        else:
            assert_never(layer)
        events = Value(neurons.step(nodes, name, layer, activation, bias), layer.neuron.largest_message)
    fired = nodes.cast(nodes.add("Flatten", events.name, axis=1), _counted(net))
    nodes.add("Add", f"{prefix}counts", fired, name="counts_next")
    if net.readout.reads_every_v:
        neurons.read_so_far(nodes, net.readout, f"{prefix}{_membrane(net)}_next", _read(net))
    return nodes


def _input(net: IntNet) -> _Tensor:
    binary = not net.message_bits and net.layers[0].kind != "input"
    return _Tensor("input", TensorProto.UINT8 if binary else TensorProto.INT32, net.input_shape)


def _spikes(net: IntNet) -> list[_Tensor]:
    kinds = (TensorProto.UINT8 if layer.neuron.kind == "cuba" else TensorProto.INT32 for layer in net.layers)
    return [_Tensor(name, kind, layer.shape) for (name, _, layer), kind in zip(net.inputs(), kinds, strict=True)]


def _states(net: IntNet) -> list[_Tensor]:
    """What one step leaves to the next one."""
    states = list[_Tensor]()
    for name, _, layer in net.inputs():
        states += [_Tensor(f"{name}_{state}", TensorProto.INT32, layer.shape) for state in layer.neuron.states]
        if layer.kind == "dense" and layer.longest_delay:
            states.append(_Tensor(f"{name}_pending", TensorProto.INT32, (layer.longest_delay, *layer.shape)))
    outputs = (prod(net.layers[-1].shape),)
    states.append(_Tensor("counts", _counted(net), outputs))
    if net.readout.reads_every_v:
        states.append(_Tensor(_read(net), TensorProto.INT64, outputs))
    return states


def _counted(net: IntNet) -> int:
    """The type of the counts: of messages their sums."""
    return TensorProto.INT32 if net.layers[-1].neuron.kind == "cuba" else TensorProto.INT64


def _membrane(net: IntNet) -> str:
    """The state of the last layer that a readout reads."""
    return f"{net.names[-1]}_{net.layers[-1].neuron.membrane}"


def _read(net: IntNet, after: str = "") -> str:
    """The state that the readout reads of the membrane; after: '_next' for what a step leaves of it."""
    return f"{f'v_{net.readout.over}' if net.readout.reads_every_v else _membrane(net)}{after}"


def _classes() -> ValueInfoProto:
    return helper.make_tensor_value_info("classes", TensorProto.INT64, [_SAMPLES])


def _said(net: IntNet, text: str, steps: int | None = None) -> str:
    """`text` of this network's input."""
    delta = net.layers[0].neuron.kind == "delta"
    events = _INPUT["delta" if delta else "image" if net.reads_image else "graded" if net.message_bits else "events"]
    if net.is_sigma_delta:
        text += _SIGMA_DELTA
    times = () if steps is None else (str(steps),)
    shape = f"({', '.join((_SAMPLES, *times, *map(str, net.input_shape)))})"
    return text.format(shape=shape, events=events.format(bits=net.message_bits), steps=steps)


def _model(net: IntNet, graph: GraphProto, steps: int | None) -> ModelProto:
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="snnkd",
        producer_version=__version__,
        doc_string=graph.doc_string,
    )
    facts = describe.facts(net) | {"steps": steps}
    keys = ("input_shape", "steps", "message_bits", "encoding", "readout", "early_exit", "class_names")
    about = {key: facts[key] for key in keys}
    helper.set_model_props(model, {key: json.dumps(value, sort_keys=True) for key, value in about.items()})
    return model
