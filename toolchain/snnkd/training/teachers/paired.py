"""A teacher of frames for a student of events: it is asked about the frames that belong to the recordings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from snnkd.data.pairing import Pairs
from snnkd.recipe.tables import MapKind
from snnkd.training.teachers.spiking import Teacher


class PairedTeacher(Teacher):
    """A teacher of `pairs.frames`, asked by the recordings that they belong to. Frames are as they are, whatever
    becomes of the recording in a variant."""

    def __init__(self, teacher: Teacher, pairs: Pairs):
        self._teacher, self._pairs = teacher, pairs

    def sat(self, indices: np.ndarray, variant: int) -> torch.Tensor:
        """Looks up the activation tensor (T, classes, B) float32 of the frames of recordings `indices` (B,)."""
        return self._teacher.sat(self._pairs.of(indices, variant), 0)

    def features(
        self, indices: np.ndarray, variant: int, layers: Sequence[str], maps: MapKind
    ) -> dict[str, torch.Tensor]:
        """Computes what its hidden layers do on the frames of recordings `indices` (N,); see the teacher's own."""
        return self._teacher.features(self._pairs.of(indices, variant), 0, layers, maps)
