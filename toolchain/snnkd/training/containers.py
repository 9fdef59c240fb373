"""Blocks and neuron with the names, parameters and state of lava-dl's `slayer.block.cuba`, for where it is missing.

They draw the same random numbers and have the same state dictionary, so a network, its checkpoints and its file are
the same with either (`tests/training/test_slayer.py`). Only what snnkd trains is here: CUBA neurons that share their
parameters, no normalization, no delays. Formulas and constants are those of lava-dl 0.6.0, `lib/dl/slayer`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch

__all__ = ["SCALE_RHO_MULT", "TAU_RHO_MULT", "Conv", "Dense", "Flatten", "Neuron"]

# What `scale_grad` and `tau_grad` of 1 stand for (neuron/cuba.py).
SCALE_RHO_MULT = 0.1
TAU_RHO_MULT = 100

Pair = int | tuple[int, int]


class Neuron(torch.nn.Module):
    """Holds the parameters of CUBA neurons (`neuron/cuba.py`); `snnkd.training.neuron` adds what they do.

    threshold: in units of vThMant / scale. current_decay, voltage_decay: fractions, held as 12 bit numbers.
    """

    current_decay: torch.Tensor
    voltage_decay: torch.Tensor
    current_state: torch.Tensor
    voltage_state: torch.Tensor

    def __init__(
        self,
        threshold: float,
        current_decay: float,
        voltage_decay: float,
        tau_grad: float = 1,
        scale_grad: float = 1,
        scale: int = 1 << 6,
        norm: None = None,
        dropout: torch.nn.Module | None = None,
        shared_param: bool = True,
        persistent_state: bool = False,
        requires_grad: bool = False,
        graded_spike: bool = False,
    ):
        super().__init__()
        self.p_scale, self.w_scale, self.s_scale = 1 << 12, scale, scale << 6
        self._threshold = int(threshold * scale) / scale
        self.tau_rho, self.scale_rho = tau_grad * self._threshold, scale_grad
        self.norm, self.drop = norm, dropout
        self.shared_param, self.graded_spike = shared_param, graded_spike
        self.persistent_state, self.requires_grad = persistent_state, requires_grad
        self.shape: torch.Size | None = None
        self.num_neurons: int | None = None
        for name, decay in (("current_decay", current_decay), ("voltage_decay", voltage_decay)):
            values = torch.tensor([self.p_scale * decay], dtype=torch.float32).clamp(0, self.p_scale)
            self.register_parameter(name, torch.nn.Parameter(values, requires_grad))
        for name in ("current_state", "voltage_state"):
            self.register_buffer(name, torch.zeros(1), persistent=False)

    @property
    def threshold(self) -> float:
        """The threshold as it was cut off, in units of vThMant / scale."""
        return self._threshold

    @property
    def v_th_mant(self) -> int:
        """The threshold as the hardware holds it, vThMant."""
        return int(self.threshold * self.w_scale)

    @property
    def device_params(self) -> dict[str, Any]:
        """The parameters as the hardware holds them, by their names in a `.net` file."""
        return {
            "type": "CUBA",
            "iDecay": round(float(self.current_decay)),
            "vDecay": round(float(self.voltage_decay)),
            "vThMant": self.v_th_mant,
            "refDelay": 1,
            "gradedSpike": self.graded_spike,
        }


class _Synapse(torch.nn.Conv3d):
    """Weights (O, I, kH, kW, 1) and what quantizes them, `pre_hook_fx` (`synapse/layer.py`)."""

    weight_norm_enabled = False
    complex = False

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int, int], **geometry: Any):
        super().__init__(inputs, outputs, kernel, bias=False, **geometry)
        self.pre_hook_fx: Any = None

    @property
    def shape(self) -> torch.Size:
        return self.weight.shape

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return self._conv_forward(input, self.pre_hook_fx(self.weight), None)


class _Block(torch.nn.Module, ABC):
    """A synapse and the neurons behind it (`block/base.py`)."""

    neuron: Neuron
    delay = mask = None

    def __init__(self, neuron_params: dict[str, Any], synapse: _Synapse, delay_shift: bool):
        if delay_shift:
            raise ValueError("delay_shift drops the last step in every block: only False has an exact integer form")
        super().__init__()
        self.delay_shift = delay_shift
        self.neuron, self.synapse = Neuron(**neuron_params), synapse

    @property
    def shape(self) -> torch.Size | None:
        return self.neuron.shape

    def export_hdf5(self, handle: Any) -> None:
        """Writes the block into `handle`, a group of an open HDF5 file, as lava-dl does."""
        synapse, what = self.synapse, type(self).__name__.lower()
        with torch.no_grad():
            weight = synapse.pre_hook_fx(synapse.weight, descale=True).cpu().numpy()
        handle.create_dataset("type", (1,), "S10", [what.encode()])
        handle.create_dataset("shape", data=np.array(self.shape))
        for name, value in self._geometry().items():
            handle.create_dataset(name, data=value)
        handle.create_dataset("weight", data=weight.reshape(weight.shape[: 2 if what == "dense" else 4]))
        for key, value in self.neuron.device_params.items():
            handle.create_dataset(f"neuron/{key}", data=value)

    @abstractmethod
    def _geometry(self) -> dict[str, Any]:
        """The sizes of the synapse, by their names in a `.net` file."""


class Dense(_Block):
    """Connects all inputs with all neurons; reads (N, in_neurons, T)."""

    def __init__(self, neuron_params: dict[str, Any], in_neurons: int, out_neurons: int, delay_shift: bool = True):
        super().__init__(neuron_params, _Synapse(in_neurons, out_neurons, (1, 1, 1)), delay_shift)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Runs the block on x (N, in_neurons, T); returns spikes (N, out_neurons, T)."""
        return self.neuron(self.synapse(x[:, :, None, None]).flatten(1, 3))

    def _geometry(self) -> dict[str, Any]:
        return {"inFeatures": self.synapse.in_channels, "outFeatures": self.synapse.out_channels}


class Conv(_Block):
    """Convolves images; reads (N, in_features, H, W, T)."""

    def __init__(
        self,
        neuron_params: dict[str, Any],
        in_features: int,
        out_features: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        delay_shift: bool = True,
    ):
        geometry = {"stride": _with_time(stride, 1), "padding": _with_time(padding, 0), "groups": groups}
        geometry["dilation"] = _with_time(dilation, 1)
        synapse = _Synapse(in_features, out_features, _with_time(kernel_size, 1), **geometry)
        super().__init__(neuron_params, synapse, delay_shift)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Runs the block on x (N, in_features, H, W, T); returns spikes (N, out_features, H', W', T)."""
        return self.neuron(self.synapse(x))

    def _geometry(self) -> dict[str, Any]:
        synapse = self.synapse
        return {
            "inChannels": synapse.in_channels,
            "outChannels": synapse.out_channels,
            "kernelSize": synapse.kernel_size[:2],
            "stride": synapse.stride[:2],
            "padding": synapse.padding[:2],
            "dilation": synapse.dilation[:2],
            "groups": synapse.groups,
        }


class Flatten(torch.nn.Module):
    """Makes vectors of images, (N, C, H, W, T) to (N, C * H * W, T)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1, -2)


def _with_time(pair: Pair, time: int) -> tuple[int, int, int]:
    return (pair, pair, time) if isinstance(pair, int) else (*pair, time)
