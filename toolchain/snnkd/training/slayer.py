"""lava-dl's SLAYER: `block`, `neuron` and `loss`. The only module of the training that imports lava-dl.

Whoever needs SLAYER imports this; where lava-dl is missing, that raises LimitError.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator

from snnkd.errors import LimitError

__all__ = ["block", "loss", "neuron"]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leaves out what an import says: lava-dl prints about an optional package, and torch's loader of extensions logs
    about CUDA; neither is for users."""
    logger = logging.getLogger("torch.utils.cpp_extension")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(before)


try:
    with _quiet():
        from lava.lib.dl.slayer import block, loss, neuron
except ImportError as error:
    raise LimitError(
        f"training needs lava-dl 0.6.0, which runs on Python 3.10 only ({error}): run it with `uv run`, or install "
        "'lava-nc==0.10.0' and 'lava-dl==0.6.0' into a Python 3.10 environment"
    ) from error
