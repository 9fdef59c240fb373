"""Candidates: recipes that are drawn from a space, and those that are refused before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from snnkd import recipe as recipes
from snnkd import targets
from snnkd.analysis import fit
from snnkd.base.errors import RecipeError
from snnkd.engines import c99
from snnkd.recipe import Recipe, outline
from snnkd.study.space import Constraints, Opened, Varied

Draw = Callable[[str, Varied], Any]  # makes a value of what is varied, by the name of its parameter
NETWORK = "searched"  # the name of the student's network
SAME = "same"  # a padding: half the kernel, which keeps the size of an image where stride is 1 and kernel odd


@dataclass(frozen=True)
class Drawn:
    """Values that were drawn. fields: of the recipe, by dotted path. layers: of the student's network, none where it is
    that of the recipe."""

    fields: dict[str, Any]
    layers: list[dict[str, Any]]


def draw(opened: Opened, value: Draw) -> Drawn:
    """Draws what the space varies. A layer's `repeat` says how many of its kind follow each other, each drawn alone;
    0 is none."""
    space, layers = opened.space, []
    for number, table in enumerate(space.network):
        varied = {key: part for key, part in table.items() if key != "repeat"}
        repeat = value(f"layer{number}.repeat", table["repeat"]) if "repeat" in table else None
        for copy in range(1 if repeat is None else repeat):
            name = f"layer{number}" if repeat is None else f"layer{number}.{copy}"
            layers.append({key: value(f"{name}.{key}", part) for key, part in varied.items()})
    return Drawn({path: value(path, part) for path, part in space.set.items()}, [_padded(layer) for layer in layers])


def _padded(layer: dict[str, Any]) -> dict[str, Any]:
    if layer.get("padding") != SAME or "kernel" not in layer:
        return layer
    kernel = layer["kernel"]
    return {**layer, "padding": [side // 2 for side in (kernel if isinstance(kernel, list) else (kernel, kernel))]}


def recipe_of(opened: Opened, drawn: Drawn | None, economy: bool) -> Recipe:
    """Makes the recipe of a candidate, where nothing was drawn the one that the space starts from; with `economy` as
    the search trains it.

    Raises RecipeError where the values do not go together.
    """
    fields = {} if drawn is None else dict(drawn.fields)
    if drawn is not None and drawn.layers:
        base = recipes.load(opened.recipe)
        network = {"input": list(base.architecture(base.student).input), "layers": drawn.layers}
        fields |= {f"networks.{NETWORK}": network, f"chain.{base.student}.network": NETWORK}
    if economy:
        fields |= opened.space.economy
    return recipes.load(opened.recipe, [f"{path}={inline(value)}" for path, value in fields.items()])


def inline(value: Any) -> str:
    """Writes a value of a TOML file on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return json.dumps(value)


def refused(recipe: Recipe, constraints: Constraints) -> str | None:
    """Says why a candidate breaks the constraints that are known before it is trained, as if every weight were there;
    None where it keeps to them."""
    net = outline.student(recipe)
    if constraints.fits is not None:
        target = targets.load(constraints.fits)
        for broken in fit.check(net, target):
            return f"does not fit {target.name}: {broken.layer}, {broken.limit}: {broken.actual}, of {broken.allowed}"
    limits = {"flash": constraints.max_flash, "ram": constraints.max_ram}
    if any(limits.values()):
        if reason := c99.refuses(net):
            return reason
        plan = c99.plan(net)
        for name, most in limits.items():
            if most is not None and getattr(plan, name) > most:
                return f"needs {getattr(plan, name):,} byte of {name}, max_{name} is {most:,}"
    return None


def check(opened: Opened) -> Recipe:
    """Makes the recipe of the first or the last value of everything, in which a mistake of the space shows.

    Raises RecipeError where neither is one.
    """
    problems = []
    for end in (0, 1):
        try:
            return recipe_of(opened, draw(opened, lambda _, varied, end=end: varied.ends[end]), economy=True)
        except RecipeError as error:
            problems.append(error)
    raise RecipeError(f"{opened.path}: neither its first nor its last values make a recipe: {problems[0]}")
