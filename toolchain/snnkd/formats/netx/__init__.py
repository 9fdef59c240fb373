"""`.net` files: lava-dl's HDF5 exchange format, as an IntNet on disk.

Everything is imported when it is first used: only writing loads h5py.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnkd.formats.netx.read import load, stored_weights
    from snnkd.formats.netx.write import save, to_bytes

__all__ = ["load", "save", "stored_weights", "to_bytes"]

_HOMES = {"load": "read", "stored_weights": "read", "save": "write", "to_bytes": "write"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'snnkd.formats.netx' has no attribute '{name}'")
    return getattr(importlib.import_module(f"snnkd.formats.netx.{_HOMES[name]}"), name)
