"""The one door to onnxruntime: sessions on the CPU, of a network that snnkd wrote or of anybody's file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snnkd.base import packages
from snnkd.base.errors import LimitError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def available() -> str | None:
    """Says that onnxruntime is missing and what to do, None where it is installed."""
    return packages.missing("onnxruntime")


def open_session(model: bytes | str, threads: int = 0) -> InferenceSession:
    """Opens an ONNX model, the bytes of a file or its path (for one whose weights are in files beside it).

    threads: of each operator, 0 for all cores. Raises LimitError where onnxruntime refuses it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common type
        raise LimitError(f"onnxruntime refuses the model: {error}") from error
