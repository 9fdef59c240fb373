"""A network of lava-dl SLAYER's blocks as a teacher: they take (N, features, T), time last.

It reads the recipe's events (T, N, C, H, W), with reads = "events", and gives the output spikes (T, N, 10).
"""

import torch
from lava.lib.dl import slayer

NEURON = {"threshold": 1.0, "current_decay": 0.5, "voltage_decay": 0.1}


class Teacher(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = torch.nn.Sequential(
            slayer.block.cuba.Dense(NEURON, 64, 64), slayer.block.cuba.Dense(NEURON, 64, 10)
        )

    def forward(self, events: torch.Tensor) -> torch.Tensor:
        spikes = self.blocks(events.flatten(2).permute(1, 2, 0))
        return spikes.permute(2, 0, 1)
