"""Data sets of recordings: by name in the layouts in which they are distributed, and a user's own."""

from __future__ import annotations

import re
import struct
import warnings
import zipfile

import numpy as np
import pytest

from snnkd.base.errors import DataError, SnnkdWarning
from snnkd.data import datasets
from snnkd.data.recordings.collection import Recordings

pytestmark = pytest.mark.usefixtures("no_data")

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def bin_of(x, y=1, count=4):
    return b"".join(bytes([x, y, 0x80, 0, 10 * k]) for k in range(count))


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def nmnist(folder, damaged=()):
    """Two recordings of each digit and part; x says the digit, y the part."""
    for part, row in (("Train", 1), ("Test", 2)):
        for digit in range(10):
            for number in range(2):
                name = f"{part}/{digit}/{number:05}.bin"
                write(folder / name, b"broken" if name in damaged else bin_of(digit, row, 4 + number))


def firsts(split):
    """x and y of the first event of each recording."""
    return [(int(one.x[0]), int(one.y[0])) for one in split.images]


def zipped(folder, path, prefix=""):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in sorted(folder.rglob("*")):
            if name.is_file():
                file.write(name, prefix + name.relative_to(folder).as_posix())


def loaded(name, **options):
    return datasets.load(name, validation=0, **options)


def test_nmnist_is_the_same_unpacked_and_zipped_in_every_layout(tmp_path):
    source = tmp_path / "source"
    nmnist(source)
    roots = [tmp_path / f"root{number}" for number in range(5)]
    for root in roots:
        root.mkdir()
    nmnist(roots[0])  # Train/ and Test/ in the root
    nmnist(roots[1] / "NMNIST")
    zipped(source, roots[2] / "n-mnist-some.zip", "n-mnist/")
    for part in ("Train", "Test"):  # as they are distributed
        zipped(source / part, roots[3] / f"{part}.zip", f"{part}/")
        zipped(source / part, roots[4] / f"{part}.zip")
    sets = [loaded("nmnist", root=root) for root in roots]
    assert len({one.digest for one in sets}) == 1
    for one in sets:
        assert (len(one.train), len(one.test), one.shape) == (20, 20, (2, 34, 34))
        assert firsts(one.train) == [(label, 1) for label in one.train.labels]
        assert firsts(one.test) == [(label, 2) for label in one.test.labels]


def test_another_event_is_another_digest(tmp_path):
    nmnist(tmp_path)
    before = loaded("nmnist", root=tmp_path).digest
    (tmp_path / "Train/3/00000.bin").write_bytes(bin_of(3, 1, 5))
    assert loaded("nmnist", root=tmp_path).digest != before


def test_the_validation_split_is_of_recordings_too(tmp_path):
    nmnist(tmp_path)
    one = datasets.load("nmnist", root=tmp_path, validation=10)
    assert (len(one.train), len(one.validation)) == (10, 10)
    assert isinstance(one.validation.images, Recordings)
    assert firsts(one.validation) == [(label, 1) for label in one.validation.labels]


def test_a_damaged_recording_is_one_error_with_file_and_byte(tmp_path):
    nmnist(tmp_path, damaged=("Train/4/00001.bin",))
    expected = r"Train/4/00001\.bin: byte 5: the file ends within an event.*skip_damaged = true"
    with pytest.raises(DataError, match=expected):
        loaded("nmnist", root=tmp_path)


def test_damaged_recordings_are_left_out_and_counted(tmp_path):
    nmnist(tmp_path, damaged=("Train/4/00001.bin", "Train/5/00000.bin"))
    with pytest.warns(SnnkdWarning, match=r"2 of 20 recordings are damaged and left out; the first: .*Train/4/00001"):
        one = loaded("nmnist", root=tmp_path, skip_damaged=True)
    assert (len(one.train), len(one.test)) == (18, 20)
    assert firsts(one.train) == [(label, 1) for label in one.train.labels]


def test_a_damaged_zip_is_one_error(tmp_path):
    nmnist(tmp_path / "source")
    path = tmp_path / "nmnist.zip"
    zipped(tmp_path / "source", path)
    data = bytearray(path.read_bytes())
    data[60] ^= 255  # in the first recording
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"nmnist\.zip: Test/0/00000\.bin: cannot be read"):
        loaded("nmnist", root=tmp_path)
    path.write_bytes(data[:100])
    with pytest.raises(DataError, match=r"nmnist\.zip: cannot be read as a zip"):
        loaded("nmnist", root=tmp_path)


def test_a_missing_set_says_where_and_how(tmp_path):
    for name in ("nmnist", "dvs-gesture", "cifar10-dvs", "shd", "ssc"):
        with pytest.raises(DataError, match=f"{name}: no train recordings; expected .* --data-root"):
            loaded(name, root=tmp_path)


def aedat2(x):
    return b"#!AER-DAT2.0\r\n" + b"".join(struct.pack(">II", (127 - x) << 8 | 126 << 1, 1000 + k) for k in range(3))


@pytest.mark.parametrize("packed", [False, True])
def test_cifar10_dvs_is_split_by_number(tmp_path, packed):
    for number, name in enumerate(CLASSES):
        for index in (0, 99, 100, 999):
            write(tmp_path / "all" / name / f"cifar10_{name}_{index}.aedat", aedat2(number))
        if packed:
            zipped(tmp_path / "all" / name, tmp_path / f"{name}.zip", f"{name}/")
    root = tmp_path if packed else tmp_path / "all"
    one = loaded("cifar10-dvs", root=root)
    assert (one.classes, one.shape, len(one.train), len(one.test)) == (CLASSES, (2, 128, 128), 20, 20)
    for split in (one.train, one.test):
        assert firsts(split) == [(label, 1) for label in split.labels]


def gesture_file(trials):
    """AEDAT 3.1: three events in each trial, x its class, and one between trials."""
    rows = []
    for label, start, _ in trials:
        rows += [(label << 17 | 5 << 2 | 3, start + 10 * k) for k in range(3)] + [(99 << 17 | 1, start - 1)]
    rows.sort(key=lambda row: row[1])
    head = struct.pack("<hhiiiiii", 1, 0, 8, 4, 0, len(rows), len(rows), len(rows))
    return b"#!AER-DAT3.1\r\n#!END-HEADER\r\n" + head + b"".join(struct.pack("<II", *row) for row in rows)


@pytest.mark.parametrize("packed", [False, True])
def test_dvs_gesture_is_split_by_users(tmp_path, packed):
    folder = tmp_path / ("source" if packed else "DvsGesture")
    trials = [(label, 1_000_000 * label, 1_000_000 * label + 500_000) for label in range(1, 12)]
    for part, user in (("train", "user01_led"), ("test", "user24_lab")):
        write(folder / f"{user}.aedat", gesture_file(trials))
        lines = ["class,startTime_usec,endTime_usec", *(",".join(map(str, trial)) for trial in trials)]
        write(folder / f"{user}_labels.csv", "\n".join(lines).encode())
        write(folder / f"trials_to_{part}.txt", f"{user}.aedat\n".encode())
    if packed:
        zipped(folder, tmp_path / "DvsGesture.zip", "DvsGesture/")
    one = loaded("dvs-gesture", root=tmp_path)
    assert len(one.classes) == 11 and len(one.train) == len(one.test) == 11
    for split in (one.train, one.test):
        assert firsts(split) == [(label + 1, 5) for label in split.labels]
        assert all(recording.t.tolist() == [0, 10, 20] for recording in split.images)


def test_a_trial_that_is_none_says_its_line(tmp_path):
    write(tmp_path / "DvsGesture/a.aedat", gesture_file([(1, 5, 9)]))
    write(tmp_path / "DvsGesture/a_labels.csv", b"class,startTime_usec,endTime_usec\n1,5,9\n12,5,9\n")
    write(tmp_path / "DvsGesture/trials_to_train.txt", b"a.aedat\n")
    with pytest.raises(DataError, match=r"a_labels\.csv: line 3: expected a class from 1 to 11"):
        loaded("dvs-gesture", root=tmp_path)


@pytest.fixture
def spikes(spike_lists):
    def write(path, labels, unit=0):
        spike_lists(path, labels, [([0.25, 0.5], [label + unit, 699]) for label in labels])

    return write


def test_shd_and_ssc_are_read_from_hdf5(tmp_path, spikes):
    spikes(tmp_path / "shd_train.h5", list(range(20)) * 2)
    spikes(tmp_path / "shd_test.h5", list(range(20)), 300)
    one = loaded("shd", root=tmp_path)
    assert (one.shape, len(one.train), len(one.test), len(one.classes)) == ((2, 1, 700), 40, 20, 20)
    assert [x for x, _ in firsts(one.train)] == one.train.labels.tolist()
    assert [x for x, _ in firsts(one.test)] == [label + 300 for label in one.test.labels]
    assert one.test.images.read(3).t.tolist() == [250_000, 500_000]
    for name in ("train", "valid", "test"):
        spikes(tmp_path / f"ssc_{name}.h5", range(35))
    other = loaded("ssc", root=tmp_path)
    assert (len(other.train), len(other.test), len(other.classes)) == (70, 35, 35)
    spikes(tmp_path / "shd_test.h5", [20])
    with pytest.raises(DataError, match="label 20 at position 0: expected labels from 0 to 19"):
        loaded("shd", root=tmp_path)


def test_an_own_folder_of_any_format(tmp_path):
    for part in ("train", "test"):
        for label, x in (("left", 2), ("right", 9)):
            write(tmp_path / "mine" / part / label / "a.bin", bin_of(x))
            np.save(tmp_path / "mine" / part / label / "b.npy", np.array([[5, x, 3, 1]]))
            np.savez(tmp_path / "mine" / part / label / "c.npz", t=[7], x=[x], y=[3])
            write(tmp_path / "mine" / part / label / "notes.txt", b"nothing")
    one = loaded("mine", root=tmp_path, sensor=(8, 12))
    assert (one.classes, one.shape, len(one.train), len(one.test)) == (("left", "right"), (2, 8, 12), 6, 6)
    assert [x for x, _ in firsts(one.train)] == [2, 2, 2, 9, 9, 9]


def test_own_arrays_in_one_file(tmp_path):
    ends = np.arange(1, 21) * 3
    arrays = {
        "t": np.tile([0, 5, 9], 20),
        "x": np.repeat(np.arange(20) % 4, 3),
        "ends": ends,
        "labels": np.arange(20) % 4,
    }
    np.savez(tmp_path / "own.npz", **arrays)
    one = loaded("own.npz", root=tmp_path, sensor=(1, 4))
    assert (len(one.train), len(one.test), one.classes) == (16, 4, ("0", "1", "2", "3"))
    for split in (one.train, one.test):
        assert firsts(split) == [(label, 0) for label in split.labels]
    np.savez(tmp_path / "two.npz", **arrays, **{f"{key}_test": values for key, values in arrays.items()})
    assert len(loaded("two.npz", root=tmp_path, sensor=(1, 4)).test) == 20
    for changes, words in (
        ({"ends": ends[::-1]}, "ends: expected 20 ends that rise"),
        ({"ends": ends + 1}, "expected 61 events each"),
        ({"labels": np.zeros(20)}, "ends, labels: expected integers"),
        ({"labels": np.full(20, 99)}, "label 99 among 20"),
    ):
        np.savez(tmp_path / "bad.npz", **{**arrays, **changes})
        with pytest.raises(DataError, match=re.escape(words)):
            loaded("bad.npz", root=tmp_path, sensor=(1, 4))


def test_an_own_hdf5_file_of_spike_lists(tmp_path, spikes):
    spikes(tmp_path / "own.h5", [0, 1] * 10)
    one = loaded("own.h5", root=tmp_path, sensor=(1, 700))
    assert (len(one.train), len(one.test)) == (16, 4)


def test_the_real_recordings_are_read(public_data):
    if not (public_data / "n-mnist-small.zip").is_file():
        pytest.skip(f"no n-mnist-small.zip in {public_data}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = loaded("nmnist", root=public_data)
    assert (len(one.train), len(one.test)) == (900, 100)
    counts = [len(recording) for recording in one.test.images]
    assert min(counts) > 1000 and max(counts) < 10_000
