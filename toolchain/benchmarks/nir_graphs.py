"""Valid NIR graphs of every primitive, with seeded numbers: for tests, fuzz_nir.py and support_table.py."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from snnkd.formats.nir.graph import Graph, Node
from snnkd.formats.nir.write import graph_bytes
from snnkd.ir.network import Shape

DT = 1e-4


def node(name: str, kind: str, **values: Any) -> Node:
    """A node whose parameters are given as a text or anything that numpy takes."""
    return Node(
        name, kind, {key: value if isinstance(value, str) else np.array(value) for key, value in values.items()}
    )


def chain(*nodes: Node, extra: tuple[tuple[str, str], ...] = ()) -> Graph:
    """A graph of nodes in a row, and `extra` edges."""
    edges = [*itertools.pairwise(one.name for one in nodes), *extra]
    return Graph({one.name: one for one in nodes}, edges)


def write(graph: Graph, path: Path) -> Path:
    """Writes a graph as nir does."""
    path.write_bytes(graph_bytes(graph))
    return path


def between(shape: Shape, *nodes: Node, dt: float | None = None) -> Graph:
    """A graph of nodes between an Input of `shape` and an Output; dt: of its metadata."""
    graph = chain(node("input", "Input", shape=shape), *nodes, node("output", "Output", shape=(1,)))
    return graph if dt is None else Graph(graph.nodes, graph.edges, {"dt": np.array(dt)})


# The primitives, each with numbers of its own


def lif(name: str = "lif", n: Shape = (3,), **other: Any) -> Node:
    values = {"tau": 1e-3, "r": 10.0, "v_leak": 0.0, "v_threshold": 0.8, "v_reset": 0.0} | other
    return node(name, "LIF", **{key: np.broadcast_to(value, n) for key, value in values.items()})


def cuba(name: str = "lif", n: Shape = (3,), **other: Any) -> Node:
    values = {
        "tau_syn": 4e-4,
        "tau_mem": 1e-3,
        "r": 10.0,
        "w_in": 4.0,
        "v_leak": 0.0,
        "v_threshold": 1.5,
        "v_reset": 0.0,
    }
    return node(name, "CubaLIF", **{key: np.broadcast_to(value, n) for key, value in (values | other).items()})


def integrator(name: str = "lif", n: Shape = (3,), **other: Any) -> Node:
    values = {"r": 1.0, "v_threshold": 1.0, "v_reset": 0.0} | other
    return node(name, "IF", **{key: np.broadcast_to(value, n) for key, value in values.items()})


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).normal(0.2, 0.5, shape)


def affine(name: str = "fc", outputs: int = 3, inputs: int = 5, bias: Any = None, seed: int = 0) -> Node:
    if bias is None:
        return node(name, "Linear", weight=weights(outputs, inputs, seed=seed))
    return node(name, "Affine", weight=weights(outputs, inputs, seed=seed), bias=np.broadcast_to(bias, outputs))


def conv(name: str = "conv", *shape: int, bias: Any = 0.0, groups: int = 1, **other: Any) -> Node:
    values = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": groups} | other
    return node(name, "Conv2d", weight=weights(*shape), bias=np.broadcast_to(bias, shape[0]), **values)


def pool(
    name: str = "pool", kind: str = "SumPool2d", kernel: Any = (2, 2), stride: Any = (2, 2), padding: Any = (0, 0)
):
    return node(name, kind, kernel_size=kernel, stride=stride, padding=padding)


def flatten(start: int = 0) -> Node:
    return node("flatten", "Flatten", start_dim=start, end_dim=-1)


def graphs() -> dict[str, Graph]:
    """Graphs that are read, by what they show."""
    image, bias = (2, 6, 6), np.array((0.1, -0.2, 0.3))
    delay = node("delay", "Delay", delay=np.array((0, 2, 5)) * DT)
    before = node("delay", "Delay", delay=np.arange(5) * DT)
    scale = node("scale", "Scale", scale=(0.5, 2.0, 1.5))
    by_channel = node("scale", "Scale", scale=np.broadcast_to(np.array((0.5, 2.0))[:, None, None], image))
    each = np.linspace(0.5, 1.5, 3)
    found = {
        "Linear, LIF": between((5,), affine(), lif()),
        "Affine, LIF": between((5,), affine(bias=bias), lif()),
        "LIF: r is not tau / dt": between((5,), affine(), lif(r=each * 8), dt=DT),
        "LIF: r is 1": between((5,), affine(), lif(r=1.0, v_threshold=0.05)),
        "LIF: each neuron its own": between((5,), affine(), lif(tau=each * 1e-3, v_threshold=each), dt=DT),
        "LIF: v_leak": between((5,), affine(), lif(v_leak=each - 0.5)),
        "LIF: v_reset": between((5,), affine(), lif(v_reset=-0.5 * each)),
        "CubaLIF": between((5,), affine(), cuba()),
        "CubaLIF: v_leak, v_reset": between((5,), affine(), cuba(v_leak=each, v_reset=-0.5)),
        "IF": between((5,), affine(), integrator()),
        "IF: r is 1 / dt": between((5,), affine(), integrator(r=1e4)),
        "Threshold": between((5,), affine(), node("lif", "Threshold", threshold=each)),
        "two layers": between((5,), affine(), lif("lif0"), affine("fc1", 4, 3), cuba("lif1", (4,))),
        "neurons only": between((3,), lif(v_threshold=0.3), integrator("lif1", v_threshold=2.5)),
        "Delay behind": between((5,), affine(), delay, lif()),
        "Delay before": between((5,), before, affine(), lif()),
        "Scale behind": between((5,), affine(bias=bias), scale, lif()),
        "Linear, Linear": between((5,), affine(outputs=4, bias=0.1), affine("fc1", 3, 4), lif()),
        "Conv2d": between(image, conv("conv", 3, 2, 3, 3, bias=bias, padding=(1, 1), stride=(2, 2)), lif(n=(3, 3, 3))),
        "Conv2d: groups, same": between(image, conv("conv", 4, 1, 3, 3, groups=2, padding="same"), lif(n=(4, 6, 6))),
        "Conv2d: each pixel its own": between(
            image, conv("conv", 3, 2, 3, 3), lif(n=(3, 4, 4), v_threshold=np.linspace(0.5, 1.5, 48).reshape(3, 4, 4))
        ),
        "SumPool2d, Conv2d": between(image, pool(), conv("conv", 3, 2, 3, 3, padding=(1, 1)), lif(n=(3, 3, 3))),
        "AvgPool2d, Conv2d": between(image, pool(kind="AvgPool2d"), conv("conv", 3, 2, 2, 2), lif(n=(3, 2, 2))),
        "Conv2d, AvgPool2d": between(
            image, conv("conv", 3, 2, 3, 3, bias=bias), pool(kind="AvgPool2d"), lif(n=(3, 2, 2), v_threshold=0.4)
        ),
        "SumPool2d": between(
            image, pool(kernel=(3, 2), stride=(2, 1), padding=(1, 0)), lif(n=(2, 3, 5), v_threshold=3.0)
        ),
        "SumPool2d, Flatten, Linear": between(image, pool(), flatten(1), affine(inputs=18), lif()),
        "Conv2d, Flatten, Affine": between(
            image,
            conv("conv", 3, 2, 3, 3),
            lif("lif0", (3, 4, 4)),
            flatten(),
            affine(inputs=48, bias=bias),
            lif(v_threshold=15.0),
        ),
        "Scale, Conv2d": between(image, by_channel, conv("conv", 3, 2, 3, 3), lif(n=(3, 4, 4))),
        "Conv1d": between(
            (2, 9),
            node(
                "conv",
                "Conv1d",
                weight=weights(3, 2, 3),
                bias=bias,
                stride=2,
                padding=1,
                dilation=1,
                groups=1,
                input_shape=9,
            ),
            lif(n=(3, 5), v_threshold=0.35),
        ),
        "LI": between(
            (5,), affine(), lif("lif0"), affine("fc1", 4, 3), _silent("li", "LI", (4,), tau=2e-3, r=20.0, v_leak=0.1)
        ),
        "CubaLI": between(
            (5,), affine(), _silent("li", "CubaLI", (3,), tau_syn=4e-4, tau_mem=2e-3, r=20.0, w_in=4.0, v_leak=0.0)
        ),
        "I": between((5,), affine(), _silent("li", "I", (3,), r=1e4)),
        "no neurons at the end": between((5,), affine(), lif(), affine("fc1", 4, 3, bias=0.1)),
    }
    parallel = chain(
        node("input", "Input", shape=(5,)),
        affine(),
        lif(),
        node("output", "Output", shape=(3,)),
        extra=(("input", "fc1"), ("fc1", "delay"), ("delay", "lif")),
    )
    late = {"fc1": affine("fc1", seed=1), "delay": node("delay", "Delay", delay=np.full(3, 4 * DT))}
    low = weights(3, 5) > 0.2  # each connection goes one way only
    parts = {
        "fc": node("fc", "Linear", weight=weights(3, 5) * low),
        "fc1": node("fc1", "Linear", weight=weights(3, 5) * ~low),
    }
    found["a way with a Delay beside one without"] = Graph(parallel.nodes | late | parts, parallel.edges)
    return found


def _silent(name: str, kind: str, n: Shape, **values: float) -> Node:
    return node(name, kind, **{key: np.full(n, value) for key, value in values.items()})
