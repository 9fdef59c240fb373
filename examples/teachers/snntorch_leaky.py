"""A network of snnTorch as a teacher: its layers keep their state themselves, so forward resets them first.

It reads the recipe's events (T, N, C, H, W), with reads = "events", and gives the output spikes (T, N, 10).
"""

import snntorch
import torch
from snntorch import utils


class Teacher(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Flatten(),
            torch.nn.Linear(64, 64),
            snntorch.Leaky(0.9, init_hidden=True),
            torch.nn.Linear(64, 10),
            snntorch.Leaky(0.9, init_hidden=True),
        )

    def forward(self, events: torch.Tensor) -> torch.Tensor:
        utils.reset(self.net)
        return torch.stack([self.net(step) for step in events])
