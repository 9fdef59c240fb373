"""Pictures of a finished run: how its stages learned, and what one image makes the student do.

    python toolchain/benchmarks/run_pictures.py [RUN] [--image N] [--data-root DIR] [--out DIR]

Writes training.svg, the accuracy of each stage's integer network on the validation data by epoch, and spikes.svg, the
events, spikes and output voltages of one test image, step by step; where the run reads recordings, recording.svg in its
place: one recording as its events, as time steps, and as what the student makes of it. The same run gives the same
files.
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
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import snnkd
from snnkd.data.recordings.collection import Recordings
from snnkd.data.samples import Samples
from snnkd.ir.event_encoding import EventEncoding
from snnkd.runs import RUNS
from snnkd.runs.subject import Subject, opened

TRAINING, SPIKES, RECORDING = "training.svg", "spikes.svg", "recording.svg"
_STYLE = {"svg.hashsalt": "snnkd", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
_COLOURS = ("#4a6fb5", "#e08a1e", "#00796b", "#7b4fa3")
_ANSWER, _OTHERS = "#00796b", "#7a8a88"
_OFF, _ON = "#2b6cb0", "#d9480f"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", nargs="?", help="the newest finished one unless given")
    parser.add_argument("--image", type=int, default=0, help="index of a test image or recording")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args()
    subject = opened(options.run, RUNS, options.data_root)
    assert subject.run is not None, "a file has no history and no images"
    with matplotlib.rc_context(_STYLE):  # pyright: ignore[reportArgumentType]
        _save(training(subject.run.folder / "metrics.csv"), options.out / TRAINING)
        if subject.run.recipe.encoding.kind == "events":
            _save(recording(subject, options.image), options.out / RECORDING)
        else:
            _save(spikes(subject, options.image), options.out / SPIKES)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)


def training(metrics: Path) -> Figure:
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


def spikes(subject: Subject, image: int) -> Figure:
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


def recording(subject: Subject, number: int) -> Figure:
    """Draws a test recording, time from left to right: its events by column of the sensor, the cells of each step, the
    spikes of each layer, a map for each channel, and the voltages that the class is read from."""
    net, samples = subject.net, subject.samples(number + 1)
    trace = snnkd.simulate(net, samples.events(number, number + 1), states=True)
    last, encoding = trace.layers[-1], samples.encoder
    assert isinstance(samples.images, Recordings) and isinstance(encoding, EventEncoding) and encoding.window_us
    assert samples.labels is not None and last.v is not None
    hidden = trace.layers[:-1]
    figure = plt.figure(figsize=(10, 3.4 + 0.72 * (1 + len(hidden))))
    grid = figure.add_gridspec(
        3 + len(hidden), trace.steps, height_ratios=[2, *[1] * (1 + len(hidden)), 2], wspace=0.06
    )
    _events(figure.add_subplot(grid[0, :]), samples, number, trace.steps * encoding.window_us / 1000)
    for step in range(trace.steps):
        cells = figure.add_subplot(grid[1, step])
        cells.imshow(_coloured(trace.input[0, step]), interpolation="none")
        rows = [(cells, "steps")]
        for row, layer in enumerate(hidden, start=2):
            rows.append((figure.add_subplot(grid[row, step]), layer.name))
            _maps(rows[-1][0], layer.spikes[0, step], 1)
        for axes, name in rows:
            axes.set(xticks=[], yticks=[])
            if step == 0:
                axes.set_ylabel(name, rotation=0, ha="right", va="center")
    answer = int(trace.classes(net)[0])
    _voltages(figure.add_subplot(grid[-1, :]), last.v[0].reshape(trace.steps, -1), answer)
    figure.suptitle(
        f"test recording {number}: a {samples.labels[number]}, the student says {answer}", fontsize=10, y=1.0
    )
    return figure


def _events(axes: Axes, samples: Samples, number: int, end: float) -> None:
    """end: of the last step, in ms."""
    assert isinstance(samples.images, Recordings)
    one = samples.images.read(number)
    for polarity, name, colour in ((0, "OFF", _OFF), (1, "ON", _ON)):
        mine = one.p == polarity
        dots = {"s": 1.5, "linewidths": 0, "rasterized": True}  # thousands of circles are no picture for a page
        axes.scatter(one.t[mine] / 1000, one.x[mine], color=colour, **dots)
        axes.plot([], [], "o", color=colour, markersize=3, label=f"{name}, {mine.sum():,} events")
    axes.set(xlim=(0, end), ylim=(0, samples.images.sensor[1]), ylabel="column", xlabel="ms")
    axes.xaxis.set_ticks_position("top")
    axes.xaxis.set_label_position("top")
    axes.legend(loc="lower left", ncols=2, frameon=False, fontsize=8, borderpad=0)


def _coloured(cells: np.ndarray) -> np.ndarray:
    """(H, W, 3) of the cells (C, H, W) of a step: OFF and ON in their colours on white, both at once mixed."""
    picture = np.ones((*cells.shape[1:], 3))
    for channel, colour in zip(cells, (_OFF, _ON) if len(cells) == 2 else (_ON,), strict=True):
        picture = np.where((channel != 0)[..., None], picture * to_rgb(colour), picture)
    return picture


def _voltages(axes: Axes, v: np.ndarray, answer: int) -> None:
    """v: (T, classes) after each step."""
    steps, best = np.arange(1, len(v) + 1), np.argsort(v[-1])[-2:]
    for number, course in enumerate(v.T):
        mine = number == answer
        axes.plot(steps, course, color=_ANSWER if mine else _OTHERS, linewidth=2 if mine else 0.8)
        if number in best:
            axes.annotate(str(number), (steps[-1], course[-1]), (4, -3), textcoords="offset points", fontsize=7)
    axes.axhline(0, color="0.3", linewidth=0.6)
    axes.set(xlim=(0.5, len(v) + 0.5), xticks=steps, yticks=[], ylabel="output, v")
    axes.set_xlabel("after step", labelpad=1)


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
