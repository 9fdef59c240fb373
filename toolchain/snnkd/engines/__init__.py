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
        """None where the engine can run here, else the reason why it cannot and what to do. Quick: imports nothing."""
        ...

    def run(self, net: IntNet, spikes: np.ndarray, states: bool = False) -> SpikeTrace:
        """Runs `net` on integers (N, T, *input shape), as `ir.events.check_input` takes them.

        Equals `definition.simulate` in spikes and v_last, and in u and v with `states`; `overflows` and `saturations`
        too, or -1 where the engine cannot tell. Raises FormatError for unusable input, LimitError where the engine
        is not available or cannot take this network.
        """
        ...


def get(name: str) -> Engine:
    """The engine called `name`. Raises LimitError with the known names."""
    if name not in ENGINES:
        raise LimitError(f"no engine is called '{name}': known are {', '.join(ENGINES)}")
    return cast(Engine, importlib.import_module(ENGINES[name]))
