"""The integer form of a network in the metadata of its graph, so that it comes back as it was, bit for bit.

`network` is JSON: what `describe.facts` says, and the kind and form of each layer; `layerK.weight` and the like are
integer arrays. Whether the graph still says the same is checked: whoever changes it need not know of all this.
"""

from __future__ import annotations

import json
from math import prod
from typing import Any

import numpy as np

from snnkd.base.errors import FormatError
from snnkd.formats import facts
from snnkd.formats.nir.export import DT, graph_of, unsaid
from snnkd.formats.nir.graph import Graph, Value
from snnkd.ir import describe
from snnkd.ir.network import Conv, Cuba, Dense, Input, IntNet, Layer, Shape
from snnkd.ir.readout import EarlyExit, Readout

_NEURON = ("current_decay", "voltage_decay", "threshold", "bias")
_CONV = ("stride", "padding", "dilation")
_CLOSE = 1e-5  # relative: what a tool may lose that writes float32


def metadata(net: IntNet) -> dict[str, Value]:
    """Returns the metadata of the graph of `net`: numbers and texts, as nir reads and writes them."""
    said = describe.facts(net) | {"layers": [_form(layer) for layer in net.layers]}
    data: dict[str, Value] = {"producer": "snnkd", "dt": np.array(DT), "not_in_nir": "\n".join(unsaid(net))}
    if net.steps is not None:
        data["steps"] = np.array(net.steps)
    data["network"] = json.dumps(said, sort_keys=True)
    for name, layer in zip(net.names, net.layers, strict=True):
        arrays = {field: getattr(layer.neuron, field) for field in _NEURON}
        arrays |= {field: getattr(layer, field, None) for field in ("weight", "delay")}
        data |= {f"{name}.{field}": values for field, values in arrays.items() if values is not None}
    return data


def _form(layer: Layer) -> dict[str, Any]:
    form: dict[str, Any] = {"kind": layer.kind, "shape": list(layer.shape)}
    if isinstance(layer, Conv):
        form |= {key: list(getattr(layer, key)) for key in _CONV} | {"groups": layer.groups}
    if isinstance(layer, Dense):
        form["weight_exp"] = layer.weight_exp
    return form


def attached(graph: Graph) -> IntNet | None:
    """Returns the network in the metadata of `graph`; None where there is none.

    Raises FormatError where it is not what snnkd writes.
    """
    text = graph.metadata.get("network")
    if not isinstance(text, str):
        return None
    try:
        return _network(facts.parsed(text), graph.metadata)
    except (FormatError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        problem = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise graph.error(f"metadata: not the network that snnkd writes there: {problem[:200]!r}") from error


def still_says(graph: Graph, net: IntNet) -> bool:
    """Tells whether `graph` is that of `net`: the same nodes and edges, and the same numbers but for float32."""
    for name, layer in zip(net.names, net.layers, strict=True):
        values = graph.nodes[name].values if name in graph.nodes else {}
        if np.size(values.get("v_threshold", 0)) != prod(layer.shape):
            return False  # before a graph is made that would be larger than the file
    own = graph_of(net)
    if own.nodes.keys() != graph.nodes.keys() or set(own.edges) != set(graph.edges):
        return False
    pairs = [(own.nodes[name], graph.nodes[name]) for name in own.nodes]
    return all(
        mine.kind == theirs.kind
        and mine.values.keys() <= theirs.values.keys()
        and all(_close(mine.values[key], theirs.values[key]) for key in mine.values)
        for mine, theirs in pairs
    )


def _close(mine: Value, theirs: Value) -> bool:
    if isinstance(mine, str) or isinstance(theirs, str) or np.size(mine) != np.size(theirs):
        return False
    return np.allclose(np.reshape(theirs, -1), np.reshape(mine, -1), rtol=_CLOSE, atol=0)


def _network(said: dict[str, Any], data: dict[str, Value]) -> IntNet:
    exit_rule, readout, names = said["early_exit"], said["readout"], said.get("class_names")
    if not isinstance(names, list | None):
        raise ValueError("class_names: expected a JSON list")
    layers = [_layer(f"layer{index}", form, data) for index, form in enumerate(said["layers"])]
    for key in ("encoding", "provenance"):
        if not isinstance(said[key], dict | None):
            raise ValueError(f"{key}: expected a JSON object")
    return IntNet(
        input_shape=_shape(said["input_shape"]),
        layers=tuple(layers),
        steps=None if said["steps"] is None else _whole(said["steps"], 1, 1 << 20),
        message_bits=_whole(said["message_bits"], 0, 24),
        encoding=said["encoding"],
        readout=Readout(**readout),
        provenance=said["provenance"],
        early_exit=None if exit_rule is None else EarlyExit(**exit_rule),
        class_names=None if names is None else tuple(names),
    )


def _layer(name: str, form: dict[str, Any], data: dict[str, Value]) -> Layer:
    def array(field: str) -> np.ndarray | None:
        values = data.get(f"{name}.{field}")
        if values is None:
            return None
        if isinstance(values, str) or values.dtype.kind != "i" or not values.size or np.abs(values).max() >= 1 << 31:
            raise ValueError(f"{name}.{field}: expected integers")
        return values.astype(np.int32)

    def needed(field: str) -> np.ndarray:
        values = array(field)
        if values is None:
            raise ValueError(f"{name}.{field}: is missing")
        return values

    neuron = Cuba(needed("current_decay"), needed("voltage_decay"), needed("threshold"), array("bias"))
    shape, kind = _shape(form["shape"]), form["kind"]
    if kind == "input":
        return Input(shape, neuron)
    if kind == "dense":
        return Dense(needed("weight"), neuron, _whole(form["weight_exp"], -16, 16), array("delay"))
    if kind != "conv":
        raise ValueError(f"{name}: kind {kind!r:.40}: expected input, dense or conv")
    pairs = [tuple(_whole(value, 0, 1 << 15) for value in form[key]) for key in _CONV]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{name}: {', '.join(_CONV)}: expected pairs")
    return Conv(needed("weight"), neuron, shape, *pairs, _whole(form["groups"], 1, 1 << 24))  # type: ignore[arg-type]


def _shape(values: Any) -> Shape:
    shape = tuple(_whole(value, 1, 1 << 24) for value in values)
    if len(shape) not in (1, 3) or prod(shape) > 1 << 24:
        raise ValueError(f"a shape {shape}: expected (C, H, W) or (features,)")
    return shape


def _whole(value: Any, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"expected an integer in [{low}, {high}], found {value!r:.40}")
    return value
