"""Network descriptions: what models/networks/*.toml say, checked against what NetX and Lava can load.

A description names layers and sizes only. Neurons, quantization and time steps belong to
the recipe; a flatten between a convolution and a dense layer is implied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from snnkd.base import files, schema
from snnkd.base.errors import RecipeError, SnnkdError, closest
from snnkd.base.schema import Place, Problem, Table
from snnkd.ir.arithmetic import DELAY_MAX
from snnkd.ir.network import conv_size
from snnkd.recipe.outside import belongs_to

Shape = tuple[int, ...]

_STRIDED = "use a conv layer with stride 2 instead"
_NO_CONV_DELAYS = "Lava ignores the delays of a convolution; leave it out, or delay the dense layer behind it"
_NEURON = "every layer has CUBA-LIF or sigma-delta neurons, as [neuron] of the recipe says; leave it out"

# Why Lava 0.10.0 / lava-dl 0.6.0 cannot deploy a layer of this kind, and what to write instead.
UNDEPLOYABLE = {
    "pool": f"NetX fails to load it; {_STRIDED}",
    "unpool": "NetX fails to load it; use a conv layer with stride 1 and a dense readout instead",
    "convt": "NetX fails to load transposed convolutions; use conv and dense layers instead",
    "average": "NetX fails to load it; use a dense layer with one neuron per class, read out by its spike count",
    "concat": "NetX fails to load it; use one chain of layers with more channels instead",
    "add": "NetX has no skip connections; use one chain of layers instead",
    "kwta": "NetX fails to load it; use a dense layer instead",
    "recurrent": "NetX loads recurrent synapses with wrong sizes and delays; use a dense layer and more time steps",
    "affine": "it has no spiking neurons, and only sigma-delta networks load it; use a dense layer instead",
    "batchnorm": "batch_norm = true in [neuron] of the recipe folds one into weights and biases; leave it out",
    "dropout": "a deployed network drops nothing and Lava has no such layer; leave it out",
    "alif": f"NetX fails to load adaptive neurons; {_NEURON}",
    "adrf": f"NetX fails to load adaptive resonate-and-fire neurons; {_NEURON}",
    "rf": f"resonate-and-fire neurons have no exact integer form here; {_NEURON}",
    "sigmadelta": "kind = 'sigma-delta' in [neuron] of the recipe makes all layers such; leave it out",
    "cuba": _NEURON,
    "flatten": "it is implied between a conv and a dense layer; leave it out",
    "input": "the input is not a layer here; give its shape as input = [C, H, W]",
    "linear": "it is called 'dense' here",
    "conv2d": "it is called 'conv' here",
}
_ALIASES = {
    "pool": ("maxpool", "avgpool", "averagepool", "sumpool", "globalavgpool", "adaptiveavgpool"),
    "unpool": ("upsample",),
    "convt": ("convtranspose", "transposedconv", "deconv"),
    "concat": ("concatenate",),
    "add": ("residual", "skip", "shortcut"),
    "recurrent": ("denserec", "convrec", "rec", "rnn", "lstm", "gru", "kwtarec"),
    "batchnorm": ("norm", "bn", "layernorm", "weightnorm"),
    "alif": ("adaptive", "adlif"),
    "adrf": ("adrfiz",),
    "rf": ("rfiz",),
    "sigmadelta": ("sdnn", "sd", "sigma", "delta", "sdrelu"),
    "cuba": ("lif", "if", "neuron", "relu"),
    "linear": ("fc", "fullyconnected"),
    "conv2d": ("convolution", "conv1d", "conv3d"),
}
_REFUSED = {alias: kind for kind, aliases in _ALIASES.items() for alias in aliases} | {k: k for k in UNDEPLOYABLE}


def _integer(value: Any, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def _pair(low: int) -> Callable[[Any], tuple[int, int]]:
    def parse(value: Any) -> tuple[int, int]:
        pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
        if len(pair) != 2 or not all(_integer(size, low) for size in pair):
            raise ValueError(f"expected an integer of at least {low} or a pair [h, w], found {schema.shown(value)}")
        return pair

    return parse


def _shape(value: Any) -> tuple[int, int, int]:
    if not isinstance(value, list | tuple) or len(value) != 3 or not all(_integer(size, 1) for size in value):
        raise ValueError(f"expected [C, H, W], three integers of at least 1, found {schema.shown(value)}")
    return (value[0], value[1], value[2])


Size = Annotated[tuple[int, int], BeforeValidator(_pair(1))]
Padding = Annotated[tuple[int, int], BeforeValidator(_pair(0))]


class Conv(Table):
    """A convolution over (C, H, W) with its neurons; pairs are (h, w)."""

    kind: Literal["conv"] = "conv"
    channels: int = Field(ge=1, description="the number of output channels")
    kernel: Size = Field(description="the kernel's size, an integer or a pair [h, w]")
    stride: Size = (1, 1)
    padding: Padding = (0, 0)
    dilation: Size = (1, 1)
    groups: int = Field(default=1, ge=1)

    def output(self, shape: Shape) -> Shape:
        """Returns the output's shape (O, H, W) for an input (C, H, W)."""
        return (self.channels, *conv_size(shape[1:], self.kernel, self.stride, self.padding, self.dilation))

    def fan_in(self, shape: Shape) -> int:
        """Counts the connections into one neuron, on an input of shape (C, H, W)."""
        return prod(self.kernel) * (shape[0] // self.groups)

    def weights(self, shape: Shape) -> int:
        """Counts the synaptic weights, shared ones once."""
        return self.fan_in(shape) * self.channels


class Dense(Table):
    """Neurons connected to everything in the layer before; a (C, H, W) input is flattened in that order.

    delays: whether a delay of each input or of each neuron ('output') is trained, of at most `max_delay` steps.
    """

    kind: Literal["dense"] = "dense"
    neurons: int = Field(ge=1, description="the number of neurons")
    delays: Literal["input", "output"] | None = None
    max_delay: int | None = Field(default=None, ge=1, le=DELAY_MAX)

    @model_validator(mode="after")
    def _both_or_none(self) -> Dense:
        if (self.delays is None) != (self.max_delay is None):
            raise ValueError("delays and max_delay go together: give both, or leave both out")
        return self

    @model_serializer(mode="wrap")
    def _what_is_said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Nothing of delays where there are none, so that what was trained before the fields existed is still known."""
        return {key: value for key, value in dump(self).items() if value is not None}

    def output(self, shape: Shape) -> Shape:
        """Returns the output's shape (neurons,)."""
        return (self.neurons,)

    def fan_in(self, shape: Shape) -> int:
        """Counts the connections into one neuron."""
        return prod(shape)

    def weights(self, shape: Shape) -> int:
        """Counts the synaptic weights."""
        return self.fan_in(shape) * self.neurons


Layer = Conv | Dense
_LAYERS: dict[str, type[Conv] | type[Dense]] = {"conv": Conv, "dense": Dense}


class Architecture(Table):
    """A feed-forward network. input: (C, H, W). role: what it is meant for in a chain, for tables only."""

    name: str
    role: Literal["teacher", "ta", "student", "any"] = "any"
    description: str = ""
    input: Annotated[tuple[int, int, int], BeforeValidator(_shape)] = Field(
        description="the input's shape [C, H, W]; [features, 1, 1] for plain vectors"
    )
    layers: tuple[Layer, ...] = Field(min_length=1, description="the list of layers, each one a [[layers]] table")

    @model_validator(mode="after")
    def _fits(self) -> Architecture:
        problems = _misfits(self.input, self.layers)
        if problems:
            raise ValueError("; ".join(problem.text for problem in problems))
        return self

    def inputs(self) -> Iterator[tuple[Layer, Shape]]:
        """Yields (layer, shape that it reads) for each layer in order."""
        shape: Shape = self.input
        for layer in self.layers:
            yield layer, shape
            shape = layer.output(shape)

    def shapes(self) -> list[Shape]:
        """Returns the output shape of each layer: (O, H, W) or (neurons,)."""
        return [layer.output(shape) for layer, shape in self.inputs()]

    @property
    def outputs(self) -> int:
        """Counts the neurons of the last layer, one for each class."""
        return prod(self.shapes()[-1])

    @property
    def max_delay(self) -> int:
        """Returns the longest delay that a layer may have, 0 without delays."""
        return max((layer.max_delay or 0 for layer in self.layers if isinstance(layer, Dense)), default=0)

    @property
    def parameters(self) -> int:
        """Counts the synaptic weights of all layers (there are no biases)."""
        return sum(layer.weights(shape) for layer, shape in self.inputs())

    @property
    def neurons(self) -> int:
        """Counts the neurons of all layers."""
        return sum(map(prod, self.shapes()))

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data that `parse` takes back."""
        return self.model_dump(mode="json")


def names() -> dict[str, Path]:
    """Returns the paths of the shipped network descriptions by name."""
    return files.names("models", "networks/*.toml")


def load(name_or_path: str | Path) -> Architecture:
    """Reads the shipped network of that name, or the one in the user's own .toml.

    Raises RecipeError with everything that is wrong with it, each with layer index and field.
    """
    try:
        path = files.find(name_or_path, names(), "network")
        data = files.read_toml(path)
    except RecipeError:
        raise
    except SnnkdError as error:
        raise RecipeError(str(error)) from error
    architecture, problems = parse({"name": path.stem, **data})
    if architecture is None:
        raise RecipeError(schema.report(path, problems))
    return architecture


def parse(data: Any, place: Place = ()) -> tuple[Architecture | None, list[Problem]]:
    """Reads an architecture from the table `data`, at `place` in its file; else returns None and all problems."""
    if not isinstance(data, dict):
        return None, [schema.unexpected(place, "a table with input and layers", data)]
    layers, problems = _parse_layers(data.get("layers"), (*place, "layers"))
    # With a stand-in for layers that are reported already, the other keys are checked all the same.
    stand_in = {} if "layers" not in data else {"layers": tuple(layers) if not problems else (Dense(neurons=1),)}
    shape, kept = data.get("input"), {key: value for key, value in data.items() if key != "layers"}
    if not problems and isinstance(shape, list) and len(shape) == 3 and all(_integer(size, 1) for size in shape):
        problems = _misfits(tuple(shape), tuple(layers), place)
        stand_in = {"layers": (Dense(neurons=1),)} if problems else stand_in
    architecture, wrong = schema.validate(Architecture, kept | stand_in, place)
    return (None if problems else architecture), wrong + problems


def of_chain(stages: Mapping[str, Any], own: Any, folder: Path) -> tuple[dict[str, Architecture], list[Problem]]:
    """Finds the networks that the stages of a recipe name: in the recipe's own tables [networks], in files in `folder`
    or elsewhere, and among the shipped ones. Returns them by that name, and all problems of those that are unusable.

    stages, own: the tables as their author wrote them, not checked yet.
    """
    if not isinstance(own, dict):
        return {}, [schema.unexpected(("networks",), "tables [networks.<name>]", own)]
    named: dict[str, str] = {}  # the first stage that names a network is where its problems are shown
    for stage, table in stages.items():
        name = table.get("network") if isinstance(table, dict) else None
        if isinstance(name, str) and name:
            named.setdefault(name, stage)
    networks: dict[str, Architecture] = {}
    problems: list[Problem] = []
    for name, stage in named.items():
        if name in own:
            table = {"name": name, **own[name]} if isinstance(own[name], dict) else own[name]
            network, wrong = parse(table, ("networks", name))
        else:
            network, wrong = _of_file(name, folder, ("chain", stage, "network"), own)
        problems += wrong
        if network is not None:
            networks[name] = network
    return networks, problems


def _of_file(name: str, folder: Path, place: Place, own: dict[str, Any]) -> tuple[Architecture | None, list[Problem]]:
    beside = folder / name
    try:
        return load(beside if name.endswith(".toml") and beside.is_file() else name), []
    except RecipeError as error:
        if misplaced := belongs_to(name, "network"):
            return None, [Problem(place, f"{schema.dotted(place)}: expected the name of a network{misplaced}")]
        also = f"; in [networks] here: {', '.join(own)}" if own else ""
        return None, [Problem(place, f"{schema.dotted(place)}: {error}{also}")]


def _parse_layers(tables: Any, place: Place) -> tuple[list[Layer], list[Problem]]:
    if tables is None:
        return [], []
    if not isinstance(tables, list | tuple) or not tables:
        return [], [schema.unexpected(place, "at least one [[layers]] table", tables)]
    layers, problems = [], []
    for index, table in enumerate(tables):
        layer, wrong = _parse_layer(table, (*place, index))
        layers.append(layer)
        problems += wrong
    return layers, problems


def _parse_layer(table: Any, place: Place) -> tuple[Layer | None, list[Problem]]:
    if not isinstance(table, dict):
        return None, [schema.unexpected(place, "a table", table)]
    kind = table.get("kind")
    if kind == "conv" and (given := next((key for key in ("delays", "max_delay") if key in table), None)):
        place = (*place, given)
        return None, [Problem(place, f"{schema.dotted(place)}: {_NO_CONV_DELAYS}")]
    if isinstance(kind, str) and kind in _LAYERS:
        return schema.validate(_LAYERS[kind], table, place)
    place = (*place, "kind")
    if kind is None:
        return None, [Problem(place, f"{schema.dotted(place)}: missing; it is 'conv' or 'dense'")]
    if not isinstance(kind, str):
        return None, [schema.unexpected(place, "'conv' or 'dense'", kind)]
    plain = re.sub(r"[^a-z0-9]", "", kind.lower())
    refused = _REFUSED.get(plain) or _REFUSED.get(re.sub(r"[123]d$", "", plain))
    if refused:
        return None, [Problem(place, f"{schema.dotted(place)}: '{kind}' cannot be deployed: {UNDEPLOYABLE[refused]}")]
    text = f"{schema.dotted(place)}: unknown layer kind {schema.shown(kind)}{closest(kind, _LAYERS)}"
    return None, [Problem(place, text)]


def _misfits(shape: Shape, layers: tuple[Layer, ...], place: Place = ()) -> list[Problem]:
    """The first layer that does not fit what it reads; behind it no shape is known."""
    for index, layer in enumerate(layers):
        if isinstance(layer, Conv):
            problems = _conv_misfits(shape, layer, (*place, "layers", index))
            if problems:
                return problems
        shape = layer.output(shape)
    return []


def _conv_misfits(shape: Shape, layer: Conv, place: Place) -> list[Problem]:
    if len(shape) != 3:
        text = f"{schema.dotted(place)}: a conv layer cannot follow a dense one, which has no (C, H, W) shape"
        return [Problem(place, f"{text}; put conv layers first")]
    problems = []
    padded = [n + 2 * p for n, p in zip(shape[1:], layer.padding, strict=True)]
    reach = [d * (k - 1) + 1 for k, d in zip(layer.kernel, layer.dilation, strict=True)]
    if reach[0] > padded[0] or reach[1] > padded[1]:
        expected = f"at most the padded input {padded} of this layer (dilation included, the kernel spans {reach})"
        problems.append(schema.unexpected((*place, "kernel"), expected, layer.kernel))
    if shape[0] % layer.groups or layer.channels % layer.groups:
        expected = f"a divisor of both its {shape[0]} input and {layer.channels} output channels"
        problems.append(schema.unexpected((*place, "groups"), expected, layer.groups))
    return problems
