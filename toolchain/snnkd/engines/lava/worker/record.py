"""Runs a `.net` file in Lava and records its layers. Started by `engines.lava` as a child process:

    python record.py FOLDER

FOLDER holds network.net, input.npy (N, T, ...) in the order of Lava (W, H, C) and job.json:

    input_shape     null, or the (W, H, C) that the first layer reads
    flat            whether input.npy is flat, (N, T, features)
    message_bits    of an input event
    bias_input      whether the network begins with neurons that take the input as their bias
    delta_input     whether it begins with Delta encoders, which take the input without a synapse
    together        whether all samples run in one go, with the neurons reset in between
    states          for each layer the names of the states to record at every step
    membrane        the name of the state of the last layer that is recorded after the last step of each sample

For each layer K with neurons it writes layerK_s.npy (N, T, *shape) uint8, of sigma-delta neurons int32;
layerK_v_last.npy (N, *shape) int32 for the last layer; and layerK_NAME.npy like the spikes, int32, for each of the
states; shapes in the order of Lava. Meanwhile sample.txt says in words which samples run.

Time. Lava counts steps from 1 and its synapses send one step late: layer K (from 0) sees input step t of sample n at
step n * T + t + K + 2, one earlier behind an input layer that owns neurons. Lava's LIFReset clears u and v right
before the step at which a layer sees the first input of a sample, so samples follow each other without a gap; NetX
resets no sigma-delta neurons, so `sigma_delta` does.
"""

# Lava's own types are no help here: ports and blocks are declared as something else than they become.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import mends  # pyright: ignore[reportMissingImports]  (beside this file, which is run as a script)
import numpy as np

mends.apply()

import sigma_delta  # noqa: E402  # pyright: ignore[reportMissingImports]
from lava.lib.dl.netx.hdf5 import Network  # noqa: E402
from lava.magma.core.decorator import implements, requires  # noqa: E402
from lava.magma.core.model.py.model import PyLoihiProcessModel  # noqa: E402
from lava.magma.core.model.py.ports import PyInPort, PyRefPort  # noqa: E402
from lava.magma.core.model.py.type import LavaPyType  # noqa: E402
from lava.magma.core.process.ports.ports import InPort, RefPort  # noqa: E402
from lava.magma.core.process.process import AbstractProcess  # noqa: E402
from lava.magma.core.resources import CPU  # noqa: E402
from lava.magma.core.run_conditions import RunSteps  # noqa: E402
from lava.magma.core.run_configs import Loihi2SimCfg  # noqa: E402
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol  # noqa: E402
from lava.proc.io.source import RingBuffer  # noqa: E402

sigma_delta.read_own_keys()


class SpikeRecorder(AbstractProcess):
    """Writes what a layer sends into a file. (A sink's RingBuffer is read one element per message: slow.)"""

    def __init__(self, *, shape: tuple[int, ...], file: str, first: int, lag: int) -> None:
        super().__init__(shape=shape, file=file, first=first, lag=lag)
        self.a_in = InPort(shape=shape)


class StateRecorder(AbstractProcess):
    """Writes a state of a layer into a file: after every step, or where `last_of` = T > 0 after the last of each T."""

    def __init__(self, *, shape: tuple[int, ...], file: str, first: int, lag: int, last_of: int = 0) -> None:
        super().__init__(shape=shape, file=file, first=first, lag=lag, last_of=last_of)
        self.state = RefPort(shape)


class _Recording(PyLoihiProcessModel):
    """Rows of a file that exists; row `first` is for the Lava step lag + 1 (Lava counts from 1)."""

    def __init__(self, proc_params: dict) -> None:
        super().__init__(proc_params)
        rows = np.load(proc_params["file"], mmap_mode="r+")
        self.rows = rows.reshape(-1, *proc_params["shape"])[proc_params["first"] :]

    def write(self, step: int, data: np.ndarray) -> None:
        if 0 <= step < len(self.rows):
            self.rows[step] = data


@implements(proc=SpikeRecorder, protocol=LoihiProtocol)
@requires(CPU)
class PySpikeRecorder(_Recording):
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)  # type: ignore[assignment]

    def run_spk(self) -> None:
        self.write(self.time_step - 1 - self.proc_params["lag"], self.a_in.recv())


@implements(proc=StateRecorder, protocol=LoihiProtocol)
@requires(CPU)
class PyStateRecorder(_Recording):
    state: PyRefPort = LavaPyType(PyRefPort.VEC_DENSE, np.int32)  # type: ignore[assignment]

    def post_guard(self) -> bool:
        step, last_of = self.time_step - 1 - self.proc_params["lag"], self.proc_params["last_of"]
        return step >= 0 and (not last_of or step % last_of == last_of - 1)

    def run_post_mgmt(self) -> None:
        step = self.time_step - 1 - self.proc_params["lag"]
        self.write(step // max(self.proc_params["last_of"], 1), self.state.read())


def _create_files(folder: Path, network: Network, samples: int, steps: int, job: dict) -> None:
    last = len(network.layers) - 1
    for k, layer in enumerate(network.layers):
        every = (samples, steps, *layer.shape)
        graded = isinstance(layer.neuron, sigma_delta.KINDS)
        wanted = {"s": (every, np.int32 if graded else np.uint8)} | dict.fromkeys(job["states"][k], (every, np.int32))
        if k == last:
            wanted["v_last"] = ((samples, *layer.shape), np.int32)
        for name, (shape, dtype) in wanted.items():
            np.lib.format.open_memmap(folder / f"layer{k}_{name}.npy", "w+", dtype, tuple(map(int, shape)))


def _record(folder: Path, network: Network, sample: int, steps: int, first_lag: int, job: dict) -> None:
    """Connects recorders to all layers; `sample` is the first one that this run computes."""
    last = len(network.layers) - 1
    for k, layer in enumerate(network.layers):
        where = {"shape": tuple(layer.shape), "lag": first_lag + k}
        layer.out.connect(SpikeRecorder(file=f"{folder}/layer{k}_s.npy", first=sample * steps, **where).a_in)
        for name in job["states"][k]:
            probe = StateRecorder(file=f"{folder}/layer{k}_{name}.npy", first=sample * steps, **where)
            probe.state.connect_var(getattr(layer.neuron, name))
        if k == last:
            probe = StateRecorder(file=f"{folder}/layer{k}_v_last.npy", first=sample, last_of=steps, **where)
            probe.state.connect_var(getattr(layer.neuron, job["membrane"]))
        if isinstance(layer.neuron, sigma_delta.KINDS):
            layer.neuron.proc_params["reset"] = (first_lag + k, steps)


@contextlib.contextmanager
def _watched(network: Network) -> Iterator[None]:
    """Ends this process, with the error, when one of Lava's fails while the block runs: Lava itself waits for ever."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            infrastructure = getattr(network.runtime, "_messaging_infrastructure", None)
            for actor in infrastructure.actors if infrastructure else ():
                if actor.exception:
                    print(actor.exception[1], file=sys.stderr, flush=True)
                    os._exit(3)
                if actor.exitcode:
                    print(f"one of Lava's processes ended with status {actor.exitcode}", file=sys.stderr, flush=True)
                    os._exit(3)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _run(folder: Path, job: dict, events: np.ndarray, sample: int, total: int) -> None:
    """Runs `events` (n, T, ...), the samples from number `sample` of `total` on, in one Lava run."""
    samples, steps = events.shape[:2]
    first_lag = 0 if job["bias_input"] or job["delta_input"] else 1
    reset = {} if samples == 1 and not job["reset"] else {"reset_interval": steps if samples > 1 else 1 << 30}
    network = Network(
        net_config=str(folder / "network.net"),
        input_message_bits=job["message_bits"],
        input_shape=tuple(job["input_shape"]) if job["input_shape"] else None,
        reset_offset=first_lag,
        **reset,
    )
    if sample == 0:
        _create_files(folder, network, total, steps, job)
    if job["bias_input"]:
        network.in_layer.neuron.bias_mant.init = events[0, 0].astype(np.int32)
    else:
        timeline = np.moveaxis(events.reshape(samples * steps, *events.shape[2:]), 0, -1)
        source = RingBuffer(data=np.ascontiguousarray(timeline, dtype=np.int32))
        source.s_out.connect(network.in_layer.neuron.a_in if job["delta_input"] else network.inp)
    _record(folder, network, sample, steps, first_lag, job)
    count = samples * steps + len(network.layers) - 1 + first_lag
    with _watched(network):
        network.run(
            condition=RunSteps(num_steps=count),
            run_cfg=Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=sigma_delta.MODELS),
        )
    network.stop()
    network.net_config.f.file.close()


def main(folder: Path) -> None:
    logging.disable(logging.WARNING)
    job = json.loads((folder / "job.json").read_text())
    events = np.load(folder / "input.npy", mmap_mode="r")
    total = len(events)
    batch = total if job["together"] else 1
    for sample in range(0, total, batch):
        (folder / "sample.txt").write_text(f"sample {sample + 1} of {total}" if batch < total else f"{total} samples")
        _run(folder, job, events[sample : sample + batch], sample, total)
    (folder / "done").touch()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
