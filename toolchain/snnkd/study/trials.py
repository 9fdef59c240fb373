"""The trials of a search in Optuna's storage: drawn by its sampler, kept there, and taken up again from there.

The sampler is TPE for several objectives (Y. Ozaki, Y. Tanigaki, S. Watanabe and M. Onishi, "Multiobjective
Tree-Structured Parzen Estimator", JAIR 73, 2022). It learns from ten trials on, where NSGA-II would still be within its
first generations, and takes parameters of any kind that depend on each other, as the layers of a network do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from snnkd.base import packages
from snnkd.base.errors import MismatchError, SnnkdError, in_a_line
from snnkd.study.measures import Measures
from snnkd.study.space import Choice, Space, Varied

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as Drawing

NAME = "snnkd search"  # of the study
REFUSED, FAILED, STOPPED, OUTSIDE, FINISHED = "refused", "failed", "stopped", "outside", "finished"
OPEN = "open"  # drawn, and neither refused nor at its end


@dataclass(frozen=True)
class Trial:
    """A candidate and what became of it.

    status: 'refused' before its training, 'failed' in it, 'stopped' by halving, 'outside' of a constraint at its end,
    'finished', or 'open'; reason: of the first four, in words. parameters: what was drawn, by name. measured: by the
    epochs after which it was. seconds: that its training took.
    """

    number: int
    status: str
    parameters: dict[str, Any]
    measured: dict[int, Measures] = field(default_factory=dict)
    reason: str | None = None
    seconds: float = 0.0

    @property
    def last(self) -> Measures | None:
        """Returns what was measured last, None of one that was not trained."""
        return self.measured[max(self.measured)] if self.measured else None

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data; the measures are the last ones."""
        return {
            "number": self.number,
            "status": self.status,
            "reason": self.reason,
            "epochs": max(self.measured, default=0),
            "seconds": round(self.seconds, 1),
            "measures": None if self.last is None else self.last.to_json(),
            "parameters": self.parameters,
        }


class Trials:
    """The trials of one space, in their order."""

    def __init__(self, url: str, space: Space, digest: str):
        """Opens the storage at `url`, or begins it.

        digest: of all that the trials depend on. Raises MismatchError where it holds those of another space, LimitError
        without Optuna, SnnkdError where there is no storage.
        """
        packages.require("search", "optuna")
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna, self._space = optuna, space
        directions: Any = ["maximize" if goal.rises else "minimize" for goal in space.goals]
        try:
            self._study = optuna.create_study(storage=url, study_name=NAME, directions=directions, load_if_exists=True)
        except Exception as error:  # of SQLAlchemy, or of a database's driver
            raise SnnkdError(f"{url}: no storage for a search: {in_a_line(error)}") from error
        known = self._study.user_attrs.get("digest")
        if known is None:
            self._study.set_user_attr("digest", digest)
        elif known != digest:
            raise MismatchError(
                f"{url}: holds the trials of another space, or its recipe has changed since; search into another --out"
            )

    def all(self) -> list[Trial]:
        """Lists all trials."""
        return [self._read(frozen) for frozen in self._study.get_trials(deepcopy=False)]

    @property
    def reference(self) -> Measures | None:
        """What the recipe that the space starts from has reached; None before it was trained."""
        noted = self._study.user_attrs.get("reference")
        return None if noted is None else Measures(**noted)

    @reference.setter
    def reference(self, measures: Measures) -> None:
        self._study.set_user_attr("reference", measures.to_json())

    def draw(self) -> Drawing:
        """Begins a trial, from which values are drawn.

        They follow from the seed, the trial's number and the trials before it alone: a search that was killed goes on
        as one that was not.
        """
        self._seed(len(self._study.get_trials(deepcopy=False)))
        return self._study.ask()

    def again(self, number: int) -> Drawing:
        """Takes up an open trial, which gives the values that it gave before."""
        self._seed(number)
        return self._optuna.trial.Trial(self._study, self._frozen(number)._trial_id)

    def _seed(self, number: int) -> None:
        seed = (self._space.seed + 1_000_003 * number) % (1 << 32)
        self._study.sampler = self._optuna.samplers.TPESampler(seed=seed)

    def measured(self, number: int, epochs: int, measures: Measures, seconds: float) -> None:
        """Notes what was measured of an open trial after so many epochs, and how long it took to get there."""
        noted = {"epochs": epochs, "seconds": seconds, **measures.to_json()}
        rows = self._frozen(number).user_attrs.get("measured", [])
        self.again(number).set_user_attr("measured", [*rows, noted])

    def settle(self, number: int, status: str, reason: str | None, excesses: Mapping[str, float]) -> None:
        """Ends an open trial. excesses: the constraints that it breaks, by how much, for the sampler to avoid."""
        drawing = self.again(number)
        for name, excess in excesses.items():
            drawing.set_constraint(name, excess)
        drawing.set_user_attr("fate", [status, reason])
        if status in (REFUSED, FAILED):
            self._study.tell(number, state=self._optuna.trial.TrialState.PRUNED)
        else:
            last = self._read(self._frozen(number)).last
            self._study.tell(number, [getattr(last, goal.measure) for goal in self._space.goals])

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]

    def _read(self, frozen: FrozenTrial) -> Trial:
        rows = frozen.user_attrs.get("measured", [])
        measured = {row["epochs"]: Measures(**{k: row[k] for k in Measures.__annotations__}) for row in rows}
        parameters = {
            name: json.loads(value) if isinstance(value, str) else value for name, value in frozen.params.items()
        }
        status, reason = frozen.user_attrs.get("fate", (OPEN, None))
        return Trial(frozen.number, status, parameters, measured, reason, sum(row["seconds"] for row in rows))


def value(drawing: Drawing, name: str, varied: Varied) -> Any:
    """Draws one value. The options of a choice may be anything that TOML can say; Optuna is given them as JSON."""
    if isinstance(varied, Choice):
        texts = [json.dumps(option) for option in varied.options]
        return varied.options[texts.index(drawing.suggest_categorical(name, texts))] if texts[1:] else varied.options[0]
    if varied.whole:
        low, high, step = (int(number) for number in (varied.low, varied.high, varied.step or 1))
        return drawing.suggest_int(name, low, high, step=step, log=varied.log)
    return drawing.suggest_float(name, varied.low, varied.high, step=varied.step, log=varied.log)
