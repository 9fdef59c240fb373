"""Where the time of a training step goes.

    python toolchain/benchmarks/training_profile.py [--networks mlp conv] [--steps 16] [--batch 64 256] [--json]

The steps of `training.py`, on one core, where nothing waits for another thread, by torch's profiler: milliseconds a
step, and shares of it. What is recorded under no part's name is Python and small operations: `rest`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from collections import Counter
from itertools import product

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in a training (`tuning`); read when torch is loaded

import torch
from torch.profiler import ProfilerActivity, profile

from snnkd.training import tuning
from training_systems import NETWORKS, Step, make, work_of

_WARM, _STEPS = 20, 100

# Parts by the names of what they record, outermost first; a name that ends with * is a beginning.
PARTS = {
    "weights: quantize, forward": ("_Quantize",),
    "weights: quantize, backward": ("_QuantizeBackward",),
    "weights: optimizer": ("Optimizer.*",),
    "products, forward": ("Product", "Conv", "aten::linear", "aten::conv2d"),
    "products, backward": ("ProductBackward", "ConvBackward", "ConvolutionBackward0", "MmBackward0", "AddmmBackward0"),
    "neurons, forward": ("_Cuba",),
    "neurons, backward": ("_CubaBackward",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--networks", nargs="+", default=["mlp", "conv"], help="how their names begin")
    parser.add_argument("--steps", nargs="+", type=int, default=[16])
    parser.add_argument("--batch", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    rows = []
    for name in (name for name in NETWORKS if name.startswith(tuple(options.networks))):
        for steps, batch in product(options.steps, options.batch):
            step = make("snnkd", work_of(name, steps, batch))
            assert step is not None
            rows.append({"network": name, "steps": steps, "batch": batch, "milliseconds": _milliseconds(step)})
            if not options.json:
                _print(rows[-1])
    if options.json:
        print(json.dumps({"rows": rows}))


@tuning.kept_memory()
def _milliseconds(step: Step) -> dict[str, float]:
    """By part, and `rest`; scaled to what a step takes without the profiler."""
    for _ in range(_WARM):
        step()
    start = time.perf_counter()
    for _ in range(_STEPS):
        step()
    whole = (time.perf_counter() - start) / _STEPS * 1e3
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        start = time.perf_counter()
        for _ in range(_STEPS):
            step()
        profiled = (time.perf_counter() - start) / _STEPS * 1e3
    spent: Counter[str] = Counter()
    for event in recorded.events() or ():
        spent[_part(event)] += event.self_cpu_time_total / _STEPS / 1e3
    parts = {part: round(spent[part] * whole / profiled, 3) for part in PARTS}
    return {**parts, "rest": round(whole - sum(parts.values()), 3), "whole": round(whole, 3)}


def _part(event: object) -> str:
    """The part of the outermost event around this one that has one."""
    part, parent = "", event
    while parent is not None:
        name = getattr(parent, "name", "").removeprefix("autograd::engine::evaluate_function: ")
        for candidate, names in PARTS.items():
            if any(name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1])) for pattern in names):
                part = candidate
        parent = getattr(parent, "cpu_parent", None)
    return part


def _print(row: dict) -> None:
    parts = row["milliseconds"]
    print(f"\n{row['network']}, {row['steps']} steps, batch {row['batch']}: {parts['whole']:.2f} ms a step on one core")
    for part, time_of in parts.items():
        if part != "whole":
            print(f"  {part:28} {time_of:7.2f} ms {100 * time_of / parts['whole']:5.1f} %", flush=True)


if __name__ == "__main__":
    main()
