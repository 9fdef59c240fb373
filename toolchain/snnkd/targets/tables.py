"""The tables of a target's TOML files, and the Target that they make up (docs/add_a_target.md).

Each table is a model, as those of recipes are, so that one message lists all that is wrong with a file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from snnkd.base import schema
from snnkd.base.errors import FormatError
from snnkd.base.schema import Place, Problem, Table
from snnkd.targets.build import Build
from snnkd.targets.quantities import ErrorFactor, Kind, Quantity
from snnkd.targets.target import Mesh, Packing, Target

_BAND = ("low", "typical", "high")
_MEMORIES = ("flash", "ram")  # the limits that a target with [build] has


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max


def _number(value: Any) -> Any:
    if not _is_number(value):
        raise ValueError(f"expected a finite number from 0, found {schema.shown(value)}")
    return value


def _number_above_zero(value: Any) -> Any:
    if not _is_number(value) or value == 0:
        raise ValueError(f"expected a finite number above 0, found {schema.shown(value)}")
    return value


def _word(text: str) -> str:
    if not all(character.isalnum() or character in "-+=_.,/" for character in text):
        raise ValueError(f"expected letters, digits and -+=_.,/ only, found {schema.shown(text)}")
    return text


def _address(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 32 or value % 8:
        raise ValueError(f"expected an address of 32 bits, a multiple of 8, found {schema.shown(value)}")
    return value


# Integers stay integers, so that JSON shows a number as its file does.
Number = Annotated[int | float, BeforeValidator(_number)]
NumberAboveZero = Annotated[int | float, BeforeValidator(_number_above_zero)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Word = Annotated[Text, AfterValidator(_word)]  # can stand in a makefile as it is
Address = Annotated[int, BeforeValidator(_address)]

_KIND = Field(description=f"one of {', '.join(get_args(Kind))}")
_SOURCE = Field(description="where the number comes from")


class Entry(Table):
    """A number with its origin: one `value`, or `low`, `typical` and `high`. Subclasses say in which unit."""

    value: Number | None = None
    low: Number | None = None
    typical: Number | None = None
    high: Number | None = None
    kind: Kind = _KIND
    source: Text = _SOURCE

    def data(self) -> Quantity:
        """Returns the entry as data; one value is the low, the typical and the high one."""
        fields: dict[str, Any] = self.model_dump(exclude_none=True)
        if "value" in fields:
            fields |= dict.fromkeys(_BAND, fields.pop("value"))
        return Quantity(**fields)


class EntryAboveZero(Entry):
    """An entry of which nothing may be 0; `typical` and `high` are not below `low`."""

    value: NumberAboveZero | None = None
    low: NumberAboveZero | None = None


class Cores(EntryAboveZero):
    unit: Literal["cores"] = Field(description="'cores'")


class Neurons(EntryAboveZero):
    unit: Literal["neurons"] = Field(description="'neurons'")


class Axons(EntryAboveZero):
    unit: Literal["axons"] = Field(description="'axons'")


class Bytes(EntryAboveZero):
    unit: Literal["byte"] = Field(description="'byte'")


class Bits(EntryAboveZero):
    unit: Literal["bit"] = Field(description="'bit'")


class PayloadBits(Entry):
    unit: Literal["bit"] = Field(description="'bit'")


class Steps(Entry):
    unit: Literal["step"] = Field(description="'step'")


class Picojoules(Entry):
    unit: Literal["pJ"] = Field(description="'pJ'")


class Nanoseconds(Entry):
    unit: Literal["ns"] = Field(description="'ns'")


class Watts(Entry):
    unit: Literal["W"] = Field(description="'W'")


class Cycles(EntryAboveZero):
    unit: Literal["cycles"] = Field(description="'cycles'")


class Instructions(EntryAboveZero):
    unit: Literal["instructions"] = Field(description="'instructions'")


class Limits(Table):
    """The table [limits]; None is not known."""

    cores: Cores | None = None
    neurons_per_core: Neurons | None = None
    synapse_memory_per_core: Bytes | None = None
    memory_per_core: Bytes | None = None
    state_per_neuron: Bytes | None = None
    input_axons_per_core: Axons | None = None
    output_axons_per_core: Axons | None = None
    stored_bits_per_weight: Bits | None = None
    weight_bits: Bits | None = None
    delay: Steps | None = None
    payload_bits: PayloadBits | None = None
    flash: Bytes | None = None
    ram: Bytes | None = None


class Costs(Table):
    """The table [costs]; None is not known."""

    synop: Picojoules | None = None
    synop_dense: Picojoules | None = None
    synop_conv: Picojoules | None = None
    neuron_update: Picojoules | None = None
    spike: Picojoules | None = None
    message: Picojoules | None = None
    hop: Picojoules | None = None
    synop_time: Nanoseconds | None = None
    update_time: Nanoseconds | None = None
    step_time: Nanoseconds | None = None
    link_time: Nanoseconds | None = None
    static_power: Watts | None = None
    cycle: Picojoules | None = None
    cycle_time: Nanoseconds | None = None
    cycles_per_instruction: Cycles | None = None
    instructions_per_mac: Instructions | None = None


class Factor(Table):
    """A table of [[error_factors]]: how far off estimates were."""

    of: Text = Field(description="what was measured and estimated, in words")
    low: Number = Field(description="the smallest measured / estimate")
    high: Number = Field(description="the largest measured / estimate")
    unit: Literal["measured / estimate"] = Field(description="'measured / estimate'")
    kind: Kind = _KIND
    source: Text = _SOURCE

    def data(self) -> ErrorFactor:
        """Returns the table as data."""
        return ErrorFactor(**self.model_dump())


class Firmware(Table):
    """The table [build], as `Build` has it."""

    flags: list[Word] = Field(min_length=1, description="the flags of arm-none-eabi-gcc, which choose the core")
    machine: Word = Field(description="QEMU's name of a machine with this core")
    flash_origin: Address = Field(description="the address at which the flash begins")
    ram_origin: Address = Field(description="the address at which the RAM begins")

    def data(self) -> Build:
        """Returns the table as data."""
        return Build(tuple(self.flags), self.machine, self.flash_origin, self.ram_origin)


class PackingTable(Table):
    """The table [packing], as `Packing` has it."""

    word_bits: int = Field(gt=0, description="the bits of a word of synaptic memory")
    weights: int = Field(gt=0, description="the most weights of one source that share a header")
    header_bits: int = Field(ge=0, description="the bits of a header")
    source: Text = _SOURCE

    def data(self) -> Packing:
        """Returns the table as data."""
        return Packing(**self.model_dump())


class MeshTable(Table):
    """The table [mesh], as `Mesh` has it."""

    rows: int = Field(gt=0, description="rows of tiles")
    columns: int = Field(gt=0, description="columns of tiles")
    cores_per_tile: int = Field(gt=0, description="the cores of one tile")
    source: Text = _SOURCE

    def data(self) -> Mesh:
        """Returns the table as data."""
        return Mesh(**self.model_dump())


class TargetFile(Table):
    """`target.toml` of a folder."""

    name: Text = Field(description="the target's name")
    description: Text = Field(description="what the target is, in words")
    engine: Text | None = None
    limits: Limits = Limits()
    packing: PackingTable | None = None
    mesh: MeshTable | None = None
    build: Firmware | None = None


class CostsFile(Table):
    """`costs.toml` of a folder."""

    costs: Costs = Costs()
    error_factors: list[Factor] = Field(default_factory=list)


class SingleFile(CostsFile, TargetFile):  # the fields of the last base come first
    """A target in one file."""


File = TypeVar("File", bound=Table)


def units(table: type[Limits | Costs]) -> dict[str, str]:
    """Returns the unit of each entry that `table` may have, by name."""
    entries = {name: get_args(field.annotation)[0] for name, field in table.model_fields.items()}
    return {name: get_args(entry.model_fields["unit"].annotation)[0] for name, entry in entries.items()}


def single(path: Path, data: dict[str, Any]) -> Target:
    """Makes a target of the contents of one file. Raises FormatError that lists everything that is wrong with it."""
    table, problems = _checked(SingleFile, data)
    if table is None or problems:
        raise FormatError(schema.report(path, problems))
    return _target(table, data, table, data)


def folder(path: Path, data: dict[str, Any], costs_path: Path, costs: dict[str, Any]) -> Target:
    """Makes a target of the contents of `target.toml` and `costs.toml`. Raises FormatError that lists everything that
    is wrong with either."""
    table, problems = _checked(TargetFile, data)
    costs_table, costs_problems = _checked(CostsFile, costs)
    by_file = {path: problems, costs_path: costs_problems}
    reports = [schema.report(file, wrong) for file, wrong in by_file.items() if wrong]
    if table is None or costs_table is None or reports:
        raise FormatError("\n".join(reports))
    return _target(table, data, costs_table, costs)


def _checked(model: type[File], data: dict[str, Any]) -> tuple[File | None, list[Problem]]:
    """The file's table, None where a field is wrong, and all problems, also of fields that do not fit each other."""
    table, problems = schema.validate(model, data)
    if issubclass(model, TargetFile):
        problems += _unfit_entries(Limits, data, "limits") + _unfit_build(data)
    if issubclass(model, CostsFile):
        problems += _unfit_entries(Costs, data, "costs") + _unfit_factors(data)
    return table, problems


def _unfit_entries(model: type[Limits | Costs], data: dict[str, Any], table: str) -> list[Problem]:
    """What is wrong with the numbers of each entry together."""
    problems: list[Problem] = []
    entries = data.get(table)
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        if name not in model.model_fields or not isinstance(entry, dict):
            continue
        place = (table, name)
        band = [key for key in _BAND if key in entry]
        if ("value" in entry) == bool(band) or len(band) not in (0, len(_BAND)):
            found = ", ".join(key for key in ("value", *_BAND) if key in entry) or "none of them"
            expected = "expected either 'value' or all of 'low', 'typical' and 'high'"
            problems.append(Problem(place, f"{schema.dotted(place)}: {expected}, found {found}"))
        problems += _unordered(entry, band, place)
    return problems


def _unfit_factors(data: dict[str, Any]) -> list[Problem]:
    factors = data.get("error_factors")
    return [
        problem
        for index, factor in enumerate(factors if isinstance(factors, list) else ())
        if isinstance(factor, dict)
        for problem in _unordered(factor, ("low", "high"), ("error_factors", index))
    ]


def _unfit_build(data: dict[str, Any]) -> list[Problem]:
    limits = data.get("limits", {})
    if "build" not in data or not isinstance(limits, dict) or limits.keys() >= set(_MEMORIES):
        return []
    expected = f"expected the limits {' and '.join(_MEMORIES)} too, which say how much memory there is"
    return [Problem(("build",), f"build: {expected}")]


def _unordered(entry: dict[str, Any], keys: Sequence[str], place: Place) -> list[Problem]:
    """The problem that numbers with these keys do not rise, where all of them are numbers."""
    values: list[Any] = [entry.get(key) for key in keys]
    if all(_is_number(value) for value in values) and values != sorted(values):
        found = ", ".join(map(str, values))
        return [Problem(place, f"{schema.dotted(place)}: expected {' <= '.join(keys)}, found {found}")]
    return []


def _target(table: TargetFile, data: dict[str, Any], costs_table: CostsFile, costs: dict[str, Any]) -> Target:
    """`data` and `costs`: what the tables were made of; limits and costs keep the order of their files."""
    return Target(
        name=table.name,
        description=table.description,
        engine=table.engine,
        limits={name: getattr(table.limits, name).data() for name in data.get("limits", {})},
        costs={name: getattr(costs_table.costs, name).data() for name in costs.get("costs", {})},
        error_factors=tuple(factor.data() for factor in costs_table.error_factors),
        build=None if table.build is None else table.build.data(),
        packing=None if table.packing is None else table.packing.data(),
        mesh=None if table.mesh is None else table.mesh.data(),
    )
