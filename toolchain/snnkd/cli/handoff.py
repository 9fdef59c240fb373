"""`snnkd handoff`: makes a bundle for embedded engineers, or proves one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnkd.cli import output
from snnkd.cli.deployment import given_events
from snnkd.cli.options import (
    DEFAULT_RUNS,
    DataRoot,
    InputFile,
    InputShape,
    Json,
    Labels,
    ReadoutKind,
    RunOrNet,
    Runs,
    is_net,
    read_events,
    shape_of,
    with_readout,
)
from snnkd.errors import LimitError


def handoff(
    name: RunOrNet = None,
    target: Annotated[str, typer.Option(help="A target that runs C, see `snnkd targets`.")] = "c99",
    out: Annotated[Path, typer.Option(help="The zip that is written.")] = Path("bundle.zip"),
    verify: Annotated[
        Path | None, typer.Option("--verify", metavar="BUNDLE.zip", help="Prove this bundle instead of making one.")
    ] = None,
    inputs: InputFile = None,
    labels: Labels = None,
    input_shape: InputShape = None,
    readout: ReadoutKind = None,
    data_root: DataRoot = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Pack a network as C, ONNX and .net with golden spikes into one zip that builds and proves itself.

    Exit status 1 if the network does not fit the target. With --verify the bundle is checked, compiled and run on
    everything that this machine has; exit status 1 if anything differs. That runs code of the bundle.

    Example: snnkd handoff --target cortex-m4 --out bundle.zip
    """
    if verify is not None:
        _verify(verify, as_json)
        return
    from snnkd import files, netx
    from snnkd import handoff as bundles

    if labels is not None and inputs is None:
        raise LimitError("--labels: are the classes of --input, which is missing")
    files.check_output("--out", out, ".zip", [inputs, labels, target])
    if is_net(name):
        files.check_output("--out", out, ".zip", [name])
        net = netx.load(Path(str(name)), shape_of(input_shape))
        evidence, words = _given(net, inputs, labels), Path(str(name)).stem
    else:
        net, evidence, words = _of_run(name, inputs, input_shape, data_root, runs)
    net = with_readout(net, readout)
    result = bundles.make(net, target, evidence, out, words)
    output.result(result, as_json, _made)
    if result["violations"]:
        raise typer.Exit(1)


def _given(net: Any, inputs: Path | None, labels: Path | None) -> Any:
    """Events and classes from files, or random events."""
    from snnkd.handoff import Evidence

    events, data = given_events(net, inputs, 16)
    return Evidence(data, events, None if labels is None else read_events(labels))


def _of_run(name: str | None, inputs: Path | None, input_shape: str | None, data_root: Path | None, runs: Path) -> Any:
    """The student of a run, the run's test set, and its name."""
    from snnkd import netx, pipeline
    from snnkd.handoff import Evidence
    from snnkd.runs import find

    for option, value in (("--input", inputs), ("--input-shape", input_shape)):
        if value is not None:
            raise LimitError(f"{option}: a run has its own test images; give its student.net to use other events")
    run = find(name, runs)
    context = pipeline.Context(run, data_root)
    test = context.data.test
    events, data = context.test_events(len(test))
    return netx.load(run.student), Evidence(data, events, test.labels, test.images), run.folder.name


def _verify(path: Path, as_json: bool) -> None:
    from snnkd import handoff as bundles

    def show(check: Any) -> None:
        if not as_json:
            output.console().print(f"{check.outcome:9s} {check.name:10s} {check.detail}", markup=False, soft_wrap=True)

    result = bundles.verify(path, show)
    output.result(result, as_json, _verified)
    if not result["equal"]:
        raise typer.Exit(1)


_READOUTS = {
    "count": "count, the class whose outputs spike most",
    "membrane": "membrane, the class whose outputs have the highest v after the last step",
}


def _made(data: dict[str, Any]) -> Any:
    flash, ram = data["bytes"]["flash"], data["bytes"]["ram"]
    lines: list[Any] = [f"{data['target']}: {flash:,} bytes of flash and {ram:,} bytes of RAM, without code and stack"]
    if data["violations"]:
        columns = ["layer", "limit", "actual", "allowed", "fix"]
        rows = [[str(one[column]) for column in columns] for one in data["violations"]]
        return output.group(*lines, output.table("does not fit, nothing was written", columns, rows, left=5))
    if data["accuracy"] is not None:
        found = data["accuracy"]
        lines.append(f"accuracy: {found['integer']:.2%} of {found['samples']:,} samples, {found['data']}")
    lines += [
        f"readout: {_READOUTS[data['readout']['kind']]}",
        f"golden: the first {data['samples']} samples of: {data['data']}",
        f"bundle: {data['file']}",
        f"sha256: {data['sha256']}",
        f"prove it: snnkd handoff --verify {data['file']}, or unzip it and `make -C c test`",
    ]
    return output.group(*lines)


def _verified(data: dict[str, Any]) -> Any:
    differing = [check["name"] for check in data["checks"] if check["outcome"] == "different"]
    skipped = [check["name"] for check in data["checks"] if check["outcome"] == "skipped"]
    verdict = "equal in all that this machine can run" if data["equal"] else f"DIFFERENT: {', '.join(differing)}"
    return output.group(
        f"{data['file']}: {verdict}" + (f"; skipped: {', '.join(skipped)}" if skipped else ""),
        f"measured: {data['measured']}",
    )
