"""Samples per second of full training steps: snnkd, lava-dl, snnTorch, Norse, SpikingJelly and the bare products.

    python toolchain/benchmarks/training.py [--quick] [--networks mlp] [--steps 16] [--batch 64] [--systems snnkd floor]
        [--device cuda] [--threads N] [--json]

A step is forward over all time steps, cross-entropy of the output's spike counts, backward and Adam, in float32, on one
batch of binary events (10 % active), the same for all and prepared in the layout that each system reads. All start
with the same weights and leaks: u and v decay in snnkd, lava-dl, snnTorch (Synaptic) and Norse (LIF); SpikingJelly's
LIFNode has v only. Products of the peers are made for all steps at once, their neurons step by step.

`floor` is what a dense training cannot leave out: each layer's product forward, its weights' gradient and, behind the
first layer, its input's gradient, on tensors of the same shapes, without neurons, loss and optimizer. For each layer
and direction the quickest way found is taken: torch's convolution in both memory formats or matrix products of copied
patches, all steps at once or one by one; matrix products with samples or features first; whatever a way reads lies
ready for it. A system that leaves out what is 0, as snnkd does where few inputs are active, can be quicker.

Systems take turns, and medians are shown; the first step of a turn is not timed. Peak memory is that of a process that
makes two steps of one system, interpreter and imports included; of the floor, once its ways are chosen.

With `--device cuda` all of it runs on the GPU that torch takes, all systems with torch's own precision there (float32
matrix products, TF32 convolutions). The floor's products are cuBLAS's and cuDNN's, of whose algorithms the quickest is
taken. The clock waits for the GPU before and after every ten steps, as a training waits for it seldom. Peak memory is
what a system's two steps hold in the GPU's memory beyond the batch. snnkd's neurons are Triton's where that is
installed. No measurement starts later than nine minutes after the first one: what is left out is said.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in a training (`tuning`); read when torch is loaded

import torch

from snnkd.training import tuning
from training_systems import NETWORKS, Step, Work, make, waiting, work_of

STEPS, BATCHES = (16, 32), (64, 256)
_TURN, _LEAST = 0.5, 3  # seconds and steps of a turn
_AHEAD = {"cpu": 1, "cuda": 10}  # steps between two looks at the clock, which wait for the device
_LATEST = 540  # seconds after which nothing more is measured on a GPU, which is lent

SYSTEMS = ("snnkd", "lava-dl", "snntorch", "norse", "spikingjelly", "floor")
PEERS = SYSTEMS[1:-1]
GOALS = {  # snnkd's rate over others'
    ("conv", "lava-dl"): 5.0,
    ("mlp", "lava-dl"): 4.0,
    ("conv", "best peer"): 1.5,
    ("mlp", "best peer"): 1.5,
    ("conv", "floor"): 0.8,
    ("mlp", "floor"): 0.8,
}


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    if options.peak:
        name, network, steps, batch = options.peak
        print(_own_peak(name, work_of(network, int(steps), int(batch))))
        return
    if options.device == "cuda":
        _check_gpu()
    with tuning.kept_memory():  # as in a training; for all systems alike
        _compare(options)


def _check_gpu() -> None:
    """Ends the program where there is no GPU; warns where snnkd's kernels for it are missing."""
    if not torch.cuda.is_available():
        print("error: --device cuda: torch finds no CUDA device here; leave it out to use the CPU", file=sys.stderr)
        sys.exit(2)
    if importlib.util.find_spec("triton") is None:
        print("triton is not installed: snnkd's neurons are plain torch on this GPU", file=sys.stderr)


def _compare(options: argparse.Namespace) -> None:
    tables, start = [], time.perf_counter()
    names = [name for name in NETWORKS if name.startswith(tuple(options.networks))]
    for name, (steps, batch) in product(names, product(options.steps, options.batch)):
        if options.device == "cuda" and time.perf_counter() - start > _LATEST:
            print(f"left out, the time is over: {name}, {steps} steps, batch {batch}", file=sys.stderr)
            continue
        tables.append(_measure(name, steps, batch, options))
        if not options.json:
            _print(tables[-1])
    where = torch.cuda.get_device_name() if options.device == "cuda" else f"{options.threads} threads"
    if options.json:
        rows = [row for table in tables for row in table]
        about = {"versions": _versions(), "device": options.device, "threads": options.threads}
        print(json.dumps({"rows": rows, **about} | ({"gpu": where} if options.device == "cuda" else {})))
        return
    if options.device == "cpu":
        print()
        _print_goals(tables)
    print(f"\n{_versions()}, {where}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="16 steps, batch 64, one short repeat, no peak memory")
    parser.add_argument("--networks", nargs="+", default=["mlp", "conv"], help="how their names begin")
    parser.add_argument("--steps", nargs="+", type=int)
    parser.add_argument("--batch", nargs="+", type=int)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument("--device", choices=tuple(_AHEAD), default="cpu")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peak", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.steps = options.steps or STEPS[: 1 if options.quick else None]
    options.batch = options.batch or BATCHES[: 1 if options.quick else None]
    return options


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in ("snnkd", "numpy", "numba", "torch", "triton", *PEERS):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


# Measuring


def _measure(name: str, steps: int, batch: int, options: argparse.Namespace) -> list[dict]:
    work = work_of(name, steps, batch, options.device)
    steppers: dict[str, Step] = {}
    held: dict[str, float] = {}
    for system in options.systems:
        before = torch.cuda.memory_allocated() if options.device == "cuda" else 0
        step = make(system, work)
        if step is not None:
            steppers[system] = step
            held[system] = _held(step, before) if options.device == "cuda" else 0
    rates: dict[str, list[float]] = {system: [] for system in steppers}
    for _ in range(1 if options.quick else 5):
        for system, step in steppers.items():
            rates[system].append(batch * _per_second(step, work.device))
    return [
        {
            "network": name,
            "steps": steps,
            "batch": batch,
            "system": system,
            "samples_per_s": statistics.median(measured),
            "peak_mb": held[system] or (None if options.quick else _peak(system, work, options.threads)),
        }
        for system, measured in rates.items()
    ]


def _per_second(step: Step, device: torch.device) -> float:
    """How many steps are made per second, the first left out."""
    wait, ahead = waiting(device), _AHEAD[device.type]
    step()
    wait()
    count, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < _TURN or count < _LEAST:
        for _ in range(ahead):
            step()
        wait()
        count += ahead
    return count / passed


def _held(step: Step, before: int) -> float:
    """Makes two steps and gives the most that they hold of the GPU's memory, MB, beyond the bytes `before`."""
    torch.cuda.reset_peak_memory_stats()  # what making it took, such as choosing the floor's ways, is not its own
    step()
    step()
    return round((torch.cuda.max_memory_allocated() - before) / 1e6, 1)


def _peak(system: str, work: Work, threads: int) -> float:
    """MB."""
    steps, batch = work.events.shape[:2]
    command = [sys.executable, __file__, "--threads", str(threads), "--peak", system, work.name, str(steps), str(batch)]
    return round(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout), 1)


def _own_peak(system: str, work: Work) -> float:
    """Makes two steps and gives the peak memory, MB, of this process; getrusage would begin with its parent's."""
    step = make(system, work)
    assert step is not None, "measured before, so it is installed"
    if system == "floor":
        Path("/proc/self/clear_refs").write_text("5")  # what choosing took is not its own
    with tuning.kept_memory() if system == "snnkd" else contextlib.nullcontext():
        step()
        step()
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _compared(rows: list[dict]) -> dict[str, float]:
    """Samples per second of those that a configuration's systems are compared with."""
    rates = {row["system"]: row["samples_per_s"] for row in rows}
    peers = [rates[peer] for peer in PEERS if peer in rates]
    best = {"best peer": max(peers)} if peers else {}
    return {name: rates[name] for name in ("lava-dl", "floor") if name in rates} | best


def _print(rows: list[dict]) -> None:
    first, peers = rows[0], _compared(rows)
    print(f"\n{first['network']}, {first['steps']} steps, batch {first['batch']}")
    for row in rows:
        ratios = [f"{row['samples_per_s'] / rate:9.2f} x {name}" for name, rate in peers.items()]
        peak = "" if row["peak_mb"] is None else f"{row['peak_mb']:8.0f} MB"
        print(f"  {row['system']:12} {row['samples_per_s']:10,.0f} samples/s {peak}{''.join(ratios)}", flush=True)


def _print_goals(tables: list[list[dict]]) -> None:
    """The range of snnkd's ratios over all that was measured, beside what is to be reached."""
    for (kind, peer), goal in GOALS.items():
        ratios = [
            row["samples_per_s"] / _compared(rows)[peer]
            for rows in tables
            for row in rows
            if row["system"] == "snnkd" and row["network"].startswith(kind) and peer in _compared(rows)
        ]
        if ratios:
            verdict = "reached" if min(ratios) >= goal else "not reached"
            print(f"goal: {kind:4} {goal} x {peer}: {verdict}, {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
