"""The hand-off: one zip with a network as C, ONNX and `.net`, golden spikes, and all that proves them equal."""

from snnkd.handoff.bundle import make, verify
from snnkd.handoff.evidence import Evidence

__all__ = ["Evidence", "make", "verify"]
