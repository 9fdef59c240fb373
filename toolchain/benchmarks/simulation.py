"""Samples per second of Lava, the definition (`reference`) and the fast engine on the same networks in the same run.

    python toolchain/benchmarks/simulation.py [--quick] [--no-lava] [--json]

`floor` is the bare work of a dense simulator: the matrix products and convolutions of all layers on all steps, in
torch and float32, in the quicker of its two memory formats, without neurons. Lava's start-up is left out: two runs of
different length are timed and the difference counts. Systems take turns, and medians are shown; in its turn a system
runs the same batch again and again, since the first time pays for the threads that the one before left spinning. Peak
memory is that of a process that runs nothing else, its interpreter included.

Thresholds are set so that the hidden layers are as active as the input (PilotNet's own thresholds stay; its input layer
owns neurons, and takes a random image whose brightness depends on the activity). PilotNet SDNN, of sigma-delta neurons,
takes a video of which that share of the pixels is new at each step.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from snnkd.base.errors import SnnkdError
from snnkd.engines import conformance, lava
from snnkd.engines.fast import simulation
from snnkd.engines.reference import definition
from snnkd.formats import netx
from snnkd.ir.network import Conv, Cuba, Dense, Input, IntNet, Shape, conv_shape

STEPS = 16
ACTIVITIES = (0.1, 0.5)
GTS = "tests/lava/lib/dl/netx/gts"  # within lava-dl's wheel
_TURN = 0.3  # seconds
SYSTEMS = ("lava", "reference", "fast", "floor")


@dataclass(frozen=True)
class Work:
    """A network and its input (N, T, *input_shape)."""

    name: str
    activity: float
    net: IntNet
    events: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer samples and repeats, no peak memory")
    parser.add_argument("--no-lava", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peak", nargs=3, metavar=("SYSTEM", "NETWORK", "ACTIVITY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(_own_peak(options.peak[0], _work(options.peak[1], float(options.peak[2]), options.quick)))
        return
    systems = [system for system in SYSTEMS if not (system == "lava" and (options.no_lava or _no_lava()))]
    result = {"rows": [], "versions": _versions(), "threads": len(os.sched_getaffinity(0))}
    for name in NETWORKS:
        for activity in ACTIVITIES:
            try:
                work = _work(name, activity, options.quick)
            except (SnnkdError, FileNotFoundError) as error:
                print(f"{name}: skipped, {error}", file=sys.stderr)
                break
            result["rows"] += _measure(work, systems, options.quick)
            if not options.json:
                _print(result["rows"][-len(systems) :])
    print(json.dumps(result) if options.json else f"\n{result['versions']}, {result['threads']} threads")


def _no_lava() -> bool:
    reason = lava.available()
    if reason:
        print(f"lava: skipped, {reason}", file=sys.stderr)
    return bool(reason)


def _versions() -> dict[str, str]:
    names = ("snnkd", "numpy", "numba", "torch", "lava-nc", "lava-dl")
    versions = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


# Networks


def _neuron(threshold: int) -> Cuba:
    return Cuba(*(np.array(value, np.int32) for value in (1024, 128, threshold)))


def _weights(random: np.random.Generator, *shape: int) -> np.ndarray:
    return (random.normal(4, 40, shape) / 2).round().clip(-128, 127).astype(np.int32) * 2


def _dense(random: np.random.Generator, inputs: int, outputs: int) -> Dense:
    return Dense(_weights(random, outputs, inputs), _neuron(1))


def _conv(random: np.random.Generator, shape: Shape, outputs: int, kernel: int, stride: int) -> Conv:
    weight = _weights(random, outputs, shape[0], kernel, kernel)
    layer = Conv(weight, _neuron(1), (), stride=(stride, stride))
    return replace(layer, shape=conv_shape(shape, layer))


def _as_active(net: IntNet, events: np.ndarray, activity: float) -> IntNet:
    """`net` with one threshold per layer at which, on some of `events`, about the share `activity` of neurons fires."""
    for k in range(len(net.layers)):
        low, high = 0, 1 << 17
        while high - low > 1 + low // 50:
            middle = (low + high) // 2
            layers = (*net.layers[:k], replace(net.layers[k], neuron=_neuron(middle)))
            seen = simulation.simulate(IntNet(net.input_shape, layers), events[:8]).layers[-1].spikes
            low, high = (middle, high) if seen.mean() > activity else (low, middle)
        net = replace(net, layers=(*net.layers[:k], replace(net.layers[k], neuron=_neuron(high)), *net.layers[k + 1 :]))
    return net


def _mlp(random: np.random.Generator) -> IntNet:
    return IntNet((784,), (_dense(random, 784, 256), _dense(random, 256, 10)))


def _convnet(random: np.random.Generator) -> IntNet:
    first = _conv(random, (1, 28, 28), 8, 5, 2)
    second = _conv(random, first.shape, 16, 3, 2)
    return IntNet((1, 28, 28), (first, second, _dense(random, 400, 10)))


def _shipped(name: str) -> IntNet:
    for folder in map(Path, sys.path):
        if (file := folder / GTS / name / "network.net").exists():
            return netx.load(file)
    raise FileNotFoundError(f"no {GTS}/{name}: it comes with lava-dl 0.6.0")


NETWORKS = {
    "mlp 784-256-10": (_mlp, 256),
    "conv 8c5s2-16c3s2-10": (_convnet, 256),
    "pilotnet": (lambda random: _shipped("pilotnet_lif"), 8),
    "pilotnet sdnn": (lambda random: _shipped("pilotnet_sdnn"), 8),
}


def _work(name: str, activity: float, quick: bool) -> Work:
    make, batch = NETWORKS[name]
    random = np.random.default_rng(0)
    net = make(random)
    samples = max(1, batch // 8) if quick and batch < 256 else batch
    if net.layers[0].neuron.kind == "delta":
        return Work(name, activity, net, conformance.random_events(random, net, samples, STEPS, activity))
    if net.reads_image:
        image = random.integers(0, int(2 * activity * 255), (samples, 1, *net.input_shape)).astype(np.uint8)
        return Work(name, activity, net, np.broadcast_to(image, (samples, STEPS, *net.input_shape)))
    events = (random.random((samples, STEPS, *net.input_shape)) < activity).astype(np.uint8)
    return Work(name, activity, _as_active(net, events, activity), events)


# Systems: each gives a function that runs all of the work once


def _floor(work: Work) -> list[Callable[[], object]]:
    """The work in each of torch's memory formats."""
    import torch

    trace = simulation.simulate(work.net, work.events)
    sources = [work.events, *(layer.spikes for layer in trace.layers)]

    def product(layer: Dense | Conv, source: np.ndarray, memory_format: torch.memory_format) -> Callable[[], object]:
        events = torch.from_numpy(np.ascontiguousarray(source, np.float32)).flatten(0, 1)
        weight = torch.from_numpy(layer.weight.astype(np.float32))
        if isinstance(layer, Dense):
            flat = events.flatten(1)
            return lambda: torch.nn.functional.linear(flat, weight)
        events, weight = (x.to(memory_format=memory_format) for x in (events, weight))
        how = (None, layer.stride, layer.padding, layer.dilation, layer.groups)
        return lambda: torch.nn.functional.conv2d(events, weight, *how)

    def prepared(memory_format: torch.memory_format) -> Callable[[], object]:
        pairs = zip(work.net.layers, sources, strict=False)
        calls = [product(layer, source, memory_format) for layer, source in pairs if not isinstance(layer, Input)]

        @torch.inference_mode()
        def run() -> None:
            for call in calls:
                call()

        return run

    return [prepared(torch.contiguous_format), prepared(torch.channels_last)]


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


class _Lava:
    """Runs samples of some work in Lava, enough of them to take `at_least` seconds more than one does."""

    def __init__(self, work: Work, at_least: float) -> None:
        self.work, self.count = work, 2
        while (longer := self.seconds(self.count) - self.seconds(1)) < at_least:
            self.count = min(self.count * 8, int(self.count * max(2.0, 1.3 * at_least / max(longer, 0.1))))

    def seconds(self, count: int) -> float:
        """For as many samples, or for one of so many times the steps where each sample would start Lava anew."""
        if self.work.net.reads_image:
            events = np.broadcast_to(self.work.events[:1, :1], (1, count * STEPS, *self.work.net.input_shape))
        else:
            events = self.work.events[np.arange(count) % len(self.work.events)]
        return _seconds(lambda: lava.run(self.work.net, events, timeout=3600.0))

    def rate(self) -> float:
        """Samples per second, without the start-up."""
        return (self.count - 1) / (self.seconds(self.count) - self.seconds(1))


# Measuring


def _measure(work: Work, systems: list[str], quick: bool) -> list[dict]:
    """Rows of one network and activity; Lava takes a turn in the first rounds only, since its turns are long."""
    few = work.events[: max(1, len(work.events) // 8)]
    ways: dict[str, list[Callable[[], object]]] = {
        "reference": [lambda: definition.simulate(work.net, few)],
        "fast": [lambda: simulation.simulate(work.net, work.events)],
        "floor": _floor(work),
    }
    samples = {"reference": len(few)}
    rates: dict[str, list[list[float]]] = {system: [[] for _ in ways.get(system, [0])] for system in systems}
    in_lava = _Lava(work, 1.0 if quick else 4.0) if "lava" in systems else None
    for repeat in range(3 if quick else 9):
        for system in systems:
            if in_lava is None or system != "lava":
                for way, measured in zip(ways[system], rates[system], strict=True):
                    measured.append(samples.get(system, len(work.events)) * _per_second(way))
            elif repeat < (1 if quick else 3):
                rates[system][0].append(in_lava.rate())
    return [
        {
            "network": work.name,
            "activity": work.activity,
            "steps": STEPS,
            "batch": len(work.events),
            "system": system,
            "samples_per_s": max(statistics.median(measured) for measured in rates[system]),
            "peak_mb": None if quick else _peak(system, work),
        }
        for system in systems
    ]


def _per_second(way: Callable[[], object]) -> float:
    """How often `way` runs per second, the first time left out."""
    way()
    count, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < _TURN:
        way()
        count += 1
    return count / passed


def _peak(system: str, work: Work) -> float | None:
    """MB; None for Lava, whose memory is spread over many processes."""
    if system == "lava":
        return None
    command = [sys.executable, __file__, "--peak", system, work.name, str(work.activity)]
    return round(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout), 1)


def _own_peak(system: str, work: Work) -> float:
    """Runs one system alone and gives the peak memory, MB, of this process; getrusage would begin with its parent's."""
    if system == "floor":
        _floor(work)[0]()
    else:
        (simulation if system == "fast" else definition).simulate(work.net, work.events)
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _print(rows: list[dict]) -> None:
    rates = {row["system"]: row["samples_per_s"] for row in rows}
    first = rows[0]
    print(f"\n{first['network']}, {first['steps']} steps, batch {first['batch']}, activity {first['activity']:.0%}")
    for row in rows:
        ratios = [
            f"{row['samples_per_s'] / rates[system]:12.3g} x {system}"
            for system in ("lava", "reference", "floor")
            if system in rates and system != row["system"]
        ]
        peak = "" if row["peak_mb"] is None else f"{row['peak_mb']:8.0f} MB"
        print(f"  {row['system']:10} {row['samples_per_s']:12,.1f} samples/s {peak}{''.join(ratios)}", flush=True)


if __name__ == "__main__":
    main()
