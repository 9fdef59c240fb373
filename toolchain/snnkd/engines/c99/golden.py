"""golden.h and golden.c: what a trace says of some samples, as arrays that the self-test compares with."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from snnkd.base.errors import FormatError, LimitError
from snnkd.engines.c99.memory import Plan, plan
from snnkd.engines.c99.source import Device, numbers
from snnkd.engines.c99.weights import channels_last
from snnkd.ir.events import RawEvents
from snnkd.ir.network import IntNet
from snnkd.ir.trace import SpikeTrace

_WORD_BITS = 32
_FORMS = {"uint32_t": "{}U", "snnkd_event": "{{{0[0]}U, {0[1]}U, {0[2]}U, {0[3]}U}}"}
_BYTES = {"uint8_t": 1, "uint32_t": 4, "int32_t": 4}
_CODE_BYTES = 1 << 14  # of flash, for the runtime, the self-test and what a linker adds: never that much
_FLAGS = ("INPUT_PACKED", "HAS_IMAGES", "HAS_RECORDINGS")
_MOST_EVENTS = 1 << 13  # of recordings: they take 12 bytes each, and a chip has to hold them


def golden_files(
    net: IntNet, trace: SpikeTrace, images: np.ndarray | RawEvents | None = None, target: Device | None = None
) -> dict[str, bytes]:
    """Generates golden.h and golden.c, by name, of the samples of `trace`, a run of `net`.

    images: what the network's encoder has made the events of, (N, C, H, W) uint8, image n with the index n, or the
    events of N recordings; they then prove the encoder too. target: of a chip, which is a target with a `build`, the
    flash has to hold the samples; the first ones that fit are taken, at least one. Raises FormatError where `trace` has
    no v after the last step, or events that the runtime's input cannot hold, LimitError where it has more steps than C
    without states can make.
    """
    memory, chip = plan(net), None if target is None or target.build is None else target
    if memory.stateless and trace.steps != 1:
        raise LimitError(
            f"input: expected samples of 1 step, which is what the network's file says and its C is made for, found "
            f"{trace.steps}; for these: `snnkd convert FILE.net NEW.net --steps {trace.steps}`"
        )
    events = _events(memory, trace)
    packed = not memory.wide_input and net.message_bits == 0
    rows = np.packbits(events != 0, axis=2, bitorder="little") if packed else events
    shown, raw = _encoded(memory, images, chip)
    arrays = {
        "golden_input": ("uint8_t" if packed else "snnkd_input", rows),
        "golden_spikes": ("uint32_t", _spike_words(trace)),
        "golden_counts": ("uint32_t", trace.counts % (1 << 32)),
        "golden_classes": ("uint32_t", trace.classes(net)),
        "golden_voltages": ("int32_t", _voltages(trace)),
        **({} if shown is None else {"golden_images": ("uint8_t", channels_last(shown, 1))}),
    }
    samples = trace.samples if chip is None else min(trace.samples, _room(chip, memory, arrays, raw))
    arrays = {name: (kind, values[:samples]) for name, (kind, values) in arrays.items()}
    if raw is not None:
        arrays["golden_events"] = ("snnkd_event", raw.events)
        arrays["golden_ends"] = ("uint32_t", raw.ends)
    sizes = {
        "SAMPLES": samples,
        "STEPS": trace.steps,
        "INPUT_STEPS": events.shape[1],
        "INPUT_PACKED": int(packed),
        "INPUT_ROW": rows.shape[2],
        "HAS_IMAGES": int(shown is not None),
        "HAS_RECORDINGS": int(raw is not None),
        "ENCODED": samples if raw is None else min(samples, len(raw.ends)),
        "NEURONS": net.neurons,
    }
    return {"golden.h": _header(sizes, arrays).encode(), "golden.c": _source(arrays).encode()}


def _events(memory: Plan, trace: SpikeTrace) -> np.ndarray:
    """(N, T or 1, inputs), of one step where all are the same."""
    events = channels_last(trace.input, 2).reshape(*trace.input.shape[:2], -1)
    if not memory.wide_input and (events.min() < 0 or events.max() > 255):
        raise FormatError(
            f"input: expected events in [0, 255], as the encoder of the network gives them, found {events.min()} to "
            f"{events.max()}"
        )
    return events[:, :1] if (events == events[:, :1]).all() else events


def _encoded(
    memory: Plan, images: np.ndarray | RawEvents | None, chip: Device | None
) -> tuple[np.ndarray | None, RawEvents | None]:
    """The images, or the recordings, that the runtime's own encoder can be proved with; on a chip few of these."""
    if isinstance(images, RawEvents):
        return None, images.first(len(images.events) if chip is None else _MOST_EVENTS) if memory.recorded else None
    return images if memory.encoder and not memory.wide_input else None, None


def _room(chip: Device, memory: Plan, arrays: Mapping[str, tuple[str, np.ndarray]], raw: RawEvents | None) -> int:
    """How many samples of `arrays` fit the flash of `chip` beside all else, 1 where none does."""
    widths = _BYTES | {"snnkd_input": 4 if memory.wide_input else 1}
    one = sum(values[0].size * widths[kind] for kind, values in arrays.values())
    recorded = 0 if raw is None else raw.events.size * _BYTES["uint32_t"]
    return max(1, (int(chip.limits["flash"].high) - memory.flash - _CODE_BYTES - recorded) // one)


def _header(sizes: dict[str, int], arrays: dict[str, tuple[str, np.ndarray]]) -> str:
    lines = [
        "/* Golden samples, from the definition of the integer network. Generated.",
        " *",
        " * All arrays are by sample, then by step. Inputs are channels last; where GOLDEN_INPUT_STEPS is 1, all steps",
        " * have the same; where GOLDEN_INPUT_PACKED is 1, an element is a bit, the lowest first. Where",
        " * GOLDEN_HAS_IMAGES is 1, they are what the encoder makes of golden_images; where GOLDEN_HAS_RECORDINGS is",
        " * 1, those of the first GOLDEN_ENCODED samples are what it makes of golden_events, of which each recording's",
        " * end is in golden_ends. Spikes lie as in",
        " * snnkd_state.spikes. Counts are in the order of the classes. Voltages are those after the last step, of all",
        " * layers in order, channels last. */",
        "#ifndef GOLDEN_H",
        "#define GOLDEN_H",
        "",
        '#include "snnkd.h"',
        *(['#include "snnkd_events.h"'] if "golden_events" in arrays else []),
        "",
        *(f"#define GOLDEN_{name} {value}" + ("" if name in _FLAGS else "U") for name, value in sizes.items()),
        "",
        *(f"extern const {kind} {name}[{_elements(kind, values)}];" for name, (kind, values) in arrays.items()),
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def _source(arrays: dict[str, tuple[str, np.ndarray]]) -> str:
    lines = ['#include "golden.h"', ""]
    for name, (kind, values) in arrays.items():
        form = _FORMS.get(kind, "{}")
        lines += [
            f"const {kind} {name}[{_elements(kind, values)}] = {{",
            numbers(_listed(kind, values), form) + "};",
            "",
        ]
    return "\n".join(lines)


def _elements(kind: str, values: np.ndarray) -> int:
    return len(values) if kind == "snnkd_event" else values.size


def _listed(kind: str, values: np.ndarray) -> list[Any]:
    return values.tolist() if kind == "snnkd_event" else values.reshape(-1).tolist()


def _spike_words(trace: SpikeTrace) -> np.ndarray:
    """(N, T, words) uint32 of all layers side by side, each in whole words."""
    words = []
    for layer in trace.layers:
        spikes = channels_last(layer.spikes, 2).reshape(trace.samples, trace.steps, -1)
        spare = -spikes.shape[2] % _WORD_BITS
        bits = np.pad(spikes != 0, ((0, 0), (0, 0), (0, spare)))
        words.append(np.packbits(bits, axis=2, bitorder="little").view("<u4"))
    return np.concatenate(words, axis=2)


def _voltages(trace: SpikeTrace) -> np.ndarray:
    """(N, neurons) int32 after the last step, all layers side by side."""
    last = []
    for layer in trace.layers:
        if layer.v_last is None:
            raise FormatError(f"{layer.name}: the trace has no v after the last step; golden samples need it")
        last.append(channels_last(layer.v_last, 1).reshape(trace.samples, prod(layer.v_last.shape[1:])))
    return np.concatenate(last, axis=1)
