"""The bundle: one zip with a network as C, ONNX and `.net`, golden spikes, and all that proves them equal."""

from snnkd.bundle.pack import Handoff, Proof, make, pack, verify

__all__ = ["Handoff", "Proof", "make", "pack", "verify"]
