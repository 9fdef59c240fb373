"""Networks of SLAYER blocks, run time-first: against SLAYER's own layout, and against the definition."""

import numpy as np
import pytest
import torch

from snnkd.base.errors import QuantizationError
from snnkd.engines.reference import definition
from snnkd.ir.arithmetic import THRESHOLD_LIMIT
from snnkd.recipe.architecture import Architecture, Conv, Dense
from snnkd.recipe.tables import Neuron, Quantization
from snnkd.training import slayer
from snnkd.training.deploy import to_intnet
from snnkd.training.dynamics import S_SCALE, W_SCALE
from snnkd.training.network import Network

pytestmark = pytest.mark.training

STEPS, SAMPLES = 6, 3

PLANS = {
    "dense": ((2, 4, 3), (Dense(neurons=9), Dense(neurons=5))),
    "vector": ((11, 1, 1), (Dense(neurons=4),)),
    "conv": ((1, 8, 8), (Conv(channels=4, kernel=(3, 3)), Dense(neurons=5))),
    "strided and padded": (
        (2, 9, 8),
        (
            Conv(channels=6, kernel=(3, 5), stride=(2, 1), padding=(1, 2)),
            Conv(channels=3, kernel=(3, 2), stride=(2, 2), padding=(0, 1)),
            Dense(neurons=7),
            Dense(neurons=5),
        ),
    ),
    "dilated and grouped": (
        (2, 9, 9),
        (
            Conv(channels=6, kernel=(3, 2), dilation=(2, 3), padding=(1, 0), groups=2),
            Conv(channels=6, kernel=(2, 2), groups=6),
            Conv(channels=3, kernel=(3, 3), stride=(2, 3), dilation=(1, 2), groups=3),
        ),
    ),
}
NEURONS = {
    "no current memory": Neuron(current_decay=1.0, voltage_decay=0.03),
    "both leak": Neuron(current_decay=0.3, voltage_decay=0.1),
    "no leak": Neuron(current_decay=0.0, voltage_decay=0.0, threshold=0.9),
}


def plan(shape: tuple[int, int, int], layers: tuple[Conv | Dense, ...]) -> Architecture:
    return Architecture(name="tiny", input=shape, layers=layers)


def network(name: str = "conv", neuron: str = "no current memory", weight_bits: int = 8, top: int = 15) -> Network:
    torch.manual_seed(len(name))
    network = Network(plan(*PLANS[name]), NEURONS[neuron], Quantization(weight_bits=weight_bits), top)
    network.calibrate(events(network, top))
    return network.eval()


def events(net: Network, top: int = 15, seed: int = 0, still: bool = False) -> torch.Tensor:
    """(N, T, C, H, W) float32; `still` repeats one image with a time axis of stride 0, as direct encoding has it."""
    random = np.random.default_rng(seed)
    image = random.integers(0, top + 1, (SAMPLES, 1 if still else STEPS, *net.input_shape)).astype(np.float32)
    return torch.from_numpy(image).expand(SAMPLES, STEPS, *net.input_shape)


def check_against_definition(net: Network, given: torch.Tensor, bits: int) -> None:
    integer = to_intnet(net.blocks, net.input_shape, message_bits=bits)
    raw = given.numpy().astype(np.uint8)
    if given.stride(1) == 0:
        raw = np.broadcast_to(raw[:, :1], raw.shape)
    expected = definition.simulate(integer, raw)
    output = net(given)
    for block, spikes, layer in zip(net.layers, output.layers, expected.layers, strict=True):
        np.testing.assert_array_equal(spikes.detach().numpy().swapaxes(0, 1), layer.spikes, err_msg=layer.name)
        assert (block.neuron.overflows, block.neuron.saturations) == (layer.overflows, layer.saturations)
    last = expected.layers[-1]
    np.testing.assert_array_equal(output.v_last.detach().double().numpy() * S_SCALE, last.v_last)
    counts = output.sat.sum(dim=0).T.flatten(1) if output.sat.ndim == 3 else None
    if counts is not None:
        np.testing.assert_array_equal(counts.detach().numpy(), expected.counts)
    traced = net.trace(raw, integer.names)
    for mine, layer in zip(traced.layers, expected.layers, strict=True):
        np.testing.assert_array_equal(mine.spikes, layer.spikes)
    np.testing.assert_array_equal(traced.layers[-1].v_last, last.v_last)


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("name", PLANS)
def test_time_first_equals_the_same_blocks_in_the_layout_of_slayer(name, neuron):
    net = network(name, neuron)
    given = events(net)
    output = net(given)
    x, layer = given.movedim(1, -1), 0  # (N, C, H, W, T)
    for block in net.blocks:
        if isinstance(block, slayer.Dense) and x.ndim != 3:
            x = x.flatten(1, 3)
        x = block(x)
        if isinstance(block, slayer.Flatten):
            continue
        assert torch.equal(x, output.layers[layer].movedim(0, -1)), f"layer {layer}"
        assert 0 < x.mean() < 1, "a layer that is silent or saturated shows nothing"
        layer += 1
    assert layer == len(output.layers) == len(net.layers)


@pytest.mark.parametrize("still", [True, False], ids=["one image at all steps", "other events at each step"])
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("name", PLANS)
def test_equals_the_definition_on_graded_input(name, neuron, still):
    net = network(name, neuron)
    check_against_definition(net, events(net, seed=1, still=still), 4)


@pytest.mark.parametrize("name", PLANS)
def test_equals_the_definition_on_spikes(name):
    net = network(name, "both leak", top=1)
    check_against_definition(net, events(net, 1, seed=2), 0)


@pytest.mark.parametrize("bits", [2, 3, 5])
def test_equals_the_definition_with_few_weight_bits(bits):
    net = network("strided and padded", "both leak", weight_bits=bits)
    check_against_definition(net, events(net, seed=3), 4)


def test_equals_the_definition_where_states_overflow():
    """Weights and images at the top of their ranges, the current never leaks: u wraps, v is clipped."""
    net = Network(plan((1, 30, 30), (Dense(neurons=6), Dense(neurons=4))), NEURONS["no leak"], event_max=15)
    random = np.random.default_rng(4)
    with torch.no_grad():
        for block in net.layers:
            drawn = torch.from_numpy(random.uniform(1, 4, block.synapse.weight.shape)).float()
            drawn[::2] *= -1  # half of the neurons never fire, and sink
            block.synapse.weight.copy_(drawn)
    check_against_definition(net, events(net, seed=4), 4)
    assert net.layers[0].neuron.overflows and net.layers[0].neuron.saturations


@pytest.mark.parametrize(
    ("shape", "layer"),
    [((8738, 1, 1), Dense(neurons=3)), ((2184, 2, 2), Conv(channels=3, kernel=(1, 1)))],
    ids=["dense", "conv"],
)
def test_the_largest_sums_that_are_let_through_are_exact(shape, layer):
    net = Network(plan(shape, (layer,)), NEURONS["both leak"], event_max=15)
    random = np.random.default_rng(6)
    with torch.no_grad():
        weight = net.layers[0].synapse.weight
        near_the_end = torch.from_numpy(random.integers(-128, -124, tuple(weight.shape)) * 2 / W_SCALE).float()
        near_the_end[1] *= -1
        near_the_end[2] *= torch.from_numpy(random.choice([-1.0, 1.0], tuple(weight.shape[1:]))).float()
        weight.copy_(near_the_end)
    given = torch.from_numpy(random.integers(14, 16, (2, 3, *shape)).astype(np.float32))
    given[:, 0] = 15
    check_against_definition(net, given, 4)


@pytest.mark.parametrize(
    ("shape", "layer"),
    [((8739, 1, 1), Dense(neurons=3)), ((2185, 2, 2), Conv(channels=3, kernel=(1, 1)))],
    ids=["dense", "conv"],
)
def test_sums_that_could_be_rounded_are_refused_by_layer(shape, layer):
    with pytest.raises(QuantizationError, match=r"tiny, layers\.0: .*fewer encoding bits"):
        Network(plan(shape, (layer,)), Neuron(), event_max=15)
    Network(plan(shape, (layer,)), Neuron(), event_max=7)


def test_later_layers_read_spikes_whatever_the_encoding_is():
    layers = (Conv(channels=200, kernel=(1, 1)), Dense(neurons=2))
    Network(plan((1, 7, 7), layers), Neuron(), event_max=255)  # 9800 x 255 would be refused, 9800 x 1 is not
    layers = (Conv(channels=1000, kernel=(1, 1)), Conv(channels=2, kernel=(6, 6)))
    with pytest.raises(QuantizationError, match=r"layers\.1"):
        Network(plan((1, 7, 7), layers), Neuron(), event_max=1)


def test_no_block_delays_its_spikes():
    """SLAYER's default drops the last step in every block."""
    for name in PLANS:
        blocks = network(name).layers
        assert blocks and not any(block.delay_shift for block in blocks)
        assert all(block.delay is None for block in blocks)


@pytest.mark.parametrize("name", PLANS)
def test_calibration_is_deterministic_and_lets_every_layer_fire(name):
    first, second = network(name), network(name)
    thresholds = [block.neuron.v_th_mant for block in first.layers]
    assert thresholds == [block.neuron.v_th_mant for block in second.layers]
    assert all(1 <= threshold <= THRESHOLD_LIMIT for threshold in thresholds)
    rates = [spikes.mean().item() for spikes in first(events(first)).layers]
    assert all(0 < rate < 0.8 for rate in rates), rates


def test_calibration_sets_a_multiple_of_the_spread_of_the_sums():
    net = Network(plan(*PLANS["vector"]), Neuron(threshold_gain=1.5), event_max=15)
    given = events(net)
    net.calibrate(given)
    weight = to_intnet(net.blocks, net.input_shape, message_bits=4).layers[0].weight
    sums = given.flatten(2).numpy() @ weight.T
    assert net.layers[0].neuron.v_th_mant == pytest.approx(1.5 * sums.std(ddof=1), abs=1)


@pytest.mark.parametrize(("gain", "top", "expected"), [(1e9, 15, THRESHOLD_LIMIT), (1e-9, 15, 1), (1.0, 0, 1)])
def test_calibrated_thresholds_stay_in_range(gain, top, expected):
    net = Network(plan(*PLANS["vector"]), Neuron(threshold_gain=gain), event_max=15)
    net.calibrate(events(net, top))
    assert net.layers[0].neuron.v_th_mant == expected


def test_thresholds_that_the_recipe_fixes_stay():
    net = network("conv", "no leak")
    assert [block.neuron.v_th_mant for block in net.layers] == [57, 57]


def test_calibrated_thresholds_travel_with_the_weights():
    trained, fresh = network("conv"), Network(plan(*PLANS["conv"]), NEURONS["no current memory"], event_max=15)
    fresh.load_state_dict(trained.state_dict())
    given = events(trained)
    assert torch.equal(fresh(given).sat, trained(given).sat)


def test_initial_weights_use_the_range_without_leaving_it():
    for name in PLANS:
        for block in network(name).layers:
            weight = block.neuron.quantize_8bit(block.synapse.weight, descale=True)
            assert 4 < weight.std() < 40 and weight.abs().max() < 254


@pytest.mark.parametrize("bits", range(2, 9))
def test_initial_weights_of_few_bits_are_not_all_zero(bits):
    """A layer of zeros passes no gradient on: it would stay one."""
    net = network("strided and padded", weight_bits=bits)
    for layer in to_intnet(net.blocks, net.input_shape, message_bits=4).layers:
        share = (layer.weight != 0).mean()
        assert share > 0.1 and np.abs(layer.weight).max() <= 256
    assert all(spikes.any() for spikes in net(events(net)).layers)


def test_gradients_reach_every_weight_in_both_layouts_of_time():
    for still in (True, False):
        net = network("strided and padded", "both leak").train()
        net(events(net, still=still)).sat.sum().backward()
        for block in net.layers:
            assert block.synapse.weight.grad.abs().sum() > 0
