"""The tables of a recipe, [data] to [chain.<stage>], and what each of their fields may be (docs/recipes.md)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from snnkd import schema
from snnkd.schema import Table

LossName = Literal["l1", "l2", "kl", "sliding_l1", "sliding_l2"]
Weight = Annotated[float, Field(ge=0)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


def _share(value: Any) -> int | float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not (0 <= value < 1 or (isinstance(value, int) and value >= 1)):
        raise ValueError(f"expected a fraction in [0, 1) or a number of images, found {schema.shown(value)}")
    return value


class Data(Table):
    """The data set and its augmentation."""

    set: str = Field(default="digits", min_length=1)
    validation: Annotated[int | float, BeforeValidator(_share)] = 0.1
    train_limit: int | None = Field(default=None, ge=1)
    shift: int = Field(default=0, ge=0)
    flip: bool = False
    variants: int = Field(default=1, ge=1)


class Encoding(Table):
    """How an image becomes `steps` time steps of events; `bits` of its intensity are sent by direct encoding."""

    kind: Literal["direct", "rate", "poisson", "latency"] = "direct"
    steps: int = Field(ge=1, le=4096, description="the number of time steps")
    bits: int = Field(default=4, ge=1, le=8)


class Neuron(Table):
    """CUBA-LIF neurons in SLAYER's units; threshold None is calibrated on the first batch.

    With the default gradients a neuron's slope is 1 / (2 threshold) at its threshold and falls to 1/e one threshold
    away from it (SLAYER multiplies tau_grad by 100 and scale_grad by 0.1).
    """

    current_decay: float = Field(default=1.0, ge=0, le=1)
    voltage_decay: float = Field(default=0.03, ge=0, le=1)
    threshold: float | None = Field(default=None, gt=0, le=((1 << 17) - 1) / 64)
    threshold_gain: float = Field(default=1.0, gt=0)
    tau_grad: float = Field(default=0.01, gt=0)
    scale_grad: float = Field(default=10.0, gt=0)


class Quantization(Table):
    """Bits of a synaptic weight, sign included."""

    weight_bits: int = Field(default=8, ge=2, le=8)


class ReadoutRule(Table):
    """How a class comes out of the last layer, as `snnkd.network.Readout` has it."""

    kind: Literal["count"] = "count"
    ties: Literal["membrane", "first"] = "membrane"


class TargetName(Table):
    """What the student is made for: a target's name or the path of the user's own target .toml."""

    name: str = Field(default="loihi2-sim", min_length=1)


class Optimizer(Table):
    """The optimizer of a stage and the schedule of its learning rate over all epochs."""

    kind: Literal["adam", "sgd"] = "adam"
    lr: float = Field(default=0.01, gt=0)
    weight_decay: Weight = 0.0
    schedule: Literal["cosine", "one-cycle", "constant"] = "cosine"


class Label(Table):
    """The loss against the labels; scale: logit per output spike (cross-entropy); rates: spikes per step."""

    loss: Literal["cross-entropy", "spike-rate"] = "cross-entropy"
    weight: Weight = 1.0
    scale: float = Field(default=1.0, gt=0)
    true_rate: float = Field(default=0.9, ge=0, le=1)
    false_rate: float = Field(default=0.02, ge=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> Label:
        if self.true_rate <= self.false_rate:
            raise ValueError(f"expected true_rate above false_rate, found {self.true_rate} and {self.false_rate}")
        return self


class Distil(Table):
    """The losses against a teacher's output spikes; teacher None is the stage before, window None max(2, steps // 5).

    All five losses together are the "Proposed" one of "Distilling Spikes"; reading says how its formulas are read.
    """

    teacher: str | None = None
    losses: dict[LossName, Weight] = Field(min_length=1, description="a table of loss weights, e.g. {kl = 1.0}")
    reading: Literal["literal", "norm", "count", "psp"] = "literal"
    window: int | None = Field(default=None, ge=1)
    temperature: float = Field(default=2.0, gt=0)
    kl_axis: Literal["counts", "step", "time"] = "counts"
    normalize: bool = False


class Stage(Table):
    """One training of the chain: alone, or with `distil` by the network of an earlier stage."""

    network: str = Field(min_length=1, description="a network's name or the path of your own .toml")
    epochs: int = Field(ge=1, description="the number of epochs")
    batch: int = Field(default=128, ge=1)
    optimizer: Optimizer = Optimizer()
    label: Label = Label()
    distil: Distil | None = None
