"""Recipes: what a .toml says about data, encoding, neurons and the chain of trainings, checked before any of it runs.

recipe = snnkd.recipe.load("digits", ["chain.student.epochs=20"])
"""

from snnkd.recipe.reading import load, names, parse
from snnkd.recipe.rules import warnings
from snnkd.recipe.tables import DATA_SETS, Recipe, Stage

__all__ = ["DATA_SETS", "Recipe", "Stage", "load", "names", "parse", "warnings"]
