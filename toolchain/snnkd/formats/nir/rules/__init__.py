"""What becomes of each NIR primitive, one rule a file.

`SYNAPSES`: (node, shape of what it reads) to the linear step that it is. `NEURONS`: (node, shape, dt) to neurons. A new
primitive is a file here, its line below, and its parameters in `graph.PARAMETERS`; its formula goes to `definition.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from snnkd.formats.nir.graph import Node
from snnkd.formats.nir.real import RealNeuron, Reshape, Synapse, Wait
from snnkd.formats.nir.rules import affine, conv, cuba, delay, flatten, integrate, leaky, pool, scale, threshold
from snnkd.ir.network import Shape

SynapseRule = Callable[[Node, Shape, float], Synapse | Wait | Reshape]
NeuronRule = Callable[[Node, Shape, float], RealNeuron]

SYNAPSES: dict[str, SynapseRule] = {
    "Affine": affine.synapse,
    "Linear": affine.synapse,
    "Conv1d": conv.synapse,
    "Conv2d": conv.synapse,
    "SumPool2d": pool.synapse,
    "AvgPool2d": pool.synapse,
    "Flatten": flatten.synapse,
    "Scale": scale.synapse,
    "Delay": delay.synapse,
}
NEURONS: dict[str, NeuronRule] = {
    "Threshold": threshold.neuron,
    "I": integrate.neuron,
    "IF": integrate.neuron,
    "LI": leaky.neuron,
    "LIF": leaky.neuron,
    "CubaLI": cuba.neuron,
    "CubaLIF": cuba.neuron,
}
