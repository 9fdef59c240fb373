"""Engines: what can run an IntNet. Each is a module with the functions of `Engine`, imported when it is used."""

from __future__ import annotations

import importlib
from typing import Protocol, cast

import numpy as np

from snnkd.base.errors import LimitError
from snnkd.ir.network import IntNet
from snnkd.ir.trace import SpikeTrace

ENGINES = {
    "fast": "snnkd.engines.fast",
    "reference": "snnkd.engines.reference",
    "lava": "snnkd.engines.lava",
    "onnx": "snnkd.engines.onnx",
    "c99": "snnkd.engines.c99",
}


class Engine(Protocol):
    """What a module of `ENGINES` offers."""

    def available(self) -> str | None:
        """Says why the engine cannot run here and what to do, None where it can. Quick: imports nothing."""
        ...

    def refuses(self, net: IntNet) -> str | None:
        """Says why the engine does not take `net`, by layer and with numbers; None where it does.

        Looks at the network alone: it runs and writes nothing, and needs none of the packages that `available` asks
        for. What depends on the events is an error of `run`.
        """
        ...

    def run(self, net: IntNet, spikes: np.ndarray, states: bool = False) -> SpikeTrace:
        """Runs `net` on integers (N, T, *input shape), as `ir.events.check_input` takes them.

        Equals `definition.simulate` in spikes and v_last, and in u and v with `states`; in v of the last layer also
        where the readout reads it at every step; `overflows` and `saturations` too, or -1 where the engine cannot
        tell. Raises LimitError, with the text of `available` or `refuses`, where
        the engine cannot run here or does not take this network, FormatError for unusable input.
        """
        ...


def get(name: str) -> Engine:
    """Imports the engine called `name`. Raises LimitError with the known names."""
    if name not in ENGINES:
        raise LimitError(f"no engine is called '{name}': known are {', '.join(ENGINES)}")
    return cast(Engine, importlib.import_module(ENGINES[name]))


def usable(name: str, net: IntNet) -> Engine:
    """Imports the engine called `name`, which can run here and takes `net`.

    Raises LimitError where no engine is called so, and, with those that would do, where it cannot run here or refuses
    `net`.
    """
    engine = get(name)
    if reason := engine.available():
        raise LimitError(f"engine '{name}' cannot run here: {reason}; {_others(net)}")
    if reason := engine.refuses(net):
        raise LimitError(f"engine '{name}' does not take this network: {reason}; {_others(net)}")
    return engine


def _others(net: IntNet) -> str:
    """Names the engines that run `net` here: fast and reference always do."""
    return "engines that run it here: " + ", ".join(
        name for name in ENGINES if not (get(name).available() or get(name).refuses(net))
    )
