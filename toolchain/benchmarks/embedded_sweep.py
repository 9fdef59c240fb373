"""At which activity of the input following events takes less than visiting every input."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import numpy as np

import embedded_builds as builds
from embedded_builds import Host
from embedded_systems import ours, pixels, products
from snnkd.analysis import evaluation
from snnkd.engines import c99
from snnkd.ir.network import IntNet

ACTIVITIES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
SAMPLES = 16
TARGET = "cortex-m4"
VARIANTS = {"events": "snnkd", "dense": "snnkd, dense variant"}
PRODUCTS = "products"
OTHERS = {"dense": "the dense variant", PRODUCTS: "the products alone"}
MEASURES = {"host_us": "host", "instructions": "Cortex-M4's instructions"}

Row = dict[str, Any]


def sweep(net: IntNet, folder: Path, turns: int, seconds: float) -> list[Row]:
    """Rows for each activity: of other events at every step, then of the same where the runtime keeps them.

    On the host the compiler makes vectors of all loops, as it has to for the products alone.
    """
    inputs = ["changing", "constant"] if c99.plan(net).keeps_input else ["changing"]
    return [row for kind in inputs for row in _rows(net, kind, folder / f"sweep-{kind}", turns, seconds)]


def random_events(net: IntNet, activity: float, rows: int) -> np.ndarray:
    """(SAMPLES, rows, *input_shape) uint8: each input sends an event with the probability `activity`, graded ones of
    any size but 0."""
    random = np.random.default_rng(round(activity * 1000))
    shape = (SAMPLES, rows, *net.input_shape)
    return ((random.random(shape) < activity) * random.integers(1, highest(net) + 1, shape)).astype(np.uint8)


def highest(net: IntNet) -> int:
    """The largest event that the network's encoder sends."""
    return (1 << (net.encoding or {}).get("bits", 4)) - 1 if net.message_bits else 1


def _rows(net: IntNet, kind: str, folder: Path, turns: int, seconds: float) -> list[Row]:
    steps = net.steps or 1
    rows = steps if kind == "changing" else 1
    programs = {key: ours(net)[name] for key, name in VARIANTS.items()}
    if (bare := products(net)) is not None and highest(net) < 128:
        programs[PRODUCTS] = bare
    programs = {key: builds.as_events(program, rows) for key, program in programs.items()}
    hosts = {key: Host(program, folder / key, builds.LEVELS[-1]) for key, program in programs.items()}
    measured, prepared, classes = list[Row](), list[np.ndarray](), list[np.ndarray]()
    for activity in ACTIVITIES:
        events = random_events(net, activity, rows)
        run = evaluation.simulate(net, np.broadcast_to(events, (SAMPLES, steps, *net.input_shape)))
        fired = sum(np.count_nonzero(layer.spikes) for layer in run.layers) / (SAMPLES * steps * net.neurons)
        samples = pixels(events.reshape(-1, *net.input_shape)).reshape(SAMPLES, -1)
        prepared.append(samples)
        classes.append(evaluation.course(net, run).classes[:, -1])
        measured.append({"input": kind, "activity": activity, "fired": float(fired)})
    for key, program in programs.items():
        with builds.chip(program, TARGET) as chip:
            for row, samples, expected in zip(measured, prepared, classes, strict=True):
                wanted = hosts[key].classes(samples) if key == PRODUCTS else expected
                row[f"{key}_instructions"] = chip.run(samples, wanted).instructions
    for row, samples in zip(measured, prepared, strict=True):
        times: dict[str, list[float]] = {key: [] for key in hosts}
        for _ in range(turns):
            for key, host in hosts.items():
                times[key].append(host.microseconds(samples, seconds))
        row |= {f"{key}_host_us": statistics.median(values) for key, values in times.items()}
    return measured


def crossing(rows: list[Row], system: str, measure: str) -> float | None:
    """The lowest activity at which events take as much as `other`, interpolated; None where they never do."""
    ratios = [row[f"events_{measure}"] / row[f"{system}_{measure}"] for row in rows]
    if ratios[0] >= 1:
        return rows[0]["activity"]
    for k in range(1, len(rows)):
        if ratios[k] >= 1:
            low, high = rows[k - 1]["activity"], rows[k]["activity"]
            return low + (high - low) * (1 - ratios[k - 1]) / (ratios[k] - ratios[k - 1])
    return None


def text(rows: list[Row]) -> list[str]:
    """Tables of each kind of input, and where following events stops to pay."""
    lines = []
    for kind in dict.fromkeys(row["input"] for row in rows):
        own = [row for row in rows if row["input"] == kind]
        systems = [key for key in ("events", *OTHERS) if f"{key}_host_us" in own[0]]
        columns = [f"{key}_{measure}" for measure in MEASURES for key in systems]
        names = [f"{key}, {short}" for short in ("host us", "M4 instr.") for key in systems]
        cells = [
            [f"{row['activity']:.0%}", f"{row['fired']:.1%}", *(f"{row[column]:,.0f}" for column in columns)]
            for row in own
        ]
        lines += [f"random input, {kind}:", "", *table(["activity", "neurons that fire", *names], cells), ""]
        lines += [
            f"{name}: events take less than {OTHERS[system]} {_below(crossing(own, system, measure))}"
            for measure, name in MEASURES.items()
            for system in systems[1:]
        ]
        lines.append("")
    return lines[:-1]


def _below(activity: float | None) -> str:
    return "at all activities" if activity is None else f"below {activity:.0%}"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Markdown, in columns."""
    widths = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]
    shown = [head, ["-" * width for width in widths], *rows]
    return [f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in shown]
