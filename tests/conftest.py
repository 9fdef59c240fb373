"""What tests of all rooms share: what they need of the machine, the command line, folders of data sets, and networks.

A test says by a marker (in pyproject.toml) what it needs; where that is missing it is skipped here, with the reason.
"""

from __future__ import annotations

import io
import os
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import fields, replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from snnkd.data.recordings.recording import Recording
from snnkd.engines import c99, conformance, lava
from snnkd.ir.event_encoding import EventEncoding
from snnkd.ir.network import Dense, Input, per_neuron


def _no_training():
    missing = [name for name in ("torch", "torchvision", "sklearn", "safetensors") if not find_spec(name)]
    return f"training: {', '.join(missing)} not installed" if missing else None


def _no_gpu():
    if reason := _no_training():
        return reason
    import torch

    return None if torch.cuda.is_available() else "no CUDA device"


# By marker: a function of the marker's arguments that says what is missing, or None.
NEEDS = {
    "training": _no_training,
    "lava": lambda: f"Lava: {reason}" if (reason := lava.available()) else None,
    "compiler": lambda name="gcc": c99.missing(name),
    "qemu": c99.qemu_missing,
    "gpu": _no_gpu,
}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    for marker in item.iter_markers():
        if marker.name in NEEDS and (reason := NEEDS[marker.name](*marker.args)):
            pytest.skip(reason)


class Lacking(pytest.Module):
    """A module that as a whole needs what is missing: it could not even be imported."""

    def __init__(self, *, reason, **options):
        super().__init__(**options)
        self.reason = reason

    def collect(self):
        pytest.skip(self.reason, allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    for line in re.findall(r"^pytestmark = .*", module_path.read_text(encoding="utf-8"), re.MULTILINE):
        for marker in re.findall(r"\bmark\.(lava|training)\b", line):
            if reason := NEEDS[marker]():
                return Lacking.from_parent(parent, path=module_path, reason=reason)
    return None


@pytest.fixture(scope="session")
def call():
    """Runs a command in this process: its words -> (exit status, stdout, stderr)."""
    from snnkd import cli

    def run(*words):
        before, sys.argv = sys.argv, ["snnkd", *map(str, words)]
        output, errors = io.StringIO(), io.StringIO()
        try:
            with redirect_stdout(output), redirect_stderr(errors), pytest.raises(SystemExit) as ended:
                cli.main()
        finally:
            sys.argv = before
        return int(ended.value.code or 0), output.getvalue(), errors.getvalue()

    return run


@pytest.fixture(scope="session")
def public_data():
    """The folder that has the public data sets: SNNKD_DATA, else ../shared/data beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("SNNKD_DATA") or beside)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Tests leave nothing in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SNNKD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    """An empty folder as the current one, where no data set of the user's is found."""
    monkeypatch.delenv("SNNKD_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def build():
    """The makers of `snnkd.engines.conformance` under short names."""
    return SimpleNamespace(
        neuron=conformance.random_neuron,
        weight=conformance.random_weight,
        dense=conformance.random_dense,
        conv=conformance.random_conv,
        net=conformance.small_net,
        events=conformance.random_events,
    )


def _parameters(neuron, shape):
    names = [field.name for field in fields(neuron)]
    yield "kind", np.array([neuron.kind, *names])
    for name in names:
        values = getattr(neuron, name)
        if isinstance(values, str):
            yield name, np.array(values)
            continue
        yield name, np.zeros(shape, np.int64) if values is None else np.broadcast_to(per_neuron(values, shape), shape)


@pytest.fixture(scope="session")
def same_net():
    """Asserts that two networks are the same: structure, weights, parameters of each neuron and what is attached."""

    def check(left, right):
        attached = ("encoding", "readout", "early_exit", "class_names", "provenance")
        for name in ("input_shape", "steps", "message_bits", *attached, "names"):
            assert getattr(left, name) == getattr(right, name), name
        for one, other in zip(left.layers, right.layers, strict=True):
            assert type(one) is type(other)
            assert one.shape == other.shape
            for (name, a), (_, b) in zip(
                _parameters(one.neuron, one.shape), _parameters(other.neuron, other.shape), strict=True
            ):
                np.testing.assert_array_equal(a, b, err_msg=name)
            if isinstance(one, Input):
                continue
            np.testing.assert_array_equal(one.weight, other.weight)
            fields = ("weight_exp",) if isinstance(one, Dense) else ("stride", "padding", "dilation", "groups")
            assert [getattr(one, f) for f in fields] == [getattr(other, f) for f in fields]
            if isinstance(one, Dense):
                assert (one.delay is None) == (other.delay is None)
                if one.delay is not None:
                    np.testing.assert_array_equal(one.delay, other.delay)

    return check


_SENSOR = (12, 16)
_BASE = EventEncoding(5, _SENSOR, window_us=700)
# How recordings become steps, all kinds of it.
EVENT_ENCODINGS = [
    _BASE,
    replace(_BASE, polarity="merged"),
    replace(_BASE, polarity="signed"),
    replace(_BASE, polarity="signed", cell="count", bits=1),
    replace(_BASE, polarity="signed", cell="count", bits=2),
    replace(_BASE, cell="count", bits=2),
    replace(_BASE, cell="count", bits=8, pool=4),
    replace(_BASE, crop=(3, 5, 6, 9), pool=3),
    replace(_BASE, window_us=None, count=60),
    replace(_BASE, window_us=None, count=7, crop=(0, 8, 12, 8), polarity="merged", cell="count", pool=2),
    replace(_BASE, steps=4096, window_us=1),
    replace(_BASE, steps=3, window_us=(1 << 32) - 1),
]


def pytest_generate_tests(metafunc):
    if "event_encoding" in metafunc.fixturenames:
        metafunc.parametrize("event_encoding", EVENT_ENCODINGS, ids=str)


def _shaken(count=600, seed=0):
    """Events of which some go back in time, in few places, so that cells are hit often."""
    random = np.random.default_rng(seed)
    t = np.sort(random.integers(0, 4200, count)) + random.integers(0, 300, count)
    y, x = (random.integers(0, side, count) ** 2 // side for side in _SENSOR)
    kinds = (np.uint32, np.uint16, np.uint16, np.uint8)
    return Recording(*(v.astype(k) for v, k in zip((t, x, y, random.integers(0, 2, count)), kinds, strict=True)))


@pytest.fixture(scope="session")
def spike_lists():
    """spike_lists(path, labels, lists): writes recordings in the layout of SHD, (seconds, units) each."""
    h5py = pytest.importorskip("h5py")

    def write(path, labels, lists):
        with h5py.File(path, "w") as file:
            file["labels"] = np.array(labels, np.uint16)
            for place, (name, kind) in enumerate((("times", "f2"), ("units", "u2"))):
                rows = file.create_dataset(f"spikes/{name}", (len(labels),), h5py.vlen_dtype(np.dtype(kind)))
                for index, pair in enumerate(lists):
                    rows[index] = np.array(pair[place], kind)

    return write


@pytest.fixture(scope="session")
def shaken():
    """shaken(count, seed): a recording of a 12 x 16 sensor in which times go back."""
    return _shaken
