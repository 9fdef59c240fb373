"""The public data sets: IDX and CIFAR-10 files as torchvision reads them, damaged ones named, downloads."""

import gzip
import hashlib
import os
import pickle
import re
import struct
import urllib.error
from pathlib import Path

import numpy as np
import pytest

from snnkd.base.errors import DataError
from snnkd.data import datasets
from snnkd.data.datasets import cifar
from snnkd.data.datasets import idx as idx_files

IDX_NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
TRAIN_BATCHES = [f"data_batch_{number}" for number in range(1, 6)]
CIFAR_NAMES = [*TRAIN_BATCHES, "test_batch"]


pytestmark = pytest.mark.usefixtures("no_data")


def pictures(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, size=shape, dtype=np.uint8)


def labels_of(count, classes=10):
    return np.arange(count) % classes


def refused(words, name, root=None, **options):
    with pytest.raises(DataError, match=re.escape(words)) as caught:
        datasets.load(name, root=root, **options)
    return str(caught.value)


def idx(array, magic=None):
    header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim if magic is None else magic, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_mnist(root, folder="MNIST", packed=False):
    """30 + 10 images of 6x5; returns (images, labels) by split."""
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    written = {}
    for seed, (split, count) in enumerate((("train", 30), ("test", 10))):
        written[split] = pictures(count, 6, 5, seed=seed), labels_of(count)
        for name, array in zip(IDX_NAMES[split], written[split], strict=True):
            if packed:
                (raw / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
            else:
                (raw / name).write_bytes(idx(array))
    return written


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_are_read(tmp_path, name, folder, packed):
    written = write_mnist(tmp_path, folder, packed)
    data = datasets.load(name, root=tmp_path, validation=0)
    for split, (images, labels) in zip((data.train, data.test), written.values(), strict=True):
        np.testing.assert_array_equal(split.images, images[:, None])
        np.testing.assert_array_equal(split.labels, labels)
        assert split.images.flags.writeable  # torch.from_numpy warns otherwise


@pytest.mark.parametrize(("name", "class_name"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_torchvision_reads_the_same_idx(tmp_path, name, class_name):
    import torchvision

    write_mnist(tmp_path, class_name)
    data = datasets.load(name, root=tmp_path, validation=0)
    for split, train in ((data.train, True), (data.test, False)):
        other = getattr(torchvision.datasets, class_name)(tmp_path, train=train)
        np.testing.assert_array_equal(split.images[:, 0], other.data.numpy())
        np.testing.assert_array_equal(split.labels, other.targets.numpy())


GOOD_IMAGES, GOOD_LABELS = idx(pictures(10, 6, 5)), idx(labels_of(10))


@pytest.mark.parametrize(
    ("name", "raw", "words"),
    [
        (
            "t10k-images-idx3-ubyte",
            GOOD_IMAGES[:-1],
            "expected 300 bytes after the header for shape (10, 6, 5), found 299",
        ),
        ("t10k-images-idx3-ubyte", GOOD_IMAGES + b"x", "found 301"),
        ("t10k-images-idx3-ubyte", GOOD_IMAGES[:7], "7 bytes, shorter than an IDX header of 16 bytes"),
        ("t10k-images-idx3-ubyte", b"", "0 bytes"),
        ("t10k-images-idx3-ubyte", GOOD_LABELS, "expected magic 0x00000803 (uint8, 3 dimensions), found 0x00000801"),
        ("t10k-images-idx3-ubyte", idx(np.zeros((0, 6, 5))), "nothing in it"),
        ("t10k-images-idx3-ubyte", struct.pack(">4I", 0x803, *[0xFFFFFFFF] * 3), "found 0; replace the file"),
        ("t10k-labels-idx1-ubyte", idx(labels_of(9)), "9 labels for the 10 images of t10k-images-idx3-ubyte"),
        ("t10k-labels-idx1-ubyte", idx(labels_of(10) + 1), "label 10 at position 9: expected labels from 0 to 9"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_damaged_idx_files_are_named(tmp_path, name, raw, words):
    write_mnist(tmp_path)
    path = tmp_path / "MNIST" / "raw" / name
    path.write_bytes(raw)
    assert str(path) in refused(words, "mnist", tmp_path)


def test_test_images_of_another_size_are_refused(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte").write_bytes(idx(pictures(10, 5, 5)))
    refused("test images are (5, 5) pixels, training images (6, 5)", "mnist", tmp_path)


def test_damaged_gzip_is_named(tmp_path):
    write_mnist(tmp_path, packed=True)
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    for raw in (path.read_bytes()[:-20], b"not gzip", b""):
        path.write_bytes(raw)
        assert str(path) in refused("train-images-idx3-ubyte.gz", "mnist", tmp_path)


def test_a_gzip_that_would_fill_the_memory_is_named(tmp_path, monkeypatch):
    write_mnist(tmp_path, packed=True)
    monkeypatch.setattr(idx_files, "_MOST", 100)
    assert "unpacks to more than 100 bytes" in refused("train-images-idx3-ubyte.gz", "mnist", tmp_path)


def test_the_real_mnist_has_the_published_figures(public_data):
    if not (public_data / "MNIST" / "raw").is_dir():
        pytest.skip("no MNIST in SNNKD_DATA nor in ../shared/data")
    data = datasets.load("mnist", root=public_data, validation=0)
    assert data.train.images.shape == (60000, 1, 28, 28) and data.test.images.shape == (10000, 1, 28, 28)
    assert abs(data.train.images.mean() / 255 - 0.1307) < 5e-5
    assert np.bincount(data.train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert data.test.labels[:5].tolist() == [7, 2, 1, 0, 4]


CIFAR_CLASSES = tuple("abcdefghij")


def write_cifar(root, binary=False):
    """12 images in each of six batches; returns {batch: (rows, labels)}."""
    folder = root / ("cifar-10-batches-bin" if binary else "cifar-10-batches-py")
    folder.mkdir(parents=True)
    written = {}
    for seed, name in enumerate(CIFAR_NAMES):
        rows, labels = pictures(12, 3072, seed=seed), [(seed + k) % 10 for k in range(12)]
        written[name] = rows, labels
        if binary:
            (folder / f"{name}.bin").write_bytes(np.column_stack([np.array(labels, np.uint8), rows]).tobytes())
        else:
            batch = {"batch_label": name, "labels": labels, "data": rows, "filenames": ["a.png"]}
            # numpy 2 names its module otherwise than the published batches do.
            raw = pickle.dumps(batch, protocol=3).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
            (folder / name).write_bytes(raw)
    if not binary:
        (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["airplane"]}))
    return written


def checksums(root):
    """Those of the Python batches below `root` instead of the published ones."""
    folder = root / "cifar-10-batches-py"
    return {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in [*CIFAR_NAMES, "batches.meta"]}


def assert_holds(contents, written):
    rows = np.concatenate([written[name][0] for name in TRAIN_BATCHES])
    np.testing.assert_array_equal(contents.train.images, rows.reshape(-1, 3, 32, 32))
    assert contents.train.labels.tolist() == [label for name in TRAIN_BATCHES for label in written[name][1]]
    np.testing.assert_array_equal(contents.test.images.reshape(-1, 3072), written["test_batch"][0])
    assert contents.test.labels.tolist() == list(written["test_batch"][1])


def test_python_batches_of_cifar_are_read(tmp_path):
    written = write_cifar(tmp_path)
    assert_holds(cifar.read(tmp_path, CIFAR_CLASSES, checksums(tmp_path)), written)


def test_binary_batches_of_cifar_are_read(tmp_path):
    written = write_cifar(tmp_path, binary=True)
    data = datasets.load("cifar10", root=tmp_path, validation=0)
    assert data.shape == (3, 32, 32) and data.classes[0] == "airplane"
    assert_holds(data, written)


def test_torchvision_reads_the_same_cifar(tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10

    write_cifar(tmp_path)
    table = checksums(tmp_path)
    contents = cifar.read(tmp_path, CIFAR_CLASSES, table)
    monkeypatch.setattr(CIFAR10, "train_list", [[name, table[name]] for name in TRAIN_BATCHES])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", table["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": table["batches.meta"]})
    for split, train in ((contents.train, True), (contents.test, False)):
        other = CIFAR10(tmp_path, train=train)
        np.testing.assert_array_equal(split.images.transpose(0, 2, 3, 1), other.data)
        assert split.labels.tolist() == other.targets


def test_the_checksums_are_torchvisions():
    from torchvision.datasets import CIFAR10

    assert dict(CIFAR10.train_list + CIFAR10.test_list) == cifar.CHECKSUMS


def test_a_python_2_batch_is_read(tmp_path):
    """The published batches: protocol 2 as Python 2 wrote it, array bytes as str, the array in Fortran order."""
    written = write_cifar(tmp_path)
    rows = pictures(2, 3072)
    raw = rows.tobytes(order="F")
    stream = (
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x88T" + struct.pack("<I", len(raw)) + raw + b"tbU\x06labels](K\x03K\x04eu."
    )
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(stream)
    contents = cifar.read(tmp_path, CIFAR_CLASSES, checksums(tmp_path))
    assert_holds(contents, {**written, "test_batch": (rows, [3, 4])})


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


@pytest.mark.parametrize(
    "raw",
    [b"", b"garbage", pickle.dumps(Evil()), pickle.dumps({"data": pictures(2, 3072), "labels": [0, 1]})],
    ids=["empty", "garbage", "hostile", "harmless"],
)
def test_a_batch_with_another_checksum_is_named_and_not_unpickled(tmp_path, raw):
    write_cifar(tmp_path)
    table = checksums(tmp_path)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(raw)
    words = f"expected MD5 {table['data_batch_3']}, found {hashlib.md5(raw).hexdigest()}"
    with pytest.raises(DataError, match=re.escape(f"{path}: not the published batch: {words}")):
        cifar.read(tmp_path, CIFAR_CLASSES, table)
    assert not Path("evil").exists()


def test_only_the_published_batches_are_unpickled(tmp_path):
    write_cifar(tmp_path)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_1"
    path.write_bytes(pickle.dumps(Evil()))
    message = refused("expected MD5 c99cafc152244af753f735de768cd75f", "cifar10", tmp_path)
    assert str(path) in message and not Path("evil").exists()


def test_code_is_not_even_run_where_the_checksum_is_known(tmp_path):
    write_cifar(tmp_path)
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(pickle.dumps({"data": Evil(), "labels": []}))
    with pytest.raises(pickle.UnpicklingError, match="mkdir is no part of CIFAR-10"):
        cifar.read(tmp_path, CIFAR_CLASSES, checksums(tmp_path))
    assert not Path("evil").exists()


def test_truncated_binary_batches_are_named(tmp_path):
    write_cifar(tmp_path, binary=True)
    path = tmp_path / "cifar-10-batches-bin" / "test_batch.bin"
    path.write_bytes(path.read_bytes()[:-1])
    assert str(path) in refused("expected records of 3073 bytes, found 36875 bytes", "cifar10", tmp_path)


def test_a_failed_download_is_one_error(tmp_path, monkeypatch, capsys):
    import torchvision

    def fail(root, train, download):
        print("Failed to download (trying next)")
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torchvision.datasets, "MNIST", fail)
    message = refused("mnist: cannot be downloaded to", "mnist", tmp_path, download=True)
    assert "no route to host" in message and str(tmp_path) in message
    assert capsys.readouterr().out == ""  # stdout is kept for --json


def test_what_is_there_is_not_downloaded(tmp_path, monkeypatch):
    import torchvision

    write_mnist(tmp_path)
    monkeypatch.setattr(torchvision.datasets, "MNIST", None)
    assert len(datasets.load("mnist", root=tmp_path, download=True).test) == 10


def test_a_download_is_read(tmp_path, monkeypatch):
    import torchvision

    monkeypatch.setattr(torchvision.datasets, "MNIST", lambda root, train, download: write_mnist(Path(root)))
    assert len(datasets.load("mnist", root=tmp_path / "new", download=True).test) == 10
