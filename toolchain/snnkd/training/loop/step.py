"""Computes the gradients of a batch on all cores: it is cut into parts, each on one core from end to end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch

from snnkd.engines.fast.threads import each
from snnkd.training.network import Network, Output
from snnkd.training.tuning import torch_threads

# Parts do not depend on the number of cores, so that the order of all sums, and with it every bit, is the same on any.
LEAST = 32  # samples of a part
WORTH = 1 << 23  # multiplications of a part, below which a further part costs more time than it saves
MOST = 4  # parts of a batch

Terms = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Maps:
    """A term of hidden layers' feature maps.

    name: of the term. membranes: numbers of the layers whose v is wanted, see `Network.forward`. taken: takes the maps
    of some samples from their output, (steps, N, ...) each. term: makes the term, (), of the maps of the whole batch.
    """

    name: str
    membranes: Sequence[int]
    taken: Callable[[Output], list[torch.Tensor]]
    term: Callable[[list[torch.Tensor]], torch.Tensor]


def backward(
    network: Network,
    events: torch.Tensor,
    loss: Callable[[torch.Tensor], Terms],
    threads: int = 1,
    rate: Callable[[torch.Tensor], torch.Tensor] | None = None,
    maps: Maps | None = None,
) -> tuple[torch.Tensor, Terms]:
    """Adds the gradients of a batch's loss to the weights and delays of `network`.

    events: (N, T, C, H, W) float32. loss: makes of the output's activation tensor (T, classes, N) the terms of the
    loss, () each, whose sum is minimized. threads: cores that may be used. rate: makes one more term, 'rate', of the
    spikes per neuron and step of each hidden layer, (layers,). maps: makes one more of the hidden layers' maps.
    Returns the activation tensor and the terms, without gradients. On a CPU torch has one thread meanwhile.
    """
    with torch_threads(1):
        return _backward(network, events, loss, threads, rate, maps)


def _backward(
    network: Network,
    events: torch.Tensor,
    loss: Callable[[torch.Tensor], Terms],
    threads: int,
    rate: Callable[[torch.Tensor], torch.Tensor] | None,
    maps: Maps | None,
) -> tuple[torch.Tensor, Terms]:
    synapses = network.synapses()
    leaves = [held.detach().requires_grad_() for held in synapses]
    parts = events.tensor_split(_parts(network, events))

    def run(part: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
        torch.set_num_threads(1)  # each thread has a number of its own
        output = network(part, leaves, maps.membranes if maps else ())
        events = output.hidden_events() if rate else []
        return output.sat, events, maps.taken(output) if maps else [], output.statistics

    sats, hidden, taken, statistics = zip(*each(run, parts, threads), strict=True)
    network.remember([torch.stack(of_parts).mean(dim=0) for of_parts in zip(*statistics, strict=True)])
    batch_sat = torch.cat([sat.detach() for sat in sats], dim=2).requires_grad_()
    terms = loss(batch_sat)
    rates: torch.Tensor | None = None
    cells: list[int] = []
    if rate is not None:
        rates, cells = _rates(hidden)
        terms = {**terms, "rate": rate(rates)}
    batch_maps = [
        torch.cat([part.detach() for part in layer], dim=1).requires_grad_() for layer in zip(*taken, strict=True)
    ]
    if maps is not None:
        terms = {**terms, maps.name: maps.term(batch_maps)}
    torch.stack(list(terms.values())).sum().backward()
    sizes = [sat.shape[2] for sat in sats]
    # No term need read the output: hidden layers may be trained before it.
    of_sats = _gradient(batch_sat).split(sizes, dim=2)
    of_maps = [_gradient(layer).split(sizes, dim=1) for layer in batch_maps]

    # The term of a rate has the same gradient for every spike that the rate is a mean of.
    of_spikes = []
    if rates is not None and rates.grad is not None:
        of_spikes = [grad / size for grad, size in zip(rates.grad, cells, strict=True)]

    def of_synapses(number: int) -> tuple[torch.Tensor, ...]:
        layers = hidden[number]
        grads = [grad.expand_as(spikes) for grad, spikes in zip(of_spikes, layers, strict=True)]
        back = [layer[number] for layer in of_maps]
        outputs = [sats[number], *layers, *taken[number]]
        return torch.autograd.grad(outputs, leaves, [of_sats[number], *grads, *back])

    by_part = each(of_synapses, list(range(len(parts))), threads)
    torch.autograd.backward(synapses, [reduce(torch.add, grads) for grads in zip(*by_part, strict=True)])
    return batch_sat.detach(), {name: value.detach() for name, value in terms.items()}


def _gradient(of: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(of) if of.grad is None else of.grad


def _parts(network: Network, events: torch.Tensor) -> int:
    """Into how many parts a batch is cut."""
    if events.device.type != "cpu":
        return 1
    samples, steps = events.shape[:2]
    products = samples * network.products(steps, 1 if events.stride(1) == 0 else steps)
    return max(1, min(MOST, -(-samples // LEAST), products // WORTH))


def _rates(hidden: Sequence[list[torch.Tensor]]) -> tuple[torch.Tensor, list[int]]:
    """Spikes per neuron and step of each hidden layer, (layers,), and how many neurons x steps x samples that is a
    mean over. hidden: spikes of each part's hidden layers."""
    layers = list(zip(*hidden, strict=True))  # each in its parts
    cells = [sum(spikes.numel() for spikes in layer) for layer in layers]
    totals = [torch.stack([spikes.detach().sum() for spikes in layer]).sum() for layer in layers]  # no wait for a GPU
    rates = [total / size for total, size in zip(totals, cells, strict=True)]
    return (torch.stack(rates) if rates else torch.empty(0)).requires_grad_(), cells
