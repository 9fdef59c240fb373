"""Samples per second of full training steps: snnkd, lava-dl, snnTorch, Norse, SpikingJelly and the bare products.

    python toolchain/benchmarks/training.py [--quick] [--networks mlp] [--steps 16] [--batch 64] [--systems snnkd floor]
        [--threads N] [--json]

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
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
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
from training_systems import NETWORKS, Step, Work, make, work_of

STEPS, BATCHES = (16, 32), (64, 256)
_TURN, _LEAST = 0.5, 3  # seconds and steps of a turn

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
    with tuning.kept_memory():  # as in a training; for all systems alike
        _compare(options)


def _compare(options: argparse.Namespace) -> None:
    tables = []
    for name in (name for name in NETWORKS if name.startswith(tuple(options.networks))):
        for steps, batch in product(options.steps, options.batch):
            tables.append(_measure(name, steps, batch, options))
            if not options.json:
                _print(tables[-1])
    if options.json:
        rows = [row for table in tables for row in table]
        print(json.dumps({"rows": rows, "versions": _versions(), "threads": options.threads}))
        return
    print()
    _print_goals(tables)
    print(f"\n{_versions()}, {options.threads} threads")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="16 steps, batch 64, one short repeat, no peak memory")
    parser.add_argument("--networks", nargs="+", default=["mlp", "conv"], help="how their names begin")
    parser.add_argument("--steps", nargs="+", type=int)
    parser.add_argument("--batch", nargs="+", type=int)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peak", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.steps = options.steps or STEPS[: 1 if options.quick else None]
    options.batch = options.batch or BATCHES[: 1 if options.quick else None]
    return options


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in ("snnkd", "numpy", "numba", "torch", *PEERS):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


# Measuring


def _measure(name: str, steps: int, batch: int, options: argparse.Namespace) -> list[dict]:
    work = work_of(name, steps, batch)
    steppers = {system: step for system in options.systems if (step := make(system, work)) is not None}
    rates: dict[str, list[float]] = {system: [] for system in steppers}
    for _ in range(1 if options.quick else 5):
        for system, step in steppers.items():
            rates[system].append(batch * _per_second(step))
    return [
        {
            "network": name,
            "steps": steps,
            "batch": batch,
            "system": system,
            "samples_per_s": statistics.median(measured),
            "peak_mb": None if options.quick else _peak(system, work, options.threads),
        }
        for system, measured in rates.items()
    ]


def _per_second(step: Step) -> float:
    """How many steps are made per second, the first left out."""
    step()
    count, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < _TURN or count < _LEAST:
        step()
        count += 1
    return count / passed


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
