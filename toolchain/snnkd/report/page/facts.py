"""What is known of a run: its folder's files, and what its network does on test images that are at hand."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from snnkd.analysis import evaluation
from snnkd.base import checksums, files
from snnkd.base.errors import FormatError, SnnkdError
from snnkd.ir.network import IntNet
from snnkd.report.page.seen import Seen, look
from snnkd.runs.folder import Run
from snnkd.runs.pipeline import PROFILE_SAMPLES
from snnkd.runs.subject import Subject

SHOWN = 12  # samples in detail, all runs of a page together; at least 2 of each


@dataclass(frozen=True, eq=False)
class Facts:
    """One run, as the sections of its page need it.

    summary, profile, verification, provenance: the files of those names, the second and third None where they are
    missing and cannot be made here. metrics: rows of metrics.csv as texts, by column. digests: SHA256SUMS. seen: None
    where the test images are not at hand. lacks: what the page therefore leaves out, as sentences.
    """

    run: Run
    net: IntNet
    summary: Mapping[str, Any]
    provenance: Mapping[str, Any]
    metrics: list[dict[str, str]]
    digests: Mapping[str, str]
    profile: Mapping[str, Any] | None
    verification: Mapping[str, Any] | None
    seen: Seen | None
    lacks: list[str]

    @property
    def name(self) -> str:
        """Returns the name of the run's folder."""
        return self.run.folder.resolve().name

    @property
    def classes(self) -> list[str]:
        """Lists the names of the classes, or their numbers where nobody has said them."""
        named = self.seen.classes if self.seen else [row["name"] for row in self.summary.get("classes", ())]
        outputs = prod(self.net.layers[-1].shape) // self.net.readout.population
        return [str(name) for name in named] or [str(k) for k in range(outputs)]

    @property
    def spikes(self) -> float | None:
        """Returns the spikes of all layers per inference, None where there is no profile."""
        if self.profile is None:
            return None
        return sum(row["spikes"] for row in self.profile["layers"] if row["name"] != "input") / self.profile["samples"]


def gather(subject: Subject, runs: int = 1) -> Facts:
    """Reads what a run's folder holds, and runs its network on test images.

    runs: how many the page shows. Raises FormatError for a damaged file.
    """
    run = subject.run
    assert run is not None, "a page is of a run"
    seen, profile, lacks = None, _json(run, "profile.json", "layers", "energy"), []
    try:
        seen = look(subject.net, subject.samples(None), subject.data_set.classes, max(2, SHOWN // runs))
        profile = profile or _profile(subject)
    except SnnkdError as error:
        lacks.append(f"samples, confusion, health and activity by step: the test images are not at hand ({error})")
    if profile is None:
        lacks.append("activity by layer and energy: `snnkd profile` of this run makes them")
    verification = _json(run, "verification.json", "compared", "against")
    if verification is None:
        lacks.append("parity: `snnkd export` of this run compares its spikes")
    return Facts(
        run=run,
        net=subject.net,
        summary=_json(run, "summary.json", "accuracy", "networks"),
        provenance=run.provenance,
        metrics=_metrics(run.folder / "metrics.csv"),
        digests=checksums.beside(run.summary),
        profile=profile,
        verification=verification,
        seen=seen,
        lacks=lacks,
    )


def _profile(subject: Subject) -> dict[str, Any]:
    """What `snnkd profile` would store in the run's folder."""
    samples = subject.samples(PROFILE_SAMPLES)
    counted = evaluation.survey(subject.net, samples.blocks(evaluation.BLOCK), subject.net.early_exit is not None)
    return evaluation.profile_of(subject.net, counted, data=samples.data).to_json()


def _json(run: Run, name: str, *keys: str) -> Any:
    """The object in a file of the run, which must have `keys`; None where there is no file."""
    path = run.folder / name
    if not path.exists():
        return None
    data = files.read_json(path)
    if not isinstance(data, dict) or (missing := [key for key in keys if key not in data]):
        raise FormatError(f"{path}: lacks {', '.join(missing) if isinstance(data, dict) else 'an object'}")
    return data


def _metrics(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
