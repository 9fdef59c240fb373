"""Recipes that are another one with changes: by `extends` in their file, and by `--set a.b=value`."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from snnkd.base import files, schema
from snnkd.base.errors import RecipeError, SnnkdError
from snnkd.base.schema import Place, Problem

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Override(NamedTuple):
    """place: the keys from the recipe's root; text: what the user typed."""

    place: Place
    text: str


def apply(data: dict[str, Any], texts: list[str]) -> tuple[dict[str, Any], list[Override]]:
    """A copy of `data` with each "a.b=value" put in, later ones last, and where they went.

    A value is read as TOML (8, 0.5, true, "text", [1, 2], {kl = 1.0}) and is else a string. Raises RecipeError for one
    that is not of this form, that names a stage that the chain does not have, or that goes through a plain value.
    """
    data = copy.deepcopy(data)
    overrides = []
    for text in texts:
        place, value = _split(text)
        _put(data, place, value, text)
        overrides.append(Override(place, text))
    return data, overrides


def extended(data: dict[str, Any], path: Path, known: Mapping[str, Path]) -> dict[str, Any]:
    """The recipe `data` of the file `path`, put into the one that its `extends` names: a file, or one of `known`.

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
    return _merged(_moved(base, source.parent, path.parent), data)


def note(problem: Problem, overrides: list[Override]) -> Problem:
    """`problem`, with the overrides that set its field, or something within it, named."""
    texts = [o.text for o in overrides if all(a == b for a, b in zip(o.place, problem.place, strict=False))]
    return Problem(problem.place, f"{problem.text} (--set {', --set '.join(texts)})") if texts else problem


def _moved(base: dict[str, Any], folder: Path, to: Path) -> dict[str, Any]:
    """`base` with the files of its stages, which it names from `folder`, named from the folder `to`."""
    base = copy.deepcopy(base)
    chain = base.get("chain")
    for stage in chain.values() if isinstance(chain, dict) else ():
        for field in ("network", "net", "start"):
            name = stage.get(field) if isinstance(stage, dict) else None
            if isinstance(name, str) and Path(name).suffix and (folder / name).is_file():
                stage[field] = Path(os.path.relpath(folder / name, to)).as_posix()
    return base


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        both = isinstance(base.get(key), dict) and isinstance(value, dict)
        merged[key] = _merged(base[key], value) if both and key != "losses" else value
    if isinstance(own.get("chain"), dict):
        merged["chain"] = {stage: merged["chain"][stage] for stage in own["chain"]}
    return merged


def _split(text: str) -> tuple[tuple[str, ...], Any]:
    key, separator, value = text.partition("=")
    try:
        table = tomllib.loads(f"{key.strip()} = 0") if separator and "\n" not in key else {}
    except tomllib.TOMLDecodeError:
        table = {}
    place: list[str] = []
    while isinstance(table, dict) and len(table) == 1:
        name, table = next(iter(table.items()))
        place.append(name)
    if not place or table != 0:
        raise RecipeError(f"--set {text}: expected KEY=VALUE, e.g. --set chain.student.epochs=20")
    return tuple(place), _value(value.strip())


def _value(text: str) -> Any:
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return table["value"] if len(table) == 1 else text


def _put(data: dict[str, Any], place: tuple[str, ...], value: Any, text: str) -> None:
    chain = data.get("chain")
    if len(place) > 2 and place[0] == "chain" and isinstance(chain, dict) and place[1] not in chain:
        raise RecipeError(f"--set {text}: the chain has no stage '{place[1]}'{schema.closest(place[1], chain)}")
    table: Any = data
    *parents, last = list(place)
    for depth, key in enumerate(parents):
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            where = schema.dotted(place[: depth + 1])
            raise RecipeError(f"--set {text}: {where} is {schema.shown(table)}, not a table")
    table[last] = value
