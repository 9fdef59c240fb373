"""What stages and commands return: dataclasses whose `to_json` is what the command prints with --json."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from snnkd.analysis.energy import Profile
from snnkd.analysis.health import Finding
from snnkd.analysis.verification import Verification


@dataclass(frozen=True)
class Accuracy:
    """Fractions of the test images: of the training network (`float`) and of the deployed one (`integer`), None for
    one that does not exist."""

    float: float | None
    integer: float | None


@dataclass(frozen=True)
class EarlyExitResult:
    """A rule for early exit, and on the test images its accuracy, a fraction, and its mean steps."""

    margin: int
    first: int
    accuracy: float
    steps: float


@dataclass(frozen=True)
class NetworkResult:
    """A network of a chain. kind: 'snn', 'ann', 'net' for one from a file, 'model' or 'logits' for a teacher from
    outside, of which None is what is not known."""

    network: str
    kind: str
    parameters: int | None
    neurons: int | None
    accuracy: Accuracy


@dataclass(frozen=True)
class Trained:
    """run: its folder. epochs: how many were trained. reused: the run that a stage was taken over from, by stage."""

    run: str
    epochs: int
    reused: dict[str, str]


@dataclass(frozen=True)
class Deployed:
    """net: path of the student's file. findings: what is wrong with it or wasted in it, on validation data."""

    net: str
    parameters: int
    neurons: int
    findings: list[Finding]


@dataclass(frozen=True)
class ClassResult:
    """How many test images a class has, and the fraction of them that was recognized, None of none."""

    name: str
    images: int
    accuracy: float | None


@dataclass(frozen=True)
class Summary:
    """summary.json: accuracies of all networks of a run on the whole test set.

    accuracy, by_step, early_exit, spikes, classes, confusion: the student's; by_step after 1, 2, ... steps; spikes of
    all its neurons, mean per image; confusion[k][j]: how many images of class k got class j. baseline: the student
    without its teacher, None where it was not trained. warnings: what is wrong with the networks on these images.
    """

    run: str
    net: str
    accuracy: Accuracy
    baseline: Accuracy | None
    by_step: list[float]
    early_exit: EarlyExitResult | None
    data_set: str
    test_images: int
    steps: int
    spikes: float
    classes: list[ClassResult]
    confusion: list[list[int]]
    networks: dict[str, NetworkResult]
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data; without `baseline` where there is none."""
        return {key: value for key, value in asdict(self).items() if key != "baseline" or value is not None}


@dataclass(frozen=True)
class Training(Summary):
    """All that `snnkd train` says: the summary, what was trained, and the student's size and health."""

    epochs: int
    reused: dict[str, str]
    parameters: int
    neurons: int
    findings: list[Finding]

    @classmethod
    def of(cls, trained: Trained, deployed: Deployed, summary: Summary) -> Training:
        """Puts the results of the three stages together."""
        return cls(**vars(summary) | vars(trained) | vars(deployed))


@dataclass(frozen=True)
class Exported:
    """A file for a target, and what came of comparing it with the definition: by engine, and `slayer` for the network
    that was trained.

    compared: samples, steps, cells, spikes and states. differences: differing cells, in all comparisons. stored: the
    file in the run folder that holds this, None where options of its own were given.
    """

    file: str
    target: str
    data: str
    compared: dict[str, int]
    differences: int
    against: dict[str, Verification]
    warnings: list[str]
    stored: str | None

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data."""
        return asdict(self)


@dataclass(frozen=True)
class Profiled:
    """The profile of the run `name`. stored: the file in its folder that holds this, None where options of its own were
    given."""

    name: str
    profile: Profile
    stored: str | None

    def to_json(self) -> dict[str, Any]:
        """Returns what `snnkd profile --json` prints of a run."""
        return {"name": self.name, **self.profile.to_json(), "stored": self.stored}
