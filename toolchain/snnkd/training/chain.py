"""Trains a recipe's chain, teacher -> assistants -> student, and reads back what it has trained."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from snnkd.base import provenance
from snnkd.base.errors import LimitError, SnnkdWarning
from snnkd.data.datasets import DataSet, Split, stratified
from snnkd.data.encoding import Encoder, read_by
from snnkd.data.pairing import PAIRINGS, Pairs
from snnkd.engines.fast.threads import shared_by
from snnkd.ir.network import IntNet
from snnkd.recipe import Recipe, rules, stages, tables
from snnkd.recipe.architecture import Architecture
from snnkd.recipe.lineage import lineage
from snnkd.recipe.tables import Stage
from snnkd.training.deploy import to_intnet
from snnkd.training.feed import Feed
from snnkd.training.group import ALONE, Group
from snnkd.training.loop.ann import AnnTraining
from snnkd.training.loop.reuse import take_over
from snnkd.training.loop.stage import OnBatch, OnEpoch
from snnkd.training.loop.trainer import Training
from snnkd.training.network import Network
from snnkd.training.start import start_from
from snnkd.training.teachers import outside
from snnkd.training.teachers.ann import Ann, AnnTeacher
from snnkd.training.teachers.outside import Outside, OutsideTeacher
from snnkd.training.teachers.paired import PairedTeacher
from snnkd.training.teachers.spiking import Teacher
from snnkd.training.tuning import torch_threads

Learned = Network | Ann | IntNet | Outside  # what a stage leaves for those that it teaches
_ASKED = 256  # images that a teacher from outside is tried on before anything is trained


@dataclass(frozen=True)
class Chain:
    """A recipe on its data.

    A stage's name is one of the recipe's; any other name, such as 'baseline', is the student trained without its
    teacher. folder: where the checkpoints are. device: as `pick_device` takes it. frames: the
    images of stages that learn from others than `data`, by their names. group: of the processes that train it together.
    """

    recipe: Recipe
    data: DataSet
    folder: Path
    device: str = "cpu"
    frames: Mapping[str, DataSet] = field(default_factory=dict)
    group: Group = ALONE

    def train(
        self,
        names: list[str],
        resume: bool,
        on_batch: OnBatch = lambda *_: None,
        on_epoch: OnEpoch = lambda _: None,
        until: int | None = None,
    ) -> None:
        """Trains the named stages in order, each with torch's threads as the caller has set them.

        In a group of processes, names, until and whether to resume are those of the leading one, which alone writes.
        resume: go on with the checkpoints that there are. on_batch, on_epoch: called as `loop.stage` says.
        until: the epoch at which the last of them stops for now, to be resumed; None its end.
        Raises QuantizationError or SnnkdError, naming stage and epoch, where a training diverges, MismatchError for a
        checkpoint of another recipe, FormatError for a damaged one, for the file of a stage as `net` does, and as
        `Group` where another process ends.
        """
        learned: dict[str, Learned] = {}
        names, until = self.group.led(lambda: (names, until))
        for name in names:
            if frozen := self.stage(name).frozen:
                learned[name] = self.net(name) if frozen == "net" else self.outside(name)
                continue
            training = self._training(name, learned)
            training.on_batch, training.on_epoch = on_batch, on_epoch
            # A batch is cut into parts instead.
            with torch_threads(1), repeatable(), shared_by(self.group.local):
                learned[name] = training.run(resume, until if name == names[-1] else None)

    def take_over(self, names: list[str], runs: Path) -> dict[str, Path]:
        """Copies the checkpoints of those named stages that another run has trained, unless there are any.

        runs: the folder of the run folders. Returns the run folder of each stage that was copied.
        """
        sources: dict[str, Path] = {}
        for name in names:
            stage, path = self.stage(name), self.folder / f"{name}.safetensors"
            if not stage.frozen and not path.exists():
                source = take_over(path, self._key(name, stage), stage.epochs, runs)
                sources |= {name: source} if source is not None else {}
        return sources

    def plan(self, name: str) -> Architecture:
        """Looks up the network description of a stage."""
        return self.recipe.architecture(self._stage_name(name))

    def table(self, name: str) -> tables.Data:
        """Looks up what a stage learns from: the recipe's data, or those of its own."""
        return self.stage(name).data or self.recipe.data

    def images(self, name: str) -> int:
        """Counts the training images of a stage."""
        whole, limit = len(self._read_by(name).train), self.table(name).train_limit
        return whole if limit is None else min(whole, limit)

    def load(self, name: str) -> Network:
        """Reads the trained spiking network of a stage from its checkpoint.

        Raises MismatchError for a checkpoint of another recipe, FormatError for a damaged one.
        """
        network = self._training(name, None).restore()
        assert isinstance(network, Network), f"{name} is an ANN"
        return network

    def ann(self, name: str) -> Ann:
        """Reads the trained ANN of a stage from its checkpoint; raises as `load` does."""
        network = self._training(name, None).restore()
        assert isinstance(network, Ann), f"{name} is no ANN"
        return network

    def net(self, name: str) -> IntNet:
        """Reads the integer network in the file that a stage names, the first time that it is asked for.

        Raises MismatchError where the file is gone or has changed, FormatError where it cannot be used.
        """
        stage = self._stage_name(name)
        if stage not in self._nets:
            self._nets[stage] = stages.opened(self.stage(name), self.recipe.images[0])
        return self._nets[stage]

    def outside(self, name: str) -> Outside:
        """Opens the teacher from outside of a stage: this runs the code that the recipe's `model` names.

        Raises FormatError as `teachers.outside.opened` does.
        """
        return outside.opened(name, self.stage(name), self.data)  # pyright: ignore[reportArgumentType]  (frozen)

    def check_teachers(self) -> None:
        """Tries the teachers from outside on a few images; warns of what they seem to get wrong, and of losses that
        cannot be meant for them. Raises FormatError that names the teacher."""
        for teacher, frozen in self.recipe.chain.items():
            if frozen.frozen not in ("model", "logits"):
                continue
            few = self.feed(self.data.train.take(np.arange(min(_ASKED, len(self.data.train)))))
            gives_logits = outside.check(self.outside(teacher), few)
            for name, stage in self.recipe.chain.items():
                if gives_logits and frozen.model and stage.distil and stage.distil.teacher == teacher:
                    for text in rules.spike_losses(name, stage, f"{frozen.title}, which gives logits"):
                        warnings.warn(text, SnnkdWarning, stacklevel=2)

    @cached_property
    def _nets(self) -> dict[str, IntNet]:
        """The networks of files that have been read, by stage."""
        return {}

    def deployed(self, name: str, network: Network, facts: dict[str, Any]) -> IntNet:
        """Makes the integer network of a stage's trained `network`, all but its rule for early exit.

        facts: of its provenance, beside the names of recipe and stage. Raises QuantizationError as `to_intnet` does.
        """
        encoder = self.encoder(name)
        return to_intnet(
            network.folded().blocks,
            network.input_shape,
            steps=encoder.steps,
            message_bits=encoder.message_bits,
            encoding=encoder.to_json(),
            readout=self.recipe.readout.rule(),
            provenance={**facts, "recipe_name": self.recipe.name, "stage": name},
            class_names=self._read_by(name).classes,
        )

    def feed(self, split: Split, name: str | None = None) -> Feed:
        """Prepares a split for the network of a stage, the student unless given, without augmentation.

        Raises LimitError where the chain's device is not there.
        """
        return Feed(split, self.encoder(name or self.recipe.student), pick_device(self.device))

    def encoder(self, name: str) -> Encoder:
        """Returns the encoder of what a stage reads."""
        return self.recipe.encoder(self._stage_name(name))

    def test(self, name: str) -> Feed:
        """Prepares the test images, or recordings, of a stage."""
        return self.feed(self._read_by(name).test, name)

    def _read_by(self, name: str) -> DataSet:
        return self.frames[name] if self.stage(name).data is not None else self.data

    def network(self, name: str) -> Network:
        """Makes an untrained spiking network of a stage; its weights are drawn, or those of the stage's `start`.

        Raises for the file of a start as `net` does, QuantizationError as `start_from` does.
        """
        network = self._drawn(name)
        if self.stage(name).start:
            start_from(network, self.net(name))
        return network

    def _drawn(self, name: str) -> Network:
        torch.manual_seed(self._seed(name))
        quantization, readout = self.recipe.quantization, self.recipe.readout.rule()
        stage, largest = self.stage(name), self.encoder(name).largest
        kind = "sigma-delta" if stage.neuron == "sigma-delta" else "cuba"
        network = Network(self.plan(name), self.recipe.neuron, quantization, largest, readout, kind)
        return network.to(pick_device(self.device))

    def _stage_name(self, name: str) -> str:
        return name if name in self.recipe.chain else self.recipe.student

    def _seed(self, name: str) -> int:
        """A seed that follows from the recipe's and the stage's name alone.

        So a stage starts the same in every chain, and the baseline where the student does: two trainings of a stage
        then differ by its teacher alone.
        """
        return int(provenance.digest([_seed(self.recipe, self.stage(name)), self._stage_name(name)])[:8], 16)

    def stage(self, name: str) -> Stage:
        """Looks up a stage in the recipe; the baseline is the student without its teacher."""
        stage = self.recipe.chain[self._stage_name(name)]
        if name in self.recipe.chain:
            return stage
        label = stage.label if stage.label.weight else stage.label.model_copy(update={"weight": 1.0})
        return stage.model_copy(update={"distil": None, "features": None, "cross": None, "label": label})

    def _training(self, name: str, learned: Mapping[str, Learned] | None) -> Training | AnnTraining:
        """A stage with all that it needs. learned: the networks of the stages before it, None to read a checkpoint
        only: no teacher is then made, and no file of a start read."""
        recipe, stage = self.recipe, self.stage(name)
        read, table, seed = self._read_by(name), self.table(name), _seed(recipe, stage)
        split = read.train
        if table.train_limit is not None and table.train_limit < len(split):
            split = split.take(stratified(split.labels, table.train_limit, seed))
        seen = min(table.variants, stage.epochs)  # one in each epoch
        augmented = replace(self.feed(split, name), augment=table.model_copy(update={"variants": seen}), seed=seed)
        cores = torch.get_num_threads()
        shared = {
            "name": name,
            "stage": stage,
            "train": augmented,
            "validation": self.feed(read.validation, name),
            "seed": self._seed(name),
            "key": self._key(name, stage),
            "path": self.folder / f"{name}.safetensors",
            "group": self.group,
        }
        if stage.neuron == "relu":
            torch.manual_seed(self._seed(name))
            return AnnTraining(network=Ann(self.plan(name)).to(augmented.device), threads=cores, **shared)
        names = stage.teachers if learned is not None else []
        teachers = {teacher: self._teacher(teacher, augmented, learned or {}, cores) for teacher in names}
        return Training(
            network=self.network(name) if learned is not None else self._drawn(name),
            readout=recipe.readout.rule(),
            fold=recipe.neuron.fold,
            teacher=teachers.get(stage.distil.teacher) if stage.distil and stage.distil.teacher else None,
            guide=teachers.get(stage.features.teacher) if stage.features and stage.features.teacher else None,
            pairs=self._pairs(stage.cross.teacher or "", augmented) if stage.cross and names else None,
            threads=self.group.cores(cores),
            **shared,
        )

    def _pairs(self, name: str, feed: Feed) -> Pairs:
        """The frames of the stage `name` that belong to the recordings of `feed`."""
        frames = self.recipe.chain[name].data
        assert frames is not None and frames.pair is not None, "a loaded recipe has it filled in"
        return PAIRINGS[frames.pair](feed.split, self.frames[name], feed.variants, self.recipe.seed)

    def _teacher(self, name: str, feed: Feed, learned: Mapping[str, Learned], cores: int) -> Teacher:
        network = learned[name]
        if self.recipe.chain[name].data is not None:
            assert isinstance(network, Ann), "other teachers read what the student reads"
            pairs = self._pairs(name, feed)
            return PairedTeacher(AnnTeacher(network, self.feed(pairs.frames), cores, self.group), pairs)
        if isinstance(network, Ann):
            return AnnTeacher(network, feed, cores, self.group)
        if isinstance(network, Outside):
            return OutsideTeacher(network, feed, cores, self.group)
        unit = None
        if isinstance(network, Network):
            metadata = {"message_bits": feed.encoding.message_bits, "readout": self.recipe.readout.rule()}
            unit = float(network.readout_unit) if network.membrane else None
            network = to_intnet(network.blocks, network.input_shape, **metadata)
        own = replace(feed, encoding=read_by(network, feed.encoding))
        return Teacher(network, own, unit, feed.encoding.steps, self.group)

    def _key(self, name: str, stage: Stage) -> str:
        """Digest of all that determines a stage's result: a checkpoint with another one is refused."""
        known = lineage(self.recipe, name, stage)
        frames = {other: self.frames[other].digest for other in stage.teachers if other in self.frames}
        known |= {"frames": frames} if frames else {}
        return provenance.digest({**known, "seed": self._seed(name), "digest": self._read_by(name).digest})


def _seed(recipe: Recipe, stage: Stage) -> int:
    return recipe.seed if stage.data is None or stage.data.seed is None else stage.data.seed


@contextlib.contextmanager
def repeatable() -> Iterator[None]:
    """Makes cuDNN give the same bits in every run meanwhile."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


def device_name(name: str) -> str:
    """Names what `pick_device` picks: 'cpu', or what torch calls the GPU. Raises LimitError as it does."""
    picked = pick_device(name)
    return picked.type if picked.type == "cpu" else torch.cuda.get_device_name(picked)


def pick_device(name: str) -> torch.device:
    """Turns 'auto', 'cpu' or 'cuda' into a device; 'auto' is CUDA where there is such a GPU.

    Raises LimitError for 'cuda' without a GPU, and for any other name.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise LimitError(f"--device {name}: expected auto, cpu, cuda")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise LimitError("--device cuda: torch finds no CUDA device here; use --device cpu or auto")
    return torch.device(name)
