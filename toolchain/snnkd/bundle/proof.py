"""Proves a bundle on this machine: hashes, contents, and the golden spikes from everything that can run here."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from snnkd import __version__, engines, targets
from snnkd.analysis import evaluation, verification
from snnkd.base import checksums, progress
from snnkd.base.errors import FormatError, SnnkdError
from snnkd.bundle import archive, contents, golden
from snnkd.bundle import manifest as manifests
from snnkd.bundle.manifest import Manifest
from snnkd.engines import c99, onnx
from snnkd.formats import netx
from snnkd.ir.events import RawEvents
from snnkd.ir.network import IntNet
from snnkd.ir.trace import SpikeTrace

RANDOM_SAMPLES = 1000
EQUAL, DIFFERENT, SKIPPED = "equal", "different", "skipped"


@dataclass(frozen=True)
class Check:
    """One thing that was compared: what came of it, in one sentence, and what was measured on the way."""

    name: str
    outcome: str
    detail: str
    measured: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Unpacked:
    """A bundle in `folder`: its manifest, its network, and its golden samples: a trace of the network, and the images
    (N, C, H, W) or recordings where it has them."""

    folder: Path
    files: dict[str, bytes]
    manifest: Manifest
    net: IntNet
    golden: SpikeTrace
    images: np.ndarray | RawEvents | None


def prove(path: Path) -> Iterator[Check]:
    """Yields the checks of the bundle at `path`, one after the other.

    The rest is left out where hashes or contents differ, so that nothing of a file that was tampered with is run.
    Raises FormatError where it is no bundle at all.
    """
    files = archive.read(path)
    changed = archive.differences(files)
    listed = f"{len(files) - 1} files are as {checksums.SUMS} lists them"
    yield Check("hashes", DIFFERENT if changed else EQUAL, "; ".join(changed) or listed)
    if changed:
        return
    with tempfile.TemporaryDirectory(prefix="snnkd-bundle-") as name:
        folder = Path(name)
        archive.unpack(files, folder)
        bundle = _opened(path, folder, files)
        for check in (_manifest, _generated, _golden):
            with progress.doing("check manifest, generated and golden files"):
                outcome = check(bundle)
            yield outcome
            if outcome.outcome == DIFFERENT:
                return
        for check in (*(_compiled(compiler) for compiler in c99.COMPILERS), _example, _random, _qemu, _onnx, _lava):
            yield _reported(check, bundle)


def _opened(path: Path, folder: Path, files: dict[str, bytes]) -> Unpacked:
    for name in (manifests.NAME, contents.MODEL, contents.GOLDEN, contents.INFERENCE):
        if name not in files:
            raise FormatError(f"{path}: has no {name}: not a bundle of snnkd")
    manifest = manifests.parse(files[manifests.NAME], f"{path}: {manifests.NAME}")
    try:
        net = netx.load(folder / contents.MODEL)
    except FormatError as error:  # the folder is gone when this is read
        raise FormatError(str(error).replace(f"{folder}/", f"{path}: ")) from error
    run, images = golden.read(files[contents.GOLDEN], net, f"{path}: {contents.GOLDEN}")
    return Unpacked(folder, files, manifest, net, run, images)


def _reported(check: Callable[[Unpacked], Check], bundle: Unpacked) -> Check:
    """The check, or its failure as a difference: something in the bundle does not do what it promises."""
    name = getattr(check, "__name__", "check").strip("_")
    try:
        with progress.doing(f"check {name}"):
            return check(bundle)
    except (SnnkdError, OSError, subprocess.SubprocessError) as error:
        return Check(name, DIFFERENT, str(error))


def _manifest(bundle: Unpacked) -> Check:
    """Does the manifest list the files, and describe the network, that are there?"""
    about, net = bundle.manifest, bundle.net
    present = {name: data for name, data in bundle.files.items() if name not in (manifests.NAME, checksums.SUMS)}
    listed = {name: manifests.listed(data) for name, data in present.items()}
    wrong = [
        f"{name}: not as {manifests.NAME} lists it"
        for name in sorted(listed.keys() | about.files.keys())
        if listed.get(name) != about.files.get(name)
    ]
    facts = manifests.facts(net)
    wrong += [f"{key}: not that of {contents.MODEL}" for key, value in facts.items() if getattr(about, key) != value]
    return Check("manifest", DIFFERENT if wrong else EQUAL, "; ".join(wrong) or f"agrees with {contents.MODEL}")


def _generated(bundle: Unpacked) -> Check:
    """Is all that follows from model.net what this snnkd makes of it?"""
    about = bundle.manifest
    if about.snnkd != __version__:
        return Check("generated", SKIPPED, f"made by snnkd {about.snnkd}, this is {__version__}; its code will be run")
    known = {target.name: target for target in targets.available()}
    if about.target.name not in known:
        return Check("generated", SKIPPED, f"the target '{about.target.name}' is not one that snnkd ships")
    expected = contents.generated(bundle.net, known[about.target.name], bundle.golden, bundle.images, about.prefix)
    wrong = [name for name, data in expected.items() if bundle.files.get(name) != data]
    if wrong:
        return Check(
            "generated", DIFFERENT, f"not what snnkd {__version__} here makes of {contents.MODEL}: {', '.join(wrong)}"
        )
    return Check("generated", EQUAL, f"{len(expected)} files are what snnkd {__version__} makes of {contents.MODEL}")


def _golden(bundle: Unpacked) -> Check:
    return _compared("golden", bundle, evaluation.simulate(bundle.net, bundle.golden.input, states=True))


def _compiled(compiler: str) -> Callable[[Unpacked], Check]:
    def check(bundle: Unpacked) -> Check:
        if reason := c99.missing(compiler):
            return Check(compiler, SKIPPED, reason)
        done = c99.self_test(bundle.folder / "c", compiler, prefix=bundle.manifest.prefix)
        return Check(compiler, EQUAL if done.passed else DIFFERENT, done.text)

    check.__name__ = compiler
    return check


def _example(bundle: Unpacked) -> Check:
    """The program with one inference, of the first golden sample."""
    if reason := c99.missing(c99.COMPILERS[0]):
        return Check("example", SKIPPED, reason)
    if contents.EXAMPLE not in bundle.files:
        return Check("example", SKIPPED, f"this bundle has no {contents.EXAMPLE}")
    expected = f"class {bundle.golden.classes(bundle.net)[0]}"
    found = c99.run_example(bundle.folder / "c", c99.COMPILERS[0], bundle.manifest.prefix)
    return Check("example", EQUAL if found == expected else DIFFERENT, f"{found}, expected {expected}")


def _random(bundle: Unpacked) -> Check:
    """The C of the bundle on random samples."""
    if reason := c99.missing(c99.COMPILERS[0]):
        return Check("random", SKIPPED, reason)
    events, _ = evaluation.random_input(bundle.net, RANDOM_SAMPLES, bundle.manifest.steps)
    expected = evaluation.simulate(bundle.net, events, states=True)
    actual = c99.run_sources(bundle.net, bundle.folder / "c", events, states=True, prefix=bundle.manifest.prefix)
    return _verdict("random", verification.compare(bundle.net, expected, actual))


def _qemu(bundle: Unpacked) -> Check:
    name = bundle.manifest.target.name
    known = {target.name: target for target in targets.available()}
    build = known[name].build if name in known else None
    if build is None:
        return Check("qemu", SKIPPED, f"QEMU has no machine for the target '{name}'")
    if reason := c99.qemu_missing():
        return Check("qemu", SKIPPED, reason)
    done = c99.on_qemu(bundle.folder / "c", build, bundle.manifest.prefix)
    text = done.text
    if done.figures is not None:
        figures = done.figures
        text = (
            f"{build.machine}: {text.splitlines()[0]}; {figures.instructions:,} instructions an inference, "
            f"{figures.code:,} bytes of code, {figures.constants:,} of constants, {figures.ram:,} of state, "
            f"{figures.stack:,} of stack"
        )
    return Check("qemu", EQUAL if done.passed else DIFFERENT, text, done.measured)


def _onnx(bundle: Unpacked) -> Check:
    """The bundle's inference model."""
    if reason := onnx.available():
        return Check("onnx", SKIPPED, reason)
    model = bundle.files[contents.INFERENCE]
    return _compared("onnx", bundle, onnx.run_model(model, bundle.net, bundle.golden.input))


def _lava(bundle: Unpacked) -> Check:
    """The bundle's own script, in Lava."""
    if reason := engines.get("lava").available():
        return Check("lava", SKIPPED, reason)
    command = [sys.executable, str(bundle.folder / "lava" / "run.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=bundle.folder)
    if done.returncode == 0:
        return Check("lava", EQUAL, f"{_spikes(bundle.golden):,} spikes of {bundle.golden.samples} samples")
    return Check("lava", DIFFERENT, "; ".join((done.stdout + done.stderr).splitlines()[-4:]))


def _spikes(run: SpikeTrace) -> int:
    return sum(int(np.count_nonzero(layer.spikes)) for layer in run.layers)


def _compared(name: str, bundle: Unpacked, actual: SpikeTrace) -> Check:
    return _verdict(name, verification.compare(bundle.net, bundle.golden, actual))


def _verdict(name: str, compared: verification.Verification) -> Check:
    counts, first = compared.compared, compared.first_difference
    if first is not None:
        text = (
            f"{first.quantity} of {first.layer}, sample {first.sample}, step {first.step}, neuron {first.neuron}: "
            f"expected {first.expected}, found {first.actual}"
        )
        return Check(name, DIFFERENT, text)
    text = f"{counts['spikes']:,} spikes and {counts['states']:,} states of {counts['samples']:,} samples"
    return Check(name, EQUAL, "; ".join((text, *compared.warnings)))


def measured(path: Path, sha256: str, checks: list[Check]) -> bytes:
    """Writes measured.json: the checks of a bundle and what was measured in them, for this machine."""
    data = {"bundle": path.name, "sha256": sha256, "snnkd": __version__, "checks": [asdict(check) for check in checks]}
    return (json.dumps(data, indent=2) + "\n").encode()
