"""What the kernels are built of: vector instructions where these compile, else plain ones."""

from __future__ import annotations

from snnkd.simulation.kernels.compiling import choose
from snnkd.training.kernels import plain

_chosen = choose("snnkd.training.kernels.vectors", plain)
add_plain, add_weighted, contract = _chosen.add_plain, _chosen.add_weighted, _chosen.contract
look, sum_plain, sum_weighted = _chosen.look, _chosen.sum_plain, _chosen.sum_weighted
