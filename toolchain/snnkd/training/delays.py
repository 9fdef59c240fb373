"""Delays that are trained: one for each input of a dense layer, as SLAYER's axons have, or one for each of its neurons.

A delay is whole steps in the forward pass, as deployed; only its gradient takes it for a real number.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch.autograd.function import once_differentiable

# Steps by which the optimizer moves a delay where it would move a weight by 1. A step of Adam is about the learning
# rate: with 1 delays hardly move within a short training, with 8 those of the order task's students overshoot.
UNIT = 4


class Delays(torch.nn.Module):
    """The delays in front of the neurons of a dense layer.

    by: 'input', where an event of input i comes so many steps later to all neurons; or 'output', where all events come
    so many steps later to neuron o. count: of inputs or neurons. most: the longest delay, at least 1.

    What is trained is `units`, (count,) float32, the delays in `UNIT` steps. They are drawn from [0, 1) steps, as
    lava-dl's: long ones would hold events back beyond the last step, where nothing is learned.
    """

    def __init__(self, by: Literal["input", "output"], count: int, most: int):
        super().__init__()
        self.by, self.most = by, most
        self.units = torch.nn.Parameter(torch.rand(count) / UNIT)

    def steps(self) -> torch.Tensor:
        """Rounds the delays to whole steps in [0, most]: (count,) float32.

        The gradient passes straight through the rounding. As in SLAYER, a delay outside the range is brought back for
        good, so that none is stuck at an end.
        """
        with torch.no_grad():
            self.units.clamp_(0, self.most / UNIT)
        steps = self.units * UNIT
        return steps - (steps - steps.round()).detach()  # both differences are exact: their numbers are so close

    @torch.no_grad()
    def set_steps(self, delay: np.ndarray) -> None:
        """Sets the delays to those of synapses (O, I), which are the same along the axis that `by` does not name."""
        steps = delay[0] if self.by == "input" else delay[:, 0]
        self.units.copy_(torch.from_numpy(steps / UNIT))

    def of_synapses(self, outputs: int, inputs: int) -> np.ndarray:
        """Returns the delays of the synapses, (O, I) int32."""
        steps = self.steps().detach().cpu().numpy().astype(np.int32)
        return np.broadcast_to(steps if self.by == "input" else steps[:, None], (outputs, inputs)).copy()


def delays_of(block: Any) -> Delays | None:
    """Returns the trained delays of a block, None where it has none."""
    return getattr(block, "synaptic_delays", None)


def delayed(x: torch.Tensor, delay: torch.Tensor) -> torch.Tensor:
    """Delays each signal of x (T, N, count) by its own whole number of steps.

    delay: (count,) float32. Events that would come after the last step are dropped. The gradient of a delay d is that
    of SLAYER (Shrestha & Orchard 2018, eq. 15; lava-dl `axon/delay.py`): of the delayed signal y, dy(t) / dd is
    y(t - 1) - y(t), summed over steps and samples with the gradient of y.
    """
    return _Delay.apply(x, delay)  # pyright: ignore[reportReturnType]


class _Delay(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x, delay):  # pyright: ignore
        ctx.save_for_backward(x, delay)  # and not y, whose memory the neuron may use
        return _moved(x, delay)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad):  # pyright: ignore
        x, delay = ctx.saved_tensors
        of_x = _moved(grad, -delay) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return of_x, None
        change = torch.diff(_moved(x, delay), dim=0, prepend=torch.zeros_like(x[:1]))
        return of_x, -(change * grad).sum(dim=(0, 1))


def _moved(x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """x(t - by) of x (T, N, count), 0 where there is no such step."""
    source = torch.arange(len(x), device=x.device)[:, None] - by.long()
    outside = (source < 0) | (source >= len(x))
    moved = x.gather(0, source.clamp(0, len(x) - 1)[:, None].expand(x.shape))
    return moved.masked_fill_(outside[:, None], 0)
