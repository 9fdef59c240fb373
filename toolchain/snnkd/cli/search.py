"""`snnkd search`: the best students under a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnkd.base.errors import LimitError
from snnkd.cli import output
from snnkd.cli.options import DataRoot, Json


def search(
    space: Annotated[
        str, typer.Argument(metavar="SPACE|DIR", help="A space's name or the path of your own .toml; with --take, DIR.")
    ],
    out: Annotated[Path, typer.Option(help="The search's folder; with --take the recipe.toml.")],
    trials: Annotated[int, typer.Option(min=1, help="How many candidates are trained, earlier ones included.")] = 48,
    jobs: Annotated[
        int | None, typer.Option(help="Processes of this machine; as many as it has cores.", show_default=False)
    ] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Ray cluster instead: auto, HOST:PORT or ray://HOST:PORT.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(metavar="URL", help="A database for the trials; else trials.db in --out.")
    ] = None,
    take: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Write candidate N of DIR as a recipe.", show_default=False)
    ] = None,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Search a space for the best students under a budget; go on with a search; or take one of its candidates.

    Example: snnkd search fashion-mnist-m4 --trials 48 --out search
    """
    if take is not None:
        output.result(_taken(Path(space), take, out), as_json, lambda data: f"written: {data['recipe']}")
        return
    from snnkd import api
    from snnkd.report import front

    found = api.search(space, out, trials, jobs, ray, storage, data_root)
    output.result({**found.to_json(), "files": front.write(found)}, as_json, _found)


def _taken(folder: Path, number: int, out: Path) -> dict[str, Any]:
    from snnkd.base import files
    from snnkd.study import found

    if not folder.is_dir():
        raise LimitError(f"--take {number}: expected the folder of a search, found {folder}")
    files.check_output("--out", out, ".toml", [found.folder_of(folder, number) / found.TAKEN])
    files.write_text(out, found.taken(folder, number))
    return {"recipe": str(out), "candidate": number}


def _found(data: dict[str, Any]) -> Any:
    from snnkd.report.terminal import number

    listed = [(str(row["number"]), str(row["epochs"]), row["measures"]) for row in data["front"]]
    if data["reference"] is not None:
        listed.append((data["recipe"], "all", data["reference"]))
    measures = [name for name in data["reference"] or {} if any(row[2][name] is not None for row in listed)]
    rows = [[who, epochs, *(_shown(name, own[name], number) for name in measures)] for who, epochs, own in listed]
    counted = ", ".join(f"{count} {status}" for status, count in data["trials"].items())
    title = f"{data['out']}: the front of {counted}; on validation data"
    after = [f"written: {', '.join(data['files'])}"]
    if data["front"]:
        after.append(f"take one: snnkd search {data['out']} --take {data['front'][0]['number']} --out recipe.toml")
    return output.group(output.table(title, ["candidate", "epochs", *measures], rows), *after)


def _shown(name: str, value: float | None, number: Any) -> str:
    if value is None:
        return "not known"
    return f"{value:.2%}" if name == "accuracy" else number(value)
