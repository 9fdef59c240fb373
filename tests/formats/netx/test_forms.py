"""Forms of HDF5 in which other tools write the same network: each must load as the plain file does."""

import shutil
import subprocess
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from snnkd.formats import netx
from snnkd.formats.hdf5.groups import opened
from snnkd.formats.netx.read import WANTED


def rewrite(path, other, file_options=None, **options):
    """A copy of the file in another form; `options` are those of each array that has extents."""
    with h5py.File(path) as old, h5py.File(other, "w", **(file_options or {})) as new:
        new.attrs.update(old.attrs)

        def copy(name, item):
            if isinstance(item, h5py.Dataset):
                new.create_dataset(name, data=item[()], **(options if item.shape else {}))
            else:
                new.create_group(name, track_order=(file_options or {}).get("track_order"))

        old.visititems(copy)
    return other


CHUNKED = {
    "chunked": {"chunks": True},
    "one chunk": {"chunks": True, "maxshape": None},
    "gzip": {"compression": "gzip"},
    "gzip and shuffle": {"compression": "gzip", "compression_opts": 9, "shuffle": True},
    "lzf": {"compression": "lzf"},
    "fletcher32": {"fletcher32": True},
    "all": {"compression": "gzip", "shuffle": True, "fletcher32": True},
}
FILES = {
    "default": {},
    "latest": {"libver": "latest"},
    "earliest": {"libver": "earliest"},
    "tracked": {"track_order": True},
    "latest, tracked": {"libver": "latest", "track_order": True},
    "user block": {"userblock_size": 1024},
    "page": {"fs_strategy": "page", "fs_page_size": 4096},
}


@pytest.mark.parametrize("file_options", FILES.values(), ids=FILES)
@pytest.mark.parametrize("options", [{}, *CHUNKED.values()], ids=["contiguous", *CHUNKED])
def test_storage(path, tmp_path, same_net, options, file_options):
    other = rewrite(path, tmp_path / "other.net", file_options, **options)
    assert other.read_bytes() != path.read_bytes()
    same_net(netx.load(other), netx.load(path))


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("limits", [(None, None), (3, None), (3, 18), (None, 18)])
@pytest.mark.parametrize("chunks", [(1, 5), (3, 18), (2, 7)])
def test_chunks_of_every_index(path, tmp_path, same_net, libver, limits, chunks):
    """B-trees of both versions, fixed and extensible arrays, a single chunk."""

    def part(file):
        weight = file["layer/3"].pop("weight")[()]
        file["layer/3"].create_dataset("weight", data=weight, chunks=chunks, maxshape=limits)

    net = netx.load(path)
    with h5py.File(path) as old, h5py.File(tmp_path / "other.net", "w", libver=libver) as new:
        old.copy("layer", new)
        new.attrs.update(old.attrs)
        part(new)
    same_net(netx.load(tmp_path / "other.net"), net)


@pytest.mark.skipif(not h5py.h5z.filter_avail(h5py.h5z.FILTER_SZIP), reason="this HDF5 has no szip")
def test_szip(path, same_net, edited):
    def change(file):
        weight = file["layer/3"].pop("weight")[()]
        file["layer/3"].create_dataset("weight", data=weight, chunks=(3, 18), compression="szip", fletcher32=True)

    net = netx.load(path)
    same_net(netx.load(edited(path, change)), net)


def test_scaleoffset_is_refused(path, edited, refused):
    """The library unpacks damaged ones beyond their end."""

    def change(file):
        weight = file["layer/3"].pop("weight")[()]
        file["layer/3"].create_dataset("weight", data=weight, chunks=(3, 18), scaleoffset=0)

    refused(edited(path, change), "layer/3: weight", "filter 6; expected gzip")


@pytest.mark.parametrize("how", [{}, {"compression": "gzip"}, {"compression": "lzf"}], ids=["plain", "gzip", "lzf"])
@pytest.mark.parametrize("where", ["index", "data"])
def test_a_chunk_that_is_too_short(path, edited, refused, how, where):
    """The library hands out what lies behind it in memory."""
    if not how and where == "data":
        return

    def change(file):
        weight = file["layer/3"].pop("weight")[()]
        file["layer/3"].create_dataset("weight", data=weight * 0 + 2, chunks=(3, 18), **how)

    with h5py.File(edited(path, change)) as file:
        chunk = file["layer/3/weight"].id.get_chunk_info(0)
    raw = bytearray(path.read_bytes())
    if where == "index":
        entry = chunk.size.to_bytes(4, "little") + bytes(4)  # its size and filters that were left out
        raw.index(entry + bytes(8), raw.index(b"TREE\1"))
        at = raw.index(entry, raw.index(b"TREE\1"))
        raw[at] -= 5
    else:
        short = zlib.compress(bytes(100)) if how["compression"] == "gzip" else bytes([1, 0, 0])
        raw[chunk.byte_offset : chunk.byte_offset + chunk.size] = short.ljust(chunk.size, b"\0")[: chunk.size]
    path.write_bytes(raw)
    refused(path, "layer/3: weight", "damaged")


def test_a_filter_of_a_plugin(path, edited, refused):
    def change(file):
        weight = file["layer/3"].pop("weight")[()]
        file["layer/3"].create_dataset("weight", data=weight, compression="gzip")

    raw = edited(path, change).read_bytes()
    at = raw.index(b"deflate\0") - 8
    assert raw[at : at + 2] == b"\1\0"
    path.write_bytes(raw[:at] + (32015).to_bytes(2, "little") + raw[at + 2 :])
    refused(path, "layer/3: weight", "filter 32015")


def test_chunks_that_were_never_written_hold_the_fill_value(path, edited):
    def change(file):
        weight = file["layer/3"].pop("weight")[()]
        new = file["layer/3"].create_dataset("weight", weight.shape, "i4", chunks=(1, 18), fillvalue=6)
        new[1:] = weight[1:]

    expected = netx.load(path).layers[1].weight.copy()
    expected[0] = 6
    np.testing.assert_array_equal(netx.load(edited(path, change)).layers[1].weight, expected)


def test_many_members_and_attributes(path, tmp_path, same_net):
    """More than fit a header: they lie in heaps, under hashes."""
    other = rewrite(path, tmp_path / "other.net", {"libver": "latest"})
    with h5py.File(other, "r+", libver="latest") as file:
        for k in range(40):
            file.attrs[f"other{k}"] = k
            file[f"layer/3/other{k}"] = k
    same_net(netx.load(other), netx.load(path))


@pytest.mark.parametrize("dtype", [">i4", ">i2", "<i2", ">i8", ">f4", ">f8", "<f8", "<f4", "<f2", ">f2"])
def test_types_of_weights(path, same_net, edited, dtype):
    def change(file):
        weight = file["layer/3"].pop("weight")[()]
        file["layer/3/weight"] = weight.astype(dtype)

    net = netx.load(path)
    same_net(netx.load(edited(path, change)), net)


@pytest.mark.parametrize("dtype", [">u2", "u1", ">i8"])
def test_types_of_small_numbers(path, same_net, edited, dtype):
    def change(file):
        for name in ("shape", "inFeatures"):
            value = file["layer/3"].pop(name)[()]
            file[f"layer/3/{name}"] = np.asarray(value, dtype)

    net = netx.load(path)
    same_net(netx.load(edited(path, change)), net)


def test_named_types(path, same_net, edited):
    def change(file):
        weight = file["layer/3"].pop("weight")[()]
        file["layer/3/int"] = np.dtype("i4")
        file["layer/3"].create_dataset("weight", data=weight, dtype=file["layer/3/int"])

    net = netx.load(path)
    same_net(netx.load(edited(path, change)), net)


@pytest.mark.parametrize("length", [None, 5, 20, 256])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_texts(path, same_net, edited, length, shape):
    def change(file):
        del file["layer/3/type"]
        dtype = h5py.string_dtype("ascii", length)
        file["layer/3"].create_dataset("type", shape, dtype)[...] = b"dense"

    net = netx.load(path)
    same_net(netx.load(edited(path, change)), net)


def test_texts_that_end_otherwise(path, same_net, edited):
    """Padded with spaces, which the library takes away, and ended by a 0."""

    def change(file):
        for layer, padding in ((1, h5py.h5t.STR_SPACEPAD), (3, h5py.h5t.STR_NULLTERM)):
            text = file[f"layer/{layer}"].pop("type")[0]
            kind = h5py.h5t.C_S1.copy()
            kind.set_size(12)
            kind.set_strpad(padding)
            new = h5py.h5d.create(file[f"layer/{layer}"].id, b"type", kind, h5py.h5s.create(h5py.h5s.SCALAR))
            new.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array(text, "S12"))

    net = netx.load(path)
    same_net(netx.load(edited(path, change)), net)


def test_compact_arrays(path, same_net, edited):
    def change(file):
        weight = file["layer/3"].pop("weight")[()]
        how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        how.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple(weight.shape)
        new = h5py.h5d.create(file["layer/3"].id, b"weight", h5py.h5t.NATIVE_INT32, space, how)
        new.write(h5py.h5s.ALL, h5py.h5s.ALL, weight)

    net = netx.load(path)
    same_net(netx.load(edited(path, change)), net)


@pytest.mark.skipif(shutil.which("h5repack") is None, reason="h5repack is not installed")
@pytest.mark.parametrize("how", [["-f", "GZIP=5"], ["-l", "CHUNK=2x3"], ["-L"], ["-f", "SHUF", "-f", "GZIP=9", "-L"]])
def test_h5repack(path, tmp_path, same_net, how):
    subprocess.run(["h5repack", *how, str(path), str(tmp_path / "other.net")], check=True)
    same_net(netx.load(tmp_path / "other.net"), netx.load(path))


def test_what_no_network_needs_is_not_read(path, same_net, edited):
    """Neither beside the layers nor deeper than their neurons, as large and as odd as it may be."""

    def change(file):
        file.create_dataset("training/data", (1 << 20, 1 << 20), "f8", chunks=True)
        file["training/again"] = file["/"]
        file["layer/3/neuron/more"] = file["layer"]
        file.create_dataset("layer/3/log", (1 << 20, 1 << 20), "f8", chunks=(1, 1 << 10))[0, 0] = 1

    net = netx.load(path)
    same_net(netx.load(edited(path, change)), net)


def test_simulation_is_read(path, edited):
    """As floats, and as integers."""

    def change(file):
        file["simulation/Ts"], file["simulation/tSample"] = 1.5, [300]

    with opened(Path(edited(path, change)), WANTED) as root:
        simulation = root.group("simulation")
        assert sorted(simulation.names()) == ["Ts", "tSample"]
        assert (simulation.floats("Ts").dtype, simulation.floats("Ts").tolist()) == (np.float64, 1.5)
        assert (simulation.numbers("Ts").dtype, simulation.numbers("Ts").tolist()) == (np.int64, 1)
        assert simulation.integers("tSample").tolist() == [300]
        assert simulation.floats("tSample").tolist() == [300.0]
