"""Fuzzes the reader of `.net` files: mutations of valid files must be refused in one clear line, or load rightly.

    python toolchain/benchmarks/fuzz_netx.py [--n 10000] [--seed 0] [--files DIR|FILE...] [--keep DIR] [--json]

Half of the mutations change raw bytes, half the HDF5 tree. Each file is loaded in a process of its own interpreter,
which may take 2 s of the processor and 1 GB more than it had. What loads must come back the same from `save`, and must
equal what lava-dl's own NetX makes of the same file (nothing is run there), where lava-dl is installed.

`loaded` and `refused` are good. Everything else is a failure: `message` (a refusal without the file's name, longer than
one line or with control characters), `traceback`, `crash`, `hang`, `memory`, `differs` (from NetX, or after `save`) and
`stricter in Lava` (NetX cannot load what we load). Failing files are kept in DIR and the exit status is 1. Mutation i
of a seed is always the same file; --only i runs it alone.
"""

# The types of h5py and Lava are no help here: what lies under a name is known only when it is read.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false, reportCallIssue=false

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import multiprocessing
import re
import resource
import shutil
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from snnkd import netx
from snnkd.engines import lava
from snnkd.errors import FormatError, QuantizationError
from snnkd.network import Conv, Dense, Input, IntNet, Layer, Neuron, Readout, Shape, conv_shape, per_neuron

SECONDS = 2.0
MEGABYTES = 1024
SHIPPED = ("tiny.net", "mnist.net", "gts/ntidigits/ntidigits.net", "gts/pilotnet_lif/network.net")
GOOD = ("loaded", "refused")
PARAMETERS = ("current_decay", "voltage_decay", "threshold", "bias")


@dataclass
class Result:
    """What became of one mutated file; `seconds` of the processor, `megabytes` on top of what the process had."""

    index: int
    kind: str
    outcome: str
    detail: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0
    compared: bool = False


# Valid files


def _neuron(random: np.random.Generator, shape: Shape = (), form: int = 0, bias: bool = False) -> Neuron:
    form_ = ((), shape[:1], shape)[form]

    def draw(low: int, high: int) -> np.ndarray:
        return random.integers(low, high + 1, form_).astype(np.int32)

    return Neuron(draw(0, 4096), draw(0, 4096), draw(0, 400), draw(-200, 300) if bias else None)


def _dense(random: np.random.Generator, inputs: int, outputs: int, form: int = 0, bias: bool = False) -> Dense:
    weight = random.integers(-100, 100, (outputs, inputs)).astype(np.int32) * 2
    weight.flat[0] = 2
    return Dense(weight, _neuron(random, (outputs,), form, bias))


def _conv(random: np.random.Generator, shape: Shape, out: int, form: int = 0, bias: bool = False, **how: Any) -> Conv:
    weight = random.integers(-100, 100, (out, shape[0] // how.get("groups", 1), 2, 3)).astype(np.int32) * 2
    layer = Conv(weight, _neuron(random), (), **how)
    layer = replace(layer, shape=conv_shape(shape, layer))
    return replace(layer, neuron=_neuron(random, layer.shape, form, bias))


def _own_nets() -> dict[str, IntNet]:
    random = np.random.default_rng(0)
    plain = _dense(random, 6, 4)
    convs = [_conv(random, (2, 6, 7), 4, groups=2, stride=(1, 2), padding=(1, 0), form=2, bias=True)]
    convs.append(_conv(random, convs[0].shape, 3, dilation=(2, 1), form=1))
    last = _dense(random, int(np.prod(convs[1].shape)), 5, 1, bias=True)
    delays = (random.integers(0, 9, (4, 1)).repeat(6, 1), random.integers(0, 9, (1, 6)).repeat(4, 0))
    every = (*delays, random.integers(0, 63, (4, 6)))
    image = Input((2, 6, 7), _neuron(random, (2, 6, 7), 2))
    attached = {"steps": 16, "encoding": {"kind": "rate"}, "provenance": {"seed": 1}}
    long = {"text": "provenance " * 8000}
    return {
        "dense": IntNet((6,), (plain, _dense(random, 4, 3)), readout=Readout(ties="membrane"), **attached),
        "conv": IntNet((2, 6, 7), (*convs, last), message_bits=4),
        "delays": IntNet((6,), (replace(plain, delay=every[0].astype(np.int32)),)),
        "delays by input": IntNet((6,), (replace(plain, delay=every[1].astype(np.int32)),)),
        "delays by synapse": IntNet((6,), (replace(plain, delay=every[2].astype(np.int32)), _dense(random, 4, 2))),
        "input": IntNet((2, 6, 7), (image, _conv(random, (2, 6, 7), 3), _dense(random, 75, 4))),
        "exponent": IntNet((3,), (Dense(np.array([[-3, -2, 0]], np.int32), _neuron(random), -1),)),
        "long": IntNet((6,), (plain,), provenance=long, encoding=long),
    }


def _as_lava_dl_writes(path: Path) -> None:
    """A file with names in string heaps, floats and (n, 1, 1) shapes, as SLAYER exports it."""
    with h5py.File(path, "w") as file:
        for k, (kind, shape) in enumerate((("input", (1, 4, 5)), ("conv", (2, 3, 3)), ("flatten", (18, 1, 1)))):
            group = file.create_group(f"layer/{k}")
            group.create_dataset("type", (1,), "S10", [kind.encode()])
            group["shape"] = np.array(shape)
        weights = {"layer/1": np.arange(12.0).reshape(2, 1, 2, 3, 1), "layer/3": np.arange(-27.0, 27).reshape(3, 18)}
        file.create_group("layer/3").create_dataset("type", (1,), "S10", [b"dense"])
        file["layer/3/shape"] = np.array((3, 1, 1))
        file["layer/3/delay"] = np.array((1.5, 0, 70), "f4")
        for place, weight in weights.items():
            file[f"{place}/weight"] = weight.astype("f4") * 2
            file[f"{place}/bias"] = np.arange(len(weight), dtype="f4")
            file[f"{place}/neuron/type"] = "CUBA"
            for name, value in (("iDecay", 1024), ("vDecay", 128), ("vThMant", 80), ("refDelay", 1)):
                file[f"{place}/neuron/{name}"] = value
        for name, value in (("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1))):
            file[f"layer/1/{name}"] = np.array(value)
        file["layer/1/groups"], file["simulation/Ts"] = 1, 1


def valid_files(folder: Path) -> list[Path]:
    """Small files of every kind that `save` writes, and lava-dl's own where it is installed."""
    paths = []
    for name, net in _own_nets().items():
        paths.append(folder / f"{name.replace(' ', '_')}.net")
        netx.save(net, paths[-1])
    _as_lava_dl_writes(folder / "slayer.net")
    shipped = [Path(site) / "tests/lava/lib/dl/netx" / name for name in SHIPPED for site in sys.path]
    return [*paths, folder / "slayer.net", *(path for path in shipped if path.is_file())]


# Mutations of bytes


def _place(random: np.random.Generator, data: bytearray) -> int:
    """An offset: mostly near a structure of the file format, which are few bytes among the weights."""
    if random.random() < 0.2:
        return int(random.integers(len(data)))
    signatures = [
        match.start() for match in re.finditer(rb"\x89HDF|TREE|SNOD|HEAP|GCOL|snnkd_|\x11\0\x10\0|\x08\0\x18\0", data)
    ]
    start = signatures[random.integers(len(signatures))] if signatures and random.random() < 0.8 else 0
    return min(len(data) - 1, start + int(random.exponential(80)))


def _flip(random: np.random.Generator, data: bytearray) -> None:
    data[_place(random, data)] ^= 1 << int(random.integers(8))


def _byte(random: np.random.Generator, data: bytearray) -> None:
    data[_place(random, data)] = int(random.choice([0, 1, 2, 3, 16, 127, 128, 255, random.integers(256)]))


def _word(random: np.random.Generator, data: bytearray) -> None:
    at, size = _place(random, data), int(random.choice([2, 4, 8]))
    value = int(random.choice([0, 1, 8, 96, 1 << 15, (1 << 16) - 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, len(data)]))
    if random.random() < 0.4:
        value = _place(random, data) & ~7
    data[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def _range(random: np.random.Generator, data: bytearray) -> None:
    at, size = _place(random, data), 1 + int(random.exponential(16))
    data[at : at + size] = bytes(size) if random.random() < 0.4 else random.bytes(size)


def _copy(random: np.random.Generator, data: bytearray) -> None:
    source, at, size = _place(random, data), _place(random, data), 8 << int(random.integers(6))
    data[at : at + size] = data[source : source + size]


def _insert(random: np.random.Generator, data: bytearray) -> None:
    at, size = _place(random, data), int(random.choice([1, 2, 4, 8, 16, 512]))
    data[at:at] = random.bytes(size) if random.random() < 0.5 else data[at : at + size]


def _remove(random: np.random.Generator, data: bytearray) -> None:
    at = _place(random, data)
    del data[at : at + int(random.choice([1, 2, 4, 8, 16, 512]))]


def _truncate(random: np.random.Generator, data: bytearray) -> None:
    del data[_place(random, data) if random.random() < 0.5 else int(random.integers(len(data))) :]


BYTES = (_flip, _flip, _byte, _byte, _word, _word, _word, _range, _range, _copy, _insert, _remove, _truncate)

# Mutations of the tree


def _objects(file: h5py.File) -> tuple[list[str], list[str]]:
    """Names of (groups, datasets)."""
    groups, arrays = ["/"], []
    file.visititems(lambda name, item: (groups if isinstance(item, h5py.Group) else arrays).append(name))
    return groups, arrays


def _pick(random: np.random.Generator, items: list) -> object:
    return items[random.integers(len(items))]


def _array(random: np.random.Generator, file: h5py.File) -> str:
    return str(_pick(random, _objects(file)[1] or ["missing"]))


def _data(file: h5py.File, name: str) -> np.ndarray:
    """What an array holds; of one that an earlier change put elsewhere, nothing: the HDF5 library may fail on it."""
    item = file[name]
    return np.zeros(1) if item.is_virtual or item.external or (item.size or 0) > 1 << 22 else np.asarray(item[()])


def _put(file: h5py.File, name: str, **how: object) -> None:
    if name in file:
        del file[name]
    file.create_dataset(name, **how)


NUMBERS = (np.nan, np.inf, -np.inf, 1e30, -1e30, 1.5, 0.1, -0.0, -1, 0, 1, 2, 3, 62, 63, 127, 128, 254, 255, 300, -257)
NUMBERS += (4095, 4096, 4097, 1 << 15, 40000, (1 << 17) + 1, (1 << 25) - 1, 1 << 25, 1 << 31, -(1 << 31), 1 << 62)
TEXTS = ("", " dense", "dense ", "dense\0x", "CUBA ", "d\u00e9nse", "x" * 300, "\n\r\t\x1b[31m")
WORDS = "input dense conv flatten average pool dense_rec dense_comp kwta unknown Dense CUBA LOIHI SDNN RF"
TYPES = ("i1", "u1", "i2", "u2", ">i4", "i4", "i8", ">i8", "u8", "f2", "f4", ">f8", "f8", "c8", "S10", "S300", "?", "g")
SHAPES = ((), (0,), (1,), (2,), (3,), (1, 1), (0, 3), (2, 2), (3, 1, 1), (1, 1, 1, 1), (1,) * 32, (1000,), (0, 1 << 40))


def _value(random: np.random.Generator, file: h5py.File) -> None:
    """One number within an array, or all of them."""
    name, value = _array(random, file), _pick(random, list(NUMBERS))
    data = _data(file, name)
    if data.dtype.kind not in "iuf":
        return _text(random, file)
    if random.random() < 0.5 and data.size:
        floats = data.astype(type(value))
        floats.flat[random.integers(data.size)] = value
        return _put(file, name, data=floats)
    return _put(file, name, data=np.full(data.shape, value))


def _scale(random: np.random.Generator, file: h5py.File) -> None:
    """All numbers, times something: weights of one sign, of other powers of two, out of range."""
    name = _array(random, file)
    data = _data(file, name)
    if data.dtype.kind in "iuf":
        changed = (data * random.choice([-1, 0.5, 2, 3, 100])) if random.random() < 0.5 else -np.abs(data.astype("f8"))
        _put(file, name, data=changed.astype(data.dtype))


def _type(random: np.random.Generator, file: h5py.File) -> None:
    name = _array(random, file)
    data = _data(file, name)
    if data.dtype.kind in "iuf":
        _put(file, name, data=data.astype(str(_pick(random, list(TYPES)))))
    else:
        _put(file, name, data=int(random.integers(9)))


def _odd_type(random: np.random.Generator, file: h5py.File) -> None:
    kinds = [np.dtype([("a", "i4"), ("b", "f8")]), h5py.vlen_dtype("i4"), h5py.enum_dtype({"a": 1}), h5py.ref_dtype]
    kinds += [np.dtype("V8"), np.dtype(("i4", (2, 2))), h5py.string_dtype(), h5py.opaque_dtype(np.dtype("M8[s]"))]
    _put(file, _array(random, file), shape=_pick(random, list(SHAPES)), dtype=_pick(random, kinds))


def _shape(random: np.random.Generator, file: h5py.File) -> None:
    name = _array(random, file)
    data = _data(file, name)
    if random.random() < 0.5:
        _put(file, name, data=np.resize(data, _pick(random, list(SHAPES))))
    elif random.random() < 0.5 and data.ndim:
        _put(file, name, data=data.T if random.random() < 0.3 else data.ravel())
    elif data.ndim:
        axis = int(random.integers(data.ndim))
        _put(file, name, data=np.concatenate((data, data), axis) if random.random() < 0.5 else data[None])


def _huge(random: np.random.Generator, file: h5py.File) -> None:
    """Arrays without data, chunked and contiguous, that say they are large; bombs of compressed zeros."""
    name, choice = _array(random, file), random.integers(6)
    rank = file[name].ndim or 1
    if choice == 0:
        _put(file, name, shape=(1 << 40,) * min(rank, 1) + (1,) * (rank - 1), dtype="i1", chunks=True)
    elif choice == 1:
        _put(file, name, shape=(3, 1 << int(random.integers(10, 61))), dtype="i1", chunks=(1, 1 << 10))
    elif choice == 2:
        _put(file, name, data=np.zeros((1 << 10, 1 << 12), "i4"), compression="gzip", chunks=(1 << 10, 1 << 12))
    elif choice == 3:
        _put(file, name, shape=(1 << 10, 1 << int(random.integers(6, 20))), dtype="f8", fillvalue=1.0)
    elif choice == 4:
        data = _data(file, name)
        if data.ndim and data.dtype.kind in "iuf":
            _put(file, name, data=data, chunks=True, fletcher32=True, shuffle=True, compression="gzip")
    else:
        _put(file, name, shape=file[name].shape, dtype=file[name].dtype)  # nothing was ever written


def _remove_item(random: np.random.Generator, file: h5py.File) -> None:
    groups, arrays = _objects(file)
    del file[str(_pick(random, groups[1:] + arrays * 2))]


def _rename(random: np.random.Generator, file: h5py.File) -> None:
    groups, arrays = _objects(file)
    name = str(_pick(random, groups[1:] + arrays * 2))
    new = str(
        _pick(random, ["x", "", "weight", "delay", "type", "neuron", "bias", "-1", "99", "0", "\u00e9", "x" * 5000])
    )
    with contextlib.suppress(ValueError, KeyError):
        file.move(name, f"{name.rpartition('/')[0]}/{new or name.rpartition('/')[2].upper()}")


def _swap_items(random: np.random.Generator, file: h5py.File) -> None:
    groups, arrays = _objects(file)
    kind = arrays if random.random() < 0.5 else groups[1:]
    one, other = str(_pick(random, kind)), str(_pick(random, kind))
    if one != other and not one.startswith(f"{other}/") and not other.startswith(f"{one}/"):
        file.move(one, "swapped")
        file.move(other, one)
        file.move("swapped", other)


def _links(random: np.random.Generator, file: h5py.File) -> None:
    """Soft, external and hard links, loops among them."""
    groups, arrays = _objects(file)
    name = str(_pick(random, groups[1:] + arrays))
    other = str(_pick(random, groups + arrays))
    targets = [h5py.SoftLink(f"/{other}"), h5py.SoftLink(f"/{name}"), h5py.ExternalLink("/etc/passwd", "/")]
    targets += [h5py.ExternalLink(file.filename, f"/{other}"), file[other], file["/"], h5py.SoftLink("." * 9000)]
    target = _pick(random, targets)
    del file[name]
    with contextlib.suppress(KeyError, ValueError, RuntimeError, OSError):
        file[name] = target


def _elsewhere(random: np.random.Generator, file: h5py.File) -> None:
    """Data outside of the file, or put together from other arrays."""
    name = _array(random, file)
    shape, dtype = file[name].shape, file[name].dtype
    if dtype.kind == "O":
        dtype = np.dtype("i4")
    if random.random() < 0.5:
        size = max(1, int(np.prod(shape)) * dtype.itemsize)
        return _put(file, name, shape=shape or (1,), dtype=dtype, external=[("/etc/passwd", 0, size)])
    layout = h5py.VirtualLayout(shape or (1,), dtype)
    layout[...] = h5py.VirtualSource(str(_pick(random, [".", "/etc/passwd", file.filename])), name, shape or (1,))
    del file[name]
    file.create_virtual_dataset(name, layout)


def _text(random: np.random.Generator, file: h5py.File) -> None:
    """A name: any text, as fixed bytes, in a heap, as a scalar, an array, with other padding."""
    names = [name for name in _objects(file)[1] if name.endswith("type")] or ["type"]
    name, value = str(_pick(random, names)), str(_pick(random, [*TEXTS, *WORDS.split()]))
    if random.random() < 0.4 and name in file:  # the text that was there, in another form
        old = _data(file, name).astype(object).reshape(-1)
        value = old[0].decode("ascii", "replace") if old.size and isinstance(old[0], bytes) else value
    raw = value.encode()
    value = value.replace("\0", "")
    forms = [{"data": np.bytes_(raw)}, {"data": value}, {"data": np.array([raw], f"S{max(1, len(raw))}")}]
    forms += [{"data": np.array([value], object), "dtype": h5py.string_dtype()}, {"data": np.array([raw.ljust(40)])}]
    forms += [
        {"data": np.array([raw, raw], "S10")},
        {"data": np.array([[raw]], "S10")},
        {"data": np.frombuffer(raw, "u1")},
    ]
    forms += [{"data": value, "dtype": h5py.string_dtype("ascii" if value.isascii() else "utf-8")}]
    _put(file, name, **_pick(random, forms))


def _attribute(random: np.random.Generator, file: h5py.File) -> None:
    known = ["input_shape", "steps", "message_bits", "readout", "encoding", "provenance"]
    name = f"snnkd_{_pick(random, known)}"
    values: list[object] = [
        np.float32(2.5),
        np.nan,
        "text",
        "{",
        "[" * 50000,
        "[]",
        "null",
        "{}",
        '{"kind": "count"}',
        b"\xff",
    ]
    values += ['{"ties": 3}', '{"kind": ["a"]}', "1" * 5000, '{"a": NaN}', '{"a": 1e999}', '{"\\ud800": 1}', '"x"']
    values += [
        '{"kind": "average", "group": 0}',
        '{"kind": "average", "window": -1}',
        '{"ties": "membrane"}',
        '{"a": {}}',
    ]
    values += [
        np.array(value) for value in ([], [6], [[6]], [2, 6, 7], [0, 0, 0], [7, 6, 2], [-1], [1 << 62], [42], [1, 6])
    ]
    values += [0, 1, -1, 4, 25, 1 << 40, -(1 << 63), (1 << 64) - 1, np.uint8(4), np.bool_(True), h5py.Empty("f4")]
    values += [np.array(["a", "b"], "S4"), np.array("{}", "S9000"), np.array([b"{}"], object), np.zeros(6000, "i8")]
    value = _pick(random, values)
    where = file if random.random() < 0.9 else file[str(_pick(random, _objects(file)[0]))]
    with contextlib.suppress(OSError, ValueError, RuntimeError, TypeError):
        if value is None or random.random() < 0.1:
            where.attrs.pop(name, None)
        else:
            where.attrs[name] = value


def _layers(random: np.random.Generator, file: h5py.File) -> None:
    """Layers removed, repeated, exchanged, renumbered."""
    layers = file.get("layer")
    if not isinstance(layers, h5py.Group) or not len(layers):
        return
    names = sorted(layers, key=lambda name: (len(name), name))
    one, count = str(_pick(random, names)), len(names)
    choice = random.integers(6)
    if choice == 0:
        del layers[one]
        for k, name in enumerate(sorted(layers, key=lambda name: (len(name), name))):
            if str(k) != name:
                layers.move(name, str(k))
    elif choice == 1:
        layers.copy(one, str(count))
    elif choice == 2:
        layers[str(count)] = layers[one]  # a hard link
    elif choice == 3:
        for k in range(count, int(random.choice([20, 300, 1100]))):
            layers[str(k)] = layers[one]
    elif choice == 4:
        layers.create_group(str(_pick(random, [str(count), "-1", "00", "x"])))
    else:
        layers.move(one, str(_pick(random, [str(count), "00", "1.0", f"{one} "])))


def _extra(random: np.random.Generator, file: h5py.File) -> None:
    """Fields that a layer does not need, or that NetX reads where they are."""
    group = str(_pick(random, _objects(file)[0]))
    name = str(
        _pick(
            random,
            ["delay", "bias", "neuron/messageBits", "messageBits", "weight", "weight/imag", "wgtExp", "transform"],
        )
    )
    values = (
        0,
        1,
        -1,
        2.7,
        63,
        np.arange(4),
        np.arange(6),
        np.arange(24).reshape(4, 6),
        [1.5] * 4,
        [[1]],
        "x",
        1e9,
        [-3.0],
    )
    with contextlib.suppress(ValueError, TypeError, KeyError, RuntimeError):
        file[f"{group}/{name}"] = _pick(random, list(values))


TREE: tuple[Callable[[np.random.Generator, h5py.File], None], ...] = (
    *(_value, _value, _value, _scale, _type, _odd_type, _shape, _shape, _huge, _remove_item, _rename, _swap_items),
    *(_links, _elsewhere, _text, _text, _attribute, _attribute, _attribute, _layers, _layers, _extra, _extra),
)


def mutate(seed: int, index: int, sources: list[Path], path: Path) -> str:
    """Writes mutation `index` of `seed` to `path`; returns its kind."""
    random = np.random.default_rng((seed, index))
    small = [source for source in sources if source.stat().st_size < 200_000] or sources
    source = sources[random.integers(len(sources))] if random.random() < 0.06 else small[random.integers(len(small))]
    shutil.copyfile(source, path)
    if random.random() < 0.5:
        kinds = [BYTES[random.integers(len(BYTES))] for _ in range(1 + int(random.exponential(1)))]
        data = bytearray(path.read_bytes())
        for change in kinds:
            if data:
                change(random, data)
        path.write_bytes(data)
        return f"bytes: {kinds[0].__name__[1:]}"
    changes = [TREE[random.integers(len(TREE))] for _ in range(1 + int(random.exponential(0.5)))]
    for change in changes:
        with contextlib.suppress(KeyError, AttributeError, OSError), h5py.File(path, "r+") as file:
            change(random, file)
    return f"tree: {changes[0].__name__[1:]}"


# What is right: the file as `save` writes it again, and lava-dl's NetX


def difference(one: IntNet, other: IntNet) -> str:
    """The first thing in which two networks differ, '' where none does."""
    for name in ("input_shape", "steps", "message_bits", "encoding", "readout", "provenance", "names"):
        if getattr(one, name) != getattr(other, name):
            return name
    for name, left, right in zip(one.names, one.layers, other.layers, strict=True):
        if type(left) is not type(right) or left.shape != right.shape:
            return f"{name}: kind or shape"
        for parameter in PARAMETERS:
            if not np.array_equal(_spread(left, parameter), _spread(right, parameter)):
                return f"{name}.{parameter}"
        for what in ("weight", "weight_exp", "delay", "stride", "padding", "dilation", "groups"):
            if not np.array_equal(getattr(left, what, None), getattr(right, what, None)):
                return f"{name}.{what}"
    return ""


def _spread(layer: Layer, parameter: str) -> np.ndarray:
    """The parameter of each neuron; no bias is a bias of 0."""
    values = getattr(layer.neuron, parameter)
    return np.broadcast_to(per_neuron(np.array(0) if values is None else values, layer.shape), layer.shape)


def lava_difference(net: IntNet, path: Path) -> str:
    """What differs between `net` and what NetX makes of the file, '' where nothing does. Raises what NetX raises."""
    from snnkd.engines.lava_worker.record import Network

    flat = isinstance(net.layers[0], Dense | Input)
    shape = None if flat else net.input_shape[::-1]
    with h5py.File(path) as file:  # NetX stops at an average, which for us is the readout
        count = len(file["layer"])
        count -= b"average" in np.ravel(file[f"layer/{count - 1}/type"][()])
    network = Network(str(path), count, input_message_bits=net.message_bits, input_shape=shape)
    try:
        if len(network.layers) != len(net.layers):
            return f"{len(net.layers)} layers, in NetX {len(network.layers)}"
        differences = (
            f"{name}: {found}"
            for name, layer, theirs in zip(net.names, net.layers, network.layers, strict=True)
            if (found := _layer_difference(layer, theirs, net.message_bits if name == "layer0" else 0))
        )
        return next(differences, "")
    finally:
        network.net_config.f.file.close()


def _layer_difference(layer: Layer, theirs, bits: int) -> str:
    if type(layer).__name__ != type(theirs).__name__ or layer.shape[::-1] != tuple(theirs.shape):
        return f"{type(layer).__name__} {layer.shape}, in NetX {type(theirs).__name__} {tuple(theirs.shape)} (W, H, C)"
    parameters = {
        "current_decay": np.asarray(theirs.neuron.du.init) + 1,
        "voltage_decay": np.asarray(theirs.neuron.dv.init),
        "threshold": np.minimum(theirs.neuron.vth.init, 1 << 17),
        "bias": np.asarray(theirs.neuron.bias_mant.init).astype(np.int16),
    }
    for name, values in parameters.items():
        if not np.array_equal(_spread(layer, name).T, np.broadcast_to(values, theirs.shape)):
            return name
    if isinstance(layer, Input):
        return ""
    if int(theirs.synapse.num_message_bits.init) != bits:
        return "message bits"
    return _conv_difference(layer, theirs) if isinstance(layer, Conv) else _dense_difference(layer, theirs)


def _conv_difference(layer: Conv, theirs) -> str:
    synapse = theirs.synapse
    if not np.array_equal(layer.weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1), synapse.weight.init):
        return "weight"
    for name in ("stride", "padding", "dilation"):
        if tuple(np.ravel(getattr(synapse, name).init)) != getattr(layer, name)[::-1]:
            return name
    return "" if int(synapse.groups.init) == layer.groups else "groups"


def _dense_difference(layer: Dense, theirs) -> str:
    from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights

    how, held = theirs.synapse.proc_params, theirs.synapse.weights.init
    mode = how.get("sign_mode") or determine_sign_mode(held)
    held = truncate_weights(clip_weights(held, mode, num_bits=8), mode, how.get("num_weight_bits", 8))
    if not np.array_equal(held * 2.0 ** how.get("weight_exp", 0), layer.weight * 2.0**layer.weight_exp):
        return "weight"
    delays = getattr(theirs.synapse, "delays", None)
    if (delays is None) != (layer.delay is None):
        return "delay"
    return "" if delays is None or np.array_equal(delays.init, layer.delay) else "delay"


# The processes that load


def _status(field: str) -> float:
    """A size of this process, in MB."""
    return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0]) / 1024


def load_files(connection: Connection) -> None:
    """For each path received: (outcome, detail, seconds, megabytes)."""
    warnings.simplefilter("ignore")
    limit = int((_status("VmSize") + 4 * MEGABYTES) * (1 << 20))
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    while True:
        path = Path(connection.recv())
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
        before, start, net = _status("VmRSS"), time.process_time(), None
        try:
            net = netx.load(path)
            outcome, detail = "loaded", ""
        except FormatError as error:
            outcome, detail = _judged(str(error), str(path))
            if isinstance(error.__cause__, MemoryError):
                outcome = "memory"
        except BaseException:
            outcome, detail = "traceback", traceback.format_exc(limit=-2).replace("\n", " | ")
        seconds, megabytes = time.process_time() - start, _status("VmHWM") - before
        if net is not None:
            again = _saved_again(net, path)
            outcome, detail = ("differs", f"saved again: {again}") if again else (outcome, detail)
        connection.send((outcome, detail, seconds, megabytes))


def _judged(message: str, path: str) -> tuple[str, str]:
    """A refusal names the file first, is one line without control characters, and short."""
    good = message.startswith(f"{path}: ") and message.isprintable() and len(message) < len(path) + 500
    return "refused" if good else "message", message.replace(path, "FILE")[:600]


def _saved_again(net: IntNet, path: Path) -> str:
    copy = path.with_suffix(".again")
    try:
        netx.save(net, copy)
        return difference(net, netx.load(copy))
    except QuantizationError:
        return ""
    except Exception as error:
        return repr(error)[:300]
    finally:
        copy.unlink(missing_ok=True)


def compare_files(connection: Connection) -> None:
    """For each path received: (outcome, detail) of the comparison with NetX."""
    warnings.simplefilter("ignore")
    multiprocessing.set_start_method(None, force=True)  # Lava sets its own
    while True:
        path = Path(connection.recv())
        net = netx.load(path)
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                found = lava_difference(net, path)
                connection.send(("differs", f"from NetX: {found}") if found else ("loaded", ""))
            except Exception as error:
                place = traceback.extract_tb(error.__traceback__)[-1]
                text = f"{type(error).__name__}: {error} ({place.name})".replace(str(path), "FILE")
                connection.send(("stricter in Lava", " ".join(text.split())[:300]))


class Child:
    """A process that answers, one at a time, what `work` does with what is sent; started again when it had to end."""

    def __init__(self, work: Callable[[Connection], None]) -> None:
        self.work, self.process, self.count = work, None, 0

    def ask(self, item: str, seconds: float) -> tuple | str:
        """The answer, 'hang' or 'crash'."""
        if self.process is None or self.count >= 1000:
            self.stop()
            context = multiprocessing.get_context("spawn")
            self.connection, theirs = context.Pipe()
            self.process, self.count = context.Process(target=self.work, args=(theirs,), daemon=True), 0
            self.process.start()
            theirs.close()
            seconds += 60  # its imports
        self.count += 1
        self.connection.send(item)
        try:
            if self.connection.poll(seconds):
                return self.connection.recv()
            answer = "hang"
        except (EOFError, ConnectionError):
            answer = "crash"
        self.stop()
        return answer

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.connection.close()
            self.process = None


# The run


class Run:
    """All mutations of a seed, their results and the failing files."""

    def __init__(self, sources: list[Path], seed: int, folder: Path, keep: Path, with_lava: bool) -> None:
        self.sources, self.seed, self.folder, self.keep, self.with_lava = sources, seed, folder, keep, with_lava
        self.results: list[Result] = []

    def work(self, indices: range) -> None:
        loader, comparer = Child(load_files), Child(compare_files)
        for index in indices:
            path = self.folder / f"{self.seed}-{index}.net"
            result = self._one(index, path, loader, comparer)
            if result.outcome not in GOOD:
                self.keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, self.keep)
                print(f"{path.name}: {result.kind}: {result.outcome}: {result.detail}", file=sys.stderr, flush=True)
            self.results.append(result)
            path.unlink()
        loader.stop()
        comparer.stop()

    def _one(self, index: int, path: Path, loader: Child, comparer: Child) -> Result:
        result = Result(index, mutate(self.seed, index, self.sources, path), "")
        answer = loader.ask(str(path), 5 * SECONDS)  # on a busy machine, the processor's seconds are fewer
        if isinstance(answer, str):
            return replace(result, outcome=answer)
        result.outcome, result.detail, result.seconds, result.megabytes = answer
        if result.seconds > SECONDS:
            result.outcome = "hang"
        elif result.megabytes > MEGABYTES:
            result.outcome = "memory"
        if result.outcome == "loaded" and self.with_lava:
            answer = comparer.ask(str(path), 60.0)
            result.outcome, result.detail = ("stricter in Lava", answer) if isinstance(answer, str) else answer
            result.compared = True
        return result


def summary(results: list[Result]) -> dict:
    """The table as data."""
    kinds: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for result in results:
        kinds[result.kind][result.outcome] += 1
    reasons = collections.Counter(_reason(result.detail) for result in results if result.outcome == "refused")
    return {
        "n": len(results),
        "outcomes": dict(collections.Counter(result.outcome for result in results)),
        "kinds": {kind: dict(kinds[kind]) for kind in sorted(kinds)},
        "slowest_s": max(result.seconds for result in results),
        "largest_mb": max(result.megabytes for result in results),
        "compared": sum(result.compared for result in results),
        "reasons": dict(reasons.most_common(25)),
        "failures": [asdict(result) for result in results if result.outcome not in GOOD],
    }


def _reason(message: str) -> str:
    """A message without what differs between files: place, numbers, quotations."""
    message = re.sub(r"'[^']*'", "'...'", message.removeprefix("FILE: "))
    return re.sub(r"-?\d[\d.e+]*", "#", message)[:90]


def _print(found: dict) -> None:
    outcomes = sorted(found["outcomes"], key=lambda outcome: (outcome not in GOOD, outcome))
    print(f"{'mutation':22}" + "".join(f"{outcome:>18}" for outcome in outcomes))
    for kind, counts in [*found["kinds"].items(), ("all", found["outcomes"])]:
        print(f"{kind:22}" + "".join(f"{counts.get(outcome, 0):18}" for outcome in outcomes))
    print(f"\nslowest {found['slowest_s']:.2f} s, largest {found['largest_mb']:.0f} MB")
    print(f"{found['compared']} networks compared with NetX\n\nmost frequent refusals:")
    for reason, count in found["reasons"].items():
        print(f"{count:7} {reason}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--n", type=int, default=10_000, help="number of mutations")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--files", type=Path, nargs="+", default=[], help="valid files or folders, instead of the built-in"
    )
    parser.add_argument("--keep", type=Path, default=Path("fuzz_netx_failures"), help="folder for failing files")
    parser.add_argument("--only", type=int, help="index of the one mutation to run")
    parser.add_argument("--no-lava", action="store_true", help="no comparison with NetX")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    indices = range(options.n) if options.only is None else range(options.only, options.only + 1)
    with_lava = not (options.no_lava or lava.available())
    if not with_lava:
        print(f"not compared with NetX: {lava.available() or '--no-lava'}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="fuzz-netx-") as name:
        folder = Path(name)
        given = [sorted(path.rglob("*.net")) if path.is_dir() else [path] for path in options.files]
        sources = [path for paths in given for path in paths] or valid_files(folder)
        run = Run(sources, options.seed, folder, options.keep, with_lava)
        threads = [threading.Thread(target=run.work, args=(indices[k::2],)) for k in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if len(run.results) < len(indices):
        sys.exit("a mutation could not be made")
    found = summary(sorted(run.results, key=lambda result: result.index))
    print(json.dumps(found)) if options.json else _print(found)
    if found["failures"]:
        sys.exit(f"{len(found['failures'])} failures, in {options.keep}")


if __name__ == "__main__":
    main()
