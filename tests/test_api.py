"""`snnkd` as a notebook sees it: names that complete, networks that show themselves, paths where networks are."""

import json

import numpy as np
import pytest

import snnkd
from snnkd.base.errors import SnnkdError


@pytest.fixture
def net(build):
    """A convolution with a bias, and two dense layers."""
    return build.net(3)


def test_names_complete():
    assert set(snnkd.__all__) <= set(dir(snnkd))
    assert all(getattr(snnkd, name) is not None for name in ("check", "handoff", "inspect"))


def test_a_network_shows_itself(net):
    title, columns, *rows = repr(net).splitlines()
    assert title.startswith("IntNet: input ") and f"{net.neurons:,} neurons" in title
    assert columns.split()[:2] == ["layer", "kind"] and [row.split()[0] for row in rows] == net.names
    html = net._repr_html_()
    assert html.count("<tr>") == 1 + len(net.layers) and "layer0" in html


def test_a_path_is_as_good_as_a_network(net, build, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    snnkd.save(net, "x.net")
    events = build.events(np.random.default_rng(0), net, 2, 5)
    of_net, of_file = (snnkd.simulate(given, events) for given in (net, tmp_path / "x.net"))
    np.testing.assert_array_equal(of_net.layers[-1].spikes, of_file.layers[-1].spikes)
    assert snnkd.verify("x.net", events, against="reference").equal
    assert snnkd.profile("x.net", events, target="loihi2").samples == 2
    assert snnkd.check("x.net").to_json() == snnkd.check(net).to_json()
    assert snnkd.inspect("x.net").to_json() == snnkd.inspect(net).to_json()
    with pytest.raises(SnnkdError, match=r"y\.net"):
        snnkd.check("y.net")


def test_inspect_is_what_the_command_prints(net, build, tmp_path, call):
    snnkd.save(net, tmp_path / "x.net")
    events = build.events(np.random.default_rng(0), net, 2, 5)
    np.save(tmp_path / "events.npy", events)
    status, printed, _ = call("inspect", str(tmp_path / "x.net"), "--input", str(tmp_path / "events.npy"), "--json")
    printed = json.loads(printed)
    del printed["file"], printed["headroom"]["data"]
    inspected = snnkd.inspect(net, events)
    assert status == 0 and json.loads(json.dumps(inspected.to_json())) == printed
    assert repr(inspected) == repr(net)


def test_a_network_without_a_file_is_handed_off(net, tmp_path):
    handed = snnkd.handoff(net, out=tmp_path / "bundle.zip", readout="membrane")
    assert (tmp_path / "bundle.zip").exists() and handed.readout.kind == "membrane"
