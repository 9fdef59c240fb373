"""`snnkd.train` and `snnkd.export`: the pipeline for notebooks; the command line calls the same functions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snnkd import pipeline, runs
from snnkd import recipe as recipes
from snnkd.recipe import Recipe
from snnkd.runs import RUNS

TRAIN = ("train", "quantize", "evaluate")


def train(
    recipe: str | Path | Recipe = "digits",
    *,
    folder: str | Path = RUNS,
    data_root: str | Path | None = None,
    download: bool = False,
    resume: bool = False,
    stages: Sequence[str] = TRAIN,
    **options: Any,
) -> dict[str, Any]:
    """Trains a recipe (a name, a path or one from `snnkd.recipe.load`) into a new run folder below `folder`.

    resume: go on with the newest run of the same recipe, if there is one. stages: which of `pipeline.STAGES` to run.
    options: further fields of `pipeline.Context`: device, baseline, on_batch, on_epoch. Returns what `snnkd train
    --json` prints; `run` is the folder and `net` the student's file. Raises SnnkdError for unusable input.
    """
    loaded = recipe if isinstance(recipe, Recipe) else recipes.load(recipe)
    root = Path(data_root) if data_root else None
    run = pipeline.start(loaded, Path(folder), root, download, resume)
    context = pipeline.Context(run, root, resume=resume, **options)
    results = pipeline.walk(context, *stages)
    return {key: value for result in results.values() for key, value in result.items()}


def export(
    run: str | Path | None = None, target: str = "loihi2-sim", out: str | Path | None = None, **options: Any
) -> dict[str, Any]:
    """Writes a run's student (the newest finished run unless given) for `target`, runs it there and compares spikes.

    options: folder of the runs, and fields of `pipeline.Context`: samples, data_root. Returns what `snnkd export
    --json` prints; `differences` is 0 where every spike is the same.
    """
    found = runs.find(run, Path(options.pop("folder", RUNS)))
    context = pipeline.Context(found, target=target, out=Path(out) if out else None, **options)
    return pipeline.walk(context, "export")["export"]
