"""The fast exact engine: equals `engines.reference.definition` in every spike, state and count.

Each layer runs over all samples on all cores, by one of four ways of making its sums: a dense layer adds the weights of
its active inputs; a convolution either scatters what each event sends or, at higher activity, looks up the sums of
patterns of several inputs (`strategy` chooses); graded input and sums that wrap are matrix products; delays have their
own kernel. Input that is the same at all steps is summed once.
"""

from __future__ import annotations

import numpy as np

from snnkd.base import packages, progress
from snnkd.ir.network import IntNet
from snnkd.ir.trace import SpikeTrace


def available() -> str | None:
    """Says that numba is missing and what to do, None where it is installed."""
    return packages.missing("numba")


def refuses(net: IntNet) -> str | None:
    """Returns None: it takes what the definition takes, all networks. What depends on the events, `run` refuses."""
    return None


def run(net: IntNet, spikes: np.ndarray, states: bool = False) -> SpikeTrace:
    """Runs `net` as `fast.simulation.simulate` does. Raises FormatError for unusable input."""
    with progress.doing("loading compiled kernels"):
        from snnkd.engines.fast.simulation import simulate

    return simulate(net, spikes, states)
