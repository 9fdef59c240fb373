"""The tables of a recipe, [data] to [chain.<stage>], the recipe that they make up, and what each of their fields may be
(docs/recipes.md)."""

from __future__ import annotations

import json
import math
from pathlib import Path
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
from snnkd.recipe.architecture import Architecture, Size
from snnkd.recipe.outside import ModelName

TaughtLoss = Literal["l1", "l2", "kl", "sliding_l1", "sliding_l2", "temporal_kl"]
SelfLoss = Literal["self_ensemble", "strong_to_weak"]  # needs no teacher
LossName = Literal[TaughtLoss, SelfLoss]
CorruptionName = Literal["gaussian", "impulse", "shot", "speckle", "blur", "occlusion"]
Severity = Annotated[int, Field(ge=1, le=5)]
FeatureLoss = Literal["mse", "attention", "blurred", "membrane", "cka"]
MapKind = Literal["rate", "spikes", "membrane"]
PairKind = Literal["sample", "class"]
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


_LATER = ("noise", "drop", "jitter_us", "skip_damaged")


class Data(Table):
    """The data set and its augmentation.

    noise: corruptions of variants, with the largest severity of each. drop: share of the events that a variant of a
    recording lacks; jitter_us: most that it moves an event in time. skip_damaged: leave damaged recordings out.
    """

    set: str = Field(default="digits", min_length=1)
    validation: Annotated[int | float, BeforeValidator(_share)] = 0.1
    train_limit: int | None = Field(default=None, ge=1)
    shift: int = Field(default=0, ge=0)
    flip: bool = False
    variants: int = Field(default=1, ge=1)
    noise: dict[CorruptionName, Severity] = Field(default_factory=dict)
    drop: float = Field(default=0.0, ge=0, lt=1)
    jitter_us: int = Field(default=0, ge=0, lt=1 << 31)
    skip_damaged: bool = False

    @model_serializer(mode="wrap")
    def _what_is_said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Nothing of these where nothing is said, so that what was trained before the fields existed is known."""
        return {key: value for key, value in dump(self).items() if key not in _LATER or value}


class Frames(Data):
    """The images that an ANN learns from, where its student learns from recordings.

    pair: how frames and recordings belong together, None 'sample' where the images that were recorded are known, else
    'class': it is filled in. seed: of the stage and of its images, None the recipe's.
    """

    pair: PairKind | None = None
    seed: int | None = Field(default=None, ge=0, lt=1 << 32)

    @property
    def alone(self) -> Data:
        """The images and their augmentation, which are all that the ANN itself depends on."""
        return Data(**self.model_dump(exclude={"pair", "seed"}))


_OF_IMAGES = ("kind", "steps", "bits")  # of an encoding


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
            for name in sorted(self.model_fields_set - set(_OF_IMAGES)):
                raise ValueError(f"{name} is for kind 'events', which reads recordings; '{self.kind}' reads images")
        return self

    @model_serializer(mode="wrap")
    def _what_applies(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        table = dump(self)
        return {key: value for key, value in table.items() if self.kind == "events" or key in _OF_IMAGES}


_OF_NEURONS_LATER = ("kind", "bias", "batch_norm", "fold", "message_threshold", "per_channel")
NeuronParameter = Literal["threshold", "current_decay", "voltage_decay"]


class Neuron(Table):
    """Neurons in SLAYER's units: CUBA-LIF ones, or for all stages that do not say otherwise sigma-delta ones.

    threshold None is calibrated on the first batch. bias: whether they have one. batch_norm: whether sums are
    normalized while training, which is folded into weights and biases after the fraction `fold` of the epochs; always
    so with sigma-delta neurons. message_threshold: what a change has to reach to be sent, in standard deviations.
    per_channel: which of threshold and decays are trained, one for each channel of a convolution or neuron of a dense
    layer; they start from what holds for all of the layer.

    With the default gradients a neuron's slope is 1 / (2 threshold) at its threshold and falls to 1/e one threshold
    away from it (SLAYER multiplies tau_grad by 100 and scale_grad by 0.1).
    """

    current_decay: float = Field(default=1.0, ge=0, le=1)
    voltage_decay: float = Field(default=0.03, ge=0, le=1)
    threshold: float | None = Field(default=None, gt=0, le=((1 << 17) - 1) / 64)
    threshold_gain: float = Field(default=1.0, gt=0)
    tau_grad: float = Field(default=0.01, gt=0)
    scale_grad: float = Field(default=10.0, gt=0)
    kind: Literal["cuba", "sigma-delta"] = "cuba"
    bias: bool = False
    batch_norm: bool = False
    fold: float = Field(default=0.6, gt=0, lt=1)
    message_threshold: float = Field(default=0.0, ge=0)
    per_channel: list[NeuronParameter] = Field(default=[])

    @model_serializer(mode="wrap")
    def _what_is_said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Nothing of the later fields at their defaults, so that what was trained before they existed is known."""
        same = {name for name in _OF_NEURONS_LATER if getattr(self, name) == Neuron.model_fields[name].default}
        return {key: value for key, value in dump(self).items() if key not in same}


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
    """How a class comes out of the last layer, as `ir.readout.Readout` has it; `ties` is for kind 'count' only, an
    `over` of more than the last step for 'membrane'."""

    kind: Literal["count", "membrane"] = "count"
    ties: Literal["membrane", "first"] = "membrane"
    over: Literal["last", "max", "sum"] = "last"

    @model_validator(mode="after")
    def _counts_are_over_all_steps(self) -> ReadoutRule:
        if self.kind == "count" and self.over != "last":
            raise ValueError(f"expected kind 'membrane' with over '{self.over}', found 'count', over all steps")
        return self

    @model_serializer(mode="wrap")
    def _what_is_said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Nothing of `over` where it is the last step, so that what was trained before it existed is known."""
        return {key: value for key, value in dump(self).items() if (key, value) != ("over", "last")}

    def rule(self) -> Readout:
        """Returns the readout of the recipe's networks."""
        return Readout(self.kind, self.ties if self.kind == "count" else "first", over=self.over)


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


def _pairs(value: Any) -> Any:
    two = isinstance(value, list | tuple) and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in value)
    if not two or not value or not all(isinstance(name, str) for pair in value for name in pair):
        raise ValueError(
            f"expected pairs of layers such as [['layer0', 'layer1']], the student's first, found {schema.shown(value)}"
        )
    return tuple(tuple(pair) for pair in value)


def _names(value: Any) -> Any:
    if not isinstance(value, list | tuple) or not value or not all(isinstance(name, str) for name in value):
        raise ValueError(f"expected layers such as ['layer0', 'layer1'], found {schema.shown(value)}")
    return tuple(value)


class Features(Table):
    """The loss of hidden layers' maps against those of a teacher.

    teacher None is that of distil, or the stage before; pairs None are found by the layers' sizes, and maps None is
    'membrane' for the loss of that name, else 'rate': all three are filled in (`snnkd.recipe.features`). when
    'before': the first epochs, the fraction `until` of all, learn by this loss alone, the others without it.
    """

    loss: FeatureLoss = "mse"
    weight: Weight = 1.0
    pairs: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_pairs)] | None = None
    maps: MapKind | None = None
    teacher: str | None = None
    when: Literal["joint", "before"] = "joint"
    until: float = Field(default=0.3, gt=0, lt=1)


class Cross(Table):
    """Cross distillation: a second stream, of frames that give way to events (`training.crossing`).

    teacher: the stage whose frames they are, None that of distil, or the stage before. layers: hidden layers whose
    similarity in both streams counts, None the last one: both are filled in. switch, slope: where in the training, as
    fractions of it, distillation ends, and how smoothly.
    """

    teacher: str | None = None
    frames: Literal["still", "moved"] = "still"
    mix: Literal["sample", "step"] = "sample"
    power: float = Field(default=3.0, gt=0)
    label: Weight = 1.0
    switch: float = Field(default=0.5, ge=0, le=1)
    slope: float = Field(default=0.02, gt=0)
    similarity: Weight = 0.5
    layers: Annotated[tuple[str, ...], BeforeValidator(_names)] | None = None
    maps: Literal["spikes", "membrane"] = "membrane"
    steps: Literal["equal", "learned"] = "equal"


class Rate(Table):
    """weight x the sum over hidden layers of relu(rate - max_rate)^2, rates in spikes per neuron and step."""

    max_rate: float = Field(default=0.01, ge=0, le=1)
    weight: Weight = Field(description="the weight of the term in the loss")


class Prune(Table):
    """Magnitude pruning: of all weights together, the `share` that is smallest within their layers
    (`training.pruning.scores`) is 0 from the fraction `until` of the epochs on; before, the share rises from 0."""

    share: float = Field(gt=0, lt=1, description="the share of the weights that become 0")
    until: float = Field(default=0.6, gt=0, le=1)


def _per_channel(value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (value,) if number else tuple(value) if isinstance(value, list) else value


PerChannel = Annotated[tuple[float, ...], BeforeValidator(_per_channel), Field(min_length=1)]
Std = Annotated[tuple[Annotated[float, Field(gt=0)], ...], BeforeValidator(_per_channel), Field(min_length=1)]


class Normalize(Table):
    """(image - mean) / std, by channel or one number for all; images are in [0, 1]."""

    mean: PerChannel = Field(description="a number, or a list with one for each channel")
    std: Std = Field(description="a number above 0, or a list with one for each channel")


# What a stage that is not trained may have, by the field that says what it is.
FROZEN: dict[str, tuple[str, ...]] = {
    "net": ("net", "sha256"),
    "model": ("model", "weights", "reads", "by_step", "channels", "size", "normalize", "sha256", "weights_sha256"),
    "logits": ("logits", "sha256"),
}
# The fields that name files, and those that hold the digests of these.
FILES = {"net": "sha256", "start": "sha256", "logits": "sha256", "model": "sha256", "weights": "weights_sha256"}
_OF_FROZEN = {field for fields in FROZEN.values() for field in fields} - {"sha256"}
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Stage(Table):
    """One training of the chain: alone, or with `distil`, `features` or both by networks of earlier stages; or a frozen
    teacher, of which network is '' and epochs 0: with `net` an integer network from a file, with `model` anybody's
    model, with `logits` the answers of one.

    neuron 'relu' makes it an ANN, a teacher only; unless given, it is the recipe's neuron.kind. data: what an ANN
    learns from instead of the recipe's [data]. start: a .net file whose weights, thresholds and decays the training
    starts from. weights to normalize: of a `model` (docs/teachers.md). sha256: of the file in net, start, model or
    logits. What goes with what is checked in `snnkd.recipe.stages`.
    """

    network: str = Field(default="", min_length=1, description="a network's name or the path of your own .toml")
    net: str | None = Field(default=None, min_length=1)
    model: str | None = Field(default=None, min_length=1)
    weights: str | None = Field(default=None, min_length=1)
    reads: Literal["images", "events"] = "images"
    by_step: bool = False
    channels: Literal[1, 3] | None = None
    size: Size | None = None
    normalize: Normalize | None = None
    logits: str | None = Field(default=None, min_length=1)
    epochs: int = Field(default=0, ge=1, description="the number of epochs")
    neuron: Literal["cuba", "sigma-delta", "relu"] = "cuba"
    data: Frames | None = None
    start: str | None = Field(default=None, min_length=1)
    sha256: Sha256 | None = None
    weights_sha256: Sha256 | None = None
    batch: int = Field(default=128, ge=1)
    optimizer: Optimizer = Optimizer()
    label: Label = Label()
    distil: Distil | None = None
    features: Features | None = None
    cross: Cross | None = None
    rate: Rate | None = None
    prune: Prune | None = None

    @property
    def frozen(self) -> str | None:
        """The field that says what this stage is, where nothing of it is trained: 'net', 'model' or 'logits'."""
        return next((field for field in FROZEN if getattr(self, field) is not None), None)

    @property
    def title(self) -> str:
        """What tables call its network: its name, or that of its file."""
        return Path(getattr(self, self.frozen)).name if self.frozen else self.network

    @property
    def files(self) -> list[Path]:
        """The files that it names and that are read, never written."""
        named = {field: getattr(self, field) for field in FILES}
        model = ModelName.parse(named.pop("model") or "")
        return [*([Path(model.where)] if model and model.is_file else []), *(Path(f) for f in named.values() if f)]

    @property
    def learns_scale(self) -> bool:
        """Tells whether a loss with a weight trains the logit scale."""
        return self.label.learns_scale or (self.distil is not None and self.distil.learns_scale)

    @property
    def epochs_of_features(self) -> int:
        """Counts the epochs, from the first, that learn by `features` alone."""
        if self.features is None or self.features.teacher is None or self.features.when == "joint":
            return 0
        return min(self.epochs - 1, max(1, round(self.features.until * self.epochs)))

    @property
    def teachers(self) -> list[str]:
        """Lists the stages that teach this one in a resolved recipe, each once."""
        tables = (self.distil, self.features, self.cross)
        named = [table.teacher for table in tables if table is not None and table.teacher]
        return list(dict.fromkeys(named))

    @model_serializer(mode="wrap")
    def _what_applies(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Of a frozen stage nothing that only a training has, and the other way round."""
        table = dump(self)
        if self.frozen:
            return {key: table[key] for key in FROZEN[self.frozen] if key in table}
        for name in ("features", "data", "cross"):  # stages without are, in digests too, what they were before
            if getattr(self, name) is None:
                table.pop(name, None)
        return {key: value for key, value in table.items() if key not in _OF_FROZEN or key == "net"}


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
        own = (name for name, stage in self.chain.items() if stage.network and stage.data is None)
        first = self.architecture(next(own))
        encoder = self.encoder()
        if isinstance(encoder, EventEncoding):
            known = SETS.get(self.data.set)
            return encoder.shape, len(known.classes) if known else first.outputs
        return DATA_SETS.get(self.data.set, (first.input, first.outputs))

    def read_by(self, name: str) -> tuple[tuple[int, int, int], int]:
        """Returns shape and classes, as `images` has them, of what the network of the stage `name` reads."""
        frames = self.chain[name].data
        if frames is None:
            return self.images
        own = self.architecture(name)
        return DATA_SETS.get(frames.set, (own.input, self.images[1]))

    def encoder(self, stage: str | None = None) -> Encoder:
        """Returns the encoder of training, evaluation, simulation and hand-off of a stage, the student unless given,
        seeded by the recipe: sigma-delta neurons are told a still image once, in one step of direct encoding.

        Raises RecipeError that names the field of an encoding of recordings that makes no sense.
        """
        if self.encoding.kind == "events":
            table, known = self.encoding.model_dump(exclude={"kind"}), SETS.get(self.data.set)
            sensor = self.encoding.sensor or (known.sensor if known else None)
            if sensor is None:
                raise RecipeError(f"encoding.sensor: missing; it is [rows, columns] of the sensor of '{self.data.set}'")
            return EventEncoding(**{**table, "sensor": sensor})
        once = self.chain[stage or self.student].neuron == "sigma-delta" and self.encoding.kind == "direct"
        steps = 1 if once else self.encoding.steps
        return encoders.Encoding(self.encoding.kind, steps, self.encoding.bits, self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data that `parse` takes back, in a fixed order (the stages' order counts)."""
        return self.model_dump(mode="json", exclude_none=True)

    def to_json(self) -> str:
        """Returns the resolved recipe on one line, for digests."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    def to_toml(self) -> str:
        """Writes the resolved recipe as a file that `load` reads back to an equal one."""
        return tomli_w.dumps(self.to_dict())
