"""What is missing and what installs it: the table agrees with pyproject.toml, and the commands are whole."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from snnkd.base import packages
from snnkd.base.errors import LimitError
from snnkd.base.files import read_toml

PROJECT = read_toml(Path(__file__).resolve().parents[2] / "pyproject.toml")["project"]
# Not imported by name, or small helpers without which no other package installs.
OTHERS = {"tomli", "tomli-w", "typing-extensions"}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", line)[0] for line in requirements} - {"snnkd"}


def test_the_table_is_that_of_the_project() -> None:
    core = {package.name for package in packages.PACKAGES.values() if package.extra is None}
    assert core == names(PROJECT["dependencies"]) - OTHERS
    extras = PROJECT["optional-dependencies"]
    archived = {"lava-nc", "lava-dl"}  # no extra can install them
    for extra in extras.keys() - {"all"}:
        told = {package.name for package in packages.PACKAGES.values() if package.extra == extra}
        assert told - archived == names(extras[extra]), extra
    for extra in extras.keys() - {"all", "data"}:
        assert re.search(rf"[\[,]{extra}[,\]]", extras["all"][0])


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch):
    """Has modules be missing, and pip too where `pip` is among them."""
    found = importlib.util.find_spec

    def hide(*modules: str) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in modules else found(name))

    return hide


@pytest.mark.parametrize(
    ("modules", "hidden", "told"),
    [
        (["onnxruntime"], [], "onnxruntime is not installed: pip install 'snnkd[onnx]'"),
        (["onnxruntime"], ["pip"], "onnxruntime is not installed: uv pip install 'snnkd[onnx]'"),
        (["torch", "safetensors"], [], "torch and safetensors are not installed: pip install 'snnkd[train]'"),
        (["numba"], [], "numba is not installed: pip install numba"),
        (["PIL", "nir"], [], "pillow and nir are not installed: pip install 'snnkd[data,nir]'"),
        (
            ["lava.magma"],
            [],
            "lava-nc is not installed: pip install 'snnkd[lava]' && pip install --no-deps --ignore-requires-python "
            "lava-nc==0.10.0 lava-dl==0.6.0",
        ),
        (
            ["lava.lib.dl", "scipy"],
            ["pip"],
            "lava-dl and scipy are not installed: uv pip install 'snnkd[lava]' && uv pip install --no-deps "
            "lava-nc==0.10.0 lava-dl==0.6.0",
        ),
    ],
)
def test_what_is_missing(modules, hidden, told, absent, monkeypatch) -> None:
    absent(*modules, *hidden)
    if not hidden:
        monkeypatch.setattr(packages, "_installer", lambda: "pip install")
    assert packages.missing(*modules, "numpy") == told
    with pytest.raises(LimitError, match=re.escape(f"this work: {told}")):
        packages.require("this work", *modules)


def test_nothing_is_missing(monkeypatch) -> None:
    assert packages.missing("numpy", "h5py") is None
    packages.require("this work", "numpy")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert packages.missing("onnxruntime")


def test_versions() -> None:
    numpy = packages.PACKAGES["numpy"]
    assert packages.version(numpy) == __import__("numpy").__version__
    assert packages.version(packages.Package("no-such-package-of-snnkd")) is None
