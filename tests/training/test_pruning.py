"""Magnitude pruning: what goes, when, and that it stays away."""

import numpy as np
import pytest
import torch

from snnkd.recipe.tables import Prune
from snnkd.training.loop.pruning import Pruning, masks, scores, share
from snnkd.training.weights import center


def test_the_smallest_of_all_weights_go():
    weights = [torch.tensor([[0.1, -3.0], [0.2, 1.0]]), torch.tensor([-0.3, 4.0, 0.0, -0.25])]
    first, second = masks(weights, 0.5)
    assert first.tolist() == [[False, True], [False, True]]
    assert second.tolist() == [True, True, False, False]
    assert all(mask.all() for mask in masks(weights, 0.0))


def test_scores_are_squares_over_all_that_are_not_smaller():
    torch.manual_seed(0)
    weight = torch.randn(4, 5, 1)
    weight[1, 2] = 0
    squares = weight.double().square()
    for score, square in zip(scores(weight).flatten(), squares.flatten(), strict=True):
        assert float(score) == pytest.approx(float(square / squares[squares >= square].sum()))
    assert scores(weight)[1, 2] == 0 and scores(weight).max() == 1
    assert not scores(torch.zeros(3)).any()


def test_a_small_layer_keeps_more_of_its_weights():
    torch.manual_seed(0)
    large, small = masks([torch.randn(100, 100), 0.1 * torch.randn(10, 10)], 0.9)
    assert large.float().mean() < 0.12 and small.float().mean() > 0.5
    assert int(large.sum() + small.sum()) == 10_100 - 9090


def test_the_share_rises_to_its_end_and_stays():
    shares = np.array([share(Prune(share=0.8, until=0.5), done) for done in np.linspace(0, 1, 21)])
    assert shares[0] == 0 and (np.diff(shares[:11]) > 0).all()
    assert shares[5] == pytest.approx(0.8 * (1 - 0.5**3))
    assert (shares[10:] == 0.8).all()


def test_what_was_pruned_stays_so_and_needs_no_memory():
    torch.manual_seed(0)
    weights = [torch.randn(20, 30), torch.randn(50)]
    settings = Prune(share=0.7, until=0.5)
    pruning = Pruning(settings, weights)
    gone = [torch.zeros_like(weight, dtype=torch.bool) for weight in weights]
    for epoch in range(1, 11):
        if epoch == 4:
            pruning = Pruning(settings, weights)  # as a resumed training has it
        pruning.start(epoch / 10)
        for _ in range(3):
            for weight in weights:
                weight.add_(torch.randn(weight.shape) * 0.01)
            pruning.apply()
        now = [weight == 0 for weight in weights]
        assert all((before <= after).all() for before, after in zip(gone, now, strict=True))
        gone = now
        zeros = sum(int(mask.sum()) for mask in gone)
        assert zeros == int(share(settings, epoch / 10) * 650)
        assert pruning.complete(epoch / 10) == (epoch >= 5)


def test_centered_weights_go_by_their_distance_from_the_mean():
    weight = torch.tensor([[3.0, 4.0, 4.5, 8.5]])
    pruning = Pruning(Prune(share=0.5, until=1.0), [weight], center)
    pruning.start(1.0)
    assert weight.tolist() == [[3.0, 0.0, 0.0, 8.5]]
