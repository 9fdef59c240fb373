"""What is said of a network beside its weights: the one place that lists it, for files, reports and bundles."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from typing_extensions import assert_never

from snnkd.ir.network import IntNet, Layer, Neuron


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


def network(net: IntNet) -> dict[str, Any]:
    """Returns what `snnkd inspect --json` prints: the facts, and a row of each layer without its weights."""
    rows = zip(net.names, net.layers, strict=True)
    return {**facts(net), "layers": [{"layer": name, **_layer(layer)} for name, layer in rows]}


def _layer(layer: Layer) -> dict[str, Any]:
    row: dict[str, Any] = {"kind": layer.kind, "shape": list(layer.shape)}
    row |= {"connection": "", "weights": 0, "range": "", "delay": ""}
    if layer.kind == "input":
        pass
    elif layer.kind == "conv":
        row["connection"] = (
            f"{layer.weight.shape[2]}x{layer.weight.shape[3]}, stride {layer.stride}, padding {layer.padding}, "
            f"dilation {layer.dilation}, groups {layer.groups}"
        )
    elif layer.kind == "dense":
        row["connection"] = f"all, x 2^{layer.weight_exp}" if layer.weight_exp else "all"
        row["delay"] = "" if layer.delay is None else f"{layer.delay.min()} to {layer.delay.max()}"
    else:
        assert_never(layer)
    if layer.kind != "input":
        row |= {"weights": layer.weight.size, "range": f"{layer.weight.min()} to {layer.weight.max()}"}
    return row | _neuron(layer.neuron)


def _neuron(neuron: Neuron) -> dict[str, Any]:
    row: dict[str, Any] = {"neuron": neuron.kind}
    if neuron.kind == "cuba":
        fields = {"threshold": neuron.threshold, "iDecay": neuron.current_decay, "vDecay": neuron.voltage_decay}
        ranges = {name: (values.min(), values.max()) for name, values in fields.items()}
        row |= {name: str(low) if low == high else f"{low} to {high}" for name, (low, high) in ranges.items()}
    elif neuron.kind == "delta" or neuron.kind == "sigma-delta":
        row |= {"threshold": str(neuron.threshold), "spike_exp": neuron.spike_exp, "state_exp": neuron.state_exp}
        row |= {"cumulative": neuron.cumulative}
        if neuron.kind == "sigma-delta":
            row["activation"] = neuron.activation
    elif neuron.kind == "sigma":
        row["threshold"] = ""
    else:
        assert_never(neuron)
    return row | {"bias": neuron.bias is not None}
