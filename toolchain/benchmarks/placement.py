"""Holds the placement of `snnkd check` against what compilers of Loihi did.

    python toolchain/benchmarks/placement.py [--nengo PYTHON]

1. PilotNet LIF and SDNN on Loihi 2: the table that Intel's compiler printed (lava-dl 0.6.0, tutorials/lava/lib/dl/netx/
   pilotnet_snn and pilotnet_sdnn, benchmark.ipynb). The network is the one in lava-dl's wheel, not the notebooks' own:
   words of synaptic memory may differ where zeros or the width of weights count.
2. Dense layers on Loihi against nengo-loihi, which runs in an interpreter of its own: it needs Python 3.10 and
   numpy < 1.24 (`pip install nengo-loihi "numpy<1.24"` there).
"""

from __future__ import annotations

import argparse
import json
import site
import subprocess
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from snnkd import targets
from snnkd.analysis import fit
from snnkd.analysis.placement import Core, Placement
from snnkd.formats import netx
from snnkd.ir.network import Cuba, Dense, IntNet

PILOTNET = "tests/lava/lib/dl/netx/gts/pilotnet_lif/network.net"  # within lava-dl's wheel
WORD = 8  # bytes


@dataclass(frozen=True)
class Published:
    """A row of the compiler's table: cores, neurons on a full one, and words of synaptic memory, LIF and SDNN."""

    cores: int
    neurons: int
    words: tuple[int, int]


COMPILED = {
    "layer0": Published(13, 3168, (0, 0)),  # the input's neurons; the SDNN has none
    "layer1": Published(25, 3072, (81, 81)),
    "layer2": Published(13, 2160, (864, 864)),
    "layer3": Published(3, 2688, (1620, 1620)),
    "layer4": Published(3, 2048, (2160, 2592)),
    "layer5": Published(2, 2048, (2880, 2880)),
    "layer6": Published(12, 8, (7253, 7253)),
    "layer7": Published(1, 50, (1300, 1500)),
    "layer8": Published(1, 10, (150, 150)),
    "layer9": Published(1, 1, (10, 10)),
}

NENGO = """
import json, sys
import numpy as np
from nengo_loihi.block import LoihiBlock, Synapse
found = []
for outputs, inputs in json.loads(sys.argv[1]):
    block = LoihiBlock(outputs)
    block.compartment.configure_relu()
    synapse = Synapse(inputs)
    synapse.set_weights(np.full((inputs, outputs), 100.0))
    synapse.format(compression=3, idx_bits=0, fanout_type=1, n_synapses=63, weight_bits=7)
    block.add_synapse(synapse)
    found.append([synapse.bits(), block.utilization()["synapses"][1]])
print(json.dumps(found))
"""
DENSE = ((8, 100), (64, 512), (100, 784), (128, 784), (200, 600), (512, 200), (1000, 100))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--nengo", metavar="PYTHON", help="an interpreter that has nengo-loihi")
    options = parser.parse_args()
    pilotnet()
    if options.nengo:
        nengo(options.nengo)


def placed(net: IntNet, target: str) -> Placement:
    placement = fit.fit(net, targets.load(target)).placement
    assert placement is not None
    return placement


def pilotnet() -> None:
    files = [Path(folder) / PILOTNET for folder in site.getsitepackages()]
    ours = placed(netx.load(next(file for file in files if file.exists())), "loihi2")
    by_layer = {name: list(cores) for name, cores in groupby(ours.by_core, key=lambda core: core.layer)}
    print("PilotNet on Loihi 2: cores, neurons of a full one, words of synaptic memory (published: LIF, SDNN)")
    for name, row in COMPILED.items():
        cores = by_layer[name]
        full: Core = max(cores, key=lambda core: core.neurons)
        words = full.synapse_bytes // WORD
        print(
            f"{name}  cores {len(cores):3} (published {row.cores:3})  neurons {full.neurons:5,} ({row.neurons:5,})  "
            f"words {words:6,} ({row.words[0]:,}, {row.words[1]:,})"
        )
    without = ours.cores - len(by_layer["layer0"])
    print(f"LIF: {ours.cores} cores (published 74); SDNN, without input neurons: {without} (published 61)")
    print(f"lower bound: {ours.lower_bound} cores")


def nengo(python: str) -> None:
    run = subprocess.run([python, "-W", "ignore", "-c", NENGO, json.dumps(DENSE)], capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(run.stderr)
    print("dense layers of 8 bit on one core of Loihi: bits of synaptic memory, ours and nengo-loihi's")
    for (outputs, inputs), (bits, limit) in zip(DENSE, json.loads(run.stdout), strict=True):
        weight = np.where(np.arange(outputs * inputs) % 2, 254, -256).reshape(outputs, inputs).astype(np.int32)
        neuron = Cuba(*(np.array(value, np.int32) for value in (0, 0, 100)))
        cores = placed(IntNet((inputs,), (Dense(weight, neuron),)), "loihi1").by_core
        own = 8 * sum(core.synapse_bytes for core in cores)
        print(f"{inputs:4} to {outputs:4}: {own:9,}  {bits:9,}  of {limit:,}, on {len(cores)} core(s) here")


if __name__ == "__main__":
    main()
