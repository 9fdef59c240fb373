"""Networks on disk, one package for each format; `load` and `save` choose it by the suffix of the file.

Everything is imported when it is first used: only writing loads h5py, and `warm` loads not even numpy.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnkd.base.errors import LimitError

if TYPE_CHECKING:
    from snnkd.ir.network import IntNet, Shape

FORMATS = {".net": "netx", ".nir": "nir"}  # suffix: package


def is_network(name: str | Path) -> bool:
    """Tells whether a file of that name is a network's."""
    return Path(name).suffix in FORMATS


def load(path: str | Path, input_shape: Shape | None = None) -> IntNet:
    """Reads the network in the file at `path`: a `.nir` by its suffix, anything else as `.net`.

    input_shape: (C, H, W) or (features,), where the file does not tell it. Warns of every number that is changed.
    Raises FormatError that names file, layer and field.
    """
    return _format(FORMATS.get(Path(path).suffix, "netx")).load(path, input_shape)


def save(net: IntNet, path: str | Path) -> None:
    """Writes `net` to `path`, a `.net` or `.nir`, whole or not at all. Reading it back gives the same network.

    Raises LimitError for another suffix, QuantizationError where a `.net` cannot hold the network.
    """
    suffix = Path(path).suffix
    if suffix not in FORMATS:
        raise LimitError(f"{path}: expected a name that ends with {' or '.join(FORMATS)}")
    _format(FORMATS[suffix]).save(net, path)


def warm() -> None:
    """Starts what reads network files, so that the first of them is read sooner; does not wait for it."""
    importlib.import_module("snnkd.formats.hdf5.process").warm()


def _format(package: str) -> Any:
    return importlib.import_module(f"snnkd.formats.{package}")
