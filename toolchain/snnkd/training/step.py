"""Gradients of a batch on all cores: the batch is cut into parts, each on one core from end to end."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch

from snnkd.simulation.threads import each
from snnkd.training.blocks import Network

# Parts do not depend on the number of cores, so that the order of all sums, and with it every bit, is the same on any.
LEAST = 32  # samples of a part
MOST = 4  # parts of a batch: each costs some time of its own

Terms = dict[str, torch.Tensor]


def backward(
    network: Network, events: torch.Tensor, loss: Callable[[torch.Tensor], Terms], threads: int = 1
) -> tuple[torch.Tensor, Terms]:
    """Adds the gradients of the sum of `loss`'s terms to the weights of `network`.

    events: (N, T, C, H, W); loss: of the output's spiking activation tensor (T, classes, N). Returns the SAT and the
    terms, without gradients. On a CPU torch has one thread meanwhile.
    """
    before = torch.get_num_threads()
    try:
        return _backward(network, events, loss, threads)
    finally:
        torch.set_num_threads(before)


def _backward(
    network: Network, events: torch.Tensor, loss: Callable[[torch.Tensor], Terms], threads: int
) -> tuple[torch.Tensor, Terms]:
    torch.set_num_threads(1)
    weights = network.weights()
    leaves = [weight.detach().requires_grad_() for weight in weights]
    count = min(MOST, -(-len(events) // LEAST)) if events.device.type == "cpu" else 1
    parts = events.tensor_split(count)

    def sat_of(part: torch.Tensor) -> torch.Tensor:
        torch.set_num_threads(1)  # each thread has a number of its own
        return network(part, leaves).sat

    sats = each(sat_of, parts, threads)
    whole = torch.cat([sat.detach() for sat in sats], dim=2).requires_grad_()
    terms = loss(whole)
    torch.stack(list(terms.values())).sum().backward()
    assert whole.grad is not None
    of_parts = whole.grad.split([sat.shape[2] for sat in sats], dim=2)

    def of_weights(pair: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(pair[0], leaves, pair[1])

    found = each(of_weights, list(zip(sats, of_parts, strict=True)), threads)
    torch.autograd.backward(weights, [reduce(torch.add, grads) for grads in zip(*found, strict=True)])
    return whole.detach(), {name: value.detach() for name, value in terms.items()}
