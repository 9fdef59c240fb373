"""What the network is: its layers, what it reads and how a class comes out of it."""

from __future__ import annotations

from typing import Any

from snnkd.ir import describe
from snnkd.report.page.facts import Facts

_READOUTS = {
    ("count", "first"): "the class whose neurons spike most",
    ("count", "membrane"): "the class whose neurons spike most; of equal ones, that with the higher voltage",
    ("membrane", "first"): "the class whose output neurons have the highest voltage after the last step",
}


def structure(facts: Facts) -> dict[str, Any]:
    """Lists the layers in their order, and what is said of the network beside them."""
    told = describe.network(facts.net).to_json()
    rule, readout = told["early_exit"], told["readout"]
    notes = {
        "reads": _encoding(facts),
        "answers": _READOUTS.get((readout["kind"], readout["ties"]), f"{readout['kind']}, ties: {readout['ties']}"),
    }
    if rule is not None:
        notes["stops"] = f"from step {rule['first']} on, as soon as the best class leads by {rule['margin']:,}"
    return {
        "description": facts.run.recipe.description,
        "input": "x".join(map(str, told["input_shape"])),
        "layers": [_layer(row) for row in told["layers"]],
        "notes": notes,
    }


def _encoding(facts: Facts) -> str:
    table = facts.run.recipe.encoding
    steps = f"{facts.net.steps} steps" if facts.net.steps else "steps"
    graded = ", graded events" if facts.net.message_bits else ""
    return f"{facts.summary.get('data_set', facts.run.recipe.data.set)}, encoding {table.kind}, {steps}{graded}"


def _layer(row: dict[str, Any]) -> dict[str, Any]:
    """A layer's box, and its other parameters in one line; those that it has not are left out."""
    boxed = ("layer", "kind", "shape", "weights")
    told = [f"{key} {value}" for key, value in row.items() if key not in boxed and value not in ("", None, False)]
    shape = "x".join(map(str, row["shape"]))
    return {**{key: row[key] for key in boxed}, "shape": shape, "parameters": "; ".join(told)}
