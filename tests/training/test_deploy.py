"""SLAYER networks as integer networks: the values that lava-dl's own exporter writes, and nothing changed by it."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from lava.lib.dl import slayer

from snnkd.base.errors import QuantizationError
from snnkd.engines.reference import definition
from snnkd.formats import netx
from snnkd.ir.network import Dense as IntDense
from snnkd.ir.network import IntNet
from snnkd.recipe.architecture import Architecture, Conv, Dense
from snnkd.recipe.tables import Neuron, Quantization
from snnkd.training.deploy import to_intnet
from snnkd.training.network import Network

OF_LAVA_DL = "ignore:.*weight_norm.*deprecated:FutureWarning"
pytestmark = [pytest.mark.lava, pytest.mark.filterwarnings(OF_LAVA_DL)]

block = slayer.block.cuba
PARAMETERS = {"threshold": 1.3, "current_decay": 0.25, "voltage_decay": 0.03}
Blocks = list[torch.nn.Module]


def dense_net(parameters: dict = PARAMETERS, **options) -> tuple[Blocks, tuple[int, ...]]:
    blocks = [block.Dense(parameters, 12, 7, weight_scale=5, **options), block.Dense(PARAMETERS, 7, 4, weight_scale=4)]
    return blocks, (12,)


def conv_net(**options) -> tuple[Blocks, tuple[int, ...]]:
    blocks = [
        block.Conv(PARAMETERS, 2, 4, (3, 5), stride=(2, 1), padding=(1, 2), weight_scale=6, **options),
        block.Conv(PARAMETERS, 4, 6, 2, dilation=(1, 2), groups=2, weight_scale=5),
        block.Flatten(),
        block.Dense(PARAMETERS, 6 * 3 * 5, 5, weight_scale=5),
    ]
    return blocks, (2, 8, 7)


def drawn_net() -> tuple[Blocks, tuple[int, ...]]:
    """Decays drawn for each neuron; lava-dl cannot run a convolution with such."""
    own = {"current_decay": (0.1, 0.4), "voltage_decay": (0.01, 0.2), "shared_param": False}
    return dense_net({**PARAMETERS, **own})


NETS = {
    "dense": dense_net,
    "conv": conv_net,
    "dense, normed weights": lambda: dense_net(weight_norm=True),
    "conv, normed weights": lambda: conv_net(weight_norm=True),
    "decays of each neuron": drawn_net,
}


def built(make: Callable, delay_shift: bool = True) -> tuple[Blocks, tuple[int, ...]]:
    """The network, run once, as lava-dl's exporter needs it."""
    torch.manual_seed(8)
    blocks, shape = make()
    for one in blocks:
        one.delay_shift = delay_shift
    run(blocks, torch.rand(1, *shape, 3))
    return blocks, shape


@torch.no_grad()
def run(blocks: Blocks, x: torch.Tensor) -> torch.Tensor:
    """x: (N, ..., T), SLAYER's layout."""
    for one in blocks:
        x = one(x)
    return x


def lava_export(blocks: Blocks, path: Path) -> Path:
    """What lava-dl's tutorials do; it takes the weight norms off."""
    with h5py.File(path, "w") as file:
        layers = file.create_group("layer")
        for index, one in enumerate(blocks):
            one.export_hdf5(layers.create_group(str(index)))
    return path


def datasets(path: Path, first: int = 0) -> dict[str, np.ndarray]:
    """All datasets by name, layers renumbered from `first`."""
    found = {}
    with h5py.File(path, "r") as file:

        def add(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                number, rest = name.removeprefix("layer/").split("/", 1)
                found[f"{int(number) - first}/{rest}"] = np.asarray(item[()])

        file.visititems(add)
    return found


def plain(value: np.ndarray) -> np.ndarray:
    return value.astype("S") if value.dtype.kind in "OS" else value


@pytest.mark.parametrize("name", NETS)
def test_our_file_holds_the_values_of_lava_dls_own_export(tmp_path, name):
    blocks, shape = built(NETS[name])
    net = to_intnet(blocks, shape)
    netx.save(net, tmp_path / "ours.net")
    theirs = datasets(lava_export(blocks, tmp_path / "theirs.net"))
    ours = datasets(tmp_path / "ours.net", first=1)
    # Allowed: our first group is the input's, which gives the shape of the samples; weights are integers, not floats.
    assert plain(ours.pop("-1/type")).item() == b"input"
    assert tuple(ours.pop("-1/shape")) == shape
    assert ours.keys() == theirs.keys()
    for key, expected in theirs.items():
        assert ours[key].shape == expected.shape, key
        np.testing.assert_array_equal(plain(ours[key]), plain(expected), err_msg=key)
        if key.endswith("/weight"):
            assert expected.any() and ours[key].dtype == np.int32


@pytest.mark.parametrize("name", NETS)
def test_reads_the_export_of_lava_dl_as_the_same_network(tmp_path, name, same_net):
    blocks, shape = built(NETS[name])
    net = to_intnet(blocks, shape)
    same_net(netx.load(lava_export(blocks, tmp_path / "theirs.net"), shape), net)


@pytest.mark.parametrize("name", NETS)
def test_the_integer_network_spikes_as_lava_dl_does(name):
    blocks, shape = built(NETS[name], delay_shift=False)
    net = to_intnet(blocks, shape)
    events = np.random.default_rng(2).integers(0, 2, (3, 11, *shape)).astype(np.uint8)
    expected = run(blocks, torch.from_numpy(events).float().movedim(1, -1)).movedim(-1, 1)
    found = definition.simulate(net, events).layers[-1].spikes
    assert found.any()
    np.testing.assert_array_equal(found, expected.numpy())


def snapshot(blocks: Blocks) -> dict[str, torch.Tensor]:
    tensors = {}
    for index, one in enumerate(blocks):
        for name, value in [*one.named_parameters(), *one.named_buffers()]:
            tensors[f"{index}.{name}"] = value.detach().clone()
            tensors[f"{index}.{name} grad"] = torch.zeros(1) if value.grad is None else value.grad.clone()
            tensors[f"{index}.{name} flag"] = torch.tensor(value.requires_grad)
    return tensors


@pytest.mark.parametrize("name", NETS)
def test_blocks_are_only_read(name):
    blocks, shape = built(NETS[name])
    x = torch.rand(2, *shape, 4)
    for one in blocks:
        x = one(x)
    x.sum().backward()
    before = snapshot(blocks)
    to_intnet(blocks, shape)
    after = snapshot(blocks)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert any("weight_g" in key for key in after) == ("normed" in name)
    x = torch.rand(2, *shape, 4)
    for one in blocks:
        x = one(x)
    x.sum().backward()  # and training goes on


def test_learned_decays_out_of_range_are_clamped_in_the_network_alone():
    blocks, shape = built(lambda: ([block.Dense({**PARAMETERS, "requires_grad": True}, 5, 3, weight_scale=5)], (5,)))
    neuron = blocks[0].neuron
    with torch.no_grad():
        neuron.current_decay.fill_(5000.0)
        neuron.voltage_decay.fill_(-3.0)
    found = to_intnet(blocks, shape).layers[0].neuron
    assert (found.current_decay, found.voltage_decay) == (4096, 0)
    assert (neuron.current_decay.item(), neuron.voltage_decay.item()) == (5000, -3)


@pytest.mark.parametrize("make", [dense_net, conv_net])
def test_normed_weights_are_those_of_the_last_step_not_of_the_last_forward_pass(make):
    """torch recomputes them in the next forward pass only."""
    blocks, shape = built(lambda: make(weight_norm=True))
    before = to_intnet(blocks, shape).layers[0].weight
    with torch.no_grad():
        blocks[0].synapse.weight_g *= 0.5
    stepped = to_intnet(blocks, shape).layers[0].weight
    assert np.abs(stepped).max() < 0.6 * np.abs(before).max()
    run(blocks, torch.rand(1, *shape, 2))
    np.testing.assert_array_equal(to_intnet(blocks, shape).layers[0].weight, stepped)


def test_masked_weights_are_left_out():
    """SLAYER masks in the forward pass; what the last step of the optimizer put there is no part of the network."""
    mask = torch.ones(7, 12, dtype=torch.bool)
    mask[:, ::3] = False
    blocks, shape = built(lambda: dense_net(mask=mask))
    with torch.no_grad():
        blocks[0].synapse.weight += 0.5
    weight = to_intnet(blocks, shape).layers[0].weight
    assert not weight[:, ::3].any() and (weight[:, 1::3] != 0).mean() > 0.8


def test_a_dense_block_on_images_reads_them_in_our_order():
    blocks, _ = built(lambda: ([block.Dense(PARAMETERS, (5, 4, 3), 6, weight_scale=8)], (3, 4, 5)), False)
    events = np.random.default_rng(3).integers(0, 2, (2, 6, 3, 4, 5)).astype(np.uint8)
    expected = run(blocks, torch.from_numpy(events).float().movedim(1, -1)).flatten(1, 3).movedim(-1, 1)
    found = definition.simulate(to_intnet(blocks, (3, 4, 5)), events).layers[0].spikes
    assert found.any()
    np.testing.assert_array_equal(found, expected.numpy())


def trained(bits: int) -> Network:
    torch.manual_seed(4)
    layers = (Conv(channels=6, kernel=(3, 3), stride=(2, 2)), Dense(neurons=20), Dense(neurons=10))
    return Network(
        Architecture(name="small", input=(1, 8, 8), layers=layers),
        Neuron(threshold=3.0),
        Quantization(weight_bits=bits),
        15,
    )


@pytest.mark.parametrize("bits", range(2, 9))
def test_weights_have_the_levels_of_their_bits(tmp_path, bits):
    network = trained(bits)
    with torch.no_grad():
        for one in network.layers:
            one.synapse.weight.normal_(std=4)  # reaches every level, and beyond both ends
    net = to_intnet(network.blocks, network.input_shape, message_bits=4)
    step = 1 << (9 - bits)
    levels = set(range(-256, 256, step))
    for layer in net.layers:
        values = np.unique(layer.weight).tolist()
        assert set(values) <= levels and (values[0], values[-1]) == (-256, 256 - step)
        assert len(values) > min(len(levels), 20) / 2
    netx.save(net, tmp_path / "few.net")
    events = np.random.default_rng(5).integers(0, 16, (2, 5, 1, 8, 8))
    left, right = (definition.simulate(one, events, states=True) for one in (net, netx.load(tmp_path / "few.net")))
    for ours, read in zip(left.layers, right.layers, strict=True):
        assert ours.u is not None and read.u is not None
        np.testing.assert_array_equal(ours.u, read.u)
        np.testing.assert_array_equal(ours.spikes, read.spikes)


def test_metadata_is_attached():
    network = trained(8)
    net = to_intnet(network.blocks, network.input_shape, steps=7, message_bits=4, provenance={"a": 1})
    assert isinstance(net, IntNet)
    assert (net.steps, net.message_bits, net.provenance, net.input_shape) == (7, 4, {"a": 1}, (1, 8, 8))
    assert [layer.shape for layer in net.layers] == [(6, 3, 3), (20,), (10,)]


def spoilt(value: float, make: Callable = dense_net) -> tuple[Blocks, tuple[int, ...]]:
    blocks, shape = built(make)
    weight = blocks[-1].synapse.weight.data
    if value:
        weight.view(-1)[3] = value
    else:
        weight.fill_(0.01)  # rounds to 0
    return blocks, shape


def with_delays(longest: float = 3.4) -> tuple[Blocks, tuple[int, ...]]:
    """Axonal delays of 0 to `longest` steps behind the first block."""
    blocks, shape = built(lambda: dense_net(delay=True), delay_shift=False)
    blocks[0].delay.delay.data.copy_(torch.linspace(0, longest, 7))
    return blocks, shape


def with_last_delays(longest: float) -> tuple[Blocks, tuple[int, ...]]:
    """Axonal delays of 0 to `longest` steps behind both blocks."""

    def make() -> tuple[Blocks, tuple[int, ...]]:
        first, last = (block.Dense(PARAMETERS, *sizes, weight_scale=6, delay=True) for sizes in ((12, 7), (7, 4)))
        return [first, last], (12,)

    blocks, shape = built(make, delay_shift=False)
    for one, count in zip(blocks, (7, 4), strict=True):
        one.delay.delay.data.copy_(torch.linspace(0, longest, count))
    return blocks, shape


def with_conv_delays(behind: int) -> tuple[Blocks, tuple[int, ...]]:
    """Axonal delays of each channel behind one of the convolutions."""

    def make() -> tuple[Blocks, tuple[int, ...]]:
        blocks, shape = conv_net()
        options = [{"delay": number == behind} for number in range(2)]
        blocks[0] = block.Conv(PARAMETERS, 2, 4, (3, 5), stride=(2, 1), padding=(1, 2), weight_scale=6, **options[0])
        blocks[1] = block.Conv(PARAMETERS, 4, 6, 2, dilation=(1, 2), groups=2, weight_scale=5, **options[1])
        return blocks, shape

    blocks, shape = built(make, delay_shift=False)
    blocks[behind].delay.delay.data.copy_(torch.linspace(0, 4.6, (4, 6)[behind]))
    return blocks, shape


def after(last: torch.nn.Module, make: Callable = dense_net) -> tuple[Blocks, tuple[int, ...]]:
    blocks, shape = make()
    return [*blocks, last], shape


REFUSED = {
    "NaN": (lambda: spoilt(float("nan")), r"block 1 \(Dense\): weights are not finite"),
    "NaN behind a convolution": (lambda: spoilt(float("nan"), conv_net), r"block 3 \(Dense\): weights are not finite"),
    "decays not drawn yet": (drawn_net, r"block 0 \(Dense\): .*run the network once"),
    "weights not quantized": (lambda: dense_net(pre_hook_fx=None), r"block 0 \(Dense\): its pre_hook_fx"),
    "weights quantized otherwise": (
        lambda: dense_net(pre_hook_fx=lambda weight, descale=False: weight * 64),
        r"block 0 \(Dense\): weights are not integers",
    ),
    "all zero": (lambda: spoilt(0), r"block 1 \(Dense\): all weights are 0"),
    "zero conv": (lambda: spoilt(0, lambda: (conv_net()[0][:2], (2, 8, 7))), r"block 1 \(Conv\): all weights are 0"),
    "long delays": (lambda: with_delays(63), r"block 0 \(Dense\): axonal delays of up to 63.0 steps, expected 62"),
    "delays of a convolution": (lambda: with_conv_delays(0), r"block 1 \(Conv\): .*delays of a convolution"),
    "delays of the last convolution": (
        lambda: (with_conv_delays(1)[0][:2], (2, 8, 7)),
        r"block 1 \(Conv\): .*train the last block without",
    ),
    "long delays in sum": (lambda: with_last_delays(40), r"block 1 \(Dense\): delays of up to 80 steps, with those of"),
    "pool": (
        lambda: after(block.Pool(PARAMETERS, 2), conv_net),
        r"block 4 \(Pool\): only CUBA Dense, Conv and Flatten.*use a conv layer with stride 2",
    ),
    "average": (lambda: after(block.Average(2)), r"block 2 \(Average\)"),
    "affine in the middle": (
        lambda: ([block.Affine(PARAMETERS, 12, 4), block.Dense(PARAMETERS, 4, 2)], (12,)),
        r"block 0 \(Affine\): never fires",
    ),
    "recurrent": (lambda: after(block.Recurrent(PARAMETERS, 4, 2)), r"block 2 \(Recurrent\)"),
    "other neurons": (
        lambda: after(
            slayer.block.alif.Dense(
                {**PARAMETERS, "threshold_step": 1, "threshold_decay": 0.1, "refractory_decay": 0.1}, 4, 2
            )
        ),
        r"block 2 \(Dense\)",
    ),
    "no block": (lambda: after(torch.nn.Linear(4, 2)), r"block 2 \(Linear\)"),
    "norm": (
        lambda: after(block.Dense({**PARAMETERS, "norm": slayer.neuron.norm.MeanOnlyBatchNorm}, 4, 2)),
        r"block 2 \(Dense\): .*norm",
    ),
    "graded spikes": (
        lambda: after(block.Dense({**PARAMETERS, "graded_spike": True}, 4, 2)),
        r"block 2 \(Dense\): .*grad",
    ),
    "a convolution behind a dense layer": (
        lambda: after(block.Conv(PARAMETERS, 4, 2, 3)),
        r"block 2 \(Conv\): .*C, H, W",
    ),
    "a convolution of other channels": (
        lambda: after(block.Conv(PARAMETERS, 9, 2, 1), lambda: (conv_net()[0][:2], (2, 8, 7))),
        r"block 2 \(Conv\): .*\(9, H, W\).*\(6, 3, 5\)",
    ),
    "a dense layer of other inputs": (
        lambda: after(block.Dense(PARAMETERS, 9, 2)),
        r"block 2 \(Dense\): reads 9 inputs.*\(4,\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_exact_integer_form_is_refused_by_block(case):
    make, message = REFUSED[case]
    blocks, shape = make()
    with pytest.raises(QuantizationError, match=message):
        to_intnet(blocks, shape)


def test_axonal_delays_are_those_of_the_next_layers_inputs():
    blocks, shape = with_delays()
    net = to_intnet(blocks, shape)
    first, second = net.layers
    assert isinstance(first, IntDense) and isinstance(second, IntDense) and first.delay is None
    np.testing.assert_array_equal(second.delay, [[0, 0, 1, 1, 2, 2, 3]] * 4)
    events = np.random.default_rng(2).integers(0, 2, (3, 11, *shape)).astype(np.uint8)
    expected = run(blocks, torch.from_numpy(events).float().movedim(1, -1)).movedim(-1, 1)
    found = definition.simulate(net, events).layers[-1].spikes
    assert found.any()
    np.testing.assert_array_equal(found, expected.numpy())


@pytest.mark.parametrize("make", [lambda: with_last_delays(19.5), lambda: with_conv_delays(1)], ids=["last", "conv"])
def test_delays_give_slayers_spikes(make, tmp_path):
    blocks, shape = make()
    net = to_intnet(blocks, shape)
    events = np.random.default_rng(2).integers(0, 2, (4, 60, *shape)).astype(np.uint8)
    expected = run(blocks, torch.from_numpy(events).float().movedim(1, -1)).movedim(-1, 1)
    found = definition.simulate(net, events).layers[-1].spikes
    assert found.sum() > 50
    np.testing.assert_array_equal(found, expected.numpy())
    netx.save(net, tmp_path / "x.net")
    np.testing.assert_array_equal(netx.load(tmp_path / "x.net").layers[-1].delay, net.layers[-1].delay)


@pytest.mark.parametrize("dynamics", [True, False])
def test_a_last_affine_block_is_read_by_its_membrane(dynamics, tmp_path, same_net):
    blocks, shape = built(
        lambda: after(block.Affine(PARAMETERS, 4, 3, weight_scale=5, dynamics=dynamics)), delay_shift=False
    )
    net = to_intnet(blocks, shape)
    assert (net.readout.kind, net.layers[-1].neuron.can_fire) == ("membrane", False)
    events = np.random.default_rng(2).integers(0, 2, (4, 20, *shape)).astype(np.uint8)
    expected = run(blocks, torch.from_numpy(events).float().movedim(1, -1)).movedim(-1, 1).numpy() * 4096
    v = definition.simulate(net, events, states=True).layers[-1].v
    assert np.abs(v).max() > 0
    np.testing.assert_array_equal(v, expected if dynamics else expected.cumsum(axis=1))
    same_net(net, netx.load(lava_export(blocks, tmp_path / "theirs.net")))


def test_delays_below_one_step_are_none():
    """A fresh delay is drawn from [0, 1), which lava-dl cuts off to 0."""
    blocks, shape = built(lambda: dense_net(delay=True))
    assert to_intnet(blocks, shape).layers[0].delay is None
