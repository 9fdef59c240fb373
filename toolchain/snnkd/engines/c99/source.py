"""model.h and model.c of a network, and the files of the runtime that belong beside them.

The text is a function of the network and the target alone: no date, no path, the same bytes every time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from snnkd.base import files
from snnkd.engines.c99.cross import linker_script, makefile_part
from snnkd.engines.c99.memory import NONE, Part, Plan, plan
from snnkd.ir import image_encoding
from snnkd.ir.event_encoding import EventEncoding
from snnkd.ir.network import IntNet, LayerKind, Neuron, NeuronKind
from snnkd.targets.build import Build
from snnkd.targets.quantities import Quantity

_WIDTHS = {4: "uint8_t", 8: "int8_t", 16: "int16_t", 32: "int32_t"}  # bits of a stored weight: type of an element
_KINDS: dict[LayerKind, str] = {"dense": "SNNKD_KIND_DENSE", "conv": "SNNKD_KIND_CONV", "input": "SNNKD_KIND_INPUT"}
_NEURONS: dict[NeuronKind, str] = {
    "cuba": "SNNKD_NEURON_CUBA",
    "delta": "SNNKD_NEURON_DELTA",
    "sigma-delta": "SNNKD_NEURON_SIGMA_DELTA",
    "sigma": "SNNKD_NEURON_SIGMA",
}
_COLUMNS = 118
_ENCODE = "void snnkd_encode(const uint8_t *image, uint64_t index, uint32_t step, uint8_t *events)"
_TRACE = "trace.c"  # the harness of the engine, no part of a firmware


class Device(Protocol):
    """What is needed of a target: its name, its limits `flash` and `ram` where it has them, and how it is built."""

    @property
    def name(self) -> str: ...

    @property
    def limits(self) -> Mapping[str, Quantity]: ...

    @property
    def build(self) -> Build | None: ...


def model_files(net: IntNet, target: Device) -> dict[str, bytes]:
    """Generates model.h and model.c, by name. Raises LimitError where the runtime cannot hold `net`."""
    memory = plan(net)
    return {"model.h": _header(net, memory, target).encode(), "model.c": _source(net, memory).encode()}


def runtime_files(target: Device) -> dict[str, bytes]:
    """Collects all other files of the folder c/ but the golden samples, by relative path: the runtime, its self-test
    and how to build it; for a target with a `build` also what it needs to start on an emulated chip."""
    folder = files.data_root("hw_targets") / "c99" / "runtime"
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _TRACE)
    shipped = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    if target.build is None:
        return {name: data for name, data in shipped.items() if "/" not in name}
    flash, ram = (int(target.limits[name].high) for name in ("flash", "ram"))
    script = linker_script(shipped["cortex-m/link.ld"].decode(), target.build, flash, ram)
    return shipped | {"cortex-m/link.ld": script.encode(), "target.mk": makefile_part(target.build).encode()}


def trace_file() -> bytes:
    """Reads the harness that runs events from a file through a model and writes every spike and state."""
    return (files.data_root("hw_targets") / "c99" / "runtime" / _TRACE).read_bytes()


def numbers(values: Iterable[Any], form: str = "{}") -> str:
    """Writes numbers, each by `form`, as the inside of a C initializer, in lines of limited length."""
    return _wrapped((form.format(value) + "," for value in values), "    ") + "\n"


def _wrapped(words: Iterable[str], indent: str) -> str:
    lines, line = list[str](), ""
    for word in words:
        if line and len(line) + len(word) + 1 > _COLUMNS:
            lines.append(line)
            line = ""
        line += f" {word}" if line else f"{indent}{word}"
    return "\n".join([*lines, line])


def _header(net: IntNet, memory: Plan, target: Device) -> str:
    defined = {name: f"UINT32_C({value})" for name, value in _sizes(net, memory).items()}
    defined |= {name: str(int(value)) for name, value in _features(net, memory).items()}
    defined |= {} if memory.recorded is None else _of_recordings(memory.recorded)
    if net.early_exit is not None:
        defined["SNNKD_EXIT_FIRST"] = f"INT64_C({net.early_exit.first})"
        defined["SNNKD_EXIT_MARGIN"] = f"INT64_C({net.early_exit.margin})"
    names = [] if net.class_names is None else ["", *_class_names(net.class_names)]
    lines = [
        "/* The sizes of one integer network, for snnkd.h. Generated; the network itself is in model.c. */",
        "#ifndef MODEL_H",
        "#define MODEL_H",
        "",
        "#include <stdint.h>",
        "",
        f"typedef {'int32_t' if memory.wide_input else 'uint8_t'} snnkd_input; /* {_input_text(net)} */",
        "",
        *(f"#define {name} {value}" for name, value in defined.items()),
        *names,
        "",
        "/* Bytes of the constant tables of model.c and of one snnkd_state. The runtime's code, the stack and the",
        " * input come on top. */",
        f"#define SNNKD_FLASH_BYTES UINT32_C({memory.flash})",
        f"#define SNNKD_RAM_BYTES UINT32_C({memory.ram})",
        "",
        *_limits(target),
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def _class_names(names: Sequence[str]) -> list[str]:
    """The names as the inside of an initializer: `const char *const names[] = {SNNKD_CLASS_NAMES};`."""
    literals = [f'"{"".join(map(_escaped, name.encode()))}"' for name in names]
    wrapped = _wrapped([*(f"{literal}," for literal in literals[:-1]), literals[-1]], "    ")
    return ["#define SNNKD_CLASS_NAMES \\", wrapped.replace("\n", " \\\n")]


def _escaped(byte: int) -> str:
    """A byte of a string literal; in octal where it may mean something else there."""
    return chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"


def _sizes(net: IntNet, memory: Plan) -> dict[str, int]:
    last = net.layers[-1].shape
    return {
        "SNNKD_STEPS": net.steps or 0,
        "SNNKD_INPUTS": int(np.prod(net.input_shape)),
        "SNNKD_LAYERS": len(net.layers),
        "SNNKD_OUTPUTS": memory.outputs,
        "SNNKD_OUTPUT_CHANNELS": last[0],
        "SNNKD_OUTPUT_PIXELS": memory.outputs // last[0],
        "SNNKD_POPULATION": net.readout.population,
        "SNNKD_CLASSES": memory.outputs // net.readout.population,
        "SNNKD_VALUES": memory.values,
        "SNNKD_SUMS": memory.sums,
        "SNNKD_SPIKE_WORDS": memory.spike_words,
        "SNNKD_READ_WORDS": memory.read_words,
    }


def _features(net: IntNet, memory: Plan) -> dict[str, bool]:
    """What the compiler may leave out."""
    weights = [part.stored for part in memory.parts if part.stored]
    return {
        **{f"SNNKD_USES_{bits}_BITS": any(stored.bits == bits for stored in weights) for bits in _WIDTHS},
        "SNNKD_USES_CONV": any(layer.kind == "conv" for layer in net.layers),
        "SNNKD_USES_DELAYS": any(part.delays for part in memory.parts),
        "SNNKD_STATELESS": memory.stateless,
        "SNNKD_USES_CUBA": not net.reads_once,
        "SNNKD_USES_MESSAGES": net.is_sigma_delta,
        "SNNKD_PASSES_MESSAGES": any(layer.neuron.kind != "cuba" for layer in net.layers[:-1]),
        "SNNKD_COUNTS_MESSAGES": net.layers[-1].neuron.kind != "cuba",
        "SNNKD_USES_RIGHT_SHIFTS": net.is_sigma_delta or any(part.right or part.delay_right for part in weights),
        "SNNKD_USES_ROUNDED_DELAYS": any(stored.delay_right for stored in weights),
        "SNNKD_USES_CURRENTS": any(part.u != NONE and part.layer.neuron.kind == "cuba" for part in memory.parts),
        "SNNKD_USES_PARAMETERS": any(len(part.neurons) > 1 or part.stored is None for part in memory.parts),
        "SNNKD_USES_INPUT_NEURONS": net.layers[0].kind == "input",
        "SNNKD_KEEPS_INPUT": memory.keeps_input,
        "SNNKD_READS_MEMBRANE": net.readout.kind == "membrane",
        "SNNKD_READS_MAXIMUM": net.readout.over == "max",
        "SNNKD_READS_SUM": net.readout.over == "sum",
        "SNNKD_TIES_BY_MEMBRANE": net.readout.ties == "membrane",
        "SNNKD_EXITS_EARLY": net.early_exit is not None,
        "SNNKD_HAS_ENCODER": memory.encoder is not None and memory.recorded is None,
        "SNNKD_HAS_EVENT_ENCODER": memory.recorded is not None,
    }


def _of_recordings(encoding: EventEncoding) -> dict[str, str]:
    """The constants of the encoder of recordings."""
    top, left, height, width = encoding.window
    by_time = encoding.window_us is not None
    sizes = {"TOP": top, "LEFT": left, "HEIGHT": height, "WIDTH": width, "POOL": encoding.pool}
    sizes |= {"CHANNELS": encoding.shape[0], "OF_STEP": encoding.window_us or encoding.count or 0}
    defined = {name: f"UINT32_C({value})" for name, value in sizes.items()}
    defined |= {"BY_TIME": str(int(by_time)), "SIGNED": str(int(encoding.signed)), "LARGEST": str(encoding.largest)}
    return {f"SNNKD_EVENTS_{name}": value for name, value in defined.items()}


def _input_text(net: IntNet) -> str:
    sizes = " x ".join(map(str, (*net.input_shape[1:], net.input_shape[0])))
    kind = "images, the bias of the first layer" if net.reads_image else "events 0 or 1"
    if net.layers[0].neuron.kind == "delta":
        kind = "the values of each step"
    elif net.message_bits:
        kind = f"graded events of {net.message_bits} bits"
    return f"{sizes}{' (H, W, C)' if len(net.input_shape) == 3 else ''}, {kind}"


def _limits(target: Device) -> list[str]:
    """Refused at compile time. The second declaration of an array disagrees with the first one where bytes are
    missing, and the compiler's message then shows how many, as the length of the second (rounded up to even)."""
    lines = []
    for name in ("flash", "ram"):
        upper = f"SNNKD_{name.upper()}"
        if name in target.limits:
            limit = int(target.limits[name].high)
            lines += [
                f"#ifndef {upper}_LIMIT",
                f"#define {upper}_LIMIT UINT32_C({limit}) /* {target.name} */",
                "#endif",
            ]
        lines += [
            f"#if defined({upper}_LIMIT) && ({upper}_BYTES > {upper}_LIMIT)",
            f"/* Does not fit: the length of this array is the number of bytes that the {name} is short of. */",
            f"extern const char snnkd_{name}_is_short_of_these_bytes[1];",
            f"extern const char snnkd_{name}_is_short_of_these_bytes[(({upper}_BYTES - {upper}_LIMIT + 1) / 2) * 2];",
            "#endif",
            "",
        ]
    return lines


def _encoder_body(net: IntNet, encoder: str) -> list[str]:
    encoding = image_encoding.parameters(net.encoding)
    assert encoding is not None, "checked by the plan: what a file says becomes code here"
    pixels = f"{int(np.prod(net.input_shape[1:]))}U, {net.input_shape[0]}U"
    call = {
        "direct": f"snnkd_encode_direct(image, SNNKD_INPUTS, {encoding['bits']}U, events)",
        "rate": "snnkd_encode_rate(image, SNNKD_INPUTS, step, events)",
        "poisson": f"snnkd_encode_poisson(image, {pixels}, UINT64_C({encoding['seed']}), index, step, events)",
        "latency": f"snnkd_encode_latency(image, SNNKD_INPUTS, {encoding['steps']}U, step, events)",
    }[encoder]
    unused = [f"    (void){name};" for name in ("index", "step") if f" {name}," not in call]
    return ["", _ENCODE, "{", *unused, f"    {call};", "}"]


def _source(net: IntNet, memory: Plan) -> str:
    lines = ["/* One integer network as constant tables; snnkd.h explains them. Generated. */", '#include "snnkd.h"']
    images = memory.encoder if memory.recorded is None else None
    lines += ['#include "snnkd_encoder.h"', ""] if images else [""]
    tables = _tables(memory)
    for name, (kind, values) in tables.items():
        lines += [f"const {kind} {name}[{len(values)}] = {{", numbers(values.tolist()) + "};"]
    neurons = [row for part in memory.parts for row in part.neurons.tolist()]
    rows = numbers(neurons, "{{{0[0]}, {0[1]}, {0[2]}U, {0[3]}U}}")
    lines += [f"const snnkd_neuron snnkd_neurons[{len(neurons)}] = {{", rows + "};"]
    lines += ["const snnkd_layer snnkd_layers[SNNKD_LAYERS] = {", *_layers(memory), "};", ""]
    sizes = " +\n    ".join(f"sizeof {name}" for name in (*tables, "snnkd_neurons", "snnkd_layers"))
    lines += [f"SNNKD_ASSERT(snnkd_tables_have_the_size_that_was_computed,\n    ({sizes}) == SNNKD_FLASH_BYTES);"]
    lines += _encoder_body(net, images) if images else []
    return "\n".join(lines) + "\n"


def _tables(memory: Plan) -> dict[str, tuple[str, np.ndarray]]:
    """Name: (type of an element, values) of each array of weights and delays that is not empty."""
    tables = {}
    for bits, kind in _WIDTHS.items():
        own = [part.stored.elements() for part in memory.parts if part.stored and part.stored.bits == bits]
        if own:
            tables[f"snnkd_weights{bits}"] = (kind, np.concatenate(own))
    delays = [part.delays.values for part in memory.parts if part.delays]
    return tables | ({"snnkd_delays": ("uint8_t", np.concatenate(delays))} if delays else {})


def _layers(memory: Plan) -> list[str]:
    lines = []
    weights = dict.fromkeys(_WIDTHS, 0)
    parameters = delays = 0
    for part in memory.parts:
        fields = _layer(part) | {"parameters": parameters, "period": len(part.neurons)}
        if part.stored:
            fields |= {"weights": weights[part.stored.bits]}
            weights[part.stored.bits] += part.stored.elements().size
        if part.delays:
            fields |= {"delays": delays}
            delays += part.delays.values.size
        parameters += len(part.neurons)
        words = [f".{name} = {_number(value)}," for name, value in fields.items()]
        lines += ["    {", _wrapped(words, "        "), "    },"]
    return lines


def _number(value: int | str) -> str:
    return value if isinstance(value, str) else "SNNKD_NONE" if value == NONE else f"{value}U"


def _layer(part: Part) -> dict[str, int | str]:
    """Fields of snnkd_layer that are not 0, but those that depend on the layers before."""
    layer = part.layer
    fields: dict[str, int | str] = {
        "kind": _KINDS[layer.kind],
        "neuron": _neuron(layer.neuron),
        "source": part.source,
        "inputs": int(np.prod(part.read)),
        "neurons": int(np.prod(layer.shape)),
        "v": part.v,
        "u": part.u,
        "spikes": part.spikes,
        "sums": part.sums,
    }
    if part.stored:
        names = ("bits", "left", "right", "delay_left", "delay_right", "row")
        fields |= {name: getattr(part.stored, name) for name in names}
    if part.delays:
        fields |= {"delay_slots": part.delays.slots}
        fields |= {"delay_by_input": part.delays.by_input, "delay_by_output": part.delays.by_output}
    if layer.kind == "conv":
        out, group_in, kernel_h, kernel_w = layer.weight.shape
        fields |= dict(zip(("channels", "height", "width"), part.read, strict=True))
        fields |= {"group_in": group_in, "group_out": out // layer.groups, "out_channels": out}
        fields |= {"out_height": layer.shape[1], "out_width": layer.shape[2]}
        fields |= {"kernel_h": kernel_h, "kernel_w": kernel_w}
        for name in ("stride", "padding", "dilation"):
            fields |= dict(zip((f"{name}_h", f"{name}_w"), getattr(layer, name), strict=True))
    return {name: value for name, value in fields.items() if value != 0}


def _neuron(neuron: Neuron) -> str | int:
    """The field neuron: its kind, and what else it says of sigma-delta ones."""
    words = [_NEURONS[neuron.kind]]
    if neuron.kind == "sigma-delta" and neuron.activation == "relu":
        words.append("SNNKD_NEURON_RELU")
    if (neuron.kind == "delta" or neuron.kind == "sigma-delta") and neuron.cumulative:
        words.append("SNNKD_NEURON_CUMULATIVE")
    return 0 if neuron.kind == "cuba" else " | ".join(words)
