"""Trains a recipe's chain: teacher -> assistants -> student, each stage by the same code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from snnkd import provenance
from snnkd.architecture import Architecture
from snnkd.datasets import DataSet, Split, stratified
from snnkd.errors import LimitError
from snnkd.network import Readout
from snnkd.recipe import Recipe
from snnkd.recipe_tables import Stage
from snnkd.training.blocks import Network
from snnkd.training.feed import Feed
from snnkd.training.quantization import to_intnet
from snnkd.training.teachers import Teacher
from snnkd.training.trainer import OnBatch, OnEpoch, Training

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
        networks: dict[str, Network] = {}
        for name in names:
            training = self._training(name, networks)
            training.on_batch, training.on_epoch = on_batch, on_epoch
            torch.set_num_threads(1)  # a batch is cut into parts instead
            try:
                networks[name] = training.run(resume)
            finally:
                torch.set_num_threads(_THREADS)

    def plan(self, name: str) -> Architecture:
        """The network description of a stage."""
        return self.recipe.architecture(self._stage_name(name))

    def load(self, name: str) -> Network:
        """The trained network of a stage (or of the baseline), from its checkpoint."""
        return self._training(name, None).restore()

    def feed(self, split: Split) -> Feed:
        """A split as the networks of this recipe read it, without augmentation."""
        return Feed(split, self.recipe.encoder(), pick_device(self.device))

    def network(self, name: str) -> Network:
        """An untrained network of a stage, with its initial weights."""
        torch.manual_seed(self._seed(name))
        event_max = (1 << self.recipe.encoding.bits) - 1 if self.recipe.encoding.kind == "direct" else 1
        network = Network(self.plan(name), self.recipe.neuron, self.recipe.quantization.weight_bits, event_max)
        return network.to(pick_device(self.device))

    def _stage_name(self, name: str) -> str:
        return name if name in self.recipe.chain else self.recipe.student

    def _seed(self, name: str) -> int:
        """The baseline starts where the student does, so that both differ by the teacher alone."""
        return self.recipe.seed * 1000 + list(self.recipe.chain).index(self._stage_name(name))

    def _stage(self, name: str) -> Stage:
        stage = self.recipe.chain[self._stage_name(name)]
        if name in self.recipe.chain:
            return stage
        label = stage.label if stage.label.weight else stage.label.model_copy(update={"weight": 1.0})
        return stage.model_copy(update={"distil": None, "label": label})

    def _training(self, name: str, networks: dict[str, Network] | None) -> Training:
        recipe, stage = self.recipe, self._stage(name)
        split = self.data.train
        if recipe.data.train_limit is not None and recipe.data.train_limit < len(split):
            split = split.take(stratified(split.labels, recipe.data.train_limit, recipe.seed))
        augmented = replace(self.feed(split), augment=recipe.data, seed=recipe.seed)
        teacher = None
        if stage.distil is not None and networks is not None:
            assert stage.distil.teacher is not None, "a loaded recipe has its teachers filled in"
            network = networks[stage.distil.teacher]
            bits = augmented.encoding.message_bits
            teacher = Teacher(to_intnet(network.blocks, network.input_shape, message_bits=bits), augmented)
        return Training(
            name=name,
            stage=stage,
            network=self.network(name),
            train=augmented,
            validation=self.feed(self.data.validation),
            readout=Readout(recipe.readout.kind, recipe.readout.ties),
            seed=self._seed(name),
            key=self._key(name, stage),
            path=self.folder / f"{name}.safetensors",
            teacher=teacher,
            threads=_THREADS,
        )

    def _key(self, name: str, stage: Stage) -> str:
        """Digest of all that determines a stage's result: a checkpoint with another one is refused."""
        whole = self.recipe.to_dict()
        stages = list(self.recipe.chain)
        before = {key: whole["chain"][key] for key in stages[: stages.index(self._stage_name(name))]}
        shared = {key: whole[key] for key in ("seed", "data", "encoding", "neuron", "quantization", "networks")}
        own = stage.model_dump(mode="json")
        return provenance.digest({**shared, "before": before, name: own, "digest": self.data.digest})


def pick_device(name: str) -> torch.device:
    """'auto' is CUDA where there is one. Raises LimitError for 'cuda' where there is none, and for other names."""
    if name not in ("auto", "cpu", "cuda"):
        raise LimitError(f"--device {name}: expected auto, cpu, cuda")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise LimitError("--device cuda: torch finds no CUDA device here; use --device cpu or auto")
    return torch.device(name)
