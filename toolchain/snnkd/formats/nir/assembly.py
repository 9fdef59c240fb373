"""Layers of a graph: the neurons in a row, and the synapse before each of them."""

from __future__ import annotations

from math import prod

import numpy as np

from snnkd.formats.nir.graph import Graph, Node
from snnkd.formats.nir.real import (
    Inexact,
    RealLayer,
    RealNet,
    RealNeuron,
    Synapse,
    Wait,
    composed,
    finished,
    simplified,
    summed,
)
from snnkd.formats.nir.rules import NEURONS, SYNAPSES
from snnkd.formats.nir.time_step import time_step
from snnkd.ir.network import Shape

_MAX_PATHS = 64
_MAX_ELEMENTS = 1 << 24


def assembled(graph: Graph, input_shape: Shape | None = None, dt: float | None = None) -> RealNet:
    """Makes the layers of `graph`.

    input_shape: where its Input node has none; dt: seconds of a step, else `time_step` tells. Raises FormatError that
    names the node which no layer can be made of, and says what to do.
    """
    graph.ordered()
    step, why = time_step(graph, dt)
    source, shape = _input(graph, input_shape)
    first, layers = shape, list[RealLayer]()
    while source.kind != "Output":
        source, layer = _next_layer(graph, source, shape, step)
        if layer is not None:
            layers.append(layer)
            shape = layer.shape
        if layer is None or not np.isfinite(layer.neuron.threshold).all():
            break
    _check_end(graph, source, layers)
    return RealNet(graph.file, first, tuple(layers), step, why)


def _input(graph: Graph, given: Shape | None) -> tuple[Node, Shape]:
    inputs = [node for node in graph.nodes.values() if node.kind == "Input"]
    if len(inputs) != 1:
        raise graph.error(f"expected one Input node, found {len(inputs)}: {', '.join(node.name for node in inputs)}")
    shape = inputs[0].integers("shape", 1, _MAX_ELEMENTS)
    one_row = len(shape) == 2 and any(node.kind == "Conv1d" for node in graph.nodes.values())
    if one_row:
        shape = (shape[0], 1, shape[1])  # (C, L)
    elif len(shape) in (2, 4) and shape[0] == 1:
        shape = shape[1:]  # nirtorch takes the batch of its sample for an axis
    if len(shape) not in (1, 3) or prod(shape) > _MAX_ELEMENTS:
        raise inputs[0].error(f"shape: expected (C, H, W), (C, L) or (features,), found {shape}")
    if given is not None and prod(given) != prod(shape):
        raise inputs[0].error(f"shape: {shape}, but the shape given is {given}")
    return inputs[0], given or shape


def _check_end(graph: Graph, last: Node, layers: list[RealLayer]) -> None:
    """Refuses graphs without layers, and nodes that no layer was made of."""
    behind = [graph.nodes[name] for name in graph.behind(last.name)]
    more = [node.name for node in behind if node.kind != "Output"]
    if more:
        raise last.error(f"never fires, but {', '.join(more)} reads it: only the last layer may have no spikes")
    if not layers:
        raise graph.error("has no neurons: nothing in it spikes")
    used = {name for layer in layers for name in layer.nodes}
    unused = [node.name for node in graph.nodes.values() if node.kind not in ("Input", "Output")]
    unused = [name for name in unused if name not in used]
    if unused:
        raise graph.error(f"nodes {', '.join(unused[:8])} do not lie on the way from Input to Output")


def _next_layer(graph: Graph, source: Node, shape: Shape, dt: float) -> tuple[Node, RealLayer | None]:
    """The node of neurons that reads `source`, of shape `shape`, through linear nodes, and the layer that it is.

    Where no neurons follow, the linear nodes are summed up over the steps by neurons that never fire.
    """
    paths = _paths(graph, source)
    end = paths[0][-1]
    linear = list(dict.fromkeys(node for path in paths for node in path[:-1]))
    if end.kind == "Output" and not linear:
        return end, None
    synapse, out = _synapse(graph, paths, shape, dt)
    nodes = tuple(node.name for node in linear)
    if end.kind == "Output":
        sums = RealNeuron(np.ones(()), np.zeros(()), np.full((), np.inf), np.zeros(()))
        note = "no neurons behind it: its values are summed over the steps, and read as a membrane"
        return end, RealLayer(linear[-1].name, nodes, synapse, sums, out, (note,))
    neuron = NEURONS[end.kind](end, out, dt)
    return end, RealLayer(end.name, (*nodes, end.name), synapse, neuron, out, neuron.notes)


def _paths(graph: Graph, source: Node) -> list[list[Node]]:
    """All ways from `source` to the neurons or the Output that it feeds; each begins behind it and ends there."""
    open_paths = [[graph.nodes[name]] for name in graph.behind(source.name)]
    paths: list[list[Node]] = []
    if not open_paths:
        raise source.error("nothing reads it; expected a way to an Output node")
    while open_paths:
        path = open_paths.pop()
        if path[-1].kind not in SYNAPSES:
            paths.append(path)
        else:
            open_paths += [[*path, graph.nodes[name]] for name in graph.behind(path[-1].name)]
        if len(paths) + len(open_paths) > _MAX_PATHS:
            raise source.error(f"more than {_MAX_PATHS} ways lead from it to the next neurons")
    if not paths:
        raise source.error("no way leads from it to neurons or an Output node")
    _check_paths(graph, source, paths)
    return sorted(paths, key=lambda path: [node.name for node in path])


def _check_paths(graph: Graph, source: Node, paths: list[list[Node]]) -> None:
    ends = sorted({path[-1].name for path in paths})
    if len(ends) > 1:
        raise source.error(
            f"feeds {' and '.join(ends)}: here, each layer feeds the next one only; networks with skip connections or "
            "branches are not supported, train one without them"
        )
    for node in {node for path in paths for node in path[:-1]}:
        if len(graph.before(node.name)) > 1:
            raise node.error(f"sums {', '.join(graph.before(node.name))}: only neurons may; repeat it on each of them")
    foreign = set(graph.before(ends[0])) - {path[-2].name if len(path) > 1 else source.name for path in paths}
    if foreign:
        raise graph.nodes[ends[0]].error(
            f"also reads {', '.join(sorted(foreign))}, which does not come from {source.name}: skip connections "
            "are not supported, train a network without them"
        )


def _synapse(graph: Graph, paths: list[list[Node]], shape: Shape, dt: float) -> tuple[Synapse, Shape]:
    """One synapse for all paths that read a signal of `shape`, and the shape of what it gives."""
    end = paths[0][-1]
    found = [_along(path[:-1], end, shape, dt) for path in paths]
    if len({prod(synapse.shape) for synapse in found}) > 1:
        shapes = ", ".join(str(synapse.shape) for synapse in found)
        raise end.error(f"reads nodes of different shapes: {shapes}")
    try:
        total = simplified(summed(found))
    except Inexact as error:
        raise end.error(f"reads several nodes that no single layer can stand for: {error}") from error
    return total, total.shape


def _along(path: list[Node], end: Node, shape: Shape, dt: float) -> Synapse:
    synapse: Synapse | Wait | None = None
    for node in path:
        step = SYNAPSES[node.kind](node, shape, dt)
        try:
            synapse = composed(synapse, step)
        except Inexact as error:
            raise node.error(f"cannot be folded into the layer with the nodes before it: {error}") from error
        shape = step.shape
        if prod(shape) > _MAX_ELEMENTS:
            raise node.error(f"gives {shape}, more than 2^24 values")
    try:
        return finished(synapse, shape)
    except Inexact as error:
        raise end.error(f"reads too much at once: {error}") from error
