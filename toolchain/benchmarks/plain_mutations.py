"""Mutations of files that are no HDF5, for fuzz.py: bytes, headers of .npy and safetensors, zips, TOML, JSON."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snnkd.base import checksums
from snnkd.bundle import archive

Random = np.random.Generator

BYTES = ("flip", "byte", "range", "word", "copy", "insert", "remove", "truncate")
WORDS = (0, 1, 127, 255, (1 << 16) - 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1)
SHAPES = ((), (0,), (-1,), (3,), (2, 3, 4), (1 << 40,), (1 << 62, 1 << 62), (1,) * 40, (10**400,), (2, 1 << 33))
TYPES = ("|u1", "<i4", ">i8", "<u8", "<f8", "<f2", "|b1", "|O", "|S0", "|S9", "<U3", "|V8", "<c16", "<M8[s]", "x", "")
HEADERS = ("{}", "[]", "{'descr': '|u1'}", "(" * 3000, "{" * 3000, "__import__('os').abort()", "'\\", "\0")
HEADERS += ("{'descr': [('t', '<i8'), ('x', '<i2')], 'fortran_order': False, 'shape': (2,)}",)
HEADERS += (
    "{'descr': '|u1', 'fortran_order': False, 'shape': 5}",
    "{'descr': '|u1', 'fortran_order': 0, 'shape': (2,)}",
)
HEADERS += ("{'descr': '|u1', 'fortran_order': False, 'shape': (2L,)}",)
NAMES = ("", "x", "../x", "/x", "x/", "a" * 3000, "\u00e9", "x\0y", "input", "input.npy", "layer0", "layer0.npy", "t")
NAMES += ("layer0_neurons.npy", "manifest.json", "SHA256SUMS", "model.net", "CON", "layer1_v.npy", "train.npy", "x.npy")
VALUES = ("0", "-1", "1", "3", "99999999999999999999", "1_000_000_000_000", "1e999", "nan", "-inf", "0.5", "true")
VALUES += ('""', '"x"', '"\\u0000"', '"\\u001b[31m"', '"../../x"', '"mnist"', "[]", "[[]]", "{}", "[-1]", '["a"]')
VALUES += ("[1, 2]", "[28, 28, 1]", "[1, 28, 28]", "{a = 1}", "2026-01-01", "07:32:00", "0x10", "false", "'", '"""')
VALUES += (
    '"teacher"',
    '"student"',
    '"conv"',
    '"dense"',
    '"byte"',
    "\u00e9",
    "\ud7ff",
    "[" * 900,
    "[" * 300 + "]" * 300,
)
VALUES += ('"' + "x" * 3000 + '"',)
JSONS = ("{}", "[]", "null", '""', "1e999", "NaN", "[" * 5000, '{"key": 1}', '{"key": "k", "epoch": "x"}', '"\\ud800"')
JSONS += ('{"key": "k", "epoch": -1, "history": {}}', '{"key": "k", "objective": [], "best_accuracy": null}')
ZIPS = ("content", "content", "rename", "drop", "swap", "bomb", "twice")


def picked(random: Random, items: Sequence[Any]) -> Any:
    """Returns one of `items`."""
    return items[int(random.integers(len(items)))]


def of_bytes(random: Random, data: bytes, structures: bytes = rb"") -> tuple[bytes, str]:
    """Changes bytes, mostly near what matches `structures`, else anywhere; returns them and the kind of change."""
    changed = bytearray(data)
    kinds = [picked(random, BYTES) for _ in range(1 + int(random.exponential(1)))]
    for kind in kinds:
        if changed:
            _change(random, changed, kind, structures)
    return bytes(changed), f"bytes: {kinds[0]}"


def _change(random: Random, data: bytearray, kind: str, structures: bytes) -> None:
    starts = [match.start() for match in re.finditer(structures, data)] if structures and random.random() < 0.8 else []
    at = int(random.integers(len(data)))
    if starts:
        at = min(len(data) - 1, picked(random, starts) + int(random.exponential(40)))
    if kind == "flip":
        data[at] ^= 1 << int(random.integers(8))
    elif kind == "byte":
        data[at] = picked(random, (0, 1, 10, 34, 39, 91, 93, 123, 127, 128, 255, int(random.integers(256))))
    elif kind == "word":
        size = picked(random, (2, 4, 8))
        data[at : at + size] = (picked(random, WORDS) & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    elif kind == "range":
        size = 1 + int(random.exponential(16))
        data[at : at + size] = bytes(size) if random.random() < 0.4 else random.bytes(size)
    elif kind == "copy":
        source, size = int(random.integers(len(data))), 8 << int(random.integers(6))
        data[at : at + size] = data[source : source + size]
    elif kind == "insert":
        data[at:at] = random.bytes(1 + int(random.exponential(8)))
    elif kind == "remove":
        del data[at : at + 1 + int(random.exponential(8))]
    else:  # truncate
        del data[at:]


# .npy


def of_npy(random: Random, data: bytes) -> tuple[bytes, str]:
    """Changes an .npy: its header, or bytes."""
    if random.random() < 0.4 or data[:6] != b"\x93NUMPY":
        return of_bytes(random, data, rb"\x93NUMPY|descr|shape|order")
    length = int.from_bytes(data[8:10], "little")
    header, body = data[10 : 10 + length].decode("latin1"), data[10 + length :]
    choice = picked(random, ("shape", "type", "order", "whole", "version"))
    if choice == "shape":
        header = re.sub(r"'shape': \([^)]*\)", lambda _: f"'shape': {picked(random, SHAPES)}", header)
    elif choice == "type":
        header = re.sub(r"'descr': '[^']*'", lambda _: f"'descr': '{picked(random, TYPES)}'", header)
    elif choice == "order":
        header = header.replace("False", picked(random, ("True", "None", "1", "'C'")))
    elif choice == "whole":
        header = picked(random, HEADERS)
    version = picked(random, (b"\1\0", b"\2\0", b"\3\0", b"\0\0", b"\xff\1")) if choice == "version" else b"\1\0"
    size = len(header) if random.random() < 0.8 else picked(random, WORDS)
    width = 2 if version == b"\1\0" else 4
    written = (size & ((1 << 8 * width) - 1)).to_bytes(width, "little")
    return b"\x93NUMPY" + version + written + header.encode("latin1", "replace") + body, f"header: {choice}"


# Zip


def of_zip(random: Random, data: bytes, sums: bool = False) -> tuple[bytes, str]:
    """Changes a zip: its bytes, or a member, which is packed again. sums: mostly with right SHA256SUMS."""
    if random.random() < 0.35:
        return of_bytes(random, data, rb"PK[\1-\7][\2-\7]")
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    name, choice = picked(random, list(files)), picked(random, ZIPS)
    if choice == "content":
        change = of_npy if name.endswith(".npy") else of_text if name.endswith(".json") else of_bytes
        files[name], kind = change(random, files[name])
        choice = kind if change is of_npy else f"content: {name.rpartition('.')[2][:8]}"
    elif choice == "rename":
        files[picked(random, NAMES)] = files.pop(name)
    elif choice == "drop":
        del files[name]
    elif choice == "swap":
        other = picked(random, list(files))
        files[name], files[other] = files[other], files[name]
    elif choice == "bomb":
        files[name] = files[name][:10] + bytes(1 << 22)
    method = picked(random, (zipfile.ZIP_DEFLATED,) * 6 + (zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    written = io.BytesIO()
    if sums and random.random() < 0.9:
        files.pop(checksums.SUMS, None)
        files[checksums.SUMS] = archive.sums(files)
    with zipfile.ZipFile(written, "w", method) as packed, contextlib.suppress(ValueError, LookupError):
        for entry, content in files.items():
            packed.writestr(entry, content)
        if choice == "twice":
            packed.writestr(name, b"again")
    return written.getvalue(), f"zip: {choice}"


# TOML and JSON


def of_toml(random: Random, data: bytes) -> tuple[bytes, str]:
    """Changes a TOML file by lines, keys and values, or bytes."""
    lines = data.decode().split("\n")
    choice = picked(random, ("value",) * 5 + ("key", "key", "line", "line", "bytes", "deep", "mark"))
    if choice == "bytes":
        return of_bytes(random, data)
    for _ in range(1 + int(random.exponential(0.7))):
        at = picked(random, [k for k, line in enumerate(lines) if line.strip()] or [0])
        key, equals, value = lines[at].partition("=")
        if choice == "value" and equals:
            lines[at] = f"{key}= {picked(random, VALUES)}"
        elif choice == "key" and equals:
            other = picked(random, lines).partition("=")[0]
            lines[at] = f"{picked(random, ('x', other, '', 'a.b.c', '0', key.upper()))} = {value}"
        elif choice == "deep":
            lines[at] = f"{'.'.join(['a'] * 2000)} = 1" if random.random() < 0.5 else f"[{'.'.join(['b'] * 2000)}]"
        elif choice == "mark":
            return (picked(random, (b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"PK\3\4", b"\x89HDF")) + data), "toml: mark"
        else:
            line = lines.pop(at)
            if random.random() < 0.7:
                lines[int(random.integers(len(lines) + 1)) : 0] = [line] * int(random.integers(3))
            lines = lines or [""]
    return "\n".join(lines).encode("utf-8", "replace"), f"toml: {choice}"


def of_text(random: Random, data: bytes) -> tuple[bytes, str]:
    """Changes JSON: a value at some key, all of it, or bytes."""
    if random.random() < 0.3:
        return of_bytes(random, data)
    if random.random() < 0.2:
        return picked(random, JSONS).encode(), "json: whole"
    try:
        value = json.loads(data)
    except ValueError:
        return of_bytes(random, data)
    place = value
    while isinstance(place, dict | list) and place:
        key = picked(random, list(place) if isinstance(place, dict) else range(len(place)))
        if random.random() < 0.5 or not isinstance(place[key], dict | list):
            place[key] = picked(random, (None, -1, 0, 1 << 70, "x", [], {}, [1], 0.5, True, "\ud800", {"a": {}}))
            break
        place = place[key]
    return json.dumps(value).encode(), "json: value"


# safetensors


def of_safetensors(random: Random, data: bytes) -> tuple[bytes, str]:
    """Changes a safetensors file: its JSON header, the header's length, or bytes."""
    if random.random() < 0.4:
        return of_bytes(random, data, rb"\A|\"dtype\"|data_offsets|shape|__metadata__")
    length = int.from_bytes(data[:8], "little")
    header, kind = of_text(random, data[8 : 8 + length])
    size = len(header) if random.random() < 0.8 else picked(random, WORDS)
    return size.to_bytes(8, "little") + header + data[8 + length :], f"header: {kind}"


def mutating(change: Callable[[Random, bytes], tuple[bytes, str]]) -> Callable[[int, int, list[Path], Path], str]:
    """Makes of a change of bytes what writes mutation `index` of `seed` of one of some files, and returns its kind."""

    def mutate(seed: int, index: int, sources: list[Path], path: Path) -> str:
        random = np.random.default_rng((seed, index))
        source = picked(random, sources)
        shutil.copyfile(source, path)
        data, kind = change(random, source.read_bytes())
        path.write_bytes(data)
        return kind

    return mutate
