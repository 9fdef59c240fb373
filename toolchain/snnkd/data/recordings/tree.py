"""The files of a data set, in a folder or in a zip: listed once, read one by one."""

from __future__ import annotations

import os
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from snnkd.base.errors import DataError

_MOST = 1 << 30  # bytes of one file; what a zip announces is checked before it is unpacked


def stamp_of(path: Path) -> str:
    """Tells a file's path, its size and when it was changed."""
    state = path.stat()
    return f"{path.resolve()} {state.st_size} {state.st_mtime_ns}"


@dataclass(frozen=True)
class Tree:
    """All files below `path`, a folder or a .zip."""

    path: Path

    @property
    def zipped(self) -> bool:
        """Tells whether it is a .zip."""
        return self.path.suffix.lower() == ".zip"

    @cached_property
    def names(self) -> list[str]:
        """Names of its files in sorted order, with / between folders, without hidden ones."""
        if self.zipped:
            found = [entry.filename for entry in self._zip.infolist() if not entry.is_dir()]
        else:
            found = [
                Path(folder, name).relative_to(self.path).as_posix()
                for folder, _, files in os.walk(self.path)
                for name in files
            ]
        return sorted(name for name in found if not any(part.startswith((".", "__MACOSX")) for part in name.split("/")))

    def where(self, name: str) -> str:
        """Names one of its files for messages."""
        return f"{self.path}: {name}" if self.zipped else str(self.path / name)

    def stamp(self, name: str) -> str:
        """Tells one of its files, its size and when it was changed."""
        return f"{self._stamp} {name}" if self.zipped else stamp_of(self.path / name)

    @cached_property
    def _stamp(self) -> str:
        return stamp_of(self.path)

    def read(self, name: str) -> bytes:
        """Reads one of its files. Raises DataError that names it where that cannot be read."""
        try:
            if not self.zipped:
                return (self.path / name).read_bytes()
            if self._zip.getinfo(name).file_size > _MOST:
                raise DataError(f"{self.where(name)}: more than {_MOST:,} bytes")
            return self._zip.read(name)
        except (
            OSError,
            KeyError,
            RuntimeError,
            NotImplementedError,
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
        ) as error:
            raise DataError(f"{self.where(name)}: cannot be read: {error}") from error

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except (OSError, zipfile.BadZipFile, ValueError) as error:
            raise DataError(f"{self.path}: cannot be read as a zip: {error}") from error
