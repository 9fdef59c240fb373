"""Bundles: made twice they are the same, they say what was measured, and a changed one is found out."""

import io
import json
import shutil
import subprocess
import sys
import textwrap
import zipfile
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

import snnkd
from snnkd import __version__
from snnkd import bundle as bundles
from snnkd.analysis import early_exit, evaluation
from snnkd.base import checksums
from snnkd.base.errors import FormatError, LimitError
from snnkd.bundle import archive, manifest, proof
from snnkd.data.samples import Samples
from snnkd.engines import c99, conformance
from snnkd.formats import netx
from snnkd.ir.event_encoding import EventEncoding
from snnkd.ir.network import IntNet
from snnkd.ir.readout import Readout


def contents(bundle):
    return archive.read(bundle)


def rewritten(bundle, path, **changes):
    """The bundle with other contents of some files ('/' and '.' of a name as '__' and '_'), and sums that fit them."""
    files = {name: data for name, data in contents(bundle).items() if name != archive.SUMS}
    for name in list(files):
        key = name.replace("/", "__").replace(".", "_")
        if key in changes:
            files[name] = changes.pop(key)(files[name])
    assert not changes
    archive.write(path, files)
    return path


def outcomes(bundle):
    return {check.name: (check.outcome, check.detail) for check in bundles.verify(bundle).checks}


def test_made_twice_it_is_the_same_file(digits_net, evidence, bundle, tmp_path):
    result = bundles.make(digits_net[0], "cortex-m4", evidence, tmp_path / "of another name.zip", "digits")
    assert (tmp_path / "of another name.zip").read_bytes() == bundle.read_bytes()
    assert result.sha256 == checksums.of(bundle.read_bytes())


def test_the_manifest_says_what_was_measured(digits_net, evidence, bundle):
    net, _ = digits_net
    about = manifest.parse(contents(bundle)[manifest.NAME], "manifest")
    trace = evaluation.simulate(net, evidence.events())
    course = evaluation.course(net, trace)
    assert about.accuracy.integer == (trace.classes(net) == evidence.labels).mean()
    classes, steps = early_exit.stops(course, net.early_exit)
    assert about.accuracy.early_exit == (classes == evidence.labels).mean()
    assert about.work.early_exit_steps == pytest.approx(steps.mean())
    assert about.work.spikes == pytest.approx(sum(layer.spikes.sum() for layer in trace.layers) / 40)
    assert about.work.input_events == pytest.approx(np.count_nonzero(evidence.events()) / 40)
    hidden = trace.layers[0].spikes.sum() / 40
    assert about.work.synops == pytest.approx(about.work.input_events * 12 + hidden * 10)
    assert about.work.synops_most == 5 * (64 * 12 + 12 * 10)
    assert about.memory.flash == c99.plan(net).flash
    assert (about.encoder, about.readout["kind"], about.provenance) == (net.encoding, "membrane", {"seed": 5})
    assert about.class_names == list(net.class_names)
    assert r'| classes | 0 0 "café" \| ??/, 1 1 "café"' in contents(bundle)["README.md"].decode()


def test_golden_samples_are_those_of_the_network(digits_net, evidence, bundle, tmp_path):
    archive.unpack(contents(bundle), tmp_path)
    net = netx.load(tmp_path / "model.net")
    with np.load(tmp_path / "golden" / "golden.npz") as golden:
        trace = evaluation.simulate(net, golden["input"])
        np.testing.assert_array_equal(golden["layer0"], trace.layers[0].spikes)
        np.testing.assert_array_equal(golden["classes"], trace.classes(net))
        np.testing.assert_array_equal(golden["images"], evidence.images[:16])
        np.testing.assert_array_equal(golden["labels"], evidence.labels[:16])


def test_an_engineer_with_unzip_and_make_proves_it(bundle, tmp_path):
    for program in ("make", "cc", "sha256sum"):
        if not shutil.which(program):
            pytest.skip(f"needs {program}")
    with zipfile.ZipFile(bundle) as file:
        file.extractall(tmp_path)
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=True)
    done = subprocess.run(["make", "-C", "c", "test"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok 16 samples" in done.stdout
    printed = "const char *const names[] = {SNNKD_CLASS_NAMES}; puts(names[9]); return sizeof names / sizeof *names;"
    (tmp_path / "names.c").write_text(f'#include <stdio.h>\n#include "model.h"\nint main(void) {{ {printed} }}\n')
    strict = ["cc", "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-Ic", "names.c", "-o", "names"]
    subprocess.run(strict, cwd=tmp_path, check=True)
    done = subprocess.run(["./names"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ('9 "café" | ??/\n', 10)


def test_the_readmes_script_finds_the_same_spikes_in_onnx(bundle, tmp_path):
    archive.unpack(contents(bundle), tmp_path)
    text = (tmp_path / "README.md").read_text()
    script = textwrap.dedent(text[text.index("    import numpy, onnxruntime") :].split("\n\nMade by")[0])
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    compared = {"layer0", "layer0_v", "layer1", "layer1_v", "counts", "classes"}
    assert {line.split()[0] for line in lines if line.endswith(" equal")} == compared
    assert "DIFFERENT" not in done.stdout


def test_verify_proves_all_that_this_machine_can(bundle):
    found = bundles.verify(bundle)
    assert found.equal
    by_name = {check.name: check for check in found.checks}
    assert list(by_name)[:4] == ["hashes", "manifest", "generated", "golden"]
    assert {name for name, check in by_name.items() if check.outcome == "different"} == set()
    for name in ("hashes", "manifest", "generated", "golden", "onnx"):
        assert by_name[name].outcome == "equal", by_name[name]
    assert by_name["qemu"].outcome == ("skipped" if c99.qemu_missing() else "equal")
    assert json.loads((bundle.parent / "measured.json").read_text())["sha256"] == found.sha256


def test_a_changed_byte_in_any_file_is_found(bundle, tmp_path):
    whole = contents(bundle)
    for name in whole:
        changed = bytearray(whole[name])
        changed[len(changed) // 2] ^= 4
        with zipfile.ZipFile(tmp_path / "changed.zip", "w") as file:
            for other, data in whole.items():
                file.writestr(other, bytes(changed) if other == name else data)
        found = bundles.verify(tmp_path / "changed.zip")
        assert not found.equal
        assert [check.name for check in found.checks] == ["hashes"]
        assert name in found.checks[0].detail


def test_a_lie_with_fitting_hashes_is_found_too(bundle, tmp_path):
    def changed(data):
        return data.replace(b" 2,", b" 4,", 1)

    other = rewritten(bundle, tmp_path / "a.zip", c__model_c=changed)
    assert outcomes(other)["manifest"] == ("different", "c/model.c: not as manifest.json lists it")

    def fitting(data):
        entry = manifest.listed(changed(contents(bundle)["c/model.c"])).model_dump()
        about = json.loads(data)
        return json.dumps(about | {"files": about["files"] | {"c/model.c": entry}}).encode()

    found = outcomes(rewritten(bundle, tmp_path / "c.zip", c__model_c=changed, manifest_json=fitting))
    assert found["manifest"][0] == "equal"
    assert found["generated"] == ("different", f"not what snnkd {__version__} here makes of model.net: c/model.c")
    assert "gcc" not in found

    def lie(data):
        return data.replace(b'"parameters": 888', b'"parameters": 887')

    about = outcomes(rewritten(bundle, tmp_path / "b.zip", manifest_json=lie))
    assert about["manifest"] == ("different", "parameters: not that of model.net")


@pytest.mark.compiler("gcc")
def test_the_self_test_fails_where_a_golden_spike_is_wrong(bundle, tmp_path):
    archive.unpack(contents(bundle), tmp_path)
    assert c99.self_test(tmp_path / "c", "gcc").passed
    golden = tmp_path / "golden" / "golden.c"
    text = golden.read_text()
    start = text.index("golden_spikes[")
    row = text.index("U", text.index("{", start))
    golden.write_text(text[: row - 1] + str((int(text[row - 1]) + 1) % 10) + text[row:])
    assert not c99.self_test(tmp_path / "c", "gcc").passed


@pytest.mark.compiler("gcc")
def test_the_self_test_fails_where_the_encoder_gives_other_events(bundle, tmp_path):
    archive.unpack(contents(bundle), tmp_path)
    assert "all encoded events" in c99.self_test(tmp_path / "c", "gcc").text
    model = tmp_path / "c" / "model.c"
    assert "SNNKD_INPUTS, 4U, events" in model.read_text()
    model.write_text(model.read_text().replace("SNNKD_INPUTS, 4U, events", "SNNKD_INPUTS, 3U, events"))
    done = c99.self_test(tmp_path / "c", "gcc")
    assert not done.passed
    assert "input, neuron" in done.text
    assert ": event" in done.text


@pytest.fixture
def small(tmp_path):
    """A target that holds next to nothing."""
    path = tmp_path / "small.toml"
    path.write_text(
        'name = "small"\ndescription = "a very small chip"\nengine = "c99"\n'
        '[limits.flash]\nvalue = 500\nunit = "byte"\nkind = "assumed"\nsource = "the test"\n'
        '[limits.ram]\nvalue = 100\nunit = "byte"\nkind = "assumed"\nsource = "the test"\n'
    )
    return path


def test_what_does_not_fit_is_refused_with_the_bytes_missing(digits_net, evidence, small, tmp_path):
    result = bundles.make(digits_net[0], small, evidence, tmp_path / "a.zip", "digits")
    plan = c99.plan(digits_net[0])
    assert [one.limit for one in result.violations] == ["flash", "ram"]
    assert f"{plan.flash - 500} too many" in result.violations[0].actual
    assert not (tmp_path / "a.zip").exists()
    with pytest.raises(LimitError, match="targets that run C"):
        bundles.make(digits_net[0], "loihi2", evidence, tmp_path / "a.zip", "digits")


def test_memory_is_that_of_the_steps_of_the_samples(small, tmp_path):
    """With one step these neurons need no states."""
    net, _ = conformance.networks()["sigma delta once"]
    for steps in (1, 3):
        events = conformance.random_events(np.random.default_rng(1), net, 16, steps)
        result = bundles.make(net, small, Samples("events", events), tmp_path / "a.zip")
        assert result.bytes.ram == c99.plan(replace(net, steps=steps)).ram
        assert c99.plan(replace(net, steps=steps)).stateless == (steps == 1)


def test_events_without_labels_or_images(without, evidence, tmp_path):
    plain = Samples("events", np.ascontiguousarray(evidence.events()))
    result = bundles.make(without, "c99", plain, tmp_path / "a.zip", "digits", prefix="other")
    assert result.accuracy is None
    found = outcomes(tmp_path / "a.zip")
    assert found["generated"][0] == "equal"
    assert {outcome for outcome, _ in found.values()} <= {"equal", "skipped"}
    assert found["qemu"][0] == "skipped"
    with pytest.raises(FormatError, match=r"labels: expected \(40,\)"):
        Samples("events", evidence.events(), labels=np.zeros(3, np.int64))
    with pytest.raises(LimitError, match="at least 16"):
        bundles.make(without, "c99", Samples("few", evidence.events(0, 15)), tmp_path / "b.zip")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"bundle": 2}, "expected version 1, found 2"),
        ({"neurons": "many"}, "neurons: expected"),
        ({"surplus": 1}, "unknown key 'surplus'"),
        ({"steps": None}, "steps: expected"),
    ],
)
def test_other_manifests_are_refused_by_name(bundle, tmp_path, change, expected):
    def edit(data):
        return json.dumps(json.loads(data) | change).encode()

    with pytest.raises(FormatError, match=expected):
        bundles.verify(rewritten(bundle, tmp_path / "a.zip", manifest_json=edit))
    with pytest.raises(FormatError, match="not valid JSON"):
        bundles.verify(rewritten(bundle, tmp_path / "b.zip", manifest_json=lambda _: b"{"))


def test_a_zip_that_is_no_bundle_is_one_clear_error(tmp_path):
    archive.write(tmp_path / "a.zip", {"hello.txt": b"hello"})
    with pytest.raises(FormatError, match="has no manifest"):
        bundles.verify(tmp_path / "a.zip")


def test_the_python_function_packs_what_the_command_packs(without, tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    netx.save(without, "x.net")
    packed = snnkd.handoff("x.net", "cortex-m4", "a.zip", readout="count")
    status, out, _ = call("handoff", "x.net", "--target", "cortex-m4", "--out", "b.zip", "--readout", "count", "--json")
    assert status == 0
    printed = json.loads(out)
    assert {**printed, "file": "a.zip", "sha256": packed.sha256} == packed.to_json()
    assert packed.readout.kind == "count" and packed.file == "a.zip"
    assert archive.read(tmp_path / "a.zip")["model.net"] == archive.read(tmp_path / "b.zip")["model.net"]


def test_a_file_is_packed_with_the_recordings_of_a_set(tmp_path, monkeypatch, call):
    """Its golden samples are raw recordings, which the bundle's own encoder reads; a readout over all steps too."""
    random = np.random.default_rng(3)
    encoding = EventEncoding(6, (4, 5), window_us=1000)
    layer = conformance.random_dense(random, (2, 4, 5), 3, thresholds=(200, 200))
    monkeypatch.chdir(tmp_path)
    netx.save(IntNet((2, 4, 5), (layer,), 6, 0, encoding.to_json(), Readout("membrane", over="max")), "x.net")
    count, ends = 20 * 12, np.arange(1, 21) * 12
    arrays = {
        "t": random.integers(0, 6000, count),
        "x": random.integers(0, 5, count),
        "y": random.integers(0, 4, count),
    }
    arrays |= {"p": random.integers(0, 2, count), "ends": ends, "labels": np.arange(20) % 3}
    np.savez("own.npz", **arrays, **{f"{key}_test": values for key, values in arrays.items()})
    status, out, errors = call("handoff", "x.net", "--data", "own.npz", "--data-root", ".", "--out", "b.zip", "--json")
    assert status == 0, errors
    assert json.loads(out)["accuracy"]["samples"] == 20 and json.loads(out)["readout"]["over"] == "max"
    golden = np.load(io.BytesIO(archive.read(tmp_path / "b.zip")["golden/golden.npz"]))
    np.testing.assert_array_equal(golden["recorded"][:, 0], arrays["t"][: 16 * 12])
    readme = archive.read(tmp_path / "b.zip")["README.md"].decode()
    assert "highest membrane voltage after any step" in readme and "snnkd_events.h" in readme
    checks = list(islice(proof.prove(tmp_path / "b.zip"), 5))
    assert checks[-1].name == "gcc" and {check.outcome for check in checks} <= {"equal", "skipped"}, checks
    assert call("handoff", "x.net", "--data", "own.npz", "--input", "a.npy", "--out", "c.zip")[0] == 2
