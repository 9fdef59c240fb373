"""Reads `.nir` files: the network that snnkd has put into the metadata, or what the rules make of the graph."""

from __future__ import annotations

import warnings
from pathlib import Path

from snnkd.base import files
from snnkd.base.errors import SnnkdWarning
from snnkd.formats.nir import graph, integers
from snnkd.formats.nir.assembly import assembled
from snnkd.formats.nir.graph import Graph
from snnkd.formats.nir.real import RealNet
from snnkd.formats.nir.rounding import Choice, rounded
from snnkd.ir.network import IntNet, Shape


def load(path: str | Path, input_shape: Shape | None = None) -> IntNet:
    """Reads the network in the `.nir` file at `path`.

    Real numbers become 8-bit weights and 12-bit decays, at scales chosen by the weights alone; that is warned of with
    the errors. input_shape: where the file's Input node says the same features in another shape. Raises FormatError
    that names file, node and parameter, and where the file is not what the SHA256SUMS beside it lists.
    """
    found = opened(path)
    net = exact_network(found)
    if net is not None:
        return net
    net, choices = rounded(assembled(found, input_shape))
    if not all(choice.exact for choice in choices):
        warnings.warn(f"{path}: {_lost(choices)}", SnnkdWarning, stacklevel=2)
    return net


def opened(path: str | Path) -> Graph:
    """Reads the graph in the `.nir` file at `path`. Raises FormatError as `load` does."""
    files.check_listed(Path(path))
    return graph.read(path)


def exact_network(found: Graph) -> IntNet | None:
    """Returns the network that snnkd has put into the metadata of a graph, None where there is none.

    Warns, and returns None, where the graph has been changed since. Raises FormatError for damaged metadata.
    """
    net = integers.attached(found)
    if net is not None and not integers.still_says(found, net):
        text = "the graph has been changed since snnkd wrote it: read as it is now, not by the integers in its metadata"
        warnings.warn(f"{found.file}: {text}", SnnkdWarning, stacklevel=2)
        return None
    return net


def real_network(path: str | Path, input_shape: Shape | None = None, dt: float | None = None) -> RealNet:
    """Reads the layers of a `.nir` file in real numbers. dt: seconds of a step. Raises FormatError as `load` does."""
    return assembled(opened(path), input_shape, dt)


def _lost(choices: list[Choice]) -> str:
    weight, decay = (max(getattr(choice, key) for choice in choices) for key in ("weight_error", "decay_error"))
    notes = sorted({note for choice in choices for note in choice.notes})
    return "; ".join(
        [
            f"real numbers, rounded to integers (errors up to {weight:.2%} of weights, {decay:.2%} of decays)",
            *notes,
            "`snnkd convert` shows each layer, and what changes on your events",
        ]
    )
