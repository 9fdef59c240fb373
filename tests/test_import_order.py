"""The rooms of the package and the one direction in which imports may point (docs/architecture.md)."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "toolchain" / "snnkd"

# A room may import from rooms in lines above its own, and from its own line. Names are modules or packages.
ROOMS = [
    {"checksums", "errors", "files", "hashing", "lock", "provenance", "schema"},
    {"network", "readout", "trace", "fixedpoint"},
    {"reference", "netx", "simulation"},
    {
        "c99",
        "cautions",
        "conformance",
        "early_exit",
        "energy",
        "explanation",
        "onnx_graph",
        "quantities",
        "replay",
        "targets",
        "verification",
    },
    {"engines"},
    {
        "architecture",
        "augmentation",
        "datasets",
        "encoding",
        "overrides",
        "recipe",
        "recipe_lineage",
        "recipe_stages",
        "recipe_tables",
    },
    {"evaluation", "headroom", "quantization"},
    {"training"},
    {"handoff", "report", "runs"},
    {"pipeline", "api"},
    {"cli"},
]
LINE = {room: number for number, rooms in enumerate(ROOMS) for room in rooms}

# What may be imported where: heavy or archived packages stay behind their doors, which are rooms or modules in them.
DOORS = {
    "torch": {"training"},
    "torchvision": {"datasets"},
    "lava": {"training.slayer", "engines", "handoff.lava_golden"},
    "numba": {"simulation.kernels", "training.kernels"},
    "llvmlite": {"simulation.kernels", "training.kernels"},
    "h5py": {"netx"},
    "onnx": {"onnx_graph"},
    "onnxruntime": {"engines"},
    "typer": {"cli"},
    "rich": {"cli", "report"},
}


def _modules():
    return sorted(PACKAGE.rglob("*.py"))


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def _places(path: Path) -> set[str]:
    """A module's dotted name, and those of the packages that it is in."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return {".".join(parts[:count]) for count in range(1, len(parts) + 1)}


def _imports(path: Path):
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


def test_every_module_has_a_room():
    rooms = {_room(path) for path in _modules()} - {"__init__"}
    assert rooms <= set(LINE), f"give these a line in ROOMS: {rooms - set(LINE)}"
    assert set(LINE) <= rooms, f"rooms without a module: {set(LINE) - rooms}"


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_up(path):
    own = _room(path)
    if own == "__init__":
        return  # names the homes of the public functions, lazily
    for package, room in _imports(path):
        if room is not None and room != "__version__":
            assert LINE[room] <= LINE[own], f"{own} imports {room}, which is below it"
        if package in DOORS:
            behind = _places(path) & DOORS[package]
            assert behind, f"{package} is imported in {path.relative_to(PACKAGE)}; its doors are {DOORS[package]}"


def test_every_door_is_used():
    """A door that nothing goes through would be a slip of the pen, or a module that has moved."""
    used = {
        (package, place)
        for path in _modules()
        for package, _ in _imports(path)
        for place in _places(path) & DOORS.get(package, set())
    }
    assert used == {(package, place) for package, places in DOORS.items() for place in places}


def test_rooms_of_a_line_have_no_cycles():
    edges = {}
    for path in _modules():
        own = _room(path)
        if own == "__init__":
            continue
        edges.setdefault(own, set()).update(room for _, room in _imports(path) if room in LINE and room != own)

    def reach(room, seen=()):
        for other in edges.get(room, ()):
            assert other not in seen, f"import cycle: {' -> '.join([*seen, room, other])}"
            reach(other, (*seen, room))

    for room in edges:
        reach(room)
