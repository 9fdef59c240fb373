"""Bundles of small networks, made once."""

from dataclasses import replace

import numpy as np
import pytest

from snnkd import bundle as bundles
from snnkd.data import datasets
from snnkd.data.encoding import Encoding
from snnkd.data.samples import Samples
from snnkd.engines import conformance
from snnkd.ir.network import Dense, IntNet
from snnkd.ir.readout import EarlyExit, Readout


@pytest.fixture(scope="session")
def digits_net():
    """64-12-10, direct encoding, membrane readout, early exit; and the images that it reads. Not trained."""
    random = np.random.default_rng(5)
    hidden = conformance.random_dense(random, (1, 8, 8), 12, thresholds=(200, 400), decays=(1000, 4096))
    output = conformance.random_dense(random, (12,), 10, thresholds=(300, 300), decays=(200, 200))
    encoding = Encoding("direct", steps=5, bits=4)
    net = IntNet(
        (1, 8, 8),
        (hidden, output),
        steps=5,
        message_bits=8,
        encoding=encoding.to_json(),
        readout=Readout("membrane"),
        early_exit=EarlyExit(2000, 2),
        provenance={"seed": 5},
        class_names=tuple(f'{k} "caf\u00e9" | ??/' for k in range(10)),
    )
    assert isinstance(hidden, Dense)
    return net, encoding


@pytest.fixture(scope="session")
def evidence(digits_net):
    _, encoding = digits_net
    test = datasets.load("digits").test
    images = test.images[:40]
    return Samples("40 digits", images=images, encoder=encoding, labels=test.labels[:40])


@pytest.fixture(scope="session")
def bundle(digits_net, evidence, tmp_path_factory):
    """A bundle for cortex-m4."""
    path = tmp_path_factory.mktemp("bundle") / "bundle.zip"
    result = bundles.make(digits_net[0], "cortex-m4", evidence, path, "digits")
    assert not result.violations
    return path


@pytest.fixture
def without(digits_net):
    """The network without what only a trained one has."""
    return replace(digits_net[0], encoding=None, provenance=None, early_exit=None)
