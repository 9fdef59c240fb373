"""The spiking network that is trained: a chain of lava-dl `slayer.block.cuba` blocks, run time-first.

The blocks are lava-dl's, with snnkd's neuron in them, CUBA or sigma-delta. SLAYER's layout is (N, C, H, W, T), where a
convolution over all steps is a slow 3-D one and each step of the neuron a strided slice. Here time comes first, (T, N,
C, H, W): all steps are a single 2-D convolution or matrix product, and steps that are all the same are multiplied once.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from itertools import compress
from math import prod
from typing import Any, Literal

import numpy as np
import torch

from snnkd.base.errors import QuantizationError
from snnkd.ir.arithmetic import THRESHOLD_LIMIT
from snnkd.ir.readout import Readout
from snnkd.ir.trace import LayerTrace, SpikeTrace
from snnkd.recipe import architecture
from snnkd.recipe.tables import Neuron as NeuronSettings
from snnkd.recipe.tables import Quantization
from snnkd.training import reading, slayer
from snnkd.training.delays import Delays, delays_of
from snnkd.training.dynamics import S_SCALE, W_SCALE
from snnkd.training.neuron import MANTISSAS, Neuron, Voltage, channels_of
from snnkd.training.normalization import Bias, Fold, Norm, bias_of, measured, norm_of
from snnkd.training.products import Block, sums, sums_of_messages, weight_of
from snnkd.training.sigma_delta import BIAS_LIMIT as MESSAGE_BIAS_LIMIT
from snnkd.training.sigma_delta import SigmaDelta, sent

# float32 holds integers up to 2^24; the weights are even, which gives one bit more. Lava wraps convolutions at 2^23.
INIT_STD = 0.25
EIGHT_BITS = Quantization()
Kind = Literal["cuba", "sigma-delta"]
_EXACT = {"dense": 1 << 25, "conv": 1 << 23}
BIAS_LIMIT = (1 << 15) - 1  # of CUBA neurons' mantissas
SUM_LIMIT = (1 << 21) / S_SCALE  # of a sigma-delta layer: a quarter of the 24 bits in which Lava sums a convolution


@dataclass(frozen=True)
class Output:
    """What a network puts out on N samples in T steps.

    layers: spikes of each layer, (T, N, *shape) float32 of 0 and 1, or the messages of sigma-delta neurons.
    v_last: v of the output layer after the last step, (N, classes), in SLAYER's units.
    v_read: what the readout reads of the output layer's v after all steps, (N, classes), likewise, without gradients.
    sat: the activation tensor of the output layer, (T, classes, N), whose sum over the first t steps is what a class is
        read from after these: its spikes, or with a membrane readout what each step adds to what is read of v, see
        `reading.activation`, in units of `Network.readout_unit`.
    membranes: v of those hidden layers that were asked for, by number: (T, N, *shape), after the reset, in units of the
        layer's threshold; of sigma-delta neurons their activation, in units of the layer.
    units: what a spike or a message is divided by to compare it with those of another network, of each layer.
    graded: whether layers send messages.
    statistics: of the batch, of each layer whose normalization is not folded yet, in order: (2, C).
    """

    layers: list[torch.Tensor]
    v_last: torch.Tensor
    v_read: torch.Tensor
    sat: torch.Tensor
    membranes: dict[int, torch.Tensor] = field(default_factory=dict)
    units: list[float] = field(default_factory=list)
    graded: bool = False
    statistics: list[torch.Tensor] = field(default_factory=list)

    def hidden_events(self) -> list[torch.Tensor]:
        """Tells what the hidden layers send, as 1 and 0 with gradients: (T, N, *shape) each."""
        if not self.graded:
            return self.layers[:-1]
        return [sent(messages, unit) for messages, unit in zip(self.layers[:-1], self.units, strict=False)]


class Network(torch.nn.Module):
    """A chain of SLAYER blocks, with weights drawn by torch's random numbers.

    plan: the layers. kind: of their neurons. event_max: the largest value of an input event. Raises QuantizationError
    for a layer whose sums could be larger than float32 holds exactly.

    started: whether weights and thresholds are those of a file; these thresholds stay.
    membrane: whether classes are read from v. The threshold of the last layer is then the largest that there is, so
    that it only fires where v saturates, and readout_unit, a positive float32 (), is the threshold that it would have
    otherwise.
    """

    readout_unit: torch.Tensor

    def __init__(
        self,
        plan: architecture.Architecture,
        settings: NeuronSettings,
        quantization: Quantization = EIGHT_BITS,
        event_max: int = 1,
        readout: Readout | None = None,
        kind: Kind = "cuba",
    ):
        super().__init__()
        self.kind = kind
        self.input_shape = tuple(plan.input)
        fixed = settings.threshold is not None and kind == "cuba"
        self.threshold_gain = None if fixed else settings.threshold_gain
        self.started = False
        self.membrane = readout is not None and readout.kind == "membrane"
        self._over = readout.over if readout is not None else "last"
        self._products: list[int] = []
        self.blocks = torch.nn.ModuleList()
        for index, (layer, shape) in enumerate(plan.inputs()):
            if isinstance(layer, architecture.Dense) and len(shape) == 3:
                self.blocks.append(slayer.Flatten())
            last = index == len(plan.layers) - 1
            block: Any = _block(layer, shape, settings, quantization)
            if kind == "sigma-delta":
                block.neuron = SigmaDelta(**quantization.model_dump(), vth=settings.message_threshold, decoder=last)
                block.synapse.pre_hook_fx = block.neuron.quantize_8bit
            else:
                _check_exact(f"{plan.name}, layers.{index}", block, event_max if index == 0 else 1)
            if kind == "cuba" or not last:
                _add_norm_and_bias(block, settings, kind, normalized=not (last and self.membrane))
            if kind == "cuba":
                _add_channels(block, settings, fires=not (last and self.membrane))
            self.blocks.append(block)
            self._products.append(layer.fan_in(shape) * prod(layer.output(shape)))
        for (layer, shape), block in zip(plan.inputs(), self.layers, strict=True):  # weights are drawn without them too
            if isinstance(layer, architecture.Dense) and layer.delays and layer.max_delay:
                count = prod(shape) if layer.delays == "input" else layer.neurons
                block.synaptic_delays = Delays(layer.delays, count, layer.max_delay)
        if self.membrane:
            self.register_buffer("readout_unit", torch.tensor(settings.threshold or 1.0))
            if kind == "cuba":
                self.layers[-1].neuron.set_threshold(THRESHOLD_LIMIT)

    @property
    def layers(self) -> list[Any]:
        """The blocks that own neurons (`Block`), in order."""
        return [block for block in self.blocks if isinstance(block, Block)]

    @property
    def delays(self) -> list[Delays]:
        """The trained delays of those layers that have any, in order."""
        return [delays for delays in map(delays_of, self.layers) if delays is not None]

    @property
    def channels(self) -> list[torch.nn.Parameter]:
        """What is trained of thresholds and decays, of those layers where it is, in order."""
        return [values for values in map(channels_of, self.layers) if values is not None]

    @property
    def biases(self) -> list[Bias]:
        """The trained biases of those layers that have any, in order."""
        return [bias for bias in map(bias_of, self.layers) if bias is not None]

    @property
    def norms(self) -> list[Norm]:
        """The normalizations that are not folded yet, in order."""
        return [norm for norm in map(norm_of, self.layers) if norm is not None]

    def products(self, steps: int, distinct: int) -> int:
        """Counts the multiplications of a sample's forward pass, in which so many of the `steps` are `distinct`."""
        return distinct * self._products[0] + steps * sum(self._products[1:])

    def synapses(self) -> list[torch.Tensor]:
        """Makes the integers that the synapses hold, with gradients: for each layer its weights, see
        `products.weight_of`; behind these its biases, where it has any, with the gains of a normalization that is not
        folded yet; what is trained of its thresholds and decays, where that is so; and its delays in steps, where it
        has any."""
        held = []
        for block in self.layers:
            held.append(weight_of(block))
            norm = norm_of(block)
            if (bias := bias_of(block)) is not None:
                held += [bias.rounded()] if norm is None else [bias.values, norm.gain]
            if (channels := channels_of(block)) is not None:
                held.append(channels)
            if (delays := delays_of(block)) is not None:
                held.append(delays.steps())
        return held

    def forward(
        self, events: torch.Tensor, synapses: list[torch.Tensor] | None = None, membranes: Collection[int] = ()
    ) -> Output:
        """Runs the network on events (N, T, C, H, W), integers as float32.

        Where their time axis has stride 0, the first layer multiplies once. synapses: what `synapses()` returns, where
        it is at hand. membranes: numbers of the hidden layers whose v is wanted.
        """
        x = v = events.transpose(0, 1) if self.kind == "cuba" else events.transpose(0, 1) / W_SCALE
        steps, layers, kept, statistics = len(x), [], {}, []
        last = len(self.layers) - 1
        for number, (block, held) in enumerate(self._holding(synapses or self.synapses())):
            every = self.membrane if number == last else number in membranes
            wanted = "every" if every else "last" if number == last else "none"
            a, used = _arriving(block, x, held)
            x, v = _send(block, a, held, steps, wanted)
            layers.append(x)
            statistics += [] if used is None else [used]
            if number in membranes:
                kept[number] = v / _unit_of(block, block.neuron.threshold)
        units = [_unit_of(block, 1.0) for block in self.layers]
        if not self.membrane:
            return Output(layers, v, v.detach(), x.transpose(1, 2), kept, units, self.kind != "cuba", statistics)
        sat = reading.activation(v, self._over, self.readout_unit).float().transpose(1, 2)
        return Output(layers, v[-1], reading.read(v, self._over), sat, kept, units, self.kind != "cuba", statistics)

    def _holding(self, synapses: list[torch.Tensor]) -> Iterator[tuple[Any, Held]]:
        """Yields each layer with what of `synapses` it holds."""
        held = iter(synapses)
        for block in self.layers:
            weight = next(held)
            bias = None if bias_of(block) is None else next(held)
            gain = None if norm_of(block) is None else next(held)
            channels = None if channels_of(block) is None else next(held)
            yield block, Held(weight, bias, gain, channels, None if delays_of(block) is None else next(held))

    @torch.no_grad()
    def calibrate(self, events: torch.Tensor) -> None:
        """Sets thresholds by the first batch, events (N, T, C, H, W), so that 8 bit weights use their range.

        A layer's threshold, or the unit of a membrane readout, becomes `threshold_gain` standard deviations of its
        synaptic sums, whatever the encoding and the fan-in are. What the recipe or the file of a start fixes stays.
        """
        if self.threshold_gain is None or (self.started and not self.membrane):
            return
        x, blocks = events.transpose(0, 1), self.layers
        x = x if self.kind == "cuba" else x / W_SCALE
        for block, held in self._holding(self.synapses()):
            a, _ = _arriving(block, x, held)
            mantissa = round(self.threshold_gain * float(a.std()) * W_SCALE)
            if self.membrane and block is blocks[-1]:
                self.readout_unit.fill_(max(mantissa, 1) / W_SCALE)
            elif not self.started and self.kind == "cuba":
                block.neuron.set_threshold(mantissa)
            elif self.started and self.kind == "sigma-delta":
                measured(block, float(a.std()))
            x, _ = _send(block, a, held, len(x), "last")

    def remember(self, statistics: list[torch.Tensor]) -> None:
        """Moves the running statistics of the normalizations toward those of a batch, as `Output.statistics`."""
        for norm, used in zip(self.norms, statistics, strict=True):
            norm.remember(used)

    @torch.no_grad()
    def fold(self) -> None:
        """Folds the normalizations into weights and biases, which use the range of their bits from then on.

        Nothing changes but by rounding: thresholds and the unit of the readout are multiplied as the weights are. Sums
        of sigma-delta layers stay within a quarter of the 24 bits of a convolution: where the whole range of the
        weights would lead beyond it, all layers use the same smaller part of it.
        """
        folds = [Fold(block, norm) for block in self.layers if (norm := norm_of(block)) is not None]
        if self.kind == "cuba":
            for fold in folds:
                fold.cuba()
            return
        part, whole = 1.0, 1.0
        for depth, fold in enumerate(folds, start=1):
            whole *= fold.range
            part = min(part, (SUM_LIMIT / (fold.largest_sum * whole)) ** (1 / depth))
        before = 1.0
        for fold in folds:
            before = fold.sigma_delta(before, fold.range * part)
        self.readout_unit.mul_(before)

    def folded(self) -> Network:
        """Returns the network, or a copy of it whose normalizations are folded."""
        if not self.norms:
            return self
        copied = copy.deepcopy(self)
        copied.fold()
        return copied

    @torch.no_grad()
    def trace(self, events: np.ndarray, names: list[str]) -> SpikeTrace:
        """Runs the network on events (N, T, *input shape) and reports spikes and the last v as an engine does.

        names: of the layers.
        """
        device = next(self.parameters()).device
        output = self(torch.from_numpy(events.astype(np.float32, order="C")).to(device))
        layers = []
        for number, (name, values) in enumerate(zip(names, output.layers, strict=True)):
            values = values.transpose(0, 1)
            if self.kind == "cuba":
                layers.append(LayerTrace(name, values.byte().cpu().numpy()))
            else:  # a decoder sends its sum, in units of a state
                scale = S_SCALE if number == len(names) - 1 else W_SCALE
                layers.append(LayerTrace(name, (values.double() * scale).int().cpu().numpy()))
        v_last = (output.v_last * S_SCALE).int().cpu().numpy()
        return SpikeTrace("slayer", events, (*layers[:-1], replace(layers[-1], v_last=v_last)))


@dataclass(frozen=True)
class Held:
    """What a layer holds in a forward pass: `weight`, biases (C,), the gains (C,) of a normalization, values of
    thresholds and decays (parameters, C), delays."""

    weight: torch.Tensor
    bias: torch.Tensor | None = None
    gain: torch.Tensor | None = None
    channels: torch.Tensor | None = None
    delay: torch.Tensor | None = None


def _arriving(block: Any, x: torch.Tensor, held: Held) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Computes the sums of a layer that reads x (T, N, *shape), and the statistics that its normalization used."""
    a = _sums(block, x, held)
    return (a, None) if held.gain is None else block.batch_norm(a, held.gain, held.bias)


def _send(block: Any, a: torch.Tensor, held: Held, steps: int, wanted: Voltage) -> tuple[torch.Tensor, torch.Tensor]:
    """Runs the neurons of a layer on what arrives: what they send and their membrane, as `neuron.Neuron.run`."""
    folded = held.gain is None
    if not isinstance(block.neuron, SigmaDelta):
        bias = held.bias if folded else None
        return block.neuron.run(a, steps, reuse=folded, wanted=wanted, bias=bias, values=held.channels)
    if not folded:
        return block.neuron.run_real(a, wanted)
    return block.neuron.run(a, held.bias, wanted, 32 if isinstance(block, slayer.Dense) else 24)


def _sums(block: Any, x: torch.Tensor, held: Held) -> torch.Tensor:
    if isinstance(block.neuron, SigmaDelta) and held.gain is None:
        return sums_of_messages(block, x, held.weight)
    return sums(block, x, held.weight, held.delay)


def _unit_of(block: Any, of_cuba: float) -> float:
    """What values of a layer are divided by: of sigma-delta neurons their scale."""
    return float(block.neuron.scale) if isinstance(block.neuron, SigmaDelta) else of_cuba


def _add_norm_and_bias(block: Any, settings: NeuronSettings, kind: Kind, normalized: bool) -> None:
    """Adds what the recipe asks for; sigma-delta neurons have both. normalized: whether the layer may be."""
    channels, always = len(block.synapse.weight), kind == "sigma-delta"
    if normalized and (settings.batch_norm or always):
        block.batch_norm = Norm(channels)
        if kind == "cuba":
            block.neuron.weight_scale = torch.ones(())
    if settings.bias or settings.batch_norm or always:
        in_steps = (1.0, MESSAGE_BIAS_LIMIT) if always else (1 / W_SCALE, BIAS_LIMIT)
        block.trained_bias = Bias(channels, *in_steps)


def _add_channels(block: Any, settings: NeuronSettings, fires: bool) -> None:
    """Adds what is trained of thresholds and decays. fires: whether the layer has a threshold that matters."""
    trains = [name in settings.per_channel and (fires or name != "threshold") for name in MANTISSAS]
    if any(trains):
        block.neuron.per_channel = tuple(compress(MANTISSAS, trains))
        held = block.neuron.mantissas()[trains, None].expand(-1, len(block.synapse.weight))
        block.channels = torch.nn.Parameter(block.neuron.channel_values(held))


def _block(
    layer: architecture.Layer, shape: tuple[int, ...], settings: NeuronSettings, quantization: Quantization
) -> Block:
    neuron = {
        "threshold": settings.threshold or 1.0,
        "current_decay": settings.current_decay,
        "voltage_decay": settings.voltage_decay,
        "tau_grad": settings.tau_grad,
        "scale_grad": settings.scale_grad,
    }
    if isinstance(layer, architecture.Conv):
        block = slayer.Conv(
            neuron,
            shape[0],
            layer.channels,
            layer.kernel,
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
            groups=layer.groups,
            delay_shift=False,
        )
    else:
        block = slayer.Dense(neuron, torch.Size(shape).numel(), layer.neurons, delay_shift=False)
    block.neuron = Neuron(**neuron, **quantization.model_dump())
    block.synapse.pre_hook_fx = block.neuron.quantize_8bit
    # An eighth of the 8 bit range within two standard deviations: fine steps, and room to grow. With 2 or 3 bits a
    # step is larger than that, and nearly all weights would start, and stay, at 0.
    step = (quantization.weight_step or 2 ** (9 - quantization.weight_bits)) / W_SCALE
    with torch.no_grad():
        torch.nn.init.normal_(block.synapse.weight, std=max(INIT_STD, step / 2))
    if isinstance(layer, architecture.Dense):  # all outputs of one input side by side, as sparse products read them
        block.synapse.weight.data = block.synapse.weight.data.transpose(0, 1).contiguous().transpose(0, 1)
    return block


def _check_exact(where: str, block: Block, event_max: int) -> None:
    fan_in = block.synapse.weight[0].numel()
    kind = "dense" if isinstance(block, slayer.Dense) else "conv"
    if fan_in * event_max * 256 >= _EXACT[kind]:
        raise QuantizationError(
            f"{where}: {fan_in} inputs of up to {event_max} can sum to more than {_EXACT[kind]}, beyond what is exact "
            "here; use fewer encoding bits, or a convolution with a stride in front"
        )
