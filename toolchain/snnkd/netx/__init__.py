"""`.net` files: lava-dl's HDF5 exchange format, as an IntNet on disk.

`load` and `save` are imported when they are first used: only writing loads h5py, and `warm` loads not even numpy.
"""

import importlib
from typing import TYPE_CHECKING, Any

from snnkd.netx.hdf5_process import warm

if TYPE_CHECKING:
    from snnkd.netx.read import load
    from snnkd.netx.write import save, to_bytes

__all__ = ["load", "save", "to_bytes", "warm"]

_HOMES = {"load": "read", "save": "write", "to_bytes": "write"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'snnkd.netx' has no attribute '{name}'")
    return getattr(importlib.import_module(f"snnkd.netx.{_HOMES[name]}"), name)
