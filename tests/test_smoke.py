"""The whole chain on the command line: a teacher, an assistant and a student, in Lava, measured, and handed off."""

import json

import pytest

from snnkd.engines import c99

SHORT = [f"chain.{stage}.epochs=1" for stage in ("teacher", "ta", "student")]


@pytest.mark.smoke
@pytest.mark.training
@pytest.mark.lava
def test_from_images_to_a_bundle(call, no_data):
    def run(*words):
        status, output, errors = call(*words)
        assert status == 0, errors
        return output

    run("train", "digits", *(word for override in SHORT for word in ("--set", override)))
    exported = json.loads(run("export", "--target", "loihi2-sim", "--json"))
    equal = {engine for engine, compared in exported["against"].items() if compared["equal"]}
    assert equal == {"lava", "slayer"} == exported["against"].keys()
    assert exported["compared"]["spikes"] > 0
    assert json.loads(run("profile", "--energy", "--json"))["energy"]
    run("handoff", "--target", "cortex-m4", "--out", "bundle.zip")
    proof = json.loads(run("handoff", "--verify", "bundle.zip", "--json"))
    outcomes = {check["name"]: check["outcome"] for check in proof["checks"]}
    expected = {"golden", "random", "onnx", "lava"} | ({"gcc"} if c99.missing("gcc") is None else set())
    assert expected <= {name for name, outcome in outcomes.items() if outcome == "equal"}, outcomes
