"""Convolutions that a library chooses the algorithm of: exact, or made in float64."""

import pytest
import torch
import torch.nn.functional as F

from snnkd.training import exact

OPTIONS = {"stride": [1, 2], "padding": [1, 0], "dilation": [2, 1], "groups": 2}


@pytest.fixture
def integers():
    random = torch.Generator().manual_seed(1)
    images = torch.randint(0, 16, (5, 4, 9, 8), generator=random).float()
    return images, torch.randint(-128, 128, (6, 2, 3, 3), generator=random) / 32


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(exact, "_known", {})


def test_an_exact_algorithm_is_used(integers):
    assert torch.equal(exact.convolution(*integers, **OPTIONS), F.conv2d(*integers, None, **OPTIONS))
    assert list(exact._known.values()) == [True]


@pytest.mark.parametrize("error", [1e-3, float("nan")])
def test_one_that_rounds_is_replaced_by_float64(integers, error, monkeypatch):
    expected, real = F.conv2d(*integers, None, **OPTIONS), F.conv2d

    def rounding(images, *arguments):
        convolved = real(images, *arguments)
        return convolved + error if images.dtype == torch.float32 else convolved

    monkeypatch.setattr(exact.F, "conv2d", rounding)
    for _ in range(2):
        convolved = exact.convolution(*integers, **OPTIONS)
        assert convolved.dtype == torch.float32 and torch.equal(convolved, expected)
    assert list(exact._known.values()) == [False]


def test_each_shape_is_tried_once_and_no_random_numbers_are_drawn(integers, monkeypatch):
    tried, real = [], exact._is_exact
    monkeypatch.setattr(exact, "_is_exact", lambda *arguments: tried.append(1) or real(*arguments))
    images, weight = integers
    before = torch.get_rng_state()
    for rows in (images, images, images[:3], images[:3]):
        exact.convolution(rows, weight, **OPTIONS)
    assert len(tried) == 2 and torch.equal(before, torch.get_rng_state())
