"""Packages that an installation may lack, and the exact command that installs them: the one place for both.

Nothing is imported to find out: a package is looked for as an import would, and its version is read from its metadata.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib import metadata

from snnkd.base.errors import LimitError


@dataclass(frozen=True)
class Package:
    """A package by its name in registries; extra: of snnkd, which brings it, None where every installation has it."""

    name: str
    extra: str | None = None


# What an extra is for, so what an installation without it cannot do.
EXTRAS = {
    "data": "the digits and image folders as data sets",
    "train": "train, run and export",
    "lava": "Lava's simulation of Loihi 2, which verify and export compare with",
    "onnx": "the engine onnx (ONNX models are written without it)",
    "nir": "networks as .nir",
    "norse": "teachers made with Norse",
    "ray": "sweeps on a cluster",
    "search": "the search for the best student under a budget",
}
# By the module that is imported. tests/base/test_packages.py compares this with pyproject.toml.
PACKAGES = {
    "h5py": Package("h5py"),
    "jinja2": Package("jinja2"),
    "numba": Package("numba"),
    "numpy": Package("numpy"),
    "onnx": Package("onnx"),
    "pydantic": Package("pydantic"),
    "rich": Package("rich"),
    "typer": Package("typer"),
    "PIL": Package("pillow", "data"),
    "sklearn": Package("scikit-learn", "data"),
    "safetensors": Package("safetensors", "train"),
    "tensorboard": Package("tensorboard", "train"),
    "torch": Package("torch", "train"),
    "torchvision": Package("torchvision", "train"),
    "lava.magma": Package("lava-nc", "lava"),
    "lava.lib.dl": Package("lava-dl", "lava"),
    "asteval": Package("asteval", "lava"),
    "networkx": Package("networkx", "lava"),
    "scipy": Package("scipy", "lava"),
    "onnxruntime": Package("onnxruntime", "onnx"),
    "nir": Package("nir", "nir"),
    "norse": Package("norse", "norse"),
    "ray": Package("ray", "ray"),
    "optuna": Package("optuna", "search"),
}
# Both are archived. They run on current Pythons beside current packages, and say that they do not: so they are
# installed without what they ask for, of which the extra has what Lava's simulator imports.
_ARCHIVED = ("lava-nc==0.10.0", "lava-dl==0.6.0")


def missing(*modules: str) -> str | None:
    """Says which of `modules`, keys of PACKAGES, are not installed and what installs them; None where all are."""
    absent = [PACKAGES[module] for module in modules if not _is_installed(module)]
    if not absent:
        return None
    *others, last = (package.name for package in absent)
    names = f"{', '.join(others)} and {last}" if others else last
    return f"{names} {'is' if len(absent) == 1 else 'are'} not installed: {command(absent)}"


def require(what: str, *modules: str) -> None:
    """Raises LimitError where `what`, in words, cannot be done because one of `modules` is missing."""
    if reason := missing(*modules):
        raise LimitError(f"{what}: {reason}")


def command(absent: list[Package]) -> str:
    """Returns the shell command that installs these packages, at least one, into the environment that runs this."""
    pip = _installer()
    extras = sorted({package.extra for package in absent if package.extra})
    wanted = [f"'snnkd[{','.join(extras)}]'"] if extras else [package.name for package in absent]
    commands = [f"{pip} {' '.join(wanted)}"]
    if "lava" in extras:
        ignoring = "" if pip.startswith("uv") else "--ignore-requires-python "  # uv does so by itself
        commands.append(f"{pip} --no-deps {ignoring}{' '.join(_ARCHIVED)}")
    return " && ".join(commands)


def version(package: Package) -> str | None:
    """Returns the installed version, None where there is none. Imports nothing."""
    try:
        return metadata.version(package.name)
    except metadata.PackageNotFoundError:
        return None


def _installer() -> str:
    """An environment that uv has made has no pip of its own."""
    return "pip install" if importlib.util.find_spec("pip") else "uv pip install"


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it is in
        return False
