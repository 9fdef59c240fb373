"""Cross distillation: one student on two streams, its events and frames that give way to them.

After Ye et al. (ICME 2025, arXiv 2507.09269), of whose method only its figure is public, and their predecessors He et
al. (AAAI 2024, arXiv 2303.13077); `docs/losses.md` says what is whose.

With B recordings, each with a frame, a batch is 2 B samples: the mixed stream, then the events.

    loss = label term of the events + cross.label * label term of the mixed stream
           + w(done) * distillation on the mixed stream + cross.similarity * mean over t of 1 - CKA(mixed, events)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from snnkd.base.hashing import hash64
from snnkd.data import frames
from snnkd.data.pairing import Pairs
from snnkd.ir.event_encoding import EventEncoding
from snnkd.recipe import tables
from snnkd.training.feature_losses import cka_by_step
from snnkd.training.feed import Feed
from snnkd.training.network import Output
from snnkd.training.objective import Objective

_MIXING = 0x6D6978  # of the random numbers that let frames give way


class Crossing(torch.nn.Module):
    """The mixed stream of a stage, and the terms of both streams.

    Its parameters are, where the recipe lets it choose between the steps, the shares sigmoid(c) of their similarity,
    (T,), 1/2 at first: trained with the student, kept in its checkpoints, never deployed.

    table: with its layers filled in, as in a loaded recipe. feed: the recordings. seed: of what is drawn.
    """

    def __init__(self, table: tables.Cross, pairs: Pairs, feed: Feed, seed: int):
        super().__init__()
        assert table.layers is not None, "a loaded recipe has them filled in"
        assert isinstance(feed.encoding, EventEncoding), "checked by `recipe.crossing`"
        self._table, self._pairs, self._feed, self._encoding, self._seed = table, pairs, feed, feed.encoding, seed
        self._layers = [int(layer.removeprefix("layer")) for layer in table.layers] if table.similarity else []
        learned = table.steps == "learned"
        self.c = torch.nn.Parameter(torch.zeros(feed.encoding.steps)) if learned else None
        self.to(feed.device)

    def streams(self, indices: np.ndarray, variant: int, epoch: int, done: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Makes both streams of the recordings `indices` (B,) in a variant: (2 B, T, C, H, W) float32, the mixed one
        first, in memory as `Feed.batch` has it; and the labels (B,).

        epoch, done: of the training, which what is drawn depends on.
        """
        events, labels = self._feed.batch(indices, variant)
        own = events.transpose(0, 1).movedim(2, -1)  # as it lies in memory: (T, B, H, W, C)
        made = frames.SHOWN[self._table.frames](
            self._pairs.frames.pixels[self._pairs.of(indices, variant)], self._encoding
        )
        shown = torch.from_numpy(np.ascontiguousarray(made.transpose(1, 0, 3, 4, 2), np.float32)).to(own.device)
        given_way = torch.from_numpy(self.replaced(indices, epoch, done).T).to(own.device)
        mixed = torch.where(given_way[:, :, None, None, None], own, shown)
        return torch.cat([mixed, own], dim=1).movedim(-1, 2).transpose(0, 1), labels

    def replaced(self, indices: np.ndarray, epoch: int, done: float) -> np.ndarray:
        """Draws which steps of a frame are the recording's own: (B, T) bool, from (seed, epoch, index, step) alone.

        Each with a probability of P = done^power. mix 'sample': all steps of a sample or none, as He et al. have it.
        'step': all from the first step on for which that comes up.
        """
        steps = np.arange(self._encoding.steps if self._table.mix == "step" else 1)
        word = hash64(self._seed, _MIXING, epoch, indices[:, None], steps)
        drawn = (word >> np.uint64(11)) * 2.0**-53 < done**self._table.power
        first = np.logical_or.accumulate(drawn, axis=1)
        return np.broadcast_to(first, (len(indices), self._encoding.steps)).copy()

    def teaching(self, done: float) -> float:
        """Computes w, the weight of distillation after a fraction `done` of the training: sigmoid((switch - done) /
        slope), nearly 1 in its first phase and nearly 0 in its second."""
        x = (self._table.switch - done) / self._table.slope
        return 1 / (1 + math.exp(-x)) if x > -700 else 0.0

    def terms(
        self,
        sat: torch.Tensor,
        labels: torch.Tensor,
        teacher: torch.Tensor | None,
        objective: Objective,
        done: float,
    ) -> dict[str, torch.Tensor]:
        """Computes the terms of the output of both streams, (T, classes, 2 B), by name, () each.

        labels: (B,). teacher: its output on the frames, (T, classes, B), None where no loss needs it.
        """
        mixed, own = sat.chunk(2, dim=2)
        left = None if self.c is None else 1 - self.c.sigmoid()
        terms = {"label": objective.label_term(own, labels, left)}
        if self._table.label:
            terms["mixed"] = self._table.label * objective.label_term(mixed, labels)
        weight = self.teaching(done)
        return terms | {name: weight * value for name, value in objective.distil_terms(mixed, labels, teacher).items()}

    @property
    def compares(self) -> bool:
        """Whether there is a term of hidden layers."""
        return bool(self._layers)

    @property
    def membranes(self) -> Sequence[int]:
        """The numbers of the layers whose membrane potentials `taken` reads; none where it reads spikes."""
        return self._layers if self._table.maps == "membrane" else ()

    def taken(self, output: Output) -> list[torch.Tensor]:
        """Takes the maps that are compared from an output, with their gradients: (T, N, ...) each."""
        source = output.membranes if self._table.maps == "membrane" else output.layers
        return [source[number] for number in self._layers]

    def similarity(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Computes the term of the maps of both streams, (T, 2 B, ...) each: how differently the recordings of a batch
        are like each other in the two, mean over layers and steps, ()."""
        by_step = torch.stack([cka_by_step(*layer.chunk(2, dim=1)) for layer in maps]).mean(dim=0)
        return self._table.similarity * (by_step if self.c is None else self.c.sigmoid() * by_step).mean()
