"""Data sets: names and roots, how splits are drawn, and what the digest covers."""

import re
from pathlib import Path

import numpy as np
import pytest

from snnkd.base.errors import DataError, RecipeError
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


def test_digits_have_the_documented_splits():
    data = datasets.load("digits", validation=144)
    assert data.name == "digits" and data.shape == (1, 8, 8) and data.classes == tuple("0123456789")
    assert (len(data.train), len(data.validation), len(data.test)) == (1293, 144, 360)
    assert data.train.images.dtype == np.uint8 and data.train.labels.dtype == np.int64
    assert data.test.images.max() == 255
    for split, size in ((data.validation, 144), (data.test, 360)):
        assert abs(np.bincount(split.labels, minlength=10) - size / 10).max() < 2


def test_digits_equal_scikit_learns_own():
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    _, images, _, labels = train_test_split(
        digits.images, digits.target, test_size=360, random_state=0, stratify=digits.target
    )
    test = datasets.load("digits").test
    np.testing.assert_array_equal(test.images[:, 0], np.round(images * 255 / 16))
    np.testing.assert_array_equal(test.labels, labels)


def test_splits_are_deterministic_disjoint_and_seeded():
    first, again, other = (datasets.load("digits", seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.validation.images, again.validation.images)
    assert first.digest == again.digest != other.digest
    assert (first.validation.labels != other.validation.labels).any()
    np.testing.assert_array_equal(first.test.images, other.test.images)
    whole = datasets.load("digits", validation=0).train
    rows = sorted(image.tobytes() for part in (first.train, first.validation) for image in part.images)
    assert rows == sorted(image.tobytes() for image in whole.images)


@pytest.mark.parametrize(("count", "quota"), [(0, [0, 0, 0]), (7, [4, 2, 1]), (10, [6, 3, 1]), (20, [12, 6, 2])])
def test_each_class_gives_its_share(count, quota):
    labels = np.repeat([0, 1, 2], [12, 6, 2])
    chosen = datasets.stratified(labels, count, seed=3)
    assert np.bincount(labels[chosen], minlength=3).tolist() == quota


@pytest.mark.parametrize("validation", [1.0, -0.1, -1, 1437, True, "half", float("nan")])
def test_impossible_validation_is_refused(validation):
    with pytest.raises(
        RecipeError, match=r"validation .*: expected a fraction in \[0\.0, 1\.0\) or a number of images"
    ):
        datasets.load("digits", validation=validation)


def test_a_class_without_training_images_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=pictures(8, 4, 4), y=[0, 0, 0, 0, 2, 2, 2, 2], x_test=pictures(1, 4, 4), y_test=[0])
    refused("no training image of class '1'", "a.npz")


def test_unknown_names_get_a_suggestion(tmp_path):
    message = refused("did you mean mnist?", "mnits")
    assert "digits, mnist, fashion-mnist, cifar10, folder" in message and str(tmp_path / "data") in message


@pytest.mark.parametrize(
    ("name", "place", "file"),
    [
        ("mnist", "MNIST/raw", "train-images-idx3-ubyte"),
        ("fashion-mnist", "FashionMNIST/raw", "train-images-idx3-ubyte"),
        ("cifar10", ".", "cifar-10-batches-py/data_batch_1"),
    ],
)
def test_missing_data_says_where_and_how_to_get_it(tmp_path, monkeypatch, name, place, file):
    monkeypatch.setenv("SNNKD_DATA", str(tmp_path / "elsewhere"))
    message = refused(f"{name}: no {file}", name)
    assert f"in {tmp_path / 'elsewhere' / place}:" in message
    for way in ("--data-root DIR", "SNNKD_DATA", "--download"):
        assert way in message


def test_the_root_is_argument_then_variable_then_data(tmp_path, monkeypatch):
    assert datasets.root_folder() == Path("data")
    monkeypatch.setenv("SNNKD_DATA", "variable")
    assert datasets.root_folder() == Path("variable")
    assert datasets.root_folder(tmp_path) == tmp_path


def test_the_digest_covers_images_labels_shape_and_split(tmp_path):
    def digest(x, y, **options):
        np.savez(tmp_path / "own.npz", x=x, y=y)
        return datasets.load("own.npz", **options).digest

    x, y = pictures(40, 6, 5), labels_of(40, 2)
    changed, swapped = x.copy(), y.copy()
    changed[7, 0, 0] ^= 1
    swapped[[0, 1]] = 1, 0
    found = [
        digest(x, y),
        digest(changed, y),
        digest(x, swapped),
        digest(x.reshape(40, 5, 6), y),
        digest(x, y, seed=1),
        digest(x, y, validation=0),
    ]
    assert len(set(found)) == len(found) and digest(x, y) == found[0]
    assert re.fullmatch(r"[0-9a-f]{64}", found[0])
