"""What the graphs cannot compute; needs no ONNX."""

from __future__ import annotations

from snnkd.ir.network import IntNet, largest_sum

_SUM = 1 << 62  # half of what 64 bits hold, so that what is added to a sum fits too


def refusal(net: IntNet) -> str | None:
    """Says which layer of `net` the graphs cannot compute: neurons that they do not know, sums that could leave 64 bits;
    None where there is none."""
    largest_event = net.largest_event
    for name, layer in zip(net.names, net.layers, strict=True):
        if layer.neuron.kind != "cuba":
            return f"{name}: ONNX graphs are made of CUBA neurons only, these are of the kind '{layer.neuron.kind}'"
        bound = 0 if layer.kind == "input" else largest_sum(layer, largest_event)
        if bound >= _SUM:
            return f"{name}: sums of up to {bound} do not fit the 64 bits of ONNX; use fewer message_bits"
        largest_event = 1
    return None
