"""The loop of a search: generations of candidates are drawn, checked, trained from stop to stop, and judged."""

from __future__ import annotations

import shutil
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snnkd.base import files, progress, provenance
from snnkd.base.errors import LimitError, RecipeError, SnnkdError
from snnkd.recipe import Recipe
from snnkd.recipe.lineage import lineage
from snnkd.runs.pool import Pool
from snnkd.study import candidate, measures, training
from snnkd.study.found import TAKEN, Found, folder_of
from snnkd.study.halving import promoted
from snnkd.study.measures import Measures
from snnkd.study.space import Opened
from snnkd.study.trials import FAILED, FINISHED, OPEN, OUTSIDE, REFUSED, STOPPED, Trials, value

PATIENCE = 200  # candidates in a row that may be refused

Fates = dict[int, tuple[str, str | None]]  # status and reason by the number of a trial
Failures = dict[Path, str]  # why, by the folder of a candidate


@dataclass(frozen=True)
class Search:
    """A search whose candidates have folders in `out`. data_root: where the data sets are."""

    opened: Opened
    out: Path
    trials: Trials
    pool: Pool
    data_root: Path
    _shared: set[Path] = field(default_factory=set)  # folders of stages that this process has had trained

    def run(self, wanted: int) -> Found:
        """Trains candidates until `wanted` are at their end, refused ones not counted; those that an earlier call has
        left open come first. Raises LimitError where hardly any candidate keeps to the constraints."""
        while (missing := wanted - self._settled()) > 0:
            self._generation(min(missing, self.opened.space.halving.generation))
        return Found(str(self.out), self.opened.space, self.trials.all(), self.trials.reference)

    def folder(self, number: int) -> Path:
        """Names the folder of a candidate."""
        return folder_of(self.out, number)

    def _settled(self) -> int:
        return sum(trial.status not in (OPEN, REFUSED) for trial in self.trials.all())

    def _reference(self) -> Measures:
        """Measures the recipe that the space starts from, trained as candidates are."""
        recipe = candidate.recipe_of(self.opened, None, economy=True)
        path = self.out / "reference"
        files.write_text(path / training.RECIPE, recipe.to_toml())
        for failed in self._share({path: recipe}).values():
            raise SnnkdError(failed)
        progress.say(f"training {recipe.name} as it is")
        return self._student(path, recipe.chain[recipe.student].epochs).result()[0]

    def _generation(self, size: int) -> None:
        """Draws candidates and follows them to their ends, which are noted together: a search that is killed before
        takes up all of them, so that each is drawn with the same trials before it."""
        recipes = self._begun(size)
        if self.trials.reference is None:
            self.trials.reference = self._reference()
        failed = self._share({self.folder(number): recipe for number, recipe in recipes.items()})
        fates: Fates = {n: (FAILED, failed[self.folder(n)]) for n in recipes if self.folder(n) in failed}
        for epoch in [*self.opened.space.halving.epochs, None]:
            going = {number: recipe for number, recipe in recipes.items() if number not in fates}
            ends = {number: recipe.chain[recipe.student].epochs for number, recipe in going.items()}
            stops = {number: end if epoch is None else min(epoch, end) for number, end in ends.items()}
            fates |= self._trained(stops)
            fates |= self._judged({n: stop for n, stop in stops.items() if n not in fates}, ends)
        for number, (status, reason) in sorted(fates.items()):
            self._settle(number, status, reason)

    def _begun(self, size: int) -> dict[int, Recipe]:
        """The recipes of so many candidates that keep to the constraints, by their numbers; open ones first."""
        found: dict[int, Recipe] = {}
        left = [trial.number for trial in self.trials.all() if trial.status == OPEN]
        refusals = 0
        while len(found) < size:
            drawing = self.trials.again(left.pop(0)) if left else self.trials.draw()
            recipe, reason = self._candidate(drawing)
            if recipe is not None:
                found[drawing.number], refusals = recipe, 0
                continue
            self._settle(drawing.number, REFUSED, reason)
            refusals += 1
            if refusals == PATIENCE:
                raise LimitError(f"{PATIENCE} candidates in a row were refused; the last one: {reason}")
        return found

    def _candidate(self, drawing: Any) -> tuple[Recipe | None, str | None]:
        """Draws a candidate and writes its recipes. Returns the one that is trained, or why it is refused."""
        drawn = candidate.draw(self.opened, lambda name, varied: value(drawing, name, varied))
        try:
            recipe = candidate.recipe_of(self.opened, drawn, economy=True)
            taken = candidate.recipe_of(self.opened, drawn, economy=False)
        except RecipeError as error:
            return None, str(error)
        if reason := candidate.refused(taken, self.opened.space.constraints):
            return None, reason
        found = f"Candidate {drawing.number} of a search that started from {self.opened.space.recipe}"
        taken = taken.model_copy(update={"name": f"{taken.name}-{drawing.number}", "description": found})
        for name, written in ((training.RECIPE, recipe), (TAKEN, taken)):
            files.write_text(self.folder(drawing.number) / name, written.to_toml())
        return recipe, None

    def _share(self, recipes: dict[Path, Recipe]) -> Failures:
        """Has each stage that teaches these recipes, by their folders, trained once, however many of them it teaches.
        Returns those whose teacher fails."""
        failures: Failures = {}
        for name in next(iter(recipes.values())).chain:
            taught: dict[Path, list[Path]] = {}
            for path, recipe in recipes.items():
                if path not in failures and name in _teachers(recipe):
                    digest = provenance.digest(lineage(recipe, name))[:16]
                    taught.setdefault(self.out / "teachers" / digest, []).append(path)
            calls = {
                self.pool.submit(training.shared, paths[0], name, folder, self.data_root): folder
                for folder, paths in taught.items()
                if folder not in self._shared
            }
            progress.say(f"training {name}")
            for call in as_completed(calls):
                if failed := _failure(call):
                    failures |= dict.fromkeys(taught[calls[call]], failed)
                else:
                    self._shared.add(calls[call])
        return failures

    def _student(self, path: Path, epochs: int) -> Future[tuple[Measures, float]]:
        how = (self.data_root, self.opened.space.priced)
        return self.pool.submit(training.student, path, self.out / "teachers", epochs, *how)

    def _trained(self, stops: dict[int, int]) -> Fates:
        """Has candidates trained and measured, each up to an epoch, and notes it. Returns the fates of those that
        fail."""
        done = {trial.number: trial.measured for trial in self.trials.all()}
        missing = {number: epochs for number, epochs in stops.items() if epochs not in done[number]}
        calls = {self._student(self.folder(number), epochs): number for number, epochs in missing.items()}
        progress.say(
            f"training {len(calls)} candidates to epoch {max(stops.values(), default=0)}; {self._settled()} are done"
        )
        fates: Fates = {}
        for call in as_completed(calls):
            number = calls[call]
            if failed := _failure(call):
                fates[number] = (FAILED, failed)
                continue
            own, seconds = call.result()
            if unknown := measures.lacking(own, self.opened.space):
                fates[number] = (FAILED, f"its {unknown[0]} is not known")
            else:
                self.trials.measured(number, stops[number], own, seconds)
        return fates

    def _judged(self, stops: dict[int, int], ends: dict[int, int]) -> Fates:
        """The fates of candidates that are at their end, or not among the best of all that came as far."""
        trials, space = self.trials.all(), self.opened.space
        fates: Fates = {}
        for number, stop in stops.items():
            own = trials[number].measured[stop]
            if stop == ends[number]:
                broken = [words for _, _, words in measures.excesses(own, space.constraints)]
                fates[number] = (OUTSIDE, "; ".join(broken)) if broken else (FINISHED, None)
                continue
            rivals = {trial.number: trial.measured[stop] for trial in trials if stop in trial.measured}
            if number not in promoted(rivals, space.goals, space.halving.keep):
                fates[number] = (STOPPED, f"not among the best {space.halving.keep:.0%} after epoch {stop}")
        return fates

    def _settle(self, number: int, status: str, reason: str | None) -> None:
        last = self.trials.all()[number].last
        broken = {status: 1.0}
        if last is not None and status != FAILED:
            constraints = self.opened.space.constraints
            broken = {name: share for name, share, _ in measures.excesses(last, constraints)}
        self.trials.settle(number, status, reason, broken)
        shutil.rmtree(self.folder(number) / "checkpoints", ignore_errors=True)


def _teachers(recipe: Recipe) -> set[str]:
    """The stages that have to be trained before a recipe's student."""
    needed = lineage(recipe, recipe.student)["chain"]
    return {name for name in needed if name != recipe.student and not recipe.chain[name].frozen}


def _failure(call: Future[Any]) -> str | None:
    """Why a training has failed, in words; None where it has not. Raises what is no such failure."""
    error = call.exception()
    if error is None:
        return None
    if isinstance(error, SnnkdError | MemoryError):
        return str(error) or "out of memory"
    raise error
