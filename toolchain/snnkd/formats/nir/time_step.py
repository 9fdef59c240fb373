"""The length of a time step of a graph. NIR's equations have continuous time and its files no dt, but whoever wrote a
file had one: its constants tell it, mostly."""

from __future__ import annotations

import numpy as np

from snnkd.base.errors import FormatError
from snnkd.formats.nir.graph import Graph, Node

DEFAULT = 1e-4  # seconds: what snntorch and spikingjelly write and take
_NEAR = 0.05  # so close, a constant is taken for a power of ten

# tau / x is dt where a file says x = tau / dt, so that an input of weight w adds w: (tau, x) of each primitive.
_RATIOS = {
    "LIF": (("tau", "r"),),
    "LI": (("tau", "r"),),
    "CubaLIF": (("tau_mem", "r"), ("tau_syn", "w_in")),
    "CubaLI": (("tau_mem", "r"), ("tau_syn", "w_in")),
}
_TIMES = ("tau", "tau_mem", "tau_syn")


def time_step(graph: Graph, given: float | None = None) -> tuple[float, str]:
    """Returns the seconds of a time step of `graph`, and in words why.

    given: what the user says. Else what the graph's metadata say (`dt`), what its constants say, 1 where its time
    constants are steps, or 1e-4. Raises FormatError for one that is no number above 0.
    """
    if given is not None:
        return _checked(graph, given), "given"
    said = graph.metadata.get("dt")
    if said is not None and not isinstance(said, str) and said.size == 1:
        return _checked(graph, float(said.reshape(()))), "the file's metadata say so"
    ratios = [ratio for node in graph.nodes.values() for ratio in _ratios(node)]
    if ratios and max(ratios) <= min(ratios) * (1 + _NEAR):
        return _rounded(float(np.median(ratios))), "r = tau / dt in the file's neurons"
    times = [node.array(name) for node in graph.nodes.values() for name in _TIMES if name in node.values]
    if all(values.min(initial=1) >= 1 for values in times):
        return 1.0, "its time constants are in steps" if times else "nothing in it depends on time"
    return DEFAULT, "most tools' time step; the file does not tell its own: give it with --dt"


def _checked(graph: Graph, dt: float) -> float:
    if not 0 < dt < float("inf"):
        raise FormatError(f"{graph.file}: a time step of {dt:g}: expected seconds above 0")
    return dt


def _ratios(node: Node) -> list[float]:
    """What one node says of dt."""
    found = []
    for tau, factor in _RATIOS.get(node.kind, ()):
        if factor in node.values:
            values, factors = node.array(tau), node.array(factor)
            if factors.size and (factors > 0).all() and (factors != 1).any() and values.size in (1, factors.size):
                found += (values.reshape(-1) / factors.reshape(-1)).tolist()
    if node.kind in ("IF", "I"):
        found += [1 / r for r in node.array("r").reshape(-1).tolist() if r > 0 and r != 1]
    return [float(value) for value in found]


def _rounded(dt: float) -> float:
    power = 10.0 ** round(np.log10(dt))
    return power if abs(dt / power - 1) < _NEAR else dt
