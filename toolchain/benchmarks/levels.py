"""A picture of the levels that a neuron can say, by the kind that it is: docs/levels.svg.

    python toolchain/benchmarks/levels.py [--out DIR]

One neuron with one weight reads an input that stays the same. What it sends in four steps is drawn over what comes in,
both in units of its threshold; the sigma-delta neuron says in one step what the others say in four. All of it is run by
the engine `fast` on integer networks of one neuron.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
import numpy as np

from snnkd.analysis import evaluation
from snnkd.ir.network import Cuba, Dense, IntNet, Neuron, SigmaDelta

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
STEPS, BITS, WHOLE = 4, 8, 100  # WHOLE: the input that is one threshold
_STYLE = {"svg.hashsalt": "snnkd", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}


def _cuba(current_decay: float) -> Cuba:
    values = (round(current_decay * 4096), round(0.03 * 4096), WHOLE)
    return Cuba(*(np.array(value, np.int32) for value in values))


# Name, colour, neurons, weight, steps, and what is one unit of what they send.
KINDS: list[tuple[str, str, Neuron, int, int, int]] = [
    ("CUBA, 4 steps", "#4a6fb5", _cuba(1.0), 1, STEPS, 1),
    ("CUBA, current_decay 0.7, 4 steps", "#e08a1e", _cuba(0.7), 1, STEPS, 1),
    ("sigma-delta, 1 step", "#00796b", SigmaDelta(0), 64, 1, WHOLE),
]


def said(neuron: Neuron, weight: int, steps: int) -> np.ndarray:
    """Runs one neuron on each input of `BITS` bits: what it sends in all, (2^BITS,)."""
    net = IntNet((1,), (Dense(np.array([[weight]], np.int32), neuron),), message_bits=BITS)
    inputs = np.arange(1 << BITS, dtype=np.uint8)
    events = np.broadcast_to(inputs[:, None, None], (len(inputs), steps, 1))
    return evaluation.simulate(net, events).layers[0].spikes.sum(axis=(1, 2), dtype=np.int64)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=DOCS, metavar="DIR")
    folder = parser.parse_args().out
    with matplotlib.rc_context(_STYLE):  # pyright: ignore[reportArgumentType]
        figure, axes = plt.subplots(figsize=(6.4, 2.9))
        x = np.arange(1 << BITS) / WHOLE
        for name, colour, neuron, weight, steps, unit in KINDS:
            messages = said(neuron, weight, steps)
            axes.plot(x, messages / unit, color=colour, drawstyle="steps-post")
            label = f"{name}: {len(np.unique(messages))} levels"
            print(label)
            axes.plot([], [], color=colour, label=label)
        axes.set(xlabel="input at each step, in thresholds", ylabel="what it sends in all")
        axes.set(xlim=(0, x[-1]), ylim=(-0.1, 4.3))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        figure.savefig(folder / "levels.svg", metadata={"Date": None}, bbox_inches="tight")


if __name__ == "__main__":
    main()
