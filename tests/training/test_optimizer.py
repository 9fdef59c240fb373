"""Fused steps through memory: what torch's plain optimizer does on the tensors themselves; schedules."""

import numpy as np
import pytest
import torch

from snnkd.recipe.tables import Optimizer as Settings
from snnkd.training.loop.optimizer import Optimizer, learning_rate


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_steps_are_those_of_torch_whatever_the_order_in_memory(kind):
    torch.manual_seed(0)
    settings = Settings(kind=kind, lr=0.1, weight_decay=0.05, schedule="constant")
    weights = [torch.randn(7, 5).t().unsqueeze(-1), torch.randn(3, 2, 2, 2), torch.randn(())]
    own, plain = ([weight.clone().requires_grad_() for weight in weights] for _ in range(2))
    assert own[0].stride() != own[0].contiguous().stride()
    optimizer = Optimizer(settings, own[:2], own[2:])
    groups = [{"params": plain[:2], "weight_decay": 0.05}, {"params": plain[2:]}]
    expected = torch.optim.SGD(groups, lr=0.1, momentum=0.9) if kind == "sgd" else torch.optim.Adam(groups, lr=0.1)
    for _ in range(3):
        for ours, torchs in zip(own, plain, strict=True):
            ours.grad = torch.randn(ours.shape)
            torchs.grad = ours.grad.clone()
        optimizer.step(0.0)
        expected.step()
    for ours, torchs, start in zip(own, plain, weights, strict=True):
        assert ours.grad is None
        assert not torch.equal(ours, start)
        torch.testing.assert_close(ours, torchs)


def test_learning_rates_follow_their_schedules():
    done = np.linspace(0, 1, 101)[:-1]
    rates = {
        kind: np.array([learning_rate(Settings(lr=0.4, schedule=kind), part) for part in done])
        for kind in ("constant", "cosine", "one-cycle")
    }
    assert (rates["constant"] == 0.4).all()
    np.testing.assert_allclose(rates["cosine"], 0.2 * (1 + np.cos(np.pi * done)))
    rising, falling = rates["one-cycle"][:31], rates["one-cycle"][30:]
    np.testing.assert_allclose(np.diff(rising), np.diff(rising)[0])  # a straight line up to the peak
    assert rising[0] == pytest.approx(0.016) and rising[-1] == pytest.approx(0.4)
    assert (np.diff(falling) < 0).all() and falling[-1] < 0.001
