"""Trains a spiking network of a chain, and chooses its epoch by the integer network's accuracy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from snnkd.base.errors import QuantizationError
from snnkd.data.pairing import Pairs
from snnkd.ir.readout import Readout
from snnkd.training.crossing import Crossing
from snnkd.training.deploy import to_intnet_so_far
from snnkd.training.features import FeatureTerm
from snnkd.training.loop.optimizer import Optimizer
from snnkd.training.loop.pruning import Pruning
from snnkd.training.loop.stage import StageTraining
from snnkd.training.loop.step import Maps, backward
from snnkd.training.measuring import Measured, measure, measure_training
from snnkd.training.network import Network
from snnkd.training.objective import Objective
from snnkd.training.teachers.spiking import Teacher

RateTerm = Callable[[torch.Tensor], torch.Tensor]
CALIBRATION = 256  # images of the first batch that thresholds are calibrated on


@dataclass(kw_only=True)
class Training(StageTraining[Network]):
    """A stage that trains a spiking network, from its labels, its teacher or both.

    readout: how the deployed network's class is read. fold: the fraction of the epochs after which normalizations are
    folded; only later epochs may be kept. teacher: None where no loss needs one. guide: who shows what
    hidden layers do, often the same; None where the stage has no `features`. pairs: frames of the recordings, for a
    stage with `cross`. A batch is cut into parts on `threads` cores; torch itself is set to one thread. `run` raises
    QuantizationError where the weights are no longer finite, FormatError where a guide has no maps.
    """

    chosen_by = "validation.integer"

    readout: Readout
    fold: float = 1.0
    teacher: Teacher | None = None
    guide: Teacher | None = None
    pairs: Pairs | None = None
    beside: FeatureTerm | Crossing | None = field(init=False, default=None)

    def _optimizer(self) -> Optimizer:
        self._objective = Objective(self.stage, self.train.device)
        weights = [block.synapse.weight for block in self.network.layers]
        unrounded = self.network.layers[0].neuron.unrounded  # of all layers alike
        self._pruning = Pruning(self.stage.prune, weights, unrounded) if self.stage.prune else None
        if self.stage.features is not None and self.guide is not None:
            self.beside = FeatureTerm(self.stage.features, self.network, self.guide, self.train, self.seed)
        elif self.stage.cross is not None and self.pairs is not None:
            self.beside = Crossing(self.stage.cross, self.pairs, self.train, self.seed)
        alignments = [] if self.beside is None else list(self.beside.parameters())
        delays = [delays.units for delays in self.network.delays]
        biases = [bias.values for bias in self.network.biases]
        gains = [norm.gain for norm in self.network.norms]
        channels = self.network.channels
        undecayed = [*self._objective.parameters(), *delays, *biases, *gains, *channels, *alignments]
        self._moving = Optimizer(self.stage.optimizer, weights, undecayed)
        return self._moving

    def _begin(self) -> None:
        order = np.random.default_rng([self.seed, 0]).permutation(len(self.train))
        self.network.calibrate(self.train.batch(order[:CALIBRATION])[0])

    def _resume(self) -> None:
        self._objective.load_state_dict(self.progress.objective)

    def _objective_state(self) -> dict[str, Any]:
        return self._objective.state_dict()

    def _begin_epoch(self, done: float) -> None:
        if self._pruning is not None:
            self._pruning.start(done)

    def _stepped(self) -> None:
        if self._pruning is not None:
            self._pruning.apply()

    def _may_stay(self, done: float) -> bool:
        pruned = self._pruning is None or self._pruning.complete(done)
        return pruned and not self._features_alone and not self.network.norms

    def _batches(self, images: int) -> int:
        return math.ceil(images / self.stage.batch)

    def _gradients(self, indices: np.ndarray, variant: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        rate = self._objective.rate_term if self._objective.rate else None
        if isinstance(self.beside, Crossing):
            return self._cross_gradients(self.beside, indices, variant, rate)
        events, labels = self.train.batch(indices, variant)
        if self._features_alone:
            loss = self._objective.no_terms
        else:
            teacher = self.teacher.sat(indices, variant) if self.teacher is not None else None
            loss = partial(self._objective.terms, labels=labels, teacher=teacher)
        sat, terms = backward(self.network, events, loss, self.threads, rate, self._maps(indices, variant), self.group)
        return terms, (sat.sum(dim=0).argmax(dim=0) == labels).sum()

    def _cross_gradients(
        self, cross: Crossing, indices: np.ndarray, variant: int, rate: RateTerm | None
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        streams, labels = cross.streams(indices, variant, self.progress.epoch + 1, self.done)
        teacher = self.teacher.sat(indices, variant) if self.teacher is not None else None
        loss = partial(cross.terms, labels=labels, teacher=teacher, objective=self._objective, done=self.done)
        maps = Maps("similarity", cross.membranes, cross.taken, cross.similarity) if cross.compares else None
        sat, terms = backward(self.network, streams, loss, self.threads, rate, maps, self.group)
        own = sat.chunk(2, dim=2)[1]
        return terms, (own.sum(dim=0).argmax(dim=0) == labels).sum()

    @property
    def _features_alone(self) -> bool:
        """Whether this epoch trains hidden layers alone, before all else."""
        return isinstance(self.beside, FeatureTerm) and self.progress.epoch < self.stage.epochs_of_features

    def _maps(self, indices: np.ndarray, variant: int) -> Maps | None:
        """The term of the hidden layers of a batch, None where this epoch has none."""
        term = self.beside
        if not isinstance(term, FeatureTerm) or (self.stage.epochs_of_features and not self._features_alone):
            return None
        taught = term.taught(indices, variant)
        return Maps("features", term.membranes, term.taken, lambda maps: term(maps, taught))

    def _measured(self, epoch: int, sums: dict[str, float]) -> dict[str, Any]:
        if self.network.norms and epoch >= round(self.fold * self.stage.epochs):
            self.network.fold()
            self._moving.forget()
        measured = self._evaluate(epoch)
        scale = {} if self._objective.scale is None else {"scale": self._objective.scale}
        return {**scale, self.chosen_by: measured.accuracy, **measured.activity}

    def _evaluate(self, epoch: int) -> Measured:
        encoding = self.validation.encoding
        metadata = {"steps": encoding.steps, "message_bits": encoding.message_bits, "readout": self.readout}
        try:
            net = to_intnet_so_far(self.network.folded().blocks, self.network.input_shape, **metadata)
        except QuantizationError as error:
            raise QuantizationError(f"{self.name}, epoch {epoch}: {error}") from error
        if self.validation.device.type != "cpu":  # the integer engine is not there, and the two are equal
            return measure_training(self.network, self.validation, self.readout)
        return measure(net, self.validation, group=self.group)
