"""Download of the public data sets, by torchvision."""

from __future__ import annotations

import contextlib
import http.client
import sys
from pathlib import Path

from snnkd.base import packages
from snnkd.base.errors import DataError


def download(name: str, class_name: str, root: Path) -> None:
    """Fetches torchvision.datasets.`class_name` into `root`.

    Raises LimitError where torchvision is missing, DataError where the download does not work.
    """
    packages.require(f"download of {name}", "torchvision")
    from torchvision import datasets

    try:
        root.mkdir(parents=True, exist_ok=True)
        # torchvision prints; our stdout belongs to --json.
        with contextlib.redirect_stdout(sys.stderr):
            getattr(datasets, class_name)(str(root), train=True, download=True)
    except (OSError, RuntimeError, EOFError, http.client.HTTPException) as error:
        raise DataError(
            f"{name}: cannot be downloaded to {root.absolute()}: {error}; check the network, or copy the files there"
        ) from error
