"""Trains the cells of a sweep, each in a run folder of its own, where and in which order there is room.

A stage that cells share is trained once: it is, bit for bit, what each of them would have trained. A cell whose run is
finished is taken as it is, and one that was broken off goes on where its last epoch ended.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path

from snnkd.base import lock, progress
from snnkd.base.errors import Note, SnnkdError, SnnkdWarning
from snnkd.data import datasets
from snnkd.recipe import Recipe
from snnkd.runs import pipeline
from snnkd.runs.cells import Cell, digest
from snnkd.runs.folder import Run, find
from snnkd.runs.pipeline import TrainingOptions
from snnkd.runs.pool import open_pool


@dataclass(frozen=True)
class SweepOptions:
    """How cells are trained.

    folder: of their run folders; with Ray one that all nodes share. jobs, ray: as `pool.open_pool` takes them.
    data_root, device: as `TrainingOptions` has them; on a Ray cluster 'cuda' gives each cell a GPU of its own, and
    'auto' is the CPU, so that all of them are trained on the same kind of device.
    """

    folder: str | Path = "sweep"
    jobs: int | None = None
    ray: str | None = None
    data_root: str | Path | None = None
    device: str = "auto"


@dataclass(frozen=True)
class Finished:
    """A cell that is done: its run, or else the error that ended it. before: it was done when the sweep started."""

    cell: Cell
    run: Run | None
    error: str | None = None
    before: bool = False


@dataclass(frozen=True)
class _Job:
    """What one process does: it trains a cell up to its stage `until`, which others wait for, or to its end."""

    cell: Cell
    until: str | None

    @property
    def stages(self) -> set[str]:
        """Digests of the stages that are trained when it is done."""
        names = list(self.cell.stages)
        last = len(names) if self.until is None else names.index(self.until) + 1
        return {self.cell.stages[name] for name in names[:last]}


@dataclass(frozen=True)
class _Place:
    """Where cells are trained: as `TrainingOptions` has it."""

    folder: Path
    data_root: Path
    device: str


def train(
    cells: Sequence[Cell], options: SweepOptions, on_cell: Callable[[Finished], None] = lambda _: None
) -> list[Finished]:
    """Trains all cells that have no finished run yet, and returns what became of each, in their order.

    on_cell: called with each as soon as it is done. One that fails does not stop the others. Raises LimitError where
    another sweep works in the folder, where what trains is not installed, and as `open_pool` does.
    """
    folder = Path(options.folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    done: dict[Cell, Finished] = {}

    def end(finished: Finished) -> None:
        done[finished.cell] = finished
        on_cell(finished)

    with lock.held(folder, "sweep"):
        before = _finished(folder)
        for cell in cells:
            if run := before.get(digest(cell.recipe)):
                end(Finished(cell, run, before=True))
        if done:
            warnings.warn(f"{len(done)} of {len(cells)} cells were finished before in {folder}", Note, stacklevel=2)
        waiting = [cell for cell in cells if cell not in done]
        if waiting:
            import snnkd.training  # noqa: F401  (says what is not installed, once and for all of them)

            _train(waiting, folder, options, end)
    return [done[cell] for cell in cells]


def _finished(folder: Path) -> dict[str, Run]:
    """The finished runs in a folder, by the digests of their recipes; warns of one that cannot be read."""
    found = {}
    for path in folder.glob("*/summary.json"):
        try:
            run = find(path.parent, folder)
            found[digest(run.recipe)] = run
        except SnnkdError as error:
            warnings.warn(f"passed over: {error}", SnnkdWarning, stacklevel=3)
    return found


def _train(waiting: list[Cell], folder: Path, options: SweepOptions, end: Callable[[Finished], None]) -> None:
    """Trains the `waiting` cells, and calls `end` with each."""
    device = "cpu" if options.ray is not None and options.device == "auto" else options.device
    root = Path(options.data_root) if options.data_root else None
    place = _Place(folder, datasets.root_folder(root).absolute(), device)
    users = Counter(key for cell in waiting for key in cell.stages.values())
    trained: set[str] = set()
    told: set[str] = set()
    running: dict[Future[tuple[Path, list[str]]], _Job] = {}
    with open_pool(options.jobs, options.ray, gpus=1 if device == "cuda" else 0) as pool:
        while waiting or running:
            while job := _next(waiting, list(running.values()), trained, users):
                waiting.remove(job.cell)
                running[pool.submit(_work, job.cell.recipe, job.until, place)] = job
            progress.say(f"{len(waiting) + len(running)} cells to be trained, {pool.slots} at a time")
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                if error := future.exception():
                    end(Finished(job.cell, None, str(error) if isinstance(error, SnnkdError) else repr(error)))
                    continue
                trained |= job.stages
                run, texts = future.result()
                for text in [text for text in texts if text not in told]:
                    told.add(text)
                    warnings.warn(f"{job.cell}: {text}", SnnkdWarning, stacklevel=2)
                if job.until is None:
                    end(Finished(job.cell, Run(run, job.cell.recipe)))
                else:
                    waiting.insert(0, job.cell)


def _next(waiting: list[Cell], running: list[_Job], trained: set[str], users: Counter[str]) -> _Job | None:
    """The first cell that needs no stage that another one trains at the moment; it ends with the last stage that
    others need too, so that these can go on. trained: digests of stages that are there; users: how many cells need
    each."""
    busy = {key for job in running for key in job.stages} - trained
    for cell in waiting:
        left = {name: key for name, key in cell.stages.items() if key not in trained}
        if busy.isdisjoint(left.values()):
            shared = [name for name, key in left.items() if users[key] > 1]
            return _Job(cell, shared[-1] if shared else None)
    return None


def _work(recipe: Recipe, until: str | None, place: _Place) -> tuple[Path, list[str]]:
    """What a process does for a job. Returns the run's folder and the warnings on the way."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SnnkdWarning)
        how = TrainingOptions(place.folder, place.data_root, resume=True, reuse=True, device=place.device)
        context = pipeline.start(recipe, how)
        lock.inherit(context.run.folder)  # of a process or a node that has died
        if until is None:
            pipeline.walk(context, "train", "quantize", "evaluate")
        else:
            pipeline.train_until(context, until)
    told = [one for one in caught if issubclass(one.category, SnnkdWarning) and not issubclass(one.category, Note)]
    return context.run.folder, [str(one.message) for one in told]
