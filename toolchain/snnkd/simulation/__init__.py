"""The fast exact engine: equals `snnkd.reference` in every spike, state and count.

Each layer runs over all samples on all cores, by one of four ways of making its sums: a dense layer adds the weights of
its active inputs; a convolution either scatters what each event sends or, at higher activity, looks up the sums of
patterns of several inputs (`strategy` chooses); graded input and sums that wrap are matrix products; delays have their
own kernel. Input that is the same at all steps is summed once.
"""

from snnkd.simulation.run import simulate

__all__ = ["simulate"]
