"""Looks at a `.net` file of lava-dl, yours or somebody else's: what is in it, does it run as promised, does it fit.

    python examples/old_net_file.py FILE.net [ENGINE]

ENGINE is lava where Lava is installed, else fast. The events are random; for yours, see `snnkd verify --input`.
"""

import sys

import snnkd
from snnkd import engines, targets
from snnkd.analysis import fit
from snnkd.analysis.verification import synthetic_input
from snnkd.base.errors import SnnkdError


def main() -> None:
    path, *rest = sys.argv[1:]
    net = snnkd.load(path)  # refuses, with the layer's name, what Lava would not run as the file says
    print(f"{path}: input {net.input_shape}")
    for name, layer in zip(net.names, net.layers, strict=True):
        print(f"  {name}: {layer.kind} {layer.shape}, {layer.neuron.kind} neurons")

    events = synthetic_input(net, samples=2)
    engine = rest[0] if rest else "fast" if engines.get("lava").available() else "lava"
    result = snnkd.verify(net, events, against=engine)
    print(f"{engine}: {result.compared['spikes']} spikes, {sum(result.differences.values())} differences")
    for warning in result.warnings:
        print(f"  {warning}")

    for name in ("loihi1", "loihi2"):
        found = fit.fit(net, targets.load(name))
        print(f"{name}: {found.verdict}, at least {found.cores} cores")
        for violation in found.violations:
            print(f"  {violation.layer}: {violation.actual}; {violation.fix}")


if __name__ == "__main__":
    try:
        main()
    except SnnkdError as error:
        sys.exit(f"error: {error}")
