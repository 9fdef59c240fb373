"""answers.csv of a run: of each test image the class that it has, and the one that the student gives."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snnkd.base.errors import FormatError
from snnkd.base.files import read_bytes
from snnkd.runs.results import ClassResult

NAME = "answers.csv"
_HEAD = "image,label,answer"


@dataclass(frozen=True, eq=False)
class Answers:
    """labels, answers: (N,) int64, classes of the test images in the data set's order."""

    labels: np.ndarray
    answers: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """Tells which images were recognized, (N,) bool."""
        return self.labels == self.answers

    def confusion(self, classes: int) -> np.ndarray:
        """Counts how many images of each class got each class, (classes, classes) int64: a row for each true one."""
        counts = np.zeros((classes, classes), np.int64)
        np.add.at(counts, (self.labels, self.answers), 1)
        return counts

    def by_class(self, names: tuple[str, ...]) -> list[ClassResult]:
        """Returns how well each class is recognized."""
        counts = self.confusion(len(names))
        images, right = counts.sum(axis=1).tolist(), np.diag(counts).tolist()
        return [
            ClassResult(name, total, known / total if total else None)
            for name, total, known in zip(names, images, right, strict=True)
        ]

    def to_csv(self) -> str:
        """Writes the file: a row for each image, numbered from 0."""
        rows = zip(self.labels.tolist(), self.answers.tolist(), strict=True)
        return "\n".join([_HEAD, *(f"{image},{label},{answer}" for image, (label, answer) in enumerate(rows)), ""])


def read(folder: Path) -> Answers | None:
    """Reads the file in a run folder; None where there is none. Raises FormatError for a damaged one."""
    path = folder / NAME
    if not path.exists():
        return None
    try:
        head, _, rows = read_bytes(path).decode("ascii").partition("\n")
        table = np.loadtxt(io.StringIO(rows), np.int64, delimiter=",", ndmin=2) if rows else np.zeros((0, 3), np.int64)
        if head != _HEAD or table.shape[1] != 3:
            raise ValueError(f"expected columns {_HEAD}")
    except ValueError as error:
        raise FormatError(f"{path}: {error}") from error
    return Answers(table[:, 1], table[:, 2])
