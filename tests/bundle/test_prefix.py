"""Several bundles in one firmware, each under a prefix of its own; and the example that each has."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from snnkd import bundle as bundles
from snnkd import targets
from snnkd.base.errors import FormatError, LimitError
from snnkd.bundle import archive, manifest
from snnkd.data.samples import Samples
from snnkd.engines import c99
from snnkd.engines.c99 import build

MAIN = """
#include "wake_port.h"
#include "a_1_port.h"
#include "wake.h"
#include "wake_encoder.h"
#include "a_1.h"

int main(void)
{
    wake_state one; /* both headers in one file */
    a_1_state other;

    wake_init(&one);
    a_1_init(&other);
    return (wake_selftest() == 0) && (a_1_selftest() == 0) ? 0 : 1;
}
"""


@pytest.fixture(scope="module")
def two(digits_net, evidence, tmp_path_factory):
    """The folders of two bundles of two networks: `wake`, which has an encoder, and `a_1`, which reads events."""
    folder = tmp_path_factory.mktemp("two")
    net, _ = digits_net
    plain = replace(net, encoding=None, early_exit=None, layers=(net.layers[0], replace(net.layers[1], weight_exp=1)))
    events = Samples("events", np.ascontiguousarray(evidence.events()))
    for prefix, target, one, samples in (("wake", "c99", net, evidence), ("a_1", "cortex-m4", plain, events)):
        bundles.make(one, target, samples, folder / f"{prefix}.zip", "digits", prefix)
        archive.unpack(archive.read(folder / f"{prefix}.zip"), folder / prefix)
    return folder


def compiled(folder, prefix, here):
    """The object files of one bundle with its self-test."""
    c, golden = folder / prefix / "c", folder / prefix / "golden"
    flags = (*build.STRICT, "-O1", f"-I{c}", f"-I{golden}", f"-D{prefix.upper()}_SELFTEST_ALONE", "-c")
    files = [*sorted(c.glob("*.c")), *golden.glob("*.c")]
    return [build.compile(here, [file], f"{file.stem}.o", "gcc", flags) for file in files]


@pytest.mark.compiler("gcc")
def test_two_bundles_in_one_program_prove_themselves(two, tmp_path):
    objects = [path for prefix in ("wake", "a_1") for path in compiled(two, prefix, tmp_path)]
    (tmp_path / "main.c").write_text(MAIN)
    include = [f"-I{two / prefix / 'c'}" for prefix in ("wake", "a_1")]
    program = build.compile(tmp_path, ["main.c", *objects], "both", "gcc", (*build.STRICT, *include))
    done = build.execute([program], tmp_path)
    assert done.returncode == 0 and done.stdout.count("ok 16 samples") == 2, done.stdout
    listed = subprocess.run(["nm", "-g", "--defined-only", *objects], capture_output=True, text=True, check=True).stdout
    names = re.findall(r"^\w+ \w (\w+)$", listed, re.MULTILINE)
    assert len(names) > 30 and all(name.startswith(("wake_", "a_1_")) for name in names), names


def test_every_public_name_and_file_has_the_prefix(two):
    """Files, guards and macros of headers; and no word of snnkd is left in them but the command's name."""
    for prefix in ("wake", "a_1"):
        for file in [*(two / prefix / "c").glob("*.[ch]"), *(two / prefix / "golden").glob("*.[ch]")]:
            assert file.stem == prefix or file.stem.startswith(f"{prefix}_")
            text = file.read_text()
            assert not re.search(r"snnkd[_.]|SNNKD", text), file
            if file.suffix == ".h":
                defined = re.findall(r"^#\s*(?:define|ifndef) (\w+)", text, re.MULTILINE)
                assert all(name.startswith((f"{prefix.upper()}_", "__")) for name in defined), file
    readme = (two / "wake" / "README.md").read_text()
    assert "wake_step(&state" in readme and "c/wake_model.c" in readme and "snnkd handoff --verify" in readme


def test_the_manifest_knows_the_prefix(two):
    """By which the bundle is proved: tests/bundle/test_bundle.py proves one."""
    about = archive.read(two / "a_1.zip")[manifest.NAME]
    assert manifest.parse(about, "m").prefix == "a_1"
    with pytest.raises(FormatError, match=r"m: prefix: --prefix \.\./x: expected 2 to 20"):
        manifest.parse(about.replace(b'"a_1"', b'"../x"'), "m")


@pytest.mark.qemu
def test_a_prefixed_bundle_runs_on_a_chip(two):
    assert c99.on_qemu(two / "a_1" / "c", targets.load("cortex-m4").build, "a_1").passed


def test_the_usual_prefix_is_not_in_the_manifest(bundle):
    """So that an older snnkd reads it."""
    about = archive.read(bundle)[manifest.NAME]
    assert b'"prefix"' not in about and manifest.parse(about, "m").prefix == "snnkd"


@pytest.mark.parametrize("prefix", ["Wake", "1st", "x", "a-b", "a__b", "int_", "a" * 21, "../x"])
def test_a_prefix_that_c_cannot_have_is_refused(digits_net, evidence, tmp_path, prefix):
    with pytest.raises(LimitError, match="expected 2 to 20 lower-case letters"):
        bundles.make(digits_net[0], "c99", evidence, tmp_path / "a.zip", prefix=prefix)
    assert not list(tmp_path.iterdir())


@pytest.mark.compiler("gcc")
def test_the_example_answers_as_the_golden_sample(two):
    if not shutil.which("make"):
        pytest.skip("needs make")
    for prefix in ("wake", "a_1"):  # an image, events
        (answer, *_) = np.load(two / prefix / "golden" / "golden.npz")["classes"]
        done = subprocess.run(["make", "-s", "-C", "c", "example"], cwd=two / prefix, capture_output=True, text=True)
        assert done.stdout == f"class {answer}\n", done.stderr


def test_a_picture_becomes_the_examples_bytes(two, evidence, monkeypatch, capsys):
    """By the command of the README, of the picture that lies beside it."""
    image = pytest.importorskip("PIL.Image").open(two / "wake" / "example" / "image.png")
    np.testing.assert_array_equal(np.asarray(image), evidence.images[0, 0])
    readme = (two / "wake" / "README.md").read_text()
    (code,) = re.findall(r'python3 -c "(.*?)" picture.png > example/image.inc', readme)
    monkeypatch.setattr(sys, "argv", ["-c", str(two / "wake" / "example" / "image.png")])
    exec(code, {})
    shipped = (two / "wake" / "example" / "image.inc").read_text()
    assert capsys.readouterr().out.strip().split(",") == re.findall(r"\d+", shipped)
