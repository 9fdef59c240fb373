"""`.net` files: lava-dl's HDF5 exchange format, as an IntNet on disk."""

from snnkd.formats.netx.read import load, weights
from snnkd.formats.netx.write import save, to_bytes

__all__ = ["load", "save", "to_bytes", "weights"]
