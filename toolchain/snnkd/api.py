"""`snnkd.run`, `train` and `export`: the pipeline for notebooks; the command line calls the same functions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snnkd import engines, pipeline, runs, targets
from snnkd import recipe as recipes
from snnkd.errors import LimitError
from snnkd.recipe import Recipe
from snnkd.runs import RUNS

_TRAIN = ("train", "quantize", "evaluate")


def train(recipe: str | Path | Recipe = "digits", **options: Any) -> dict[str, Any]:
    """Trains a recipe (a name, a path or one from `snnkd.recipe.load`) into a new run folder.

    options: folder, of the run folders; data_root; download; resume, to go on with the newest run of the same recipe;
    and fields of `pipeline.Context`: device, baseline, on_batch, on_epoch, and reuse, to take over stages that another
    run in the folder has trained alike. Returns what `snnkd train --json` prints; `run` is the folder and `net` the
    student's file. Raises SnnkdError for unusable input, before anything is trained.
    """
    return _train(_walk(recipe, _TRAIN, **options))


def run(recipe: str | Path | Recipe = "digits", **options: Any) -> dict[str, dict[str, Any]]:
    """As `train`, then exports to the recipe's target, verifies there and profiles. Returns what `snnkd run --json`
    prints: what train, export and profile print, under these names."""
    loaded = recipe if isinstance(recipe, Recipe) else recipes.load(recipe)
    _check_engine(loaded.target.name)
    results = _walk(loaded, (*_TRAIN, "export", "profile"), **options)
    return {"train": _train(results), "export": results["export"], "profile": results["profile"]}


def export(
    run: str | Path | None = None, target: str | None = None, out: str | Path | None = None, **options: Any
) -> dict[str, Any]:
    """Writes a run's student (the newest finished run unless given) for `target`, the recipe's unless given, runs it
    there and compares spikes.

    options: folder of the runs, and fields of `pipeline.Context`: samples, data_root. Returns what `snnkd export
    --json` prints; `differences` is 0 where every spike is the same.
    """
    found = runs.find(run, Path(options.pop("folder", RUNS)))
    context = pipeline.Context(found, target=target, out=Path(out) if out else None, **options)
    return pipeline.walk(context, "export")["export"]


def _walk(
    recipe: str | Path | Recipe,
    stages: Sequence[str],
    *,
    folder: str | Path = RUNS,
    data_root: str | Path | None = None,
    download: bool = False,
    resume: bool = False,
    device: str = "auto",
    **options: Any,
) -> dict[str, dict[str, Any]]:
    from snnkd.training import tuning

    tuning.load_torch()
    from snnkd.training.chain import pick_device

    pick_device(device)  # this and a missing lava-dl are refused before there is a run folder
    loaded = recipe if isinstance(recipe, Recipe) else recipes.load(recipe)
    root = Path(data_root) if data_root else None
    context = pipeline.start(loaded, Path(folder), root, download, resume, device=device, **options)
    return pipeline.walk(context, *stages)


def _train(results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {key: value for stage in _TRAIN for key, value in results[stage].items()}


def _check_engine(name: str) -> None:
    """Raises LimitError, before anything is trained, where the recipe's target cannot be run here."""
    engine = targets.load(name).engine
    reason = engines.get(engine).available() if engine else "no engine runs it"
    if reason:
        raise LimitError(
            f"target.name '{name}' cannot be run here ({reason}): choose another one, see `snnkd targets`, or use "
            "`snnkd train`, which runs nothing on the target"
        )
