"""What is said of a network beside its weights: the one place that lists it, for files, reports and bundles."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from snnkd.ir.network import IntNet


def facts(net: IntNet) -> dict[str, Any]:
    """Returns what a network's file says beside its layers, and its size, as plain JSON data.

    input_shape, message_bits, steps; encoding, readout, early_exit and provenance as objects, None where there is none;
    parameters and neurons, how many.
    """
    return {
        "input_shape": list(net.input_shape),
        "message_bits": net.message_bits,
        "steps": net.steps,
        "encoding": net.encoding,
        "readout": asdict(net.readout),
        "early_exit": None if net.early_exit is None else asdict(net.early_exit),
        "parameters": net.parameters,
        "neurons": net.neurons,
        "provenance": net.provenance,
    }
