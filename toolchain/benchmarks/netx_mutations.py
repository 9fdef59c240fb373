"""Valid `.net` and `.nir` files, and mutations of their bytes and of their HDF5 tree, for fuzz.py."""

# The types of h5py are no help here: what lies under a name is known only when it is read.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false, reportCallIssue=false

from __future__ import annotations

import contextlib
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nir_graphs import graphs, write
from snnkd import formats
from snnkd.engines.conformance import networks, random_dense
from snnkd.formats import netx
from snnkd.ir.network import IntNet
from snnkd.ir.readout import EarlyExit, Readout

Random = np.random.Generator

SHIPPED = ("tiny.net", "mnist.net", "gts/ntidigits/ntidigits.net", "gts/pilotnet_lif/network.net")

BYTES = (*("flip", "byte", "range") * 2, *("word",) * 3, "copy", "insert", "remove", "truncate")
WORDS = (0, 1, 8, 96, 1 << 15, (1 << 16) - 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1)
SIZES = (1, 2, 4, 8, 16, 512)
NUMBERS = (np.nan, np.inf, -np.inf, 1e30, -1e30, 1.5, 0.1, -0.0, -1, 0, 1, 2, 3, 62, 63, 127, 128, 254, 255, 300, -257)
NUMBERS += (4095, 4096, 4097, 1 << 15, 40000, (1 << 17) + 1, (1 << 25) - 1, 1 << 25, 1 << 31, -(1 << 31), 1 << 62)
TEXTS = ("", " dense", "dense ", "dense\0x", "CUBA ", "d\u00e9nse", "x" * 300, "\n\r\t\x1b[31m")
TEXTS += ("input", "dense", "conv", "flatten", "average", "pool", "dense_rec", "dense_comp", "kwta", "unknown")
TEXTS += ("NIRGraph", "LIF", "CubaLIF", "LI", "Linear", "Conv2d", "Flatten", "Input", "Output", "Delay")
TEXTS += ("Dense", "CUBA", "LOIHI", "SDNN", "RF")
NAMES = ("x", "", "weight", "delay", "type", "neuron", "bias", "-1", "99", "0", "\u00e9", "x" * 5000)
TYPES = ("i1", "u1", "i2", "u2", ">i4", "i4", "i8", ">i8", "u8", "f2", "f4", ">f8", "f8", "c8", "S10", "S300", "?", "g")
ODD_TYPES = (np.dtype([("a", "i4"), ("b", "f8")]), h5py.vlen_dtype("i4"), h5py.enum_dtype({"a": 1}), h5py.ref_dtype)
ODD_TYPES += (np.dtype("V8"), np.dtype(("i4", (2, 2))), h5py.string_dtype(), h5py.opaque_dtype(np.dtype("M8[s]")))
SHAPES = ((), (0,), (1,), (2,), (3,), (1, 1), (0, 3), (2, 2), (3, 1, 1), (1, 1, 1, 1), (1,) * 32, (1000,), (0, 1 << 40))
ATTRIBUTES = (
    *("input_shape", "steps", "message_bits", "readout", "early_exit", "class_names", "encoding", "provenance"),
)
ATTRIBUTE_VALUES = (np.float32(2.5), np.nan, "text", "{", "[" * 50000, "[]", "null", "{}", b"\xff", "1" * 5000)
ATTRIBUTE_VALUES += ('{"kind": "count"}', '{"ties": 3}', '{"kind": ["a"]}', '{"ties": "membrane"}', '{"a": {}}', '"x"')
ATTRIBUTE_VALUES += ('{"a": NaN}', '{"a": 1e999}', '{"\\ud800": 1}', '{"kind": "average", "group": 0}')
ATTRIBUTE_VALUES += ('{"kind": "average", "window": -1}', '{"kind": "count", "population": 2}', '{"population": 0}')
ATTRIBUTE_VALUES += ('{"margin": 2, "first": 1}', '{"margin": -1, "first": true}', '{"margin": 1e30, "first": 1}')
ATTRIBUTE_VALUES += tuple(map(np.array, ([], [6], [[6]], [2, 6, 5], [0, 0, 0], [5, 6, 2], [-1], [1 << 62], [60])))
ATTRIBUTE_VALUES += (np.array([1, 6]), 0, 1, -1, 4, 25, 1 << 40, np.uint8(4), np.bool_(True))
ATTRIBUTE_VALUES += (np.array([b"{}"], object), np.array(["a", "b"], "S4"), np.array("{}", "S9000"), h5py.Empty("f4"))
ATTRIBUTE_VALUES += (np.zeros(6000, "i8"), (1 << 64) - 1, -(1 << 63))
FORMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # of a file, and of its arrays with extents
    "latest": ({"libver": "latest"}, {}),
    "chunked": ({"userblock_size": 512}, {"chunks": True, "fletcher32": True}),
    "gzip": ({}, {"compression": "gzip", "shuffle": True}),
    "szip": ({}, {"chunks": True, "compression": "szip" if h5py.h5z.filter_avail(h5py.h5z.FILTER_SZIP) else "lzf"}),
    "latest-chunked": ({"libver": "latest", "track_order": True}, {"compression": "lzf", "maxshape": True}),
}
FIELDS = ("delay", "bias", "neuron/messageBits", "messageBits", "weight", "weight/imag", "wgtExp", "transform")
FIELD_VALUES = (0, 1, -1, 2.7, 63, 1e9, "x", [-3.0], [1.5] * 4, [[1]])
FIELD_VALUES += (np.arange(4), np.arange(6), np.arange(24).reshape(4, 6))


# Valid files


def valid_files(folder: Path) -> list[Path]:
    """Small files of every kind that `save` writes and lava-dl's own where it is installed, each in all FORMS."""
    random = np.random.default_rng(0)
    nets = {name: net for name, (net, _) in networks().items()}
    plain = IntNet((6,), (random_dense(random, (6,), 4), random_dense(random, (4,), 3)))
    attached = {"steps": 16, "encoding": {"kind": "rate"}, "provenance": {"seed": 1}}
    nets["attached"] = replace(plain, readout=Readout(ties="membrane"), early_exit=EarlyExit(2, 1), **attached)
    long = {"text": "provenance " * 8000}  # in a heap, as it fits no header
    nets["long"] = replace(plain, encoding=long, provenance=long)
    paths = [folder / f"{name.replace(' ', '_')}.net" for name in nets]
    for path, net in zip(paths, nets.values(), strict=True):
        netx.save(net, path)
    _as_lava_dl_writes(folder / "slayer.net")
    shipped = [Path(site) / "tests/lava/lib/dl/netx" / name for name in SHIPPED for site in sys.path]
    plain_files = [*paths, folder / "slayer.net", *(path for path in shipped if path.is_file())]
    return [*plain_files, *(_in_form(path, form, folder) for path in plain_files for form in FORMS)]


def valid_graphs(folder: Path) -> list[Path]:
    """Small `.nir` files: every primitive, and what `save` writes of networks, each in all FORMS."""
    made = [write(graph, folder / f"graph{index}.nir") for index, graph in enumerate(graphs().values())]
    of_nir = {name: net for name, (net, _) in networks().items() if not net.is_sigma_delta}
    for name, net in of_nir.items():
        made.append(folder / f"{name.replace(' ', '_')}.nir")
        formats.save(net, made[-1])
    return [*made, *(_in_form(path, form, folder) for path in made for form in FORMS)]


def _in_form(path: Path, form: str, folder: Path) -> Path:
    """The same file as another tool might write it."""
    of_file, of_arrays = FORMS[form]
    with h5py.File(path) as old, h5py.File(folder / f"{path.stem}-{form}{path.suffix}", "w", **of_file) as new:
        new.attrs.update(old.attrs)

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if not isinstance(item, h5py.Dataset):
                new.require_group(name)
            elif item.dtype.kind == "O":
                new.create_dataset(name, data=item[()], dtype=item.dtype)  # texts in a heap take no filters
            elif item.shape:
                how = of_arrays if (item.size or 0) > 32 else {**of_arrays, "compression": None}  # szip packs no less
                how = {**how, "maxshape": (None, *item.shape[1:])} if "maxshape" in how else how
                new.create_dataset(name, data=item[()], **how)
            else:
                new[name] = item[()]

        old.visititems(copy)
        return Path(new.filename)


def _as_lava_dl_writes(path: Path) -> None:
    """A file with names in string heaps, floats and (n, 1, 1) shapes, as SLAYER exports it."""
    with h5py.File(path, "w") as file:
        kinds = {"input": (1, 4, 5), "conv": (2, 3, 3), "flatten": (18, 1, 1), "dense": (3, 1, 1)}
        for k, (kind, shape) in enumerate(kinds.items()):
            file.create_dataset(f"layer/{k}/type", (1,), "S10", [kind.encode()])
            file[f"layer/{k}/shape"] = np.array(shape)
        for k, weight in ((1, np.arange(12.0).reshape(2, 1, 2, 3, 1)), (3, np.arange(-27.0, 27).reshape(3, 18))):
            layer = file[f"layer/{k}"]
            layer["weight"], layer["bias"] = weight.astype("f4") * 2, np.arange(len(weight), dtype="f4")
            layer["neuron/type"] = "CUBA"
            for name, value in (("iDecay", 1024), ("vDecay", 128), ("vThMant", 80), ("refDelay", 1)):
                layer[f"neuron/{name}"] = value
        for name, value in (("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1))):
            file[f"layer/1/{name}"] = np.array(value)
        file["layer/3/delay"] = np.array((1.5, 0, 70), "f4")
        file["layer/1/groups"], file["simulation/Ts"] = 1, 1


def mutate(seed: int, index: int, sources: list[Path], path: Path) -> str:
    """Writes mutation `index` of `seed` to `path`; returns its kind."""
    random = np.random.default_rng((seed, index))
    small = [source for source in sources if source.stat().st_size < 200_000] or sources
    shutil.copyfile(_pick(random, sources if random.random() < 0.06 else small), path)
    if random.random() < 0.5:
        changes = [_pick(random, BYTES) for _ in range(1 + int(random.exponential(1)))]
        data = bytearray(path.read_bytes())
        for kind in changes:
            if data:
                _change_bytes(random, data, kind)
        path.write_bytes(with_checksums(data) if random.random() < 0.8 else data)
        return f"bytes: {changes[0]}"
    changes = [_pick(random, TREE) for _ in range(1 + int(random.exponential(0.5)))]
    latest = {"libver": "latest"} if random.random() < 0.3 else {}
    for change in changes:
        with (
            contextlib.suppress(KeyError, AttributeError, OSError, RuntimeError),
            h5py.File(path, "r+", **latest) as file,
        ):
            change(random, file)
    return f"tree: {changes[0].__name__[1:]}"


def _pick(random: Random, items: Sequence[Any]) -> Any:
    """One of `items`; KeyError where earlier changes left none."""
    if not items:
        raise KeyError("nothing to pick from")
    return items[random.integers(len(items))]


# Mutations of bytes


def _place(random: Random, data: bytearray) -> int:
    """An offset: mostly near a structure of the file format, which are few bytes among the weights."""
    if random.random() < 0.2:
        return int(random.integers(len(data)))
    structures = rb"\x89HDF|TREE|SNOD|HEAP|GCOL|snnkd_|\x11\0\x10\0|\x08\0\x18\0|deflate|shuffle|lzf|fletcher32"
    structures += rb"|OHDR|OCHK|FRHP|FHDB|FHIB|BTHD|BTLF|BTIN|FAHD|FADB|EAHD|EAIB|EASB|EADB|FSHD|FSSE"
    starts = [match.start() for match in re.finditer(structures, data)] if random.random() < 0.8 else []
    start = _pick(random, starts or [0])
    return min(len(data) - 1, start + int(random.exponential(80)))


def _change_bytes(random: Random, data: bytearray, kind: str) -> None:
    at = _place(random, data)
    if kind == "flip":
        data[at] ^= 1 << int(random.integers(8))
    elif kind == "byte":
        data[at] = int(_pick(random, (0, 1, 2, 3, 16, 127, 128, 255, random.integers(256))))
    elif kind == "word":
        words, size = (*WORDS, len(data)), _pick(random, (2, 4, 8))
        value = _pick(random, words) if random.random() < 0.6 else _place(random, data) & ~7
        data[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    elif kind == "range":
        size = 1 + int(random.exponential(16))
        data[at : at + size] = bytes(size) if random.random() < 0.4 else random.bytes(size)
    elif kind == "copy":
        source, size = _place(random, data), 8 << int(random.integers(6))
        data[at : at + size] = data[source : source + size]
    elif kind == "insert":
        size = _pick(random, SIZES)
        data[at:at] = random.bytes(size) if random.random() < 0.5 else data[at : at + size]
    elif kind == "remove":
        del data[at : at + _pick(random, SIZES)]
    else:  # truncate
        del data[at if random.random() < 0.5 else int(random.integers(len(data))) :]


# Checksums of the newer structures: without right ones, the library looks no further

CHECKED = {b"\x89HDF\r\n\x1a\n": 44, b"BTHD": 34, b"FRHP": 142, b"FAHD": 24, b"EAHD": 68}  # bytes up to the checksum


def with_checksums(data: bytearray) -> bytearray:
    """`data` with right checksums of superblocks, object headers and of the heads of heaps, trees and indices."""
    for match in re.finditer(b"|".join(map(re.escape, (*CHECKED, b"OHDR\2"))), data):
        at, head = match.start(), match[0]
        if head == b"OHDR\2":
            flags = data[at + 5] if at + 5 < len(data) else 0
            start = at + 6 + 16 * bool(flags & 32) + 4 * bool(flags & 16)
            width = 1 << (flags & 3)
            size = start + width + int.from_bytes(data[start : start + width], "little") - at
        else:
            size = CHECKED[head]
        if head in CHECKED and head[:1] == b"\x89" and data[at + 8 : at + 9] not in (b"\2", b"\3"):
            continue  # a superblock that has none
        if at + size + 4 <= len(data) and size < 1 << 14:
            data[at + size : at + size + 4] = checksum(data[at : at + size]).to_bytes(4, "little")
    return data


def checksum(data: bytes | bytearray) -> int:
    """HDF5's checksum of metadata: Jenkins' lookup3 (hashlittle)."""
    if not data:
        return 0xDEADBEEF
    mask = (1 << 32) - 1
    state = [(0xDEADBEEF + len(data)) & mask] * 3
    words = np.frombuffer(bytes(data).ljust(-(-len(data) // 12) * 12, b"\0"), "<u4").reshape(-1, 3).tolist()

    def turned(x: int, shift: int) -> int:
        return (x << shift | x >> (32 - shift)) & mask

    for count, block in enumerate(words, 1):
        state = [(x + y) & mask for x, y in zip(state, block, strict=True)]
        for k, shift in enumerate((4, 6, 8, 16, 19, 4) if count < len(words) else ()):
            word, before, behind = k % 3, (k + 2) % 3, (k + 1) % 3
            state[word] = ((state[word] - state[before]) & mask) ^ turned(state[before], shift)
            state[before] = (state[before] + state[behind]) & mask
    for k, shift in enumerate((14, 11, 25, 16, 4, 14, 24)):
        word, before = (k + 2) % 3, (k + 1) % 3
        state[word] = ((state[word] ^ state[before]) - turned(state[before], shift)) & mask
    return state[2]


# Mutations of the tree


def _objects(file: h5py.File) -> tuple[list[str], list[str]]:
    """Names of (groups, datasets)."""
    groups, arrays = ["/"], []
    file.visititems(lambda name, item: (groups if isinstance(item, h5py.Group) else arrays).append(name))
    return groups, arrays


def _array(random: Random, file: h5py.File) -> tuple[str, np.ndarray]:
    """(name, data) of one; of one that an earlier change put elsewhere, none: the HDF5 library may fail on it."""
    name = _pick(random, _objects(file)[1])
    return name, _data(file[name])


def _data(item: h5py.Dataset) -> np.ndarray:
    return np.zeros(1) if item.is_virtual or item.external or (item.size or 0) > 1 << 22 else np.asarray(item[()])


def _item(random: Random, file: h5py.File) -> str:
    """The name of a group or, twice as likely, of an array."""
    groups, arrays = _objects(file)
    return _pick(random, groups[1:] + arrays * 2)


def _put(file: h5py.File, name: str, **how: object) -> None:
    if name in file:
        del file[name]
    file.create_dataset(name, **how)


def _value(random: Random, file: h5py.File) -> None:
    """One number within an array, or all of them."""
    (name, data), value = _array(random, file), _pick(random, NUMBERS)
    if data.dtype.kind not in "iuf":
        return _text(random, file)
    changed = np.full(data.shape, value)
    if random.random() < 0.5 and data.size:
        changed = data.astype(type(value))
        changed.flat[random.integers(data.size)] = value
    return _put(file, name, data=changed)


def _scale(random: Random, file: h5py.File) -> None:
    """All numbers, times something: weights of one sign, of other powers of two, out of range."""
    name, data = _array(random, file)
    if data.dtype.kind in "iuf":
        changed = (data * _pick(random, (-1, 0.5, 2, 3, 100))) if random.random() < 0.5 else -np.abs(data.astype("f8"))
        _put(file, name, data=changed.astype(data.dtype))


def _type(random: Random, file: h5py.File) -> None:
    name, data = _array(random, file)
    numbers = data.dtype.kind in "iuf"
    _put(file, name, data=data.astype(_pick(random, TYPES)) if numbers else int(random.integers(9)))


def _odd_type(random: Random, file: h5py.File) -> None:
    _put(file, _array(random, file)[0], shape=_pick(random, SHAPES), dtype=_pick(random, ODD_TYPES))


def _shape(random: Random, file: h5py.File) -> None:
    name, data = _array(random, file)
    if random.random() < 0.5:
        _put(file, name, data=np.resize(data, _pick(random, SHAPES)))
    elif random.random() < 0.5 and data.ndim:
        _put(file, name, data=data.T if random.random() < 0.3 else data.ravel())
    elif data.ndim:
        axis = int(random.integers(data.ndim))
        _put(file, name, data=np.concatenate((data, data), axis) if random.random() < 0.5 else data[None])


def _storage(random: Random, file: h5py.File) -> None:
    """The same numbers, or a part of them, in chunks, limits and packings of any kind."""
    name, data = _array(random, file)
    if data.ndim and data.size:
        chunks = tuple(int(random.integers(1, 2 * extent + 1)) for extent in data.shape)
        limits = tuple(
            None if random.random() < 0.5 or part > extent else extent
            for part, extent in zip(chunks, data.shape, strict=True)
        )
        how: dict[str, Any] = {"chunks": chunks, "maxshape": limits, "fillvalue": _pick(random, (0, 2))}
        if random.random() < 0.7:
            how["compression"] = _pick(random, ("gzip", "lzf", "szip"))
        how |= {key: True for key in ("shuffle", "fletcher32") if random.random() < 0.4}
        if data.dtype.kind in "iu" and random.random() < 0.2:
            how = {"chunks": chunks, "scaleoffset": int(random.integers(0, 9))}
        whole = random.random() < 0.8
        with contextlib.suppress(ValueError):
            _put(file, name, shape=data.shape, dtype=data.dtype, **how)
            part = slice(None if whole else int(random.integers(len(data))), None)
            file[name][part] = data[part]


def _huge(random: Random, file: h5py.File) -> None:
    """Arrays without data, chunked and contiguous, that say they are large; bombs of compressed zeros."""
    name, data = _array(random, file)
    zeros, items = np.zeros((1 << 10, 1 << 12), "i4"), 1 << int(random.integers(10, 61))
    how: list[dict[str, Any]] = [
        {"shape": (1 << 40, *(1,) * (data.ndim - 1)), "dtype": "i1", "chunks": True},
        {"shape": (3, items), "dtype": "i1", "chunks": (1, 1 << 10)},
        {"data": zeros, "compression": "gzip", "chunks": zeros.shape},
        {"shape": (1 << 10, 1 << int(random.integers(6, 20))), "dtype": "f8", "fillvalue": 1.0},
        {"shape": data.shape, "dtype": data.dtype},  # nothing was ever written
    ]
    if data.ndim and data.dtype.kind in "iuf":
        how.append({"data": data, "chunks": True, "fletcher32": True, "shuffle": True, "compression": "gzip"})
    _put(file, name, **_pick(random, how))


def _remove_item(random: Random, file: h5py.File) -> None:
    del file[_item(random, file)]


def _rename(random: Random, file: h5py.File) -> None:
    name, new = _item(random, file), _pick(random, NAMES)
    folder, _, own = name.rpartition("/")
    with contextlib.suppress(ValueError):
        file.move(name, f"{folder}/{new or own.upper()}")


def _swap_items(random: Random, file: h5py.File) -> None:
    groups, arrays = _objects(file)
    kind = arrays if random.random() < 0.5 else groups[1:]
    first, second = _pick(random, kind), _pick(random, kind)
    if not f"{first}/".startswith(f"{second}/") and not second.startswith(f"{first}/"):
        for source, target in ((first, "swapped"), (second, first), ("swapped", second)):
            file.move(source, target)


def _links(random: Random, file: h5py.File) -> None:
    """Soft, external and hard links, loops among them."""
    groups, arrays = _objects(file)
    name, aim = _pick(random, groups[1:] + arrays), _pick(random, groups + arrays)
    targets = [h5py.SoftLink(f"/{aim}"), h5py.SoftLink(f"/{name}"), h5py.ExternalLink("/etc/passwd", "/")]
    targets += [h5py.ExternalLink(file.filename, f"/{aim}"), file[aim], file["/"], h5py.SoftLink("." * 9000)]
    del file[name]
    with contextlib.suppress(ValueError, RuntimeError):
        file[name] = _pick(random, targets)


def _elsewhere(random: Random, file: h5py.File) -> None:
    """Data outside of the file, or put together from other arrays."""
    name, _ = _array(random, file)
    shape, dtype = file[name].shape, file[name].dtype
    dtype = np.dtype("i4") if dtype.kind == "O" else dtype
    if random.random() < 0.5:
        size = max(1, int(np.prod(shape)) * dtype.itemsize)
        return _put(file, name, shape=shape or (1,), dtype=dtype, external=[("/etc/passwd", 0, size)])
    layout = h5py.VirtualLayout(shape or (1,), dtype)
    layout[...] = h5py.VirtualSource(_pick(random, (".", "/etc/passwd", file.filename)), name, shape or (1,))
    del file[name]
    file.create_virtual_dataset(name, layout)


def _text(random: Random, file: h5py.File) -> None:
    """A name: any text, as fixed bytes, in a heap, as a scalar, an array, with other padding."""
    name = _pick(random, [name for name in _objects(file)[1] if name.endswith("type")] or ["type"])
    value = _pick(random, TEXTS)
    if random.random() < 0.4 and name in file:  # the text that was there, in another form
        old = _data(file[name]).astype(object).reshape(-1)
        value = old[0].decode("ascii", "replace") if old.size and isinstance(old[0], bytes) else value
    raw, value = value.encode(), value.replace("\0", "")
    forms: list[Any] = [np.bytes_(raw), value, np.array([raw], f"S{max(1, len(raw))}"), np.array([raw.ljust(40)])]
    forms += [np.array([raw, raw], "S10"), np.array([[raw]], "S10"), np.frombuffer(raw, "u1")]
    how: list[dict[str, Any]] = [{"data": form} for form in forms]
    how.append({"data": np.array([value], object), "dtype": h5py.string_dtype()})
    how.append({"data": value, "dtype": h5py.string_dtype("ascii" if value.isascii() else "utf-8")})
    _put(file, name, **_pick(random, how))


def _attribute(random: Random, file: h5py.File) -> None:
    name, value = f"snnkd_{_pick(random, ATTRIBUTES)}", _pick(random, ATTRIBUTE_VALUES)
    where = file if random.random() < 0.9 else file[_pick(random, _objects(file)[0])]
    with contextlib.suppress(ValueError, RuntimeError, TypeError):
        if random.random() < 0.1:
            where.attrs.pop(name, None)
        else:
            where.attrs[name] = value


def _layers(random: Random, file: h5py.File) -> None:
    """Layers removed, repeated, exchanged, renumbered."""
    layers = file["layer"]
    names = sorted(layers.keys(), key=lambda name: (len(name), name))
    layer, count, choice = _pick(random, names), len(names), random.integers(6)
    if choice == 0:
        del layers[layer]
        names.remove(layer)
        for k, name in enumerate(names):
            if str(k) != name:
                layers.move(name, str(k))
    elif choice == 1:
        layers.copy(layer, str(count))
    elif choice in (2, 3):  # hard links
        for k in range(count, count + 1 if choice == 2 else _pick(random, (20, 300, 1100))):
            layers[str(k)] = layers[layer]
    elif choice == 4:
        layers.create_group(_pick(random, (str(count), "-1", "00", "x")))
    else:
        layers.move(layer, _pick(random, (str(count), "00", "1.0", f"{layer} ")))


def _extra(random: Random, file: h5py.File) -> None:
    """Fields that a layer does not need, or that NetX reads where they are."""
    group, name = _pick(random, _objects(file)[0]), _pick(random, FIELDS)
    with contextlib.suppress(ValueError, TypeError, RuntimeError):
        file[f"{group}/{name}"] = _pick(random, FIELD_VALUES)


TREE = (
    _value,
    _value,
    _value,
    _scale,
    _type,
    _odd_type,
    _shape,
    _shape,
    _storage,
    _storage,
    _huge,
    _remove_item,
    _rename,
    _swap_items,
)
TREE += (_links, _elsewhere, _text, _text, _attribute, _attribute, _attribute, _layers, _layers, _extra, _extra)
