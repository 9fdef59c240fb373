"""A spiking network of LIF neurons in Norse, trained on 8x8 digits: python norse_lif.py writes norse.pt.

Norse's modules take a state and return it, so with by_step = true the network is a teacher as it is: at each step it
gets (N, 1, 8, 8) and its state, and gives the spikes (N, 10) and the next one.
"""

import sys

import norse.torch as norse
import torch

from snnkd.data import datasets

STEPS = 8


def build() -> torch.nn.Module:
    lif = norse.LIFBoxParameters(tau_mem_inv=torch.tensor(500.0), v_th=torch.tensor(0.1), alpha=torch.tensor(10.0))
    linear = torch.nn.Linear
    return norse.SequentialState(
        torch.nn.Flatten(), linear(64, 128), norse.LIFBoxCell(lif), linear(128, 10), norse.LIFBoxCell(lif)
    )


def spikes(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """The same images at each step, as the teacher gets them: (T, N, 10)."""
    state, steps = None, []
    for _ in range(STEPS):
        out, state = model(images, state)
        steps.append(out)
    return torch.stack(steps)


if __name__ == "__main__":
    torch.manual_seed(0)
    data, model, epochs = datasets.load("digits"), build(), int(sys.argv[1]) if sys.argv[1:] else 30
    images, labels = torch.from_numpy(data.train.images) / 255, torch.from_numpy(data.train.labels)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels)).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(spikes(model, images[batch]).sum(0), labels[batch]).backward()
            optimizer.step()
    torch.save(model.state_dict(), "norse.pt")
