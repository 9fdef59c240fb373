"""Reads an event camera's recordings, simulates a network on them, and prints its answers.

    python examples/events.py FILE.net RECORDING.bin...

Recordings are in N-MNIST's format: 5 bytes an event, x, y, then the polarity (top bit) and 23 bits of microseconds. The
network reads (2, H, W), polarities OFF and ON; its steps are of 1 ms. What comes later is cut off.
"""

import sys
from pathlib import Path

import numpy as np

import snnkd

STEP_US = 1000


def read(path: Path, steps: int, height: int, width: int) -> np.ndarray:
    """Reads a recording as events (T, 2, H, W) of 0 and 1."""
    columns = np.fromfile(path, np.uint8).reshape(-1, 5).astype(np.int64).T
    x, y, high, middle, low = columns
    polarity, microseconds = high >> 7, (high & 127) << 16 | middle << 8 | low
    step = microseconds // STEP_US
    kept = (step < steps) & (x < width) & (y < height)
    events = np.zeros((steps, 2, height, width), np.uint8)
    events[step[kept], polarity[kept], y[kept], x[kept]] = 1
    return events


def main() -> None:
    file, *recordings = sys.argv[1:]
    net = snnkd.load(file)
    channels, height, width = net.input_shape
    if channels != 2 or not net.steps:
        sys.exit(f"{file}: reads {net.input_shape} for {net.steps} steps; needs (2, H, W), and to say its steps")
    events = np.stack([read(Path(name), net.steps, height, width) for name in recordings])  # (N, T, 2, H, W)
    trace = snnkd.simulate(net, events)
    for name, sample, answer in zip(recordings, range(len(events)), trace.classes(net), strict=True):
        spikes = [int(layer.spikes[sample].sum()) for layer in trace.layers]
        print(f"{name}: class {answer}, {events[sample].sum()} events, spikes by layer {spikes}")


if __name__ == "__main__":
    main()
