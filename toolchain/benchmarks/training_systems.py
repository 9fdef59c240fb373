"""What `training.py` measures: the networks with their batch, and by system a function that makes one step on it."""

# Peers are a dependency group of their own, and need not be installed.
# pyright: reportMissingImports=false

from __future__ import annotations

import contextlib
import io
import logging
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F

ACTIVITY, CLASSES = 0.1, 10
CURRENT_DECAY, VOLTAGE_DECAY = 0.25, 0.1
_GAIN = 3.0  # thresholds in standard deviations of a synaptic sum: 3 to 17 % of the neurons of a layer are active
_RATE = 1e-4

NETWORKS: dict[str, tuple[tuple[int, ...], list[tuple[int, ...]]]] = {
    "mlp 784-256-10": ((1, 28, 28), [(256,), (10,)]),
    "conv 8c5s2-16c3s2-10": ((1, 28, 28), [(8, 5, 2), (16, 3, 2), (10,)]),
    "conv 16c5s2-32c3s2-64c3s2-10": ((1, 28, 28), [(16, 5, 2), (32, 3, 2), (64, 3, 2), (10,)]),
}

Step = Callable[[], object]


# Networks


@dataclass(frozen=True)
class Layer:
    """weight (O, I) or (O, C, k, k), input shape (C, H, W) or (I,), threshold in units of the weights; whether it is
    dense behind a convolution."""

    weight: torch.Tensor
    shape: tuple[int, ...]
    stride: int
    threshold: float
    flattens: bool


@dataclass(frozen=True)
class Work:
    """A network and its batch, all on one device: events (T, N, C, H, W) float32, labels (N,)."""

    name: str
    layers: list[Layer]
    events: torch.Tensor
    labels: torch.Tensor

    @property
    def device(self) -> torch.device:
        return self.events.device


def work_of(name: str, steps: int, batch: int, device: str = "cpu") -> Work:
    """The same for every system, process and device: all of it is drawn on the CPU."""
    random = torch.Generator().manual_seed(0)
    shape, plan = NETWORKS[name]
    events = (torch.rand(steps, batch, *shape, generator=random) < ACTIVITY).float()
    labels = torch.randint(CLASSES, (batch,), generator=random)
    layers = []
    for outputs, *size in plan:
        inputs = shape if size else (torch.Size(shape).numel(),)
        weight = torch.randn(outputs, inputs[0], *size[:1] * 2, generator=random) / 4
        threshold = round(64 * _GAIN / 4 * sqrt(weight[0].numel() * ACTIVITY)) / 64  # as snnkd and lava-dl hold it
        flattens = not size and bool(layers) and layers[-1].weight.ndim == 4
        layers.append(Layer(weight.to(device), inputs, size[1] if size else 1, threshold, flattens))
        shape = (outputs, *((n - size[0]) // size[1] + 1 for n in inputs[1:])) if size else (outputs,)
    return Work(name, layers, events.to(device), labels.to(device))


def waiting(device: torch.device) -> Step:
    """Waits until the device has done what it was told; a CPU has. Only then a clock says how long that took."""
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


# Systems: each gives a function that makes one training step


def _training_step(weights: Any, counts: Callable[[], torch.Tensor], work: Work) -> Step:
    """counts: the forward pass, to spike counts (N, classes)."""
    optimizer = torch.optim.Adam(weights, lr=_RATE, fused=True)

    def step() -> None:
        loss = F.cross_entropy(counts(), work.labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def _snnkd(work: Work) -> Step:
    from snnkd.recipe import architecture, tables
    from snnkd.training.chain import repeatable
    from snnkd.training.loop.optimizer import Optimizer
    from snnkd.training.loop.step import backward
    from snnkd.training.network import Network

    layers = []
    for layer in work.layers:
        outputs, *_ = layer.weight.shape
        if layer.weight.ndim == 2:
            layers.append(architecture.Dense(neurons=outputs))
        else:
            kernel, stride = layer.weight.shape[2], layer.stride
            conv = architecture.Conv(channels=outputs, kernel=(kernel, kernel), stride=(stride, stride))
            layers.append(conv)
    shape = work.events.shape[2:]
    plan = architecture.Architecture(name=work.name, input=(shape[0], shape[1], shape[2]), layers=tuple(layers))
    network = Network(plan, tables.Neuron(current_decay=CURRENT_DECAY, voltage_decay=VOLTAGE_DECAY)).to(work.device)
    with torch.no_grad():
        for block, layer in zip(network.layers, work.layers, strict=True):
            block.synapse.weight.copy_(layer.weight.view(block.synapse.weight.shape))
            block.neuron.set_threshold(round(layer.threshold * 64))
    events = work.events.movedim(2, -1).contiguous().movedim(-1, 2).transpose(0, 1)  # as snnkd's Feed lays them out
    settings = tables.Optimizer(lr=_RATE, schedule="constant")
    optimizer = Optimizer(settings, [block.synapse.weight for block in network.layers])
    threads = torch.get_num_threads()

    def step() -> None:
        torch.set_num_threads(1)  # as in training: a batch is cut into parts instead
        with repeatable():
            backward(network, events, lambda sat: {"label": F.cross_entropy(sat.sum(dim=0).T, work.labels)}, threads)
        optimizer.step(0.0)
        torch.set_num_threads(threads)

    return step


def _lava_dl(work: Work) -> Step:
    from lava.lib.dl import slayer

    blocks = torch.nn.Sequential()
    for layer in work.layers:
        neuron = {
            "threshold": layer.threshold,
            "current_decay": CURRENT_DECAY,
            "voltage_decay": VOLTAGE_DECAY,
            "tau_grad": 0.01,
            "scale_grad": 10.0,
        }
        if layer.flattens:
            blocks.append(slayer.block.cuba.Flatten())
        outputs, inputs, *kernel = layer.weight.shape
        if kernel:
            how = {"stride": layer.stride, "delay_shift": False}
            block = slayer.block.cuba.Conv(neuron, inputs, outputs, kernel[0], **how)
        else:
            block = slayer.block.cuba.Dense(neuron, inputs, outputs, delay_shift=False)
        with torch.no_grad():
            block.synapse.weight.copy_(layer.weight.view(block.synapse.weight.shape))
        blocks.append(block)
    blocks.to(work.device)
    events = work.events.movedim(0, -1)
    events = (events.flatten(1, 3) if work.layers[0].weight.ndim == 2 else events).contiguous()
    weights = [parameter for parameter in blocks.parameters() if parameter.requires_grad]
    return _training_step(weights, lambda: blocks(events).sum(dim=-1).flatten(1), work)


def _synapses(work: Work, gain: float = 1.0) -> list[torch.nn.Module]:
    """Linear and Conv2d modules with weights for a threshold of 1."""
    modules = []
    for layer in work.layers:
        outputs, inputs, *kernel = layer.weight.shape
        if kernel:
            module = torch.nn.Conv2d(inputs, outputs, kernel[0], layer.stride, bias=False)
        else:
            module = torch.nn.Linear(inputs, outputs, bias=False)
        module.weight = torch.nn.Parameter(layer.weight * (gain / layer.threshold))  # on the device of the work
        modules.append(torch.nn.Sequential(torch.nn.Flatten(), module) if layer.weight.ndim == 2 else module)
    return modules


class _AllSteps(torch.nn.Module):
    """A synapse on (T, N, ...)."""

    def __init__(self, synapse: torch.nn.Module):
        super().__init__()
        self.synapse = synapse

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.synapse(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def _snntorch(work: Work) -> Step:
    import snntorch

    synapses = torch.nn.ModuleList(map(_AllSteps, _synapses(work)))
    alpha, beta = 1 - CURRENT_DECAY, 1 - VOLTAGE_DECAY
    neurons = [snntorch.Synaptic(alpha=alpha, beta=beta).to(work.device) for _ in work.layers]

    def counts() -> torch.Tensor:
        x = work.events
        for synapse, neuron in zip(synapses, neurons, strict=True):
            syn, mem = (state.to(work.device) for state in neuron.reset_mem())
            spikes = []
            for a in synapse(x):
                spike, syn, mem = neuron(a, syn, mem)
                spikes.append(spike)
            x = torch.stack(spikes)
        return x.sum(dim=0)

    return _training_step(synapses.parameters(), counts, work)


def _norse(work: Work) -> Step:
    import norse.torch as norse

    leaks = {"tau_syn_inv": CURRENT_DECAY * 1000, "tau_mem_inv": VOLTAGE_DECAY * 1000}  # its step is 1 ms
    neuron = norse.LIFParameters(**{name: torch.tensor(leak, device=work.device) for name, leak in leaks.items()})
    modules = []
    for synapse in _synapses(work, 1 / VOLTAGE_DECAY):  # its v takes up that part of its current
        modules += [_AllSteps(synapse), norse.LIF(neuron)]
    network = norse.SequentialState(*modules)
    return _training_step(network.parameters(), lambda: network(work.events)[0].sum(dim=0), work)


def _spikingjelly(work: Work) -> Step:
    from spikingjelly.activation_based import functional, layer, neuron

    modules = []
    for synapse in _synapses(work, 1 / CURRENT_DECAY):  # as much as a current that decays adds up to
        lif = neuron.LIFNode(1 / VOLTAGE_DECAY, decay_input=False, step_mode="m")
        modules += [layer.SeqToANNContainer(synapse), lif]
    network = torch.nn.Sequential(*modules).to(work.device)

    def counts() -> torch.Tensor:
        functional.reset_net(network)
        return network(work.events).sum(dim=0)

    return _training_step(network.parameters(), counts, work)


# The floor


def _floor(work: Work) -> Step:
    random = torch.Generator().manual_seed(1)
    steps, batch = work.events.shape[:2]
    chosen: list[Step] = []
    for number, layer in enumerate(work.layers):
        source = (torch.rand(steps * batch, *layer.shape, generator=random) < ACTIVITY).float().to(work.device)
        size = [(n - layer.weight.shape[-1]) // layer.stride + 1 for n in layer.shape[1:]]
        grad = torch.randn(steps * batch, len(layer.weight), *size, generator=random).to(work.device)
        ways = _conv_ways(layer, source, grad, steps) if size else _dense_ways(layer.weight, source, grad)
        wait = waiting(work.device)
        with _quickest(work.device):
            chosen += [
                min(direction, key=lambda way: _seconds(way, wait)) for direction in (ways if number else ways[:2])
            ]

    def step() -> None:
        with _quickest(work.device):
            for call in chosen:
                call()

    return torch.inference_mode()(step)


def _quickest(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Has cuDNN try all its algorithms on the first product of a shape, and take the quickest from then on."""
    return torch.backends.cudnn.flags(benchmark=True) if device.type == "cuda" else contextlib.nullcontext()


@torch.inference_mode()
def _seconds(way: Step, wait: Step) -> float:
    """The least of three runs, one before them left out."""
    way()
    times = []
    for _ in range(3):
        wait()
        start = time.perf_counter()
        way()
        wait()
        times.append(time.perf_counter() - start)
    return min(times)


def _dense_ways(weight: torch.Tensor, x: torch.Tensor, grad: torch.Tensor) -> list[list[Step]]:
    """Ways to the output, the gradient of the weights, and that of the input."""
    turned, features, grad_features = (a.T.contiguous() for a in (weight, x, grad))
    return [
        [lambda: x @ weight.T, lambda: x @ turned, lambda: weight @ features],
        [lambda: grad.T @ x, lambda: x.T @ grad, lambda: grad_features @ features.T],
        [lambda: grad @ weight, lambda: grad @ turned.T, lambda: turned @ grad_features],
    ]


def _conv_ways(layer: Layer, x: torch.Tensor, grad: torch.Tensor, steps: int) -> list[list[Step]]:
    """As `_dense_ways`, each with all time steps at once and with one at a time, which takes less memory."""
    weight, stride, kernel = layer.weight, [layer.stride] * 2, layer.weight.shape[-1]
    rows = weight.permute(0, 2, 3, 1).flatten(1)  # (O, k k C)

    def patches(x: torch.Tensor) -> torch.Tensor:
        """(M H' W', k k C) from channels last."""
        sample, _, down, right = x.stride()
        strides = (sample, layer.stride * down, layer.stride * right, down, 1)
        shape = (len(x), *grad.shape[2:], kernel, rows.shape[1] // kernel)
        return x.as_strided(shape, strides).reshape(-1, rows.shape[1])

    def gradient(which: int, g: torch.Tensor, x: torch.Tensor) -> object:
        wanted = [which == 0, which == 1, False]
        return torch.ops.aten.convolution_backward(g, x, weight, None, stride, [0, 0], [1, 1], False, [0, 0], 1, wanted)

    torchs = [
        lambda g, x: F.conv2d(x, weight, None, stride),
        lambda g, x: gradient(1, g, x),
        lambda g, x: gradient(0, g, x),
    ]
    products = [
        lambda g, x: patches(x) @ rows.T,
        lambda g, x: g.permute(0, 2, 3, 1).reshape(-1, len(rows)).T @ patches(x),
        _added_up(weight, stride),
    ]
    x_last, g_last = (a.contiguous(memory_format=torch.channels_last) for a in (x, grad))
    if x.shape[1] == 1:  # both orders are the same, but torch goes by the strides
        x_last = x_last.as_strided(x.shape, (x[0].numel(), 1, x.shape[3], 1))
    kinds = ((torchs, grad, x), (torchs, g_last, x_last), (products, g_last, x_last))
    return [
        [_in_parts(ways[direction], count, g, x) for ways, g, x in kinds for count in (1, steps)]
        for direction in range(3)
    ]


def _added_up(weight: torch.Tensor, stride: list[int]) -> Callable[[torch.Tensor, torch.Tensor], object]:
    """A convolution's gradient of its input x as a product that is added up: on the CPU by snnkd's Numba kernel."""
    if weight.device.type == "cpu":
        from snnkd.training.kernels.convolution import input_gradient

        return lambda g, x: input_gradient(g, weight, x.shape, stride, [0, 0])
    return _folded(weight, stride)


def _folded(weight: torch.Tensor, stride: list[int]) -> Callable[[torch.Tensor, torch.Tensor], object]:
    """As `_added_up`, in torch alone, which any device has."""
    steps = (stride[0], stride[1])
    return lambda g, x: F.fold(weight.flatten(1).T @ g.flatten(2), x.shape[2:], weight.shape[2:], stride=steps)


def _in_parts(way: Callable[..., object], count: int, *tensors: torch.Tensor) -> Step:
    parts = list(zip(*(x.chunk(count) for x in tensors), strict=True))
    return lambda: [way(*part) for part in parts]


MAKERS: dict[str, Callable[[Work], Step]] = {
    "snnkd": _snnkd,
    "lava-dl": _lava_dl,
    "snntorch": _snntorch,
    "norse": _norse,
    "spikingjelly": _spikingjelly,
    "floor": _floor,
}


def make(system: str, work: Work) -> Step | None:
    """None, and a line that says why, where a peer is not installed, or does not run on this device."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what peers import
            logging.disable(logging.WARNING)
            step = MAKERS[system](work)
            if work.device.type == "cuda":
                step()  # some peers compile their kernels now, which needs what not every machine has
            return step
    except (RuntimeError, OSError) as error:
        if work.device.type != "cuda":
            raise
        print(f"{system}: skipped, it does not run on this GPU: {str(error).splitlines()[0]}", file=sys.stderr)
        return None
    except ImportError as error:
        print(f"{system}: skipped, {error}; the peers come with `uv run --group peers`", file=sys.stderr)
        return None
    finally:
        logging.disable(logging.NOTSET)
