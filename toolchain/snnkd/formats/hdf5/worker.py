"""Reads HDF5 files for `process.py`, with h5py: each in a forked process of its own, in little time and memory.

Imports little: it must start fast. Each line of stdin is a request, as JSON: the path of a file, what of it is wanted
(`process.Wanted`), and its limits. The forked process answers on stdout: for each item of the file a line of JSON and
the bytes of its numbers or its text, at last {}. This process says on stderr when it is ready and how the forked one
ended. Whoever reads the answer must not trust it: a damaged file may make the HDF5 library write anything.
"""

# h5py says nothing of its low-level modules.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import contextlib
import gc
import json
import mmap
import os
import sys
from collections.abc import Callable, Iterator
from math import prod
from typing import Any

if sys.platform != "win32":
    import resource

import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5l, h5o, h5s, h5t, version

from snnkd.formats.hdf5.chunks import PACKINGS, stored_sizes, unpacked_sizes, up_to

_ATTRIBUTES = "snnkd_"  # of the root: what the names of those begin with that are read
_MAX_NAME, _MAX_RANK = 256, 32
_AT_ONCE = 1 << 20  # bytes that are said together
_MAX_ATTRIBUTE_TEXT = 1 << 20
_MAX_TEXTS = 1 << 14  # in one array
_MAX_ATTRIBUTE = 16  # numbers
_CLASSES = {h5t.BITFIELD: "bit field", h5t.OPAQUE: "opaque", h5t.COMPOUND: "compound", h5t.REFERENCE: "reference"}
_CLASSES |= {h5t.ENUM: "enumeration", h5t.VLEN: "list", h5t.ARRAY: "array", h5t.TIME: "time"}


class Refused(Exception):
    """Why an item of a file is not read."""


class Walk:
    """Tells all items of one file that may matter, in order, without following links.

    page: memory shared with whoever wants to know at which item the library failed. wanted, limits: those of the
    request. What is told is kept in `answer` and written to stdout where that grows long.
    """

    def __init__(self, page: mmap.mmap, wanted: dict[str, Any], limits: dict[str, int]) -> None:
        self.page, self.wanted, self.limits, self.budget = page, wanted, limits, limits["elements"]
        self.place, self.answer = "", bytearray()

    def file(self, path: str) -> None:
        """Tells all items of the file at `path`."""
        with self.telling(""):
            root = h5o.open(h5f.open(os.fsencode(path), h5f.ACC_RDONLY), b"/")
            self.group(root, "")
            self.attributes(root)

    def attributes(self, root: h5g.GroupID) -> None:
        """Tells the attributes of the root that snnkd writes."""
        names: list[bytes] = []
        with self.telling("/"):
            count = h5a.get_num_attrs(root)
            self.spend(count * self.limits["entry"])
            h5a.iterate(root, up_to(count, names))
            if len(names) != count or len(set(names)) != count:
                raise Refused("damaged: attributes are missing, or there twice")
            self.tell(kind="group")
        for name in names:
            if name.startswith(_ATTRIBUTES.encode()):
                with self.telling(f"/{_decoded(name)}"):
                    attribute = h5a.open(root, name)
                    self.content("attribute", attribute.get_type(), attribute.get_space(), attribute.read)

    @contextlib.contextmanager
    def telling(self, place: str) -> Iterator[None]:
        """Makes what is told that of `place`; tells of errors that it cannot be read."""
        name = place.encode()[: mmap.PAGESIZE - 1]
        self.page[: len(name) + 1] = name + b"\0"
        self.place = place
        try:
            yield
        except Refused as error:
            self.tell(kind="refused", problem=str(error)[:300])
        except Exception as error:  # the library has many kinds of them for a damaged file
            newer = f", or newer than HDF5 {version.hdf5_version}" if "version number" in str(error) else ""
            words = error.args[0] if error.args else "cannot be read"
            self.tell(kind="refused", problem=f"damaged{newer}: {words}"[:300])

    def tell(self, raw: bytes | memoryview = b"", **fields: Any) -> None:
        """Adds a line on the item at `self.place` to the answer, and its data `raw` behind it."""
        self.answer += json.dumps({"place": self.place, **fields}).encode() + b"\n"
        if len(self.answer) + len(raw) < _AT_ONCE:
            self.answer += raw
        else:
            self.flush()
            _write(1, raw)

    def flush(self) -> None:
        """Writes what was told."""
        _write(1, self.answer)
        self.answer = bytearray()

    def spend(self, elements: int) -> None:
        """Takes `elements` off what may be read of this file. Raises Refused where that is more than is left."""
        if elements > self.budget:
            raise Refused(f"more than {self.limits['elements']} elements in one file, or damaged")
        self.budget -= elements

    def group(self, group: h5g.GroupID, place: str) -> None:
        """Tells a group and what it holds. Raises Refused where it lies too deep, or its links are damaged."""
        depth = place.count("/") + bool(place)
        if depth > self.wanted["deepest"]:
            raise Refused("lies deeper than anything that is read")
        links: list[tuple[bytes, int]] = []
        count = group.get_num_objs()
        self.spend(count * self.limits["entry"])
        add = up_to(count, links)
        group.links.iterate(lambda name, info: add((name, info.type)), info=True)
        names = [name for name, _ in links]
        if len(names) != count or names != sorted(set(names)):
            raise Refused("damaged: members of a group out of order")
        self.tell(kind="group")
        for name, link in links:
            inner = f"{place}/{_decoded(name)}" if place else _decoded(name)
            with self.telling(inner):
                self.member(group, name, link, inner)

    def member(self, group: h5g.GroupID, name: bytes, link: int, place: str) -> None:
        """Tells the member `name` of `group`; link: the type of the link to it. Raises Refused for what is not read."""
        if link != h5l.TYPE_HARD:
            raise Refused("is a link; expected the data itself, links are not followed")
        if "/" not in place and place not in self.wanted["members"]:
            raise Refused("is nothing that is read")
        member = h5o.open(group, name)
        h5o.get_info(member)  # NetX asks for that, and fails where it is damaged
        if isinstance(member, h5g.GroupID):
            self.group(member, place)
        elif isinstance(member, h5d.DatasetID):
            self.array(member)
        else:
            raise Refused("expected an array or a group")

    def array(self, dataset: h5d.DatasetID) -> None:
        """Tells an array. Raises Refused for one whose data lies elsewhere, is missing or must not be unpacked."""
        creation = dataset.get_create_plist()
        layout = creation.get_layout()
        if layout == h5d.VIRTUAL or creation.get_external_count():
            raise Refused("keeps its data in another file; that is not followed")
        space, datatype = dataset.get_space(), dataset.get_type()
        if layout == h5d.CHUNKED:
            self.check_chunks(dataset, creation)
        if space.get_simple_extent_npoints() and not dataset.get_storage_size():
            raise Refused("damaged: its data was never written")
        self.content("array", datatype, space, lambda data: dataset.read(h5s.ALL, h5s.ALL, data))

    def check_chunks(self, dataset: h5d.DatasetID, creation: Any) -> None:
        """Refuses what would take long or much memory to unpack, and chunks that are not as long as they should be.

        The library takes these for whole ones, and hands out whatever lies behind them in memory.
        """
        filters = [creation.get_filter(index)[0] for index in range(creation.get_nfilters())]
        if unknown := set(filters) - PACKINGS.keys():
            raise Refused(f"is packed by the filter {min(unknown)}; expected {', '.join(PACKINGS.values())}")
        shape, chunk, size = dataset.shape, creation.get_chunk(), dataset.get_type().get_size()
        self.check_size(shape, size)
        self.check_size(chunk, size)
        grid = [range(0, extent, part) for extent, part in zip(shape, chunk, strict=True)]
        self.spend(prod(map(len, grid)) * self.limits["chunk"])
        expected, count = prod(chunk) * size, dataset.get_num_chunks()
        lengths = unpacked_sizes(dataset, grid, filters, expected) if filters else stored_sizes(dataset, count)
        if len(lengths) != count or set(lengths) - {expected}:
            raise Refused(f"damaged: chunks of {min(lengths, default=0)} bytes, or missing; expected {expected}")

    def check_size(self, shape: tuple[int, ...], size: int) -> int:
        """Returns how many elements an array counts for: its own or, if those are large, those of 8 bytes. Raises
        Refused where that is too many. size: bytes of an element."""
        count = max((*shape, prod(shape), prod(shape) * size // 8))
        if count > self.limits["elements"]:
            raise Refused(f"shape {shape} has more than {self.limits['elements']} elements")
        return count

    def content(self, owner: str, datatype: h5t.TypeID, space: h5s.SpaceID, read: Callable[[np.ndarray], None]) -> None:
        """Tells type and shape of an array or attribute; its data where it is numbers or one short text.

        owner: 'array' or 'attribute'. read: fills an array with the data. Raises Refused for what is too large.
        """
        if space.get_simple_extent_type() == h5s.NULL:
            raise Refused("is empty")
        shape = tuple(space.shape)
        if len(shape) > _MAX_RANK:
            raise Refused(f"has more than {_MAX_RANK} dimensions")
        named = _named(datatype)
        longest = self.wanted["text"] if owner == "array" else _MAX_ATTRIBUTE_TEXT
        if named == "text" and shape in ((), (1,)) and (datatype.is_variable_str() or datatype.get_size() <= longest):
            data = np.empty(shape, datatype.dtype)
            read(data)
            text = bytes(data.reshape(-1)[0])
            if len(text) > longest:
                raise Refused(f"is longer than {longest} characters")
            self.tell(text, kind="text", size=len(text), shape=shape)
        elif named == "text" and owner == "array" and prod(shape) <= _MAX_TEXTS and self.wanted["texts"]:
            data = np.empty(shape, datatype.dtype)
            read(data)
            texts = b"\0".join(bytes(part) for part in data.reshape(-1).tolist())
            if len(texts) > longest:
                raise Refused(f"is longer than {longest} characters")
            self.tell(texts, kind="texts", size=len(texts), shape=shape)
        elif named != "numbers" or (owner == "attribute" and prod(shape) > _MAX_ATTRIBUTE):
            self.tell(kind="other", dtype=str(datatype.dtype) if named == "numbers" else named, shape=shape)
        else:
            self.spend(self.check_size(shape, datatype.get_size()))
            data = np.empty(shape, datatype.dtype)
            read(data)
            self.tell(data.reshape(-1).view(np.uint8).data, kind="numbers", dtype=data.dtype.str, shape=shape)


def _named(datatype: h5t.TypeID) -> str:
    """'numbers', 'text' or, for what is not read, a word for it."""
    if datatype.get_class() == h5t.STRING:
        return "text"
    if datatype.get_class() not in (h5t.INTEGER, h5t.FLOAT):
        return f"<{_CLASSES.get(datatype.get_class(), 'unusual type')}>"
    try:
        dtype = datatype.dtype
    except TypeError:  # numpy has no such numbers
        return "<unusual numbers>"
    return "numbers" if dtype.kind in "iuf" and dtype.itemsize in (1, 2, 4, 8) else "<unusual numbers>"


def _decoded(name: bytes) -> str:
    """A name as the listener may use it: one part of a place, and short."""
    return name[:_MAX_NAME].decode("utf-8", "replace").replace("/", "\ufffd")


def _limit(limits: dict[str, int]) -> None:
    """Limits this process for good: time, memory on top of what it has, and no files written."""
    if sys.platform == "win32":
        return

    def limit(resource_number: int, soft: int) -> None:
        hard = resource.getrlimit(resource_number)[1]
        soft = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
        resource.setrlimit(resource_number, (soft, hard))

    with contextlib.suppress(OSError), open("/proc/self/statm") as file:  # noqa: PTH123
        limit(resource.RLIMIT_AS, int(file.read().split()[0]) * resource.getpagesize() + (limits["megabytes"] << 20))
    limit(resource.RLIMIT_CPU, limits["seconds"])
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_FSIZE, 0)


def _write(file: int, data: bytes | bytearray | memoryview) -> None:
    unwritten = memoryview(data)
    while unwritten:
        unwritten = unwritten[os.write(file, unwritten) :]


def _answer(request: dict[str, Any], page: mmap.mmap) -> None:
    walk = Walk(page, request["wanted"], request["limits"])
    walk.file(request["path"])
    walk.answer += b"{}\n"
    walk.flush()


def _answer_apart(request: dict[str, Any], page: mmap.mmap) -> dict[str, Any]:
    """Answers in a forked process. Returns how that ended (0 is good), at which place, and what it took."""
    if sys.platform == "win32":
        _answer(request, page)
        return {"ended": 0, "place": "", "seconds": 0.0, "megabytes": 0.0}
    page[:1] = b"\0"
    child = os.fork()
    if not child:
        try:
            _limit(request["limits"])
            _answer(request, page)
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status, usage = os.wait4(child, 0)
    return {
        "ended": os.waitstatus_to_exitcode(status),
        "place": page[:].partition(b"\0")[0].decode("utf-8", "replace"),
        "seconds": usage.ru_utime + usage.ru_stime,
        "megabytes": usage.ru_maxrss / 1024,
    }


def main() -> None:
    """Answers requests until stdin ends, or a forked process failed: its answer may then be cut off anywhere."""
    control = os.dup(2)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 2)  # what a library prints
    page = mmap.mmap(-1, mmap.PAGESIZE)
    gc.freeze()  # a collection would write to all objects, and so copy their memory in every forked process
    gc.disable()
    _write(control, b"{}\n")
    for line in sys.stdin.buffer:
        ended = _answer_apart(json.loads(line), page)
        _write(control, json.dumps(ended).encode() + b"\n")
        if ended["ended"]:
            sys.exit(1)
