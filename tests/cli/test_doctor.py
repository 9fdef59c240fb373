"""`snnkd doctor`: what is here, what each lack costs, what ends it, in every kind of broken installation."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from snnkd import doctor, engines
from snnkd.base import packages
from snnkd.engines import c99


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines are asked whether they are installed, not tried."""
    monkeypatch.setattr(doctor, "_tried", lambda name: engines.get(name).available())


def lacks(health: doctor.Health) -> dict[str, doctor.Lack]:
    return {lack.what: lack for lack in health.lacks}


def test_it_tries_engines_and_loads_no_torch(no_data: Path) -> None:
    code = (
        "import sys; from snnkd.engines import lava; lava.available = lambda: 'left out here'\n"
        "from snnkd.cli import main\n"
        "try: main()\n"
        "finally: print({'torch', 'sklearn', 'tensorboard'} & sys.modules.keys(), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "doctor", "--json"], cwd=no_data, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "set()\n")
    health = json.loads(done.stdout)
    assert health["python"] == sys.version.split()[0]
    assert health["packages"].keys() == {package.name for package in packages.PACKAGES.values()}
    assert health["packages"]["numpy"] == __import__("numpy").__version__
    assert health["engines"] == dict.fromkeys(engines.ENGINES) | {
        "lava": "left out here",
        "onnx": packages.missing("onnxruntime"),
        "c99": engines.get("c99").available(),
    }
    assert health["tools"].keys() == set(doctor.TOOLS)
    assert health["data"]["folder"] == str(no_data / "data") and health["data"]["sets"]["mnist"]
    assert (health["folder"], health["writable"]) == (str(no_data), True)
    assert all(lack["what"] and lack["costs"] and lack["fix"] for lack in health["lacks"])


def test_an_engine_that_is_installed_and_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = engines.get("reference")

    def wrong(net, spikes, states=False):
        trace = reference.run(net, spikes, states)
        trace.layers[-1].spikes[0, -1] ^= 1
        return trace

    def broken(net, spikes, states=False):
        raise ImportError("libonnx.so: cannot open shared object file")

    for name, run in (("c99", wrong), ("onnx", broken)):
        monkeypatch.setattr(engines.get(name), "available", lambda: None)
        monkeypatch.setattr(engines.get(name), "run", run)
    monkeypatch.setattr(engines.get("lava"), "available", lambda: "no Lava")
    health = doctor.examine()
    assert health.engines["fast"] is health.engines["reference"] is None
    assert health.engines["c99"] == "gives other spikes than the definition"
    assert health.engines["onnx"] == "ImportError: libonnx.so: cannot open shared object file"
    assert lacks(health)["engine onnx"].fix == "use another one: fast, reference"
    assert "other spikes" in lacks(health)["engine c99"].costs and "engine lava" not in lacks(health)


@pytest.mark.usefixtures("quick")
def test_packages_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    absent = ("torch", "sklearn", "lava.magma")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in absent else found(name))
    told = lacks(doctor.examine())
    assert told["torch"].costs == "train, run and export" and told["torch"].fix.endswith("'snnkd[train]'")
    assert told["scikit-learn"].fix.endswith("'snnkd[data]'")
    assert told["lava-nc"].fix.endswith("lava-nc==0.10.0 lava-dl==0.6.0") and " && " in told["lava-nc"].fix


@pytest.mark.usefixtures("quick")
def test_a_machine_without_tools_and_data(no_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(no_data))
    monkeypatch.setenv("SNNKD_DATA", str(no_data / "nowhere"))
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: (_ for _ in ()).throw(PermissionError()))
    health = doctor.examine()
    assert set(health.tools.values()) == {None} and health.gpus == []
    assert not health.writable and health.data.folder == str(no_data / "nowhere")
    told = lacks(health)
    assert told["C compiler"].fix == "apt-get install gcc"
    assert told["arm-none-eabi-gcc and qemu-system-arm"].fix.startswith("apt-get install gcc-arm-none-eabi")
    assert "write access here" in told and "GPU" in told
    (data,) = (name for name in told if name.startswith("data: mnist, fashion-mnist, cifar10"))
    assert "the folder of SNNKD_DATA" in told[data].costs


@pytest.mark.usefixtures("quick")
def test_a_gpu_whose_compiler_was_left_out(no_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NVIDIA's program stands for the GPU."""
    program = no_data / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA Some GPU'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{no_data}:/usr/bin:/bin")
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "triton" else found("json" if name == "torch" else name),
    )
    health = doctor.examine()
    assert health.gpus == ["NVIDIA Some GPU"]
    assert "GPU" not in lacks(health) and lacks(health)["triton"].fix == "uv pip install --no-config torch"


@pytest.mark.compiler
def test_versions_of_tools() -> None:
    assert re.fullmatch(r"\d+(\.\d+)+", str(doctor._tool("gcc")))
    assert doctor._tool("no-such-tool-anywhere") is None


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("width", [60, 120])
def test_it_fits_the_terminal_and_commands_stay_whole(
    width: int, no_data: Path, call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snnkd.cli import output

    monkeypatch.setattr(c99, "COMPILERS", ())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("COLUMNS", str(width))
    output.console.cache_clear()
    try:
        status, printed, errors = call("doctor")
    finally:
        output.console.cache_clear()
    assert (status, errors) == (0, "")
    commands = [line for line in printed.splitlines() if line.startswith("  ") and "install" in line]
    assert "  uv pip install --no-deps lava-nc==0.10.0 lava-dl==0.6.0" in [line.rstrip() for line in commands]
    assert all(
        len(line.rstrip()) <= width for line in printed.splitlines() if "install" not in line and "export" not in line
    )
    for words in ("packages", "engines", "tools", "What is missing"):
        assert words in printed
