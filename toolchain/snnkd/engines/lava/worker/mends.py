"""What of lava-nc 0.10.0 and lava-dl 0.6.0, the last releases, has to be mended for the Pythons and packages of today.

Each mend names what it mends and since when that is needed; `apply` applies all of them, before anything of Lava's is
imported. They hold in the worker's process only. `tests/engines/test_lava_mends.py` fails for one that is not needed.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import sys
import types
from importlib.abc import MetaPathFinder
from typing import Any

import numpy as np


class _NoTorch(MetaPathFinder):
    """Finds no torch. (None in sys.modules would do for `import torch`, but scipy looks into what is there.)"""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {fullname!r}: Lava's worker keeps it out", name=fullname)


def keep_torch_out() -> None:
    """Keeps NetX from importing SLAYER and torch (10 s, 500 MB), of which it needs one function, for RF neurons."""
    sys.meta_path.insert(0, _NoTorch())
    for name in ("slayer", "slayer.neuron", "slayer.neuron.rf", "netx.sequential_modules"):
        module = types.ModuleType(f"lava.lib.dl.{name}")
        module.__file__ = __file__  # Lava's compiler asks every module beside NetX for its folder
        module.neuron_params = None  # type: ignore[attr-defined]
        sys.modules.setdefault(module.__name__, module)


def hash_byte_encoders() -> None:
    """Lets dataclasses have a `ByteEncoder` as a default (magma/compiler/var_model.py, 221 to 238).

    Python 3.11 and later refuse defaults that have no hash, as a dataclass that can be compared has none.
    """
    make = dataclasses.dataclass

    def dataclass(cls: Any = None, **options: Any) -> Any:
        named = cls is not None and cls.__name__ == "ByteEncoder"
        return make(cls, unsafe_hash=True) if named else make(cls, **options)

    dataclasses.dataclass = dataclass  # type: ignore[assignment]
    try:
        importlib.import_module("lava.magma.compiler.var_model")
    finally:
        dataclasses.dataclass = make


def reshape_ports() -> None:
    """Lets ports that reshape call `np.reshape` without its parameter `newshape` (magma/core/process/ports/ports.py,
    920 and 931), which numpy 2.5 no longer has."""
    port = importlib.import_module("lava.magma.core.process.ports.ports").ReshapePort
    port.get_transform_func_fwd = lambda self: functools.partial(_reshape, self.shape)
    port.get_transform_func_bwd = lambda self: functools.partial(_reshape, self.old_shape)


def _reshape(shape: tuple[int, ...], array: np.ndarray) -> np.ndarray:
    return np.reshape(array, shape)


def read_one_number() -> None:
    """Lets NetX take the weight and the bias of an input layer from arrays of one number (lib/dl/netx/hdf5.py, 280 and
    285), as lava-dl writes them; `int` of such an array fails since numpy 2.4."""
    hdf5: Any = importlib.import_module("lava.lib.dl.netx.hdf5")
    hdf5.int = _int


def _int(value: Any) -> int:
    return int(np.asarray(value).item())


def convolve_by_python_integers() -> None:
    """Lets convolutions compute with sizes beyond 127 (proc/conv/utils.py, 122 to 133 and 278): their stride, padding,
    dilation and groups are int8, in which numpy 2 computes what numpy 1 computed in int64."""
    utils: Any = importlib.import_module("lava.proc.conv.utils")
    utils.conv_scipy = functools.partial(_convolve, utils.conv_scipy)


def _convolve(convolve: Any, events: np.ndarray, weight: np.ndarray, *geometry: Any) -> np.ndarray:
    return convolve(events, weight, *(np.asarray(value).tolist() for value in geometry))


MENDS = (keep_torch_out, hash_byte_encoders, reshape_ports, read_one_number, convolve_by_python_integers)


def apply() -> None:
    """Applies all mends, in their order."""
    for mend in MENDS:
        mend()
