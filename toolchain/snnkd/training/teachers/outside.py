"""Teachers from outside: anybody's model, or the logits of one, as what a student imitates.

The protocol (docs/teachers.md): images or events in, logits or an activation tensor out.

    model(x) -> y              x: (N, C, H, W) images in [0, 1], or (T, N, C, H, W) events; float32
    model(x, state) -> y, state    with by_step: once a step, x (N, C, H, W), state None at first
    y: logits (N, classes), or an activation tensor (T, N, classes); (N, classes) of one step with by_step
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from warnings import warn

import numpy as np
import torch

from snnkd.base.errors import FormatError, MismatchError, Note, SnnkdWarning
from snnkd.data.datasets import DataSet
from snnkd.data.logits import Logits, read_logits
from snnkd.engines.onnx.classifier import Classifier
from snnkd.recipe.outside import ModelName
from snnkd.recipe.tables import Stage
from snnkd.training.feed import Feed
from snnkd.training.group import ALONE, Group
from snnkd.training.teachers.code import described, load_module, raised
from snnkd.training.teachers.models import Features, Model, OnnxModel, TorchModel
from snnkd.training.teachers.spiking import Teacher
from snnkd.training.tuning import torch_threads

_BLOCK = 256  # images that a model gets at a time
_LUMINANCE = (0.299, 0.587, 0.114)  # Rec. 601, of red, green and blue
_TINY = 1e-12  # a probability of 0, before its logarithm is taken


@dataclass(frozen=True, eq=False)
class Outside:
    """The teacher of a stage from outside: its answers, checked. name: what messages call it.

    classes: of the data set. model: None where only its `logits` are there.
    """

    name: str
    stage: Stage
    classes: int
    model: Model | None = None
    logits: Logits | None = None

    @property
    def parameters(self) -> int | None:
        """Returns how many numbers its model has, None where only logits are known."""
        return None if self.model is None else self.model.parameters

    def answers(self, feed: Feed, variant: int = 0) -> torch.Tensor:
        """Answers all training images of `feed` in a variant, on the feed's device: logits (N, classes), or an
        activation tensor (T, N, classes); float32.

        A model that draws random numbers from torch draws the same ones each time. Raises FormatError that names the
        teacher, what came back and what was expected.
        """
        if self.logits is not None:
            return torch.from_numpy(self.logits.train[feed.split.places]).to(feed.device)
        devices = [feed.device] if feed.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(variant)
            blocks = [self.ask(feed, indices, variant)[0] for indices in feed.blocks(_BLOCK)]
        whole = torch.cat(blocks, dim=-2)
        return whole.clamp_min(_TINY).log() if are_probabilities(whole) else whole

    def accuracy(self, test: Feed) -> float:
        """Computes the fraction of the test images that it gets right."""
        if self.logits is not None:
            return _right(torch.from_numpy(self.logits.test[test.split.places]), test)
        return _right(self.answers(test), test)

    @torch.no_grad()
    def ask(
        self, feed: Feed, indices: np.ndarray, variant: int = 0, layers: Sequence[str] = ()
    ) -> tuple[torch.Tensor, Features]:
        """Asks the model about the images `indices` in a variant, once: its answer, and the outputs of `layers`.

        Of a layer of torch, a name of `named_modules`; of ONNX, a value of the graph: (B, ...), or (T, B, ...) where it
        is called at each step or puts out all of them. Raises FormatError as `answers`.
        """
        if self.model is None:
            raise FormatError(f"{self.name}: logits have no layers; features need the model itself")
        inputs = self._inputs(feed, indices, variant)
        what = f"{self.name}: given {'events' if self.stage.reads == 'events' else 'images'} {tuple(inputs.shape)}"
        try:
            answer, features = self.model(inputs, layers)
        except FormatError as error:
            raise FormatError(f"{self.name}: {error}") from error
        except Exception as error:  # of somebody else's code
            raise FormatError(f"{what}, it fails: {raised(error)}") from error
        self._check(what, answer, len(indices), feed.encoding.steps)
        for name, value in features.items():
            if not torch.isfinite(value).all():
                raise FormatError(f"{what}, its layer '{name}' gives {described(value)} with NaN or infinite values")
        return answer.float(), {name: value.float() for name, value in features.items()}

    def _inputs(self, feed: Feed, indices: np.ndarray, variant: int) -> torch.Tensor:
        if self.stage.reads == "events":
            events = np.ascontiguousarray(feed.events(indices, variant).swapaxes(0, 1), np.float32)
            return torch.from_numpy(events).to(feed.device)
        images = prepared(feed.pixels(indices, variant), self.stage, self.name)
        return images.expand(feed.encoding.steps, *images.shape) if self.stage.by_step else images

    def _check(self, what: str, answer: Any, images: int, steps: int) -> None:
        logits, sat = (images, self.classes), (steps, images, self.classes)
        shapes = [sat] if self.stage.by_step else [logits, sat]
        expected = f"an activation tensor {sat} = (steps, images, classes)"
        if not self.stage.by_step:
            expected = f"logits {logits} = (images, classes) or {expected}"
        if not isinstance(answer, torch.Tensor) or tuple(answer.shape) not in shapes:
            advice = _advice(answer, images, self.classes, steps)
            raise FormatError(f"{what}, it gives {described(answer)}; expected {expected}{advice}")
        if answer.dtype.is_complex:
            raise FormatError(f"{what}, it gives {described(answer)}; expected real numbers")
        if not torch.isfinite(answer).all():
            count = int((~torch.isfinite(answer)).sum())
            raise FormatError(
                f"{what}, it gives {described(answer)} with {count} NaN or infinite values of {answer.numel()}; do its "
                "weights belong to it, and does it read images in [0, 1]?"
            )


class OutsideTeacher(Teacher):
    """A teacher from outside on the training images of `feed`. Logits are spread over the steps, logits / T at each, so
    that all steps sum to them; an activation tensor is taken as it is.

    The answers to all images in a variant are computed when the first of them is needed, on `threads` threads of torch
    in one process of the `group`, and kept.
    """

    def __init__(self, outside: Outside, feed: Feed, threads: int = 1, group: Group = ALONE):
        self._outside, self._feed, self._threads, self._group = outside, feed, threads, group
        self._answers: dict[int, torch.Tensor] = {}

    def sat(self, indices: np.ndarray, variant: int) -> torch.Tensor:
        """Looks up the activation tensor (T, classes, B) float32 of the images `indices` (B,) in a variant."""
        if variant not in self._answers:
            with torch_threads(self._threads):
                answers = self._group.led(lambda: self._outside.answers(self._feed, variant).cpu())
            self._answers[variant] = answers.to(self._feed.device)
        picked = self._answers[variant].index_select(-2, self._feed.on_device(indices)).transpose(-2, -1)
        steps = self._feed.encoding.steps
        return picked if picked.ndim == 3 else (picked / steps).expand(steps, -1, -1)

    def features(self, indices: np.ndarray, variant: int, layers: Sequence[str], maps: str = "spikes") -> Features:
        """Computes what its layers of these names put out for the images `indices` (B,) in a variant, in eval mode:
        (B, C) or (B, C, H, W), or steps in front of these; with maps 'rate' the mean over the steps, if there are any.

        Nothing is kept: maps are many times as large as images. Raises FormatError as `Outside.ask`, and for maps
        'membrane'.
        """
        if maps == "membrane":
            raise FormatError(
                f"{self._outside.name}: its membrane potentials are not known; use maps = 'rate', or name layers that "
                "put them out"
            )
        with torch_threads(self._threads):
            found = self._group.led(lambda: self._asked(indices, variant, layers))
        of_steps = {name for name, value in found.items() if maps == "rate" and value.ndim in (3, 5)}
        on_device = {name: value.to(self._feed.device) for name, value in found.items()}
        return {name: value.mean(dim=0) if name in of_steps else value for name, value in on_device.items()}

    def _asked(self, indices: np.ndarray, variant: int, layers: Sequence[str]) -> Features:
        features = self._outside.ask(self._feed, indices, variant, layers)[1]
        return {name: value.cpu() for name, value in features.items()}


@lru_cache(maxsize=2)
def opened(name: str, stage: Stage, data: DataSet) -> Outside:
    """Opens the teacher of the resolved stage `name`, once for all who ask: this runs the code that its `model` names.

    Raises FormatError that names the teacher and what is wrong with its code, its weights or its logits.
    """
    what, classes = f"chain.{name} ({stage.title})", len(data.classes)
    try:
        if stage.logits is not None:
            return Outside(what, stage, classes, logits=read_logits(Path(stage.logits), data))
        model = ModelName.parse(stage.model or "")
        assert model is not None, "checked by `outside.misfits`"
        if model.is_onnx:
            return Outside(what, stage, classes, OnnxModel(Classifier(Path(model.where))))
        module = load_module(model, Path(stage.weights) if stage.weights else None)
        return Outside(what, stage, classes, TorchModel(module, stage.by_step))
    except FormatError as error:
        raise FormatError(f"{what}: {error}") from error


def check(outside: Outside, feed: Feed) -> bool:
    """Asks the teacher about the few images of `feed`; warns where it seems to answer something else. Tells whether it
    gives logits. Raises FormatError as `Outside.answers`."""
    answers = outside.answers(feed)
    right, chance = _right(answers, feed), 1 / outside.classes
    if outside.model is not None and are_probabilities(outside.ask(feed, np.arange(len(feed)))[0]):
        warn(f"{outside.name}: it gives probabilities; their logarithms are taken as logits", Note, stacklevel=2)
    if right < chance + 0.1 * (1 - chance):
        warn(
            f"{outside.name}: it gets {right:.0%} of the first {len(feed)} training images right, hardly more than "
            "chance: are its classes in the order of the set, does it read these images as it was trained (channels, "
            "size, normalize), and are these its trained weights?",
            SnnkdWarning,
            stacklevel=2,
        )
    return answers.ndim == 2


def are_probabilities(answers: torch.Tensor) -> bool:
    """Tells whether answers (N, classes) are probabilities instead of logits: none below 0, and all rows sum to 1."""
    return answers.ndim == 2 and bool((answers >= 0).all()) and bool(((answers.sum(dim=1) - 1).abs() < 1e-3).all())


def prepared(pixels: torch.Tensor, stage: Stage, name: str) -> torch.Tensor:
    """Makes of uint8 images (B, C, H, W) what a model reads: float32 in [0, 1], in `channels`, scaled to `size` and
    normalized, as the stage says.

    Grey becomes colour by repetition, colour grey by Rec. 601's luminance; scaling is bilinear with antialiasing.
    """
    images = pixels.to(torch.float32, memory_format=torch.contiguous_format) / 255
    if stage.channels == 3 and images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    elif stage.channels == 1 and images.shape[1] == 3:
        images = (images * images.new_tensor(_LUMINANCE).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    if stage.channels not in (None, images.shape[1]):
        raise MismatchError(f"{name}: channels = {stage.channels}: images of {images.shape[1]} channels have none such")
    if stage.size is not None:
        images = torch.nn.functional.interpolate(images, stage.size, mode="bilinear", antialias=True)
    if stage.normalize is not None:
        for field in ("mean", "std"):
            values = images.new_tensor(getattr(stage.normalize, field))
            if len(values) not in (1, images.shape[1]):
                raise MismatchError(
                    f"{name}: normalize.{field}: expected one number or {images.shape[1]}, one for each channel, found "
                    f"{len(values)}"
                )
            images = images - values.view(1, -1, 1, 1) if field == "mean" else images / values.view(1, -1, 1, 1)
    return images


def _right(answers: torch.Tensor, feed: Feed) -> float:
    """The fraction of a feed's images that get their label."""
    logits = answers if answers.ndim == 2 else answers.sum(dim=0)
    right = logits.argmax(dim=1).cpu().numpy() == feed.split.labels
    return float(right.mean()) if len(feed) else 0.0


def _advice(answer: Any, images: int, classes: int, steps: int) -> str:
    """What to do about an answer of another form, as far as that shows."""
    if isinstance(answer, tuple | list):
        return "; return the first of them alone, or set by_step = true for a module that takes and returns a state"
    if not isinstance(answer, torch.Tensor):
        return ""
    shape = tuple(answer.shape)
    if shape in ((images, steps, classes), (images, classes, steps)):
        return "; put time first: y.transpose(0, 1), or y.movedim(-1, 0)"
    if len(shape) == 3 and shape[1:] == (images, classes):
        return f"; it has {shape[0]} steps: set encoding.steps, or return their sum, y.sum(0), as logits"
    if shape and shape[-1] != classes:
        return f"; the data set has {classes} classes"
    return ""
