"""What a membrane readout makes of the output neurons' v in training: the activation that losses see, and what is read
in the end. The same as `ir.readout.Readout` reads of the deployed network."""

from __future__ import annotations

from collections.abc import Callable

import torch

# What is read of v after each step, from v (T, N, classes) after each step.
_OVER: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "last": lambda v: v,
    "max": lambda v: v.cummax(dim=0).values,
    "sum": lambda v: v.cumsum(dim=0),
}


def activation(v: torch.Tensor, over: str, unit: torch.Tensor | float) -> torch.Tensor:
    """Computes what each step adds to what is read of v, in units of `unit`: (T, N, classes) float32.

    v: (T, N, classes) after each step, in SLAYER's units. Its sum over the first t steps is what is read after these.
    With over = 'sum' that is divided by T: a mean of v, of the size of v whatever T is.
    """
    if over == "sum":
        return v / (unit * len(v))
    return torch.diff(_OVER[over](v), dim=0, prepend=torch.zeros_like(v[:1])) / unit


def read(v: torch.Tensor, over: str) -> torch.Tensor:
    """Returns what is read of v after all steps, (N, classes) float64, exact: v (T, N, classes) are integers / 64."""
    return _OVER[over](v.detach().double())[-1]
