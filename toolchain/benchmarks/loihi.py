"""Compares the integer network with what a Loihi chip did, spike by spike and voltage by voltage.

    python toolchain/benchmarks/loihi.py [--data-root DIR] [--engine fast] [--plot FOLDER] [--json]

The recording is that of SLAYER for PyTorch (Shrestha and Orchard, `test/test_files/Loihi` of its repository): a network
of 250 inputs, 25 hidden neurons and 1 output, 501 steps of input, the spikes of all its neurons and the voltages of
three over 499 steps. DIR/loihi1-silicon.npz holds it: `events` (T, 250), `fc1` (25, 250), `fc2` (1, 25),
`current_decay`, `voltage_decay`, `threshold` as a `.net` file has them, `hidden_spikes` and `output_spikes` (spikes, 2)
as (step, neuron), and `hidden23_voltage`, `hidden24_voltage`, `output_voltage` (499,).

A layer on the chip sends its spikes one step after the network's, and the next layer follows, so that the steps of a
record are shifted as `_Part` says. Where a neuron has just fired, the chip's record of its voltage holds 128, the
network's v is 0: such values are counted apart. Exit status 1 where anything else differs. `--plot` draws
`loihi_light.svg` and `loihi_dark.svg`, which README shows (uv run --group plots).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

import snnkd
from snnkd.base.errors import DataError, SnnkdError
from snnkd.ir.network import Cuba, Dense, IntNet
from snnkd.ir.trace import LayerTrace

FILE = "loihi1-silicon.npz"
AFTER_A_SPIKE = 128  # what the chip's record of v holds there


class _Part(NamedTuple):
    """A record of the chip: its key, the layer and, of voltages, the neuron; how many steps later the chip has it."""

    key: str
    layer: int
    neuron: int | None
    lag: int


_PARTS = (
    _Part("hidden_spikes", 0, None, 1),
    _Part("output_spikes", 1, None, 2),
    _Part("hidden23_voltage", 0, 23, 0),
    _Part("hidden24_voltage", 0, 24, 0),
    _Part("output_voltage", 1, 0, 1),
)


@dataclass(frozen=True)
class Row:
    """One record: its spikes or voltages, how many of these `differ`, and how many are those right `after_a_spike`."""

    record: str
    values: int
    differ: int
    after_a_spike: int


@dataclass(frozen=True, eq=False)
class Recording:
    """The chip's network, its input (1, T, 250) and its records; a record holds `steps` steps."""

    net: IntNet
    events: np.ndarray
    records: dict[str, np.ndarray]
    steps: int

    @classmethod
    def load(cls, folder: Path) -> Recording:
        """Reads FILE in `folder`; raises DataError where it is not there."""
        path = folder / FILE
        if not path.is_file():
            raise DataError(f"no {FILE} in {folder}: give its folder as --data-root or in the variable SNNKD_DATA")
        with np.load(path) as file:
            neuron = Cuba(*(file[name].astype(np.int32) for name in ("current_decay", "voltage_decay", "threshold")))
            layers = tuple(Dense(file[name].astype(np.int32), neuron) for name in ("fc1", "fc2"))
            events, records = file["events"][None], {part.key: file[part.key] for part in _PARTS}
        return cls(IntNet((events.shape[2],), layers), events, records, len(records["output_voltage"]))

    def compare(self, net: IntNet, engine: str = "fast") -> list[Row]:
        """Runs `net` on the input by an engine and compares it with every record of the chip."""
        trace = snnkd.simulate(net, self.events, engine=engine, states=True)
        return [self._row(part, trace.layers[part.layer]) for part in _PARTS]

    def _row(self, part: _Part, ours: LayerTrace) -> Row:
        chips, steps = self.records[part.key], self.steps - part.lag  # those that both have
        if part.neuron is None:
            at, neurons = np.nonzero(ours.spikes[0, :steps])
            fired = set(zip((at + part.lag).tolist(), neurons.tolist(), strict=True))
            return Row(part.key, len(chips), len(fired ^ set(map(tuple, chips.tolist()))), 0)
        assert ours.v is not None  # states were asked for
        chips = chips[part.lag :]
        differs = ours.v[0, :steps, part.neuron] != chips
        reset = ours.spikes[0, :steps, part.neuron].astype(bool) & (chips == AFTER_A_SPIKE)
        return Row(part.key, len(chips), int((differs & ~reset).sum()), int(reset.sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-root", type=Path, default=Path(os.environ.get("SNNKD_DATA") or "data"))
    parser.add_argument("--engine", default="fast")
    parser.add_argument("--plot", type=Path, metavar="FOLDER")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    try:
        recording = Recording.load(arguments.data_root)
        rows = recording.compare(recording.net, arguments.engine)
    except SnnkdError as error:
        sys.exit(f"error: {error}")
    if arguments.plot:
        import loihi_plot

        loihi_plot.draw(recording, arguments.plot)
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        for row in rows:
            kind = "spikes" if "spikes" in row.record else f"steps, {row.after_a_spike} of them right after a spike"
            print(f"{row.record:18} {row.differ} differences in {row.values} {kind}")
    sys.exit(any(row.differ for row in rows))


if __name__ == "__main__":
    main()
