"""Makes a bundle, and has it proved."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from snnkd import c99, targets
from snnkd.errors import LimitError
from snnkd.files import atomic, check_output
from snnkd.handoff import archive, contents, proof
from snnkd.handoff.evidence import GOLDEN_SAMPLES, Evidence
from snnkd.handoff.proof import Check
from snnkd.network import IntNet

MEASURED = "measured.json"


def make(net: IntNet, target: str | Path, evidence: Evidence, out: Path, name: str = "network") -> dict[str, Any]:
    """Writes the bundle of `net` for `target` to the zip `out`: the same bytes for the same arguments.

    evidence: what accuracy and work are measured on, at least 16 samples; the first 16 become the golden ones. name: of
    the network, in words. Returns what `snnkd handoff --json` prints: file, sha256, samples, bytes {flash, ram},
    readout, accuracy, violations and warnings; where there are violations of the target's limits, nothing is written.
    Raises LimitError where the target is not one that C is made for, or there are too few samples.
    """
    chosen = targets.load(target)
    if len(evidence.events) < GOLDEN_SAMPLES:
        raise LimitError(
            f"{evidence.data}: {len(evidence.events)} samples; a bundle needs at least {GOLDEN_SAMPLES} golden ones"
        )
    plan, violations = c99.plan(net), targets.check(net, chosen)
    result: dict[str, Any] = {
        "file": str(out),
        "target": chosen.name,
        "samples": GOLDEN_SAMPLES,
        "data": evidence.data,
        "bytes": {"flash": plan.flash, "ram": plan.ram},
        "readout": asdict(net.readout),
        "violations": [asdict(one) for one in violations],
        "warnings": [],
    }
    if violations:
        return {**result, "file": None, "sha256": None, "accuracy": None}
    files, about = contents.assemble(net, chosen, evidence, name, out.name)
    accuracy = None if about.accuracy is None else about.accuracy.model_dump()
    return {**result, "sha256": archive.write(out, files), "accuracy": accuracy, "warnings": about.warnings}


def verify(path: Path, on_check: Callable[[Check], None] = lambda _: None) -> dict[str, Any]:
    """Proves the bundle at `path` on this machine, and writes measured.json beside it.

    on_check: called with each check when it is done. Returns what `snnkd handoff --verify --json` prints. Code of the
    bundle is compiled and run where its hashes agree. Raises FormatError where the file is no bundle, LimitError
    where measured.json would replace it.
    """
    check_output("--verify", path.with_name(MEASURED), ".json", [path])
    checks = []
    for check in proof.prove(path):
        checks.append(check)
        on_check(check)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    with atomic(path.with_name(MEASURED)) as temporary:
        temporary.write_bytes(proof.measured(path, sha256, checks))
    return {
        "file": str(path),
        "sha256": sha256,
        "equal": all(check.outcome != proof.DIFFERENT for check in checks),
        "measured": str(path.with_name(MEASURED)),
        "checks": [asdict(check) for check in checks],
    }
