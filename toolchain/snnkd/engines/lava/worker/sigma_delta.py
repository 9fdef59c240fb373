"""Lava's sigma-delta neurons, as the definition has them: what NetX does not read of a file, and a reset.

Sources: lava-dl 0.6.0 `lib/dl/netx/hdf5.py` (get_neuron_params), lava-nc 0.10.0 `proc/sdn/models.py`.
"""

# Lava's own types are no help here: states and ports are declared as something else than they become.
# pyright: reportAttributeAccessIssue=false, reportIncompatibleVariableOverride=false

from __future__ import annotations

from typing import Any

import numpy as np
from lava.lib.dl.netx.hdf5 import Network
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.sdn.models import PyDeltaModelFixed, PySigmaDeltaModelFixed, PySigmaModelFixed
from lava.proc.sdn.process import ActivationMode, Delta, Sigma, SigmaDelta

KINDS = (Delta, SigmaDelta, Sigma)


def read_own_keys() -> None:
    """Lets NetX read exponents, activation and cumulative error of a neuron, which it gives fixed values."""
    of_netx = Network.get_neuron_params

    def get(neuron_config: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
        params: Any = of_netx(neuron_config, *arguments, **options)
        process = params["neuron_proc"]
        if process in (Delta, SigmaDelta):
            said = neuron_config.f
            for key, name in (("spikeExp", "spike_exp"), ("stateExp", "state_exp"), ("cumError", "cum_error")):
                if key in said:
                    params[name] = int(said[key][()])
            if process is SigmaDelta and said["activation"][()] == b"unit":
                params["act_mode"] = ActivationMode.UNIT
        return params

    Network.get_neuron_params = staticmethod(get)


class _Reset:
    """Clears the states right before the first input of each sample, as LIFReset does for CUBA neurons, and sends
    nothing before the first one, which delays would carry into it; all else is Lava's model."""

    def run_spk(self) -> None:
        lag, steps = self.proc_params["reset"]
        step = self.time_step - 1 - lag
        if step < 0:
            self.a_in.recv()
            self.s_out.send(np.zeros(self.s_out.shape, np.int32))
            return
        if step % steps == 0:
            for name in ("sigma", "act", "residue", "error"):
                if isinstance(getattr(self, name, None), np.ndarray):
                    setattr(self, name, np.zeros_like(getattr(self, name)))
        super().run_spk()


@implements(proc=Delta, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class DeltaModel(_Reset, PyDeltaModelFixed):
    pass


@implements(proc=SigmaDelta, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class SigmaDeltaModel(_Reset, PySigmaDeltaModelFixed):
    pass


@implements(proc=Sigma, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class SigmaModel(_Reset, PySigmaModelFixed):
    pass


MODELS = {Delta: DeltaModel, SigmaDelta: SigmaDeltaModel, Sigma: SigmaModel}
