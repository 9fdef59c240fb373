"""What a search has trained, each call in a process of its own: a stage that candidates share, and a student up to some
epoch. Both go on from the checkpoint that an earlier call has left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from snnkd import recipe as recipes
from snnkd.analysis import evaluation
from snnkd.base.errors import RecipeError
from snnkd.data.datasets import DataSet
from snnkd.recipe import Recipe
from snnkd.recipe.lineage import lineage
from snnkd.runs.subject import read_data, read_frames
from snnkd.study.measures import PROFILED, Measures, price, sizes

if TYPE_CHECKING:
    from snnkd.training.chain import Chain

RECIPE = "searched.toml"  # of a candidate's folder: its recipe as the search trains it


def shared(candidate: Path, stage: str, folder: Path, data_root: Path) -> None:
    """Trains a stage of a candidate's chain in `folder`, where the next candidates take it over from.

    The stages that teach it lie in folders beside that one. Raises SnnkdError where the training diverges.
    """
    chain = _chain(candidate, folder, data_root)
    _train(chain, stage, folder.parent, None)


def student(
    candidate: Path, teachers: Path, epochs: int, data_root: Path, target: str | None
) -> tuple[Measures, float]:
    """Trains a candidate's student up to `epochs`, and measures the integer network of its best epoch so far.

    teachers: the folder of the folders that `shared` has filled. target: of energy and latency. Returns the measures
    and how many seconds it took. Raises SnnkdError where the training diverges.
    """
    started = time.monotonic()
    chain = _chain(candidate, candidate, data_root)
    name = chain.recipe.student
    _train(chain, name, teachers, epochs)
    return _measured(chain, name, target), time.monotonic() - started


def _train(chain: Chain, stage: str, teachers: Path, until: int | None) -> None:
    needed = lineage(chain.recipe, stage)["chain"]
    names = [name for name in chain.recipe.chain if name in needed]
    chain.take_over(names[:-1], teachers)
    chain.train(names, resume=True, until=until)


def _measured(chain: Chain, name: str, target: str | None) -> Measures:
    from snnkd.training import measuring

    net = chain.deployed(name, chain.load(name), {})
    feed = chain.feed(chain.data.validation)
    measured = measuring.measure(net, feed)
    energy: float | None = None
    latency: float | None = None
    if target is not None:
        images = np.arange(min(PROFILED, len(feed)))
        size = evaluation.block_of(net, feed.encoding.steps, states=False)
        energy, latency = price(net, (feed.events(part) for part in evaluation.in_blocks(images, size)), target)
    return Measures(measured.accuracy, measured.spikes, *sizes(net), energy, latency)


def _chain(candidate: Path, folder: Path, data_root: Path) -> Chain:
    from snnkd.training.tuning import load_torch

    load_torch()
    from snnkd.training.chain import Chain

    recipe = recipes.load(candidate / RECIPE)
    data, frames = _read(recipe, data_root)
    return Chain(recipe, data, folder / "checkpoints", "auto", frames)


def _read(recipe: Recipe, root: Path) -> tuple[DataSet, Mapping[str, DataSet]]:
    """The data of a recipe without their test images, which a search never sees."""
    data = without_test(read_data(recipe, root))
    if not len(data.validation):
        raise RecipeError("data.validation: a search compares candidates on validation data, and there are none")
    return data, {name: without_test(images) for name, images in read_frames(recipe, root).items()}


def without_test(data: DataSet) -> DataSet:
    """Returns a data set with an empty test split."""
    return replace(data, test=data.test.take(np.arange(0)))
