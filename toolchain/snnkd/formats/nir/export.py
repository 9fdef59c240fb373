"""An IntNet as a NIR graph, and what NIR has no words for.

With dt = 1e-4 s and d a decay of 4096: tau = dt * 4096 / d, r = tau / dt, w_in = tau_syn / dt, v_leak = bias * 4096 /
vDecay. By forward Euler, v and I are then v and u in units of 64, and weights, thresholds and biases the integers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from snnkd.formats.nir.graph import Edge, Graph, Node, Value
from snnkd.ir.arithmetic import DECAY_BITS
from snnkd.ir.network import Conv, Input, IntNet, Layer, Shape, cuba_of, per_neuron

DT = 1e-4  # seconds of a step: what snntorch and spikingjelly take
_FOREVER = 2.0**-60  # a decay of 0: 1 - this is 1 in floats, so that nothing decays


def graph_of(net: IntNet) -> Graph:
    """Returns the graph of `net`, without metadata.

    Behind a square image, a dense layer is a convolution with a kernel as large as what it reads: what readers make of
    a Flatten node differs. nir itself takes all kernels for square ones.
    """
    nodes: dict[str, Node] = {"input": Node("input", "Input", {"shape": np.array(net.input_shape, np.int64)})}
    edges: list[Edge] = []
    shape, last = net.input_shape, "input"
    for name, _, layer in net.inputs():
        reads, shape = shape, layer.shape
        if layer.kind == "dense" and _is_square(reads):
            shape = (layer.shape[0], 1, 1)
        nodes[name] = _neurons(name, layer, shape)
        for path in _ways(name, layer, reads):
            nodes |= {node.name: node for node in path}
            names = [last, *(node.name for node in path), name]
            edges += itertools.pairwise(names)
        last = name
    nodes["output"] = Node("output", "Output", {"shape": np.array(shape, np.int64)})
    edges.append((last, "output"))
    return Graph(nodes, edges)


def _is_square(shape: Shape) -> bool:
    return len(shape) == 3 and shape[1] == shape[2]


def unsaid(net: IntNet) -> list[str]:
    """Lists what the graph of `net` does not say, so that readers other than snnkd compute something else."""
    return list(_unsaid(net))


def _unsaid(net: IntNet) -> Iterator[str]:
    decays = [d for layer in net.layers for d in (cuba_of(layer).current_decay, cuba_of(layer).voltage_decay)]
    if any(((d != 0) & (d != 1 << DECAY_BITS)).any() for d in decays):
        yield "decays round towards 0 in units of 1/64; NIR's readers compute in floats"
    yield "u is corrected by 2^24 beyond 2^23, v is clipped, sums of convolutions wrap in 24 bits"
    if any((d == 0).any() for d in decays):
        yield "a state that does not decay: its time constant is 2^60 steps"
    if any(layer.kind == "dense" and layer.weight_exp < 0 for layer in net.layers):
        yield "a negative weight exponent rounds sums down; the weights are fractions here"
    if net.longest_delay:
        yield "delays are Delay nodes, which norse, snntorch, spikingjelly and sinabs do not read"
    if any(layer.kind == "conv" and layer.weight.shape[2] != layer.weight.shape[3] for layer in net.layers):
        yield "a kernel that is not square: nir's type check takes it for square, nir.read needs type_check=False"
    if net.message_bits:
        yield f"input events are integers of {net.message_bits} bits"
    if net.reads_image:
        yield "the input is an image, the same at every step, of 16 bits"
    if net.has_bias:
        yield "a bias is v_leak; norse also adds that to the current"
    readout = net.readout
    yield f"a class is read by {readout.name}, ties by {readout.ties}, {readout.population} neurons each"
    for what in ("steps", "encoding", "early_exit", "class_names", "provenance"):
        if getattr(net, what) is not None:
            yield f"{what.replace('_', ' ')}: in the metadata only"


def _ways(name: str, layer: Layer, reads: Shape) -> list[list[Node]]:
    """The linear nodes before the neurons `name`: one way, or one for each delay."""
    if isinstance(layer, Input):
        return [[]]
    if isinstance(layer, Conv):
        return [[_conv(f"{name}_conv", layer.weight, reads, layer)]]
    weight = np.ldexp(layer.weight.astype(np.float32), layer.weight_exp)
    if layer.delay is None:
        return [_dense(name, weight, reads)]
    delays = np.unique(layer.delay[layer.weight != 0]).tolist() or [0]
    ways = []
    for steps in delays:
        part = _dense(f"{name}_{steps}", np.where(layer.delay == steps, weight, 0), reads)
        shape = (len(weight), 1, 1) if _is_square(reads) else (len(weight),)
        wait = Node(f"{name}_delay{steps}", "Delay", {"delay": np.full(shape, steps * DT)})
        ways.append([*part, wait] if steps else part)
    return ways


def _dense(name: str, weight: np.ndarray, reads: Shape) -> list[Node]:
    if _is_square(reads):
        return [_conv(f"{name}_conv", weight.reshape(-1, *reads), reads, None)]
    linear = Node(f"{name}_linear", "Linear", {"weight": weight})
    if len(reads) == 1:
        return [linear]
    axes: dict[str, Value] = {
        "start_dim": np.array(0),
        "end_dim": np.array(-1),
        "input_type": np.array(reads, np.int64),
    }
    return [Node(f"{name}_flatten", "Flatten", axes), linear]


def _conv(name: str, weight: np.ndarray, reads: Shape, layer: Conv | None) -> Node:
    def pair(what: str, default: int) -> np.ndarray:
        return np.array((default, default) if layer is None else getattr(layer, what), np.int64)

    values: dict[str, Value] = {"weight": weight.astype(np.float32), "bias": np.zeros(len(weight), np.float32)}
    values |= {"stride": pair("stride", 1), "padding": pair("padding", 0), "dilation": pair("dilation", 1)}
    values |= {"groups": np.array(1 if layer is None else layer.groups), "input_shape": np.array(reads[1:], np.int64)}
    return Node(name, "Conv2d", values)


def _neurons(name: str, layer: Layer, shape: Shape) -> Node:
    """CubaLIF; for an input layer LIF, as the image goes to v and not to u."""

    def spread(values: np.ndarray) -> np.ndarray:
        return np.broadcast_to(per_neuron(values, layer.shape), layer.shape).astype(np.float64).reshape(shape)

    neuron = cuba_of(layer)
    current, voltage = (
        np.maximum(spread(d) / (1 << DECAY_BITS), _FOREVER) for d in (neuron.current_decay, neuron.voltage_decay)
    )
    values: dict[str, Value] = {
        "v_threshold": spread(neuron.threshold),
        "v_reset": np.zeros(shape),
        "v_leak": np.zeros(shape) if neuron.bias is None else spread(neuron.bias) / voltage,
        "r": 1 / voltage,
    }
    if layer.kind == "input":
        values["tau"] = DT / voltage
        return Node(name, "LIF", values)
    values["tau_syn"], values["tau_mem"], values["w_in"] = DT / current, DT / voltage, 1 / current
    return Node(name, "CubaLIF", values)
