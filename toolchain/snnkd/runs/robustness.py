"""How many test images networks get right, clean and corrupted: what `snnkd evaluate` does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnkd.analysis import cautions, evaluation, proportion
from snnkd.base import progress
from snnkd.base.errors import LimitError
from snnkd.data import corruption, event_corruption
from snnkd.data.recordings.collection import Recordings
from snnkd.data.samples import Samples, given
from snnkd.ir.network import IntNet
from snnkd.runs.subject import Subject

if TYPE_CHECKING:
    from snnkd.runs.folder import Run
    from snnkd.training.feed import Feed
    from snnkd.training.teachers.ann import Ann
    from snnkd.training.teachers.outside import Outside

CLEAN = "none"  # the corruption of images as they are, of severity 0
STUDENT = "student"  # the deployed network of a run, whatever its stage is called; the network of a file
BASELINE = "baseline"

KNOWN = (*corruption.CORRUPTIONS, *event_corruption.EVENT_CORRUPTIONS)

Level = tuple[str, int]  # a corruption's name and severity
Answers = tuple[np.ndarray, np.ndarray]  # (N,) classes, and bool where only the lower number of a class decides


@dataclass(frozen=True)
class Row:
    """How many of `total` images a network got right.

    run: as the user named it, or the run's folder. network: the stage's name, 'student' for a file's. data: what the
    images are. corruption, severity, constant: as `corruption` has them; 'none', 0 and None of clean images.
    """

    run: str
    network: str
    data: str
    corruption: str
    severity: int
    constant: float | None
    correct: int
    total: int

    @property
    def accuracy(self) -> float:
        return self.correct / self.total if self.total else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy."""
        return proportion.interval(self.correct, self.total)

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data: the fields, and what follows from them."""
        return {**asdict(self), "accuracy": self.accuracy, "interval": list(self.interval)}


@dataclass(frozen=True)
class Evaluation:
    """rows: by corruption, severity, and the networks in their order; clean images first. warnings: what the accuracies
    on clean images do not show."""

    rows: list[Row]
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """Returns what `snnkd evaluate --json` prints."""
        return {"rows": [row.to_json() for row in self.rows], "warnings": self.warnings}


@dataclass(frozen=True, eq=False)
class Judged:
    """A network and the samples that it is judged by, whose labels are known. answers: what it says of samples."""

    run: str
    network: str
    samples: Samples
    answers: Callable[[Samples], Answers]


def levels(corruptions: str | None, severities: str) -> list[Level]:
    """Reads the values of --corrupt, 'gaussian,blur', and --severity, '1-5', '3' or '1,5': all pairs of the two.

    Raises LimitError for anything else.
    """
    names = [name.strip() for name in corruptions.split(",")] if corruptions is not None else []
    for name in names:
        if name not in KNOWN:
            raise LimitError(f"--corrupt {corruptions}: expected some of {','.join(KNOWN)}")
    chosen: list[int] = []
    for part in severities.split(","):
        first, _, last = part.partition("-")
        numbers = [first.strip(), (last or first).strip()]
        if not all(number in map(str, corruption.SEVERITIES) for number in numbers) or numbers[0] > numbers[1]:
            raise LimitError(f"--severity {severities}: expected numbers from 1 to 5, like 1-5, 3 or 1,3,5")
        chosen += range(int(numbers[0]), int(numbers[1]) + 1)
    return [(name, severity) for name in dict.fromkeys(names) for severity in sorted(set(chosen))]


def networks_of_run(subject: Subject, networks: Iterable[str], count: int | None) -> Iterator[Judged]:
    """Yields the named networks of a run: 'student', the deployed one, a stage's name, or 'baseline'.

    count: so many test images, the first ones; all for None. Raises LimitError for a network that the run has not.
    """
    assert subject.run is not None, "a file has one network"
    samples = subject.samples(count)
    for name in networks:
        if name in (STUDENT, subject.run.recipe.student):
            answers = partial(_of_integers, subject.net)
        else:
            answers = _of_stage(subject, subject.run, name)
        yield Judged(subject.name, name, samples, answers)


def network_of_file(
    subject: Subject, images: Path | str | None, events: Path | None, labels: Path | None, count: int | None
) -> Judged:
    """Returns the network of a file with the test images of a data set, or with the events and labels of two files.

    images: name or path of the data set, which the file's encoding makes events of. Raises LimitError where neither is
    given or the file has no encoding, FormatError for what does not fit.
    """
    if (images is None) == (events is None or labels is None):
        raise LimitError(f"{subject.name}: say what it is evaluated on: --data SET, or --input and --labels")
    if images is None:
        assert events is not None and labels is not None
        samples = given(subject.net, events, labels)
    else:
        samples = subject.of_set(images, count)
    return Judged(subject.name, STUDENT, samples, partial(_of_integers, subject.net))


def evaluate(
    networks: Sequence[Judged], chosen: Sequence[Level], on_row: Callable[[Row], None] = lambda _: None
) -> Evaluation:
    """Counts right answers on clean images, then on each of the corruptions and severities `chosen`.

    The noise is that of seed 0, and of an image's position: the same for all networks, so differences between them are
    no matter of luck. on_row: called with each row. Raises LimitError where a corruption is not one of what a network
    reads: images, recordings, or events of a file, which have none.
    """
    rows: list[Row] = []
    told: list[str] = []
    shared = _shared(networks)
    for name, severity in [(CLEAN, 0), *chosen]:
        corrupted: dict[int, np.ndarray | Recordings] = {}
        for judged, images in zip(networks, shared, strict=True):
            samples = judged.samples
            if name != CLEAN:
                if id(images) not in corrupted:
                    corrupted[id(images)] = _corrupted(images, name, severity, samples.data)
                samples = replace(samples, images=corrupted[id(images)])
            classes, undecided = judged.answers(samples)
            rows.append(_row(judged, name, severity, classes))
            on_row(rows[-1])
            if name == CLEAN and len(classes) and samples.labels is not None:
                found = cautions.of_classes(classes, undecided, samples.labels, samples.data)
                told += [f"{judged.run}, {judged.network}: {text}" for text in found]
    return Evaluation(rows, told)


def _corrupted(images: np.ndarray | Recordings | None, name: str, severity: int, data: str) -> np.ndarray | Recordings:
    """data: what they are, in words."""
    known = event_corruption.EVENT_CORRUPTIONS if isinstance(images, Recordings) else corruption.CORRUPTIONS
    if images is None:
        raise LimitError(f"--corrupt: changes images and recordings, {data} has none; give --data SET instead")
    if name not in known:
        what = "recordings" if isinstance(images, Recordings) else "images"
        raise LimitError(f"--corrupt {name}: {data} are {what}, which take {','.join(known)}")
    if isinstance(images, Recordings):
        return event_corruption.corrupt(images, np.arange(len(images)), name, severity)
    return corruption.corrupt(images, np.arange(len(images)), name, severity)


def _shared(networks: Sequence[Judged]) -> list[np.ndarray | Recordings | None]:
    """The images of each network, one array for all that have the same ones: they are corrupted once. Recordings are
    corrupted when they are read."""
    known: list[np.ndarray] = []
    shared: list[np.ndarray | Recordings | None] = []
    for judged in networks:
        images = judged.samples.images
        if isinstance(images, np.ndarray):
            same = next((other for other in known if np.array_equal(images, other)), None)
            if same is None:
                known.append(images)
            shared.append(images if same is None else same)
        else:
            shared.append(images)
    return shared


def _strength(images: np.ndarray | Recordings | None, name: str, severity: int) -> float | None:
    if images is None or name == CLEAN:
        return None
    if isinstance(images, Recordings):
        return float(event_corruption.EVENT_CORRUPTIONS[name].constants[severity - 1])
    return corruption.strength(name, severity, images.shape)


def _row(judged: Judged, name: str, severity: int, classes: np.ndarray) -> Row:
    labels = judged.samples.labels
    assert labels is not None, "asked for where networks are chosen"
    constant = _strength(judged.samples.images, name, severity)
    right = int((classes == labels).sum())
    return Row(judged.run, judged.network, judged.samples.data, name, severity, constant, right, len(labels))


# Networks


def _of_integers(net: IntNet, samples: Samples) -> Answers:
    runs = (evaluation.simulate(net, events) for events in samples.blocks(evaluation.BLOCK))
    answers = [(run.classes(net), run.undecided(net)) for run in runs]
    if not answers:
        return np.zeros(0, np.int64), np.zeros(0, bool)
    classes, undecided = zip(*answers, strict=True)
    return np.concatenate(classes), np.concatenate(undecided)


def _of_stage(subject: Subject, run: Run, name: str) -> Callable[[Samples], Answers]:
    """The network of a stage from its checkpoint: a spiking one's integers, an ANN in float32."""
    with progress.doing("loading torch and what trains"):
        from snnkd.training.chain import Chain

    known = [*run.recipe.chain, *([BASELINE] if (run.checkpoints / f"{BASELINE}.safetensors").exists() else [])]
    if name not in known:
        raise LimitError(f"--networks {name}: {subject.name} has {', '.join(known)}")
    chain, stage = Chain(run.recipe, subject.data_set, run.checkpoints), run.recipe.chain.get(name)
    if stage is not None and stage.data is not None:
        raise LimitError(f"--networks {name}: reads {stage.data.set}, not the recordings of the other networks")
    if stage is not None and stage.neuron == "relu":
        return partial(_of_ann, chain.ann(name))
    if stage is not None and stage.frozen == "logits":
        raise LimitError(f"--networks {name}: {stage.title}: logits are answers to the clean images; leave it out")
    if stage is not None and stage.frozen == "model":
        return partial(_of_outside, chain.outside(name))
    net = chain.net(name) if stage is not None and stage.net else chain.deployed(name, chain.load(name), {})
    return lambda samples: _of_integers(net, samples.read_by(net))


def _of_ann(ann: Ann, samples: Samples) -> Answers:
    return _decided(ann.logits(_feed(samples)).numpy())


def _of_outside(outside: Outside, samples: Samples) -> Answers:
    answers = outside.answers(_feed(samples))
    return _decided((answers if answers.ndim == 2 else answers.sum(dim=0)).numpy())


def _feed(samples: Samples) -> Feed:
    from snnkd.data.datasets import Split
    from snnkd.training.chain import pick_device
    from snnkd.training.feed import Feed

    assert samples.images is not None and samples.labels is not None and samples.encoder is not None, "a run has images"
    return Feed(Split(samples.images, samples.labels), samples.encoder, pick_device("cpu"))


def _decided(logits: np.ndarray) -> Answers:
    classes = logits.argmax(axis=1)
    return classes, np.zeros(len(classes), bool)
