"""Packs a network into a bundle, and has bundles proved."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from snnkd import targets
from snnkd.analysis import fit
from snnkd.analysis.fit import Violation
from snnkd.base.errors import FormatError, LimitError
from snnkd.base.files import atomic, check_output
from snnkd.bundle import archive, contents, proof
from snnkd.bundle.figures import GOLDEN_SAMPLES
from snnkd.bundle.manifest import Accuracy, Memory
from snnkd.bundle.proof import Check
from snnkd.data.samples import Samples
from snnkd.engines import c99
from snnkd.ir.network import IntNet
from snnkd.ir.readout import Readout
from snnkd.runs.subject import Subject

MEASURED = "measured.json"


@dataclass(frozen=True)
class Handoff:
    """What a hand-off wrote, or why it wrote nothing.

    file, sha256: of the zip, None where the target's limits are broken (`violations`). samples: how many golden ones;
    data: what accuracy and work were measured on. bytes: of flash and RAM, computed. accuracy: None without labels.
    warnings: what these figures do not show.
    """

    file: str | None
    sha256: str | None
    target: str
    samples: int
    data: str
    bytes: Memory
    readout: Readout
    accuracy: Accuracy | None
    violations: list[Violation]
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """Returns what `snnkd handoff --json` prints."""
        accuracy = None if self.accuracy is None else self.accuracy.model_dump()
        return {**asdict(self), "bytes": self.bytes.model_dump(), "accuracy": accuracy}


@dataclass(frozen=True)
class Proof:
    """What came of a bundle's checks. file, sha256: of the bundle; equal: nothing differs; measured: path of
    measured.json."""

    file: str
    sha256: str
    equal: bool
    measured: str
    checks: list[Check]

    def to_json(self) -> dict[str, Any]:
        """Returns what `snnkd handoff --verify --json` prints."""
        return asdict(self)


def pack(
    subject: Subject,
    target: str | Path,
    out: Path,
    events: Path | None = None,
    labels: Path | None = None,
    data: str | None = None,
    prefix: str = c99.PLAIN,
) -> Handoff:
    """Writes the bundle of a run or of a file for `target` to the zip `out`.

    A run is measured on its whole test set; a file on that of the data set `data`, whose images or recordings the
    bundle's encoder is then proved on, on `events` (.npy) with their `labels` (.npy), or on random ones. Raises
    LimitError where `out` would replace an input, and as `make` does.
    """
    for option, value in (("--input", events), ("--data", data)):
        if subject.run is not None and value is not None:
            raise LimitError(f"{option}: a run has its own test images; give its student.net to use others")
    if data is not None and (events is not None or labels is not None):
        raise LimitError("--data: has events and labels of its own; leave out --input and --labels")
    check_output("--out", out, ".zip", [*subject.inputs, events, labels, target])
    if data is not None:
        samples = subject.of_set(data)
    else:
        samples = subject.samples(None if subject.run is not None else GOLDEN_SAMPLES, events, labels)
    if events is not None:  # whoever gets the bundle has nothing of the folders that the file lay in
        samples = replace(samples, data=events.name)
    return make(subject.net, target, samples, out, subject.short_name, prefix)


def make(
    net: IntNet, target: str | Path, samples: Samples, out: Path, name: str = "network", prefix: str = c99.PLAIN
) -> Handoff:
    """Writes the bundle of `net` for `target` to the zip `out`: the same bytes whatever that is called.

    samples: what accuracy and work are measured on, at least 16; the first 16 become the golden ones. name: of the
    network, in words. prefix: of all public names of the C. Where the network breaks the target's limits, nothing is
    written. The network's steps become those of `samples`. Raises LimitError where the target is not one that C is made
    for, there are too few samples, or C cannot have the prefix.
    """
    c99.check_prefix(prefix)
    chosen = targets.load(target)
    if len(samples) < GOLDEN_SAMPLES:
        raise LimitError(
            f"{samples.data}: {len(samples)} samples; a bundle needs at least {GOLDEN_SAMPLES} golden ones"
        )
    net = replace(net, steps=samples.steps)
    plan, violations = c99.plan(net), fit.check(net, chosen)
    memory = Memory(flash=plan.flash, ram=plan.ram)
    shared = (chosen.name, GOLDEN_SAMPLES, samples.data, memory, net.readout)
    if violations:
        return Handoff(None, None, *shared, None, violations, [])
    files, about = contents.assemble(net, chosen, samples, name, prefix)
    return Handoff(str(out), archive.write(out, files), *shared, about.accuracy, [], about.warnings)


def verify(path: Path, on_check: Callable[[Check], None] = lambda _: None) -> Proof:
    """Proves the bundle at `path` on this machine, and writes measured.json beside it.

    on_check: called with each check when it is done. Code of the bundle is compiled and run where its hashes agree.
    Raises FormatError where the file is no bundle, LimitError where measured.json would replace it.
    """
    if path.is_dir():
        raise FormatError(f"{path}: is a folder; name the zip, as it came")
    measured = path.with_name(MEASURED)
    check_output("--verify", measured, ".json", [path])
    checks: list[Check] = []
    for check in proof.prove(path):
        checks.append(check)
        on_check(check)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    with atomic(measured) as temporary:
        temporary.write_bytes(proof.measured(path, sha256, checks))
    equal = all(check.outcome != proof.DIFFERENT for check in checks)
    return Proof(str(path), sha256, equal, str(measured), checks)
