"""The space of a search: what a SPACE.toml says, read and checked (docs/search.md)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, model_validator

from snnkd.base import files, schema
from snnkd.base.errors import RecipeError, SnnkdError
from snnkd.base.schema import Table

ObjectiveName = Literal["accuracy", "energy", "spikes", "flash", "latency"]


class Goal(NamedTuple):
    """measure: field of `Measures` that an objective is. title: in words, with its unit. rises: more is better."""

    measure: str
    title: str
    rises: bool = False


GOALS: dict[str, Goal] = {
    "accuracy": Goal("accuracy", "accuracy on validation data", rises=True),
    "energy": Goal("energy_uJ", "energy, uJ"),
    "spikes": Goal("spikes", "spikes"),
    "flash": Goal("flash", "flash, byte"),
    "latency": Goal("latency_us", "latency, us"),
}


class Range(Table):
    """Numbers from `low` to `high`, both included; integers where both are. log: drawn evenly by their logarithm."""

    low: int | float
    high: int | float
    step: Annotated[int | float, Field(gt=0)] | None = None
    log: bool = False

    @model_validator(mode="after")
    def _makes_sense(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"expected low below high, found {self.low} and {self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("a range with log starts above 0 and has no step")
        return self

    @property
    def whole(self) -> bool:
        """Tells whether it is one of integers."""
        return all(isinstance(end, int) for end in (self.low, self.high, 1 if self.step is None else self.step))

    @property
    def ends(self) -> tuple[Any, Any]:
        """Returns its first and last value."""
        return self.low, self.high


@dataclass(frozen=True)
class Choice:
    """One of `options`, at least one; of a single one nothing is drawn."""

    options: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, Any]:
        """Returns its first and last value."""
        return self.options[0], self.options[-1]


def _varied(value: Any) -> Any:
    """A list is a choice of its items, a table with `low` a range, anything else the only choice."""
    if isinstance(value, dict) and "low" in value:
        return Range.model_validate(value)
    if isinstance(value, list):
        if not value:
            raise ValueError("expected at least one value to choose from, found []")
        return Choice(tuple(value))
    return Choice((value,))


Varied = Range | Choice
_Varied = Annotated[Any, BeforeValidator(_varied)]  # pydantic keeps it as it is made


class Constraints(Table):
    """What a student must keep to. fits: a target. max_flash, max_ram: bytes as C, every weight counted. Before a
    training these three are known, behind it the others."""

    fits: str | None = Field(default=None, min_length=1)
    max_flash: int | None = Field(default=None, ge=1)
    max_ram: int | None = Field(default=None, ge=1)
    max_energy_uJ: float | None = Field(default=None, gt=0)
    min_accuracy: float = Field(default=0.0, ge=0, lt=1)


class Halving(Table):
    """Successive halving. epochs: of the student, rising, after which candidates are compared; keep: the share of them
    that goes on. generation: how many candidates are drawn before the first of them is judged."""

    epochs: list[Annotated[int, Field(ge=1)]] = Field(default_factory=list)
    keep: float = Field(default=0.5, gt=0, le=1)
    generation: int = Field(default=8, ge=1)

    @model_validator(mode="after")
    def _rises(self) -> Halving:
        if any(one >= other for one, other in pairwise(self.epochs)):
            raise ValueError(f"epochs: expected rising numbers, found {schema.shown(self.epochs)}")
        return self


class Space(Table):
    """A whole space. recipe: the base. target: of energy and latency, None that of `fits`. set: fields of the recipe by
    dotted path. network: layers of the student in place of the base recipe's. economy: fields that are otherwise while
    the search goes on."""

    recipe: str = Field(min_length=1, description="the name of the recipe to start from, or the path of your own .toml")
    seed: int = Field(default=1, ge=0, lt=1 << 32)
    objectives: list[ObjectiveName] = Field(min_length=1, description="the objectives, e.g. ['accuracy', 'energy']")
    target: str | None = Field(default=None, min_length=1)
    constraints: Constraints = Constraints()
    halving: Halving = Halving()
    set: dict[str, _Varied] = Field(default_factory=dict)
    network: list[dict[str, _Varied]] = Field(default_factory=list)
    economy: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _each_once(self) -> Space:
        if len(set(self.objectives)) < len(self.objectives):
            raise ValueError(f"objectives: each once, found {schema.shown(self.objectives)}")
        return self

    @property
    def goals(self) -> list[Goal]:
        """Lists what is sought."""
        return [GOALS[name] for name in self.objectives]

    @property
    def priced(self) -> str | None:
        """Names the target that energy and latency are estimated on, None where nothing asks for them."""
        asked = {"energy", "latency"} & set(self.objectives) or self.constraints.max_energy_uJ is not None
        return self.target or (self.constraints.fits if asked else None)


@dataclass(frozen=True)
class Opened:
    """A space, its file and what is in it. recipe: the name or path of the recipe that it starts from."""

    space: Space
    path: Path
    data: dict[str, Any]
    recipe: str | Path


def names() -> dict[str, Path]:
    """Returns the paths of the shipped spaces by name."""
    return files.names("models", "search/*.toml")


def load(name_or_path: str | Path) -> Opened:
    """Reads the shipped space of that name or the user's own .toml, whose recipe is looked for beside it first.

    Raises RecipeError that lists all that is wrong with it.
    """
    try:
        path = files.find(name_or_path, names(), "space")
        data = files.read_toml(path)
    except SnnkdError as error:
        raise RecipeError(str(error)) from error
    space, problems = schema.validate(Space, data)
    if space is None or problems:
        raise RecipeError(schema.report(path, problems))
    beside = path.parent / space.recipe
    return Opened(space, path, data, beside if beside.suffix == ".toml" and beside.is_file() else space.recipe)
