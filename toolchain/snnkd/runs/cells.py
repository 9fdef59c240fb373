"""The cells of a sweep: recipes x overrides x seeds, each a recipe of its own."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from snnkd import recipe as recipes
from snnkd.base import provenance
from snnkd.base.errors import LimitError
from snnkd.recipe import Recipe, overrides
from snnkd.recipe.lineage import lineage
from snnkd.runs.folder import meant


@dataclass(frozen=True, eq=False)
class Cell:
    """A recipe with its seed. label: what it is called, the same for all seeds."""

    label: str
    recipe: Recipe

    @property
    def seed(self) -> int:
        return self.recipe.seed

    @cached_property
    def stages(self) -> dict[str, str]:
        """The stages that are trained, with digests: of two cells with the same one, only one need train it."""
        chain = self.recipe.chain.items()
        return {name: provenance.digest(lineage(self.recipe, name)) for name, stage in chain if not stage.frozen}

    def __str__(self) -> str:
        return f"{self.label}, seed {self.seed}"


def digest(recipe: Recipe) -> str:
    """Returns a digest of what a recipe says, whatever it is called."""
    return provenance.digest({**meant(recipe), "name": ""})


def grid(names: Sequence[str | Path], seeds: Sequence[int], changes: Sequence[str] = ()) -> list[Cell]:
    """Loads each recipe, a name or a path, with each choice of the `changes` and each seed.

    changes: "a.b=1,2", one or several values of a field; those with several are part of a cell's label. A cell's recipe
    is called after it, with its seed. Raises LimitError for two cells of the same label, RecipeError as `recipe.load`.
    """
    choices = [overrides.alternatives(text) for text in changes]
    cells = []
    for name, chosen, seed in itertools.product(names, itertools.product(*choices), seeds):
        varied = [text.removeprefix("chain.") for text, all_of in zip(chosen, choices, strict=True) if len(all_of) > 1]
        label = " ".join([Path(name).stem if str(name).endswith(".toml") else str(name), *varied])
        called = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{label}-seed{seed}").strip("-._")
        cells.append(Cell(label, recipes.load(name, [*chosen, f'name="{called}"', f"seed={seed}"])))
    for name, count in Counter(map(str, cells)).items():
        if count > 1:
            raise LimitError(f"{name}: there are {count} such cells; name each recipe, value and seed once")
    return cells


def seeds(text: str) -> list[int]:
    """Reads the value of --seeds: '1-5', '3' or '1,3,8-10'. Raises LimitError for anything else."""
    found: list[int] = []
    for part in text.split(","):
        bounds = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part)
        first, last = (int(bounds[1]), int(bounds[2] or bounds[1])) if bounds else (1, 0)
        if last < first or last - first > 9999:
            raise LimitError(f"--seeds {text}: expected numbers like 1-5, 3 or 1,3,5")
        found += range(first, last + 1)
    return found
