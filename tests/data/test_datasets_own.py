"""One's own data: image folders and .npz files, what is read from them and what is refused."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snnkd.base.errors import DataError
from snnkd.data import datasets

pytestmark = pytest.mark.usefixtures("no_data")


def pictures(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, size=shape, dtype=np.uint8)


def labels_of(count, classes=10):
    return np.arange(count) % classes


def refused(words, name, root=None, **options):
    with pytest.raises(DataError, match=re.escape(words)) as caught:
        datasets.load(name, root=root, **options)
    return str(caught.value)


def write_folder(root, mode="RGB", count=6, suffix=".png"):
    """Classes dog and cat, written in another order than the sorted one; returns {path below root: image}."""
    written = {}
    for seed, (part, name) in enumerate((p, n) for p in ("train", "test") for n in ("dog", "cat")):
        folder = root / part / name
        folder.mkdir(parents=True)
        for number in reversed(range(count)):
            shape = (4, 5) if mode == "L" else (4, 5, 3)
            image = pictures(*shape, seed=seed * 100 + number)
            Image.fromarray(image).save(folder / f"{number:03}{suffix}")
            written[f"{part}/{name}/{number:03}"] = image
    return written


def test_colour_folders_are_read_in_sorted_order(tmp_path):
    written = write_folder(tmp_path / "pets")
    (tmp_path / "pets" / "train" / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "pets" / "train" / ".hidden").mkdir()
    data = datasets.load(tmp_path / "pets", validation=0)
    assert data.name == "pets" and data.classes == ("cat", "dog") and data.shape == (3, 4, 5)
    for part, split in (("train", data.train), ("test", data.test)):
        names = [name for name in sorted(written) if name.startswith(part)]
        np.testing.assert_array_equal(split.images.transpose(0, 2, 3, 1), np.stack([written[name] for name in names]))
        assert split.labels.tolist() == [0] * 6 + [1] * 6


def test_grey_folders_keep_one_channel(tmp_path):
    written = write_folder(tmp_path, mode="L")
    data = datasets.load("folder", root=tmp_path, validation=0)
    assert data.shape == (1, 4, 5)
    np.testing.assert_array_equal(data.train.images[0, 0], written["train/cat/000"])


def test_one_coloured_image_makes_all_rgb(tmp_path):
    written = write_folder(tmp_path, mode="L")
    Image.fromarray(pictures(4, 5, 3)).save(tmp_path / "test" / "dog" / "000.png")
    data = datasets.load("folder", root=tmp_path, validation=0)
    assert data.shape == (3, 4, 5)
    np.testing.assert_array_equal(data.train.images[0], np.repeat(written["train/cat/000"][None], 3, axis=0))


def test_many_jpegs_are_read_in_order(tmp_path):
    for part, count in (("train", 600), ("test", 3)):
        for name in ("a", "b"):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("L", (8, 8), number % 251).save(folder / f"{number:04}.JPG", quality=100)
    data = datasets.load("folder", root=tmp_path, validation=0)
    np.testing.assert_array_equal(data.train.images[:, 0, 3, 3], np.tile(np.arange(600) % 251, 2))


def test_folders_are_found_below_the_root(tmp_path):
    write_folder(tmp_path / "data" / "pets")
    assert datasets.load("pets").digest == datasets.load(Path("data/pets")).digest


def test_a_folder_without_test_images_is_refused(tmp_path):
    (tmp_path / "pets" / "train" / "cat").mkdir(parents=True)
    assert str(tmp_path / "pets") in refused("no folder test/", tmp_path / "pets")


def damage_text(folder):
    (folder / "test" / "cat" / "001.png").write_text("this is no image")


def damage_half(folder):
    path = folder / "test" / "cat" / "001.png"
    path.write_bytes(path.read_bytes()[:60])


def damage_size(folder):
    Image.fromarray(pictures(4, 6, 3)).save(folder / "test" / "cat" / "001.png")


def damage_depth(folder):
    Image.fromarray(np.zeros((4, 5), dtype=np.uint16)).save(folder / "test" / "cat" / "001.png")


def damage_class(folder):
    (folder / "test" / "cat").rename(folder / "test" / "cow")


def damage_empty(folder):
    for path in (folder / "test" / "cat").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damage_text, "001.png: is text: expected a picture"),
        (damage_half, "001.png: cannot be decoded as an image"),
        (damage_size, "001.png: 6x4 pixels, expected 5x4 as in"),
        (damage_depth, "001.png: pixels of type 'I;16': expected 8 bits"),
        (damage_class, "cow: no such class in"),
        (damage_empty, "cat: no image in it"),
    ],
)
def test_damaged_folders_are_named(tmp_path, damage, words):
    write_folder(tmp_path / "pets")
    damage(tmp_path / "pets")
    assert str(tmp_path / "pets") in refused(words, tmp_path / "pets")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((20, 6, 5), (1, 6, 5)),
        ((20, 3, 6, 5), (3, 6, 5)),
        ((20, 6, 5, 3), (3, 6, 5)),
        ((20, 1, 28, 28), (1, 28, 28)),
        ((20, 28, 28, 1), (1, 28, 28)),
        ((20, 2, 34, 34), (2, 34, 34)),
        ((20, 16, 8, 8), (16, 8, 8)),
    ],
)
def test_npz_layouts(tmp_path, shape, expected):
    x = pictures(*shape)
    np.savez(tmp_path / "own.npz", x=x, y=labels_of(20, 2), x_test=x[:4], y_test=labels_of(4, 2).astype(np.uint8))
    data = datasets.load("own.npz", validation=0)
    assert data.name == "own" and data.shape == expected and data.classes == ("0", "1")
    channels_last = expected == (shape[3], *shape[1:3]) if len(shape) == 4 else False
    back = data.train.images.transpose(0, 2, 3, 1) if channels_last else data.train.images
    np.testing.assert_array_equal(back.reshape(shape), x)
    assert data.test.labels.tolist() == [0, 1, 0, 1]


def test_npz_without_test_gives_a_fifth_that_no_seed_changes(tmp_path):
    np.savez(tmp_path / "own.npz", x=pictures(100, 6, 5), y=labels_of(100, 4))
    first, other = (datasets.load("own.npz", seed=seed) for seed in (0, 1))
    assert np.bincount(first.test.labels).tolist() == [5] * 4
    np.testing.assert_array_equal(first.test.images, other.test.images)
    assert (len(first.train), len(first.validation)) == (72, 8)


X, Y = pictures(10, 6, 5), labels_of(10, 2)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": X}, "no array 'y': expected x and y, found x"),
        ({"a": X, "y": Y}, "no array 'x'"),
        ({"x": X.astype(np.float32), "y": Y}, "x: expected uint8 from 0 to 255, found float32"),
        ({"x": X.astype(object), "y": Y}, "x: is an array of Python objects"),
        ({"x": X, "y": Y.astype(object)}, "y: is an array of Python objects"),
        ({"x": X, "y": Y[:9]}, "y: expected integers (10,), one for each image, found int64 (9,)"),
        ({"x": X, "y": Y / 2}, "y: expected integers (10,), one for each image, found float64"),
        ({"x": X, "y": Y - 1}, "y: label -1 at position 0"),
        ({"x": X, "y": Y * 100}, "y: label 100 among 10 labels"),
        ({"x": X[:, 0], "y": Y}, "x: expected (N, H, W), (N, C, H, W) or (N, H, W, C), found (10, 5)"),
        ({"x": X[:0], "y": Y[:0]}, "x: expected (N, H, W)"),
        ({"x": X, "y": Y, "x_test": X}, "x_test and y_test: expected both or neither"),
        ({"x": X, "y": Y, "x_test": X[:, :5], "y_test": Y}, "x_test: images (1, 5, 5), those of x are (1, 6, 5)"),
        ({"x": X, "y": Y, "x_test": X, "y_test": Y + 1}, "y_test: label 2 at position 1"),
        ({"x": X[:4], "y": Y[:4]}, "4 images are too few"),
    ],
)
def test_bad_npz_arrays_are_named(tmp_path, arrays, words):
    np.savez(tmp_path / "own.npz", **arrays)
    assert "own.npz" in refused(words, "own.npz")


def test_bad_npz_files_are_named(tmp_path):
    path = tmp_path / "own.npz"
    np.savez_compressed(path, x=X, y=Y)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[120:130] = bytes(10)
    for raw in (b"", b"garbage", whole[:200], pickle.dumps([1]), bytes(flipped)):
        path.write_bytes(raw)
        refused("own.npz: ", path)
    with path.open("wb") as file:
        np.save(file, X)
    refused("own.npz: a single array", path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "own.csv").write_text("1,2")
    refused("own.csv: expected an .npz file or an image folder", "own.csv")
