"""The way from a recipe to a profiled network, as a plain list of stages.

Each stage reads the run folder and writes its product there; `snnkd run` walks the list, each single command is one
stage or a few. torch and lava-dl are imported by the stages that train.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnkd.data import datasets
from snnkd.analysis import evaluation, verification
from snnkd.base import files, lock, provenance
from snnkd.formats import netx
from snnkd.recipe import stages
from snnkd import runs, targets
from snnkd.base.errors import FormatError, LimitError, MismatchError, Note, RecipeError
from snnkd.base.files import to_json
from snnkd.ir.network import IntNet
from snnkd.recipe import Recipe
from snnkd.runs import Run

if TYPE_CHECKING:
    from snnkd.analysis.early_exit import Course
    from snnkd.training.chain import Chain
    from snnkd.training.feed import Feed
    from snnkd.training.loop.stage import OnBatch, OnEpoch
    from snnkd.training.network import Network

BASELINE = "baseline"  # the student's network, seed and settings, trained without its teacher


@dataclass
class Context:
    """What the stages work on: the run, where its data is, and what the user asked for.

    data_root: where data sets are, that of the training where None. device: 'auto', 'cpu' or 'cuda'. reuse: take over
    what another run in the same folder has trained. target, out: of
    the export. targets: of the profile. samples: how many test images export and profile use; those of the defaults,
    which the run folder keeps, where all of these are not given.
    """

    run: Run
    data_root: Path | None = None
    device: str = "auto"
    baseline: bool = False
    resume: bool = False
    reuse: bool = False
    target: str | None = None
    out: Path | None = None
    targets: tuple[str, ...] = ()
    samples: int | None = None
    on_batch: OnBatch = lambda *_: None
    on_epoch: OnEpoch = lambda *_: None

    @cached_property
    def data(self) -> datasets.DataSet:
        """The run's data set; raises MismatchError where it is not the one that the run was trained on."""
        recorded = self.run.provenance
        found = load_data(self.run.recipe, self.data_root or recorded.get("data_root"))
        if found.digest != recorded["data"]:
            raise MismatchError(
                f"{self.run.recipe.data.set}: not the data that {self.run.folder} was trained on; say where those are "
                "with --data-root"
            )
        return found

    @cached_property
    def chain(self) -> Chain:
        from snnkd.training.chain import Chain

        return Chain(self.run.recipe, self.data, self.run.checkpoints, self.device)

    def stored(self, stage: str) -> bool:
        """Whether the run folder keeps the product of `stage`: that of an export or a profile with options of its own
        is for the caller alone, so that a quick look never replaces the results of the defaults."""
        if stage == "export":
            own_target = self.target not in (None, self.run.recipe.target.name)
            return self.samples is None and self.out is None and not own_target
        return stage != "profile" or (self.samples is None and not self.targets)

    @property
    def trained(self) -> list[str]:
        """The chain's stages, and the baseline if it is trained too."""
        return [*self.run.recipe.chain, *([BASELINE] if self.baseline else [])]

    def test_events(self, count: int) -> tuple[np.ndarray, str]:
        """Events (N, T, C, H, W) of the first `count` test images, encoded as in training, and what they are."""
        images = self.data.test.images[:count]
        events = self.run.recipe.encoder().encode(images, np.arange(len(images)))
        return events, f"{self.data.name}, first {len(images)} of {len(self.data.test)} test images"


def load_data(recipe: Recipe, root: str | Path | None, download: bool = False) -> datasets.DataSet:
    """The data set of a recipe."""
    table = recipe.data
    folder = Path(root) if root else None
    return datasets.load(table.set, root=folder, validation=table.validation, seed=recipe.seed, download=download)


def start(
    recipe: Recipe,
    folder: Path,
    data_root: Path | None = None,
    download: bool = False,
    resume: bool = False,
    **options: Any,
) -> Context:
    """A context for training `recipe`: in a new run folder, or with `resume` in the newest one of the same recipe.

    options: further fields of Context. Raises RecipeError where the recipe's target cannot take its encoding, and
    MismatchError where a file that it names is gone or has changed: before anything is trained.
    """
    from snnkd.training.chain import device_name

    target, events = targets.load(recipe.target.name), "graded" if recipe.encoder().message_bits else "binary"
    if events not in target.takes:
        raise RecipeError(
            f"encoding.kind '{recipe.encoding.kind}' sends {events} events, which target '{target.name}' does not "
            "take; use rate, poisson or latency"
        )
    for stage in recipe.chain.values():
        if stage.net or stage.start:
            stages.opened(stage, recipe.images[0])
    found = runs.resumable(recipe, folder) if resume else None
    if found is not None:
        baseline = options.pop("baseline", False) or (found.checkpoints / f"{BASELINE}.safetensors").exists()
        context = Context(found, data_root, resume=True, baseline=baseline, **options)
        warnings.warn(f"--resume: goes on with {found.folder}: {_progress(context)}", Note, stacklevel=2)
        return context
    root = datasets.root_folder(data_root).absolute()
    data = load_data(recipe, root, download)
    facts = provenance.collect(recipe.to_dict(), recipe.seed, data.digest)
    facts |= {"device": device_name(options.get("device", Context.device)), "data_root": str(root)}
    context = Context(runs.create(recipe, facts, folder), root, **options)
    context.data = data  # read once
    return context


def _progress(context: Context) -> str:
    """What of a run is trained already: 'teacher 30 of 30 epochs, student 4 of 20'."""
    from snnkd.training.loop import checkpoint

    told = []
    for name in context.trained:
        stage = context.run.recipe.chain.get(name) or context.run.recipe.chain[context.run.recipe.student]
        if stage.net is None:
            progress = checkpoint.peek(context.run.checkpoints / f"{name}.safetensors")
            told.append(f"{name} {progress.epoch if progress else 0} of {stage.epochs} epochs")
    return ", ".join(told)


def train(context: Context) -> dict[str, Any]:
    """Trains every stage of the chain, resumable; writes checkpoints/, metrics.csv and TensorBoard events.

    Stages that were taken over from other runs are in reused.json, by name.
    """
    from snnkd.training.loop.journal import Journal

    rows: list[dict[str, Any]] = []
    if context.reuse:
        runs.note_reused(context.run, context.chain.take_over(context.trained, context.run.folder.parent))
    with Journal(context.run.folder) as journal:

        def on_epoch(row: dict[str, Any]) -> None:
            rows.append(row)
            runs.write_metrics(context.run, rows)
            journal.add(row)
            context.on_epoch(row)

        context.chain.train(context.trained, context.resume or context.reuse, context.on_batch, on_epoch)
    return {"run": str(context.run.folder), "epochs": len(rows), "reused": context.run.reused}


def quantize(context: Context) -> dict[str, Any]:
    """Writes the student as student.net: the integer network that everything after this works on, with the rule for
    early exit that the validation data choose."""
    from snnkd.training import measuring

    student, tolerance = context.run.recipe.student, context.run.recipe.early_exit.tolerance
    net = _deployed(context, student, context.chain.load(student))
    rule = measuring.chosen_exit(net, context.chain.feed(context.data.validation), tolerance)
    context.run.write("student.net", netx.to_bytes(replace(net, early_exit=rule)))
    return {"net": str(context.run.student), "parameters": net.parameters, "neurons": net.neurons}


def evaluate(context: Context) -> dict[str, Any]:
    """Accuracy of each network on the whole test set, `float` (training network) and `integer` (deployed network); of
    the student also after each step, and with early exit.

    An ANN has no integer network, the network of a file no other.
    """
    from snnkd.training import measuring

    test, rows, warnings, courses = context.chain.feed(context.data.test), {}, [], {}
    for name in context.trained:
        rows[name], told, courses[name] = _evaluated(context, name, test)
        warnings += [f"{name}: {text}" for text in told]
    student, rule = context.run.recipe.student, netx.load(context.run.student).early_exit
    summary = {
        "run": str(context.run.folder),
        "net": str(context.run.student),
        "accuracy": rows[student]["accuracy"],
        **({"baseline": rows[BASELINE]["accuracy"]} if context.baseline else {}),
        **measuring.by_step(courses[student], test.split.labels, rule),
        "data_set": context.data.name,
        "test_images": len(test),
        "steps": context.run.recipe.encoding.steps,
        "networks": rows,
        "warnings": warnings,
    }
    context.run.write("summary.json", to_json(summary))
    return summary


def _evaluated(context: Context, name: str, test: Feed) -> tuple[dict[str, Any], list[str], Course | None]:
    """A stage's row of the summary, what is wrong with its network, and of the student its course; None for an accuracy
    that it does not have."""
    from snnkd.training import measuring

    stage = context.run.recipe.chain.get(name)
    if stage is not None and stage.neuron == "relu":
        ann, plan = context.chain.ann(name), context.chain.plan(name)
        row = {"network": plan.name, "kind": "ann", "parameters": ann.size, "neurons": plan.neurons}
        return {**row, "accuracy": {"float": ann.accuracy(test), "integer": None}}, [], None
    if stage is not None and stage.net is not None:
        net = context.chain.net(name)
        row = {"network": Path(stage.net).name, "kind": "net", "parameters": net.parameters, "neurons": net.neurons}
        measured = measuring.measure(net, test)
        told = measuring.doubts(measured, test, "the test images")
        return {**row, "accuracy": {"float": None, "integer": measured.accuracy}}, told, None
    network = context.chain.load(name)
    net = _deployed(context, name, network)
    integer = measuring.measure(net, test, course=name == context.run.recipe.student)
    trained = measuring.measure_training(network, test, net.readout)
    row = {"network": context.chain.plan(name).name, "kind": "snn", "parameters": net.parameters}
    told = measuring.doubts(integer, test, "the test images")
    row |= {"neurons": net.neurons, "accuracy": {"float": trained.accuracy, "integer": integer.accuracy}}
    return row, told, integer.course


def export(context: Context) -> dict[str, Any]:
    """Writes the .net for a target, runs it there and compares every spike with the definition's and with SLAYER's.

    The comparison covers the first `samples` test images (16 unless told). Writes verification.json where all options
    are the defaults. Raises LimitError where the file would replace an input.
    """
    target = targets.load(context.target or context.run.recipe.target.name)
    if target.engine is None:
        raise LimitError(f"target '{target.name}' cannot be run here; see `snnkd check --target {target.name}`")
    out = context.out or context.run.folder / f"student-{target.name}.net"
    files.check_output("--out", out, ".net", context.run.inputs)
    netx.save(netx.load(context.run.student), out)
    net = netx.load(out)
    events, data = context.test_events(context.samples or 16)
    expected = evaluation.simulate(net, events, evaluation.DEFINITION)
    student = context.chain.load(context.run.recipe.student)
    against = {
        target.engine: verification.compare(net, expected, evaluation.simulate(net, events, target.engine)),
        "slayer": verification.compare(net, expected, student.trace(events, net.names)),
    }
    result = {
        "file": str(out),
        "target": target.name,
        "data": data,
        "compared": against[target.engine].to_json()["compared"],
        "differences": sum(sum(one.differences.values()) for one in against.values()),
        "against": {name: one.to_json() for name, one in against.items()},
        "warnings": list(dict.fromkeys(text for one in against.values() for text in one.warnings)),
    }
    return _kept(context, "export", "verification.json", result)


def profile(context: Context) -> dict[str, Any]:
    """Spikes, synaptic operations and energy of student.net on the first `samples` test images (1000 unless told)."""
    net = netx.load(context.run.student)
    events, data = context.test_events(context.samples or 1000)
    result = {"name": str(context.run.folder), **evaluation.profile(net, events, context.targets, data)}
    return _kept(context, "profile", "profile.json", result)


def _kept(context: Context, stage: str, name: str, result: dict[str, Any]) -> dict[str, Any]:
    """`result` with the path of the file that keeps it as `stored`, null where it is no result of the defaults."""
    kept = context.stored(stage)
    result["stored"] = str(context.run.folder / name) if kept else None
    if kept:
        context.run.write(name, to_json(result))
    return result


def _deployed(context: Context, name: str, network: Network) -> IntNet:
    facts = {key: value for key, value in context.run.provenance.items() if key != "data_root"}
    return context.chain.deployed(name, network, facts)


@dataclass(frozen=True)
class Stage:
    """name; the function; its product in the run folder; a check of that product, which raises FormatError or
    MismatchError where it is not what the next stages need."""

    name: str
    function: Callable[[Context], dict[str, Any]]
    product: str
    check: Callable[[Run], Any]


def _has(name: str, *keys: str) -> Callable[[Run], None]:
    def check(run: Run) -> None:
        missing = [key for key in keys if key not in files.read_json(run.folder / name)]
        if missing:
            raise FormatError(f"{run.folder / name}: lacks {', '.join(missing)}")

    return check


def _has_checkpoints(run: Run) -> None:
    for name, stage in run.recipe.chain.items():
        if stage.net is None and not (run.checkpoints / f"{name}.safetensors").is_file():
            raise MismatchError(f"{run.checkpoints}: no checkpoint of stage '{name}'; train it again")


STAGES = [
    Stage("train", train, "checkpoints", _has_checkpoints),
    Stage("quantize", quantize, "student.net", lambda run: netx.load(run.student)),
    Stage("evaluate", evaluate, "summary.json", _has("summary.json", "accuracy", "networks")),
    Stage("export", export, "verification.json", _has("verification.json", "compared", "differences")),
    Stage("profile", profile, "profile.json", _has("profile.json", "layers", "energy")),
]


def walk(context: Context, *names: str) -> dict[str, dict[str, Any]]:
    """Runs the named stages in the order of STAGES, checks each product, and returns their results by name.

    Meanwhile no other process can write into the run folder. Raises LimitError where one does already.
    """
    results = {}
    kept = any(context.stored(name) for name in names)
    with lock.held(context.run.folder, names[0]) if kept else contextlib.nullcontext():
        for stage in STAGES:
            if stage.name in names:
                results[stage.name] = stage.function(context)
                if context.stored(stage.name):
                    stage.check(context.run)
    return results
