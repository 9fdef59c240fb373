"""Variants of images: against a plain loop, independent of the batch, with sensible shifts."""

import numpy as np
import pytest

from snnkd.base.errors import FormatError, RecipeError
from snnkd.base.hashing import hash64
from snnkd.data.augmentation import variant
from snnkd.data.corruption import corrupt


def images(count=30, shape=(2, 7, 9)):
    return np.random.default_rng(3).integers(1, 256, size=(count, *shape), dtype=np.uint8)


def plain(image, index, number, shift, flip, seed):
    """One variant, pixel by pixel, as the docstring has it."""
    word = int(hash64(seed, index, number)[0])
    down = ((word & 0xFFFF) * (2 * shift + 1) >> 16) - shift
    right = ((word >> 16 & 0xFFFF) * (2 * shift + 1) >> 16) - shift
    source = image[..., ::-1] if flip and word >> 63 else image
    result = np.zeros_like(image)
    for c, y, x in np.ndindex(*image.shape):
        if 0 <= y - down < image.shape[1] and 0 <= x - right < image.shape[2]:
            result[c, y, x] = source[c, y - down, x - right]
    return result


@pytest.mark.parametrize(("shift", "flip"), [(0, True), (1, False), (2, True), (6, True)])
def test_equals_a_plain_loop(shift, flip):
    pictures = images()
    indices = np.random.default_rng(0).permutation(60000)[: len(pictures)]
    found = variant(pictures, indices, 3, shift=shift, flip=flip, seed=9)
    expected = [plain(image, index, 3, shift, flip, 9) for image, index in zip(pictures, indices.tolist(), strict=True)]
    np.testing.assert_array_equal(found, np.stack(expected))


def test_variant_0_is_the_original_in_a_new_array():
    pictures = images()
    found = variant(pictures, np.arange(30), 0, shift=2, flip=True, seed=1)
    np.testing.assert_array_equal(found, pictures)
    assert not np.shares_memory(found, pictures)


def test_does_not_depend_on_the_batch():
    pictures, indices = images(), np.arange(30)
    whole = variant(pictures, indices, 2, shift=3, flip=True, seed=4)
    order = np.random.default_rng(1).permutation(30)
    np.testing.assert_array_equal(variant(pictures[order], indices[order], 2, shift=3, flip=True, seed=4), whole[order])
    np.testing.assert_array_equal(variant(pictures[5:6], indices[5:6], 2, shift=3, flip=True, seed=4), whole[5:6])


def test_seed_and_number_choose_other_variants():
    pictures, indices = images(), np.arange(30)
    first = variant(pictures, indices, 1, shift=2, flip=True, seed=0)
    assert (variant(pictures, indices, 2, shift=2, flip=True, seed=0) != first).any()
    assert (variant(pictures, indices, 1, shift=2, flip=True, seed=1) != first).any()


def test_every_shift_and_flip_comes_about_equally_often():
    dot = np.zeros((18000, 1, 5, 5), dtype=np.uint8)
    dot[:, :, 2, 2], dot[:, :, 2, 3] = 255, 1  # the fainter pixel shows the mirror
    found = variant(dot, np.arange(len(dot)), 1, shift=1, flip=True, seed=0)
    y, x = np.divmod((found[:, 0] == 255).reshape(len(dot), -1).argmax(axis=1), 5)
    mirrored = found[np.arange(len(dot)), 0, y, x - 1] == 1
    counts = np.bincount(((y - 1) * 3 + x - 1) * 2 + mirrored, minlength=18)
    assert counts.size == 18 and abs(counts - 1000).max() < 150


def test_no_images():
    assert variant(images(0), np.zeros(0, int), 1, shift=1, flip=True, seed=0).shape == (0, 2, 7, 9)


NOISE = {"gaussian": 5, "occlusion": 2, "shot": 1}


def test_noise_comes_behind_the_move_and_depends_on_no_batch():
    pictures, indices = images(), np.arange(30)
    moved = variant(pictures, indices, 2, shift=2, flip=True, seed=4)
    whole = variant(pictures, indices, 2, shift=2, flip=True, seed=4, noise=NOISE)
    own = int(hash64(4, 2)[0])
    for index, (before, after) in enumerate(zip(moved, whole, strict=True)):
        word = int(hash64(4, index, 2)[0])
        name = list(NOISE)[(word >> 32 & 0xFFFF) * 3 >> 16]
        severity = 1 + ((word >> 48 & 0x7FFF) * NOISE[name] >> 15)
        np.testing.assert_array_equal(after, corrupt(before[None], np.array([index]), name, severity, own)[0])
    order = np.random.default_rng(1).permutation(30)
    again = variant(pictures[order], indices[order], 2, shift=2, flip=True, seed=4, noise=NOISE)
    np.testing.assert_array_equal(again, whole[order])


def test_two_variants_have_different_noise_and_the_original_none():
    pictures, indices = images(), np.arange(30)
    original, first, second = (
        variant(pictures, indices, number, shift=0, flip=False, seed=4, noise={"gaussian": 5}) for number in range(3)
    )
    np.testing.assert_array_equal(original, pictures)
    assert (first != second).mean() > 0.9


def test_every_corruption_and_severity_comes_about_equally_often():
    squares = np.full((6000, 1, 16, 16), 255, np.uint8)
    found = variant(squares, np.arange(6000), 1, shift=0, flip=False, seed=0, noise={"occlusion": 5})
    counts = np.unique((found == 0).sum(axis=(1, 2, 3)), return_counts=True)
    assert counts[0].tolist() == [9, 16, 25, 36, 64] and np.abs(counts[1] - 1200).max() < 130


@pytest.mark.parametrize("shift", [-1, 7])
def test_impossible_shifts_are_refused(shift):
    with pytest.raises(RecipeError, match=r"shift .*expected 0 to 6 pixels"):
        variant(images(), np.arange(30), 1, shift=shift, flip=False, seed=0)


def test_other_arguments_are_refused():
    with pytest.raises(RecipeError, match="variant -1"):
        variant(images(), np.arange(30), -1, shift=1, flip=False, seed=0)
    with pytest.raises(FormatError, match="uint8 images"):
        variant(images().astype(float), np.arange(30), 1, shift=1, flip=False, seed=0)
    with pytest.raises(FormatError, match="uint8 images"):
        variant(images(), np.arange(29), 1, shift=1, flip=False, seed=0)
