"""Networks in the tools of others and here, spike by spike: the seeded ones of toolchain/benchmarks/nir_peers.py."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "toolchain/benchmarks"))

import nir_peers


@pytest.fixture(scope="module")
def rows():
    """By way, peer and network; made once."""
    return {(row.way, row.peer, row.network): row for row in (*nir_peers.out_rows(), *nir_peers.in_rows())}


def checked(rows, *key):
    row = rows[key]
    if "not installed" in row.said:
        pytest.skip(row.said)
    assert not row.said and row.spikes > 0, row
    return row


@pytest.mark.parametrize("network", nir_peers.networks())
@pytest.mark.parametrize("peer", ["norse, float64 cells", "norse.from_nir", "snntorch"])
def test_what_is_written_spikes_alike_there(rows, peer, network):
    """Every spike is that of the graph in float64; that of the integer network where no decay rounds."""
    row = checked(rows, "out", peer, network)
    assert row.float64 == 0
    assert row.integers == 0 if network == "conv, decays of 1" else row.integers < 2e-3


def test_spikingjelly_fires_at_the_threshold_too(rows):
    """v >= v_threshold there, v > v_threshold in NIR: they differ where v is just the threshold."""
    assert checked(rows, "out", "spikingjelly", "dense 64-32-10").integers < 2e-3
    assert checked(rows, "out", "spikingjelly", "conv, decays of 1").float64 > 0


@pytest.mark.parametrize("network", sorted(set(nir_peers.writers()) - {"LIFCell 40-30-10", "Synaptic 40-30-10"}))
def test_what_they_write_spikes_alike_here(rows, network):
    """In float64, every spike is that of the peer; in integers of 8 bits nearly every one."""
    row = checked(rows, "in", nir_peers.writers()[network][0], network)
    assert row.float64 == 0
    assert row.integers < 0.05
    assert row.classes >= 0.7


def test_norse_writes_another_network_than_its_lifcell(rows):
    """It writes w_in = 1, which weakens the input by dt / tau_syn; its own reader takes the file as we do."""
    assert checked(rows, "in", "norse", "LIFCell 40-30-10").float64 > 0.1
    assert checked(rows, "in", "norse", "LIFCell 40-30-10, as norse reads it").float64 == 0


def test_snntorch_writes_nothing_of_a_reset_that_is_late(rows):
    """Its default, reset_delay=True, resets Synaptic neurons a step later than the file says."""
    assert checked(rows, "in", "snntorch", "Synaptic 40-30-10").float64 > 0.1
