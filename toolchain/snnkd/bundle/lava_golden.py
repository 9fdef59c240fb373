"""Runs the network of a bundle in Lava and compares every spike with the bundle's golden ones:

    python lava/run.py [--hardware]

Python 3.10 or later with lava-nc 0.10.0 and lava-dl 0.6.0 and nothing else: `worker/record.py` does the work in
Lava's bit-accurate simulation of Loihi 2. With --hardware the network runs on a Loihi 2 that you have access to, and
the spike counts of the last layer are compared; its makers had no chip to try that on. Exit status 1 where a spike
differs.
"""

# Lava's own types are no help here.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportMissingImports=false

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
BUNDLE = HERE.parent


def main(hardware: bool) -> int:
    golden = dict(np.load(BUNDLE / "golden" / "golden.npz"))
    job = json.loads((HERE / "job.json").read_text())
    found = _on_hardware(golden, job) if hardware else _simulated(golden, job)
    wrong = 0
    for name, spikes in found.items():
        differing = int(np.count_nonzero(spikes != golden[name]))
        expected = int(golden[name].sum() if hardware else np.count_nonzero(golden[name]))
        print(f"{name}: {expected} spikes expected, {differing} differences")
        wrong += differing
    print("equal" if wrong == 0 else f"DIFFERENT: {wrong} in all")
    return int(wrong > 0)


def _simulated(golden: dict[str, np.ndarray], job: dict) -> dict[str, np.ndarray]:
    """Spikes of all layers (N, T, *shape), C, H, W as the golden ones are."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "network.net").write_bytes((BUNDLE / "model.net").read_bytes())
        (folder / "job.json").write_text(json.dumps(job))
        np.save(folder / "input.npy", _lava_order(golden["input"], job))
        subprocess.run([sys.executable, str(HERE / "worker" / "record.py"), str(folder)], check=True, cwd=folder)
        return {layer: _reversed(np.load(folder / f"{layer}_s.npy"), 2) for layer in _layers(golden)}


def _on_hardware(golden: dict[str, np.ndarray], job: dict) -> dict[str, np.ndarray]:
    """Spike counts (N, outputs) of the last layer, each sample in a network of its own."""
    try:
        from lava.proc.embedded_io.spike import NxToPyAdapter, PyToNxAdapter
    except ImportError as error:
        sys.exit(f"--hardware needs Lava's extension for Loihi, which members of Intel's community have ({error})")
    if any(golden[layer].dtype != np.uint8 for layer in _layers(golden)):
        sys.exit("--hardware compares spike counts, of which sigma-delta neurons have none; run without it")
    from lava.lib.dl.netx.hdf5 import Network
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2HwCfg
    from lava.proc import io

    rows = []
    for sample in _lava_order(golden["input"], job):
        network = Network(
            net_config=str(BUNDLE / "model.net"),
            input_message_bits=job["message_bits"],
            input_shape=tuple(job["input_shape"]) if job["input_shape"] else None,
        )
        steps = len(sample)
        total = steps + len(network.layers)
        if job["bias_input"]:
            network.in_layer.neuron.bias_mant.init = sample[0].astype(np.int32)
        else:
            source = io.source.RingBuffer(data=np.ascontiguousarray(np.moveaxis(sample, 0, -1), dtype=np.int32))
            to_chip = PyToNxAdapter(shape=network.inp.shape, num_message_bits=job["message_bits"])
            source.s_out.connect(to_chip.inp)
            to_chip.out.connect(network.inp)
        from_chip = NxToPyAdapter(shape=network.out.shape)
        sink = io.sink.RingBuffer(shape=network.out.shape, buffer=total)
        network.out.connect(from_chip.inp)
        from_chip.out.connect(sink.a_in)
        network.run(condition=RunSteps(num_steps=total), run_cfg=Loihi2HwCfg())
        spikes = sink.data.get()
        network.stop()
        rows.append(_reversed(np.count_nonzero(spikes, axis=-1), 0).reshape(-1))
    return {"counts": np.array(rows)}


def _layers(golden: dict[str, np.ndarray]) -> list[str]:
    """The names of the arrays of spikes, without those of states: layer0, layer1, ..."""
    return sorted((name for name in golden if re.fullmatch(r"layer\d+", name)), key=lambda name: int(name[5:]))


def _lava_order(events: np.ndarray, job: dict) -> np.ndarray:
    """Events (N, T, C, H, W) as Lava reads them: W, H, C, or flat in front of a dense layer."""
    return events.reshape(*events.shape[:2], -1) if job["flat"] else _reversed(events, 2)


def _reversed(array: np.ndarray, leading: int) -> np.ndarray:
    order = (*range(leading), *reversed(range(leading, array.ndim)))
    return np.ascontiguousarray(array.transpose(order))


if __name__ == "__main__":
    sys.exit(main("--hardware" in sys.argv[1:]))
