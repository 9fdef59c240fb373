"""Writes docs/support.md: which engine and which format takes which networks, tried with the conformance networks and
with a NIR graph of every primitive.

    python toolchain/benchmarks/support_table.py [--check]

--check: writes nothing; exit status 1 where the page is not what would be written.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from nir_graphs import graphs, write
from snnkd import engines, formats
from snnkd.base.errors import SnnkdError
from snnkd.engines import conformance
from snnkd.formats.nir import assembly, rounding
from snnkd.formats.nir import graph as nir_graph
from snnkd.formats.nir.graph import PARAMETERS
from snnkd.ir.network import IntNet

PAGE = Path(__file__).parents[2] / "docs" / "support.md"

_HEAD = """# What is supported

Written by `python toolchain/benchmarks/support_table.py`, which tries every cell; a test says when this page is old.

## Networks, engines and formats

The rows are the networks of `toolchain/snnkd/engines/conformance.py`. An engine with *yes* takes the network, and then
equals the definition on it in every spike and state (`tests/engines/`). A format with *yes* gives the same network
back. *.nir, graph* is the graph alone, without the integers in its metadata: *yes* where it says the same network by
the rules of [nir.md](nir.md).

"""

_PRIMITIVES = """
## NIR's primitives

A graph of each that snnkd reads (`toolchain/benchmarks/nir_graphs.py`), and what its layers become. *exact*: the
integers say what the numbers said; else the largest relative error of a layer's weights and decays, as these graphs
have random real numbers.

"""


def page() -> str:
    """Makes the page."""
    names = [*engines.ENGINES, ".net", ".nir", ".nir, graph"]
    rows = [["network", *names]]
    said = conformance.shown()
    for name, (net, _) in conformance.networks().items():
        taken = ["yes" if engines.get(engine).refuses(net) is None else "no" for engine in engines.ENGINES]
        rows.append(
            [f"{name}: {said[name]}", *taken, _comes_back(net, ".net"), _comes_back(net, ".nir"), _graph_alone(net)]
        )
    used = {kind for graph in graphs().values() for kind in (node.kind for node in graph.nodes.values())}
    unseen = sorted(PARAMETERS.keys() - used)
    if unseen:
        raise SystemExit(f"nir_graphs.py has no graph with {', '.join(unseen)}")
    primitives = [["graph", "layers", "weights", "decays"], *(_primitive(name) for name in graphs())]
    return _HEAD + _table(rows) + _PRIMITIVES + _table(primitives)


def _comes_back(net: IntNet, suffix: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"network{suffix}"
        try:
            formats.save(net, path)
            again = formats.load(path)
            formats.save(again, copy := path.with_stem("again"))
        except SnnkdError:
            return "no"
        return "yes" if path.read_bytes() == copy.read_bytes() else "changed"


def _graph_alone(net: IntNet) -> str:
    if net.is_sigma_delta:
        return "no"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.nir"
        formats.save(net, path)
        try:
            _, choices = rounding.rounded(assembly.assembled(nir_graph.read(path)))
        except SnnkdError:
            return "no"
    rounds = any(layer.kind == "dense" and layer.weight_exp < 0 for layer in net.layers)
    if rounds or net.reads_image:
        return "not its rounding of sums" if rounds else "not its image"
    return "yes" if all(choice.exact for choice in choices) else "nearly"


def _primitive(name: str) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        found = nir_graph.read(write(graphs()[name], Path(folder) / "graph.nir"))
    net, choices = rounding.rounded(assembly.assembled(found))
    layers = ", ".join(f"{layer.kind} {'x'.join(map(str, layer.shape))}" for layer in net.layers)
    errors = [max(getattr(choice, key) for choice in choices) for key in ("weight_error", "decay_error")]
    return [name, layers, *(f"{error:.2%}" if error else "exact" for error in errors)]


def _table(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        current = PAGE.is_file() and PAGE.read_text() == page()
        sys.exit(0 if current else "docs/support.md is old: run python toolchain/benchmarks/support_table.py")
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
