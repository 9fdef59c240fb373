"""The bundle's zip: the same bytes each time it is written, and names and sizes checked before it is read."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from snnkd.base import checksums, recognition
from snnkd.base.checksums import SUMS
from snnkd.base.errors import FormatError
from snnkd.base.files import atomic

_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = stat.S_IFREG | 0o644
_MAX_FILES = 1000
_MAX_BYTES = 1 << 30


def write(path: Path, files: Mapping[str, bytes]) -> str:
    """Writes `files` (contents by name, '/' between folders) and their SHA256SUMS; returns the zip's SHA-256.

    Equal contents give equal bytes: names in order, no times, one compression.
    """
    whole = dict(files) | {SUMS: sums(files)}
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in sorted(whole):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr, info.create_system = _MODE << 16, 3
            archive.writestr(info, whole[name], zipfile.ZIP_DEFLATED, 9)
    return checksums.of(path.read_bytes())


def read(path: Path) -> dict[str, bytes]:
    """Contents by name, SHA256SUMS among them, which are not compared here.

    Raises FormatError where this is no zip, where a file in it is damaged, where a name could lead out of the folder
    that it is unpacked to or stands twice, and where it holds more than a bundle does.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_entries(path, entries)
            return {entry.filename: archive.read(entry) for entry in entries}
    except FileNotFoundError as error:
        raise FormatError(f"{path}: no such file; expected a bundle") from error
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        what = recognition.sentence(path, "bundle") if not zipfile.is_zipfile(path) else None
        what = what or f"a damaged one ({error}); ask for it again"
        raise FormatError(f"{path}: not a bundle: {what}") from error


def unpack(files: Mapping[str, bytes], folder: Path) -> None:
    """Writes files as `read` gives them below `folder`."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def differences(files: Mapping[str, bytes]) -> list[str]:
    """Lists what of `files` is not as their SHA256SUMS say, one sentence each: changed, missing, or not listed."""
    if SUMS not in files:
        return [f"{SUMS}: missing"]
    listed = checksums.parsed(files[SUMS].decode("utf-8", "replace"))
    differing = [f"{name}: not listed in {SUMS}" for name in sorted(files.keys() - listed.keys() - {SUMS})]
    differing += [f"{name}: missing" for name in sorted(listed.keys() - files.keys())]
    for name in sorted(listed.keys() & files.keys()):
        if checksums.of(files[name]) != listed[name]:
            differing.append(f"{name}: not the file that {SUMS} lists")
    if not differing and files[SUMS] != sums({name: data for name, data in files.items() if name != SUMS}):
        differing.append(f"{SUMS}: not as a bundle's is written")
    return differing


def sums(files: Mapping[str, bytes]) -> bytes:
    """Writes the SHA256SUMS of contents by name."""
    return checksums.text({name: checksums.of(data) for name, data in files.items()}).encode()


def _check_entries(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    total = sum(entry.file_size for entry in entries)
    if len(entries) > _MAX_FILES or total > _MAX_BYTES:
        raise FormatError(
            f"{path}: {len(entries)} files of {total} bytes; a bundle has at most {_MAX_FILES} of {_MAX_BYTES} bytes"
        )
    seen: set[str] = set()
    for entry in entries:
        name, mode = entry.filename, entry.external_attr >> 16
        parts = PurePosixPath(name).parts
        plain = all(32 < ord(letter) < 127 and letter not in '\\:*?"<>|' for letter in name)
        if not parts or name.startswith("/") or ".." in parts or str(PurePosixPath(name)) != name or not plain:
            raise FormatError(f"{path}: the name {name!r} may lead out of the folder; unpack nothing of it")
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise FormatError(f"{path}: {name} is no plain file; unpack nothing of it")
        if name.lower() in seen:
            raise FormatError(f"{path}: {name} is in it twice; unpack nothing of it")
        seen.add(name.lower())
