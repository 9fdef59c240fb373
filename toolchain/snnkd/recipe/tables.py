"""The tables of a recipe, [data] to [chain.<stage>], the recipe that they make up, and what each of their fields may be
(docs/recipes.md)."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal, get_args

import tomli_w
from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from snnkd.base import schema
from snnkd.base.errors import RecipeError
from snnkd.base.schema import Table
from snnkd.data import encoding as encoders
from snnkd.data.encoding import Encoder
from snnkd.data.recordings.named import SETS
from snnkd.ir.event_encoding import EventEncoding
from snnkd.ir.readout import Readout
from snnkd.recipe.architecture import Architecture

TaughtLoss = Literal["l1", "l2", "kl", "sliding_l1", "sliding_l2", "temporal_kl"]
SelfLoss = Literal["self_ensemble", "strong_to_weak"]  # needs no teacher
LossName = Literal[TaughtLoss, SelfLoss]
Weight = Annotated[float, Field(ge=0)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


def _share(value: Any) -> int | float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not (0 <= value < 1 or (isinstance(value, int) and value >= 1)):
        raise ValueError(f"expected a fraction in [0, 1) or a number of images, found {schema.shown(value)}")
    return value


def _scale(value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value != "learned" and not (number and 0 < value < math.inf):
        raise ValueError(f"expected a number greater than 0 or 'learned', found {schema.shown(value)}")
    return float(value) if number else value


def _integers(count: int) -> BeforeValidator:
    def check(value: Any) -> Any:
        if not isinstance(value, list | tuple) or len(value) != count or any(type(part) is not int for part in value):
            raise ValueError(f"expected {count} integers, found {schema.shown(value)}")
        return tuple(value)

    return BeforeValidator(check)


Sides = Annotated[tuple[int, int], _integers(2)]
Window = Annotated[tuple[int, int, int, int], _integers(4)]
Scale = Annotated[float | Literal["learned"], BeforeValidator(_scale)]


_OF_RECORDINGS = ("drop", "jitter_us", "skip_damaged")


class Data(Table):
    """The data set and its augmentation.

    drop: share of the events that a variant of a recording lacks; jitter_us: most that it moves an event in time.
    skip_damaged: leave damaged recordings out.
    """

    set: str = Field(default="digits", min_length=1)
    validation: Annotated[int | float, BeforeValidator(_share)] = 0.1
    train_limit: int | None = Field(default=None, ge=1)
    shift: int = Field(default=0, ge=0)
    flip: bool = False
    variants: int = Field(default=1, ge=1)
    drop: float = Field(default=0.0, ge=0, lt=1)
    jitter_us: int = Field(default=0, ge=0, lt=1 << 31)
    skip_damaged: bool = False

    @model_serializer(mode="wrap")
    def _what_is_said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Nothing of recordings where nothing is said, so that what was trained before the fields existed is known."""
        return {key: value for key, value in dump(self).items() if key not in _OF_RECORDINGS or value}


class Encoding(Table):
    """How an image or a recording becomes `steps` time steps of events.

    bits: of its intensity, sent by direct encoding, or of a cell that counts. All others are for kind 'events', see
    `EventEncoding`; sensor None is the data set's.
    """

    kind: Literal["direct", "rate", "poisson", "latency", "events"] = "direct"
    steps: int = Field(ge=1, le=4096, description="the number of time steps")
    bits: int = Field(default=4, ge=1, le=8)
    sensor: Sides | None = None
    window_us: int | None = Field(default=None, ge=1)
    count: int | None = Field(default=None, ge=1)
    polarity: Literal["channels", "signed", "merged"] = "channels"
    crop: Window | None = None
    pool: int = Field(default=1, ge=1)
    cell: Literal["binary", "count"] = "binary"

    @model_validator(mode="after")
    def _of_one_kind(self) -> Encoding:
        if self.kind != "events":
            for name in sorted(self.model_fields_set - {"kind", "steps", "bits"}):
                raise ValueError(f"{name} is for kind 'events', which reads recordings; '{self.kind}' reads images")
        return self

    @model_serializer(mode="wrap")
    def _what_applies(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        table = dump(self)
        return table if self.kind == "events" else {key: table[key] for key in ("kind", "steps", "bits")}


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
    """Bits of a synaptic weight, sign included, and the step between two of its values, an integer as the hardware
    holds it: a power of two; None is the largest, 2^(9 - weight_bits), with which the values span [-256, 254].

    centered: what is rounded are the trained weights less their mean over the synapses of each neuron, but for pruned
    ones.
    """

    weight_bits: int = Field(default=8, ge=2, le=8)
    weight_step: int | None = Field(default=None, ge=2, le=128)
    centered: bool = False

    @model_validator(mode="after")
    def _within_range(self) -> Quantization:
        largest = 1 << (9 - self.weight_bits)
        if self.weight_step is not None and (self.weight_step > largest or self.weight_step & (self.weight_step - 1)):
            raise ValueError(
                f"expected weight_step a power of two up to {largest} with {self.weight_bits} bits, found "
                f"{self.weight_step}"
            )
        return self


class ReadoutRule(Table):
    """How a class comes out of the last layer, as `ir.readout.Readout` has it; `ties` is for kind 'count' only."""

    kind: Literal["count", "membrane"] = "count"
    ties: Literal["membrane", "first"] = "membrane"

    def rule(self) -> Readout:
        """Returns the readout of the recipe's networks."""
        return Readout(self.kind, self.ties if self.kind == "count" else "first")


class EarlyExitRule(Table):
    """Early exit is chosen on the validation data; tolerance: the fraction that it may get wrong in addition."""

    tolerance: float = Field(default=0.0, ge=0, le=1)


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
    """The loss against the labels; scale: logit per output spike (cross-entropy), "learned" is the stage's own; rates:
    spikes per step."""

    loss: Literal["cross-entropy", "temporal-cross-entropy", "spike-rate"] = "cross-entropy"
    weight: Weight = 1.0
    scale: Scale = 1.0
    true_rate: float = Field(default=0.9, ge=0, le=1)
    false_rate: float = Field(default=0.02, ge=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> Label:
        if self.true_rate <= self.false_rate:
            raise ValueError(f"expected true_rate above false_rate, found {self.true_rate} and {self.false_rate}")
        return self

    @property
    def learns_scale(self) -> bool:
        """Tells whether this loss trains the logit scale of its stage."""
        return self.scale == "learned" and self.weight > 0 and self.loss != "spike-rate"


class Distil(Table):
    """The losses against a teacher's output, and those of a student's output against itself.

    teacher None is the stage before, where there is a loss that needs one; window None max(2, steps // 5);
    teacher_temperature None is temperature. scale: logit per unit of the student's output. The first five losses
    together are the "Proposed" one of "Distilling Spikes"; reading says how its formulas are read.
    """

    teacher: str | None = None
    losses: dict[LossName, Weight] = Field(min_length=1, description="a table of loss weights, e.g. {kl = 1.0}")
    reading: Literal["literal", "norm", "count", "psp"] = "literal"
    window: int | None = Field(default=None, ge=1)
    temperature: float = Field(default=2.0, gt=0)
    teacher_temperature: float | None = Field(default=None, gt=0)
    scale: Scale = 1.0
    kl_axis: Literal["counts", "step", "time"] = "counts"
    normalize: bool = False

    @property
    def taught(self) -> bool:
        """Tells whether a loss with a weight needs a teacher."""
        return any(self.losses.get(name) for name in get_args(TaughtLoss))

    @property
    def learns_scale(self) -> bool:
        """Tells whether these losses train the logit scale of their stage."""
        return self.scale == "learned" and any(self.losses.get(name) for name in ("kl", "temporal_kl"))


class Rate(Table):
    """weight x the sum over hidden layers of relu(rate - max_rate)^2, rates in spikes per neuron and step."""

    max_rate: float = Field(default=0.01, ge=0, le=1)
    weight: Weight = Field(description="the weight of the term in the loss")


class Prune(Table):
    """Magnitude pruning: of all weights together, the `share` that is smallest within their layers
    (`training.pruning.scores`) is 0 from the fraction `until` of the epochs on; before, the share rises from 0."""

    share: float = Field(gt=0, lt=1, description="the share of the weights that become 0")
    until: float = Field(default=0.6, gt=0, le=1)


class Stage(Table):
    """One training of the chain: alone, or with `distil` by the network of an earlier stage; or, with `net`, a frozen
    integer network from a file, of which network is '' and epochs 0.

    neuron 'relu' makes it an ANN, a teacher only. start: a .net file whose weights, thresholds and decays the training
    starts from. sha256: of the file in net or start. What goes with what is checked in `snnkd.recipe.stages`.
    """

    network: str = Field(default="", min_length=1, description="a network's name or the path of your own .toml")
    net: str | None = Field(default=None, min_length=1)
    epochs: int = Field(default=0, ge=1, description="the number of epochs")
    neuron: Literal["cuba", "relu"] = "cuba"
    start: str | None = Field(default=None, min_length=1)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    batch: int = Field(default=128, ge=1)
    optimizer: Optimizer = Optimizer()
    label: Label = Label()
    distil: Distil | None = None
    rate: Rate | None = None
    prune: Prune | None = None

    @property
    def learns_scale(self) -> bool:
        """Tells whether a loss with a weight trains the logit scale."""
        return self.label.learns_scale or (self.distil is not None and self.distil.learns_scale)

    @model_serializer(mode="wrap")
    def _what_applies(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Of a file, nothing that only a training has."""
        table = dump(self)
        return table if self.net is None else {key: table[key] for key in ("net", "sha256") if key in table}


# Shape (C, H, W) and classes of the data sets that are known here; others are checked when they are opened.
DATA_SETS = {
    "digits": ((1, 8, 8), 10),
    "mnist": ((1, 28, 28), 10),
    "fashion-mnist": ((1, 28, 28), 10),
    "cifar10": ((3, 32, 32), 10),
}


class Recipe(Table):
    """A whole recipe. chain: the stages in the order of training; networks: descriptions by the stages' `network`."""

    name: Identifier = Field(description="the run's name")
    description: str = ""
    seed: int = Field(default=1, ge=0, lt=1 << 32)
    data: Data = Data()
    encoding: Encoding = Field(description="the table [encoding] with at least steps")
    neuron: Neuron = Neuron()
    quantization: Quantization = Quantization()
    readout: ReadoutRule = ReadoutRule()
    early_exit: EarlyExitRule = EarlyExitRule()
    target: TargetName = TargetName()
    chain: dict[Identifier, Stage] = Field(
        min_length=1, description="the trainings in their order, each a table [chain.<stage>]"
    )
    networks: dict[str, Architecture] = Field(default_factory=dict)

    @property
    def student(self) -> str:
        """Returns the name of the last stage, whose network is deployed."""
        return list(self.chain)[-1]

    def architecture(self, stage: str) -> Architecture:
        """Returns the network description of `stage`."""
        return self.networks[self.chain[stage].network]

    @property
    def images(self) -> tuple[tuple[int, int, int], int]:
        """Returns shape (C, H, W) and classes of the data set; where it is not known, those of the first network."""
        first = next(self.architecture(name) for name, stage in self.chain.items() if stage.network)
        if self.encoding.kind == "events":
            known = SETS.get(self.data.set)
            return self.encoder().shape, len(known.classes) if known else first.outputs
        return DATA_SETS.get(self.data.set, (first.input, first.outputs))

    def encoder(self) -> Encoder:
        """Returns the encoder of training, evaluation, simulation and hand-off, seeded by the recipe.

        Raises RecipeError that names the field of an encoding of recordings that makes no sense.
        """
        if self.encoding.kind == "events":
            table, known = self.encoding.model_dump(exclude={"kind"}), SETS.get(self.data.set)
            sensor = self.encoding.sensor or (known.sensor if known else None)
            if sensor is None:
                raise RecipeError(f"encoding.sensor: missing; it is [rows, columns] of the sensor of '{self.data.set}'")
            return EventEncoding(**{**table, "sensor": sensor})
        return encoders.Encoding(self.encoding.kind, self.encoding.steps, self.encoding.bits, self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data that `parse` takes back, in a fixed order (the stages' order counts)."""
        return self.model_dump(mode="json", exclude_none=True)

    def to_json(self) -> str:
        """Returns the resolved recipe on one line, for digests."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    def to_toml(self) -> str:
        """Writes the resolved recipe as a file that `load` reads back to an equal one."""
        return tomli_w.dumps(self.to_dict())
