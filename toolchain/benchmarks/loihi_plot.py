"""Plot of the benchmark `loihi`: the chip's spikes and a voltage as rings, the network's as dots and a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

import snnkd
from loihi import AFTER_A_SPIKE, Recording
from snnkd.ir.network import cuba_of
from snnkd.ir.trace import LayerTrace

# Of text and axes, of the chip, of snnkd: each at least 4.5 to 1 against GitHub's white or dark background.
THEMES = {"light": ("#1f2328", "#8c4a00", "#0550ae"), "dark": ("#e6edf3", "#f0a63a", "#79c0ff")}
_STYLE: dict[Any, Any] = {"svg.hashsalt": "snnkd", "svg.fonttype": "none", "font.size": 14}
_COLOURED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
_NEURON, _SHOWN = 23, (40, 160)  # whose voltage is drawn, and of which steps


def draw(recording: Recording, folder: Path) -> None:
    """Writes loihi_light.svg and loihi_dark.svg, on transparent ground. The same recording gives the same files."""
    trace = snnkd.simulate(recording.net, recording.events, states=True).layers[0]
    spikes = recording.compare(recording.net)[0]
    title = f"{spikes.values} spikes of {trace.spikes.shape[2]} neurons, {spikes.differ} differences"
    for theme, (ink, chip, ours) in THEMES.items():
        colours = dict.fromkeys(_COLOURED, ink)
        with matplotlib.rc_context({**_STYLE, **colours}):
            figure, (top, bottom) = plt.subplots(2, figsize=(7.4, 5.2), height_ratios=(3, 2), layout="constrained")
            top.set_title(title, loc="left", fontsize=14)
            _spikes(top, recording, trace.spikes[0], chip, ours)
            _voltage(bottom, recording, trace, chip, ours)
            rings = Line2D([], [], marker="o", markersize=8, mfc="none", mec=chip, linestyle="", label="Loihi chip")
            dots = Line2D([], [], marker="o", markersize=4, color=ours, label="snnkd")
            figure.legend(handles=[rings, dots], loc="outside upper center", ncols=2, frameon=False)
            figure.savefig(folder / f"loihi_{theme}.svg", transparent=True, metadata={"Date": None})
            plt.close(figure)


def _spikes(axes: Axes, recording: Recording, spikes: np.ndarray, chip: str, ours: str) -> None:
    """All spikes of the hidden layer, snnkd's one step later, as the chip sends them."""
    steps, neurons = recording.records["hidden_spikes"].T
    axes.plot(steps, neurons, "o", mfc="none", mec=chip, markersize=5, mew=0.9)
    steps, neurons = np.nonzero(spikes[: recording.steps - 1])
    axes.plot(steps + 1, neurons, "o", color=ours, markersize=2.2, mew=0)
    axes.set(ylabel="hidden neuron", xlim=(-5, recording.steps + 4), ylim=(-1, spikes.shape[1]))
    axes.spines[["top", "right"]].set_visible(False)


def _voltage(axes: Axes, recording: Recording, trace: LayerTrace, chip: str, ours: str) -> None:
    """The voltage of one neuron, in units of its threshold; the chip's record of a spike itself, 128, is left out."""
    assert trace.v is not None  # states were asked for
    threshold = 64 * int(cuba_of(recording.net.layers[0]).threshold)
    first, last = _SHOWN
    steps = np.arange(first, last)
    recorded = recording.records[f"hidden{_NEURON}_voltage"][first:last]
    kept = recorded != AFTER_A_SPIKE
    axes.plot(steps, trace.v[0, first:last, _NEURON] / threshold, color=ours, linewidth=1.2)
    axes.plot(steps[kept], recorded[kept] / threshold, "o", mfc="none", mec=chip, markersize=5, mew=1)
    axes.set_title(f"voltage of neuron {_NEURON}", loc="left", fontsize=14)
    axes.set(xlabel="time step", ylabel="threshold = 1", xlim=(first - 1, last))
    axes.spines[["top", "right"]].set_visible(False)
