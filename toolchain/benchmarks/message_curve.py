"""What a threshold for messages saves, and what it costs: accuracy, messages and synops of a sigma-delta student.

    python toolchain/benchmarks/message_curve.py RUN [--data-root DIR] [--samples N] [--csv FILE]

The student is not trained again: every hidden layer's threshold becomes a share of what its messages are on average
(their mean square's root on validation images), and the whole test set is run at each. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from snnkd.analysis import evaluation
from snnkd.data.datasets import Split
from snnkd.data.encoding import Encoder, encode
from snnkd.ir.network import IntNet
from snnkd.ir.trace import count
from snnkd.runs.subject import opened, read_data

SHARES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
_CALIBRATION = 256  # validation images


@dataclass(frozen=True)
class Point:
    """share: of a layer's messages, on average. accuracy: of 1. messages, synops: of an inference, without the input
    and the output."""

    share: float
    accuracy: float
    messages: float
    synops: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path, help="a run folder with a sigma-delta student")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--samples", type=int, help="test images, all of them unless given")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    subject = opened(options.run, data_root=options.data_root)
    assert subject.run is not None, "a file has no images"
    net, recipe = subject.net, subject.run.recipe
    data, encoder = read_data(recipe, options.data_root), recipe.encoder()
    if not net.is_sigma_delta:
        parser.error(f"{options.run}: its student has no sigma-delta neurons")
    test = data.test.take(np.arange(min(options.samples or len(data.test), len(data.test))))
    sizes = _sizes(net, data.validation.take(np.arange(min(_CALIBRATION, len(data.validation)))), encoder)
    points = [measured(with_thresholds(net, sizes, share), share, test, encoder) for share in SHARES]
    print("| threshold, share of a message | accuracy, % | messages | synops |\n| --- | --- | --- | --- |")
    for point in points:
        print(f"| {point.share} | {100 * point.accuracy:.2f} | {point.messages:,.0f} | {point.synops:,.0f} |")
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, asdict(points[0]))
            writer.writeheader()
            writer.writerows(map(asdict, points))


def _sizes(net: IntNet, split: Split, encoder: Encoder) -> list[float]:
    """Root of the mean square of each layer's messages, in units of the threshold."""
    trace = evaluation.simulate(net, encode(encoder, split.pixels, np.arange(len(split))))
    sizes = []
    for layer, sent in zip(net.layers, trace.layers, strict=True):
        unit = 1 << layer.neuron.spike_exp if layer.neuron.kind == "sigma-delta" else 1
        sizes.append(float(np.sqrt(np.square(sent.spikes / unit).mean())))
    return sizes


def with_thresholds(net: IntNet, sizes: list[float], share: float) -> IntNet:
    """Sets the threshold of each sigma-delta layer to a share of the size of its messages."""
    layers = []
    for layer, size in zip(net.layers, sizes, strict=True):
        neuron = layer.neuron
        if neuron.kind == "sigma-delta":
            neuron = replace(neuron, threshold=round(share * size))
        layers.append(replace(layer, neuron=neuron))
    return replace(net, layers=tuple(layers))


def measured(net: IntNet, share: float, test: Split, encoder: Encoder) -> Point:
    """Runs the test images."""
    right = messages = synops = 0
    for indices in evaluation.in_blocks(np.arange(len(test)), evaluation.BLOCK):
        trace = evaluation.simulate(net, encode(encoder, test.pixels[indices], indices))
        right += int((trace.classes(net) == test.labels[indices]).sum())
        rows = count(net, trace)
        messages += sum(row.spikes for row in rows[1:-1])
        synops += sum(row.synops for row in rows)
    return Point(share, right / len(test), messages / len(test), synops / len(test))


if __name__ == "__main__":
    main()
