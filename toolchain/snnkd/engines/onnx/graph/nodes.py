"""The nodes of a graph while it is made: names, constants, and integer arithmetic that is more than one operator.

Values are known by their names. All arithmetic is int64 unless a function says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

_SMALL = (np.int8, np.int16, np.int32, np.int64)


@dataclass(frozen=True)
class Value:
    """An integer tensor in the graph, and the largest magnitude that it can have."""

    name: str
    bound: int


@dataclass
class Nodes:
    """prepared: nodes that read constants only, which a runtime computes once, when it opens the file; steps: those of
    one time step, in order; constants: what both read. prefix: of every value of a time step."""

    prefix: str = ""
    prepared: list[NodeProto] = field(default_factory=list)
    steps: list[NodeProto] = field(default_factory=list)
    constants: dict[str, TensorProto] = field(default_factory=dict)

    def add(self, operator: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Appends a node to the time step and gives the name of its only output: `name`, or a numbered one."""
        output = self.prefix + (name or f"{operator.lower()}_{len(self.steps)}")
        self.steps.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def prepare(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Appends a node that reads constants only, and gives the name of its only output."""
        output = f"prepared_{operator.lower()}_{len(self.prepared)}"
        self.prepared.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def number(self, value: int) -> str:
        """Adds a scalar constant, int64, and gives its name, as all that follow do."""
        return self.array(f"number_{value}".replace("-", "minus_"), np.array(value, np.int64))

    def indices(self, *values: int) -> str:
        """Adds a vector of constants, int64, as shapes, axes and positions are given."""
        return self.array("indices_" + "_".join(map(str, values)).replace("-", "minus_"), np.array(values, np.int64))

    def array(self, name: str, values: np.ndarray) -> str:
        """Adds a constant as it is; a name stands for the same values at every call."""
        self.constants[name] = numpy_helper.from_array(values, name)
        return name

    def small(self, name: str, values: np.ndarray, kind: int = TensorProto.INT64) -> str:
        """Adds a constant of the type `kind` that takes the smallest integer type in the file."""
        if values.ndim == 0 and kind == TensorProto.INT64:
            return self.number(int(values))
        stored = narrow(values)
        name = self.array(name, stored)
        return name if helper.np_dtype_to_tensor_dtype(stored.dtype) == kind else self.prepare("Cast", name, to=kind)

    def cast(self, value: str, kind: int, name: str | None = None) -> str:
        """Casts `value` to the TensorProto type `kind`."""
        return self.add("Cast", value, name=name, to=kind)

    def scaled(self, value: Value, factor: int) -> Value:
        """Multiplies: value * factor."""
        if factor == 1:
            return value
        return Value(self.add("Mul", value.name, self.number(factor)), value.bound * factor)

    def floored(self, value: Value, bits: int) -> Value:
        """Shifts right: value >> bits. The remainder of ONNX' Mod is never negative here, so Div divides evenly."""
        step = self.number(1 << bits)
        even = self.add("Sub", value.name, self.add("Mod", value.name, step))
        return Value(self.add("Div", even, step), (value.bound >> bits) + 1)

    def wrapped(self, value: Value, bits: int) -> Value:
        """Wraps a value in two's complement of `bits`; adds no node where it always fits."""
        half = 1 << bits - 1
        if value.bound < half:
            return value
        remainder = self.add("Mod", self.add("Add", value.name, self.number(half)), self.number(2 * half))
        return Value(self.add("Sub", remainder, self.number(half)), half)


def narrow(values: np.ndarray) -> np.ndarray:
    """Returns `values` in the smallest signed integer type that holds them."""
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    fits = (kind for kind in _SMALL if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    return values.astype(next(fits))
