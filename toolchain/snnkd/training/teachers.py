"""Frozen teachers: their spiking activation tensors, by the integer engine, once per image variant."""

from __future__ import annotations

import numpy as np
import torch

from snnkd import evaluation
from snnkd.network import IntNet
from snnkd.training.feed import Feed
from snnkd.training.store import SpikeStore


class Teacher:
    """A trained network whose output spikes on `feed` others imitate.

    What an image makes it spike depends on the image, its variant and (Poisson) its index only, so each SAT is
    computed the first time that it is needed, and T x classes bits of it are kept.
    """

    def __init__(self, net: IntNet, feed: Feed):
        self._net, self._feed = net, feed
        self._store = SpikeStore(len(feed), feed.variants, self._spikes)

    def sat(self, indices: np.ndarray, variant: int) -> torch.Tensor:
        """Output spikes (T, classes, B) float32 on the images `indices` in a variant."""
        return self._store.read(indices, variant).transpose(1, 2).to(self._feed.device)

    def _spikes(self, indices: np.ndarray, variant: int) -> np.ndarray:
        trace = evaluation.simulate(self._net, self._feed.events(indices, variant))
        return trace.layers[-1].spikes.reshape(len(indices), trace.steps, -1)
