"""Flash, RAM, instructions and host time of an inference: snnkd's C beside emlearn and ONNX Runtime.

    uv run --group peers python toolchain/benchmarks/embedded.py [RUN] [--data-root DIR] [--quick] [--json]

RUN is a finished run, the newest one in runs/ unless given. All systems begin with the same 8-bit image and end with a
class. snnkd is the run's student: event-driven, with early exit where it has a rule for it, and as the dense variant of
the same code, which visits every input. The others run an ANN of the same layers with ReLU, trained on the same images
(scikit-learn, 10 epochs): emlearn's C, and ONNX Runtime on one thread, one image a call, in floats and in 8 bits.

Flash and RAM are what a Cortex-M4's firmware, libraries linked in, has more than the same firmware without a network.
The image is not in it; the stack has its own column. Instructions are QEMU's count, not cycles, a mean over the first
test images: on a Cortex-M4, with its float unit where there are floats, and as code for a Cortex-M0. The classes on
the chips are compared with the host's, those of snnkd on the host with the integer network's. Systems take turns on
the host, each with the same images again and again, and the medians are shown; C is compiled with -O2 and with -O3.

The sweep runs the student on random events, other ones at every step, and the same ones at every step where the
runtime keeps their sums. Beside it run the dense variant, and the layers' products alone in a kernel that is made for
them (8 bits, SIMD; no neurons): what an engine that visits every input cannot leave out. The host's part is with -O3.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import embedded_builds as builds
import embedded_sweep
import embedded_systems as systems
from embedded_builds import DoesNotFitError, Host, Program
from snnkd import runs
from snnkd.base.errors import MismatchError
from snnkd.data.datasets import Split
from snnkd.formats import netx
from snnkd.ir.network import IntNet
from snnkd.runs.pipeline import Context

IMAGES, TIMED, ON_CHIP = 10_000, 500, 32  # test images: for accuracies, host times, instructions
TURNS, SECONDS = 9, 0.3
CHIPS = ("cortex-m4", "cortex-m0plus")

Row = dict[str, Any]
Clock = Callable[[float], float]  # seconds to spend -> microseconds of an inference


def main() -> None:
    options = _options()
    if reason := builds.missing():
        sys.exit(reason)
    turns, seconds = (2, 0.05) if options.quick else (TURNS, SECONDS)
    context = Context(runs.find(options.run, runs.RUNS), options.data_root)
    net = netx.load(context.run.student)
    with tempfile.TemporaryDirectory(prefix="snnkd-embedded-") as folder:
        result = {"run": context.run.folder.name, **compare(context, net, Path(folder), turns, seconds)}
        try:
            result["sweep"] = embedded_sweep.sweep(net, Path(folder), turns, seconds / 3)
        except DoesNotFitError as error:
            result["sweep"] = []
            result["notes"].append(f"no sweep, which keeps random events beside the network: {error}")
    result["versions"] = _versions()
    print(json.dumps(result) if options.json else _text(result))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", nargs="?", help="a finished run, by name or folder")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--quick", action="store_true", help="few and short turns")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()} | builds.versions()
    for name in ("snnkd", "emlearn", "onnxruntime", "scikit-learn", "numpy"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


# Measuring


def compare(context: Context, net: IntNet, folder: Path, turns: int, seconds: float) -> dict[str, Any]:
    """Rows of all systems, and what is to be said of them. Raises MismatchError where classes differ."""
    data = context.data
    table = Table(systems.pixels(data.test.pixels[:IMAGES]), data.test.labels[:IMAGES], folder)
    programs = systems.ours(net)
    wanted = systems.expected(net, context.student.samples(len(table.images)).events())
    table.add_program("snnkd", programs["snnkd"], wanted.added, wanted.classes)
    if wanted.early is not None:
        table.add_program("snnkd, early exit", programs["snnkd, early exit"], wanted.added_early, wanted.early)
    table.add_program("snnkd, dense variant", programs["snnkd, dense variant"], wanted.added_dense, wanted.classes)
    if reason := systems.no_ann(net, len(data.classes)):
        table.notes.append(f"no peers: {reason}")
    else:
        _add_peers(table, systems.train(net, data.train, context.run.recipe.seed), data.train)
    table.time(turns, seconds)
    rows = [{"system": name, **row} for name, row in table.rows.items()]
    return {"rows": rows, "notes": table.notes, "images": len(table.images), "inputs": table.images.shape[1]}


def _add_peers(table: Table, ann: systems.Ann, training: Split) -> None:
    if absent := systems.no_emlearn():
        table.notes.append(absent)
    else:
        table.add_program("emlearn", systems.emlearn(ann), ann.multiplied)
    model = systems.float_model(ann)
    table.add_model("ONNX Runtime, float32", model, ann.multiplied)
    small = systems.int8_model(model, systems.pixels(training.pixels[: systems.CALIBRATION]))
    table.add_model("ONNX Runtime, int8", small, ann.multiplied)
    table.add_model("ONNX Runtime, empty graph", systems.empty_model(ann.sizes[0]))


class Table:
    """Rows by system, from images (N, bytes) uint8 as every system reads them and labels (N,)."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, folder: Path):
        self.images, self.labels, self.folder = images, labels, folder
        self.rows, self.notes = dict[str, Row](), list[str]()
        self._clocks = dict[tuple[str, str], Clock]()  # by system and level of the host's compiler

    def add_program(self, name: str, program: Program, weights: float, expected: np.ndarray | None = None) -> None:
        """C code; weights: that it reads for one image; expected: classes (N,) that it has to give."""
        hosts = {level: Host(program, self.folder / f"{len(self.rows)}{level}", level) for level in builds.LEVELS}
        classes = hosts[builds.LEVELS[0]].classes(self.images)
        if expected is not None and (wrong := int((classes != expected).sum())):
            raise MismatchError(f"{name}: {wrong} of {len(classes)} classes differ from those of the integer network")
        self.rows[name] = {"accuracy": float((classes == self.labels).mean()), "weights": weights}
        for level, host in hosts.items():
            self._clocks[name, level] = partial(host.microseconds, self.images[:TIMED])
        for target in CHIPS:
            self.rows[name][target] = self._on_chip(name, program, target, classes[:ON_CHIP])

    def add_model(self, name: str, model: bytes, weights: int | None = None) -> None:
        """An ONNX file; weights as above, None for one that classifies nothing."""
        session = systems.session(model)
        accuracy = None
        if weights is not None:
            classes = np.asarray(session.run(None, {"image": self.images})[0])
            accuracy = float((classes == self.labels).mean())
        self.rows[name] = {"accuracy": accuracy, "weights": weights, "model_bytes": len(model)}
        self._clocks[name, ""] = partial(_session_us, session, self.images[:TIMED])

    def time(self, turns: int, seconds: float) -> None:
        """Adds the host times of all."""
        times: dict[tuple[str, str], list[float]] = {key: [] for key in self._clocks}
        for _ in range(turns):
            for key, clock in self._clocks.items():
                times[key].append(clock(seconds))
        for (name, level), values in times.items():
            self.rows[name][f"host_us{level}"] = statistics.median(values)

    def _on_chip(self, name: str, program: Program, target: str, classes: np.ndarray) -> dict[str, int | None]:
        """flash, ram, stack, instructions of a target; None for what cannot be known, with a note that says why."""
        with builds.chip(program, target) as chip:
            memory = chip.memory(builds.base(target))
            needed: dict[str, int | None] = {"flash": memory.flash, "ram": memory.ram, "stack": None}
            if memory.short:
                self.notes.append(f"{name}: {memory.short[1]:,} bytes of {memory.short[0]} are missing on {target}")
                needed |= {"flash": None, "ram": None}
            try:
                run = chip.run(self.images[:ON_CHIP], classes)
            except builds.DoesNotFitError as error:
                self.notes.append(f"{name}: code for {target} was not run: {error}")
                return needed | {"instructions": None}
        if run.machine != target:
            self.notes.append(f"{name}: code for {target} was run on the machine of {run.machine}, with its memory")
        return needed | {"stack": run.stack, "instructions": run.instructions}


def _session_us(session: onnxruntime.InferenceSession, images: np.ndarray, seconds: float) -> float:
    """Microseconds of a call with one image."""
    inputs = [{"image": image[None]} for image in images]
    session.run(None, inputs[0])
    count, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds or not count:
        for feed in inputs:
            session.run(None, feed)
        count += len(inputs)
    return passed / count * 1e6


# Printing


def _text(result: dict[str, Any]) -> str:
    head = ["system", "accuracy", "flash", "RAM", "stack", "host us", "-O3", "M4 instr.", "M0 instr.", "weights read"]
    lines = [f"{result['run']}: {result['images']:,} test images of {result['inputs']} bytes; memory in bytes", ""]
    lines += embedded_sweep.table(head, [_cells(row) for row in result["rows"]])
    lines += ["", *result["notes"], ""]
    lines += [*embedded_sweep.text(result["sweep"]), ""] if result["sweep"] else []
    lines += [f"C on the host: {' '.join(builds.HOST_FLAGS)}, -O2 unless said; on chips: {' '.join(builds.CHIP_FLAGS)}"]
    return "\n".join([*lines, *(f"{name} {version}" for name, version in result["versions"].items())])


def _cells(row: Row) -> list[str]:
    large, small = (row.get(target, {}) for target in CHIPS)
    flash = f"{row['model_bytes']:,} (file)" if "model_bytes" in row else _number(large.get("flash"))
    accuracy = "-" if row["accuracy"] is None else f"{row['accuracy']:.2%}"
    chip = [_number(large.get(key)) for key in ("ram", "stack")]
    times = [f"{row[key]:.1f}" for key in ("host_us", "host_us-O2", "host_us-O3") if key in row]
    counts = [_number(chip_row.get("instructions")) for chip_row in (large, small)]
    return [row["system"], accuracy, flash, *chip, *[*times, "-"][:2], *counts, _number(row["weights"])]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


if __name__ == "__main__":
    main()
