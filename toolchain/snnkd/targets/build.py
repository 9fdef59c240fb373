"""How a target's firmware is built: compiler flags, the machine that emulates it, where its memory lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnkd.base.errors import FormatError
from snnkd.targets.quantities import check_keys, text

_KEYS = {"flags", "machine", "flash_origin", "ram_origin"}


@dataclass(frozen=True)
class Build:
    """flags: of arm-none-eabi-gcc, which choose the core. machine: QEMU's name of one that has it. flash_origin,
    ram_origin: addresses; the sizes are the target's limits `flash` and `ram`."""

    flags: tuple[str, ...]
    machine: str
    flash_origin: int
    ram_origin: int


def build(path: Path, data: Any) -> Build:
    """The table [build] of a target. Raises FormatError that names the file, the entry and what was expected."""
    check_keys(path, "build", data, _KEYS)
    flags = data.get("flags")
    if not isinstance(flags, list) or not flags:
        raise FormatError(f"{path}: build.flags: expected an array of compiler flags, found {flags!r}")
    return Build(
        tuple(_word(path, f"build.flags[{index}]", flag) for index, flag in enumerate(flags)),
        _word(path, "build.machine", data.get("machine")),
        _address(path, "build.flash_origin", data.get("flash_origin")),
        _address(path, "build.ram_origin", data.get("ram_origin")),
    )


def _word(path: Path, where: str, value: Any) -> str:
    """A word that can stand in a makefile as it is."""
    word = text(path, where, value)
    if not all(character.isalnum() or character in "-+=_.,/" for character in word):
        raise FormatError(f"{path}: {where}: expected letters, digits and -+=_.,/ only, found {word!r}")
    return word


def _address(path: Path, where: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 32 or value % 8:
        raise FormatError(f"{path}: {where}: expected an address of 32 bits, a multiple of 8, found {value!r}")
    return value
