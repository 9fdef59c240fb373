"""`extends`: a recipe that is another one with changes, put into that one."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnkd.base import files
from snnkd.base.errors import RecipeError, SnnkdError
from snnkd.recipe.tables import FROZEN


def extended(data: dict[str, Any], path: Path, known: Mapping[str, Path]) -> dict[str, Any]:
    """Puts the recipe `data` of the file `path` into the one that its `extends` names: a file, or one of `known`.

    Tables are merged field by field, but for `losses`, which replaces the other's; `chain`, where it is given, says
    which of the stages there are, and in which order. Name and description are not taken over. Raises RecipeError for
    a file that is not there and for one that extends another.
    """
    if "extends" not in data:
        return data
    data = dict(data)
    named = data.pop("extends")
    where = f"{path}: extends"
    if not isinstance(named, str) or not named:
        raise RecipeError(f"{where}: expected the path of a recipe's .toml or a recipe's name, found {named!r:.80}")
    beside = path.parent / named
    try:
        source = files.find(beside if named.endswith(".toml") else named, dict(known), "recipe")
        base = files.read_toml(source)
    except SnnkdError as error:
        raise RecipeError(f"{where}: {error}") from error
    if source.resolve() == path.resolve():
        raise RecipeError(f"{where}: '{named}' is this file itself; name another recipe")
    if "extends" in base:
        raise RecipeError(
            f"{where}: '{named}' itself extends {base['extends']!r:.80}; extend a recipe that stands alone"
        )
    base = {key: value for key, value in base.items() if key not in ("name", "description")}
    base = _without_replaced(base, data)
    return _merged(_moved(base, source.parent, path.parent), data)


def _moved(base: dict[str, Any], folder: Path, to: Path) -> dict[str, Any]:
    """Copies `base`, with the files of its stages, which it names from `folder`, named from the folder `to`."""
    base = copy.deepcopy(base)
    chain = base.get("chain")
    for stage in chain.values() if isinstance(chain, dict) else ():
        for field in ("network", "net", "start", "model", "weights", "logits"):
            named = stage.get(field) if isinstance(stage, dict) else None
            name, colon, what = named.partition(".py:") if isinstance(named, str) else ("", "", "")
            file = f"{name}{colon.rstrip(':')}"
            if Path(file).suffix and (folder / file).is_file():
                stage[field] = Path(os.path.relpath(folder / file, to)).as_posix() + (f":{what}" if what else "")
    return base


def _without_replaced(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Copies `base` without the stages that `own` makes frozen ones: such a stage takes nothing from its namesake."""
    theirs, ours = base.get("chain"), own.get("chain")
    if not isinstance(theirs, dict) or not isinstance(ours, dict):
        return base
    replaced = {name for name, stage in ours.items() if isinstance(stage, dict) and FROZEN.keys() & stage.keys()}
    return {**base, "chain": {name: stage for name, stage in theirs.items() if name not in replaced}}


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        both = isinstance(base.get(key), dict) and isinstance(value, dict)
        merged[key] = _merged(base[key], value) if both and key != "losses" else value
    if isinstance(own.get("chain"), dict):
        merged["chain"] = {stage: merged["chain"][stage] for stage in own["chain"]}
    return merged
