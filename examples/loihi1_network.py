"""Makes a .net of a network for N-MNIST that ran on a Loihi chip, from its arrays.

    python examples/loihi1_network.py loihi1-nmnist-512.npz nmnist-512.net

The arrays, of SLAYER for PyTorch (Shrestha and Orchard): fc1 (512, 2312) and fc2 (10, 512), inputs ordered (polarity,
y, x); current_decay, voltage_decay and threshold of all neurons; steps, of 1 ms. The file says how raw recordings
become its events, so that `snnkd encode`, `evaluate --data nmnist` and a bundle's C take them.
"""

import sys

import numpy as np

import snnkd
from snnkd.ir.event_encoding import EventEncoding
from snnkd.ir.network import Cuba, Dense, IntNet


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/loihi1_network.py ARRAYS.npz OUT.net")
    source, out = sys.argv[1:]
    with np.load(source) as file:
        neuron = Cuba(*(np.int32(file[name]) for name in ("current_decay", "voltage_decay", "threshold")))
        layers = tuple(Dense(file[name].astype(np.int32), neuron) for name in ("fc1", "fc2"))
        encoding = EventEncoding(int(file["steps"]), sensor=(34, 34), window_us=1000)
    net = IntNet(encoding.shape, layers, encoding.steps, encoding=encoding.to_json())
    snnkd.save(net, out)
    print(f"{out}: {net.parameters:,} weights, {net.steps} steps of {encoding.window_us} microseconds")


if __name__ == "__main__":
    main()
