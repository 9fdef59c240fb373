"""Takes over stages that another run has trained already: the key in their checkpoint tells."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

from snnkd.base.errors import FormatError, SnnkdWarning
from snnkd.base.files import atomic
from snnkd.training.loop import checkpoint


def take_over(path: Path, key: str, epochs: int, runs: Path) -> Path | None:
    """Copies a finished checkpoint of the same stage, from the first run that has one.

    path: where it is to be; its file name is looked for. key, epochs: those that it must have. runs: the folder of the
    run folders. Returns the run folder that it is from, None where there is none. A damaged one is passed over with a
    warning; of files with another key only the headers are read.
    """
    for candidate in sorted(runs.glob(f"*/checkpoints/{path.name}")):
        progress = checkpoint.peek(candidate)
        if progress is not None and progress.key == key and progress.epoch == epochs:
            try:
                checkpoint.check(candidate)
            except FormatError as error:
                warnings.warn(f"--reuse passes over it: {error}", SnnkdWarning, stacklevel=2)
                continue
            with atomic(path) as temporary:
                shutil.copyfile(candidate, temporary)
            return candidate.parent.parent
    return None
