"""Holds estimates of energy and latency against networks that were measured on a chip.

    python toolchain/benchmarks/energy_validation.py [--data-root DIR]

Each row: what was measured, our low, typical and high estimate, and measured / typical. The networks run here, on input
of their own where that is public:

- PilotNet LIF on Loihi 2: the network and image of lava-dl's wheel, 16 steps. Measured: its notebook of 2023-01-10
  (408.91 frames a second; 1.094 mJ dynamic, 1.661 mJ in all), and the earlier ones (0.562 to 1.071, 0.991 to 1.818).
  The wheel's network is not the notebook's: its synops are printed beside the notebook's 36.6 M.
- Keyword spotting on Loihi, dense 390-256-256-29, 10 steps: neither weights nor activity are public. Random events at
  10 and at 100 % activity in every layer. Measured: 0.272 mJ over idle with its host at 296.5 inferences a second
  (Blouw et al. 2019), 0.037 mJ without it (Yan et al. 2021).
- N-MNIST on Loihi: with --data-root the network 2312-512-10 that ran on the chip, on its 100 recordings
  (loihi1-nmnist-512.npz, n-mnist-small.zip). Measured: 620 uJ for another network of the same authors' method, 290 uJ
  for a converted one, as a survey quotes them: the same task, so orders of magnitude only.
"""

from __future__ import annotations

import argparse
import site
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from snnkd import targets
from snnkd.analysis import energy, traffic
from snnkd.analysis.energy import Energy, Range
from snnkd.data import datasets
from snnkd.data.recordings.cells import encode
from snnkd.engines.fast import simulation
from snnkd.formats import netx
from snnkd.ir.event_encoding import EventEncoding
from snnkd.ir.network import Cuba, Dense, IntNet
from snnkd.ir.trace import Activity, LayerCount, activity, counted

TRUTHS = "tests/lava/lib/dl/netx/gts/pilotnet_lif"  # within lava-dl's wheel


@dataclass(frozen=True)
class Measured:
    """A published figure, in uJ or us, and what of an estimate it is held against."""

    what: str
    value: float
    part: str


@dataclass(frozen=True)
class Case:
    """A network with what it did, and what was measured of it."""

    name: str
    target: str
    estimate: Energy
    note: str
    measured: tuple[Measured, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="folder of n-mnist-small.zip and the .npz")
    options = parser.parse_args()
    for case in cases(options.data_root):
        print(f"{case.name} on {case.target}: {case.note}")
        for row in case.measured:
            band: Range | None = getattr(case.estimate, row.part)
            assert band is not None
            shown = " / ".join(f"{value:,.4g}" for value in (band.low, band.typical, band.high))
            print(f"  {row.what}: measured {row.value:,.4g}, estimate {shown}, ratio {row.value / band.typical:.2g}")


def cases(root: Path | None) -> Iterator[Case]:
    yield pilotnet()
    yield keywords(0.1)
    yield keywords(1.0)
    if root is not None:
        yield nmnist(root)


def ran(net: IntNet, events: np.ndarray, target: str) -> tuple[Energy, list[LayerCount]]:
    trace = simulation.simulate(net, events)
    chip, seen = targets.load(target), activity(net, trace)
    counts, work = counted(net, seen), traffic.traffic(net, seen, chip)
    return energy.estimate(counts, trace.samples, chip, work), counts


def pilotnet() -> Case:
    folder = next(path for path in (Path(p) / TRUTHS for p in site.getsitepackages()) if path.exists())
    net = netx.load(folder / "network.net")
    image = np.load(folder / "image.npy")
    image = image.transpose(*reversed(range(image.ndim))).astype(np.int32)
    estimate, counts = ran(net, np.broadcast_to(image, (1, 16, *image.shape)), "loihi2")
    synops = sum(row.synops for row in counts)
    measured = (
        Measured("latency, us", 16e6 / 16 / 408.91, "latency"),
        Measured("dynamic, uJ", 1094, "dynamic"),
        Measured("total, uJ", 1661, "total"),
    )
    return Case("PilotNet LIF", "loihi2", estimate, f"{synops / 1e6:.1f} M synops (the notebook's: 36.6 M)", measured)


def keywords(activity: float) -> Case:
    sizes, steps = (390, 256, 256, 29), 10
    neuron = Cuba(*(np.array(value, np.int32) for value in (4096, 4096, 0)))
    layers = (Dense(np.full((out, into), 2, np.int32), neuron) for into, out in pairwise(sizes))
    net, chip = IntNet((390,), tuple(layers)), targets.load("loihi1")
    events = tuple(np.full((steps, size), activity) for size in sizes)
    rows = [LayerCount("input", "input", 390, 0, 0, 0, 0)]
    for name, into, out in zip(net.names, sizes[:-1], sizes[1:], strict=True):
        spikes, synops = round(activity * steps * out), round(activity * steps * into * out)
        rows.append(LayerCount(name, "dense", out, spikes, synops, synops, steps * out))
    estimate = energy.estimate(rows, 1, chip, traffic.traffic(net, Activity(1, events), chip))
    measured = (
        Measured("latency with host, us", 1e6 / 296.5, "latency"),
        Measured("dynamic with host, uJ", 272, "dynamic"),
        Measured("dynamic without host, uJ", 37, "dynamic"),
        Measured("total with host, uJ", 372, "total"),
    )
    return Case("keyword spotting", "loihi1", estimate, f"at {activity:.0%} activity", measured)


def nmnist(root: Path) -> Case:
    with np.load(root / "loihi1-nmnist-512.npz") as file:
        neuron = Cuba(*(file[name].astype(np.int32) for name in ("current_decay", "voltage_decay", "threshold")))
        layers = tuple(Dense(file[name].astype(np.int32), neuron) for name in ("fc1", "fc2"))
        encoding = EventEncoding(int(file["steps"]), sensor=(34, 34), window_us=1000)
    net = IntNet(encoding.shape, layers, encoding.steps)
    test = datasets.load("nmnist", root=root, validation=0).test
    estimate, _ = ran(net, encode(encoding, test.images), "loihi1")
    measured = (
        Measured("in all, SLAYER's network, uJ", 620, "total"),
        Measured("in all, a converted network, uJ", 290, "total"),
    )
    return Case("N-MNIST, 2312-512-10", "loihi1", estimate, f"{len(test)} recordings of {net.steps} steps", measured)


if __name__ == "__main__":
    main()
