"""Stages that another run has trained already: found by the key in their checkpoint, and copied."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

from snnkd.errors import FormatError, SnnkdWarning
from snnkd.files import atomic
from snnkd.training import checkpoint


def take_over(path: Path, key: str, epochs: int, runs: Path) -> Path | None:
    """Copies to `path` a checkpoint of the same name, key and all `epochs` from one of the run folders in `runs`.

    Returns the folder of the run that it is from, None where there is none; a damaged one is passed over with a
    warning. Of files with another key only the headers are read.
    """
    for found in sorted(runs.glob(f"*/checkpoints/{path.name}")):
        progress = checkpoint.peek(found)
        if progress is not None and progress.key == key and progress.epoch == epochs:
            try:
                checkpoint.check(found)
            except FormatError as error:
                warnings.warn(f"--reuse passes over it: {error}", SnnkdWarning, stacklevel=2)
                continue
            with atomic(path) as temporary:
                shutil.copyfile(found, temporary)
            return found.parent.parent
    return None
