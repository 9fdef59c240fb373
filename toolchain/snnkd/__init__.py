"""snnkd distils spiking neural networks and hands them to neuromorphic and embedded hardware, bit for bit.

    net = snnkd.load("student.net")
    trace = snnkd.simulate(net, spikes)
    snnkd.verify(net, spikes, against="lava").equal

Everything is imported when it is first used: `import snnkd` loads no torch and no Lava.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnkd.api import check, export, handoff, inspect, profile, run, search, simulate, sweep, train, verify
    from snnkd.data.logits import save_logits
    from snnkd.formats import load, save
    from snnkd.ir.network import IntNet
    from snnkd.ir.trace import SpikeTrace
    from snnkd.runs.pipeline import TrainingOptions
    from snnkd.training import losses
    from snnkd.training.deploy import to_intnet
    from snnkd.training.neuron import Neuron

__version__ = "0.2.0"
__all__ = [
    "IntNet",
    "Neuron",
    "SpikeTrace",
    "TrainingOptions",
    "check",
    "export",
    "handoff",
    "inspect",
    "load",
    "losses",
    "profile",
    "run",
    "save",
    "save_logits",
    "search",
    "simulate",
    "sweep",
    "to_intnet",
    "train",
    "verify",
]

_HOMES = {
    "IntNet": "ir.network",
    "Neuron": "training.neuron",
    "SpikeTrace": "ir.trace",
    "TrainingOptions": "runs.pipeline",
    "check": "api",
    "export": "api",
    "handoff": "api",
    "inspect": "api",
    "load": "formats",
    "losses": "training.losses",
    "profile": "api",
    "run": "api",
    "save": "formats",
    "save_logits": "data.logits",
    "search": "api",
    "simulate": "api",
    "sweep": "api",
    "to_intnet": "training.deploy",
    "train": "api",
    "verify": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'snnkd' has no attribute '{name}'")
    home = importlib.import_module(f"snnkd.{_HOMES[name]}")
    return home if home.__name__.endswith(f".{name}") else getattr(home, name)


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
