"""`--set a.b=value`: single values of a recipe, changed before it is checked."""

from __future__ import annotations

import copy
import sys
from typing import Any, NamedTuple

from snnkd.base import schema
from snnkd.base.errors import RecipeError, closest
from snnkd.base.schema import Place, Problem

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]


class Override(NamedTuple):
    """One change. place: the keys from the recipe's root; text: what the user typed."""

    place: Place
    text: str


def apply(data: dict[str, Any], texts: list[str]) -> tuple[dict[str, Any], list[Override]]:
    """Returns a copy of `data` with each "a.b=value" put in, later ones last, and where they went.

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


def alternatives(text: str) -> list[str]:
    """Splits "a.b=1,2" into "a.b=1" and "a.b=2": at commas outside of brackets and quotes."""
    key, separator, values = text.partition("=")
    found, part = [], ""
    for piece in values.split(","):
        part = f"{part},{piece}" if part else piece
        pairs = all(part.count(opening) == part.count(closing) for opening, closing in ("[]", "{}"))
        if pairs and part.count('"') % 2 == part.count("'") % 2 == 0:
            found.append(f"{key}{separator}{part.strip()}")
            part = ""
    return [*found, f"{key}{separator}{part}"] if part else found


def note(problem: Problem, overrides: list[Override]) -> Problem:
    """Names in `problem` the overrides that set its field, a table around that, or something within it."""
    texts = [
        override.text
        for override in overrides
        if all(key == part for key, part in zip(override.place, problem.place, strict=False))
    ]
    return Problem(problem.place, f"{problem.text} (--set {', --set '.join(texts)})") if texts else problem


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
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    return table["value"] if len(table) == 1 else text


def _put(data: dict[str, Any], place: tuple[str, ...], value: Any, text: str) -> None:
    chain = data.get("chain")
    if len(place) > 2 and place[0] == "chain" and isinstance(chain, dict) and place[1] not in chain:
        raise RecipeError(f"--set {text}: the chain has no stage '{place[1]}'{closest(place[1], chain)}")
    table: Any = data
    *parents, last = list(place)
    for depth, key in enumerate(parents):
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            where = schema.dotted(place[: depth + 1])
            raise RecipeError(f"--set {text}: {where} is {schema.shown(table)}, not a table")
    table[last] = value
