"""All files of a bundle, in memory: the network, its C, its ONNX, golden samples, Lava's script, and the manifest."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from snnkd import __version__, c99, cautions, files, netx, onnx_graph
from snnkd.engines import lava
from snnkd.errors import LimitError
from snnkd.handoff import evidence as measured
from snnkd.handoff import manifest as manifests
from snnkd.handoff import readme, samples
from snnkd.handoff.evidence import Evidence
from snnkd.handoff.manifest import Manifest
from snnkd.network import IntNet
from snnkd.targets import Target
from snnkd.trace import SpikeTrace

MODEL, GOLDEN = "model.net", "golden/golden.npz"
STEP, INFERENCE = "onnx/step.onnx", "onnx/inference.onnx"
_SCRIPT = Path(__file__).with_name("lava_golden.py")
_WORKER = Path(lava.__file__).parent / "lava_worker" / "record.py"


def assemble(
    net: IntNet, target: Target, evidence: Evidence, name: str, bundle: str
) -> tuple[dict[str, bytes], Manifest]:
    """Contents by name, and their manifest. name: of the network, in words; bundle: the zip's file name, as
    README calls it.

    Raises LimitError where `target` is not one that C is made for. The network's steps become those of `evidence`.
    """
    if target.engine != c99.ENGINE:
        raise LimitError(f"target '{target.name}': a bundle is made for targets that run C, see `snnkd targets`")
    net = replace(net, steps=evidence.events.shape[1])
    run = samples.golden(net, evidence)
    images = None if evidence.images is None else evidence.images[: run.samples]
    found = generated(net, target, run, images)
    found |= {
        GOLDEN: samples.to_bytes(net, evidence, run),
        "LICENSE": (files.data_root("hw_targets") / "c99" / "LICENSE").read_bytes(),
    }
    about = _manifest(net, target, evidence, run)
    found["README.md"] = readme.text(about, name, bundle, net).encode()
    listed = {path: manifests.listed(data) for path, data in sorted(found.items())}
    about = about.model_copy(update={"files": listed})
    return {**found, manifests.NAME: about.to_bytes()}, about


def generated(net: IntNet, target: Target, run: SpikeTrace, images: np.ndarray | None) -> dict[str, bytes]:
    """The files that follow from the network, the target and the golden samples alone; `run`: their trace; images:
    (N, C, H, W) uint8, what they are encoded from, or None."""
    golden = {f"golden/{path}": data for path, data in c99.golden_files(net, run, images).items()}
    sources = {**c99.runtime_files(target), **c99.model_files(net, target)}
    return {
        MODEL: netx.to_bytes(net),
        **{f"c/{path}": data for path, data in sources.items()},
        **golden,
        STEP: onnx_graph.step_model(net).SerializeToString(deterministic=True),
        INFERENCE: onnx_graph.inference_model(net, run.steps).SerializeToString(deterministic=True),
        "lava/run.py": _SCRIPT.read_bytes(),
        "lava/worker/record.py": _WORKER.read_bytes(),
        "lava/job.json": (json.dumps(lava.job(net, states=False), indent=2) + "\n").encode(),
    }


def _manifest(net: IntNet, target: Target, evidence: Evidence, run: SpikeTrace) -> Manifest:
    """The manifest, without the files."""
    accuracy, work, warnings = measured.measure(net, evidence)
    warnings = warnings or cautions.silent_layers(net, run.events, f"the {run.samples} golden samples")
    plan = c99.plan(net)
    return Manifest(
        bundle=manifests.VERSION,
        snnkd=__version__,
        target=manifests.TargetFacts(name=target.name, description=target.description),
        files={},
        provenance=net.provenance,
        input_shape=list(net.input_shape),
        message_bits=net.message_bits,
        steps=run.steps,
        encoder=net.encoding,
        readout=asdict(net.readout),
        early_exit=None if net.early_exit is None else asdict(net.early_exit),
        parameters=net.parameters,
        neurons=net.neurons,
        accuracy=accuracy,
        work=work,
        memory=manifests.Memory(flash=plan.flash, ram=plan.ram),
        golden=manifests.Golden(samples=run.samples, data=f"the first {run.samples} of: {evidence.data}"),
        warnings=warnings,
    )
