"""Reads recipes: a file is put into the one that it extends, overrides are put in; tables, networks and stages are
checked and resolved, then all of it together. What comes out needs no other file, so that a run folder can keep it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snnkd.base import files, schema
from snnkd.base.errors import RecipeError, SnnkdError
from snnkd.recipe import architecture, features, outside, rules, stages
from snnkd.recipe.extends import extended
from snnkd.recipe.overrides import apply, note
from snnkd.recipe.tables import Recipe


def names() -> dict[str, Path]:
    """Returns the paths of the shipped recipes by name."""
    return files.names("models", "recipes/**/*.toml")


def load(name_or_path: str | Path, overrides: list[str] | None = None, teacher: dict[str, Any] | None = None) -> Recipe:
    """Reads the shipped recipe of that name or the user's own .toml, puts `overrides` ("a.b=value") in and resolves it.

    teacher: the table of a stage that takes the place of the chain's first one, as `outside.teacher_table` makes it.
    Raises RecipeError that lists everything that is wrong with it: fields, networks and how they fit each other.
    """
    try:
        path = files.find(name_or_path, names(), "recipe")
        data = files.read_toml(path)
    except SnnkdError as error:
        raise RecipeError(str(error)) from error
    data = extended(data, path, names())
    if teacher is not None:
        data = outside.with_teacher(data, teacher)
    return parse({"name": path.stem, **data}, overrides, source=path)


def parse(data: dict[str, Any], overrides: list[str] | None = None, source: str | Path = "recipe") -> Recipe:
    """Makes a resolved recipe of plain data; `source` names it in messages, and its files are looked up beside it too.

    Raises RecipeError as `load` does.
    """
    folder = Path(source).parent
    data, changes = apply(data, overrides or [])
    recipe, problems = schema.validate(Recipe, {key: value for key, value in data.items() if key != "networks"})
    chain = data.get("chain")
    tables = chain if isinstance(chain, dict) else {}
    networks, unusable = architecture.of_chain(tables, data.get("networks", {}), folder)
    problems += unusable + stages.misfits(tables, recipe)
    if recipe is not None and not problems:
        recipe = recipe.model_copy(update={"networks": networks})
        resolved, problems = stages.resolved(recipe, folder)
        recipe = recipe.model_copy(update={"chain": resolved})
        problems = problems or rules.misfits(recipe)
    if recipe is not None and not problems:
        recipe, problems = features.paired(recipe)
    if recipe is None or problems:
        raise RecipeError(schema.report(source, [note(problem, changes) for problem in problems]))
    return recipe
