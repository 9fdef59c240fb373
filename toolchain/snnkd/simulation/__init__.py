"""The fast exact engine: equals `snnkd.reference` in every spike, state and count.

Each layer runs over all samples, on all cores, by the cheaper of two strategies. By events: per sample and step a list
of the active inputs, whose weights are added up (`kernels`, `layouts`). Dense: matrix products (`products`), for high
activity, graded input and sums that wrap. Input that is the same at all steps is summed once.
"""

from snnkd.simulation.run import simulate

__all__ = ["simulate"]
