"""Lava's fixed-point simulation of Loihi 2, run in a child process: its import time, logging, open files, global state
and hangs stay there.

The child loads the network with lava-dl's NetX from a `.net` file, as a user of Lava would, and records every layer.
What Lava cannot load, would compute wrongly, or needs a reset for, is in `facts`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from snnkd.base import packages, progress
from snnkd.base.errors import LimitError, SnnkdError
from snnkd.engines.lava import facts
from snnkd.formats import netx
from snnkd.ir.events import check_input
from snnkd.ir.network import IntNet
from snnkd.ir.trace import LayerTrace, SpikeTrace

WORKER = Path(__file__).parent / "worker"  # also in every bundle
_LOOK = 0.5  # seconds between two looks at which sample runs


def available() -> str | None:
    """Says why Lava cannot run here and what to do, None where it can."""
    return packages.missing("lava.magma", "lava.lib.dl", "asteval", "networkx", "scipy")


def refuses(net: IntNet) -> str | None:
    """Says what of `net` Lava cannot load or would compute wrongly, naming the layer; None where it takes it."""
    return facts.refusal(net)


def run(net: IntNet, spikes: np.ndarray, states: bool = False, timeout: float = 600.0) -> SpikeTrace:
    """Runs `net` in Lava on integers (N, T, *input shape); equals `definition.simulate`, overflows and saturations -1.

    All samples run in one go where nothing of a sample can reach the next one, else each in a network of its own
    (0.5 s each, see `facts.FEATURES`). timeout: seconds. Raises LimitError where Lava is missing, refuses the network,
    is not done in time or cannot hold sums of messages (`facts.sums_beyond`), FormatError for unusable input,
    SnnkdError with Lava's last words where it fails.
    """
    if reason := available() or refuses(net):
        raise LimitError(f"engine lava: {reason}")
    events = check_input(net, spikes)
    with tempfile.TemporaryDirectory(prefix="snnkd-lava-") as name:
        folder = Path(name)
        netx.save(net, folder / "network.net")
        write_job(folder, net, events, states)
        run_worker(folder, timeout)
        trace = read_trace(folder, net, events, states)
    if reason := facts.sums_beyond(net, trace):
        raise LimitError(f"engine lava: {reason}")
    return trace


def write_job(folder: Path, net: IntNet, events: np.ndarray, states: bool) -> None:
    """Writes the worker's input.npy and job.json for `net`, which `folder` holds as network.net."""
    described = job(net, states)
    flat = events.reshape(*events.shape[:2], -1)
    np.save(folder / "input.npy", flat if described["flat"] else _reversed(events, 2))
    (folder / "job.json").write_text(json.dumps(described))


def job(net: IntNet, states: bool) -> dict[str, Any]:
    """Makes the worker's job.json for `net`, whose fields `worker/record.py` explains; states: whether it records them.

    `reset` says whether the neurons are cleared even where a single sample runs.
    """
    reads = facts.LAYERS[net.layers[0].kind].first_reads
    features = facts.features(net)
    return {
        "input_shape": net.input_shape[::-1] if reads == "image" else None,
        "flat": reads == "features",
        "message_bits": net.message_bits,
        "bias_input": net.reads_image,
        "delta_input": reads == "neurons" and not net.reads_image,
        "together": not any(feature.own_run for feature in features),
        "reset": any(feature.reset for feature in features),
        "states": [list(names) for names in net.recorded(states)],
        "membrane": net.layers[-1].neuron.membrane,
    }


def run_worker(folder: Path, timeout: float) -> None:
    """Runs the worker on `folder` and ends it, with all that it started, whatever happens. See `run` for errors."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(WORKER / "record.py"), str(folder)]
    log = folder / "log.txt"
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            with progress.doing("Lava starts"):
                status = _awaited(child, folder / "sample.txt", timeout)
        except subprocess.TimeoutExpired:
            raise LimitError(
                f"engine lava: not done after {timeout:g} s, stopped; use fewer samples or steps{_last_words(log)}"
            ) from None
        finally:
            if child.returncode != 0:
                _end(child)
    if status != 0 or not (folder / "done").exists():
        raise SnnkdError(f"engine lava: Lava failed with exit status {status}{_last_words(log)}")


def _awaited(child: subprocess.Popen, sample: Path, timeout: float) -> int:
    """Waits for the child, and says which sample runs, as it writes into the file `sample`. Raises TimeoutExpired."""
    end = time.monotonic() + timeout
    while True:
        try:
            return child.wait(max(0, min(_LOOK, end - time.monotonic())))
        except subprocess.TimeoutExpired:
            if time.monotonic() >= end:
                raise
        if sample.exists():
            progress.say(f"Lava: {sample.read_text()}")


def read_trace(folder: Path, net: IntNet, events: np.ndarray, states: bool) -> SpikeTrace:
    """Reads what the worker wrote into `folder` on `events` (N, T, *input shape), its arrays back in the order C, H, W.

    states: whether the job asked for them.
    """
    return SpikeTrace("lava", events, tuple(_read_layer(folder, net, k, states) for k in range(len(net.layers))))


def _end(child: subprocess.Popen) -> None:
    """Ends the child and all that it started: asked first, so that its resource tracker frees the shared memory."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(2.0)
        time.sleep(0.5)
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f". Its last words: {' | '.join(lines[-3:])[-600:]}" if lines else ""


def _read_layer(folder: Path, net: IntNet, k: int, states: bool) -> LayerTrace:
    def read(what: str, leading: int) -> np.ndarray:
        return _reversed(np.load(folder / f"layer{k}_{what}.npy"), leading)

    recorded = {name: read(name, 2) for name in net.recorded(states)[k]}
    every = recorded.get(net.layers[k].neuron.membrane)
    last = read("v_last", 1) if k == len(net.layers) - 1 else None if every is None else every[:, -1]
    return LayerTrace(net.names[k], read("s", 2), last).holding(recorded)


def _reversed(array: np.ndarray, leading: int) -> np.ndarray:
    """C, H, W to W, H, C and back, behind `leading` dimensions that stay."""
    order = (*range(leading), *reversed(range(leading, array.ndim)))
    return np.ascontiguousarray(array.transpose(order))
