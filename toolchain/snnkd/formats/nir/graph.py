"""A NIR graph: nodes with their numbers, and the edges between them; subgraphs are taken apart.

Follows nir 1.0.8 `serialization.py`: HDF5 groups `node/nodes/<name>` with a text `type` and an array of each parameter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from snnkd.base.errors import FormatError
from snnkd.formats.hdf5.groups import Group, opened
from snnkd.formats.hdf5.process import Wanted

VERSION = "1.0.8"  # of nir, whose files these are
_WANTED = Wanted(("node", "version"), 12, text=1 << 20, texts=True)
_MAX_NODES, _MAX_EDGES, _MAX_NAME, _DEEPEST = 1000, 4096, 100, 4

# What each primitive is made of; '?' marks what older files lack.
PARAMETERS = {
    "Input": ("shape",),
    "Output": ("shape",),
    "Affine": ("weight", "bias"),
    "Linear": ("weight",),
    "Conv1d": ("weight", "bias", "stride", "padding", "dilation", "groups", "input_shape?"),
    "Conv2d": ("weight", "bias", "stride", "padding", "dilation", "groups", "input_shape?"),
    "SumPool2d": ("kernel_size", "stride", "padding"),
    "AvgPool2d": ("kernel_size", "stride", "padding"),
    "Flatten": ("start_dim", "end_dim", "input_type?"),
    "Scale": ("scale",),
    "Delay": ("delay",),
    "Threshold": ("threshold",),
    "I": ("r",),
    "IF": ("r", "v_threshold", "v_reset?"),
    "LI": ("tau", "r", "v_leak"),
    "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset?"),
    "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak", "w_in?"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset?", "w_in?"),
}

Value = np.ndarray | str
Edge = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Node:
    """A node; of a subgraph, at a depth above 0, it is called 'subgraph.node'.

    values: its parameters, float64, int64 or text.
    """

    name: str
    kind: str
    values: dict[str, Value] = field(default_factory=dict)
    file: str = ""
    depth: int = 0

    def error(self, problem: str) -> FormatError:
        """Returns, for the caller to raise, the error that names file and node."""
        return FormatError(f"{self.file}: node {self.name} ({self.kind}): {problem}")

    def array(self, name: str) -> np.ndarray:
        """Returns the parameter `name` as float64. Raises FormatError where it is a text."""
        value = self.values[name]
        if isinstance(value, str):
            raise self.error(f"{name}: expected numbers, found '{value[:32]}'")
        return np.asarray(value, np.float64)

    def integers(self, name: str, low: int, high: int = 1 << 15) -> tuple[int, ...]:
        """Returns the parameter `name` as integers in [low, high]. Raises FormatError for anything else."""
        values = self.array(name).reshape(-1)
        if not 1 <= values.size <= 8 or (values != np.rint(values)).any() or values.min() < low or values.max() > high:
            raise self.error(f"{name}: expected integers in [{low}, {high}], found {values[:8]}")
        return tuple(int(value) for value in values)

    def pair(self, name: str, low: int) -> tuple[int, int]:
        """Returns the parameter `name`, one integer for both or two, as (H, W). Raises FormatError for others."""
        first, *others = self.integers(name, low)
        if len(others) > 1:
            raise self.error(f"{name}: expected one or two integers, found {1 + len(others)}")
        return first, others[0] if others else first


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes by name, edges between them, and the metadata of the graph: numbers and texts."""

    nodes: dict[str, Node]
    edges: list[Edge]
    metadata: dict[str, Value] = field(default_factory=dict)
    file: str = ""

    def error(self, problem: str) -> FormatError:
        """Returns, for the caller to raise, the error that names the file."""
        return FormatError(f"{self.file}: {problem}")

    def behind(self, name: str) -> list[str]:
        """Returns the nodes that read the node `name`."""
        return [post for pre, post in self.edges if pre == name]

    def before(self, name: str) -> list[str]:
        """Returns the nodes that the node `name` reads."""
        return [pre for pre, post in self.edges if post == name]

    def ordered(self) -> list[Node]:
        """Returns the nodes so that each comes behind those that it reads. Raises FormatError that names a loop."""
        waiting = {name: len(self.before(name)) for name in self.nodes}
        ready, order = [name for name, count in waiting.items() if not count], list[Node]()
        while ready:
            name = ready.pop(0)
            order.append(self.nodes[name])
            for post in self.behind(name):
                waiting[post] -= 1
                if not waiting[post]:
                    ready.append(post)
        if len(order) < len(self.nodes):
            loop = _loop(self, [name for name, count in waiting.items() if count])
            raise self.error(
                f"nodes {', '.join(loop)} feed each other: recurrent networks are not supported, train one "
                "without the loop"
            )
        return order


def _loop(graph: Graph, among: list[str]) -> list[str]:
    """Some nodes of `among`, all of which lie on or behind a loop, that feed each other in a circle."""
    seen: list[str] = []
    name = among[0]
    while name not in seen:
        seen.append(name)
        name = next(pre for pre in graph.before(name) if pre in among)
    return sorted(seen[seen.index(name) :])


def read(path: str | Path) -> Graph:
    """Reads the graph in the `.nir` file at `path`. Raises FormatError that names file, node and parameter."""
    with opened(Path(path), _WANTED) as root:
        top = root.network("node")
        if top.text("type") != "NIRGraph":
            raise top.error("type", f"expected NIRGraph, found '{top.text('type')[:32]}'")
        return joined(_graph(top, "", str(path), 0))


def _graph(group: Group, prefix: str, file: str, depth: int) -> Graph:
    """The graph in `group`, with the nodes of subgraphs beside its own: those read from `prefix` + their name."""
    nodes: dict[str, Node] = {}
    edges: list[Edge] = []
    inputs: dict[str, list[str]] = {}  # of subgraphs: the nodes that stand for their input
    outputs: dict[str, list[str]] = {}
    members = group.group("nodes")
    for name in _names(members):
        inner = members.group(name)
        kind = inner.text("type")
        if kind == "NIRGraph":
            if depth == _DEEPEST:
                raise inner.error("", f"subgraphs lie deeper than {_DEEPEST} levels")
            part = _graph(inner, f"{prefix}{name}.", file, depth + 1)
            nodes |= part.nodes
            edges += part.edges
            own = [node for node in part.nodes.values() if node.depth == depth + 1]
            inputs[name] = [node.name for node in own if node.kind == "Input"]
            outputs[name] = [node.name for node in own if node.kind == "Output"]
        else:
            nodes[f"{prefix}{name}"] = _node(inner, f"{prefix}{name}", kind, file, depth)
            inputs[name] = outputs[name] = [f"{prefix}{name}"]
        if len(nodes) > _MAX_NODES:
            raise members.error("", f"more than {_MAX_NODES} nodes")
    for pre, post in _edges(group):
        for name in (pre, post):
            if name not in inputs:
                raise group.error(
                    "edges", f"'{pre}' -> '{post}' names a node that is not there; there are {_few(inputs)}"
                )
        if len(outputs[pre]) != 1 or len(inputs[post]) != 1:
            raise group.error("edges", f"'{pre}' -> '{post}': a subgraph needs one Input and one Output node")
        edges.append((outputs[pre][0], inputs[post][0]))
    return Graph(nodes, edges, _metadata(group) if not prefix else {}, file)


def _names(group: Group) -> list[str]:
    names = group.names()
    for name in names:
        if len(name) > _MAX_NAME or not name.isprintable():
            raise group.error("", f"the name of a node is no short text: {name[:40]!r}")
    if not names or len(names) > _MAX_NODES:
        raise group.error("", f"expected 1 to {_MAX_NODES} nodes, found {len(names)}")
    return names


def _few(names: Any) -> str:
    return ", ".join(sorted(names)[:8])


def _edges(group: Group) -> list[Edge]:
    edges = group.texts("edges")
    if edges.ndim != 2 or edges.shape[1] != 2 or len(edges) > _MAX_EDGES:
        raise group.error("edges", f"expected (n, 2) names, at most {_MAX_EDGES} pairs, found {edges.shape}")
    return list(dict.fromkeys((str(pre), str(post)) for pre, post in edges))


def _node(group: Group, name: str, kind: str, file: str, depth: int) -> Node:
    if kind not in PARAMETERS:
        raise group.error(
            "type", f"'{kind[:32]}': not a primitive that is read; make it one of {', '.join(PARAMETERS)}"
        )
    wanted = [parameter.rstrip("?") for parameter in PARAMETERS[kind]]
    missing = [parameter for parameter in PARAMETERS[kind] if parameter not in group and not parameter.endswith("?")]
    if missing:
        parameters = ", ".join(parameter for parameter in PARAMETERS[kind] if not parameter.endswith("?"))
        advice = "; one without bias is a Linear" if missing == ["bias"] and kind == "Affine" else ""
        raise group.error(missing[0], f"is missing: a node {kind} of NIR has {parameters}{advice}")
    return Node(name, kind, {key: group.value(key) for key in wanted if key in group}, file, depth)


def _metadata(group: Group) -> dict[str, Value]:
    """Numbers and texts of the graph's metadata; other things in there are other people's."""
    if "metadata" not in group:
        return {}
    metadata = group.group("metadata")
    return {name: metadata.value(name) for name in metadata.names() if metadata.holds_value(name)}


def joined(graph: Graph) -> Graph:
    """Returns the graph without the Input and Output nodes of subgraphs: what they read feeds what reads them."""
    nodes, edges = dict(graph.nodes), list(graph.edges)
    for node in graph.nodes.values():
        if node.depth and node.kind in ("Input", "Output"):
            before = [pre for pre, post in edges if post == node.name]
            behind = [post for pre, post in edges if pre == node.name]
            edges = [edge for edge in edges if node.name not in edge]
            edges = list(dict.fromkeys([*edges, *((pre, post) for pre in before for post in behind)]))
            del nodes[node.name]
            if len(edges) > _MAX_EDGES:
                raise graph.error(f"more than {_MAX_EDGES} edges")
    return Graph(nodes, edges, graph.metadata, graph.file)
