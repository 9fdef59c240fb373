"""docs/stability.md lists what there is: who adds or takes away a command or a name sees it here."""

import re
from pathlib import Path

import typer

import snnkd
from snnkd.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "stability.md").read_text()


def listed(marker: str) -> list[str]:
    """Names of the paragraph behind the comment <!-- marker: ... -->."""
    paragraph = PAGE.split(f"<!-- {marker}:")[1].split("-->\n", 1)[1].split("\n\n")[0]
    return re.findall(r"`(\w+)`", paragraph)


def test_the_commands_are_those_of_the_command_line() -> None:
    commands = typer.main.get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
    assert listed("commands") == sorted(commands)


def test_the_names_in_python_are_those_of_snnkd() -> None:
    assert listed("names") == sorted(snnkd.__all__)


def test_the_c_functions_are_documented() -> None:
    """Every function of the runtime's header is in its page's table."""
    header = (ROOT / "hw_targets" / "c99" / "runtime" / "snnkd.h").read_text()
    page = (ROOT / "docs" / "c99_runtime.md").read_text()
    functions = set(re.findall(r"^\w[\w ]*[ *](snnkd_\w+)\(", header, re.MULTILINE))
    assert functions and functions <= set(re.findall(r"`(snnkd_\w+)", page))
