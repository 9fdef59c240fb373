"""What a command works on: RUN or FILE (.net, .nir) becomes a network, and the samples that it is run on, in this one
place.

What only a run or only random events need is imported when it is needed: a command on a FILE.net starts quickly.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from snnkd import formats
from snnkd.base import progress
from snnkd.base.errors import FormatError, LimitError, MismatchError, SnnkdWarning, closest
from snnkd.data.encoding import Encoder, from_json
from snnkd.data.samples import Samples, given
from snnkd.ir.event_encoding import EventEncoding
from snnkd.ir.network import IntNet, Shape
from snnkd.ir.readout import READOUTS

if TYPE_CHECKING:
    from snnkd.data.datasets import DataSet
    from snnkd.ir.partial_trace import PartialTrace
    from snnkd.recipe import Recipe
    from snnkd.runs.folder import Run

RANDOM_SAMPLES = 16  # of a file that comes without events


@dataclass(eq=False)
class Subject:
    """A network, its file, and the run that it is from, None for a file alone.

    name: as the user named it, or the run's folder. data_root: where data sets are, that of the training where None.
    """

    net: IntNet
    path: Path
    name: str
    run: Run | None = None
    data_root: Path | None = None

    @property
    def short_name(self) -> str:
        """The name of the run, or of the file without its suffix."""
        return self.run.folder.name if self.run is not None else self.path.stem

    @property
    def inputs(self) -> list[Path]:
        """Files that no command may overwrite which works on this."""
        return [self.path] if self.run is None else self.run.inputs

    @cached_property
    def data_set(self) -> DataSet:
        """The data set of the run, read once. Raises MismatchError where it is not the one that was trained on."""
        assert self.run is not None, "a file has no data set"
        return trained_on(self.run, self.data_root)

    def samples(self, count: int | None, events: Path | None = None, labels: Path | None = None) -> Samples:
        """Returns what to run the network on: `events` of a file, the first `count` test images of a run, all for
        None, or for a file alone so many random samples.

        labels: classes of `events`. Raises FormatError for arrays that do not fit, LimitError for labels alone.
        """
        if labels is not None and events is None:
            raise LimitError("--labels: are the classes of --input, which is missing")
        if events is not None:
            return given(self.net, events, labels)
        if self.run is None:
            from snnkd.analysis import evaluation

            random, words = evaluation.random_input(self.net, count or RANDOM_SAMPLES)
            return Samples(words, random)
        test, encoder = self.data_set.test, self.run.recipe.encoder()
        images = test.images[:count]
        words = f"{self.data_set.name}, first {len(images)} of {len(test)} test images"
        return Samples(words, images=images, encoder=encoder, labels=test.labels[:count])

    def of_set(self, name: str | Path, count: int | None = None) -> Samples:
        """Returns the first `count` test images or recordings, all for None, of a data set, by its name or path, for
        the network of a file, whose encoding makes events of them.

        Raises LimitError where the file has no encoding or reads other ones.
        """
        from snnkd.data import datasets

        if self.net.encoding is None:
            raise LimitError(f"{self.name}: does not say how images become its events; give --input and --labels")
        encoder = from_json(self.net.encoding)
        recorded = encoder if isinstance(encoder, EventEncoding) else None
        data_set = datasets.load(str(name), root=self.data_root, sensor=None if recorded is None else recorded.sensor)
        shape = data_set.shape if recorded is None else recorded.shape
        if shape != self.net.input_shape or (recorded is not None and data_set.shape[1:] != recorded.sensor):
            raise LimitError(
                f"--data {name}: its images are {data_set.shape}, {self.name} reads {self.net.input_shape}"
            )
        images, labels = data_set.test.images[:count], data_set.test.labels[:count]
        words = f"{data_set.name}, first {len(images)} of {len(data_set.test)} test images"
        return Samples(words, images=images, encoder=encoder, labels=labels)

    def recorded_input(self, trace: PartialTrace, events: Path | None = None) -> Samples:
        """Returns what went into a recording: its own `input`, the `events` of a file, which must be the same where
        both are, or the first test images of a run. Raises FormatError where none of these is known, MismatchError
        where two differ."""
        if events is None and trace.input is not None:
            return Samples(f"the input in {trace.name}", trace.input)
        if events is None and self.run is None:
            raise FormatError(f"{trace.name}: has no array input: give the events that went in with --input")
        samples = self.samples(trace.samples, events)
        if events is not None and trace.input is not None and not np.array_equal(samples.events(), trace.input):
            raise MismatchError(f"{events}: not the input that {trace.name} holds; leave out --input, or the array")
        return samples


def opened(
    name: str | Path | None,
    runs: Path = Path("runs"),
    data_root: Path | None = None,
    input_shape: Shape | None = None,
    readout: str | None = None,
) -> Subject:
    """Opens a run (its folder or name; None for the newest finished one in `runs`) or a network file.

    input_shape: of a file that does not tell it. readout: how classes are read, instead of what the file says. Raises
    SnnkdError where there is no such run, FormatError for a file that cannot be read, LimitError for another readout.
    """
    if readout is not None and readout not in READOUTS:
        raise LimitError(f"--readout {readout}: not a readout{closest(readout, READOUTS)}")
    if is_file(name):
        path, run = Path(str(name)), None
    else:
        from snnkd.runs.folder import find

        run = find(name, runs)
        path = run.student
    net = formats.load(path, input_shape)
    if readout not in (None, net.readout.name):
        if net.early_exit is not None:
            warnings.warn(
                f"{path}: its rule for early exit is left out: it counts what readout '{net.readout.name}' reads",
                SnnkdWarning,
                stacklevel=2,
            )
        net = net.read_by(readout)
    return Subject(net, path, str(name) if run is None else str(run.folder), run, data_root)


def encoder_of(name: str, runs: Path = Path("runs")) -> tuple[Encoder, Shape]:
    """Returns the encoder of a recipe, a run or a network file, and the shape of the input.

    Raises FormatError for a file that does not say how its events are made, SnnkdError where there is nothing of that
    name.
    """
    from snnkd import recipe as recipes

    if is_file(name) and not name.endswith(".toml"):
        net = formats.load(Path(name))
        if net.encoding is None:
            raise FormatError(f"{name}: does not say how its events are made; name the recipe instead")
        encoder = from_json(net.encoding)
        if isinstance(encoder, EventEncoding) and encoder.shape != net.input_shape:
            raise FormatError(f"{name}: its encoding makes {encoder.shape}, its network reads {net.input_shape}")
        return encoder, net.input_shape
    if name.endswith(".toml") or name in recipes.names():
        recipe = recipes.load(name)
    else:
        from snnkd.runs.folder import find

        recipe = find(name, runs).recipe
    return recipe.encoder(), recipe.images[0]


def network_file(path: Path, runs: Path = Path("runs")) -> Path:
    """Returns `path`, the network file that a command reads which takes no run.

    Raises FormatError that names the network in it where `path` is a run folder, or the name of one in `runs`.
    """
    for folder in (path, runs / path):
        if (folder / "recipe.toml").is_file():
            raise FormatError(
                f"{path}: is a run, and this command takes a file: its network is {folder / 'student.net'}"
            )
    return path


def is_file(name: str | Path | None) -> bool:
    """Tells whether an argument RUN|FILE means a file."""
    return name is not None and (formats.is_network(name) or Path(name).is_file())


def trained_on(run: Run, data_root: Path | None) -> DataSet:
    """Reads the data set of a run. Raises MismatchError where it is not the one that the run was trained on."""
    recorded = run.provenance
    data_set = read_data(run.recipe, data_root or recorded.get("data_root"))
    if data_set.digest != recorded["data"]:
        raise MismatchError(
            f"{run.recipe.data.set}: not the data that {run.folder} was trained on; say where those are with "
            "--data-root"
        )
    return data_set


def read_frames(recipe: Recipe, root: str | Path | None, download: bool = False) -> dict[str, DataSet]:
    """Reads the images of stages that learn from others than the recipe's `data`, by their names. Raises DataError as
    `datasets.load` does."""
    from snnkd.data import datasets

    frames, folder = {}, Path(root) if root else None
    for name, stage in recipe.chain.items():
        if stage.data is not None:
            progress.say(f"reading the data set {stage.data.set}")
            table, seed = stage.data, recipe.seed if stage.data.seed is None else stage.data.seed
            how = {"validation": table.validation, "seed": seed, "download": download}
            frames[name] = datasets.load(table.set, root=folder, **how)
    return frames


def read_data(recipe: Recipe, root: str | Path | None, download: bool = False) -> DataSet:
    """Reads the data set of a recipe. Raises DataError as `datasets.load` does."""
    from snnkd.data import datasets

    table = recipe.data
    progress.say(f"reading the data set {table.set}")
    folder, encoder = Path(root) if root else None, recipe.encoder()
    return datasets.load(
        table.set,
        root=folder,
        validation=table.validation,
        seed=recipe.seed,
        download=download,
        sensor=encoder.sensor if isinstance(encoder, EventEncoding) else None,
        skip_damaged=table.skip_damaged,
    )
