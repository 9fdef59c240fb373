"""The wheel and the source distribution, installed as a user would, with the core's packages alone, and used there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import snnkd
from snnkd.base import packages
from snnkd.base.files import read_toml
from snnkd.engines import c99, conformance
from snnkd.formats import netx

ROOT = Path(__file__).resolve().parent.parent
NEWEST = read_toml(ROOT / "pyproject.toml")["tool"]["uv"]["exclude-newer"]
OPTIONAL = {package.name for package in packages.PACKAGES.values() if package.extra}
Snnkd = Callable[..., subprocess.CompletedProcess[str]]


def _uv() -> list[str] | None:
    """How uv is called here: `uv run` says so, else as a program or as a module."""
    for command in ([os.environ.get("UV", "")], ["uv"], [sys.executable, "-m", "uv"], ["python3", "-m", "uv"]):
        if shutil.which(command[0]) and subprocess.run([*command, "--version"], capture_output=True).returncode == 0:
            return command
    return None


UV = _uv()
pytestmark = [pytest.mark.smoke, pytest.mark.skipif(UV is None, reason="uv is not installed")]


def uv(*words: object, folder: Path) -> None:
    """Runs uv in `folder`, outside the checkout, whose pyproject.toml it would follow."""
    done = subprocess.run([*(UV or []), *map(str, words)], cwd=folder, capture_output=True, text=True, timeout=280)
    if done.returncode and re.search(r"dns error|[Cc]onnect|timed out|offline", done.stderr):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--wheel", "--sdist", "--out-dir", folder, ROOT, folder=folder)
    return {"wheel": next(folder.glob("*.whl")), "sdist": next(folder.glob("*.tar.gz"))}


def test_what_is_in_them(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        names = set(wheel.namelist())
    assert "snnkd/py.typed" in names
    shipped = {f"snnkd/_data/{path.relative_to(ROOT)}" for kind in ("models", "hw_targets") for path in _files(kind)}
    assert shipped <= names
    assert {name.split("/")[0] for name in names} == {"snnkd", f"snnkd-{snnkd.__version__}.dist-info"}
    with tarfile.open(built["sdist"]) as sdist:
        tops = {name.split("/")[1] for name in sdist.getnames()}
    assert {"toolchain", "models", "hw_targets", "tests", "docs", "README.md", "LICENSE", "pyproject.toml"} <= tops
    assert not tops & {"shared", "runs", "uv.lock"}


def _files(kind: str) -> list[Path]:
    return [path for path in (ROOT / kind).rglob("*") if path.is_file()]


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def installed(
    request: pytest.FixtureRequest, built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Snnkd:
    """The `snnkd` of a fresh environment, as a function of its words; it runs in a folder with a network, s.net."""
    folder = tmp_path_factory.mktemp(request.param)
    uv("venv", "--quiet", "--python", sys.executable, folder / "env", folder=folder)
    python = folder / "env" / "bin" / "python"
    uv("pip", "install", "--quiet", "--exclude-newer", NEWEST, "--python", python, built[request.param], folder=folder)
    work = folder / "work"
    work.mkdir()
    netx.save(conformance.networks()["dense"][0], work / "s.net")
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "SNNKD_DATA")}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(folder / "env" / "bin" / "snnkd"), *words]
        return subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=280)

    return run


# One way of installing is enough for what takes time: the kernels are compiled anew in each environment.
from_the_wheel = pytest.mark.parametrize("installed", ["wheel"], indirect=True)


def answer(installed: Snnkd, *words: str) -> dict:
    """The JSON of a command that ends well."""
    done = installed(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_core_is_enough(installed: Snnkd) -> None:
    assert installed("--version").stdout == f"{snnkd.__version__}\n"
    assert answer(installed, "check", "s.net")["verdict"] == "likely"
    profile = answer(installed, "profile", "s.net", "--energy")
    assert profile["energy"] and profile["layers"][-1]["spikes"] > 0
    verified = answer(installed, "verify", "s.net", "--against", "fast")
    assert verified["equal"] and verified["compared"]["spikes"] > 0
    assert answer(installed, "inspect", "s.net")["layers"]
    assert answer(installed, "quantize", "s.net", "--bits", "6", "--out", "q.net")["samples"] > 0
    assert len(answer(installed, "models")["models"]) == len(list((ROOT / "models" / "networks").glob("*.toml")))


@from_the_wheel
def test_a_bundle_is_made_and_proved(installed: Snnkd) -> None:
    made = answer(installed, "handoff", "s.net", "--out", "bundle.zip")
    assert made["file"] and not made["violations"]
    checks = {
        check["name"]: check["outcome"] for check in answer(installed, "handoff", "--verify", "bundle.zip")["checks"]
    }
    assert {checks[name] for name in ("hashes", "manifest", "generated", "golden")} == {"equal"}
    assert checks["onnx"] == checks["lava"] == "skipped"
    if c99.missing("gcc"):
        pytest.skip("gcc is not installed: the bundle's C is not proved")
    assert checks["gcc"] == checks["random"] == "equal"


@from_the_wheel
def test_what_is_missing_is_said_with_the_command(installed: Snnkd) -> None:
    health = answer(installed, "doctor")
    assert {name for name, version in health["packages"].items() if version is None} == OPTIONAL
    assert health["engines"]["fast"] is None and "uv pip install 'snnkd[lava]'" in health["engines"]["lava"]
    for words, told in (
        (("verify", "s.net"), "lava-dl==0.6.0; engines that run it here: fast, reference"),
        (("verify", "s.net", "--against", "onnx"), "uv pip install 'snnkd[onnx]'; engines that run it here: fast"),
        (("train",), "uv pip install 'snnkd[train]'"),
        (("run",), "uv pip install 'snnkd[train]'"),
    ):
        done = installed(*words)
        assert (done.returncode, done.stdout) == (2, "")
        *_, last = done.stderr.splitlines()
        assert last.startswith("error: ") and told in last
