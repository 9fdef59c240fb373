"""A small file and what tests do with it."""

import h5py
import numpy as np
import pytest

from snnkd.base.errors import FormatError
from snnkd.formats import netx
from snnkd.ir.network import Conv, Cuba, Dense, IntNet


@pytest.fixture
def path(tmp_path):
    """A file with a convolution (layer/1) and a dense layer (layer/3)."""
    neuron = Cuba(*(np.array(value, np.int32) for value in (1024, 128, 80)))
    conv = Conv(np.arange(1, 13, dtype=np.int32).reshape(2, 1, 2, 3) * 2, neuron, (2, 3, 3))
    second = Dense(np.arange(-20, 34, 2, dtype=np.int32).repeat(2).reshape(3, 18), neuron)
    netx.save(IntNet((1, 4, 5), (conv, second)), tmp_path / "x.net")
    return tmp_path / "x.net"


@pytest.fixture(scope="session")
def edited():
    """Calls `change` with the open file; returns its path."""

    def edit(path, change):
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return edit


@pytest.fixture(scope="session")
def refused():
    """Asserts that a file is refused with a message that begins with its path and has all `parts`."""

    def check(path, *parts):
        with pytest.raises(FormatError) as error:
            netx.load(path)
        message = str(error.value)
        assert message.startswith(str(path))
        for part in parts:
            assert part in message

    return check
