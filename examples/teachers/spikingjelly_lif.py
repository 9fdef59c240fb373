"""A network of SpikingJelly as a teacher: reset it, and let it take all steps at once (step mode "m").

It reads the recipe's events (T, N, C, H, W), with reads = "events", and gives the output spikes (T, N, 10).
"""

import torch
from spikingjelly.activation_based import functional, layer, neuron


class Teacher(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(
            layer.Flatten(), layer.Linear(64, 64), neuron.LIFNode(), layer.Linear(64, 10), neuron.LIFNode()
        )
        functional.set_step_mode(self.net, "m")

    def forward(self, events: torch.Tensor) -> torch.Tensor:
        functional.reset_net(self.net)
        return self.net(events)
