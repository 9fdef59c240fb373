"""How kernels are compiled, and which of two implementations of their building blocks they are compiled with."""

from __future__ import annotations

import hashlib
import importlib
import os
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numba
import numpy as np
from numba.extending import overload

CHOICE = "SNNKD_KERNELS"  # environment variable: "plain" leaves vector instructions out

_HERE = Path(__file__).parent
_plain: set[str] = set()  # names of the modules of vector instructions that plain ones stand in for


def jit(function: Callable[..., Any], contract: bool = False) -> Callable[..., Any]:
    """Compiles `function` for use without the GIL when it is first called; kept on disk where that can be written.

    contract: a product and the sum that it goes into may be rounded once, as `fma` does, where the processor can.
    """
    function.__qualname__ = f"{function.__qualname__}_{_digest(Path(function.__code__.co_filename).parent)}"
    options = {"nogil": True, "fastmath": {"contract"} if contract else False}
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError:  # neither the package's folder nor the user's cache folder
        return numba.njit(function, **options)


def of_arrays(of_array: Callable[..., Any], otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a function for kernels: `of_array` where its first argument is an array, else `otherwise`, as is known when
    they are compiled."""

    def function(*arguments: Any) -> Any:
        return (of_array if isinstance(arguments[0], np.ndarray) else otherwise)(*arguments)

    @overload(function, inline="always", strict=False)
    def _chosen(*arguments: Any) -> Callable[..., Any]:
        return of_array if isinstance(arguments[0], numba.types.Array) else otherwise

    return function


def _digest(folder: Path) -> str:
    """Of all that a kernel in `folder` may be compiled from: Numba's cache on disk looks at a function's own file only,
    and a kernel calls functions of others."""
    rooms = b"".join(_sources(room) for room in sorted({_HERE, folder}))
    return hashlib.sha256(rooms + repr(sorted(_plain)).encode()).hexdigest()[:12]


@lru_cache(maxsize=8)
def _sources(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))


def choose(vectors: str, plain: ModuleType) -> ModuleType:
    """Imports the module named `vectors`, or gives `plain`, which has the same functions with the same results.

    The plain one is taken, with a RuntimeWarning, where `vectors` cannot be imported, its `sample` cannot be compiled
    or gives other numbers than plain functions do; and without a warning where SNNKD_KERNELS is "plain".
    """
    if os.environ.get(CHOICE) != "plain":
        try:
            module = importlib.import_module(vectors)
            if _agree(module, plain):
                return module
            reason = "they give other numbers than plain ones"
        except Exception as error:  # what Numba and llvmlite raise depends on their versions
            reason = f"{type(error).__name__}: {str(error).strip() or 'no message'}".splitlines()[0]
        warnings.warn(
            f"vector instructions are left out, which is slower: {vectors}, Numba {numba.__version__}: {reason}",
            RuntimeWarning,
            stacklevel=2,
        )
    _plain.add(vectors)
    return plain


def _agree(vectors: ModuleType, plain: ModuleType) -> bool:
    """Whether `vectors.sample` does the same to the arguments `vectors.case()`, and returns the same, as in Python with
    the functions of `plain`."""
    functions = {name: value.py_func for name, value in vars(plain).items() if hasattr(value, "py_func")}
    in_python = FunctionType(vectors.sample.py_func.__code__, vars(vectors) | functions)
    have, want = vectors.case(), vectors.case()
    same = vectors.sample(*have) == in_python(*want)
    return bool(same) and all(map(np.array_equal, have, want))
