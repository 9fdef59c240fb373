"""The kernels' vector instructions and the plain loops that stand in for them: the same bits, in the conformance
networks as in the products and gradients of a training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from snnkd.engines.fast.kernels import compiling, plain, vectors
from snnkd.training.kernels import plain as training_plain
from snnkd.training.kernels import vectors as training_vectors

# Prints which building blocks are in use, and for each engine run a digest of its spikes, states and counts.
SIMULATION = """
import hashlib, json
import numpy as np
from snnkd.engines import conformance
from snnkd.engines.reference import definition
from snnkd.engines.fast import strategy
from snnkd.engines.fast.simulation import simulate
from snnkd.engines.fast.kernels import primitives
from snnkd.analysis.verification import compare

cases = conformance.networks() | {
    f"random {seed}": (net := conformance.random_net(seed),
                       conformance.random_events(np.random.default_rng(seed), net, 2, 12))
    for seed in range(12)
}
digests = {}
for name, (net, events) in cases.items():
    expected = definition.simulate(net, events, states=True)
    for scatters in (True, False):
        strategy.pays_to_scatter = lambda *_, scatters=scatters: scatters
        trace = simulate(net, events, states=True)
        assert compare(net, expected, trace).first_difference is None, name
        digest = hashlib.sha256()
        for layer in trace.layers:
            for values in (layer.spikes, *layer.states.values(), layer.v_last, [layer.overflows, layer.saturations]):
                digest.update(np.ascontiguousarray(values).tobytes())
        digests[f"{name}, {scatters}"] = digest.hexdigest()
print(json.dumps([primitives._chosen.__name__, digests]))
"""

# The same of products with spikes and of convolutions, forward and of both gradients, whose sums are rounded.
TRAINING = """
import hashlib, json
import torch
from snnkd.training.kernels import primitives, sparse
from snnkd.training.kernels.convolution import Conv

def of(function, x, weight, *options):
    leaves = [x.clone(memory_format=torch.preserve_format).requires_grad_(), weight.clone().requires_grad_()]
    sums = function(*leaves, *options)
    sums.backward(torch.randn(sums.shape, generator=random))
    values = [sums.detach(), *(leaf.grad for leaf in leaves)]
    return [hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest() for value in values]

random, digests = torch.Generator().manual_seed(5), {}
for graded in (False, True):
    def spikes(*shape):
        kept = torch.rand(shape, generator=random) < 0.3
        return kept * (torch.rand(shape, generator=random) if graded else 1.0)
    for inputs, outputs in ((19, 70), (100, 10), (8, 32)):
        weight = torch.randn(outputs, inputs, generator=random)
        digests[f"product {inputs} {outputs} {graded}"] = of(sparse.Product.apply, spikes(5, 33, inputs), weight)
    for channels, outputs, kernel, stride, padding in (
        (1, 8, (5, 5), [2, 2], [0, 0]), (3, 40, (3, 2), [2, 1], [2, 1]), (16, 24, (3, 3), [1, 2], [1, 0]),
        (13, 16, (1, 4), [1, 1], [0, 1]),
    ):
        x = spikes(5, 30, 9, 8, channels).movedim(-1, 2)
        weight = torch.randn(outputs, channels, *kernel, generator=random)
        for function in (Conv.apply, sparse.Convolution.apply):
            name = f"{function.__self__.__name__} {channels} {outputs} {graded}"
            digests[name] = of(function, x, weight, stride, padding)
print(json.dumps([primitives._chosen.__name__, digests]))
"""


def output(code: str, **environment: str) -> tuple[str, dict, str]:
    """Which building blocks a process of its own has used, the digests that it prints, and its warnings."""
    without = {name: value for name, value in os.environ.items() if name != compiling.CHOICE}
    command = [sys.executable, "-W", "always:vector instructions", "-c", code]
    done = subprocess.run(command, env=without | environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    used, digests = json.loads(done.stdout)
    return used.removeprefix("snnkd."), digests, done.stderr


@pytest.mark.parametrize(("code", "room"), [(SIMULATION, "engines.fast"), (TRAINING, "training")])
def test_plain_loops_have_the_same_bits(code: str, room: str) -> None:
    used, quick, warned = output(code)
    assert used == f"{room}.kernels.vectors" and not warned, "vector instructions do not compile here"
    used, slow, warned = output(code, **{compiling.CHOICE: "plain"})
    assert used == f"{room}.kernels.plain" and not warned
    assert len(quick) >= 15
    assert slow == quick


@pytest.mark.parametrize(
    "missing", ["numba.extending, 'intrinsic'", "numba.core.cgutils, 'for_range'"], ids=["intrinsic", "cgutils"]
)
def test_plain_loops_stand_in_where_another_numba_lacks_something(missing: str, tmp_path: Path) -> None:
    """Whether that is missed on import or in compiling: nothing is compiled yet in this cache."""
    code = f"import numba.extending, numba.core.cgutils\ndelattr({missing})\n"
    code += "import json, snnkd.training.kernels.primitives as used\nprint(json.dumps([used._chosen.__name__, {}]))"
    used, _, warned = output(code, NUMBA_CACHE_DIR=str(tmp_path))
    assert used == "training.kernels.plain"
    assert "RuntimeWarning: vector instructions are left out, which is slower: snnkd.training.kernels.vectors" in warned


@pytest.fixture
def undecided(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What is left out in a test is not remembered."""
    left_out: set[str] = set()
    monkeypatch.setattr(compiling, "_plain", left_out)
    monkeypatch.delenv(compiling.CHOICE, raising=False)
    return left_out


@pytest.mark.parametrize("both", [(vectors, plain), (training_vectors, training_plain)], ids=["simulation", "training"])
def test_other_numbers_are_noticed(both: tuple, undecided: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every single building block, and what is then compiled has another name in the cache."""
    quick, slow = both
    assert compiling.choose(quick.__name__, slow) is quick and not undecided
    blocks = [name for name, value in vars(slow).items() if hasattr(value, "py_func")]
    assert len(blocks) >= 6
    for name in blocks:
        with monkeypatch.context() as changed:
            changed.setattr(slow, name, SimpleNamespace(py_func=_wrong(getattr(slow, name).py_func)))
            with pytest.warns(RuntimeWarning, match="they give other numbers"):
                assert compiling.choose(quick.__name__, slow) is slow, name
    before = compiling._digest(Path(plain.__file__).parent)
    undecided.clear()
    assert compiling._digest(Path(plain.__file__).parent) != before


def _wrong(function):
    """The function, but with what it returns, or the first array that it writes to, off by one."""

    def changed(*arguments):
        result = function(*arguments)
        if result is not None:
            return result + 1
        arguments[0][0] += 1
        return None

    return changed


def test_a_module_that_is_not_there(undecided: set[str]) -> None:
    with pytest.warns(RuntimeWarning, match="ModuleNotFoundError"):
        assert compiling.choose("snnkd.engines.fast.kernels.no_such_module", plain) is plain
    assert undecided == {"snnkd.engines.fast.kernels.no_such_module"}


def test_the_environment_decides(undecided: set[str], monkeypatch: pytest.MonkeyPatch, recwarn) -> None:
    monkeypatch.setenv(compiling.CHOICE, "plain")
    assert compiling.choose(vectors.__name__, plain) is plain
    assert not recwarn.list


def test_sums_of_a_group_of_rows_fit_16_bits() -> None:
    """`vectors.add_rows` adds in 16 bits what `plain.add_rows` adds in 32."""
    from snnkd.engines.fast.kernels.sizes import GROUP, ROW_LIMIT

    assert np.iinfo(np.int16).max - GROUP < GROUP * ROW_LIMIT <= np.iinfo(np.int16).max
