"""What the build of a target's firmware reads: its part of the makefile, and its linker script."""

from __future__ import annotations

from snnkd.targets.build import Build


def makefile_part(build: Build) -> str:
    """Writes target.mk, which the Makefile includes."""
    return (
        f"# How this target is built and emulated.\nTARGET_FLAGS = {' '.join(build.flags)}\nMACHINE = {build.machine}\n"
    )


def linker_script(template: str, build: Build, flash: int, ram: int) -> str:
    """Fills cortex-m/link.ld with the memory of a target: flash and ram in byte."""
    memory = {
        "@FLASH_ORIGIN@": f"0x{build.flash_origin:08X}",
        "@FLASH_LENGTH@": str(flash),
        "@RAM_ORIGIN@": f"0x{build.ram_origin:08X}",
        "@RAM_LENGTH@": str(ram),
    }
    for name, value in memory.items():
        template = template.replace(name, value)
    return template
