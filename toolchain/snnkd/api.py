"""`snnkd.train`, `simulate`, `verify` and the others, for notebooks; the command line calls the same functions.

Where a network is wanted, a path does: of a `.net` or `.nir`, or of a run folder. What only trainings, runs or bundles
need is imported when it is needed: to simulate a file starts quickly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnkd import engines, targets
from snnkd.analysis import evaluation
from snnkd.base import progress
from snnkd.base.errors import FormatError, LimitError
from snnkd.ir import describe
from snnkd.ir.describe import Description
from snnkd.ir.network import IntNet
from snnkd.ir.trace import SpikeTrace

if TYPE_CHECKING:
    from snnkd.analysis.energy import Profile
    from snnkd.analysis.fit import Fit
    from snnkd.analysis.headroom import Headroom
    from snnkd.analysis.verification import Verification
    from snnkd.bundle import Handoff
    from snnkd.recipe import Recipe
    from snnkd.runs.pipeline import Context, TrainingOptions
    from snnkd.runs.results import Exported, Profiled, Training
    from snnkd.runs.sweep_results import Row, Sweep
    from snnkd.study import Found

_TRAIN = ("train", "quantize", "evaluate")
_RUNS = Path("runs")


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
    from snnkd.runs import pipeline
    from snnkd.runs.results import Training

    results = pipeline.walk(_started(recipe, options), *_TRAIN)
    return Training.of(*(results[stage] for stage in _TRAIN))


def run(recipe: str | Path | Recipe = "digits", options: TrainingOptions | None = None) -> Everything:
    """Trains as `train` does, then exports to the recipe's target, verifies there and profiles."""
    import snnkd.training  # noqa: F401  (where torch is missing, that is said before what only the export needs)
    from snnkd.runs import pipeline
    from snnkd.runs.results import Training

    loaded = _recipe(recipe)
    _check_engine(loaded.target.name)
    results = pipeline.walk(_started(loaded, options), *_TRAIN, "export", "profile")
    trained = Training.of(*(results[stage] for stage in _TRAIN))
    return Everything(trained, results["export"], results["profile"])


def sweep(
    recipes: str | Path | Sequence[str | Path],
    seeds: Sequence[int] = (1, 2, 3),
    overrides: Sequence[str] = (),
    out: str | Path = "sweep",
    jobs: int | None = None,
    ray: str | None = None,
    data_root: str | Path | None = None,
    device: str = "auto",
    on_row: Callable[[Row], None] = lambda _: None,
) -> Sweep:
    """Trains recipes x overrides x seeds, each into a run folder in `out`, and goes on where an earlier sweep ended.

    overrides: "a.b=1,2", one or several values of a field. jobs: processes, as many as there are cores where None. ray:
    the address of a Ray cluster instead, whose nodes share `out`. on_row: called with each cell that is done, unless it
    was before. One that fails is a row with an error. Raises SnnkdError for unusable input, before anything is trained.

    A script calls it below `if __name__ == "__main__":`, since each process imports the script again.
    """
    from snnkd.runs import cells, sweep_results
    from snnkd.runs.sweep import SweepOptions

    names = [recipes] if isinstance(recipes, str | Path) else recipes
    options = SweepOptions(out, jobs, ray, data_root, device)
    return sweep_results.collect(cells.grid(names, seeds, overrides), options, on_row)


def search(
    space: str | Path,
    out: str | Path,
    trials: int = 48,
    jobs: int | None = None,
    ray: str | None = None,
    storage: str | None = None,
    data_root: str | Path | None = None,
) -> Found:
    """Searches a space (a name or your own .toml) for the best students under a budget; `front` lists them.

    out: the folder of the search, whose trials are not made again. trials: how many candidates are trained, those in
    `out` included. jobs: processes of this machine, as many as it has cores where None; ray: the address of a Ray
    cluster instead. storage: URL of a database for the trials, a file in `out` where None. Raises SnnkdError for
    unusable input, before anything is trained.
    """
    from snnkd import study
    from snnkd.runs.pool import open_pool

    with open_pool(jobs, ray) as pool:
        return study.search(space, Path(out), trials, pool, storage, data_root)


def export(
    run: str | Path | None = None,
    target: str | None = None,
    out: str | Path | None = None,
    samples: int | None = None,
    data_root: str | Path | None = None,
    folder: str | Path = _RUNS,
) -> Exported:
    """Writes a run's student for `target`, runs it there and compares its spikes; `differences` is 0 where all agree.

    run: its folder or name, the newest finished one in `folder` where None. target: the recipe's where None. out: the
    file, in the run folder where None. samples: test images that are compared, 16 where None. Raises SnnkdError for
    unusable input.
    """
    from snnkd import runs
    from snnkd.runs import pipeline
    from snnkd.runs.pipeline import Context, ExportOptions

    wanted = ExportOptions(target, Path(out) if out else None, samples)
    context = Context(runs.find(run, Path(folder)), Path(data_root) if data_root else None, export=wanted)
    return pipeline.walk(context, "export")["export"]


def handoff(
    name: IntNet | str | Path | None = None,
    target: str | Path = "c99",
    out: str | Path = "bundle.zip",
    events: str | Path | None = None,
    labels: str | Path | None = None,
    input_shape: tuple[int, ...] | None = None,
    readout: str | None = None,
    prefix: str = "snnkd",
    data_root: str | Path | None = None,
    folder: str | Path = _RUNS,
    data: str | None = None,
) -> Handoff:
    """Packs a run, or the network of a file, into a bundle for embedded engineers; `file` is None where it does not
    fit.

    name: a network, a run's folder or name, or a FILE.net; the newest finished run in `folder` where None. events,
    labels: .npy files to measure a file on. data: a data set to measure a file on instead, by name or path.
    input_shape, readout: of a file, where it does not tell them. prefix: of all public names of the C, so that several
    bundles are one firmware. Raises SnnkdError for unusable input.
    """
    from snnkd import bundle
    from snnkd.runs.subject import Subject, opened

    if isinstance(name, IntNet):
        subject = Subject(name if readout is None else name.read_by(readout), Path("network.net"), "network")
    else:
        subject = opened(name, Path(folder), Path(data_root) if data_root else None, input_shape, readout)
    given = (Path(path) if path is not None else None for path in (events, labels))
    return bundle.pack(subject, target, Path(out), *given, data=data, prefix=prefix)


def simulate(
    net: IntNet | str | Path, spikes: np.ndarray, engine: str = evaluation.FAST, states: bool = False
) -> SpikeTrace:
    """Runs a network on events (N, T, C, H, W) or (N, T, features): spikes of every layer, and u and v with `states`.

    Raises LimitError where the engine cannot run here or refuses the network, FormatError for events that do not fit.
    """
    return evaluation.simulate(_network(net), spikes, engine, states)


def verify(
    net: IntNet | str | Path,
    spikes: np.ndarray | None = None,
    against: str | Path = "lava",
    states: bool = True,
    lag: int | Mapping[str, int] | None = None,
) -> Verification:
    """Compares the engine `against` with the definition on events as of `simulate`, element by element; the definition
    itself with `fast`. Raises SnnkdError as `simulate` does.

    against: or a recording, a TRACE.npz as `docs/cli.md` has it, whose own input may stand for `spikes`; lag: the steps
    that it is later, of all its arrays or by their names, found where None.
    """
    network = _network(net)
    if str(against).endswith(".npz"):
        from snnkd.analysis import recording
        from snnkd.ir import partial_trace
        from snnkd.ir.events import check_input

        trace = partial_trace.load(against, network)
        given = trace.input if spikes is None else check_input(network, spikes)
        if given is None:
            raise FormatError(f"{against}: has no array input: give the events that went in as spikes")
        return recording.verify(network, trace, given, lag)
    if spikes is None:
        raise FormatError("spikes: expected the events to run on, found None; only a recording brings its own")
    return evaluation.verify(network, spikes, str(against), states)


def profile(net: IntNet | str | Path, spikes: np.ndarray, target: str | Path | Sequence[str | Path] = ()) -> Profile:
    """Counts spikes, synaptic operations and updates on events as of `simulate`, and estimates the energy on `target`,
    a name, a file or several of them; on all shipped targets with costs unless given."""
    return evaluation.profile(_network(net), spikes, target)


def check(net: IntNet | str | Path, target: str | Path = "loihi2") -> Fit:
    """Tells whether a network fits `target`, a name or your own .toml, and what would have to change."""
    from snnkd.analysis import fit

    return fit.fit(_network(net), targets.load(target))


@dataclass(frozen=True)
class Inspection:
    """What a network is: its description, and where events were given its headroom on them. A notebook shows the
    table."""

    description: Description
    headroom: Headroom | None

    def to_json(self) -> dict[str, Any]:
        """Returns what `snnkd inspect --json` prints, without the file."""
        told = self.description.to_json()
        return told if self.headroom is None else {**told, "headroom": self.headroom.to_json()}

    def __repr__(self) -> str:
        return self.description.text()

    def _repr_html_(self) -> str:
        return self.description.html()


def inspect(net: IntNet | str | Path, spikes: np.ndarray | None = None) -> Inspection:
    """Describes a network, layer by layer; with events as of `simulate` also how near it comes to the limits of its
    number formats on them."""
    from snnkd.analysis import headroom

    network = _network(net)
    return Inspection(describe.network(network), None if spikes is None else headroom.measure(network, spikes))


def _network(net: IntNet | str | Path) -> IntNet:
    """The network itself, or that of a file or of a run. Raises SnnkdError for what is none."""
    if isinstance(net, IntNet):
        return net
    from snnkd.runs.subject import opened

    return opened(net).net


def _recipe(recipe: str | Path | Recipe) -> Recipe:
    from snnkd import recipe as recipes

    return recipe if isinstance(recipe, recipes.Recipe) else recipes.load(recipe)


def _started(recipe: str | Path | Recipe, options: TrainingOptions | None) -> Context:
    from snnkd.training.tuning import load_torch

    load_torch()  # with the threads that a training wants
    with progress.doing("loading what trains"):
        from snnkd.report import notebook
        from snnkd.runs import pipeline
        from snnkd.runs.pipeline import TrainingOptions
        from snnkd.training.chain import pick_device

    options = options or TrainingOptions()
    if options.on_batch is TrainingOptions.on_batch and notebook.is_open():
        bars = notebook.Bars()
        options = replace(options, on_batch=bars.on_batch, on_epoch=bars.on_epoch)
    pick_device(options.device)  # this and a missing lava-dl are refused before there is a run folder
    return pipeline.start(_recipe(recipe), options)


def _check_engine(name: str) -> None:
    """Raises LimitError, before anything is trained, where the recipe's target cannot be run here."""
    engine = targets.load(name).engine
    reason = engines.get(engine).available() if engine else "no engine runs it"
    if reason:
        raise LimitError(
            f"target.name '{name}' cannot be run here ({reason}): choose another one, see `snnkd targets`, or use "
            "`snnkd train`, which runs nothing on the target"
        )
