"""Frozen teachers: their spiking activation tensors, by the integer engine, once per image variant."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from snnkd.analysis import evaluation
from snnkd.ir.arithmetic import STATE_SHIFT
from snnkd.ir.network import IntNet, cuba_of
from snnkd.recipe.tables import MapKind
from snnkd.training import reading
from snnkd.training.dynamics import S_SCALE
from snnkd.training.feed import Feed
from snnkd.training.group import ALONE, Group
from snnkd.training.store import SpikeStore, ValueStore

Make = Callable[[np.ndarray, int], np.ndarray]  # values (N, ...) of the images `indices` (N,) in a variant

_UNIT_IMAGES = 256  # images that the unit of a file's membrane readout is measured on


class Teacher:
    """A trained network that others imitate on `feed`: its output spikes, or with a membrane readout what each step
    adds to what is read of v.

    What it does on an image depends on the image, its variant and (Poisson) its index only. So each activation tensor
    is computed the first time that it is needed, and kept: T x classes bits, or as many float32.

    unit: that of a membrane readout, see `network.Network`; unless given, as with the network of a file, the standard
    deviation of the output neurons' u on the first images. steps: of those that it teaches, where they have others than
    it: each gets an equal share of what it says in all. group: of processes that ask for the same images in the same
    order; each computes its share of them.
    """

    def __init__(
        self, net: IntNet, feed: Feed, unit: float | None = None, steps: int | None = None, group: Group = ALONE
    ):
        self._net, self._feed, self._unit, self._steps, self._group = net, feed, unit, steps, group
        self._of_layers: dict[int, float] = {}
        if net.readout.kind == "membrane":
            self._store = ValueStore(len(feed), feed.variants, self._shared(self._increments))
        elif net.layers[-1].neuron.kind == "cuba":
            self._store = SpikeStore(len(feed), feed.variants, self._shared(self._sent))
        else:
            self._store = ValueStore(len(feed), feed.variants, self._shared(self._messages))

    def sat(self, indices: np.ndarray, variant: int) -> torch.Tensor:
        """Looks up the activation tensor (T, classes, B) float32 of the images `indices` (B,) in a variant.

        Raises FormatError where the network cannot read the feed's events.
        """
        sat = self._store.read(indices, variant).transpose(1, 2).to(self._feed.device)
        if self._steps is None or len(sat) == self._steps:
            return sat
        return (sat.sum(dim=0, keepdim=True) / self._steps).expand(self._steps, -1, -1)

    def features(
        self, indices: np.ndarray, variant: int, layers: Sequence[str], maps: MapKind
    ) -> dict[str, torch.Tensor]:
        """Computes what hidden layers do on the images `indices` (N,) in a variant, by their names, float32.

        maps: 'rate', spikes per step (N, *shape); 'spikes' of each step, (T, N, *shape); or 'membrane', v after the
        reset at each step, (T, N, *shape), in units of the threshold. Of sigma-delta neurons all are messages, in units
        of their mean square's root on the first images. Nothing is kept: maps are many times as large as
        images. Raises FormatError as `sat` does.
        """
        trace = evaluation.simulate(self._net, self._feed.events(indices, variant), states=maps == "membrane")
        features = {}
        for name in layers:
            number = self._net.names.index(name)
            if self._net.layers[number].neuron.kind != "cuba":
                values = trace.layers[number].spikes / self._unit_of(number)
            elif maps == "membrane":
                level = cuba_of(self._net.layers[number]).threshold << STATE_SHIFT
                values = trace.layers[number].v / _spread(level, trace.layers[number].spikes.shape[2:])
            else:
                values = trace.layers[number].spikes
            steps = torch.from_numpy(values.astype(np.float32)).transpose(0, 1)
            features[name] = (steps.mean(dim=0) if maps == "rate" else steps).to(self._feed.device)
        return features

    def _unit_of(self, number: int) -> float:
        """What the messages of a layer are divided by."""
        if number not in self._of_layers:
            first = np.arange(min(_UNIT_IMAGES, len(self._feed)))
            messages = evaluation.simulate(self._net, self._feed.events(first)).layers[number].spikes
            self._of_layers[number] = float(np.sqrt(np.square(messages, dtype=np.float64).mean())) or 1.0
        return self._of_layers[number]

    def _shared(self, make: Make) -> Make:
        return lambda indices, variant: self._group.spread(lambda share: make(share, variant), indices)

    def _messages(self, indices: np.ndarray, variant: int) -> np.ndarray:
        return self._sent(indices, variant) / np.float32(self._unit_of(len(self._net.layers) - 1))

    def _sent(self, indices: np.ndarray, variant: int) -> np.ndarray:
        trace = evaluation.simulate(self._net, self._feed.events(indices, variant))
        return trace.layers[-1].spikes.reshape(len(indices), trace.steps, -1)

    def _increments(self, indices: np.ndarray, variant: int) -> np.ndarray:
        neuron = self._net.layers[-1].neuron
        if self._unit is None:
            arriving = "u" if neuron.kind == "cuba" else neuron.membrane
            first = self._states(arriving, np.arange(min(_UNIT_IMAGES, len(self._feed))), 0)
            self._unit = float(first.std()) / S_SCALE or 1.0
        v = torch.from_numpy(self._states(neuron.membrane, indices, variant) / np.float32(S_SCALE)).transpose(0, 1)
        return reading.activation(v, self._net.readout.over, self._unit).transpose(0, 1).numpy()

    def _states(self, name: str, indices: np.ndarray, variant: int) -> np.ndarray:
        """A state of the output neurons, (N, T, classes) float32 of integers."""
        trace = evaluation.simulate(self._net, self._feed.events(indices, variant))
        output = evaluation.output(self._net, trace)
        return getattr(output, name).reshape(len(indices), trace.steps, -1).astype(np.float32)


def _spread(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Values of a layer's neurons, (), (C,) or (C, H, W), as an array that numpy spreads over (..., *shape)."""
    return values.reshape(-1, *[1] * (len(shape) - 1)) if values.ndim == 1 else values
