"""A network in Norse: its NIR graph, run by Norse's own cells in float64, against the integer network.

    python toolchain/benchmarks/norse_peer.py RUN|FILE [--samples 16] [--data-root DIR]

compares every spike of every layer on the run's test images (on random events for a file), and names the first one that
differs. Where decays round, some do: Norse's states are real numbers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from snnkd import formats
from snnkd.analysis import evaluation, verification
from snnkd.cli.findings import render_verification
from snnkd.formats.nir import definition, graph
from snnkd.formats.nir.export import DT
from snnkd.ir.network import IntNet
from snnkd.ir.trace import LayerTrace, SpikeTrace
from snnkd.runs import subject


def cells(path: Path) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Reads a NIR graph of `CubaLIF` neurons; returns what runs it on events (N, T, ...), step by step as Norse's
    `from_nir` does, but in float64: spikes (N, T, ...) of each layer by name."""
    import torch
    from norse.torch.functional import leaky_integrator_box as li
    from norse.torch.functional import lif_box as lif
    from norse.torch.functional.reset import reset_value

    found = graph.read(path)

    def number(values: np.ndarray) -> Any:
        return torch.from_numpy(np.array(values, np.float64))

    def neurons(node: graph.Node, x: Any) -> Any:
        zero = number(np.zeros(()))
        synapse = li.LIBoxParameters(tau_mem_inv=1 / number(node.array("tau_syn")), v_leak=zero)
        threshold = number(node.array("v_threshold"))
        membrane = lif.LIFBoxParameters(
            tau_mem_inv=1 / number(node.array("tau_mem")), v_th=threshold, v_leak=zero, reset_method=reset_value
        )
        current, voltage, out = li.LIBoxState(torch.zeros_like(x[:, 0])), torch.zeros_like(x[:, 0]), []
        for t in range(x.shape[1]):
            i, current = li.li_box_feed_forward_step(number(node.array("w_in")) * x[:, t], current, synapse, dt=DT)
            state = lif.LIFBoxFeedForwardState(v=voltage)
            z, state = lif.lif_box_feed_forward_step(number(node.array("r")) * i, state, membrane, dt=DT)
            voltage = state.v
            out.append(z)
        return torch.stack(out, 1)

    def run(events: np.ndarray) -> dict[str, np.ndarray]:
        signals: dict[str, Any] = {}
        spikes: dict[str, np.ndarray] = {}
        for node in found.ordered():
            before = [signals[name] for name in found.before(node.name)]
            if node.kind == "Input":
                signals[node.name] = number(events)
            elif node.kind == "CubaLIF":
                signals[node.name] = neurons(node, before[0])
                spikes[node.name] = signals[node.name].numpy() > 0
            else:
                signals[node.name] = torch.from_numpy(definition.FORMULAS[node.kind](node, before[0].numpy(), DT))
        return spikes

    return run


def trace(net: IntNet, events: np.ndarray) -> SpikeTrace:
    """Runs `net` in Norse on integers (N, T, *input shape); its spikes alone."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.nir"
        formats.save(net, path)
        spikes = cells(path)(events)
    layers = [
        LayerTrace(name, spikes[name].reshape(*events.shape[:2], *layer.shape).astype(np.uint8))
        for name, layer in zip(net.names, net.layers, strict=True)
    ]
    return SpikeTrace("norse", events, tuple(layers))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("network", help="a run folder, its name, or a file")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--data-root", type=Path)
    options = parser.parse_args()
    opened = subject.opened(options.network, data_root=options.data_root)
    samples = opened.samples(options.samples)
    (events,) = samples.blocks(options.samples)
    compared = verification.compare(opened.net, evaluation.simulate(opened.net, events), trace(opened.net, events))
    said = {"against": "norse in float64", "data": samples.data, "bias": opened.net.has_bias, **compared.to_json()}
    Console().print(render_verification(said))
    return int(not compared.equal)


if __name__ == "__main__":
    sys.exit(main())
