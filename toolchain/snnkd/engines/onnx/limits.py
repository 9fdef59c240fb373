"""What the graphs cannot compute; needs no ONNX."""

from __future__ import annotations

from snnkd.ir.network import IntNet, largest_sum

_SUM = 1 << 62  # half of what 64 bits hold, so that what is added to a sum fits too


def refusal(net: IntNet) -> str | None:
    """Says which layer of `net` has sums that could leave the 64 bits in which graphs compute; None where none has."""
    for name, layer, largest_event in zip(net.names, net.layers, net.largest_events, strict=True):
        bound = 0 if layer.kind == "input" else largest_sum(layer, largest_event)
        if bound >= _SUM:
            return f"{name}: sums of up to {bound} do not fit the 64 bits of ONNX; use fewer message_bits"
    return None
