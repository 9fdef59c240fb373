"""Teachers from outside: how a recipe or `--teacher` names a model that somebody else has trained.

Nothing here imports that model or reads its weights: only a training does (`training.teachers.outside`).
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnkd.base import recognition, schema
from snnkd.base.errors import RecipeError

EXPECTED = "'file.py:name', 'package.module:name' or 'file.onnx'"


# By suffix: the fields of a stage that such a file belongs to, and what it is by the first of them.
_FIELDS = {
    ".net": ("net", "start"),
    ".nir": ("net", "start"),
    ".onnx": ("model",),
    ".npz": ("logits",),
    ".toml": ("network",),
    ".pt": ("weights",),
    ".pth": ("weights",),
    ".safetensors": ("weights",),
}
_WHAT = {
    "net": "an integer network",
    "model": "a model from outside",
    "logits": "a file of logits",
    "network": "a network description",
    "weights": "weights of a model",
}


@dataclass(frozen=True)
class ModelName:
    """What `model` of a stage says. where: a file.py, a file.onnx or a module; name: in it, '' of ONNX."""

    where: str
    name: str

    @classmethod
    def parse(cls, text: str) -> ModelName | None:
        """Takes `text` apart, None where it has none of the three forms."""
        if text.endswith(".onnx"):
            return cls(text, "")
        where, _, name = text.rpartition(":")
        dotted = where.endswith(".py") or all(part.isidentifier() for part in where.split("."))
        return cls(where, name) if where and dotted and name.isidentifier() else None

    @property
    def is_onnx(self) -> bool:
        """Tells whether it is an ONNX file."""
        return not self.name

    @property
    def is_file(self) -> bool:
        """Tells whether `where` is the path of a file, not the name of a module."""
        return self.is_onnx or self.where.endswith(".py")

    def at(self, path: Path) -> str:
        """Returns the text that names the same in the file `path`."""
        return f"{path}:{self.name}" if self.name else str(path)


def source_of(module: str) -> Path | None:
    """Finds the file of a module's source without importing anything, None where there is none."""
    top, *below = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not below:
        return Path(spec.origin) if spec.origin and Path(spec.origin).is_file() else None
    for folder in spec.submodule_search_locations or ():
        path = Path(folder, *below)
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


def teacher_table(teacher: str, weights: str | None) -> dict[str, Any]:
    """Makes the table [chain.<stage>] of what `--teacher` and `--weights` name, files from the current folder.

    A .net or .nir file is an integer network, an .npz file has logits, all else is a model. Raises RecipeError for what
    is none of these, and for weights of what has its own.
    """
    kind = {".net": "net", ".nir": "net", ".npz": "logits"}.get(Path(teacher).suffix, "model")
    if kind != "model":
        if weights is not None:
            raise RecipeError(f"--weights {weights}: {teacher} needs none; leave it out")
        return {kind: str(Path(teacher).absolute())}
    model = ModelName.parse(teacher)
    if model is None:
        what = recognition.sentence(Path(teacher), "network") if Path(teacher).is_file() else None
        found = f"; this one {what}" if what else ""
        expected = f"{EXPECTED}, a .net or .nir file, or an .npz file of logits"
        raise RecipeError(f"--teacher {teacher}: expected {expected}{found}")
    table = {"model": model.at(Path(model.where).absolute()) if model.is_file else teacher}
    return table if weights is None else {**table, "weights": str(Path(weights).absolute())}


def belongs_to(name: Any, field: str) -> str:
    """Ends a message about the file `name` in `field` of a stage: in which field such a file belongs, '' where it is
    right or nothing is known."""
    right = _FIELDS.get(Path(name).suffix) if isinstance(name, str) else None
    if right is None or field in right:
        return ""
    return f"; {name} is {_WHAT[right[0]]}: say {' or '.join(right)} = '{name}'"


def with_teacher(data: dict[str, Any], table: dict[str, Any]) -> dict[str, Any]:
    """Puts a teacher in the place of the first stage of the recipe `data`; all that learn from that one learn from it.

    Raises RecipeError where the chain has no stage but the student.
    """
    chain = data.get("chain")
    if not isinstance(chain, dict) or len(chain) < 2:
        raise RecipeError(
            "--teacher: takes the place of the chain's first stage, but the student is the only one here; use a recipe "
            "with a teacher, e.g. [chain.teacher] in front of it and a table distil in its own"
        )
    first = next(iter(chain))
    return {**data, "chain": {**chain, first: table}}


def misfits(name: str, table: dict[str, Any]) -> list[schema.Problem]:
    """Returns what does not go together in the table of a stage with `model`, as its author wrote it."""
    text, problems = table["model"], []

    def problem(field: str, what: str) -> None:
        place = ("chain", name, field)
        problems.append(schema.Problem(place, f"{schema.dotted(place)}: {what}"))

    model = ModelName.parse(text) if isinstance(text, str) else None
    if isinstance(text, str) and model is None:
        problem("model", f"expected {EXPECTED}, found {schema.shown(text)}{belongs_to(text, 'model')}")
    if model is not None and model.is_onnx and table.get("by_step"):
        problem("by_step", "an ONNX model keeps no state between calls, and is called once; leave it out")
    if table.get("reads") == "events":
        for field in ("channels", "size", "normalize"):
            if field in table:
                problem(field, "is for images, and this teacher reads events; leave it out")
    return problems
