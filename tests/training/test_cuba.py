"""The neuron that snnkd trains: against the definition (u, v, s, counts), and against lava-dl's where that is right."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lava.lib.dl import slayer

from snnkd.engines.reference import definition
from snnkd.ir.arithmetic import STATE_LIMIT, THRESHOLD_LIMIT
from snnkd.ir.network import Cuba as IntNeuron
from snnkd.ir.network import Dense, IntNet
from snnkd.training.dynamics import S_SCALE, W_SCALE
from snnkd.training.neuron import Neuron

pytestmark = pytest.mark.lava

MAX_CURRENT = (1 << 24) - 2  # even weights keep synaptic sums even; below 2^24 every integer is exact in float32


def neuron(current=0, voltage=0, threshold=64, **options) -> Neuron:
    """Decays in 1/4096, threshold as vThMant."""
    return Neuron(threshold / W_SCALE, current / 4096, voltage / 4096, **options)


def lava_neuron(current=0, voltage=0, threshold=64, **options):
    return slayer.neuron.cuba.Neuron(threshold / W_SCALE, current / 4096, voltage / 4096, **options)


def integers(values: torch.Tensor, scale: int = S_SCALE) -> np.ndarray:
    """SLAYER's units as the integers that they stand for; fails where they are none."""
    scaled = values.detach().double().numpy() * scale
    assert (scaled == np.rint(scaled)).all()
    return scaled.astype(np.int64)


def by_definition(a: np.ndarray, current: int, voltage: int, threshold: int, steps: int | None = None):
    """`reference` on currents a (T, N, neurons): a dense layer with the identity as its weights."""
    count = a.shape[2]
    parameters = (np.array(value, np.int32) for value in (current, voltage, threshold))
    layer = Dense(np.eye(count, dtype=np.int32), IntNeuron(*parameters))
    net = IntNet((count,), (layer,), message_bits=25)
    return definition.simulate(net, a.transpose(1, 0, 2), states=True).layers[0]


def check_against_definition(a: np.ndarray, current: int, voltage: int, threshold: int) -> None:
    expected = by_definition(a, current, voltage, threshold)
    model = neuron(current, voltage, threshold)
    currents = torch.from_numpy(a / W_SCALE).float()
    spikes, v_last = model.run(currents)
    assert spikes.dtype == v_last.dtype == torch.float32
    np.testing.assert_array_equal(spikes.numpy().transpose(1, 0, 2), expected.spikes)
    np.testing.assert_array_equal(integers(v_last), expected.v_last)
    assert (model.overflows, model.saturations) == (expected.overflows, expected.saturations)
    u, v = (states.permute(0, 2, 1) for states in model.dynamics(currents.permute(1, 2, 0)))
    np.testing.assert_array_equal(u.numpy(), (expected.u / S_SCALE).astype(np.float32))
    np.testing.assert_array_equal(np.where(expected.spikes, 0, integers(v)), expected.v)  # ours is v before the reset


def draw_currents(seed: int, largest: int, bias: float, shape: tuple[int, int, int]) -> np.ndarray:
    """Even integers up to `largest`, their mean pushed by `bias` so that states run into their limits."""
    random = np.random.default_rng(seed)
    a = random.uniform(-1, 1, shape) + bias
    a *= random.random(shape) < 0.7  # silence in between
    return np.clip(np.rint(a * largest / 2), -largest // 2, largest // 2).astype(np.int32) * 2


DECAYS = st.one_of(st.sampled_from([0, 1, 2048, 4095, 4096]), st.integers(0, 4096))
THRESHOLDS = st.one_of(st.sampled_from([1, 63, 64, 65, THRESHOLD_LIMIT]), st.integers(1, THRESHOLD_LIMIT))


@given(
    current=DECAYS,
    voltage=DECAYS,
    threshold=THRESHOLDS,
    magnitude=st.floats(1, 17),
    bias=st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]),
    seed=st.integers(0, 1 << 32),
)
@settings(max_examples=120, deadline=None)
def test_equals_the_definition_on_ordinary_currents(current, voltage, threshold, magnitude, bias, seed):
    a = draw_currents(seed, int(2**magnitude), bias, (9, 3, 4))
    check_against_definition(a, current, voltage, threshold)


@given(
    current=DECAYS,
    voltage=DECAYS,
    threshold=THRESHOLDS,
    magnitude=st.floats(16, 24),
    bias=st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]),
    seed=st.integers(0, 1 << 32),
)
@settings(max_examples=120, deadline=None)
def test_equals_the_definition_where_u_wraps_and_v_saturates(current, voltage, threshold, magnitude, bias, seed):
    a = draw_currents(seed, min(int(2**magnitude), MAX_CURRENT), bias, (9, 3, 4))
    check_against_definition(a, current, voltage, threshold)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("current", [0, 1, 100, 4096])
def test_equals_the_definition_under_the_largest_lasting_current(current, sign):
    """Kept currents add up beyond 32 bits, where Lava's int32 wraps."""
    a = np.full((12, 1, 1), sign * MAX_CURRENT, np.int32)
    check_against_definition(a, current, 3, THRESHOLD_LIMIT)


def test_limits_of_the_states_are_where_the_definition_has_them():
    """Single steps onto, and one beyond, the edges of 24 bits; the counts say what happened."""
    edge = STATE_LIMIT >> 6
    values = [edge - 1, edge, edge + 1, -edge + 1, -edge, -edge - 1]
    a = np.array(values, np.int32).reshape(1, 1, -1)
    check_against_definition(a, 0, 0, THRESHOLD_LIMIT)
    model = neuron(0, 0, THRESHOLD_LIMIT)
    spikes, v = model.run(torch.from_numpy(a / W_SCALE).float())
    assert model.overflows == 3  # +2^23 stays, -2^23 does not
    assert model.saturations == 2  # v at +2^23, and at the -2^23 that became one
    assert spikes.flatten().tolist() == [0, 1, 0, 0, 1, 0]
    assert integers(v).flatten().tolist() == [64 * (edge - 1), 0, 64 * (1 - edge), 64 * (1 - edge), 0, 64 * (edge - 1)]


def test_a_neuron_at_its_threshold_stays_silent():
    for threshold in (1, 63, 64, 5000, THRESHOLD_LIMIT):
        at = torch.full((1, 1, 1), threshold / W_SCALE)
        above = torch.full((1, 1, 1), (threshold + 1) / W_SCALE)
        assert not neuron(4096, 4096, threshold).run(at)[0].any()
        assert neuron(4096, 4096, threshold).run(above)[0].all()


@pytest.mark.parametrize("threshold", [1, 63, 64, 1000, 4095])
@pytest.mark.parametrize(("current", "voltage"), [(0, 0), (4096, 4096), (4096, 123), (700, 123), (1, 4095)])
def test_equals_the_neuron_of_lava_dl(current, voltage, threshold):
    """Below a threshold of 64 (vThMant 4096) and without overflow, lava-dl's CPU neuron is right."""
    random = np.random.default_rng(threshold)
    a = torch.from_numpy(random.integers(-threshold, threshold * 2, (3, 2, 4, 20)) / W_SCALE).float()
    mine, theirs = neuron(current, voltage, threshold), lava_neuron(current, voltage, threshold)
    torch.testing.assert_close(mine(a), theirs(a), rtol=0, atol=0)
    for ours, reference_states in zip(mine.dynamics(a), theirs.dynamics(a), strict=True):
        torch.testing.assert_close(ours, reference_states, rtol=0, atol=0)
    assert mine.device_params == theirs.device_params
    assert (mine.overflows, mine.saturations) == (0, 0)


@pytest.mark.parametrize("threshold", [0.3, 1.37, 20.99, 63.99])
def test_thresholds_and_decays_between_two_integers_become_what_lava_dl_makes_of_them(threshold):
    mine = Neuron(threshold, 0.1234, 0.0301)
    theirs = slayer.neuron.cuba.Neuron(threshold, 0.1234, 0.0301)
    assert mine.device_params == theirs.device_params
    assert mine.threshold == theirs.threshold


@pytest.mark.parametrize("scale_grad", [0.5, 1, 3])
@pytest.mark.parametrize("tau_grad", [0.03, 1])
@pytest.mark.parametrize(("current", "voltage"), [(0, 0), (4096, 4096), (4096, 123), (700, 123), (1, 4095)])
def test_gradients_equal_those_of_lava_dl(current, voltage, tau_grad, scale_grad):
    random = np.random.default_rng(3)
    a = torch.from_numpy(random.integers(-64, 200, (3, 2, 15)) / W_SCALE).float()
    direction = torch.from_numpy(random.normal(size=a.shape)).float()
    gradients = []
    for make in (neuron, lava_neuron):
        model = make(current, voltage, 96, tau_grad=tau_grad, scale_grad=scale_grad)
        leaf = a.clone().requires_grad_()
        model(leaf).backward(direction)
        gradients.append(leaf.grad)
    assert gradients[1].abs().max() > 0
    torch.testing.assert_close(gradients[0], gradients[1], rtol=2e-5, atol=1e-7)


def test_gradient_of_the_last_membrane_is_the_leak_and_stops_at_a_reset():
    model = neuron(current=2048, voltage=1024, threshold=128)  # u halves, v keeps 3/4
    leaf = torch.tensor([[0.25, 9.0], [0.25, 9.0], [0.25, 9.0]]).reshape(3, 1, 2).requires_grad_()
    spikes, v_last = model.run(leaf)
    v_last.sum().backward()
    assert spikes[-1].tolist() == [[0.0, 1.0]]
    assert leaf.grad is not None
    expected = [0.75**2 + 0.75 * 0.5 + 0.5**2, 0.75 + 0.5, 1.0]
    torch.testing.assert_close(leaf.grad[:, 0, 0], torch.tensor(expected))
    assert not leaf.grad[:, 0, 1].any()


def test_a_time_axis_of_stride_0_gives_the_same_and_gathers_the_gradient():
    step = torch.from_numpy(np.random.default_rng(5).integers(-30, 90, (1, 2, 6)) / W_SCALE).float()
    shared, copied = step.clone().requires_grad_(), step.repeat(8, 1, 1).requires_grad_()
    left, _ = neuron(100, 200, 150).run(shared.expand(8, 2, 6))
    right, _ = neuron(100, 200, 150).run(copied)
    assert torch.equal(left, right) and left.any()
    (left.sum() + right.sum()).backward()
    assert shared.grad is not None and copied.grad is not None
    torch.testing.assert_close(shared.grad[0], copied.grad.sum(dim=0))


@pytest.mark.parametrize("largest", [300, 1 << 20, MAX_CURRENT])
def test_persistent_state_split_in_two_equals_one_run(largest):
    a = torch.from_numpy(draw_currents(7, largest, 0.5, (12, 2, 3)) / W_SCALE).float()
    whole = neuron(3, 50, 9000)
    expected, expected_last = whole.run(a)
    halves = neuron(3, 50, 9000, persistent_state=True)
    first, _ = halves.run(a[:5])
    second, last = halves.run(a[5:])
    assert torch.equal(torch.cat([first, second]), expected)
    assert torch.equal(last, expected_last)
    assert expected.any()


def test_persistent_state_keeps_every_bit_of_a_current_beyond_24_bits():
    a = np.array([MAX_CURRENT - 2468, MAX_CURRENT - 8642, -MAX_CURRENT, 2], np.int32).reshape(4, 1, 1)
    expected = by_definition(a, 3, 4096, THRESHOLD_LIMIT).u[0, :, 0]
    assert expected[1] > 1 << 24 and expected[1] % 64  # float32 would cut these bits off
    currents = torch.from_numpy(a / W_SCALE).float()
    model = neuron(3, 4096, THRESHOLD_LIMIT, persistent_state=True)
    for start in (0, 2):
        model.run(currents[start : start + 2])
        assert integers(model.current_state).item() == expected[start + 1]


def test_without_persistent_state_every_run_starts_from_zero():
    a = torch.full((4, 1, 1), 0.6)
    model = neuron(0, 0, 64)
    assert torch.equal(model.run(a)[0], model.run(a)[0])


def test_persistent_state_starts_anew_with_another_batch_size():
    a = torch.full((2, 3, 1), 0.4)
    model = neuron(0, 0, 640, persistent_state=True)
    model.run(a)
    fresh, v = model.run(a[:, :1])
    assert not fresh.any()
    assert torch.equal(v, neuron(0, 0, 640).run(a[:, :1])[1])


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"norm": slayer.neuron.norm.MeanOnlyBatchNorm}, "norm"),
        ({"graded_spike": True}, "graded_spike"),
        ({"requires_grad": True}, "requires_grad"),
        ({"shared_param": False}, "shared_param"),
        ({"scale": 1 << 5}, "scale"),
        ({"weight_bits": 1}, "weight_bits"),
        ({"weight_bits": 9}, "weight_bits"),
    ],
)
def test_options_without_an_exact_integer_form_are_refused(options, word):
    with pytest.raises(ValueError, match=word):
        Neuron(1.0, 0.5, 0.5, **options)


def test_options_at_their_defaults_are_taken():
    Neuron(1.0, 0.5, 0.5, shared_param=True, norm=None, graded_spike=False, requires_grad=False, scale=1 << 6)


def test_thresholds_are_kept_within_the_17_bits_of_the_hardware():
    """A threshold of 0 would also make the width of the surrogate gradient 0, and the gradient NaN."""
    for threshold, mantissa in ((1e-4, 1), (1e6, THRESHOLD_LIMIT)):
        model = Neuron(threshold, 1.0, 1.0)
        assert model.v_th_mant == mantissa
        leaf = torch.zeros(2, 1, 1, requires_grad=True)
        model.run(leaf)[0].sum().backward()
        assert leaf.grad is not None and leaf.grad.isfinite().all()
    model.set_threshold(0)
    assert model.v_th_mant == 1
    model.set_threshold(1 << 20)
    assert model.v_th_mant == THRESHOLD_LIMIT


@pytest.mark.parametrize("bits", range(2, 9))
def test_weights_are_rounded_to_their_bits(bits):
    model = neuron(weight_bits=bits)
    weight = torch.linspace(-6, 6, 2001)
    rounded = model.quantize_8bit(weight, descale=True)
    step = 1 << (9 - bits)
    assert sorted(set(rounded.tolist())) == list(range(-256, 256, step))
    inside = (weight >= -4) & (weight <= (256 - step) / W_SCALE)
    assert ((rounded - weight * W_SCALE).abs() <= step / 2)[inside].all()
    torch.testing.assert_close(model.quantize_8bit(weight) * W_SCALE, rounded, rtol=0, atol=0)


@pytest.mark.parametrize(("bits", "step"), [(4, 8), (2, 2), (3, 64), (7, 2)])
def test_a_smaller_step_gives_a_smaller_range(bits, step):
    rounded = neuron(weight_bits=bits, weight_step=step).quantize_8bit(torch.linspace(-6, 6, 2001), descale=True)
    half = step << (bits - 1)
    assert sorted(set(rounded.tolist())) == list(range(-half, half, step))


@pytest.mark.parametrize("shape", [(7, 30, 1, 1, 1), (5, 4, 3, 3, 1)])
def test_centered_weights_have_no_mean_and_neither_has_their_gradient(shape):
    random = torch.Generator().manual_seed(4)
    weight = (torch.randn(shape, generator=random) / 2 + 1).requires_grad_()
    rounded = neuron(centered=True).quantize_8bit(weight)
    without = weight.detach() - weight.detach().double().mean(dim=(1, 2, 3, 4), keepdim=True).float()
    assert torch.equal(rounded, neuron().quantize_8bit(without))
    rounded.backward(torch.randn(shape, generator=random))
    assert weight.grad is not None and float(weight.grad.abs().max()) > 0.1
    assert float(weight.grad.mean(dim=(1, 2, 3, 4)).abs().max()) < 1e-6


def test_weights_of_0_stay_so_and_are_not_of_the_mean():
    weight = torch.tensor([[0.5, 0.0, 1.0, 0.0, 1.5], [0.0] * 5])[..., None, None, None].requires_grad_()
    rounded = neuron(centered=True).quantize_8bit(weight)
    assert rounded.flatten().tolist() == [-0.5, 0.0, 0.0, 0.0, 0.5, *[0.0] * 5]
    rounded.backward(torch.tensor([[3.0, 100.0, 6.0, 100.0, 0.0], [1.0] * 5])[..., None, None, None])
    assert weight.grad is not None and weight.grad.flatten()[[0, 2, 4]].tolist() == [0.0, 3.0, -3.0]


def test_eight_bit_weights_and_their_gradient_are_those_of_lava_dl():
    weight = torch.linspace(-6, 6, 2001)
    gradients = []
    for model in (neuron(), lava_neuron()):
        leaf = weight.clone().requires_grad_()
        model.quantize_8bit(leaf).sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(neuron().quantize_8bit(weight), lava_neuron().quantize_8bit(weight), rtol=0, atol=0)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=0)


def test_drop_in_for_the_neuron_of_a_slayer_block():
    """SLAYER's layout (N, features, T), forward and backward, in an untouched lava-dl block."""
    torch.manual_seed(2)
    parameters = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.1}
    block = slayer.block.cuba.Dense(parameters, 20, 7, weight_scale=4, delay_shift=False)
    events = (torch.rand(5, 20, 12) < 0.4).float()
    results = []
    for model in (block.neuron, Neuron(**parameters)):
        block.neuron = model
        block.zero_grad()
        spikes = block(events)
        spikes.square().sum().backward()
        results.append((spikes.detach(), block.synapse.weight.grad.clone(), block.shape))
    (theirs, their_gradient, their_shape), (ours, our_gradient, our_shape) = results
    assert ours.any() and torch.equal(ours, theirs) and our_shape == their_shape
    torch.testing.assert_close(our_gradient, their_gradient, rtol=1e-4, atol=1e-6)


def test_dropout_acts_on_the_spikes_in_training_only():
    model = neuron(4096, 4096, 1, dropout=torch.nn.Dropout(0.5))
    a = torch.ones(4, 50, 50)
    torch.manual_seed(1)
    assert 0.4 < (model.run(a)[0] == 0).float().mean() < 0.6
    model.eval()
    assert (model.run(a)[0] == 1).all()
