"""Where a result came from: digests, versions, seed and source revision, in plain JSON types."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from snnkd import __version__

_PACKAGES = ("numpy", "torch", "lava-nc", "lava-dl", "h5py", "numba")
_OF_TEACHERS = ("onnxruntime", "norse", "snntorch", "spikingjelly", "torchvision")  # that are not snnkd's own


def digest(data: Any) -> str:
    """Returns the sha256 (hex) of bytes, or of plain data as JSON with sorted keys and without spaces."""
    raw = data if isinstance(data, bytes) else json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(raw).hexdigest()


def file_digest(path: Path) -> str:
    """Returns the sha256 (hex) of a file, which is read in blocks. Raises OSError where it cannot be read."""
    state = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def versions() -> dict[str, str]:
    """Returns the versions of Python, snnkd and those packages that a result depends on and that are installed."""
    installed = {"python": platform.python_version(), "snnkd": __version__}
    for package in (*_PACKAGES, *_OF_TEACHERS):
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


def git_revision() -> str | None:
    """Returns the commit of the checkout that this package runs from, '+' where it has changes; None outside of one."""
    folder = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        if not (Path(git("rev-parse", "--show-toplevel")) / "toolchain" / "snnkd").is_dir():
            return None
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def collect(recipe: dict[str, Any], seed: int, data: str) -> dict[str, Any]:
    """Collects the provenance of a run. recipe: the resolved one as plain data. data: the digest of the data set."""
    return {
        "recipe": digest(recipe),
        "seed": seed,
        "data": data,
        "versions": versions(),
        "git": git_revision(),
    }
