"""Tables checked against models: what is accepted, and the sentence that each kind of mistake gives."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

import pytest
from pydantic import Field, field_validator

from snnkd.base.schema import Problem, Table, closest, dotted, report, shown, unexpected, validate


class Layer(Table):
    kernel: int = Field(3, ge=1)
    name: str = Field("conv", pattern=r"^[\w.-]+$")


class Model(Table):
    kind: Literal["dense", "conv"]
    steps: int = Field(description="how many time steps a sample has")
    rate: float | None = None
    layers: list[Layer] = Field([])
    costs: dict[Annotated[str, Field(pattern=r"^[a-z]+$")], int] = Field({})

    @field_validator("steps")
    @classmethod
    def _even(cls, steps: int) -> int:
        if steps % 2:
            raise ValueError(f"{steps} is odd")
        return steps


GOOD = {"kind": "dense", "steps": 8}


def test_a_good_table_becomes_a_frozen_instance():
    model, problems = validate(Model, {**GOOD, "layers": [{"kernel": 5}], "costs": {"spike": 2}})
    assert problems == [] and model is not None
    assert (model.steps, model.layers[0].kernel, model.layers[0].name, model.costs) == (8, 5, "conv", {"spike": 2})
    with pytest.raises(ValueError, match="frozen"):
        model.steps = 10


@pytest.mark.parametrize(
    ("change", "place", "text"),
    [
        ({"kid": 1}, ("kid",), "unknown key 'kid' in the file: did you mean 'kind'?"),
        ({"zzz": 1}, ("zzz",), "unknown key 'zzz' in the file; known: kind, steps, rate, layers, costs"),
        (
            {"layers": [{}, {"kernal": 3}]},
            ("layers", 1, "kernal"),
            "unknown key 'kernal' in layers[1]: did you mean 'kernel'?",
        ),
        ({"kind": "dens"}, ("kind",), "kind: expected 'dense' or 'conv', found 'dens': did you mean 'dense'?"),
        ({"kind": "xyz"}, ("kind",), "kind: expected 'dense' or 'conv', found 'xyz'"),
        ({"steps": "8"}, ("steps",), "steps: expected a valid integer, found '8'"),
        ({"steps": True}, ("steps",), "steps: expected a valid integer, found true"),
        ({"steps": 7}, ("steps",), "steps: 7 is odd"),
        ({"rate": float("nan")}, ("rate",), "rate: expected a finite number, found nan"),
        (
            {"layers": [{"kernel": 0}]},
            ("layers", 0, "kernel"),
            "layers[0].kernel: expected a value greater than or equal to 1, found 0",
        ),
        (
            {"layers": [{"name": "a b"}]},
            ("layers", 0, "name"),
            "layers[0].name: expected a name of letters, digits, '.', '_' and '-', found 'a b'",
        ),
        ({"layers": [3]}, ("layers", 0), "layers[0]: expected a table, found 3"),
        ({"costs": []}, ("costs",), "costs: expected a table, found []"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(change, place, text):
    assert validate(Model, {**GOOD, **change}) == (None, [Problem(place, text)])


def test_a_missing_key_says_what_it_is():
    assert validate(Model, {"kind": "conv"})[1] == [
        Problem(("steps",), "steps: missing; it is how many time steps a sample has")
    ]
    assert validate(Model, {"steps": 2})[1] == [Problem(("kind",), "kind: missing; it is needed")]


def test_all_mistakes_are_told_with_the_place_of_the_table():
    _, problems = validate(Model, {"steps": 1.5, "rate": "fast"}, ("student", 2))
    assert [problem.place for problem in problems] == [("student", 2, name) for name in ("kind", "steps", "rate")]
    assert all(problem.text.startswith("student[2].") for problem in problems)


def test_a_report_lists_several_problems():
    first, second = (unexpected((name,), "an integer", "x") for name in "ab")
    assert report("my.toml", [first]) == "my.toml: a: expected an integer, found 'x'"
    assert report("my.toml", iter([first, second])) == (
        "my.toml: 2 problems:\n  - a: expected an integer, found 'x'\n  - b: expected an integer, found 'x'"
    )


def test_places_are_written_as_a_path():
    assert dotted(("layers", 1, "kernel")) == "layers[1].kernel" and dotted(()) == "" and dotted((0, "a")) == "[0].a"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        ({"a": 1}, "a table"),
        ((1, 2), "[1, 2]"),
        (list(range(40)), f"{str(list(range(40)))[:57]}..."),
        (datetime.date(2026, 1, 2), "datetime.date(2026, 1, 2)"),
        (None, "a NoneType"),
    ],
)
def test_values_are_shown_as_they_were_written(value, text):
    assert shown(value) == text


def test_a_name_is_compared_without_its_case():
    assert closest("DENSE", iter(["dense", "conv"])) == ": did you mean 'dense'?"
    assert closest(7, ["dense", "conv"]) == "; known: dense, conv"
