"""SLAYER's CUBA blocks and neuron: lava-dl's where it is installed, else `containers`, which train to the same bits.

The only module of the training that imports lava-dl.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator

__all__ = ["AFFINE", "SCALE_RHO_MULT", "TAU_RHO_MULT", "Conv", "Dense", "Flatten", "Neuron"]


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
        from lava.lib.dl.slayer.block.cuba import Affine, Conv, Dense, Flatten
        from lava.lib.dl.slayer.neuron.cuba import SCALE_RHO_MULT, TAU_RHO_MULT, Neuron
    AFFINE: tuple[type, ...] = (Affine,)  # the blocks that never fire; only lava-dl has such
except ImportError:  # also where what it imports is missing, as with `pip install --no-deps`
    from snnkd.training.containers import SCALE_RHO_MULT, TAU_RHO_MULT, Conv, Dense, Flatten, Neuron

    AFFINE = ()
