"""Trains a recipe's chain: teacher -> assistants -> student, each stage by the same code."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from snnkd.base import provenance
from snnkd.base.errors import LimitError
from snnkd.data.datasets import DataSet, Split, stratified
from snnkd.ir.network import IntNet
from snnkd.recipe import Recipe, stages
from snnkd.recipe.architecture import Architecture
from snnkd.recipe.lineage import lineage
from snnkd.recipe.tables import Stage
from snnkd.training.feed import Feed
from snnkd.training.loop.ann import AnnTraining
from snnkd.training.loop.reuse import take_over
from snnkd.training.loop.stage import OnBatch, OnEpoch
from snnkd.training.loop.trainer import Training
from snnkd.training.network import Network
from snnkd.training.quantization import to_intnet
from snnkd.training.start import start_from
from snnkd.training.teachers.ann import Ann, AnnTeacher
from snnkd.training.teachers.spiking import Teacher
from snnkd.training.tuning import torch_threads

_THREADS = torch.get_num_threads()


@dataclass(frozen=True)
class Chain:
    """A recipe on its data. folder: where the checkpoints are; device: 'auto', 'cpu' or 'cuda'."""

    recipe: Recipe
    data: DataSet
    folder: Path
    device: str = "cpu"

    def train(
        self, names: list[str], resume: bool, on_batch: OnBatch = lambda *_: None, on_epoch: OnEpoch = lambda _: None
    ) -> None:
        """Trains the named stages in order; a name that is no stage is the student's, trained without its teacher."""
        learned: dict[str, Network | Ann | IntNet] = {}
        for name in names:
            if self._stage(name).net:
                learned[name] = self.net(name)
                continue
            training = self._training(name, learned)
            training.on_batch, training.on_epoch = on_batch, on_epoch
            with torch_threads(1), repeatable():  # a batch is cut into parts instead
                learned[name] = training.run(resume)

    def take_over(self, names: list[str], runs: Path) -> dict[str, Path]:
        """Copies the checkpoints of those stages that a run in the folder `runs` has trained; its folder, by stage."""
        found: dict[str, Path] = {}
        for name in names:
            stage, path = self._stage(name), self.folder / f"{name}.safetensors"
            if stage.net is None and not path.exists():
                run = take_over(path, self._key(name, stage), stage.epochs, runs)
                found |= {name: run} if run is not None else {}
        return found

    def plan(self, name: str) -> Architecture:
        """The network description of a stage."""
        return self.recipe.architecture(self._stage_name(name))

    def load(self, name: str) -> Network:
        """The trained spiking network of a stage (or of the baseline), from its checkpoint."""
        network = self._training(name, None).restore()
        assert isinstance(network, Network), f"{name} is an ANN"
        return network

    def ann(self, name: str) -> Ann:
        """The trained ANN of a stage, from its checkpoint."""
        network = self._training(name, None).restore()
        assert isinstance(network, Ann), f"{name} is no ANN"
        return network

    def net(self, name: str) -> IntNet:
        """The integer network in the file that a stage names. Raises as `recipe.stages.opened` does."""
        return stages.opened(self._stage(name), self.data.train.images.shape[1:])

    def deployed(self, name: str, network: Network, facts: dict[str, Any]) -> IntNet:
        """The integer network of a stage's trained `network`, with all that its file carries but a rule for early
        exit; facts: of its provenance, beside the recipe's name and the stage's."""
        return to_intnet(
            network.blocks,
            network.input_shape,
            steps=self.recipe.encoding.steps,
            message_bits=self.recipe.encoder().message_bits,
            encoding=self.recipe.encoder().to_json(),
            readout=self.recipe.readout.rule(),
            provenance={**facts, "recipe_name": self.recipe.name, "stage": name},
        )

    def feed(self, split: Split) -> Feed:
        """A split as the networks of this recipe read it, without augmentation."""
        return Feed(split, self.recipe.encoder(), pick_device(self.device))

    def network(self, name: str) -> Network:
        """An untrained spiking network of a stage, with its initial weights: drawn, or those of its `start`."""
        network = self._drawn(name)
        if self._stage(name).start:
            start_from(network, self.net(name))
        return network

    def _drawn(self, name: str) -> Network:
        torch.manual_seed(self._seed(name))
        event_max = (1 << self.recipe.encoding.bits) - 1 if self.recipe.encoding.kind == "direct" else 1
        quantization, readout = self.recipe.quantization, self.recipe.readout.rule()
        network = Network(self.plan(name), self.recipe.neuron, quantization, event_max, readout)
        return network.to(pick_device(self.device))

    def _stage_name(self, name: str) -> str:
        return name if name in self.recipe.chain else self.recipe.student

    def _seed(self, name: str) -> int:
        """By the stage's name, so that it starts the same in every chain; the baseline starts where the student does.
        Two trainings of a stage then differ by its teacher alone."""
        return int(provenance.digest([self.recipe.seed, self._stage_name(name)])[:8], 16)

    def _stage(self, name: str) -> Stage:
        stage = self.recipe.chain[self._stage_name(name)]
        if name in self.recipe.chain:
            return stage
        label = stage.label if stage.label.weight else stage.label.model_copy(update={"weight": 1.0})
        return stage.model_copy(update={"distil": None, "label": label})

    def _training(self, name: str, learned: Mapping[str, Network | Ann | IntNet] | None) -> Training | AnnTraining:
        """learned: the networks of the stages before; None where only a checkpoint is read."""
        recipe, stage = self.recipe, self._stage(name)
        split = self.data.train
        if recipe.data.train_limit is not None and recipe.data.train_limit < len(split):
            split = split.take(stratified(split.labels, recipe.data.train_limit, recipe.seed))
        augmented = replace(self.feed(split), augment=recipe.data, seed=recipe.seed)
        shared = {
            "name": name,
            "stage": stage,
            "train": augmented,
            "validation": self.feed(self.data.validation),
            "seed": self._seed(name),
            "key": self._key(name, stage),
            "path": self.folder / f"{name}.safetensors",
            "threads": _THREADS,
        }
        if stage.neuron == "relu":
            torch.manual_seed(self._seed(name))
            return AnnTraining(network=Ann(self.plan(name)).to(augmented.device), **shared)
        return Training(
            network=self.network(name) if learned is not None else self._drawn(name),
            readout=recipe.readout.rule(),
            teacher=self._teacher(stage, augmented, learned) if learned is not None else None,
            **shared,
        )

    def _teacher(self, stage: Stage, feed: Feed, learned: Mapping[str, Network | Ann | IntNet]) -> Teacher | None:
        if stage.distil is None or stage.distil.teacher is None:  # its losses need none
            return None
        network = learned[stage.distil.teacher]
        if isinstance(network, Ann):
            return AnnTeacher(network, feed, _THREADS)
        if isinstance(network, Network):
            metadata = {"message_bits": feed.encoding.message_bits, "readout": self.recipe.readout.rule()}
            unit = float(network.readout_unit) if network.membrane else None
            return Teacher(to_intnet(network.blocks, network.input_shape, **metadata), feed, unit)
        return Teacher(network, feed)

    def _key(self, name: str, stage: Stage) -> str:
        """Digest of all that determines a stage's result: a checkpoint with another one is refused."""
        known = lineage(self.recipe, name, stage)
        return provenance.digest({**known, "seed": self._seed(name), "digest": self.data.digest})


@contextlib.contextmanager
def repeatable() -> Iterator[None]:
    """The same bits from cuDNN in every run."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


def device_name(name: str) -> str:
    """'cpu', or what torch calls the GPU that `pick_device` picks."""
    picked = pick_device(name)
    return picked.type if picked.type == "cpu" else torch.cuda.get_device_name(picked)


def pick_device(name: str) -> torch.device:
    """'auto' is CUDA where there is one. Raises LimitError for 'cuda' where there is none, and for other names."""
    if name not in ("auto", "cpu", "cuda"):
        raise LimitError(f"--device {name}: expected auto, cpu, cuda")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise LimitError("--device cuda: torch finds no CUDA device here; use --device cpu or auto")
    return torch.device(name)
