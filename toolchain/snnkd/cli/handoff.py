"""`snnkd handoff`: makes a bundle for embedded engineers, or proves one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnkd.base import progress
from snnkd.cli import output
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
    refuse_for_runs,
    shape_of,
)


def handoff(
    name: RunOrNet = None,
    target: Annotated[str, typer.Option(help="A target that runs C, see `snnkd targets`.")] = "c99",
    out: Annotated[Path, typer.Option(help="The zip that is written.")] = Path("bundle.zip"),
    verify: Annotated[
        Path | None, typer.Option("--verify", metavar="BUNDLE.zip", help="Prove this bundle instead of making one.")
    ] = None,
    inputs: InputFile = None,
    labels: Labels = None,
    data: Annotated[
        str | None, typer.Option(metavar="SET", help="For a FILE.net: the test images or recordings of a data set.")
    ] = None,
    input_shape: InputShape = None,
    readout: ReadoutKind = None,
    prefix: Annotated[
        str, typer.Option(metavar="NAME", help="Of all public names and files of the C, for several in one firmware.")
    ] = "snnkd",
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
    from snnkd import bundle
    from snnkd.runs.subject import is_file, opened

    if not is_file(name):
        refuse_for_runs({"--input-shape": input_shape})
    subject = opened(name, runs, data_root, shape_of(input_shape), readout)
    packed = bundle.pack(subject, target, out, inputs, labels, data, prefix)
    output.result(packed.to_json(), as_json, _made)
    if packed.violations:
        raise typer.Exit(1)


def _verify(path: Path, as_json: bool) -> None:
    from snnkd import bundle

    def show(check: Any) -> None:
        progress.say("")
        if not as_json:
            output.console().print(f"{check.outcome:9s} {check.name:10s} {check.detail}", markup=False, soft_wrap=True)

    proof = bundle.verify(path, show)
    output.result(proof.to_json(), as_json, _verified)
    if not proof.equal:
        raise typer.Exit(1)


_READOUTS = {
    ("count", "last"): "count, the class whose outputs spike most",
    ("membrane", "last"): "membrane, the class whose outputs have the highest v after the last step",
    ("membrane", "max"): "membrane-max, the class whose outputs have the highest v after any step",
    ("membrane", "sum"): "membrane-sum, the class whose outputs have the highest sum of v over all steps",
}


def _made(data: dict[str, Any]) -> Any:
    flash, ram = data["bytes"]["flash"], data["bytes"]["ram"]
    lines: list[Any] = [f"{data['target']}: {flash:,} bytes of flash and {ram:,} bytes of RAM, without code and stack"]
    if data["violations"]:
        columns = ["layer", "limit", "actual", "allowed", "fix"]
        rows = [[str(violation[column]) for column in columns] for violation in data["violations"]]
        return output.group(*lines, output.table("does not fit, nothing was written", columns, rows, left=5))
    if data["accuracy"] is not None:
        accuracy = data["accuracy"]
        lines.append(f"accuracy: {accuracy['integer']:.2%} of {accuracy['samples']:,} samples, {accuracy['data']}")
    lines += [
        f"readout: {_READOUTS[data['readout']['kind'], data['readout'].get('over', 'last')]}",
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
