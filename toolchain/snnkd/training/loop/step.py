"""Computes the gradients of a batch on all cores, of one process or several: it is cut into parts, each on one core
from end to end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from snnkd.engines.fast.threads import each
from snnkd.training.group import ALONE, Group
from snnkd.training.network import Network, Output
from snnkd.training.tuning import torch_threads

# Parts do not depend on the number of cores or processes, so that the order of all sums, and with it every bit, is the
# same on any.
LEAST = 32  # samples of a part
WORTH = 1 << 23  # multiplications of a part, below which a further part costs more time than it saves
MOST = 4  # parts of a batch, unless that would make them larger than this:
LARGEST = {"cpu": 256, "cuda": 512}  # samples of a part

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
    group: Group = ALONE,
) -> tuple[torch.Tensor, Terms]:
    """Adds the gradients of a batch's loss to the weights and delays of `network`.

    events: (N, T, C, H, W) float32. loss: makes of the output's activation tensor (T, classes, N) the terms of the
    loss, () each, whose sum is minimized. threads: cores that may be used. rate: makes one more term, 'rate', of the
    spikes per neuron and step of each hidden layer, (layers,). maps: makes one more of the hidden layers' maps.
    group: of processes that call this with the same arguments; each adds the gradients of the whole batch.
    Returns the activation tensor and the terms, without gradients. On a CPU torch has one thread meanwhile.
    """
    with torch_threads(1):
        return _backward(network, events, loss, threads, rate, maps, group)


def _backward(
    network: Network,
    events: torch.Tensor,
    loss: Callable[[torch.Tensor], Terms],
    threads: int,
    rate: Callable[[torch.Tensor], torch.Tensor] | None,
    maps: Maps | None,
    group: Group,
) -> tuple[torch.Tensor, Terms]:
    synapses = network.synapses()
    leaves = [held.detach().requires_grad_() for held in synapses]
    parts = events.tensor_split(_parts(network, events))
    sizes = [len(part) for part in parts]
    own = group.own(len(parts))
    threads = threads if events.device.type == "cpu" else 1  # a GPU is all cores to each part

    def run(part: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
        torch.set_num_threads(1)  # each thread has a number of its own
        output = network(part, leaves, maps.membranes if maps else ())
        events = output.hidden_events() if rate else []
        return output.sat, events, maps.taken(output) if maps else [], output.statistics

    own_parts = [parts[number] for number in own]
    sats, hidden, taken, statistics = zip(*each(run, own_parts, threads), strict=True)
    network.remember(_means(group, statistics, len(parts)))
    batch_sat = _whole(group, sats, sizes, 2)
    terms = loss(batch_sat)
    rates: torch.Tensor | None = None
    cells: list[int] = []
    if rate is not None:
        rates, cells = _rates(group, hidden, sizes)
        terms = {**terms, "rate": rate(rates)}
    batch_maps = [_whole(group, layer, sizes, 1) for layer in zip(*taken, strict=True)]
    if maps is not None:
        terms = {**terms, maps.name: maps.term(batch_maps)}
    torch.stack(list(terms.values())).sum().backward()
    # No term need read the output: hidden layers may be trained before it.
    of_sats = _gradient(batch_sat).split(sizes, dim=2)
    of_maps = [_gradient(layer).split(sizes, dim=1) for layer in batch_maps]

    # The term of a rate has the same gradient for every spike that the rate is a mean of.
    of_spikes = []
    if rates is not None and rates.grad is not None:
        of_spikes = [grad / size for grad, size in zip(rates.grad, cells, strict=True)]

    def of_synapses(place: int) -> tuple[torch.Tensor, ...]:
        layers, number = hidden[place], own[place]
        grads = [grad.expand_as(spikes) for grad, spikes in zip(of_spikes, layers, strict=True)]
        back = [layer[number] for layer in of_maps]
        outputs = [sats[place], *layers, *taken[place]]
        return torch.autograd.grad(outputs, leaves, [of_sats[number], *grads, *back])

    by_part = each(of_synapses, list(range(len(own))), threads)
    torch.autograd.backward(synapses, group.summed(by_part, len(parts)))
    return batch_sat.detach(), {name: value.detach() for name, value in terms.items()}


def _whole(group: Group, own: Sequence[torch.Tensor], sizes: Sequence[int], dim: int) -> torch.Tensor:
    """What the parts in `own` gave, and all others: of the whole batch, to be differentiated by."""
    return torch.cat(group.gathered([values.detach() for values in own], sizes, dim), dim=dim).requires_grad_()


def _means(group: Group, own: Sequence[list[torch.Tensor]], parts: int) -> list[torch.Tensor]:
    """Means over all parts of the statistics that normalizations used. own: those of this process's parts."""
    shapes = [values.shape for values in own[0]]
    if not shapes:
        return []
    flat = [torch.cat([values.flatten() for values in part]) for part in own]
    mean = torch.stack(group.gathered(flat, [len(flat[0])] * parts, 0)).mean(dim=0)
    return [values.view(shape) for values, shape in zip(mean.split([s.numel() for s in shapes]), shapes, strict=True)]


def _gradient(of: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(of) if of.grad is None else of.grad


def _parts(network: Network, events: torch.Tensor) -> int:
    """Into how many parts a batch is cut."""
    samples, steps = events.shape[:2]
    at_least = -(-samples // LARGEST[events.device.type])
    if events.device.type != "cpu":
        return at_least
    products = samples * network.products(steps, 1 if events.stride(1) == 0 else steps)
    return max(1, min(max(MOST, at_least), -(-samples // LEAST), products // WORTH))


def _rates(group: Group, hidden: Sequence[list[torch.Tensor]], sizes: Sequence[int]) -> tuple[torch.Tensor, list[int]]:
    """Spikes per neuron and step of each hidden layer, (layers,), and how many neurons x steps x samples that is a
    mean over. hidden: spikes of the hidden layers of this process's parts."""
    if not hidden[0]:
        return torch.empty(0).requires_grad_(), []
    own = [torch.stack([spikes.detach().sum() for spikes in part]) for part in hidden]
    by_part = torch.cat(group.gathered(own, [len(hidden[0])] * len(sizes), 0)).view(len(sizes), -1)
    totals = [of_layer.sum() for of_layer in by_part.T.contiguous()]  # no wait for a GPU
    cells = [spikes.numel() // spikes.shape[1] * sum(sizes) for spikes in hidden[0]]
    rates = [total / size for total, size in zip(totals, cells, strict=True)]
    return torch.stack(rates).requires_grad_(), cells
