"""Layers and neurons of lava-dl that no engine here runs: each with the reason, and with what to train instead."""

from __future__ import annotations

from collections.abc import Sequence

from snnkd.formats.hdf5.groups import Group

LAYERS = {
    "pool": "NetX cannot load pooling; train with a strided convolution",
    "convT": "NetX cannot load transposed convolutions; train with convolutions and dense layers",
    "unpool": "NetX cannot load unpooling; train with convolutions of stride 1 and a dense readout",
    "concat": "NetX cannot load concatenations; train one chain of layers, with more channels",
    "kwta": "NetX cannot load winner-take-all layers; train a dense layer, and take the class with the most spikes",
    "average": "only behind the last layer, where it is the readout, since NetX cannot load it; leave this one out",
    "dense_rec": "recurrent layers are not supported, since NetX loads their synapses with wrong sizes and delays; "
    "train dense layers, with delays where time matters",
    "conv_rec": "recurrent layers are not supported; train convolutions",
    "dense_comp": "complex-valued layers are not supported; train real ones, slayer.block.cuba",
}
_CUBA = "train slayer.block.cuba instead"
NEURONS = {
    "ALIF": f"adaptive neurons are not supported, since NetX cannot load them; {_CUBA}, with a higher threshold or a "
    "penalty on rates where they fire too often",
    "ADRF_PHASE": f"adaptive resonate-and-fire neurons are not supported; {_CUBA}",
    "ADRF_IZHIKEVICH": f"adaptive resonate-and-fire neurons are not supported; {_CUBA}",
    "RF_PHASE": f"resonate-and-fire neurons have no exact integer form here; {_CUBA}",
    "RF_IZHIKEVICH": f"resonate-and-fire neurons have no exact integer form here; {_CUBA}",
}
_SUPPORTED_LAYERS = ("input", "flatten", "dense", "conv", "average")
_SUPPORTED_NEURONS = ("CUBA", "LOIHI", "SDNN")


def check(groups: Sequence[Group]) -> None:
    """Checks the kinds of all layers and of their neurons, before anything else is asked of the file.

    Raises FormatError that names the first layer that no engine runs, and what to do.
    """
    for group in groups:
        kind = group.text("type")
        if kind not in _SUPPORTED_LAYERS:
            raise layer(group)
        if "neuron" in group and kind != "average":
            neurons = group.group("neuron")
            name = neurons.text("type")
            if name not in _SUPPORTED_NEURONS:
                known = NEURONS.get(name, f"not known; expected {', '.join(_SUPPORTED_NEURONS)}: {_CUBA}")
                raise neurons.error("type", f"'{name[:32]}': {known}")


def layer(group: Group) -> Exception:
    """Returns, for the caller to raise, the error that a layer of this type has no place in the file."""
    kind = group.text("type")
    reason = LAYERS.get(kind, f"unknown, NetX skips it in silence; expected {', '.join(_SUPPORTED_LAYERS)}")
    return group.error("type", f"'{kind[:32]}': {reason}")
