"""`.nir` files, the Neuromorphic Intermediate Representation (https://neuroir.org), as an IntNet on disk.

Reading and writing need h5py only, not the package `nir`. What maps how is in `docs/nir.md`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnkd.formats.nir.read import load, real_network
    from snnkd.formats.nir.write import save, to_bytes

__all__ = ["load", "real_network", "save", "to_bytes"]

_HOMES = {"load": "read", "real_network": "read", "save": "write", "to_bytes": "write"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'snnkd.formats.nir' has no attribute '{name}'")
    return getattr(importlib.import_module(f"snnkd.formats.nir.{_HOMES[name]}"), name)
