"""Compares engines with the definition, spikes and states of every layer and step, network by network.

    python toolchain/benchmarks/parity.py [--n 20] [--engines fast,lava,onnx,c99] [--json]

The networks: the named cases of `engines.conformance`, n random ones of CUBA neurons and n of sigma-delta ones, and
those inside lava-dl's wheel where it is installed. `states` are the values of states that were compared in each engine,
`overflows` the wraps and clips that the definition counts in the run (where an engine counts them too, they must be the
same). A network that an engine
cannot take is listed with its reason. Exit status 1 where anything differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from snnkd import engines
from snnkd.analysis import evaluation, verification
from snnkd.base.errors import LimitError
from snnkd.base.provenance import versions
from snnkd.engines import conformance
from snnkd.formats import netx
from snnkd.ir.network import Conv, Dense, Input, IntNet
from snnkd.ir.trace import SpikeTrace

SHIPPED = "tests/lava/lib/dl/netx"  # within lava-dl's wheel


@dataclass(frozen=True)
class Work:
    """A network and its input (N, T, *input_shape)."""

    name: str
    net: IntNet
    events: np.ndarray


@dataclass(frozen=True)
class Row:
    """One network's outcome; by engine the number of differing values, or the reason why it cannot take the network."""

    network: str
    layers: str
    samples: int
    steps: int
    spikes: int
    states: int
    overflows: int
    differences: dict[str, int]
    refused: dict[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--n", type=int, default=20, help="random networks")
    parser.add_argument("--engines", default="fast,lava,onnx,c99", help="separated by commas")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    names = [name for name in options.engines.split(",") if not _missing(name)]
    rows = []
    for row in _compared([*_named(), *_random(options.n), *_shipped()], names):
        rows.append(row)
        if not options.json:
            _print(row)
    totals = _totals(rows, names)
    if options.json:
        print(json.dumps({"rows": [asdict(row) for row in rows], "totals": totals, "versions": versions()}))
    else:
        print()
        for name, total in totals.items():
            counts = ", ".join(f"{number:,} {what}".replace("_", " ") for what, number in total.items())
            print(f"{name}: {counts}")
        print(versions())
    sys.exit(1 if any(sum(row.differences.values()) for row in rows) else 0)


def _missing(engine: str) -> bool:
    reason = engines.get(engine).available()
    if reason:
        print(f"{engine}: skipped, {reason}", file=sys.stderr)
    return bool(reason)


# Networks


def _named() -> Iterator[Work]:
    for name, (net, events) in conformance.networks().items():
        yield Work(name, net, events)


def _random(count: int) -> Iterator[Work]:
    kinds = {"random": conformance.random_net, "random sigma-delta": conformance.random_sigma_delta_net}
    for name, make in kinds.items():
        for seed in range(count):
            net = make(seed)
            steps = (16, 1, 4, 32)[seed % 4] if net.is_sigma_delta else 16
            events = conformance.random_events(np.random.default_rng(seed), net, 2, steps, activity=0.4)
            yield Work(f"{name} {seed}", net, events)


def _shipped() -> Iterator[Work]:
    folder = next((Path(place) / SHIPPED for place in sys.path if (Path(place) / SHIPPED).is_dir()), None)
    if folder is None:
        print(f"lava-dl's networks: skipped, no folder {SHIPPED}; they come with lava-dl 0.6.0", file=sys.stderr)
        return
    random = np.random.default_rng(0)
    for name, samples, steps in (("mnist.net", 2, 16), ("tiny.net", 2, 16), ("gts/pilotnet_lif/network.net", 1, 3)):
        net = netx.load(folder / name)
        yield Work(name, net, conformance.random_events(random, net, samples, steps))
    name = "gts/pilotnet_sdnn/network.net"
    net, image = netx.load(folder / name), np.load(folder / "gts/pilotnet_sdnn/input.npy").T
    yield Work(name, net, np.stack([image[0] >> shift for shift in (0, 0, 1, 2)])[None])
    name = "gts/ntidigits/ntidigits.net"
    net = netx.load(folder / name)
    recorded = np.load(folder / "gts/ntidigits/input.npy").T[None, :160]
    yield Work(name, net, recorded.reshape(1, -1, *net.input_shape).astype(np.uint8))


# Comparing


def _compared(works: list[Work], names: list[str]) -> Iterator[Row]:
    """Lava's runs, in processes of their own, go on two at a time behind those of the other engines."""

    def run(work: Work, engine: str) -> SpikeTrace:
        return evaluation.simulate(work.net, work.events, engine, states=True)

    with ThreadPoolExecutor(2) as pool:
        in_lava = [pool.submit(run, work, "lava") if "lava" in names else None for work in works]
        for work, future in zip(works, in_lava, strict=True):
            runs: dict[str, Callable[[], SpikeTrace]] = {
                name: future.result if name == "lava" and future else lambda name=name, work=work: run(work, name)
                for name in names
            }
            yield _row(work, run(work, evaluation.DEFINITION), runs)


def _row(work: Work, expected: SpikeTrace, runs: dict[str, Callable[[], SpikeTrace]]) -> Row:
    differences, refused = {}, {}
    for name, run in runs.items():
        try:
            actual = run()
        except LimitError as error:
            refused[name] = str(error)
            continue
        comparison = verification.compare(work.net, expected, actual)
        differences[name] = sum(comparison.differences.values()) + _miscounted(expected, actual)
    counts = verification.compare(work.net, expected, expected).compared
    overflows = sum(layer.overflows + layer.saturations for layer in expected.layers)
    return Row(
        work.name,
        _layers(work.net),
        expected.samples,
        expected.steps,
        counts["spikes"],
        counts["states"],
        overflows,
        differences,
        refused,
    )


def _miscounted(expected: SpikeTrace, actual: SpikeTrace) -> int:
    """Counts of overflows and saturations that differ; -1 says that an engine does not count."""
    return sum(
        have not in (-1, want)
        for left, right in zip(expected.layers, actual.layers, strict=True)
        for want, have in ((left.overflows, right.overflows), (left.saturations, right.saturations))
    )


def _layers(net: IntNet) -> str:
    """What kinds of layers there are: '2x9x7, conv/stride/bias, dense/delay'."""
    words = ["x".join(map(str, net.input_shape)) + (f" of {net.message_bits} bits" if net.message_bits else "")]
    for layer in net.layers:
        word = {Input: "input", Dense: "dense", Conv: "conv"}[type(layer)]
        word += f"/{layer.neuron.kind}" * (layer.neuron.kind != "cuba")
        if isinstance(layer, Conv):
            word += "/stride" * (max(layer.stride) > 1) + "/padding" * (max(layer.padding) > 0)
            word += "/dilation" * (max(layer.dilation) > 1) + "/groups" * (layer.groups > 1)
        if isinstance(layer, Dense):
            word += "/exponent" * (layer.weight_exp != 0) + "/delay" * (layer.delay is not None)
        words.append(word + "/bias" * (layer.neuron.bias is not None))
    return ", ".join(words)


def _print(row: Row) -> None:
    print(
        f"{row.network:28} {row.samples} x {row.steps:<4} {row.spikes:9,} spikes {row.states:10,} states "
        f"{row.overflows:8,} overflows  differences: "
        + ", ".join(f"{name} {number:,}" for name, number in row.differences.items())
        + f"\n{'':28} {row.layers}"
        + "".join(f"\n{'':28} not in {name}: {reason}" for name, reason in row.refused.items()),
        flush=True,
    )


def _totals(rows: list[Row], names: list[str]) -> dict[str, dict[str, int]]:
    """By engine: networks, samples, spikes and states compared, and how many values differ."""
    totals = {}
    for name in names:
        taken = [row for row in rows if name in row.differences]
        totals[name] = {
            "networks": len(taken),
            "not_taken": len(rows) - len(taken),
            "spikes": sum(row.spikes for row in taken),
            "states": sum(row.states for row in taken),
            "overflows": sum(row.overflows for row in taken),
            "differences": sum(row.differences[name] for row in taken),
        }
    return totals


if __name__ == "__main__":
    main()
