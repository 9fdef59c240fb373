"""NIR between snnkd and its peers: the same networks, run there and here, spike by spike.

    python toolchain/benchmarks/nir_peers.py [FILE.nir ...] [--n-mnist n-mnist-small.zip] [--json]

out: networks of snnkd, written as `.nir`, read by norse, snntorch and spikingjelly. in: networks that these wrote, read
here. files: graphs of others, read or refused. `float64` is the graph itself by snnkd's own float64 run, `integers` the
integer network; both columns are the share of all neurons and steps in which one spikes and the peer does not. Weights
and events are random and seeded. With --n-mnist, a FILE that reads (2, 34, 34) is also run on its 100 test recordings.
"""

# The peers are a group of their own: uv run --group peers
# pyright: reportMissingImports=false

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import logging
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import norse_peer
from snnkd import formats
from snnkd.analysis import conversion, evaluation
from snnkd.base.errors import SnnkdError
from snnkd.engines import conformance
from snnkd.formats.nir import assembly, definition, graph
from snnkd.formats.nir.export import DT
from snnkd.ir.network import IntNet

SAMPLES, STEPS, ACTIVITY = 16, 64, 0.2
PEERS = ("norse", "snntorch", "spikingjelly")
Run = Callable[[np.ndarray], np.ndarray]  # events (N, T, ...) to spikes (N, T, ...) of the last layer


@dataclass
class Row:
    """One network in one peer: spikes there, the shares that differ from it, and of equal classes; or why not."""

    way: str
    peer: str
    network: str
    spikes: int = 0
    float64: float = 0.0
    integers: float = 0.0
    classes: float = 0.0
    said: str = ""


# Out: networks of snnkd, in a peer


def networks() -> dict[str, IntNet]:
    """Seeded networks of both kinds, with and without decays that round."""
    random = np.random.default_rng(3)
    decays: dict[str, Any] = {"decays": (100, 1500), "thresholds": (150, 400), "largest": 250}
    whole: dict[str, Any] = {"decays": (4096, 4096), "thresholds": (60, 120), "largest": 120}
    dense = (
        conformance.random_dense(random, (64,), 32, **decays),
        conformance.random_dense(random, (32,), 10, **decays),
    )
    conv = conformance.random_conv(random, (1, 8, 8), 4, padding=(1, 1), stride=(2, 2), **decays)
    plain = conformance.random_conv(random, (1, 8, 8), 4, padding=(1, 1), stride=(2, 2), **whole)
    return {
        "dense 64-32-10": IntNet((64,), dense),
        "conv 1x8x8-4c3s2-10": IntNet((1, 8, 8), (conv, conformance.random_dense(random, conv.shape, 10, **decays))),
        "conv, decays of 1": IntNet((1, 8, 8), (plain, conformance.random_dense(random, plain.shape, 10, **whole))),
    }


def readers() -> dict[str, Callable[[Path], Run]]:
    return {
        "norse, float64 cells": _norse_cells,
        "norse.from_nir": _norse,
        "snntorch": _snntorch,
        "spikingjelly": _spikingjelly,
    }


def _stepped(module: Any) -> Run:
    """Runs a module step by step; one that takes a state gets it."""
    import torch

    def run(events: np.ndarray) -> np.ndarray:
        state, found = None, []
        with torch.no_grad():
            for t in range(events.shape[1]):
                out, state = _called(module, torch.from_numpy(events[:, t].astype(np.float32)), state)
                found.append(out.numpy())
        return np.stack(found, 1) > 0

    return run


def _called(module: Any, x: Any, state: Any) -> tuple[Any, Any]:
    out = module(x, state)
    return (out[0], out[1]) if isinstance(out, tuple) else (out, None)


def _norse(path: Path) -> Run:
    import nir
    import norse.torch as norse

    return _stepped(norse.from_nir(nir.read(path), dt=DT, ignore_warnings=True))


def _snntorch(path: Path) -> Run:
    import nir
    from snntorch.import_nir import import_from_nir

    return _stepped(import_from_nir(nir.read(path)))


def _spikingjelly(path: Path) -> Run:
    import nir
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    return _stepped(import_from_nir(nir.read(path), dt=DT))


def _norse_cells(path: Path) -> Run:
    run = norse_peer.cells(path)
    return lambda events: list(run(events).values())[-1]


def out_rows() -> Iterator[Row]:
    for network, net in networks().items():
        events = conformance.random_events(np.random.default_rng(0), net, SAMPLES, STEPS, ACTIVITY)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.nir"
            formats.save(net, path)
            for peer, reader in readers().items():
                yield _compared("out", peer, network, path, reader, events)


# In: networks of a peer, here


def writers() -> dict[str, tuple[str, Callable[[Path], Run], float | None]]:
    """(network) of each peer: who, what writes it and returns its run, and the time step that has to be given."""
    return {
        "LIFBoxCell 40-30-10": ("norse", _norse_box, 1e-6),
        "LIFCell 40-30-10": ("norse", _norse_lif, 1e-6),
        "LIFCell 40-30-10, as norse reads it": ("norse", _norse_lif_again, 1e-6),
        "Leaky 40-30-10": ("snntorch", lambda path: _snntorch_written(path, "Leaky", True), None),
        "Synaptic 40-30-10": ("snntorch", lambda path: _snntorch_written(path, "Synaptic", True), None),
        "Synaptic 40-30-10, reset_delay=False": (
            "snntorch",
            lambda path: _snntorch_written(path, "Synaptic", False),
            None,
        ),
        "LIFNode conv": ("spikingjelly", lambda path: _spikingjelly_written(path, "LIFNode"), None),
        "IFNode conv": ("spikingjelly", lambda path: _spikingjelly_written(path, "IFNode"), None),
        "CUBALIFNode conv": ("spikingjelly", lambda path: _spikingjelly_written(path, "CUBALIFNode"), None),
    }


def _linear(inputs: int, outputs: int, scale: float, bias: bool) -> Any:
    import torch

    module = torch.nn.Linear(inputs, outputs, bias=bias)
    with torch.no_grad():
        module.weight.copy_(torch.randn(outputs, inputs) * scale + 0.2 * scale)
    return module


def _norse_written(path: Path, cell: Any, scale: float) -> Run:
    import nir
    import norse.torch as norse
    import torch

    torch.manual_seed(0)
    layers = (_linear(40, 30, scale, True), cell(30), _linear(30, 10, scale, True), cell(10))
    module = norse.SequentialState(*layers)
    nir.write(path, norse.to_nir(module, torch.zeros(1, 40)))
    return _stepped(module)


def _norse_box(path: Path) -> Run:
    import norse.torch as norse
    import torch

    def cell(count: int) -> Any:
        ones = torch.ones(count)
        return norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=100 * ones, v_th=ones, v_leak=0 * ones))

    return _norse_written(path, cell, 1.5)


def _norse_lif(path: Path) -> Run:
    import norse.torch as norse
    import torch

    def cell(count: int) -> Any:
        ones = torch.ones(count)
        values = {"tau_syn_inv": 200 * ones, "tau_mem_inv": 100 * ones, "v_th": ones}
        return norse.LIFCell(norse.LIFParameters(**values, v_leak=0 * ones, v_reset=0 * ones))

    return _norse_written(path, cell, 0.8)


def _norse_lif_again(path: Path) -> Run:
    """The file that `_norse_lif` writes is another network than the module, for norse too."""
    import nir
    import norse.torch as norse

    _norse_lif(path)
    return _stepped(norse.from_nir(nir.read(path, type_check=False), dt=1e-6, ignore_warnings=True))


def _snntorch_written(path: Path, kind: str, delayed: bool) -> Run:
    import nir
    import snntorch
    import torch
    from snntorch.export_nir import export_to_nir

    torch.manual_seed(0)

    def neurons(count: int, last: bool) -> Any:
        beta = torch.full((count,), 0.9)
        options: dict[str, Any] = {
            "threshold": torch.full((count,), 1.5),
            "reset_mechanism": "zero",
            "init_hidden": True,
        }
        options |= {"output": last, "reset_delay": delayed}
        if kind == "Leaky":
            return snntorch.Leaky(beta=beta, **options)
        return snntorch.Synaptic(alpha=torch.full((count,), 0.7), beta=beta, **options)

    bias = kind == "Leaky"
    layers = (_linear(40, 30, 0.3, bias), neurons(30, False), _linear(30, 10, 0.3, bias), neurons(10, True))
    module = torch.nn.Sequential(*layers)
    nir.write(path, export_to_nir(module, torch.zeros(1, 40), ignore_dims=[0]))

    def run(events: np.ndarray) -> np.ndarray:
        from snntorch import utils

        utils.reset(module)
        found = []
        with torch.no_grad():
            for t in range(events.shape[1]):
                found.append(module(torch.from_numpy(events[:, t].astype(np.float32)))[0].numpy())
        return np.stack(found, 1) > 0

    return run


def _spikingjelly_written(path: Path, kind: str) -> Run:
    import torch
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    torch.manual_seed(0)
    options = {"CUBALIFNode": {"c_decay": 0.7, "v_decay": 0.9}, "LIFNode": {"tau": 4.0}}.get(kind, {})
    threshold = 1.5 if kind == "CUBALIFNode" else 0.8

    def neurons() -> Any:
        return getattr(neuron, kind)(v_threshold=threshold, v_reset=0.0, **options)

    convolution = layer.Conv2d(2, 4, 3, padding=1, stride=2, bias=kind != "CUBALIFNode")
    linear = _linear(36, 10, 0.9, False)
    module = torch.nn.Sequential(convolution, neurons(), layer.AvgPool2d(2), layer.Flatten(), linear, neurons())
    with torch.no_grad():
        convolution.weight.mul_(8 if kind == "LIFNode" else 3)
        linear.weight.mul_(4 if kind == "LIFNode" else 1)
    export_to_nir(module, torch.zeros(1, 2, 12, 12), save_path=path)

    def run(events: np.ndarray) -> np.ndarray:
        functional.reset_net(module)
        with torch.no_grad():
            steps = [module(torch.from_numpy(events[:, t].astype(np.float32))).numpy() for t in range(events.shape[1])]
        return np.stack(steps, 1) > 0

    return run


def in_rows() -> Iterator[Row]:
    for network, (peer, writer, dt) in writers().items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.nir"
            shape = (40,) if "40" in network else (2, 12, 12)
            events = (np.random.default_rng(0).random((SAMPLES, STEPS, *shape)) < ACTIVITY).astype(np.uint8)
            yield _compared("in", peer, network, path, lambda _, writer=writer, path=path: writer(path), events, dt)


def _compared(
    way: str,
    peer: str,
    network: str,
    path: Path,
    there: Callable[[Path], Run],
    events: np.ndarray,
    dt: float | None = None,
) -> Row:
    """Runs a network there and here. there: reads `path`, or writes it."""
    package = peer.split(",")[0].split(".")[0]
    if importlib.util.find_spec(package) is None:
        return Row(way, peer, network, said=f"{package} is not installed: pip install {package}")
    with _quiet():
        try:
            spikes = there(path)(events)
        except Exception as error:
            return Row(way, peer, network, said=f"{peer} fails: {type(error).__name__}: {str(error)[:90]}")
        found = graph.read(path)
        real = assembly.assembled(found, dt=dt)
        whole = definition.run(found, events, real.dt).signals[real.layers[-1].name]
        net = formats.load(path) if way == "out" else conversion.convert(path, dt=dt, events=events).net
        integers = evaluation.simulate(net, events).layers[-1].spikes
    spikes, whole, integers = (
        values.reshape(len(events), events.shape[1], -1) > 0 for values in (spikes, whole, integers)
    )
    classes = float((spikes.sum(1).argmax(1) == integers.sum(1).argmax(1)).mean())
    shares = [float((values != spikes).mean()) for values in (whole, integers)]
    return Row(way, peer, network, int(spikes.sum()), shares[0], shares[1], classes)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


# Files of others


def file_rows(paths: list[Path], archive: Path | None) -> Iterator[Row]:
    for path in paths:
        try:
            with _quiet():
                found = graph.read(path)
                recordings = archive is not None and assembly.assembled(found).input_shape == (2, 34, 34)
                events, labels = n_mnist(archive) if recordings and archive else (None, None)
                done = conversion.convert(path, events=events, labels=labels)
        except SnnkdError as error:
            yield Row("file", "", path.name, said=f"refused: {str(error).removeprefix(f'{path}: ')}")
            continue
        assert done.effect is not None
        last = done.effect.layers[-1]
        said = f"read, {len(done.layers)} layers, dt {done.dt:g} s"
        if done.effect.accuracy:
            said += ", accuracy {float64:.0%} in float64, {integers:.0%} in integers".format(**done.effect.accuracy)
        yield Row("file", "", path.name, last.float64, 0.0, last.differ, done.effect.classes_equal, said)


def n_mnist(archive: Path, steps: int = 100, window: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """(N, T, 2, 34, 34) events, 0 or 1, and (N,) classes of the test recordings: `steps` windows of `window` us."""
    found, labels = [], []
    with zipfile.ZipFile(archive) as files:
        for name in sorted(name for name in files.namelist() if "/Test/" in name and name.endswith(".bin")):
            raw = np.frombuffer(files.read(name), np.uint8).reshape(-1, 5).astype(np.int64)
            time = (raw[:, 2] & 127) << 16 | raw[:, 3] << 8 | raw[:, 4]
            events = np.zeros((steps, 2, 34, 34), np.uint8)
            step, inside = time // window, time // window < steps
            events[step[inside], raw[inside, 2] >> 7, raw[inside, 1], raw[inside, 0]] = 1
            found.append(events)
            labels.append(int(Path(name).parent.name))
    return np.stack(found), np.array(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("files", type=Path, nargs="*", help="graphs of others")
    parser.add_argument("--n-mnist", type=Path, help="the archive of N-MNIST's recordings")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [*out_rows(), *in_rows(), *file_rows(options.files, options.n_mnist)]
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    print(f"{'':5}{'peer':22}{'network':38}{'spikes':>8}{'float64':>10}{'integers':>10}{'classes':>9}  said")
    for row in rows:
        shares = f"{row.float64:10.3%}{row.integers:10.3%}{row.classes:9.1%}" if row.spikes else " " * 29
        print(f"{row.way:5}{row.peer:22}{row.network:38}{row.spikes:8}{shares}  {row.said}")


if __name__ == "__main__":
    main()
