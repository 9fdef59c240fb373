"""Networks and inputs that reach every corner of the number formats, for whoever writes an engine.

`networks()` are named cases, each with the input on which it shows what it is made for; `random_net` and
`random_events` make as many more as wanted. All are seeded and small, and a `.net` file can hold them. An engine
conforms where `verification.compare` of its traces with `definition.simulate` finds no difference, states included.

`random` is a numpy Generator everywhere; shapes are (C, H, W) or (features,).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from snnkd.ir.network import Conv, Cuba, Delta, Dense, Input, IntNet, Layer, Shape, Sigma, SigmaDelta, conv_shape
from snnkd.ir.readout import Readout

Range = tuple[int, int]  # both included
Case = tuple[IntNet, np.ndarray]  # a network and its input (N, T, *input_shape)

_MEMBRANE = Readout("membrane")  # of Sigma outputs, whose value is what they hold

# Dense weights as the synapses of each sign mode hold them: what there may be, the first two of them always.
SIGNS = {
    "mixed": (-77, 90, *range(-76, 90)),
    "excitatory": (101, 0, *range(1, 101)),
    "inhibitory": (-3, -2, 0),  # with weight_exp -1: Lava makes them of 0 to -2
}


def random_neuron(
    random: np.random.Generator,
    shape: Shape = (),
    *,
    vary: bool = False,
    bias: bool = False,
    decays: Range = (0, 4096),
    thresholds: Range = (0, 400),
) -> Cuba:
    """Draws parameters: a value for all neurons, or with `vary` also for each neuron or channel of `shape`."""

    def draw(low: int, high: int) -> np.ndarray:
        size = [(), shape[:1], shape][random.integers(0, 3)] if vary else ()
        return np.asarray(random.integers(low, high + 1, size)).astype(np.int32)

    return Cuba(draw(*decays), draw(*decays), draw(*thresholds), draw(-200, 300) if bias else None)


def random_sigma_delta(
    random: np.random.Generator,
    shape: Shape = (),
    *,
    vary: bool = False,
    bias: bool = True,
    thresholds: Range = (0, 12),
    own: bool = False,
) -> SigmaDelta:
    """Draws sigma-delta neurons: a bias for all neurons, or with `vary` also for each neuron or channel of `shape`.

    own: whether exponents, activation and cumulative error are drawn too, for which NetX alone has fixed values.
    """
    size = [(), shape[:1], shape][random.integers(0, 3)] if vary else ()
    values = np.asarray(random.integers(-30, 40, size)).astype(np.int32) if bias else None
    neuron = SigmaDelta(int(random.integers(thresholds[0], thresholds[1] + 1)), values)
    if not own:
        return neuron
    exponents = {name: int(random.integers(0, 8)) for name in ("spike_exp", "state_exp")}
    activation = "unit" if random.random() < 0.5 else "relu"
    return replace(neuron, **exponents, activation=activation, cumulative=bool(random.random() < 0.5))


def random_weight(random: np.random.Generator, *shape: int, largest: int = 60) -> np.ndarray:
    """Draws even integers up to `largest`, mixed in sign as trained ones are."""
    weight = random.integers(-largest // 2, largest // 2 + 1, shape).astype(np.int32) * 2
    weight.flat[:2] = (-2, 2)
    return weight


def random_dense(
    random: np.random.Generator,
    shape: Shape,
    outputs: int,
    *,
    signs: str = "trained",
    delays: int = 0,
    delays_of: str = "synapse",
    largest: int = 60,
    **neuron: Any,
) -> Dense:
    """Draws a dense layer that reads `shape`.

    signs: a key of `SIGNS`, or 'trained' for even weights up to `largest`. delays: the longest one, 0 for none at
    all; they are the same for all of an 'output', an 'input', or each 'synapse' has its own. neuron: options of
    `random_neuron`.
    """
    size = (outputs, prod(shape))
    if signs == "trained":
        weight = random_weight(random, *size, largest=largest)
    else:
        weight = random.choice(SIGNS[signs], size).astype(np.int32)
        weight.flat[:2] = SIGNS[signs][:2]
    delay = None
    if delays:
        drawn = {"synapse": size, "output": (outputs, 1), "input": (1, prod(shape))}[delays_of]
        delay = np.broadcast_to(random.integers(0, delays + 1, drawn), size).astype(np.int32)
    exponent = -1 if signs == "inhibitory" else 0
    return Dense(weight, random_neuron(random, (outputs,), **neuron), exponent, delay)


def random_conv(
    random: np.random.Generator,
    shape: Shape,
    out: int,
    kernel: tuple[int, int] = (3, 3),
    *,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
    largest: int = 60,
    **neuron: Any,
) -> Conv:
    """Draws a convolution of an input (C, H, W) with `out` channels; neuron: options of `random_neuron`."""
    weight = random_weight(random, out, shape[0] // groups, *kernel, largest=largest)
    layer = Conv(weight, random_neuron(random), (), stride, padding, dilation, groups)
    layer = replace(layer, shape=conv_shape(shape, layer))
    return replace(layer, neuron=random_neuron(random, layer.shape, **neuron))


# Random networks


def small_net(seed: int) -> IntNet:
    """Draws an ordinary network of one to four tiny layers, of any kind that the definition covers."""
    random = np.random.default_rng(seed)
    shape = (2, 4, 5) if random.random() < 0.6 else (4,)
    input_shape, layers = shape, list[Layer]()
    options: dict[str, Any] = {"vary": bool(random.random() < 0.5), "bias": bool(random.random() < 0.4)}
    if random.random() < 0.2:
        layers.append(Input(shape, random_neuron(random, shape, vary=options["vary"])))
    if len(shape) == 3:
        stride, padding = random.integers(1, 3, 2), random.integers(0, 2, 2)
        steps: dict[str, Any] = {"stride": tuple(map(int, stride)), "padding": tuple(map(int, padding))}
        groups = int(random.integers(1, 3))
        layers.append(random_conv(random, shape, 2 * groups, (2, 3), groups=groups, **steps, **options))
        shape = layers[-1].shape
    for outputs in random.integers(2, 5, 2):
        delays = int(random.integers(1, 9)) if random.random() < 0.3 else 0
        layers.append(random_dense(random, shape, int(outputs), delays=delays, **options))
        shape = layers[-1].shape
    bits = int(random.choice([0, 0, 4, 14])) if layers[0].kind != "input" else 0
    return IntNet(input_shape, tuple(layers), message_bits=bits)


def random_net(seed: int) -> IntNet:
    """Draws a network of up to five layers with everything that a layer can have, at extreme ranges too."""
    random = np.random.default_rng((seed, 1))
    shape = tuple(map(int, random.integers((1, 5, 5), (4, 10, 10)))) if random.random() < 0.6 else (30,)
    bits = int(random.choice([0, 0, 0, 4, 8, 14, 20]))
    options = {
        "vary": bool(random.random() < 0.6),
        "bias": bool(random.random() < 0.3),
        "decays": ((0, 4096), (0, 4096), (0, 60), (4000, 4096))[random.integers(4)],
        "thresholds": (0, int(random.choice([30, 400, 1 << 17] if bits > 8 else [30, 400]))),
    }
    input_shape, layers = shape, list[Layer]()
    if random.random() < 0.2:
        layers.append(Input(shape, random_neuron(random, shape, vary=options["vary"])))
    for _ in range(random.integers(0, 3) if len(shape) == 3 else 0):
        layers.append(_any_conv(random, shape, options))
        shape = layers[-1].shape
    for _ in range(random.integers(1, 3)):
        layers.append(_any_dense(random, shape, options))
        shape = layers[-1].shape
    return IntNet(input_shape, tuple(layers), message_bits=0 if layers[0].kind == "input" else bits)


def random_sigma_delta_net(seed: int) -> IntNet:
    """Draws a network of sigma-delta layers, of which one may be of CUBA neurons, with or without Delta encoders."""
    random = np.random.default_rng((seed, 2))
    shape = tuple(map(int, random.integers((1, 5, 5), (4, 9, 9)))) if random.random() < 0.6 else (20,)
    own, encoded = bool(random.random() < 0.4), bool(random.random() < 0.7)
    options: dict[str, Any] = {"vary": bool(random.random() < 0.5), "bias": bool(random.random() < 0.7)}
    exponents = {"spike_exp": int(random.integers(0, 7)), "state_exp": int(random.integers(0, 7))} if own else {}
    delta = Delta(int(random.choice([0, 0, 3, 20])), **exponents, cumulative=own and bool(random.random() < 0.5))
    input_shape, layers = shape, list[Layer]([Input(shape, delta)] if encoded else [])
    drawn = [_any_conv for _ in range(random.integers(0, 3) if len(shape) == 3 else 0)]
    drawn += [_any_dense for _ in range(random.integers(1, 4))]
    mixed = int(random.integers(0, len(drawn))) if random.random() < 0.3 else None
    for number, draw in enumerate(drawn):
        layer = draw(random, shape, options | {"largest": 40})
        if number != mixed:
            layer = replace(layer, neuron=random_sigma_delta(random, layer.shape, **options, own=own))
        layers.append(layer)
        shape = layer.shape
    if number != mixed and random.random() < 0.5:
        layers[-1] = replace(layers[-1], neuron=Sigma())
    bits = 0 if encoded else int(random.choice([0, 4, 8]))
    read = _MEMBRANE if layers[-1].neuron.kind == "sigma" else Readout()
    return IntNet(input_shape, tuple(layers), message_bits=bits, readout=read)


def _any_conv(random: np.random.Generator, shape: Shape, options: dict[str, Any]) -> Conv:
    def pair(low: int, high: int) -> tuple[int, int]:
        height, width = random.integers(low, high + 1, 2)
        return int(height), int(width)

    groups = shape[0] if random.random() < 0.4 else 1
    kernel, dilation = pair(1, 3), pair(1, 2)
    fits = all(d * (k - 1) < extent for d, k, extent in zip(dilation, kernel, shape[1:], strict=True))
    return random_conv(
        random,
        shape,
        groups * int(random.integers(1, 4)),
        kernel if fits else (1, 1),
        stride=pair(1, 3),
        padding=pair(0, 2),
        dilation=dilation,
        groups=groups,
        **({"largest": int(random.choice([60, 254]))} | options),
    )


def _any_dense(random: np.random.Generator, shape: Shape, options: dict[str, Any]) -> Dense:
    """Inhibitory only where there is a bias: without one, it would never spike."""
    return random_dense(
        random,
        shape,
        int(random.integers(3, 20)),
        signs=str(random.choice(["trained", *(SIGNS if options["bias"] else ("mixed", "excitatory"))])),
        delays=int(random.choice([0, 0, 0, 3, 62])),
        delays_of=str(random.choice(["synapse", "output", "input"])),
        **({"largest": int(random.choice([60, 254]))} | options),
    )


def random_events(
    random: np.random.Generator, net: IntNet, samples: int, steps: int, activity: float = 0.3
) -> np.ndarray:
    """Draws input for `net`: (N, T, *input_shape), images constant over T where it reads images, videos of both signs
    where its first neurons are Delta encoders.

    activity: the share of elements that are events, or of a video those that are new.
    """
    if net.layers[0].neuron.kind == "delta":
        return _video(random, (samples, steps, *net.input_shape), activity)
    if net.reads_image:
        image = random.integers(-300, 600, (samples, 1, *net.input_shape)).astype(np.int32)
        return np.broadcast_to(image, (samples, steps, *net.input_shape))
    shape = (samples, steps, *net.input_shape)
    events = random.random(shape) < activity
    if not net.message_bits:
        return events.astype(np.uint8)
    return (events * random.integers(0, 1 << net.message_bits, shape)).astype(np.int32)


def _video(random: np.random.Generator, shape: Shape, activity: float) -> np.ndarray:
    frames = random.integers(-60, 61, shape).astype(np.int32)
    stays = random.random(shape) >= activity
    for t in range(1, shape[1]):
        frames[:, t] = np.where(stays[:, t], frames[:, t - 1], frames[:, t])
    return frames


# Named cases


def networks() -> dict[str, Case]:
    """Makes the named cases, the same ones at every call."""
    return {_name(make): make(np.random.default_rng(7)) for make in _CASES}


def shown() -> dict[str, str]:
    """Says in words what each of the named cases shows."""
    return {_name(make): " ".join((make.__doc__ or "").split()) for make in _CASES}


def _name(make: Callable[[np.random.Generator], Case]) -> str:
    return make.__name__[1:].replace("_", " ")


def _active(random: np.random.Generator, net: IntNet, samples: int, steps: int) -> Case:
    return net, random_events(random, net, samples, steps, activity=0.4)


def _dense(random: np.random.Generator) -> Case:
    """All sign modes and precisions, decays and thresholds of each neuron, bias; many samples in one run."""
    options: dict[str, Any] = {"vary": True, "thresholds": (0, 200)}
    layers = (
        random_dense(random, (3, 4, 5), 30, bias=True, **options),
        random_dense(random, (30,), 20, signs="inhibitory", bias=True, **options),
        random_dense(random, (20,), 20, signs="excitatory", **options),
        random_dense(random, (20,), 10, signs="mixed", bias=True, **options),
    )
    return _active(random, IntNet((3, 4, 5), layers), 6, 13)


def _graded_dense(random: np.random.Generator) -> Case:
    """8 bit events on large weights of one sign: u wraps, v saturates on both sides."""
    signs = random.choice([-1, 1], (30, 1))
    weight = (random.integers(90, 127, (30, 200)) * 2 * signs).astype(np.int32)
    first = Dense(weight, random_neuron(random, decays=(0, 60), thresholds=(131000, 131072)))
    return _active(random, IntNet((200,), (first, random_dense(random, (30,), 10)), message_bits=8), 4, 30)


def _wide_graded_dense(random: np.random.Generator) -> Case:
    """20 bit events: a << 6 wraps in 32 bits."""
    first = random_dense(random, (30,), 20, largest=250, decays=(0, 4), thresholds=(100000, 131072))
    return _active(random, IntNet((30,), (first, random_dense(random, (20,), 10)), message_bits=20), 3, 30)


def _conv(random: np.random.Generator) -> Case:
    """Non-square inputs, kernels, strides, paddings, dilations and groups; parameters by layer, channel and neuron."""
    first = random_conv(random, (2, 9, 7), 4, (3, 2), stride=(2, 1), padding=(1, 0), bias=True, thresholds=(0, 60))
    by_channel = random_conv(random, first.shape, 6, (2, 3), dilation=(1, 2), groups=2)
    by_neuron = random_conv(random, by_channel.shape, 3, (2, 1), stride=(1, 2), padding=(0, 1))

    def each(layer: Conv, shape: Shape) -> Conv:
        current, voltage, threshold = (random.integers(0, top, shape).astype(np.int32) for top in (4096, 4096, 60))
        bias = random.integers(-40, 60, shape).astype(np.int32)
        return replace(layer, neuron=Cuba(current, voltage, threshold, bias))

    layers = (first, each(by_channel, (6,)), each(by_neuron, by_neuron.shape), random_dense(random, by_neuron.shape, 5))
    return _active(random, IntNet((2, 9, 7), layers), 4, 9)


def _graded_conv(random: np.random.Generator) -> Case:
    """14 bit events: sums wrap in 24 bits."""
    first = random_conv(random, (3, 8, 6), 4, padding=(1, 1), largest=250, decays=(0, 9), thresholds=(0, 131072))
    layers = (first, random_conv(random, first.shape, 2, stride=(3, 2)))
    return _active(random, IntNet((3, 8, 6), layers, message_bits=14), 3, 20)


def _delays(random: np.random.Generator) -> Case:
    """Delays of each synapse, of outputs and of inputs, up to the longest; one layer has a weight exponent too."""
    options: dict[str, Any] = {"decays": (100, 1000), "thresholds": (10, 60)}
    layers = (
        random_dense(random, (20,), 30, delays=62, **options),
        random_dense(random, (30,), 10, delays=5, delays_of="output", **options),
        random_dense(random, (10,), 9, delays=5, delays_of="input", signs="inhibitory", **options),
    )
    return _active(random, IntNet((20,), layers), 2, 70)


def _negative_events(random: np.random.Generator) -> Case:
    """Graded events of both signs, through delays and a negative exponent, which rounds each delay's sum down."""
    layer = random_dense(random, (12,), 9, signs="inhibitory", delays=4, thresholds=(0, 90))
    net = IntNet((12,), (layer, random_dense(random, (9,), 4)), message_bits=6)
    events = random_events(random, net, 2, 20, activity=0.4)
    return net, events * random.choice([-1, 1], events.shape).astype(np.int32)


def _single(random: np.random.Generator) -> Case:
    """One sample without bias: nothing is ever reset."""
    layers = (random_dense(random, (12,), 8), random_dense(random, (8,), 4, thresholds=(0, 9)))
    return _active(random, IntNet((12,), layers), 1, 20)


def _input(random: np.random.Generator) -> Case:
    """Neurons that take the image as their bias; that of the second sample does not fit 16 bits."""
    first = Input((2, 6, 5), random_neuron(random, thresholds=(300, 900)))
    conv = random_conv(random, (2, 6, 5), 3)
    net = IntNet((2, 6, 5), (first, conv, random_dense(random, conv.shape, 4, bias=True)))
    images = random_events(random, net, 2, 1) + np.array([0, 40000], np.int32).reshape(2, 1, 1, 1, 1)
    return net, np.broadcast_to(images, (2, 16, 2, 6, 5))


def _sigma_delta(random: np.random.Generator) -> Case:
    """Delta encoders with a threshold, dense layers with thresholds of 0 and above and biases, a Sigma output; 32 steps
    of both signs."""
    shapes = ((30, 24, 0), (24, 20, 9), (20, 12, 2))
    layers: list[Layer] = [Input((30,), Delta(5))]
    for inputs, outputs, threshold in shapes:
        neuron = random_sigma_delta(random, (outputs,), vary=True, thresholds=(threshold, threshold))
        layers.append(replace(random_dense(random, (inputs,), outputs, signs="mixed"), neuron=neuron))
    layers.append(replace(random_dense(random, (12,), 5), neuron=Sigma()))
    return _active(random, IntNet((30,), tuple(layers), readout=_MEMBRANE), 3, 32)


def _sigma_delta_conv(random: np.random.Generator) -> Case:
    """Strides, paddings, dilations and groups; biases by layer, channel and neuron; the outputs are sigma-delta too."""
    first = random_conv(random, (2, 9, 7), 4, (3, 2), stride=(2, 1), padding=(1, 0))
    second = random_conv(random, first.shape, 6, (2, 3), dilation=(1, 2), groups=2)
    third = random_conv(random, second.shape, 3, (2, 1), stride=(1, 2), padding=(0, 1))
    layers: list[Layer] = [Input((2, 9, 7), Delta(0))]
    for layer, size in ((first, ()), (second, (6,)), (third, third.shape)):
        bias = random.integers(-40, 60, size).astype(np.int32)
        layers.append(replace(layer, neuron=SigmaDelta(int(random.integers(0, 5)), np.asarray(bias))))
    layers.append(replace(random_dense(random, third.shape, 5), neuron=random_sigma_delta(random)))
    return _active(random, IntNet((2, 9, 7), tuple(layers)), 3, 6)


def _sigma_delta_once(random: np.random.Generator) -> Case:
    """One step, thresholds of 0: the integer ReLU network."""
    conv = random_conv(random, (2, 6, 5), 4, padding=(1, 1))
    layers = (
        Input((2, 6, 5), Delta(0)),
        replace(conv, neuron=SigmaDelta(0, random.integers(-40, 60, 4).astype(np.int32))),
        replace(
            random_dense(random, conv.shape, 9), neuron=SigmaDelta(0, random.integers(-40, 60, 9).astype(np.int32))
        ),
        replace(random_dense(random, (9,), 4), neuron=Sigma()),
    )
    return _active(random, IntNet((2, 6, 5), layers, steps=1, readout=_MEMBRANE), 5, 1)


def _sigma_delta_own(random: np.random.Generator) -> Case:
    """Other exponents than NetX's, no activation, cumulative error; states that wrap in 32 bits."""
    layers = (
        Input((12,), Delta(3, spike_exp=14, state_exp=13, cumulative=True)),
        replace(
            random_dense(random, (12,), 10, signs="mixed"),
            neuron=SigmaDelta(
                2, np.array(-3, np.int32), spike_exp=13, state_exp=11, activation="unit", cumulative=True
            ),
        ),
        replace(random_dense(random, (10,), 8, signs="inhibitory"), neuron=SigmaDelta(1, None, 0, 3, "unit", False)),
        replace(random_dense(random, (8,), 6), neuron=SigmaDelta(0, None, 2, 0, "relu", True)),
    )
    return _active(random, IntNet((12,), layers), 2, 40)


def _sigma_delta_delays(random: np.random.Generator) -> Case:
    """Graded events of both signs without encoders, through delays of synapses and of outputs."""
    layers = (
        replace(random_dense(random, (12,), 9, delays=4), neuron=random_sigma_delta(random, bias=True)),
        replace(random_dense(random, (9,), 6, delays=5, delays_of="output"), neuron=random_sigma_delta(random)),
    )
    net = IntNet((12,), layers, message_bits=6)
    events = random_events(random, net, 2, 16, activity=0.3)
    return net, events * random.choice([-1, 1], events.shape).astype(np.int32)


def _mixed(random: np.random.Generator) -> Case:
    """A sigma-delta layer in front of CUBA ones, and one behind them; a Sigma decoder in the middle."""
    conv = random_conv(random, (2, 6, 5), 3, stride=(2, 2))
    layers = (
        Input((2, 6, 5), Delta(0, 0, 6)),
        replace(conv, neuron=replace(random_sigma_delta(random), spike_exp=0)),
        random_dense(random, conv.shape, 12, largest=8, decays=(400, 900), thresholds=(300, 2000)),
        replace(random_dense(random, (12,), 8, largest=20), neuron=Sigma()),
        random_dense(random, (8,), 6, largest=8, decays=(400, 900), thresholds=(300, 2000), bias=True),
        replace(random_dense(random, (6,), 4), neuron=random_sigma_delta(random)),
    )
    return _active(random, IntNet((2, 6, 5), layers), 2, 20)


_CASES = (_dense, _graded_dense, _wide_graded_dense, _conv, _graded_conv, _delays, _negative_events, _single, _input)
_CASES += (_sigma_delta, _sigma_delta_conv, _sigma_delta_once, _sigma_delta_own, _sigma_delta_delays, _mixed)
