"""All files of a bundle, in memory: the network, its C, its ONNX, golden samples, Lava's script, and the manifest."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

from snnkd import __version__
from snnkd.analysis import cautions
from snnkd.base import files, progress
from snnkd.base.errors import LimitError
from snnkd.bundle import figures, golden, readme
from snnkd.bundle import manifest as manifests
from snnkd.bundle.manifest import Manifest
from snnkd.data.samples import Samples
from snnkd.engines import c99, lava
from snnkd.engines.onnx import graph
from snnkd.formats import netx
from snnkd.ir.events import RawEvents
from snnkd.ir.network import IntNet
from snnkd.ir.trace import SpikeTrace
from snnkd.targets import Target

MODEL, GOLDEN = "model.net", "golden/golden.npz"
EXAMPLE, PICTURE = "example/main.c", "example/image.png"
STEP, INFERENCE = "onnx/step.onnx", "onnx/inference.onnx"
_SCRIPT = Path(__file__).with_name("lava_golden.py")


def assemble(
    net: IntNet, target: Target, samples: Samples, name: str, prefix: str = c99.PLAIN
) -> tuple[dict[str, bytes], Manifest]:
    """Contents by name, and their manifest. name: of the network, in words; prefix: of all public names of the C.

    Raises LimitError where `target` is not one that C is made for. `samples` have the steps that the network says.
    """
    if target.engine != c99.ENGINE:
        raise LimitError(f"target '{target.name}': a bundle is made for targets that run C, see `snnkd targets`")
    net = _as_filed(net)
    run = golden.trace_of(net, samples)
    progress.say("writing C, ONNX and golden spikes")
    contents = generated(net, target, run, golden.shown_of(samples), prefix)
    contents |= {
        GOLDEN: golden.to_bytes(net, samples, run),
        "LICENSE": (files.data_root("hw_targets") / "c99" / "LICENSE").read_bytes(),
    }
    about = _manifest(net, target, samples, run).model_copy(update={"prefix": prefix})
    contents["README.md"] = c99.renamed(readme.text(about, name, net, PICTURE in contents), prefix).encode()
    listed = {path: manifests.listed(data) for path, data in sorted(contents.items())}
    about = about.model_copy(update={"files": listed})
    return {**contents, manifests.NAME: about.to_bytes()}, about


def _as_filed(net: IntNet) -> IntNet:
    """The network as its file gives it back: the same sums, maybe by another weight and exponent."""
    with tempfile.TemporaryDirectory(prefix="snnkd-") as folder:
        path = Path(folder) / MODEL
        path.write_bytes(netx.to_bytes(net))
        return netx.load(path)


def generated(
    net: IntNet, target: Target, run: SpikeTrace, images: np.ndarray | RawEvents | None, prefix: str = c99.PLAIN
) -> dict[str, bytes]:
    """Makes the files that follow from the network, the target, the golden samples and the prefix alone.

    run: the trace of the samples; images: (N, C, H, W) uint8 or recordings, what they are encoded from, or None.
    """
    golden = c99.of_files(c99.golden_files(net, run, images, target), prefix)
    sources = c99.of_files({**c99.runtime_files(target), **c99.model_files(net, target)}, prefix)
    example = c99.example_files(net, run, images)
    example |= c99.of_files({"main.c": example["main.c"]}, prefix)
    return {
        MODEL: netx.to_bytes(net),
        **{f"c/{path}": data for path, data in sources.items()},
        **{f"golden/{path}": data for path, data in golden.items()},
        **{f"example/{path}": data for path, data in example.items()},
        STEP: graph.step_model(net).SerializeToString(deterministic=True),
        INFERENCE: graph.inference_model(net, run.steps).SerializeToString(deterministic=True),
        "lava/run.py": _SCRIPT.read_bytes(),
        **{
            f"lava/worker/{name}": (lava.WORKER / name).read_bytes()
            for name in ("mends.py", "record.py", "sigma_delta.py")
        },
        "lava/job.json": (json.dumps(lava.job(net, states=False), indent=2) + "\n").encode(),
    }


def _manifest(net: IntNet, target: Target, samples: Samples, run: SpikeTrace) -> Manifest:
    """The manifest, without the files."""
    accuracy, work, warnings = figures.measure(net, samples)
    warnings = warnings or cautions.silent_layers(net, run.events, f"the {run.samples} golden samples")
    return Manifest(
        bundle=manifests.VERSION,
        snnkd=__version__,
        target=manifests.TargetFacts(name=target.name, description=target.description),
        files={},
        **manifests.facts(net),
        accuracy=accuracy,
        work=work,
        golden=manifests.Golden(samples=run.samples, data=f"the first {run.samples} of: {samples.data}"),
        warnings=warnings,
    )
