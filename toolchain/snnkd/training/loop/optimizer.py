"""The optimizer of a stage: torch's fused Adam or SGD, through memory, and the schedule of its learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from snnkd.recipe import tables
from snnkd.training.memory import flat, like


class Optimizer:
    """Moves tensors by their gradients, one step at a time.

    weights: with the settings' weight decay; undecayed: without any. Both are changed in place.
    torch: the optimizer that does it. Its parameters are the memory of the tensors, (numel,): a fused step would copy
    what is not contiguous, and the weights of a dense block are in another order than their shape says.
    """

    def __init__(
        self, settings: tables.Optimizer, weights: Sequence[torch.Tensor], undecayed: Sequence[torch.Tensor] = ()
    ):
        self._settings = settings
        self._tensors = [*weights, *undecayed]
        parameters = [torch.nn.Parameter(flat(tensor.detach(), 0)) for tensor in self._tensors]
        groups: list[dict[str, Any]] = [{"params": parameters[: len(weights)], "weight_decay": settings.weight_decay}]
        if undecayed:
            groups.append({"params": parameters[len(weights) :], "weight_decay": 0.0})
        if settings.kind == "sgd":
            self.torch: torch.optim.Optimizer = torch.optim.SGD(groups, lr=settings.lr, momentum=0.9, fused=True)
        else:
            self.torch = torch.optim.Adam(groups, lr=settings.lr, fused=True)

    def step(self, done: float) -> None:
        """Moves the tensors by their gradients, which are then gone. done: see `learning_rate`."""
        rate = learning_rate(self._settings, done)
        parameters = (parameter for group in self.torch.param_groups for parameter in group["params"])
        for tensor, parameter in zip(self._tensors, parameters, strict=True):
            parameter.grad = None if tensor.grad is None else flat(like(tensor.grad, tensor), 0)
            tensor.grad = None
        for group in self.torch.param_groups:
            group["lr"] = rate
        self.torch.step()

    def forget(self) -> None:
        """Forgets all gradients so far, as at the beginning."""
        for state in self.torch.state.values():
            for value in state.values():
                value.zero_()


def learning_rate(optimizer: tables.Optimizer, done: float) -> float:
    """Computes the learning rate after the fraction `done` of all batches, in [0, 1).

    'cosine' falls from lr to 0; 'one-cycle' rises linearly from 4 % of lr to lr over the first 30 %, then falls as a
    cosine.
    """
    if optimizer.schedule == "constant":
        return optimizer.lr
    if optimizer.schedule == "one-cycle":
        if done < 0.3:
            return optimizer.lr * (0.04 + 0.96 * done / 0.3)
        done = (done - 0.3) / 0.7
    return optimizer.lr * 0.5 * (1 + math.cos(math.pi * done))
