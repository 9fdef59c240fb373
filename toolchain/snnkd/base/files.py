"""Files: found by name or path, read with errors that name the place, written whole or not at all, never over an
input."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from snnkd.base import checksums, recognition
from snnkd.base.errors import FormatError, LimitError, SnnkdError, in_a_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

_DEEPEST = 32  # levels of tables and lists in a TOML file
_PACKAGE = Path(__file__).resolve().parent.parent


def data_root(kind: str) -> Path:
    """Returns the folder of the declarative data `kind` ('models' or 'hw_targets'), in a wheel or in a checkout.

    Raises SnnkdError where it is missing.
    """
    for folder in (_PACKAGE / "_data" / kind, _PACKAGE.parent.parent / kind):
        if folder.is_dir():
            return folder
    raise SnnkdError(f"snnkd is installed without its folder '{kind}': reinstall it")


def names(kind: str, pattern: str) -> dict[str, Path]:
    """Returns the shipped files of `kind` that match the glob `pattern`, by name.

    The name is the path below the pattern's fixed part without its suffix, 'recipes/**/*.toml' gives 'digits' and
    'best/mnist'; without the file where its name is fixed, '*/target.toml' gives 'loihi2-sim'.
    """
    root = data_root(kind)
    fixed = Path(pattern).parent
    while "*" in str(fixed):
        fixed = fixed.parent
    paths = {}
    for path in sorted(root.glob(pattern)):
        relative = path.relative_to(root / fixed)
        name = relative.with_suffix("") if "*" in Path(pattern).name else relative.parent
        paths[name.as_posix()] = path
    return paths


def find(name: str | Path, known: dict[str, Path], what: str) -> Path:
    """Returns the path of the user's own file `name`, which ends with .toml, or else of the one called so in `known`.

    what: what is looked for, for the message.

    Raises SnnkdError that says what a file or folder of this name is instead, or else the closest known names.
    """
    path = Path(name)
    if path.suffix == ".toml":
        if path.is_file():
            return path
        raise SnnkdError(f"{in_a_line(path)}: no such {what} file")
    if str(name) in known:
        return known[str(name)]
    if str(name) and path.exists():
        raise SnnkdError(f"{path}: {_mistaken(path, what)}")
    close = difflib.get_close_matches(str(name), known, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
    raise SnnkdError(f"no {what} is called '{in_a_line(name)}': {hint} (a path to your own .toml works too)")


def _mistaken(path: Path, what: str) -> str:
    """Says what there is at `path`, where a file of the kind `what` was expected."""
    inside = path / f"{what}.toml"
    if inside.is_file():
        return f"is a folder; its {what} is {inside}"
    return recognition.sentence(path, "toml") or f"expected the name of a {what}, or a file that ends with .toml"


def read_bytes(path: Path) -> bytes:
    """Reads a file. Raises FormatError where it cannot be read, or is not what the SHA256SUMS beside it lists."""
    try:
        data = path.read_bytes()
        checksums.check(path, data)
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror or error}") from error
    return data


def check_listed(path: Path) -> None:
    """Compares a file with the SHA256SUMS beside it, if that lists it. Raises FormatError where they differ."""
    if path.is_file() and path.name in checksums.beside(path):
        read_bytes(path)


def read_toml(path: Path) -> dict[str, Any]:
    """Reads a TOML file. Raises FormatError as `read_bytes` does, and that names the line of what is no TOML."""
    try:
        data = tomllib.loads(read_bytes(path).decode("utf-8-sig"))  # editors on Windows put a mark in front
    except UnicodeDecodeError as error:
        what = recognition.sentence(path, "toml") or f"cannot be read: {error}; save it as UTF-8"
        raise FormatError(f"{path}: {what}") from error
    except RecursionError as error:
        raise FormatError(f"{path}: not valid TOML: brackets lie too deep in each other") from error
    except ValueError as error:
        what = recognition.sentence(path, "toml") or f"not valid TOML: {in_a_line(error)}"
        raise FormatError(f"{path}: {what}") from error
    _check_depth(path, data)
    return data


def read_json(path: Path) -> Any:
    """Reads a JSON file. Raises FormatError as `read_bytes` does, and for what is no JSON."""
    try:
        return json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: not valid JSON: {in_a_line(error)}") from error


def _check_depth(path: Path, data: dict[str, Any]) -> None:
    """Raises FormatError for tables and lists that nest deeper than anything here needs: what walks them recurses."""
    level: list[Any] = [data]
    for _ in range(_DEEPEST):
        level = [item for value in level for item in _items(value)]
        if not level:
            return
    raise FormatError(f"{path}: its tables and lists nest deeper than {_DEEPEST} levels; none of ours do")


def _items(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def check_output(option: str, out: Path, suffix: str | tuple[str, ...], inputs: Iterable[str | Path | None]) -> None:
    """Refuses to write `out` where that would destroy an input, or would be a file of a misleading name.

    option: what the user typed, '--out'. suffix: what the file's name has to end with, '.net', or any of several.
    inputs: all files that the command reads; compared by real path, so that links count. Raises LimitError.
    """
    allowed = (suffix,) if isinstance(suffix, str) else suffix
    if out.suffix not in allowed:
        expected = " or ".join(allowed)
        raise LimitError(f"{option} {out}: expected a name that ends with {expected}; choose another one")
    for source in inputs:
        if source is not None and os.path.realpath(source) == os.path.realpath(out):
            raise LimitError(
                f"{option} {out}: is an input of this command ({source}), which is never overwritten; choose "
                "another file"
            )


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


def write_listed(path: Path, data: bytes) -> None:
    """Writes `data` to `path`, whole or not at all, and its digest into the SHA256SUMS beside it.

    The digest comes first: a process that is killed in between leaves a file that is refused, not one that is believed.
    """
    digests = checksums.beside(path) | {path.name: checksums.of(data)}
    write_text(path.with_name(checksums.SUMS), checksums.text(digests))
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def to_json(data: Any) -> str:
    """Writes `data` as indented JSON, the contents of a file."""
    return json.dumps(data, indent=2) + "\n"
