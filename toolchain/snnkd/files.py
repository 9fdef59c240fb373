"""Files: found by name or path, read with errors that name the place, written whole or not at all."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from snnkd.errors import FormatError, SnnkdError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_PACKAGE = Path(__file__).resolve().parent


def data_root(kind: str) -> Path:
    """Folder of the declarative data `kind` ('models' or 'hw_targets'), in a wheel or in a checkout."""
    for folder in (_PACKAGE / "_data" / kind, _PACKAGE.parent.parent / kind):
        if folder.is_dir():
            return folder
    raise SnnkdError(f"snnkd is installed without its folder '{kind}': reinstall it")


def names(kind: str, pattern: str) -> dict[str, Path]:
    """All shipped files of `kind` that match the glob `pattern`, by name.

    The name is the path below the pattern's fixed part without its suffix, 'recipes/**/*.toml' gives 'digits' and
    'best/mnist'; without the file where its name is fixed, '*/target.toml' gives 'loihi2-sim'.
    """
    root = data_root(kind)
    fixed = Path(pattern).parent
    while "*" in str(fixed):
        fixed = fixed.parent
    found = {}
    for path in sorted(root.glob(pattern)):
        relative = path.relative_to(root / fixed)
        name = relative.with_suffix("") if "*" in Path(pattern).name else relative.parent
        found[name.as_posix()] = path
    return found


def find(name: str | Path, known: dict[str, Path], what: str) -> Path:
    """Path of the user's own file, or of the shipped one called `name`.

    Raises SnnkdError with the closest known names where there is neither.
    """
    path = Path(name)
    if path.suffix == ".toml":
        if path.is_file():
            return path
        raise SnnkdError(f"{path}: no such {what} file")
    if str(name) in known:
        return known[str(name)]
    close = difflib.get_close_matches(str(name), known, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
    raise SnnkdError(f"no {what} is called '{name}': {hint} (a path to your own .toml works too)")


def read_toml(path: Path) -> dict[str, Any]:
    """Contents of a TOML file. Raises FormatError that names the file and the line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise FormatError(f"{path}: not valid TOML: {error}") from error


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it onto `path` when the block ends without an error.

    Whatever happens in between (an error, Ctrl-C, a full disk), an earlier file at `path` stays whole and no
    half-written one is left. Raises SnnkdError where the folder cannot be written to.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
    except OSError as error:
        raise SnnkdError(f"{path}: cannot be written: {error.strerror}; choose another folder") from error
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as written:  # before the permissions, which may forbid it
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error  # h5py's own text is a page of internals
        raise SnnkdError(f"{path}: cannot be written: {reason}; an earlier file is intact") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes `text` to `path`, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Any) -> None:
    """Writes `data` as indented JSON to `path`, whole or not at all."""
    write_text(path, json.dumps(data, indent=2, sort_keys=False) + "\n")
