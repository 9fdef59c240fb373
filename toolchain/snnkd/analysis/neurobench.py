"""NeuroBench's metrics of an integer network, by NeuroBench's names (Yik et al., Nat. Commun. 16, 2025).

Definitions are those of its package, `neurobench` 2.3.0: `metrics/static` and `metrics/workload`.
`tests/analysis/test_neurobench.py` compares with it where it is installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from snnkd.analysis.energy import Profile
from snnkd.analysis.placement import common_step
from snnkd.ir.network import IntNet


@dataclass(frozen=True)
class SynapticOperations:
    """Means of one inference, all steps. Effective_MACs, Effective_ACs: events other than 0 times weights other than 0,
    into layers that read graded events, and into those that read spikes. Dense: all connections in all steps."""

    Effective_MACs: float
    Effective_ACs: float
    Dense: float


@dataclass(frozen=True)
class NeuroBench:
    """footprint: bytes of all parameters, each array in the smallest integers of 1, 2 or 4 bytes that hold it, without
    states. parameter_count: weights. connection_sparsity: share of weights that are 0, in 4 decimals.
    activation_sparsity: share of neurons and steps without a spike."""

    footprint: int
    parameter_count: int
    connection_sparsity: float
    activation_sparsity: float
    synaptic_operations: SynapticOperations

    def to_json(self) -> dict[str, object]:
        """Returns plain JSON data; keys in `docs/energy_model.md`."""
        return asdict(self)


def of(net: IntNet, profile: Profile) -> NeuroBench:
    """Computes the metrics of `net`, from a profile of it."""
    weights = [layer.weight for layer in net.layers if layer.kind != "input"]
    count = sum(weight.size for weight in weights)
    zeros = count - sum(np.count_nonzero(weight) for weight in weights)
    rows = profile.layers[1:]
    spikes, updates = (sum(getattr(row, key) for row in rows) for key in ("spikes", "updates"))
    return NeuroBench(
        footprint=sum(map(_bytes, arrays(net))),
        parameter_count=count,
        connection_sparsity=round(zeros / count, 4) if count else 0.0,
        activation_sparsity=1 - spikes / updates,
        synaptic_operations=_operations(net, profile),
    )


def arrays(net: IntNet) -> Iterator[np.ndarray]:
    """Yields the integer arrays that a network is stored as: weights, without a factor that all of a layer share, then
    delays, and the parameters of its neurons."""
    for layer in net.layers:
        if layer.kind != "input":
            yield layer.weight // common_step(layer.weight)
        if layer.kind == "dense" and layer.delay is not None:
            yield layer.delay
        yield from (value for value in vars(layer.neuron).values() if isinstance(value, np.ndarray))


def _operations(net: IntNet, profile: Profile) -> SynapticOperations:
    effective = {True: 0, False: 0}  # by whether the events that a layer reads are graded
    for row, largest in zip(profile.layers[1:], net.largest_events, strict=True):
        effective[largest > 1] += row.synops_effective
    dense = sum(row.macs_ann for row in profile.layers) * profile.steps
    return SynapticOperations(effective[True] / profile.samples, effective[False] / profile.samples, float(dense))


def _bytes(values: np.ndarray) -> int:
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    bits = max(high.bit_length() + (low < 0), (-low - 1).bit_length() + 1 if low < 0 else 0)
    return values.size * next(size for size in (1, 2, 4) if bits <= 8 * size)
