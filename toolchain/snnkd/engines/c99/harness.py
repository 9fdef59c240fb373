"""The harness of the engine: events through a compiled model, every spike and state of it as a trace."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from snnkd.base import progress
from snnkd.base.errors import LimitError
from snnkd.engines.c99.build import COMPILERS, OPTIMIZED, compile, execute, find_compiler, missing, sources, write
from snnkd.engines.c99.memory import plan
from snnkd.engines.c99.prefix import PLAIN, of_files, renamed
from snnkd.engines.c99.source import model_files, runtime_files, trace_file
from snnkd.engines.c99.weights import channels_last
from snnkd.ir.network import IntNet, Shape
from snnkd.ir.trace import LayerTrace, SpikeTrace
from snnkd.targets.build import Build
from snnkd.targets.quantities import Quantity

_PART_BYTES = 1 << 26  # of the events and traces that lie in files at a time


@dataclass(frozen=True)
class _Host:
    """This machine as a target, without limits."""

    name: str = "c99"
    limits: Mapping[str, Quantity] = field(default_factory=dict)
    build: Build | None = None


@dataclass(frozen=True, eq=False)
class Recording:
    """A trace with states, and what the runtime itself said after each step.

    classes: (N, T) int64; decided: (N, T) bool; counts: (N, outputs) int64, after the last step.
    """

    trace: SpikeTrace
    classes: np.ndarray
    decided: np.ndarray
    counts: np.ndarray


def record(
    net: IntNet, events: np.ndarray, compiler: str, flags: Sequence[str] = OPTIMIZED, states: bool = True
) -> Recording:
    """Runs `net` on events (N, T, *input_shape), as `ir.events.check_input` gives them, compiled by `compiler`.

    Raises LimitError where the runtime cannot hold the network, or with the message of a compiler that fails.
    """
    if events.dtype != np.uint8 and events.min(initial=0) < 0:
        net = replace(net, encoding=None)  # an encoder's events have no sign, these have
    if plan(net).stateless and events.shape[1] != 1:
        net = replace(net, steps=None)  # states are 0 at the first step only
    with tempfile.TemporaryDirectory(prefix="snnkd-c99-") as temporary:
        folder, host = Path(temporary), _Host()
        write(folder, runtime_files(host) | model_files(net, host))
        return record_built(net, folder, events, compiler, flags, states)


def run(net: IntNet, folder: Path, events: np.ndarray, states: bool = False, prefix: str = PLAIN) -> SpikeTrace:
    """Runs the runtime and the model in `folder`, the c/ of a bundle of `net`, on events (N, T, *input_shape).

    Compiles them with the first compiler of this machine; raises LimitError where there is none, or where the program
    fails. Gives the trace, u and v with `states`.
    """
    compiler = find_compiler()
    if compiler is None:
        raise LimitError(str(missing(COMPILERS[0])))
    return record_built(net, folder, events, compiler, states=states, prefix=prefix).trace


def record_built(
    net: IntNet,
    folder: Path,
    events: np.ndarray,
    compiler: str,
    flags: Sequence[str] = OPTIMIZED,
    states: bool = True,
    prefix: str = PLAIN,
) -> Recording:
    """Records as `record` does, with the runtime and the model that are in `folder`, the c/ of a bundle of `net`."""
    folder = folder.resolve()
    with tempfile.TemporaryDirectory(prefix="snnkd-c99-") as temporary:
        here = Path(temporary)
        write(here, of_files({"trace.c": trace_file()}, prefix))
        observed = f"-D{renamed('SNNKD_OBSERVE', prefix)}"
        files = [*sources(folder, prefix), "trace.c"]
        with progress.doing("compiling C"):
            program = compile(here, files, "trace", compiler, (*flags, "-std=c99", observed, f"-I{folder}"))
        part = max(1, _PART_BYTES // (_layout(net, events.shape[1]).itemsize + events[0].size * 4))
        with progress.doing("the compiled C runs"):
            parts = [_run(net, events[start : start + part], program, states) for start in range(0, len(events), part)]
    return _joined(events, parts)


def _layout(net: IntNet, steps: int) -> np.dtype:
    """One sample of the harness's output."""
    fields: list[tuple[str, str, int]] = [("class", "u4", 1), ("decided", "u4", 1)]
    for name, layer in zip(net.names, net.layers, strict=True):
        size, neuron = prod(layer.shape), layer.neuron
        if neuron.kind == "cuba":
            fields += [(f"{name}_s", "u1", size), (f"{name}_u", "i4", size), (f"{name}_v", "i4", size)]
        else:
            behind = [
                state for state in ("residue", "sigma", "error") if state in neuron.states[neuron.kind == "sigma" :]
            ]
            fields += [(f"{name}_{state}", "i4", size) for state in (neuron.membrane, "s", *behind)]
    step = np.dtype([(name, kind, (size,)) for name, kind, size in fields])
    counted = "u4" if net.layers[-1].neuron.kind == "cuba" else "i4"  # sums of messages have a sign
    return np.dtype([("steps", step, (steps,)), ("counts", counted, (prod(net.layers[-1].shape),))])


def _run(net: IntNet, events: np.ndarray, program: Path, states: bool) -> Recording:
    source, result = program.with_name("events"), program.with_name("result")
    kind = np.int32 if plan(net).wide_input else np.uint8
    with source.open("wb") as file:
        np.array(events.shape[:2], np.uint32).tofile(file)
        channels_last(events, 2).astype(kind).tofile(file)
    done = execute([program, source, result], program.parent)
    if done.returncode:
        raise LimitError(f"{program.name}: exit status {done.returncode}\n{done.stderr.strip()}")
    raw = np.fromfile(result, _layout(net, events.shape[1]))
    layers = []
    for name, layer, kept in zip(net.names, net.layers, net.recorded(states), strict=True):
        membrane = layer.neuron.membrane
        recorded = {q: _channels_first(raw["steps"][f"{name}_{q}"], layer.shape) for q in {"s", membrane, *kept}}
        last = recorded[membrane][:, -1].copy()
        layers.append(LayerTrace(name, recorded["s"], last).holding({state: recorded[state] for state in kept}))
    classes, decided = (raw["steps"][field][..., 0] for field in ("class", "decided"))
    trace = SpikeTrace("c99", events, tuple(layers))
    return Recording(trace, classes.astype(np.int64), decided != 0, raw["counts"].astype(np.int64))


def _channels_first(values: np.ndarray, shape: Shape) -> np.ndarray:
    """(N, T, *shape) of (N, T, neurons), channels last."""
    if len(shape) == 3:
        values = np.moveaxis(values.reshape(*values.shape[:2], *shape[1:], shape[0]), -1, 2)
    return np.ascontiguousarray(values)


def _joined(events: np.ndarray, parts: Sequence[Recording]) -> Recording:
    if len(parts) == 1:
        return parts[0]

    def join(of: Callable[[Recording], np.ndarray | None]) -> Any:
        arrays = [of(part) for part in parts]
        return None if arrays[0] is None else np.concatenate(arrays)  # type: ignore[arg-type]

    names = ("spikes", "v_last", "u", "v", "sigma", "act", "residue", "error")
    layers = tuple(
        LayerTrace(
            layer.name,
            **{name: join(lambda part, k=k, name=name: getattr(part.trace.layers[k], name)) for name in names},
        )
        for k, layer in enumerate(parts[0].trace.layers)
    )
    classes, decided, counts = (
        join(lambda part, name=name: getattr(part, name)) for name in ("classes", "decided", "counts")
    )
    return Recording(SpikeTrace("c99", events, layers), classes, decided, counts)
