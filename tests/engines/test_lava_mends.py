"""Each mend of Lava's worker is needed: without it, what it mends is broken. One that is not can be deleted."""

import re
import subprocess
import sys

import numpy as np
import pytest

from snnkd.engines import lava

pytestmark = [pytest.mark.lava, pytest.mark.smoke]

_VAR_MODEL = "import lava.magma.compiler.var_model"
_PORT = """
import numpy as np
from lava.magma.core.process.ports.ports import ReshapePort
for way in ("fwd", "bwd"):
    port = ReshapePort((2, 3), (3, 2)) if way == "fwd" else ReshapePort((3, 2), (2, 3))
    array = getattr(port, f"get_transform_func_{way}")()(np.arange(6).reshape(3, 2))
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]], array
"""
_NETX = "import sys, lava.lib.dl.netx.hdf5; assert sys.modules.get('torch') is None, 'NetX imports torch'"

_INPUT = """
import numpy as np
from lava.lib.dl.netx import hdf5
neuron = {"type": "CUBA", "iDecay": 4096, "vDecay": 4096, "vThMant": 9, "refDelay": 1, "gradedSpike": False}
one = {"weight": np.array([64]), "bias": np.array([1])}
hdf5.Network.create_input({"shape": np.array([2, 2, 1]), "neuron": neuron, **one})
"""
_CONV = """
import numpy as np
from lava.proc.conv import utils
small = lambda *values: np.array(values, np.int8)
events, weight = np.ones((100, 130, 2), np.int32), np.ones((2, 3, 3, 1), np.int32)
found = utils.conv(events, weight, small(3, 3), small(1, 1), small(30, 1), small(1, 1), np.int8(2))
assert found.shape == (158, 130, 2) and found[80, 80].tolist() == [9, 9], found.shape
"""

OLD_PYTHON = pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 takes such defaults")


def numpy_since(version: str) -> pytest.MarkDecorator:
    old = np.lib.NumpyVersion(np.__version__) < version
    return pytest.mark.skipif(old, reason=f"numpy {np.__version__} does not need it")


NEEDED = [
    pytest.param("hash_byte_encoders", _VAR_MODEL, "mutable default .*ByteEncoder", marks=OLD_PYTHON),
    pytest.param("reshape_ports", _PORT, "newshape", marks=numpy_since("2.5.0")),
    pytest.param("read_one_number", _INPUT, "only 0-dimensional arrays", marks=numpy_since("2.4.0")),
    pytest.param("convolve_by_python_integers", _CONV, "out of bounds for int8", marks=numpy_since("2.0.0")),
    pytest.param("keep_torch_out", _NETX, "NetX imports torch"),
]


def run(code: str, *applied: str) -> subprocess.CompletedProcess:
    """Runs `code` in the worker's folder, with the mends named `applied`."""
    calls = "\n".join(f"mends.{name}()" for name in applied)
    command = [sys.executable, "-W", "ignore", "-c", f"import mends\n{calls}\n{code}"]
    return subprocess.run(command, cwd=lava.WORKER, capture_output=True, text=True, check=False)


def names() -> list[str]:
    found = run("print(*(mend.__name__ for mend in mends.MENDS))")
    return found.stdout.split()


@pytest.mark.parametrize(("mend", "code", "broken"), NEEDED)
def test_a_mend_is_needed_and_mends(mend, code, broken):
    others = [name for name in names() if name != mend]
    assert mend in names()
    without = run(code, *others)
    assert without.returncode != 0, f"delete {mend}: Lava no longer needs it"
    assert re.search(broken, without.stderr), without.stderr
    mended = run(code, *names())
    assert mended.returncode == 0, mended.stderr


def test_every_mend_has_a_test():
    assert sorted(param.values[0] for param in NEEDED) == sorted(names())


def test_numpy_and_dataclasses_stay_as_they_are():
    left_alone = "import dataclasses, numpy; print(dataclasses.dataclass.__module__, numpy.reshape.__module__)"
    assert run(left_alone, *names()).stdout.split() == ["dataclasses", "numpy"]
