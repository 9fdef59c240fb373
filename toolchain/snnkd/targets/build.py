"""How a target's firmware is built: compiler flags, the machine that emulates it, where its memory lies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Build:
    """flags: of arm-none-eabi-gcc, which choose the core. machine: QEMU's name of one that has it. flash_origin,
    ram_origin: addresses; the sizes are the target's limits `flash` and `ram`."""

    flags: tuple[str, ...]
    machine: str
    flash_origin: int
    ram_origin: int
