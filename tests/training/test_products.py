"""Products of spikes: sparse ones and the gradient of a convolution's input, against torch's own."""

import pytest
import torch
import torch.nn.functional as F

from snnkd.training import slayer, sparse
from snnkd.training.products import _Conv, sums, weight_of


@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(1, 1, 1), (5, 8, 32), (33, 19, 70), (300, 100, 10)])
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_sparse_products_are_dense_ones(rows, inputs, outputs, share):
    random = torch.Generator().manual_seed(rows)
    kept = torch.rand(rows, inputs, generator=random) < share
    x = torch.randint(-15, 16, (rows, inputs), generator=random) * kept.float()
    weight = torch.randint(-128, 128, (outputs, inputs), generator=random) / 32
    grad = torch.randn(rows, outputs, generator=random)
    found, expected = [], []
    for product, results in ((sparse.Product.apply, found), (F.linear, expected)):
        inputs_of = [value.clone().requires_grad_() for value in (x, weight)]
        made = product(*inputs_of)
        made.backward(grad)
        results += [made.detach(), *(value.grad for value in inputs_of)]
    assert torch.equal(found[0], expected[0]), "integers are exact in any order"
    for one, other in zip(found[1:], expected[1:], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)


def test_sparse_products_are_taken_where_they_pay():
    x = torch.zeros(1024, 800)
    assert sparse.pays(x, 256)
    assert not sparse.pays(x[:4], 8), "too small"
    x[:, ::3] = 1
    assert not sparse.pays(x, 256), "too dense"
    assert not sparse.pays(torch.zeros(1024, 800, device="meta"), 256)


@pytest.mark.parametrize("share", [0.05, 0.9])
def test_a_dense_block_behind_a_convolution_reads_its_channels_in_order(share):
    """Whatever the order in memory and the kind of product."""
    random = torch.Generator().manual_seed(0)
    block = slayer.block.cuba.Dense({"threshold": 1, "current_decay": 1, "voltage_decay": 1}, 8 * 6 * 5, 300)
    x = (torch.rand(16, 20, 8, 6, 5, generator=random) < share).float()
    weight = weight_of(block)
    expected = x.flatten(2).double() @ weight.flatten(1).double().T
    last = x.movedim(2, -1).contiguous().movedim(-1, 2)
    for same in (x, last):
        torch.testing.assert_close(sums(block, same, weight).double(), expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "outputs", "kernel", "stride", "padding"),
    [
        ((1, 5, 6), 3, (3, 3), [1, 1], [0, 0]),
        ((8, 12, 12), 16, (3, 3), [2, 2], [0, 0]),
        ((3, 9, 8), 5, (3, 2), [2, 1], [2, 1]),
        ((2, 7, 9), 4, (2, 5), [3, 2], [1, 0]),
    ],
)
def test_gradients_of_a_convolution_are_those_of_torch(shape, outputs, kernel, stride, padding):
    random = torch.Generator().manual_seed(1)
    x = (torch.rand(70, *shape, generator=random) < 0.3).float().contiguous(memory_format=torch.channels_last)
    weight = torch.randn(outputs, shape[0], *kernel, generator=random)
    results = []
    for conv in (_Conv.apply, lambda x, w, stride, padding: F.conv2d(x, w, None, stride, padding)):
        leaves = [value.clone().requires_grad_() for value in (x, weight)]
        made = conv(*leaves, stride, padding)
        made.backward(torch.randn(made.shape, generator=torch.Generator().manual_seed(2)))
        results.append([made.detach(), *(value.grad for value in leaves)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
