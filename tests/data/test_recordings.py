"""Formats of recordings: arrays that are known come back, damaged files are one error with its place."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from snnkd.base.errors import DataError
from snnkd.data.recordings import FORMATS, aedat, arrays, atis, spike_lists
from snnkd.data.recordings.recording import Damaged, Recording, recording

SENSOR = (34, 34)


def events(count=200, sensor=SENSOR, seed=0, span=300_000):
    random = np.random.default_rng(seed)
    t = np.sort(random.integers(0, span, count))
    y, x = (random.integers(0, side, count) for side in sensor)
    return recording(t, x, y, random.integers(0, 2, count), sensor)


def same(found, expected):
    for key in "txyp":
        np.testing.assert_array_equal(getattr(found, key), getattr(expected, key), err_msg=key)
    return True


def bin_bytes(one: Recording) -> bytes:
    rows = zip(one.x.tolist(), one.y.tolist(), one.p.tolist(), one.t.tolist(), strict=True)
    return b"".join(bytes([x, y]) + (p << 23 | t).to_bytes(3, "big") for x, y, p, t in rows)


def aedat2_bytes(one: Recording, start=0) -> bytes:
    head = b"#!AER-DAT2.0\r\n# made by hand\r\n"
    rows = zip(one.x.tolist(), one.y.tolist(), one.p.tolist(), one.t.tolist(), strict=True)
    return head + b"".join(
        struct.pack(">II", (127 - x) << 8 | (127 - y) << 1 | 1 - p, start + t) for x, y, p, t in rows
    )


def packet(rows, kind=1, size=8, overflow=0):
    head = struct.pack("<hhiiiiii", kind, 0, size, 4, overflow, len(rows), len(rows), len(rows))
    return head + b"".join(struct.pack("<II", *row) for row in rows)


def aedat3_bytes(one: Recording, start=0, cut=50) -> bytes:
    words = [
        (x << 17 | y << 2 | p << 1 | 1, (start + t) & 0x7FFFFFFF, (start + t) >> 31)
        for x, y, p, t in zip(one.x.tolist(), one.y.tolist(), one.p.tolist(), one.t.tolist(), strict=True)
    ]
    parts = [words[k : k + cut] for k in range(0, len(words), cut)]
    other = packet([(1, 2)], kind=2)
    body = b"".join(packet([row[:2] for row in part], overflow=part[0][2]) + other for part in parts)
    return b"#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n" + body


def npz_bytes(**columns) -> bytes:
    file = io.BytesIO()
    np.savez(file, **columns)
    return file.getvalue()


def npy_bytes(values) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def test_bin_gives_what_was_written():
    one = events()
    assert same(atis.decode(bin_bytes(one), SENSOR), one)


def test_an_overflow_marker_adds_to_all_later_times_and_is_no_event():
    mark = bytes([0, 240, 0, 0, 0])
    data = bytes([1, 2, 0x80, 0, 10]) + mark + bytes([3, 4, 0, 0, 20]) + mark + bytes([5, 6, 0, 0, 1])
    found = atis.decode(data, SENSOR)
    assert found.t.tolist() == [10, 20 + 8192, 1 + 2 * 8192]
    assert (found.x.tolist(), found.y.tolist(), found.p.tolist()) == ([1, 3, 5], [2, 4, 6], [1, 0, 0])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no event in it"),
        (bytes([0, 240, 0, 0, 0]), "no event in it"),
        (bytes(12), "byte 10: the file ends within an event: 2 of 5 bytes"),
        (bytes(5) + bytes([34, 0, 0, 0, 0]), "byte 5: x is 34, expected 0 to 33"),
        (bytes(10) + bytes([0, 40, 0, 0, 0]), "byte 10: y is 40, expected 0 to 33"),
    ],
)
def test_a_damaged_bin_says_where(data, words):
    with pytest.raises(Damaged, match=words):
        atis.decode(data, SENSOR)


def test_times_that_go_back_are_kept_as_they_are():
    data = bytes([1, 1, 0, 1, 0, 1, 1, 0, 0, 5])
    assert atis.decode(data, SENSOR).t.tolist() == [256, 5]


def test_aedat_2_starts_at_its_first_event():
    one = events(sensor=(128, 128))
    found = aedat.decode(aedat2_bytes(one, start=5_000_000), (128, 128))
    assert same(found, Recording(one.t - one.t[0], one.x, one.y, one.p))


def test_aedat_2_passes_over_what_is_no_event_of_the_camera():
    one = events(3, sensor=(128, 128))
    other = struct.pack(">II", 0x8000, 1)
    assert len(aedat.decode(aedat2_bytes(one) + other, (128, 128))) == 3


def test_aedat_3_gives_what_was_written_over_an_overflow():
    one = events(sensor=(128, 128))
    start = (1 << 31) - 1000  # some of the events come after the 31 bits have run over
    cut = int(np.searchsorted(one.t, 1000))
    data = aedat3_bytes(one, start, cut=cut)
    assert same(aedat.decode(data, (128, 128)), Recording(one.t - one.t[0], one.x, one.y, one.p))
    part = aedat.stream(data, (128, 128)).part((128, 128), start, start + 100_000)
    inside = one.t < 100_000
    assert same(part, one.take(inside))


def test_invalid_events_of_aedat_3_are_left_out():
    data = b"#!AER-DAT3.1\r\n#!END-HEADER\r\n" + packet([(1 << 17 | 2 << 2 | 1, 7), (5 << 17, 8)])
    found = aedat.decode(data, (128, 128))
    assert (found.x.tolist(), found.y.tolist(), found.p.tolist()) == ([1], [2], [0])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"nothing", "byte 0: expected '#!AER-DAT2.0' or '#!AER-DAT3.1'"),
        (b"#!AER-DAT4.0\r\n", "AEDAT 4.0; expected 2.0 or 3.1"),
        (b"#!AER-DAT2.0\r\n" + bytes(11), "byte 22: the file ends within an event: 3 of 8"),
        (b"#!AER-DAT2.0", "byte 12: the file ends within its header"),
        (b"#!AER-DAT3.1\r\n", "no end of the header"),
        (b"#!AER-DAT3.1\r\n#!END-HEADER\r\n" + bytes(5), "byte 28: the file ends within the header of a packet"),
        (b"#!AER-DAT3.1\r\n#!END-HEADER\r\n" + packet([(1, 2)])[:-1], "byte 28: a packet of 1 of 1 events of 8 bytes"),
        (b"#!AER-DAT3.1\r\n#!END-HEADER\r\n", "no event in it"),
    ],
)
def test_a_damaged_aedat_says_where(data, words):
    with pytest.raises(Damaged, match=words):
        aedat.decode(data, (128, 128))


def test_an_event_outside_of_the_sensor_says_its_byte():
    data = b"#!AER-DAT3.1\r\n#!END-HEADER\r\n" + packet([(1, 0), (200 << 17 | 1, 1)])
    with pytest.raises(Damaged, match="byte 64: x is 200, expected 0 to 127"):
        aedat.decode(data, (128, 128))


def test_arrays_give_what_was_written():
    one = events()
    columns = {"t": one.t, "x": one.x, "y": one.y, "p": one.p}
    assert same(arrays.decode(npz_bytes(**columns), SENSOR), one)
    rows = np.stack(list(columns.values()), axis=1).astype(np.int64)
    assert same(arrays.decode(npy_bytes(rows), SENSOR), one)
    structured = np.empty(len(one), [("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "?")])  # as tonic has them
    for key, values in columns.items():
        structured[key] = values
    assert same(arrays.decode(npy_bytes(structured), SENSOR), one)
    found = arrays.decode(npz_bytes(t=one.t, x=one.x), (1, 34))
    assert found.y.max() == 0 and found.p.min() == 1


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"t": [1.5], "x": [1]}, "t: expected integers"),
        ({"x": [1]}, "no 't'"),
        ({"t": [1, 2], "x": [1]}, "x: expected integers"),
        ({"t": [-1], "x": [1]}, "event 0: t is -1, expected 0 to 4294967295 microseconds"),
        ({"t": [1, 1 << 32], "x": [1, 1]}, "event 1: t is 4294967296"),
        ({"t": np.array([(1 << 64) - 1], np.uint64), "x": [1]}, "event 0: t is 18446744073709551615"),
        ({"t": [1], "x": [1], "p": [2]}, "event 0: p is 2, expected 0 or 1"),
        ({"t": np.zeros(0, int), "x": np.zeros(0, int)}, "no event in it"),
    ],
)
def test_arrays_that_do_not_fit_say_why(columns, words):
    with pytest.raises(Damaged, match=words):
        arrays.decode(npz_bytes(**columns), SENSOR)


@settings(max_examples=150, deadline=None)
@given(some.sampled_from([".bin", ".aedat", ".npy", ".npz"]), some.binary(max_size=400))
def test_no_bytes_do_anything_but_read_or_raise_a_data_error(suffix, data):
    heads = {
        ".aedat": b"#!AER-DAT3.1\r\n#!END-HEADER\r\n",
        ".npy": b"\x93NUMPY\x01\x00",
        ".npz": b"PK\x03\x04",
        ".bin": b"",
    }
    for content in (data, heads[suffix] + data):
        try:
            one = FORMATS[suffix](content, (128, 128))
        except DataError:
            continue
        assert len(one) and one.x.max() < 128 and one.y.max() < 128 and one.p.max() < 2


@settings(max_examples=150, deadline=None)
@given(some.data())
def test_a_changed_byte_does_nothing_else_either(data):
    one = events(20, sensor=(128, 128))
    name, whole = data.draw(
        some.sampled_from(
            [
                (".bin", bin_bytes(one)),
                (".aedat", aedat2_bytes(one)),
                (".aedat", aedat3_bytes(one)),
                (".npy", npy_bytes(np.stack([one.t, one.x, one.y, one.p], axis=1))),
                (".npz", npz_bytes(t=one.t, x=one.x, y=one.y, p=one.p)),
            ]
        )
    )
    changed = bytearray(whole[: data.draw(some.integers(0, len(whole)))])
    for _ in range(data.draw(some.integers(0, 3))):
        if changed:
            changed[data.draw(some.integers(0, len(changed) - 1))] = data.draw(some.integers(0, 255))
    try:
        found = FORMATS[name](bytes(changed), (128, 128))
    except DataError:
        return
    assert isinstance(found, Recording) and len(found)


def spike_file(path, lists, labels, times="f2"):
    import h5py

    with h5py.File(path, "w") as file:
        file["labels"] = np.array(labels, np.uint16)
        for name, kind, column in (("times", times, 0), ("units", "u2", 1)):
            rows = file.create_dataset(f"spikes/{name}", (len(lists),), h5py.vlen_dtype(np.dtype(kind)))
            for index, row in enumerate(lists):
                rows[index] = np.array(row[column], kind)
    return path


LISTS = [([0.0, 0.25, 0.5], [0, 699, 3]), ([0.125], [8])]


def test_spike_lists_give_what_was_written(tmp_path):
    path = spike_file(tmp_path / "own.h5", LISTS, [4, 2])
    (first, one), (second, two) = spike_lists.listed(path, (1, 700))
    assert (one, two) == (4, 2)
    assert first.read().t.tolist() == [0, 250_000, 500_000] and first.read().x.tolist() == [0, 699, 3]
    assert second.read().t.tolist() == [125_000] and second.read().p.tolist() == [1]
    with (tmp_path / "own.h5.gz").open("wb") as file:
        file.write(gzip.compress(path.read_bytes()))
    with zipfile.ZipFile(tmp_path / "own.h5.zip", "w") as packed:
        packed.write(path, "own.h5")
    for name in ("own.h5.gz", "own.h5.zip"):
        ((other, _), _) = spike_lists.listed(tmp_path / name, (1, 700))
        assert same(other.read(), first.read())


def test_a_damaged_file_of_spike_lists_is_one_error(tmp_path):
    path = spike_file(tmp_path / "own.h5", LISTS, [4, 2])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"own\.h5"):
        spike_lists.listed(path, (1, 700))
    other = spike_file(tmp_path / "outside.h5", [([0.5], [700])], [0])
    with pytest.raises(Damaged, match="x is 700, expected 0 to 699"):
        spike_lists.listed(other, (1, 700))[0][0].read()
    early = spike_file(tmp_path / "early.h5", [([-0.5], [1])], [0])
    with pytest.raises(Damaged, match="no seconds from its start"):
        spike_lists.listed(early, (1, 700))[0][0].read()


@pytest.mark.skipif(not find_spec("tonic"), reason="tonic is not installed")
def test_tonic_reads_the_same(tmp_path):
    from tonic import io as tonic

    one = events()
    (tmp_path / "one.bin").write_bytes(bin_bytes(one) + bytes([0, 240, 0, 0, 0, 1, 2, 0, 0, 3]))
    theirs = tonic.read_mnist_file(str(tmp_path / "one.bin"), dtype=tonic.events_struct)
    ours = atis.decode((tmp_path / "one.bin").read_bytes(), SENSOR)
    for key in "txyp":
        np.testing.assert_array_equal(getattr(ours, key), theirs[key])
    wide = events(sensor=(128, 128))
    (tmp_path / "two.aedat").write_bytes(aedat2_bytes(wide))
    # read_dvs_128 unpacks too few of what 1.7 says of a header; these are its other two lines
    version, start, *_ = tonic.read_aedat_header_from_file(str(tmp_path / "two.aedat"))
    raw = tonic.get_aer_events_from_file(str(tmp_path / "two.aedat"), version, start)
    theirs = {"x": raw["address"] >> 8 & 0x7F, "p": raw["address"] & 1, "t": raw["timeStamp"]}
    ours = aedat.decode((tmp_path / "two.aedat").read_bytes(), (128, 128))
    np.testing.assert_array_equal(127 - ours.x, theirs["x"])  # tonic leaves addresses as they are
    np.testing.assert_array_equal(1 - ours.p, theirs["p"])
    np.testing.assert_array_equal(ours.t - ours.t[0], theirs["t"] - theirs["t"][0])
