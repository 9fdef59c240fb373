"""Tables of a TOML file checked against pydantic models, with messages that name the field and what to write."""

from __future__ import annotations

import datetime
import re
import typing
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from snnkd.base.errors import closest

Place = tuple[str | int, ...]


class Table(BaseModel):
    """A TOML table: unknown keys, wrong types (no '8' for 8), NaN and infinity are refused; instances are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Problem(NamedTuple):
    """place: keys and indices from the file's root to the field; text: the complete sentence for the user."""

    place: Place
    text: str


T = TypeVar("T", bound=Table)


def validate(model: type[T], data: Any, place: Place = ()) -> tuple[T | None, list[Problem]]:
    """Makes an instance of `model` from `data`, which is at `place` in its file; else None and all that is wrong."""
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        return None, [_problem(model, details, place) for details in error.errors(include_url=False)]


def report(source: object, problems: Iterable[Problem]) -> str:
    """Writes all problems of the file `source` as one message."""
    lines = [problem.text for problem in problems]
    if len(lines) == 1:
        return f"{source}: {lines[0]}"
    return f"{source}: {len(lines)} problems:\n" + "\n".join(f"  - {line}" for line in lines)


def unexpected(place: Place, expected: str, value: Any) -> Problem:
    """Makes the usual problem of the field at `place`: 'field: expected ..., found ...'."""
    return Problem(place, f"{dotted(place)}: expected {expected}, found {shown(value)}")


def dotted(place: Place) -> str:
    """Writes a place as its author would: ('layers', 1, 'kernel') as 'layers[1].kernel'."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


def shown(value: Any) -> str:
    """Writes a value as its author did, shortened to 60 characters; a table by what it is."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, str | int | float | list | tuple | datetime.date | datetime.time):
        text = repr(list(value) if isinstance(value, tuple) else value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    return f"a {type(value).__name__}"


def _problem(model: type[BaseModel], details: Any, place: Place) -> Problem:
    inner = tuple(part for part in details["loc"] if part != "[key]")
    where, kind, value = place + inner, details["type"], details["input"]
    if kind == "string_pattern_mismatch":
        return unexpected(where, "a name of letters, digits, '.', '_' and '-'", value)
    if kind == "extra_forbidden" or details["loc"][-1:] == ("[key]",):
        table = dotted(where[:-1]) or "the file"
        return Problem(where, f"unknown key '{inner[-1]}' in {table}{closest(inner[-1], _keys(model, inner[:-1]))}")
    if kind == "missing":
        return Problem(where, f"{dotted(where)}: missing; {_description(model, inner)}")
    if kind == "value_error":
        return Problem(where, f"{dotted(where)}: {details['ctx']['error']}")
    if kind in ("dict_type", "model_type"):
        return unexpected(where, "a table", value)
    problem = unexpected(where, _expected(details["msg"]), value)
    hint = closest(value, _literals(details["ctx"]["expected"])) if kind == "literal_error" else ""
    return Problem(where, problem.text + hint) if "did you mean" in hint else problem


def _expected(message: str) -> str:
    """'at least 1 character' from pydantic's 'String should have at least 1 character'."""
    expected = re.sub(r"^\w+ should (be|have) ", "", message).split(" after validation")[0]
    return f"a value {expected}" if expected.startswith(("greater", "less")) else expected


def _literals(expected: str) -> list[str]:
    return [word.strip().strip("'") for word in expected.replace(" or ", ",").split(",")]


def _keys(model: type[BaseModel], place: Place) -> list[str]:
    """Keys that the table at `place` below `model` may have."""
    table = _type_at(model, place)
    if isinstance(table, type) and issubclass(table, BaseModel):
        return list(table.model_fields)
    return [str(key) for key in typing.get_args(typing.get_args(table)[0])]


def _description(model: type[BaseModel], place: Place) -> str:
    table = _type_at(model, place[:-1])
    text = table.model_fields[place[-1]].description
    return f"it is {text}" if text else "it is needed"


def _type_at(model: Any, place: Place) -> Any:
    for part in place:
        if isinstance(model, type) and issubclass(model, BaseModel):
            model = model.model_fields[str(part)].annotation
        else:
            model = typing.get_args(model)[-1]
        options = [option for option in typing.get_args(model) if option is not type(None)]
        if len(options) == 1 and len(typing.get_args(model)) == 2:
            model = options[0]  # X | None
    return model
