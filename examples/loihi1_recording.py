"""Makes a .net and a recording of what a Loihi chip did with it, in the layout that `snnkd verify --against` reads.

    python examples/loihi1_recording.py loihi1-silicon.npz silicon.net silicon-trace.npz
    snnkd verify silicon.net --against silicon-trace.npz

The arrays, test vectors of SLAYER for PyTorch (Shrestha and Orchard): events (T, 250); fc1 (25, 250), fc2 (1, 25);
current_decay, voltage_decay and threshold of all neurons; hidden_spikes and output_spikes, lists of (step, neuron); and
the voltages of three neurons at each step.
"""

import sys

import numpy as np

import snnkd
from snnkd.ir.network import Cuba, Dense, IntNet

AFTER_A_SPIKE = 128  # what the chip's record holds where a neuron was reset, one step before it lists the spike


def main() -> None:
    source, net_file, trace_file = sys.argv[1:]
    with np.load(source) as file:
        chip = dict(file)
    neuron = Cuba(*(np.int32(chip[name]) for name in ("current_decay", "voltage_decay", "threshold")))
    layers = tuple(Dense(chip[name].astype(np.int32), neuron) for name in ("fc1", "fc2"))
    snnkd.save(IntNet((chip["events"].shape[1],), layers), net_file)

    steps = len(chip["output_voltage"])
    hidden, output = (dense(chip[name], steps, n) for name, n in (("hidden_spikes", 25), ("output_spikes", 1)))
    hidden_v = np.stack([chip["hidden23_voltage"], chip["hidden24_voltage"]], axis=1)
    np.savez_compressed(
        trace_file,
        input=chip["events"][None],
        layer0=hidden[None],
        layer0_v=reset(hidden_v, hidden[:, 23:25])[None],
        layer0_v_neurons=np.array([23, 24]),
        layer1=output[None],
        layer1_v=reset(chip["output_voltage"][:, None], output)[None],
    )
    print(f"{trace_file}: {hidden.sum()} hidden spikes, {output.sum()} of the output, in {steps} steps")


def dense(events: np.ndarray, steps: int, neurons: int) -> np.ndarray:
    """(steps, neurons) uint8 of a list of (step, neuron)."""
    spikes = np.zeros((steps, neurons), np.uint8)
    spikes[events[:, 0], events[:, 1]] = 1
    return spikes


def reset(voltage: np.ndarray, spikes: np.ndarray) -> np.ndarray:
    """The voltages, 0 where a neuron has fired, as a trace has them; by the chip's own list of spikes."""
    fired = np.concatenate([spikes[1:], spikes[-1:] * 0]) == 1
    return np.where(fired & (voltage == AFTER_A_SPIKE), 0, voltage)


if __name__ == "__main__":
    main()
