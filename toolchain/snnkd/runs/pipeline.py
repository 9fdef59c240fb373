"""The way from a recipe to a profiled network, as a plain list of stages.

Each stage reads the run folder and writes its product there; `snnkd run` walks the list, each single command is one
stage or a few. torch and lava-dl are imported by the stages that train.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnkd import runs, targets
from snnkd.analysis import cautions, evaluation, fit, health, teachers
from snnkd.analysis.energy import Profile
from snnkd.analysis.health import Finding
from snnkd.analysis.teachers import Teacher
from snnkd.base import files, lock, progress, provenance
from snnkd.base.errors import FormatError, LimitError, MismatchError, Note, RecipeError, SnnkdError, SnnkdWarning
from snnkd.base.files import to_json
from snnkd.data import datasets
from snnkd.data.datasets import DataSet
from snnkd.data.encoding import read_by
from snnkd.data.samples import Samples
from snnkd.formats import netx
from snnkd.ir.network import IntNet
from snnkd.recipe import Recipe, outline, stage_files, stages
from snnkd.runs import processes
from snnkd.runs.answers import NAME, Answers
from snnkd.runs.folder import RUNS, Run
from snnkd.runs.results import Accuracy, Deployed, EarlyExitResult, Exported, NetworkResult, Profiled, Summary, Trained
from snnkd.runs.subject import Subject, read_data, read_frames, trained_on

if TYPE_CHECKING:
    from snnkd.training.chain import Chain
    from snnkd.training.feed import Feed
    from snnkd.training.loop.stage import OnBatch, OnEpoch
    from snnkd.training.measuring import Measured
    from snnkd.training.network import Network

EXPORT_SAMPLES, PROFILE_SAMPLES = 16, 1000  # test images of the defaults
BASELINE = "baseline"  # the student's network, seed and settings, trained without its teacher


@dataclass(frozen=True)
class TrainingOptions:
    """How a recipe is trained, beside what it says.

    folder: of the run folders. data_root: where data sets are, the default place where None. download: a missing data
    set. resume: go on with the newest run of the same recipe. reuse: take over stages that another run in the folder
    has trained alike. baseline: also train the student without its teacher. device: 'auto', 'cpu' or 'cuda'.
    devices, nodes: processes that train together, so many on each of so many machines; results are the same.
    on_batch, on_epoch: called as `training.loop.stage` says.
    """

    folder: str | Path = RUNS
    data_root: str | Path | None = None
    download: bool = False
    resume: bool = False
    reuse: bool = False
    baseline: bool = False
    device: str = "auto"
    on_batch: OnBatch = lambda *_: None
    on_epoch: OnEpoch = lambda *_: None
    devices: int = 1
    nodes: int = 1


@dataclass(frozen=True)
class ExportOptions:
    """target: a name, the recipe's where None. out: the file, in the run folder where None. samples: test images that
    are compared, 16 where None."""

    target: str | None = None
    out: Path | None = None
    samples: int | None = None


@dataclass(frozen=True)
class ProfileOptions:
    """targets: names or files, all shipped ones with costs where empty. samples: test images, 1000 where None."""

    targets: tuple[str | Path, ...] = ()
    samples: int | None = None


@dataclass
class Context:
    """What the stages work on: a run, where its data are (those of the training where None), and what was asked for."""

    run: Run
    data_root: Path | None = None
    training: TrainingOptions = TrainingOptions()
    export: ExportOptions = ExportOptions()
    profile: ProfileOptions = ProfileOptions()

    @cached_property
    def data(self) -> DataSet:
        """The run's data set, read once. Raises MismatchError where it is not the one that the run was trained on."""
        return trained_on(self.run, self.data_root)

    @cached_property
    def frames(self) -> dict[str, DataSet]:
        """The images of stages that learn from others than the run's data set, by name, read once."""
        return read_frames(self.run.recipe, self.data_root or self.run.provenance.get("data_root"))

    @cached_property
    def chain(self) -> Chain:
        with progress.doing("loading torch and what trains"):
            from snnkd.training.chain import Chain

        return Chain(self.run.recipe, self.data, self.run.checkpoints, self.training.device, self.frames)

    @property
    def trained(self) -> list[str]:
        """The chain's stages, and the baseline if it is trained too."""
        return [*self.run.recipe.chain, *([BASELINE] if self.training.baseline else [])]

    @property
    def student(self) -> Subject:
        """The deployed network, with the run's data set."""
        subject = Subject(netx.load(self.run.student), self.run.student, str(self.run.folder), self.run, self.data_root)
        subject.data_set = self.data  # read once
        return subject

    def stored(self, stage: str) -> bool:
        """Tells whether the run folder keeps the product of `stage`.

        That of an export or a profile with options of its own is for the caller alone, so that a quick look never
        replaces the results of the defaults.
        """
        if stage == "export":
            return replace(self.export, target=None) == ExportOptions() and self.target == self.run.recipe.target.name
        return stage != "profile" or self.profile == ProfileOptions()

    def keeper(self, stage: str, name: str) -> str | None:
        """Returns the path of the run's file `name` if the product of `stage` is stored there, else None."""
        return str(self.run.folder / name) if self.stored(stage) else None

    @property
    def target(self) -> str:
        """The target of the export."""
        return self.export.target or self.run.recipe.target.name


def start(recipe: Recipe, options: TrainingOptions) -> Context:
    """Makes the context for training `recipe`: in a new run folder, or with `resume` in the newest of the same recipe.

    Raises RecipeError where the recipe's target cannot take its encoding, and MismatchError where a file that it names
    is gone or has changed, FormatError where a teacher from outside does not work: before anything is trained.
    """
    from snnkd.training import footprint, group
    from snnkd.training.chain import Chain, device_name, pick_device

    group.check(processes.place(options.devices, options.nodes).local, pick_device(options.device))
    target, events = targets.load(recipe.target.name), "graded" if recipe.encoder().message_bits else "binary"
    if events not in target.takes:
        raise RecipeError(
            f"encoding.kind '{recipe.encoding.kind}' sends {events} events, which target '{target.name}' does not "
            "take; use rate, poisson or latency"
        )
    for violation in fit.check(outline.student(recipe), target):
        warnings.warn(
            f"the student does not fit {target.name}: {violation.layer}, {violation.limit}: {violation.actual}, "
            f"allowed {violation.allowed}; {violation.fix}",
            SnnkdWarning,
            stacklevel=2,
        )
    for name, stage in recipe.chain.items():
        stage_files.check(name, stage)
        if stage.net or stage.start:
            stages.opened(stage, recipe.images[0])
    folder, given_root = Path(options.folder), Path(options.data_root) if options.data_root else None
    run = runs.resumable(recipe, folder) if options.resume else None
    if run is not None:
        baseline = options.baseline or (run.checkpoints / f"{BASELINE}.safetensors").exists()
        context = Context(run, given_root, replace(options, baseline=baseline))
        warnings.warn(f"--resume: goes on with {run.folder}: {_progress(context)}", Note, stacklevel=2)
        footprint.check(context.chain, context.trained)
        context.chain.check_teachers()
        return context
    options = replace(options, resume=False)
    root = datasets.root_folder(given_root).absolute()
    data = read_data(recipe, root, options.download)
    frames = read_frames(recipe, root, options.download)
    for name, read in {"data": data, **frames}.items():
        if len(read.classes) == 1:
            text = f"{name}: {read.name} has one class, '{read.classes[0]}': a network learns to tell nothing apart"
            warnings.warn(text, SnnkdWarning, stacklevel=2)
    chain = Chain(recipe, data, folder, options.device, frames)
    footprint.check(chain, recipe.chain)
    chain.check_teachers()
    facts = provenance.collect(recipe.to_dict(), recipe.seed, data.digest)
    facts |= {"device": device_name(options.device), "data_root": str(root)}
    context = Context(runs.create(recipe, facts, folder), root, options)
    context.data, context.frames = data, frames  # read once
    return context


def _progress(context: Context) -> str:
    """What of a run is trained already: 'teacher 30 of 30 epochs, student 4 of 20'."""
    from snnkd.training.loop import checkpoint

    told = []
    for name in context.trained:
        stage = context.run.recipe.chain.get(name) or context.run.recipe.chain[context.run.recipe.student]
        if not stage.frozen:
            progress = checkpoint.peek(context.run.checkpoints / f"{name}.safetensors")
            told.append(f"{name} {progress.epoch if progress else 0} of {stage.epochs} epochs")
    return ", ".join(told)


def train(context: Context) -> Trained:
    """Trains every stage of the chain, resumable; writes checkpoints/, metrics.csv and TensorBoard events.

    Stages that were taken over from other runs are in reused.json, by name.
    """
    epochs = _train(context, context.trained)
    return Trained(str(context.run.folder), epochs, context.run.reused)


def train_until(context: Context, stage: str) -> None:
    """Trains the chain up to `stage` and nothing behind it; a training that resumes goes on from there."""
    names = list(context.run.recipe.chain)
    with lock.held(context.run.folder, "train"):
        _train(context, names[: names.index(stage) + 1])


def _train(context: Context, names: list[str]) -> int:
    """Trains the named stages; returns how many epochs they have."""
    from snnkd.training.loop.journal import Journal

    rows: list[dict[str, Any]] = []
    options = context.training
    if options.reuse:
        runs.note_reused(context.run, context.chain.take_over(names, context.run.folder.parent))
    progress.say("")  # its bars say all
    stands = processes.place(options.devices, options.nodes)
    root = context.data_root or context.run.provenance.get("data_root")
    recipe = context.run.folder / "recipe.toml"
    with Journal(context.run.folder) as journal, processes.together(stands, options.device, recipe, root) as group:

        def on_epoch(row: dict[str, Any]) -> None:
            rows.append(row)
            runs.write_metrics(context.run, rows)
            journal.add(row)
            options.on_epoch(row)

        def on_batch(stage: str, epoch: int, epochs: int, batch: int, batches: int) -> None:
            context.run.check_there()
            options.on_batch(stage, epoch, epochs, batch, batches)

        replace(context.chain, group=group).train(names, options.resume or options.reuse, on_batch, on_epoch)
    return len(rows)


def quantize(context: Context) -> Deployed:
    """Writes the student as student.net: the integer network that everything after this works on, with the rule for
    early exit that the validation data choose."""
    from snnkd.training import measuring

    student, tolerance = context.run.recipe.student, context.run.recipe.early_exit.tolerance
    progress.say(f"{student}: choosing its rule for early exit on the validation data")
    net = _deployed(context, student, context.chain.load(student))
    validation = context.chain.feed(context.data.validation)
    rule = measuring.chosen_exit(net, validation, tolerance)
    context.run.write("student.net", netx.to_bytes(replace(net, early_exit=rule)))
    return Deployed(str(context.run.student), net.parameters, net.neurons, _findings(net, validation))


def _findings(net: IntNet, feed: Feed) -> list[Finding]:
    """What is wrong with `net` or wasted in it on the first images of `feed`; [] where it has none."""
    images = np.arange(min(len(feed), health.EXAMINED))
    if not len(images):
        return []
    size = evaluation.block_of(net, feed.encoding.steps, states=False)
    return health.examine(net, (feed.events(part) for part in evaluation.in_blocks(images, size))).findings


def evaluate(context: Context) -> Summary:
    """Measures each network on the whole test set, `float` (training network) and `integer` (deployed network); the
    student also after each step, with early exit, and by class. Writes answers.csv, the integer networks of the stages
    before the student, and summary.json.

    An ANN and a teacher from outside have no integer network, the network of a file has no other.
    """
    from snnkd.training import measuring

    test, rows, told = context.chain.feed(context.data.test), {}, []
    measured: Measured | None = None
    for name in context.trained:
        progress.say(f"{name}: measuring its accuracy on {len(test):,} test images")
        rows[name], doubts, seen = _evaluated(context, name, test)
        told += [f"{name}: {text}" for text in doubts]
        measured = seen or measured
    assert measured is not None, "the student is one of them"
    course, classes = measured.course, context.data.classes
    answers = Answers(test.split.labels, test.split.labels[:0] if course is None else course.classes[:, -1])
    context.run.write(NAME, answers.to_csv())
    student, rule = context.run.recipe.student, netx.load(context.run.student).early_exit
    steps = measuring.by_step(course, test.split.labels, rule)
    summary = Summary(
        run=str(context.run.folder),
        net=str(context.run.student),
        accuracy=rows[student].accuracy,
        baseline=rows[BASELINE].accuracy if context.training.baseline else None,
        by_step=steps["by_step"],
        early_exit=None if steps["early_exit"] is None else EarlyExitResult(**steps["early_exit"]),
        data_set=context.data.name,
        test_images=len(test),
        steps=context.run.recipe.encoding.steps,
        spikes=measured.spikes,
        classes=answers.by_class(classes),
        confusion=answers.confusion(len(classes)).tolist(),
        networks=rows,
        warnings=told,
    )
    context.run.write("summary.json", to_json(summary.to_json()))
    return summary


def _evaluated(context: Context, name: str, test: Feed) -> tuple[NetworkResult, list[str], Measured | None]:
    """A stage's row of the summary, what is wrong with its network, and of the student all that was measured."""
    from snnkd.training import measuring

    stage, images = context.run.recipe.chain.get(name), "the test images"
    if stage is not None and stage.neuron == "relu":
        ann, plan = context.chain.ann(name), context.chain.plan(name)
        seen = context.chain.test(name)
        accuracy = Accuracy(ann.accuracy(seen), None)
        return NetworkResult(plan.name, "ann", ann.size, plan.neurons, accuracy), _chance(accuracy, seen), None
    if stage is not None and stage.frozen in ("model", "logits"):
        teacher = context.chain.outside(name)
        accuracy = Accuracy(teacher.accuracy(test), None)
        row = NetworkResult(stage.title, stage.frozen, teacher.parameters, None, accuracy)
        return row, _chance(accuracy, test), None
    if stage is not None and stage.net is not None:
        net = context.chain.net(name)
        test = replace(test, encoding=read_by(net, test.encoding))
        measured = measuring.measure(net, test)
        accuracy = Accuracy(None, measured.accuracy)
        row = NetworkResult(Path(stage.net).name, "net", net.parameters, net.neurons, accuracy)
        return row, measuring.doubts(measured, test, images), None
    network = context.chain.load(name)
    net = _deployed(context, name, network)
    if context.chain.encoder(name) != test.encoding:
        test = context.chain.test(name)
    is_student = name == context.run.recipe.student
    if name in context.run.recipe.chain and not is_student:
        context.run.write(context.run.stage_net(name).name, netx.to_bytes(net))
    integer = measuring.measure(net, test, course=is_student)
    trained = measuring.measure_training(network, test, net.readout)
    accuracy = Accuracy(trained.accuracy, integer.accuracy)
    row = NetworkResult(context.chain.plan(name).name, "snn", net.parameters, net.neurons, accuracy)
    return row, measuring.doubts(integer, test, images), integer if is_student else None


def _chance(accuracy: Accuracy, seen: Feed) -> list[str]:
    """What is wrong with an accuracy of which nothing else is known."""
    labels = seen.split.labels
    right = round((accuracy.float or 0.0) * len(labels))
    return cautions.of_accuracy(right, cautions.counted(labels), "the test images")


def export(context: Context) -> Exported:
    """Writes the .net for a target, runs it there and compares every spike with the definition's and with SLAYER's.

    The comparison covers the first `samples` test images. Writes verification.json where all options are the defaults.
    Raises LimitError where the target cannot be run here, and where the file would replace an input.
    """
    target = targets.load(context.target)
    if target.engine is None:
        raise LimitError(f"target '{target.name}' cannot be run here; see `snnkd check --target {target.name}`")
    out = context.export.out or context.run.folder / f"student-{target.name}.net"
    files.check_output("--out", out, ".net", context.run.inputs)
    student = context.student
    netx.save(student.net, out)
    net, samples = netx.load(out), student.samples(context.export.samples or EXPORT_SAMPLES)
    network = context.chain.load(context.run.recipe.student)
    runners = {
        target.engine: partial(evaluation.simulate, net, engine=target.engine),
        "slayer": partial(network.trace, names=net.names),
    }
    comparisons = {name: evaluation.Comparison(net) for name in runners}
    for events in samples.blocks(evaluation.block_of(net, samples.steps, states=False)):
        with progress.doing(f"the definition runs {len(events):,} test images"):
            expected = evaluation.simulate(net, events, evaluation.DEFINITION)
        for name, run in runners.items():
            with progress.doing(f"{name} runs {len(events):,} test images"):
                comparisons[name].add(expected, run(events))
    against = {name: comparison.result() for name, comparison in comparisons.items()}
    exported = Exported(
        file=str(out),
        target=target.name,
        data=samples.data,
        compared=against[target.engine].compared,
        differences=sum(sum(outcome.differences.values()) for outcome in against.values()),
        against=against,
        warnings=list(dict.fromkeys(text for outcome in against.values() for text in outcome.warnings)),
        stored=context.keeper("export", "verification.json"),
    )
    if exported.stored:
        context.run.write("verification.json", to_json(exported.to_json()))
    return exported


def profile(context: Context) -> Profiled:
    """Counts spikes and synaptic operations of student.net on the first `samples` test images, and estimates energy,
    that of its teachers too."""
    student = context.student
    samples = student.samples(context.profile.samples or PROFILE_SAMPLES)
    seen = evaluation.survey(student.net, samples.blocks(evaluation.BLOCK), student.net.early_exit is not None)
    counted = evaluation.profile_of(student.net, seen, context.profile.targets, samples.data)
    before = [name for name in context.run.recipe.chain if name != context.run.recipe.student]
    counted = replace(counted, teachers=[_teacher(context, name, samples, counted) for name in before])
    profiled = Profiled(student.name, counted, context.keeper("profile", "profile.json"))
    if profiled.stored:
        context.run.write("profile.json", to_json(profiled.to_json()))
    return profiled


def _teacher(context: Context, name: str, samples: Samples, student: Profile) -> Teacher:
    """The energy of a stage before the student, on the targets of the student's profile and on the same samples."""
    recipe, path = context.run.recipe, context.run.stage_net(name)
    stage, chosen = recipe.chain[name], [on.estimate.target for on in student.energy.values()]
    if stage.frozen in ("model", "logits"):
        return Teacher(name, stage.title, "outside", reason="a teacher from outside, of which nothing is counted")
    if stage.neuron == "relu":
        return teachers.ann(name, stage.title, outline.outline(recipe.architecture(name)), chosen)
    if stage.net is None and not path.exists():
        return Teacher(name, stage.title, "snn", reason=f"{path.name} is missing; snnkd train with --resume makes it")
    try:
        net = netx.load(path) if stage.net is None else stages.opened(stage, recipe.images[0])
    except SnnkdError as error:  # its file is damaged, or has been moved since: the student's profile does without
        return Teacher(name, stage.title, "snn", reason=str(error))
    samples = samples.read_by(net)
    with progress.doing(f"{name}: counting what it does on the same samples"):
        seen = evaluation.survey(net, samples.blocks(evaluation.BLOCK), answers=False)
    return teachers.spiking(name, stage.title, evaluation.profile_of(net, seen, chosen, samples.data))


def _deployed(context: Context, name: str, network: Network) -> IntNet:
    facts = {key: value for key, value in context.run.provenance.items() if key != "data_root"}
    return context.chain.deployed(name, network, facts)


@dataclass(frozen=True)
class Stage:
    """name; the function; its product in the run folder; a check of that product, which raises FormatError or
    MismatchError where it is not what the next stages need."""

    name: str
    function: Callable[[Context], Any]
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
        if not stage.frozen and not (run.checkpoints / f"{name}.safetensors").is_file():
            raise MismatchError(f"{run.checkpoints}: no checkpoint of stage '{name}'; train it again")


STAGES = [
    Stage("train", train, "checkpoints", _has_checkpoints),
    Stage("quantize", quantize, "student.net", lambda run: netx.load(run.student)),
    Stage("evaluate", evaluate, "summary.json", _has("summary.json", "accuracy", "networks")),
    Stage("export", export, "verification.json", _has("verification.json", "compared", "differences")),
    Stage("profile", profile, "profile.json", _has("profile.json", "layers", "energy")),
]


def walk(context: Context, *names: str) -> dict[str, Any]:
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
