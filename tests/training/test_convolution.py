"""Convolutions of few input channels and their gradients, against torch's own."""

import pytest
import torch
import torch.nn.functional as F

from snnkd.training import slayer
from snnkd.training.kernels.convolution import Conv
from snnkd.training.products import sums, weight_of

pytestmark = pytest.mark.training

CASES = [
    ((1, 5, 6), 3, (3, 3), [1, 1], [0, 0]),
    ((1, 28, 28), 8, (5, 5), [2, 2], [0, 0]),
    ((8, 12, 12), 16, (3, 3), [2, 2], [0, 0]),
    ((3, 9, 8), 5, (3, 2), [2, 1], [2, 1]),
    ((2, 7, 9), 40, (2, 5), [3, 2], [1, 0]),
    ((4, 6, 6), 24, (1, 2), [3, 3], [0, 0]),
    ((13, 5, 7), 9, (5, 7), [1, 1], [0, 0]),
]


def _events(shape, high=256):
    """(T, N, *shape), integers from 0 below `high`, most of them 0, channels last."""
    random = torch.Generator().manual_seed(1)
    kept = torch.rand(5, 14, *shape, generator=random) < 0.3
    events = torch.randint(high, kept.shape, generator=random) * kept.float()
    return events.movedim(2, -1).contiguous().movedim(-1, 2)


def _weight(outputs, channels, kernel):
    return torch.randint(-128, 128, (outputs, channels, *kernel), generator=torch.Generator().manual_seed(2)) / 32


def _results(conv, x, weight, stride, padding, threads=1):
    """The convolution, and the gradients of its weights and its input."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    leaves = [weight.clone().requires_grad_(), x.clone().requires_grad_()]
    convolved = conv(leaves[1], leaves[0], stride, padding)
    convolved.backward(torch.randn(convolved.shape, generator=torch.Generator().manual_seed(3)))
    torch.set_num_threads(before)
    return [convolved.detach(), *(value.grad for value in leaves)]


def _torchs(x, weight, stride, padding):
    return F.conv2d(x.flatten(0, 1), weight, None, stride, padding).unflatten(0, x.shape[:2])


@pytest.mark.parametrize(("shape", "outputs", "kernel", "stride", "padding"), CASES)
def test_it_is_torchs(shape, outputs, kernel, stride, padding):
    x, weight = _events(shape), _weight(outputs, shape[0], kernel)
    ours = _results(Conv.apply, x, weight, stride, padding)
    expected = _results(_torchs, x.double(), weight.double(), stride, padding)
    assert torch.equal(ours[0].double(), expected[0]), "integers are exact in any order"
    for gradient, exact in zip(ours[1:], expected[1:], strict=True):
        torch.testing.assert_close(gradient.double(), exact, rtol=1e-5, atol=1e-5 * float(exact.abs().max()))


@pytest.mark.parametrize(("shape", "outputs", "kernel", "stride", "padding"), CASES[2:4])
def test_every_bit_is_the_same_with_any_number_of_threads(shape, outputs, kernel, stride, padding):
    x, weight = _events(shape).repeat(1, 5, 1, 1, 1), _weight(outputs, shape[0], kernel)
    once = _results(Conv.apply, x, weight, stride, padding)
    for first, again in zip(once, _results(Conv.apply, x, weight, stride, padding, threads=3), strict=True):
        assert torch.equal(first, again)


def test_the_order_in_memory_does_not_matter():
    """Samples first, as the training data are; channels first; steps that are all the same."""
    x, weight = _events((3, 9, 8)), _weight(5, 3, (3, 2))
    expected = Conv.apply(x, weight, [2, 1], [0, 0])
    samples_first = x.transpose(0, 1).movedim(2, -1).contiguous().movedim(-1, 2).transpose(0, 1)
    assert samples_first.stride() != x.stride()
    for same in (samples_first, x.contiguous()):
        assert torch.equal(Conv.apply(same, weight, [2, 1], [0, 0]), expected)
    repeated = Conv.apply(x[:1].expand(4, *x.shape[1:]), weight, [2, 1], [0, 0])
    assert torch.equal(repeated, expected[:1].expand_as(repeated))


@pytest.mark.parametrize(
    ("channels", "settings"), [(4, {"stride": 2}), (4, {"dilation": (2, 1)}), (4, {"groups": 2}), (30, {"padding": 1})]
)
def test_a_block_convolves_whatever_its_settings(channels, settings):
    neuron = {"threshold": 1, "current_decay": 1, "voltage_decay": 1}
    block = slayer.Conv(neuron, channels, 6, 3, **settings)
    x, weight = _events((channels, 8, 7)), weight_of(block).detach()
    expected = F.conv2d(x.flatten(0, 1).double(), weight.double(), None, **settings).unflatten(0, x.shape[:2])
    torch.testing.assert_close(sums(block, x, weight).double(), expected, rtol=1e-5, atol=1e-3)
