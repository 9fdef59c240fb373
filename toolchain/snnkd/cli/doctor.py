"""`snnkd doctor`: what this machine has, what it lacks, and what ends that."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from snnkd.cli import output
from snnkd.cli.options import Json


def doctor(as_json: Json = False) -> None:
    """Show what of snnkd works here: packages, engines, compilers, data; what each lack costs, and how to end it.

    Each engine runs one small network and is compared with the definition; Lava takes a few seconds for that.

    Example: snnkd doctor
    """
    from snnkd import doctor as machine

    output.result(machine.examine().to_json(), as_json, _examined)


def _examined(data: dict[str, Any]) -> Any:
    from rich.text import Text

    here = Text.assemble(("snnkd ", "bold"), (data["snnkd"], "bold"), f", Python {data['python']}, {data['platform']}")
    parts = [here, "", _facts(data), ""]
    if not data["lacks"]:
        return output.group(*parts, "Nothing is missing.")
    parts.append(Text("What is missing, what that costs, and what ends it", style="bold"))
    for lack in data["lacks"]:
        parts += ["", Text.assemble((lack["what"], "yellow"), ": ", lack["costs"]), *_commands(lack["fix"])]
    return output.group(*parts)


def _facts(data: dict[str, Any]) -> Any:
    """Two columns, a heading and what is there; the second is folded."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    rows = {
        "packages": _listed(data["packages"].items()),
        "engines": _listed((name, "ok" if reason is None else None) for name, reason in data["engines"].items()),
        "tools": _listed(data["tools"].items()),
        "GPU": _listed((name, "") for name in data["gpus"]) if data["gpus"] else _absent("none"),
        "data": _listed((name, "ok" if lack is None else None) for name, lack in data["data"]["sets"].items()),
        "here": _listed([(data["folder"], "can be written" if data["writable"] else None)]),
    }
    for heading, content in rows.items():
        grid.add_row(heading, content)
    return grid


def _listed(found: Iterable[tuple[str, str | None]]) -> Any:
    """'numpy 2.4.6, torch -': names with what is known of them, those that are missing marked."""
    from rich.text import Text

    return Text(", ").join(_absent(f"{name} -") if value is None else Text(f"{name} {value}") for name, value in found)


def _absent(text: str) -> Any:
    from rich.text import Text

    return Text(text, style="yellow")


def _commands(fix: str) -> list[Any]:
    """Each command on a line of its own, not folded, so that it can be copied."""
    from rich.text import Text

    return [Text(f"  {line}", style="green", no_wrap=True, overflow="ignore") for line in fix.split(" && ")]
