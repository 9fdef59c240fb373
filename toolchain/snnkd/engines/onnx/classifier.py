"""Anybody's ONNX classifier: which of its inputs and outputs are the images and the classes, run in blocks."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from snnkd.base import recognition
from snnkd.base.errors import FormatError, LimitError, closest
from snnkd.engines.onnx.session import available, open_session

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}


class Classifier:
    """The model of an ONNX file with one input of floats, (N, ...), and its first output of floats with two axes or
    more.

    A file whose first axis has a fixed size is run so many samples at a time. An input (N, features) gets flat samples.
    """

    def __init__(self, path: Path):
        """Opens the file. Raises LimitError without onnxruntime, FormatError that says what about the file is wrong."""
        if reason := available():
            raise LimitError(f"{path}: {reason}")
        self._path = path
        try:
            self._session = open_session(str(path))
        except LimitError as error:
            raise FormatError(f"{path}: {recognition.sentence(path, 'onnx') or error}") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or inputs[0].type not in _TYPES:
            found = ", ".join(f"{value.name}: {value.type}" for value in inputs) or "none"
            raise FormatError(f"{path}: expected one input, of floats, found {found}")
        floats = [value.name for value in outputs if value.type in _TYPES and len(value.shape or ()) != 1]
        if not floats:
            found = ", ".join(f"{value.name}: {value.type} {value.shape}" for value in outputs)
            raise FormatError(f"{path}: expected an output of floats (N, classes), found {found}")
        self._input, self._output = inputs[0], floats[0]
        self._sessions: dict[tuple[str, ...], InferenceSession] = {}

    def parameters(self) -> int:
        """Counts the numbers of its initializers, weights and constants alike, without reading external data."""
        import onnx

        model = onnx.load(str(self._path), load_external_data=False)
        return sum(prod(value.dims) for value in model.graph.initializer)

    def __call__(self, samples: np.ndarray, names: Sequence[str] = ()) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Runs samples (N, ...) float32: its output, (N, ...), and by name those intermediate values of the graph.

        Raises FormatError where the samples do not fit its input, where a name is no value of its graph, and with
        onnxruntime's words where it fails.
        """
        wanted, session = [self._output, *names], self._session_with(tuple(names))
        batches = []
        for part in self._parts(samples):
            try:
                batches.append(session.run(wanted, {self._input.name: part}))
            except Exception as error:  # its errors have no common type
                raise FormatError(f"{self._path}: onnxruntime fails on samples {part.shape}: {error}") from error
        first, *others = (np.concatenate([np.asarray(batch[i]) for batch in batches]) for i in range(len(wanted)))
        kept = slice(len(samples))  # without what filled the last batch
        return first[kept], {name: value[kept] for name, value in zip(names, others, strict=True)}

    def _parts(self, samples: np.ndarray) -> list[np.ndarray]:
        batch, *shape = self._input.shape
        if len(shape) == 1 and samples.ndim > 2:
            samples = samples.reshape(len(samples), -1)
        fits = all(
            want == have or not isinstance(want, int) for have, want in zip(samples.shape[1:], shape, strict=False)
        )
        if samples.ndim != len(shape) + 1 or not fits:
            raise FormatError(
                f"{self._path}: its input '{self._input.name}' is {tuple(self._input.shape)}, and it would get "
                f"{('N', *samples.shape[1:])}; set channels or size, or put a layer in front that changes it"
            )
        samples = np.ascontiguousarray(samples, _TYPES[self._input.type])
        if not isinstance(batch, int) or batch < 1:
            return [samples]
        missing = -len(samples) % batch
        samples = np.concatenate([samples, np.repeat(samples[-1:], missing, axis=0)])
        return np.split(samples, len(samples) // batch)

    def _session_with(self, names: tuple[str, ...]) -> InferenceSession:
        """The session of the same graph in which the values called `names` are outputs too."""
        if not names:
            return self._session
        if names not in self._sessions:
            import onnx

            model = onnx.load(str(self._path))
            known = {output for node in model.graph.node for output in node.output}
            for name in names:
                if name not in known:
                    raise FormatError(f"{self._path}: no value of its graph is called '{name}'{closest(name, known)}")
            outputs = {output.name for output in model.graph.output}
            model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in outputs)
            self._sessions[names] = open_session(model.SerializeToString())
        return self._sessions[names]
