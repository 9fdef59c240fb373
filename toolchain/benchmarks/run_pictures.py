"""Pictures of a finished run: how its stages learned, and what one image makes the student do.

    python toolchain/benchmarks/run_pictures.py [RUN] [--image N] [--data-root DIR] [--out DIR]

Writes training.svg, the accuracy of each stage's integer network on the validation data by epoch, and spikes.svg, the
events, spikes and output voltages of one test image, step by step. The same run gives the same files.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

import snnkd
from snnkd.runs import RUNS
from snnkd.runs.subject import Subject, opened

TRAINING, SPIKES = "training.svg", "spikes.svg"
_STYLE = {"svg.hashsalt": "snnkd", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
_COLOURS = ("#4a6fb5", "#e08a1e", "#00796b", "#7b4fa3")
_ANSWER, _OTHERS = "#00796b", "#7a8a88"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", nargs="?", help="the newest finished one unless given")
    parser.add_argument("--image", type=int, default=0, help="index of a test image")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args()
    subject = opened(options.run, RUNS, options.data_root)
    assert subject.run is not None, "a file has no history and no images"
    with matplotlib.rc_context(_STYLE):  # pyright: ignore[reportArgumentType]
        _save(training(subject.run.folder / "metrics.csv"), options.out / TRAINING)
        _save(spikes(subject, options.image), options.out / SPIKES)


def _save(figure: plt.Figure, path: Path) -> None:  # pyright: ignore[reportPrivateImportUsage]
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)


def training(metrics: Path) -> plt.Figure:  # pyright: ignore[reportPrivateImportUsage]
    """Draws the accuracy on the validation data by epoch, a line for each stage; an ANN's is that of its floats."""
    accuracies: dict[str, list[float]] = defaultdict(list)
    with metrics.open(newline="") as file:
        for row in csv.DictReader(file):
            accuracies[row["stage"]].append(100 * float(row["validation.integer"] or row["validation.float"]))
    figure, axes = plt.subplots(figsize=(6.4, 2.9))
    for (stage, values), colour in zip(accuracies.items(), _COLOURS, strict=False):
        axes.plot(range(1, len(values) + 1), values, color=colour, label=stage)
    axes.set(xlabel="epoch", ylabel="accuracy on validation data, %", xlim=(1, None))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return figure


def spikes(subject: Subject, image: int) -> plt.Figure:  # pyright: ignore[reportPrivateImportUsage]
    """Draws what the fast engine records for one test image: a column for each step, a row for each layer."""
    net, samples = subject.net, subject.samples(image + 1)
    trace = snnkd.simulate(net, samples.events(image, image + 1), states=True)
    last = trace.layers[-1]
    assert samples.labels is not None and last.v is not None
    hidden = [(layer.name, layer.spikes[0]) for layer in trace.layers[:-1]]
    rows = [("input", trace.input[0]), *hidden]
    figure, grid = plt.subplots(len(rows) + 1, trace.steps, figsize=(1.6 * trace.steps, 1.6 * (len(rows) + 1)))
    grid = np.asarray(grid).reshape(len(rows) + 1, trace.steps)
    for step in range(trace.steps):
        grid[0, step].set_title(f"step {step + 1}", fontsize=9)
        for axes, (name, events) in zip(grid[:, step], rows, strict=False):
            _maps(axes, events[step], int(events.max()) or 1)
            unit = "events" if name == "input" else "spikes"
            axes.set_xlabel(f"{np.count_nonzero(events[step])} {unit}", fontsize=7, labelpad=2)
        _outputs(grid[-1, step], last.v[0, step].ravel(), np.abs(last.v).max())
    for axes, name in zip(grid[:, 0], [*(name for name, _ in rows), "output, v"], strict=True):
        axes.set_ylabel(name, fontsize=9)
    answer = trace.classes(net)[0]
    figure.suptitle(f"test image {image}: a {samples.labels[image]}, the student says {answer}", fontsize=10, y=0.95)
    return figure


def _maps(axes: Axes, events: np.ndarray, most: int) -> None:
    """Draws the channels of (C, H, W) events side by side, in as square a mosaic as they make."""
    maps = events.reshape(-1, *events.shape[-2:]) if events.ndim == 3 else _square(events.ravel())[None]
    across = int(np.ceil(np.sqrt(len(maps))))
    height, width = maps.shape[1:]
    rows = -(-len(maps) // across)
    mosaic = np.full((rows * (height + 1) - 1, across * (width + 1) - 1), np.nan)
    for number, channel in enumerate(maps):
        y, x = (number // across) * (height + 1), (number % across) * (width + 1)
        mosaic[y : y + height, x : x + width] = channel
    axes.imshow(mosaic, cmap="Greys", vmin=0, vmax=most, interpolation="none")
    axes.set_facecolor("#b9dcd6")
    axes.set(xticks=[], yticks=[])


def _square(events: np.ndarray) -> np.ndarray:
    """Lays the events of a dense layer out in a square, row by row; what is left of it is empty."""
    side = int(np.ceil(np.sqrt(len(events))))
    return np.pad(events.astype(float), (0, side * side - len(events)), constant_values=np.nan).reshape(side, side)


def _outputs(axes: Axes, v: np.ndarray, most: float) -> None:
    colours = np.where(np.arange(len(v)) == v.argmax(), _ANSWER, _OTHERS)
    axes.bar(range(len(v)), v, color=colours)
    axes.axhline(0, color="0.3", linewidth=0.6)
    axes.set(ylim=(-1.1 * most, 1.1 * most), yticks=[], xticks=range(len(v)))
    axes.tick_params(labelsize=6, length=0)


if __name__ == "__main__":
    main()
