"""Products of spikes: sparse ones against torch's own."""

import pytest
import torch
import torch.nn.functional as F

from snnkd.training import slayer
from snnkd.training.kernels import sparse
from snnkd.training.products import sums, weight_of

pytestmark = pytest.mark.training

ROUNDING = 4 * torch.finfo(torch.float32).eps  # of a sum in any order, as a share of the magnitudes of its terms


@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(1, 1, 1), (5, 8, 32), (33, 19, 70), (300, 100, 10)])
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("graded", [False, True])
def test_sparse_products_are_dense_ones(rows, inputs, outputs, share, graded):
    random = torch.Generator().manual_seed(rows)
    kept = torch.rand(rows, 2, inputs, generator=random) < share
    x = (torch.randint(-15, 16, (rows, 2, inputs), generator=random) if graded else 1) * kept.float()
    weight = torch.randint(-128, 128, (outputs, inputs), generator=random) / 32
    grad = torch.randn(2, rows, outputs, generator=random)

    def run(product, dtype, of=lambda value: value):
        leaves = [of(value).to(dtype, copy=True).requires_grad_() for value in (x, weight)]
        sums = product(leaves[0].transpose(0, 1), leaves[1])
        sums.backward(of(grad).to(dtype))
        return sums.detach(), [leaf.grad.double() for leaf in leaves]

    sums, grads = run(sparse.Product.apply, torch.float32)
    dense, exact = run(F.linear, torch.float64)
    assert torch.equal(sums.double(), dense), "integers are exact in any order"
    _, terms = run(F.linear, torch.float64, of=torch.abs)  # the sums of the magnitudes of what is added
    for ours, expected, size in zip(grads, exact, terms, strict=True):
        assert ((ours - expected).abs() <= ROUNDING * size).all()
        rounded = float(torch.finfo(torch.float32).eps * size.max())  # above 1e-4 with 600 graded terms alone
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=max(1e-4, rounded))


@pytest.mark.parametrize(
    ("channels", "size", "outputs", "kernel", "stride", "padding"),
    [
        (16, (7, 6), 32, (3, 3), [2, 2], [1, 1]),
        (3, (5, 9), 40, (2, 3), [1, 2], [0, 2]),
        (9, (4, 4), 5, (5, 5), [1, 1], [3, 2]),
        (33, (1, 1), 1, (1, 1), [1, 1], [0, 0]),
        (16, (3, 2), 8, (2, 1), [1, 2], [3, 4]),  # some outputs see nothing but padding
    ],
)
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_sparse_convolutions_are_dense_ones(channels, size, outputs, kernel, stride, padding, share, graded, threads):
    random = torch.Generator().manual_seed(channels)
    shape = (3, 7, *size, channels)
    kept = torch.rand(shape, generator=random) < share
    x = ((torch.randint(-15, 16, shape, generator=random) if graded else 1) * kept.float()).movedim(-1, 2)
    weight = torch.randint(-128, 128, (outputs, channels, *kernel), generator=random) / 32

    def dense(x, weight, stride, padding):
        return F.conv2d(x.flatten(0, 1), weight, None, stride, padding).unflatten(0, x.shape[:2])

    ours, expected = [], []
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    for convolution, results in ((sparse.Convolution.apply, ours), (dense, expected)):
        leaves = [value.clone().requires_grad_() for value in (x, weight)]
        convolved = convolution(*leaves, stride, padding)
        convolved.backward(torch.randn(convolved.shape, generator=torch.Generator().manual_seed(1)))
        results += [convolved.detach(), *(leaf.grad for leaf in leaves)]
    torch.set_num_threads(before)
    assert torch.equal(ours[0], expected[0]), "integers are exact in any order"
    for grad, dense_grad in zip(ours[1:], expected[1:], strict=True):
        torch.testing.assert_close(grad, dense_grad, rtol=1e-5, atol=1e-3)


def test_sparse_products_are_taken_where_they_pay():
    x = torch.zeros(4, 256, 800)
    assert sparse.pays(x, 256)
    assert not sparse.pays(x.transpose(1, 2), 256), "features apart in memory"
    assert not sparse.pays(x[:1, :4], 8), "too small"
    x[:, :, ::3] = 1
    assert not sparse.pays(x, 256), "too dense"
    assert not sparse.pays(torch.zeros(4, 256, 800, device="meta"), 256)


@pytest.mark.parametrize("share", [0.05, 0.9])
def test_a_dense_block_behind_a_convolution_reads_its_channels_in_order(share):
    """Whatever the order in memory and the kind of product."""
    random = torch.Generator().manual_seed(0)
    block = slayer.Dense({"threshold": 1, "current_decay": 1, "voltage_decay": 1}, 8 * 6 * 5, 300)
    x = (torch.rand(16, 20, 8, 6, 5, generator=random) < share).float()
    weight = weight_of(block)
    expected = x.flatten(2).double() @ weight.flatten(1).double().T
    last = x.movedim(2, -1).contiguous().movedim(-1, 2)
    for same in (x, last):
        torch.testing.assert_close(sums(block, same, weight).double(), expected, rtol=1e-6, atol=1e-5)
