"""What Lava makes of a dense layer's weights, against Lava's own functions, and back."""

import contextlib
import importlib.util
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from snnkd.base.errors import FormatError, QuantizationError
from snnkd.formats import netx
from snnkd.formats.netx.weights import convert, source_of
from snnkd.ir.network import Cuba, Dense, IntNet

SITE = Path(next(path for path in sys.path if path.endswith("site-packages")))
SHIPPED = SITE / "tests/lava/lib/dl/netx"


def neuron(current=1024, voltage=128, threshold=80, bias=None):
    return Cuba(*(None if x is None else np.array(x, np.int32) for x in (current, voltage, threshold, bias)))


def dense(*rows, **options):
    return Dense(np.array(rows, np.int32), neuron(), **options)


def module_from(file):
    spec = importlib.util.spec_from_file_location(f"of_lava_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def effective(weight, weight_exp):
    """Weights in units of 1/256."""
    return weight * 2.0**weight_exp


@pytest.fixture(scope="session")
def lavas_own():
    """Lava's conversion of a dense layer, by its own functions: (weight, weight_exp)."""
    fit = module_from(SITE / "lava/lib/dl/netx/utils.py").optimize_weight_bits
    synapse = module_from(SITE / "lava/utils/weightutils.py")

    def convert_by_lava(weight):
        with np.errstate(divide="ignore"), contextlib.redirect_stdout(io.StringIO()):
            fitted, bits, exponent, _ = fit(weight.astype(int))
        mode = synapse.determine_sign_mode(fitted)
        return synapse.truncate_weights(synapse.clip_weights(fitted, mode, 8), mode, bits), exponent

    return convert_by_lava


RANGES = [(-256, 254), (-300, 300), (-256, 0), (-256, -1), (0, 255), (1, 300), (-3, 0), (-4, -1), (0, 3)]


@st.composite
def matrices(draw):
    """Weights of every sign mode, in and out of range, with and without a common power of two."""
    low, high = draw(st.sampled_from(RANGES))
    step = draw(st.sampled_from([step for step in (1, 2, 4, 16, 64) if high // step >= -(-low // step)]))
    values = st.integers(-(-low // step), high // step).map(lambda value: value * step)
    return draw(arrays(np.int64, (draw(st.integers(1, 4)), draw(st.integers(1, 4))), elements=values))


@pytest.mark.lava
@settings(max_examples=300, deadline=None)
@given(weight=matrices())
def test_conversion_is_lavas(lavas_own, weight):
    try:
        found, exponent, *_ = convert(weight)
    except FormatError:
        if weight.any():
            assert not lavas_own(weight)[0].any()
        return
    by_lava, lavas_exponent = lavas_own(weight)
    np.testing.assert_array_equal(effective(found, exponent), effective(by_lava, lavas_exponent))
    assert exponent <= 0
    assert exponent == 0 or (found & 1).any()


@settings(max_examples=300, deadline=None)
@given(weight=matrices())
def test_what_was_loaded_can_be_saved(weight):
    try:
        found, exponent, *_ = convert(weight)
    except FormatError:
        return
    source = source_of(found.astype(np.int32), exponent)
    if source is None:  # a single synapse that stands for a value which Lava cannot tell from its double
        assert weight.size == 1
        return
    again, exponent_again, *_ = convert(source)
    np.testing.assert_array_equal(again, found)
    assert exponent_again == exponent


def test_trained_weights_stay_as_they_are():
    weight = np.arange(-256, 256, 2).reshape(16, 16)
    found, exponent, clipped, _ = convert(weight)
    assert (exponent, clipped) == (0, False)
    np.testing.assert_array_equal(found, weight)


def test_an_exponent_where_lava_needs_one():
    found, exponent, *_ = convert(np.array([[-2, -1, 0]]))
    assert (found.tolist(), exponent) == ([[-3, -2, 0]], -1)
    assert source_of(found, exponent).tolist() == [[-2, -1, 0]]


@pytest.mark.parametrize("rows", [([0, 0],), ([300, 2],), ([-255, -3, 0],), ([-300, 0],)])
def test_weights_that_lava_loses(rows, tmp_path):
    with pytest.raises(FormatError):
        convert(np.array(rows))
    with pytest.raises(QuantizationError, match=r"layer0.weight: .* Expected even integers in \[-256, 254\]"):
        netx.save(IntNet((len(rows[0]),), (dense(*rows),)), tmp_path / "x.net")
    assert not list(tmp_path.iterdir())


def test_weights_that_lava_would_change(tmp_path):
    with pytest.raises(QuantizationError, match="Lava's conversion to synapses would change them"):
        netx.save(IntNet((2,), (dense([-2, -1], [-1, -1]),)), tmp_path / "x.net")
