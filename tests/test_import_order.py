"""The rooms of the package and the one direction in which imports may point, as docs/architecture.md has them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "toolchain" / "snnkd"

# What may be imported where: heavy or archived packages stay behind their doors, which are rooms or modules in them.
DOORS = {
    "torch": {"training"},
    "torchvision": {"data.datasets"},
    "lava": {"training.slayer", "engines.lava", "bundle.lava_golden"},  # the last is a bundle's script
    "numba": {"engines.fast.kernels", "training.kernels"},
    "llvmlite": {"engines.fast.kernels", "training.kernels"},
    "h5py": {
        "formats.hdf5",
        "formats.netx.write",
        "formats.nir.write",
        "formats.spike_lists_worker",
        "formats.traces",
    },
    "onnx": {"engines.onnx"},
    "onnxruntime": {"engines.onnx"},
    "IPython": {"report.notebook"},
    "ray": {"runs.pool"},
    "optuna": {"study.trials"},
    "typer": {"cli"},
    "rich": {"cli", "report"},
    "jinja2": {"report.page"},
}


def _order() -> dict[str, int]:
    """The line of each room in the table of docs/architecture.md, from the top."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page.split("<!-- rooms: read by tests/test_import_order.py -->\n", 1)[1].split("\n\n", 1)[0]
    lines = [re.findall(r"`([a-z]+)`", row.split("|")[1]) for row in table.splitlines()[2:]]
    return {room: number for number, rooms in enumerate(lines) for room in rooms}


LINE = _order()


def _modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _name(path: Path) -> str:
    """'ir.network' for the module at `path`, 'ir' for the package's own file."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path) -> Iterator[tuple[str, str | None]]:
    """(top-level package, room or None) of each import in a module, lazy ones included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            whole = node.module == "snnkd"
            names = [f"snnkd.{alias.name}" for alias in node.names] if whole else [node.module]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield parts[0], (parts[1] if parts[0] == "snnkd" and len(parts) > 1 else None)


def _behind(path: Path, doors: set[str]) -> set[str]:
    """The doors that the module at `path` is, or lies behind."""
    return {door for door in doors if f"{_name(path)}.".startswith(f"{door}.")}


def test_every_module_has_a_room() -> None:
    rooms = {_name(path).split(".")[0] for path in _modules()} - {"__init__"}
    assert rooms == set(LINE), "docs/architecture.md has a line for each room, and no other"


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_imports_point_up(path: Path) -> None:
    own = _name(path).split(".")[0]
    if own == "__init__":
        return  # names the homes of the public functions, lazily
    for package, room in _imports(path):
        if room is not None and room != "__version__":
            assert room == own or LINE[room] < LINE[own], f"{_name(path)} imports {room}, which is not above it"
        if package in DOORS:
            assert _behind(path, DOORS[package]), f"{package} in {_name(path)}; its doors are {DOORS[package]}"


def test_every_door_is_used() -> None:
    """A door that nothing goes through would be a slip of the pen, or a module that has moved."""
    used = {
        (package, door)
        for path in _modules()
        for package, _ in _imports(path)
        for door in _behind(path, DOORS.get(package, set()))
    }
    assert used == {(package, door) for package, doors in DOORS.items() for door in doors}
