"""manifest.json: what is in a bundle, where it is from, and what was measured of it (docs/bundle.md has the keys)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import Field

from snnkd.base.errors import FormatError, LimitError
from snnkd.base.schema import Table, report, validate
from snnkd.engines import c99
from snnkd.ir import describe
from snnkd.ir.network import IntNet

NAME = "manifest.json"
VERSION = 1


class File(Table):
    """A file of the bundle."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int


def listed(data: bytes) -> File:
    """Makes a file's entry."""
    return File(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


class TargetFacts(Table):
    """The hardware that the bundle was made for, by its name in snnkd and in words."""

    name: str
    description: str


class Accuracy(Table):
    """Measured on the integer network: fractions 0 to 1; early_exit: with the rule that ends a run early, or null."""

    data: str
    samples: int
    integer: float
    early_exit: float | None


class Work(Table):
    """What one inference costs in counted operations, means over the samples of `data`.

    spikes: of all layers. synops: weights that an event reads. updates: of neurons. synops_most: if every neuron and
    input sent an event at every step. early_exit_steps: mean steps with the rule for early exit, or null.
    """

    data: str
    samples: int
    steps: int
    input_events: float
    spikes: float
    synops: float
    synops_most: int
    updates: int
    early_exit_steps: float | None


class Memory(Table):
    """Bytes of generated C: weights and parameters (flash), the network's state (RAM); code and stack come to it."""

    flash: int
    ram: int


class Golden(Table):
    """What golden/ holds."""

    samples: int
    data: str


class Manifest(Table):
    """manifest.json."""

    bundle: int = Field(description=f"the version of this schema, {VERSION}")
    snnkd: str = Field(description="the version of snnkd that wrote it")
    target: TargetFacts
    files: dict[str, File]
    provenance: dict[str, Any] | None
    input_shape: list[int]
    message_bits: int
    steps: int
    encoder: dict[str, Any] | None
    readout: dict[str, Any]
    early_exit: dict[str, Any] | None
    class_names: list[str] | None = Field(default=None, description="of the classes, in their order")
    parameters: int
    neurons: int
    accuracy: Accuracy | None
    work: Work
    memory: Memory
    golden: Golden
    warnings: list[str] = Field(default_factory=list, description="what the figures and golden samples do not show")
    prefix: str = Field(default=c99.PLAIN, description="of all public names of the C")

    def to_bytes(self) -> bytes:
        """Writes the file; the usual prefix is left out, as in bundles that know no other."""
        told = self.model_dump(exclude={"prefix"} if self.prefix == c99.PLAIN else None)
        return (json.dumps(told, indent=2) + "\n").encode()


def facts(net: IntNet) -> dict[str, Any]:
    """Returns what a manifest says of a network, by the manifest's keys."""
    described = describe.facts(net)
    plan = c99.plan(net)
    return {
        **{key: value for key, value in described.items() if key != "encoding"},
        "encoder": described["encoding"],
        "memory": Memory(flash=plan.flash, ram=plan.ram),
    }


def parse(data: bytes, source: object) -> Manifest:
    """Reads the manifest in a file's bytes. Raises FormatError that names `source` and each field that is wrong."""
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{source}: not valid JSON: {error}") from error
    version = parsed.get("bundle") if isinstance(parsed, dict) else None
    if version != VERSION:
        raise FormatError(
            f"{source}: bundle: expected version {VERSION}, found {version!r}: use the snnkd that wrote it"
        )
    manifest, problems = validate(Manifest, parsed)
    if manifest is None:
        raise FormatError(report(source, problems))
    try:
        c99.check_prefix(manifest.prefix)  # it becomes a part of paths
    except LimitError as error:
        raise FormatError(f"{source}: prefix: {error}") from error
    return manifest
