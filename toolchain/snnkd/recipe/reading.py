"""Reads recipes and resolves them: defaults, teachers, sliding windows and networks are then part of a recipe, so that
the one that a run folder keeps needs no other file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snnkd.base import files, schema
from snnkd.base.errors import RecipeError, SnnkdError
from snnkd.base.schema import Place, Problem
from snnkd.recipe import architecture, stages
from snnkd.recipe.architecture import Architecture
from snnkd.recipe.overrides import apply, extended, note
from snnkd.recipe.rules import misfits, untaught
from snnkd.recipe.tables import Recipe, Stage


def names() -> dict[str, Path]:
    """The shipped recipes by name."""
    return files.names("models", "recipes/**/*.toml")


def load(name_or_path: str | Path, overrides: list[str] | None = None) -> Recipe:
    """The shipped recipe of that name or the user's own .toml, with `overrides` ("a.b=value") put in, resolved.

    Raises RecipeError that lists everything that is wrong with it: fields, networks and how they fit each other.
    """
    try:
        path = files.find(name_or_path, names(), "recipe")
        data = files.read_toml(path)
    except SnnkdError as error:
        raise RecipeError(str(error)) from error
    data = extended(data, path, names())
    return parse({"name": path.stem, **data}, overrides, source=path)


def parse(data: dict[str, Any], overrides: list[str] | None = None, source: str | Path = "recipe") -> Recipe:
    """A resolved recipe from plain data; `source` names it in messages, and networks are looked up beside it too.

    Raises RecipeError as `load` does.
    """
    data, changes = apply(data, overrides or [])
    plain = {key: value for key, value in data.items() if key != "networks"}
    recipe, problems = schema.validate(Recipe, plain)
    chain = data.get("chain")
    tables = chain if isinstance(chain, dict) else {}
    networks, found = _networks(tables, data.get("networks", {}), Path(source).parent)
    problems += found + stages.unfit(tables) + untaught(tables)
    if recipe is not None and not problems:
        located, problems = stages.located(_resolved(recipe), Path(source).parent)
        recipe = recipe.model_copy(update={"networks": networks, "chain": located})
        problems = problems or misfits(recipe)
    if recipe is None or problems:
        raise RecipeError(schema.report(source, [note(problem, changes) for problem in problems]))
    return recipe


def _networks(tables: dict[str, Any], own: Any, folder: Path) -> tuple[dict[str, Architecture], list[Problem]]:
    """The description of each network that a stage names: from the recipe's own [networks], a file or the shipped."""
    if not isinstance(own, dict):
        return {}, [schema.unexpected(("networks",), "tables [networks.<name>]", own)]
    found: dict[str, Architecture] = {}
    problems: list[Problem] = []
    wanted = {table.get("network"): stage for stage, table in reversed(tables.items()) if isinstance(table, dict)}
    for name, stage in reversed(wanted.items()):
        if not isinstance(name, str) or not name:
            continue
        if name in own:
            table = {"name": name, **own[name]} if isinstance(own[name], dict) else own[name]
            network, wrong = architecture.parse(table, ("networks", name))
        else:
            network, wrong = _network_file(name, folder, ("chain", stage, "network"), own)
        problems += wrong
        if network is not None:
            found[name] = network
    return found, problems


def _network_file(
    name: str, folder: Path, place: Place, own: dict[str, Any]
) -> tuple[Architecture | None, list[Problem]]:
    beside = folder / name
    try:
        return architecture.load(beside if name.endswith(".toml") and beside.is_file() else name), []
    except RecipeError as error:
        also = f"; in [networks] here: {', '.join(own)}" if own else ""
        return None, [Problem(place, f"{schema.dotted(place)}: {error}{also}")]


def _resolved(recipe: Recipe) -> dict[str, Stage]:
    """The chain with each stage's teacher and window filled in."""
    chain: dict[str, Stage] = {}
    steps, previous = recipe.encoding.steps, ""
    for name, stage in recipe.chain.items():
        if stage.distil is not None:
            window = stage.distil.window or min(steps, max(2, steps // 5))
            teacher = (stage.distil.teacher or previous) if stage.distil.taught else None
            filled = {"teacher": teacher, "window": window}
            stage = stage.model_copy(update={"distil": stage.distil.model_copy(update=filled)})
        chain[name], previous = stage, name
    return chain
