"""Reads an event camera's recordings, simulates a network on them, and prints its answers.

    python examples/events.py FILE.net RECORDING...

Recordings are N-MNIST's .bin, .aedat, .npy or .npz. The network's file says how they become its events; of one that
does not, steps are of 1 ms, and it has to read (2, H, W), polarities OFF and ON of each pixel.
"""

import sys
from pathlib import Path

import snnkd
from snnkd.base.errors import SnnkdError
from snnkd.data import encoding, inputs
from snnkd.ir.event_encoding import EventEncoding

STEP_US = 1000


def main() -> None:
    file, *recordings = sys.argv[1:]
    net = snnkd.load(file)
    if net.encoding is not None:
        encoder = encoding.from_json(net.encoding)
    elif len(net.input_shape) == 3 and net.input_shape[0] == 2 and net.steps:
        _, height, width = net.input_shape
        encoder = EventEncoding(net.steps, (height, width), window_us=STEP_US)
    else:
        sys.exit(f"{file}: reads {net.input_shape} for {net.steps} steps; needs (2, H, W), and to say its steps")
    events = inputs.encode(encoder, net.input_shape, [Path(name) for name in recordings])  # (N, T, 2, H, W)
    trace = snnkd.simulate(net, events)
    for name, sample, answer in zip(recordings, range(len(events)), trace.classes(net), strict=True):
        spikes = [int(layer.spikes[sample].sum()) for layer in trace.layers]
        print(f"{name}: class {answer}, {events[sample].sum()} events, spikes by layer {spikes}")


if __name__ == "__main__":
    try:
        main()
    except SnnkdError as error:
        sys.exit(str(error))
