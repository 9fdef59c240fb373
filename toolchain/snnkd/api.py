"""`snnkd.train`, `run`, `export`, `handoff` and `check`, for notebooks; the command line calls the same functions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnkd import bundle, engines, runs, targets
from snnkd import recipe as recipes
from snnkd.base import progress
from snnkd.base.errors import LimitError
from snnkd.bundle import Handoff
from snnkd.recipe import Recipe
from snnkd.runs import RUNS, pipeline
from snnkd.runs.pipeline import Context, ExportOptions, TrainingOptions
from snnkd.runs.results import Exported, Profiled, Training
from snnkd.runs.subject import opened

_TRAIN = ("train", "quantize", "evaluate")


@dataclass(frozen=True)
class Everything:
    """What `snnkd run` did: the results of its stages."""

    train: Training
    export: Exported
    profile: Profiled

    def to_json(self) -> dict[str, Any]:
        """Returns what `snnkd run --json` prints."""
        return {"train": self.train.to_json(), "export": self.export.to_json(), "profile": self.profile.to_json()}


def train(recipe: str | Path | Recipe = "digits", options: TrainingOptions | None = None) -> Training:
    """Trains a recipe (a name, a path or one from `snnkd.recipe.load`) into a new run folder.

    Returns the accuracies of its networks; `run` is the folder and `net` the student's file. Raises SnnkdError for
    unusable input, before anything is trained.
    """
    results = pipeline.walk(_started(recipe, options), *_TRAIN)
    return Training.of(*(results[stage] for stage in _TRAIN))


def run(recipe: str | Path | Recipe = "digits", options: TrainingOptions | None = None) -> Everything:
    """Trains as `train` does, then exports to the recipe's target, verifies there and profiles."""
    import snnkd.training  # noqa: F401  (where torch is missing, that is said before what only the export needs)

    loaded = recipe if isinstance(recipe, Recipe) else recipes.load(recipe)
    _check_engine(loaded.target.name)
    results = pipeline.walk(_started(loaded, options), *_TRAIN, "export", "profile")
    trained = Training.of(*(results[stage] for stage in _TRAIN))
    return Everything(trained, results["export"], results["profile"])


def export(
    run: str | Path | None = None,
    target: str | None = None,
    out: str | Path | None = None,
    samples: int | None = None,
    data_root: str | Path | None = None,
    folder: str | Path = RUNS,
) -> Exported:
    """Writes a run's student for `target`, runs it there and compares its spikes; `differences` is 0 where all agree.

    run: its folder or name, the newest finished one in `folder` where None. target: the recipe's where None. out: the
    file, in the run folder where None. samples: test images that are compared, 16 where None. Raises SnnkdError for
    unusable input.
    """
    wanted = ExportOptions(target, Path(out) if out else None, samples)
    context = Context(runs.find(run, Path(folder)), Path(data_root) if data_root else None, export=wanted)
    return pipeline.walk(context, "export")["export"]


def handoff(
    name: str | Path | None = None,
    target: str | Path = "c99",
    out: str | Path = "bundle.zip",
    events: str | Path | None = None,
    labels: str | Path | None = None,
    input_shape: tuple[int, ...] | None = None,
    readout: str | None = None,
    data_root: str | Path | None = None,
    folder: str | Path = RUNS,
    data: str | None = None,
) -> Handoff:
    """Packs a run, or the network of a file, into a bundle for embedded engineers; `file` is None where it does not
    fit.

    name: a run's folder or name, or a FILE.net; the newest finished run in `folder` where None. events, labels: .npy
    files to measure a file on. data: a data set to measure a file on instead, by name or path. input_shape, readout: of
    a file, where it does not tell them. Raises SnnkdError for unusable input.
    """
    subject = opened(name, Path(folder), Path(data_root) if data_root else None, input_shape, readout)
    given = (Path(path) if path is not None else None for path in (events, labels))
    return bundle.pack(subject, target, Path(out), *given, data=data)


def _started(recipe: str | Path | Recipe, options: TrainingOptions | None) -> Context:
    from snnkd.training.tuning import load_torch

    load_torch()  # with the threads that a training wants
    with progress.doing("loading what trains"):
        from snnkd.training.chain import pick_device

    options = options or TrainingOptions()
    pick_device(options.device)  # this and a missing lava-dl are refused before there is a run folder
    return pipeline.start(recipe if isinstance(recipe, Recipe) else recipes.load(recipe), options)


def _check_engine(name: str) -> None:
    """Raises LimitError, before anything is trained, where the recipe's target cannot be run here."""
    engine = targets.load(name).engine
    reason = engines.get(engine).available() if engine else "no engine runs it"
    if reason:
        raise LimitError(
            f"target.name '{name}' cannot be run here ({reason}): choose another one, see `snnkd targets`, or use "
            "`snnkd train`, which runs nothing on the target"
        )
