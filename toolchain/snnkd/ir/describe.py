"""What is said of a network beside its weights: the one place that lists it, for files, reports and bundles."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from typing_extensions import assert_never

from snnkd.ir.network import IntNet, Layer, Neuron
from snnkd.ir.readout import Readout


def facts(net: IntNet) -> dict[str, Any]:
    """Returns what a network's file says beside its layers, and its size, as plain JSON data.

    input_shape, message_bits, steps; encoding, readout, early_exit and provenance as objects, class_names as a list,
    None where there is none; parameters and neurons, how many.
    """
    return {
        "input_shape": list(net.input_shape),
        "message_bits": net.message_bits,
        "steps": net.steps,
        "encoding": net.encoding,
        "readout": net.readout.to_json(),
        "early_exit": None if net.early_exit is None else asdict(net.early_exit),
        "class_names": None if net.class_names is None else list(net.class_names),
        "parameters": net.parameters,
        "neurons": net.neurons,
        "provenance": net.provenance,
    }


@dataclass(frozen=True)
class Description:
    """facts: of the network, as `facts` has them. layers: a row of each layer without its weights, `layer` its name."""

    facts: dict[str, Any]
    layers: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Returns what `snnkd inspect --json` prints of the network."""
        return {**self.facts, "layers": self.layers}

    def text(self) -> str:
        """Returns a title and a plain table, a line for each layer."""
        columns, rows = self._table()
        table = [columns, *rows]
        widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
        return "\n".join([self._title(), *(line.rstrip() for line in lines)])

    def html(self) -> str:
        """Returns the same as HTML, for notebooks."""
        columns, rows = self._table()
        head = "".join(f"<th>{escape(column)}</th>" for column in columns)
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
        return f"<p>{escape(self._title())}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _title(self) -> str:
        shape = " x ".join(map(str, self.facts["input_shape"]))
        steps = f", {self.facts['steps']} steps" if self.facts["steps"] else ""
        bits = f", events of {self.facts['message_bits']} bits" if self.facts["message_bits"] else ""
        sizes = f"{self.facts['neurons']:,} neurons, {self.facts['parameters']:,} weights"
        return f"IntNet: input {shape}{steps}{bits}, {sizes}, read by {Readout(**self.facts['readout']).name}"

    def _table(self) -> tuple[list[str], list[list[str]]]:
        """Columns and rows of what any of the layers has."""
        keys = list(dict.fromkeys(key for row in self.layers for key in row))
        told = [key for key in keys if any(row.get(key) not in ("", None, False) for row in self.layers)]
        return told, [[_cell(row.get(key)) for key in told] for row in self.layers]


def network(net: IntNet) -> Description:
    """Describes a network: its facts, and a row of each layer without its weights."""
    rows = zip(net.names, net.layers, strict=True)
    return Description(facts(net), [{"layer": name, **_layer(layer)} for name, layer in rows])


def shortened(connection: str) -> str:
    """Returns a connection without what is the same in most networks, and with one number for two equal ones."""
    text = re.sub(r", (?:stride \(1, 1\)|padding \(0, 0\)|dilation \(1, 1\)|groups 1$)", "", connection)
    return re.sub(r"\((\d+), \1\)", r"\1", text)


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "yes" if value else ""
    if isinstance(value, list):
        return " x ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else shortened(value)


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
