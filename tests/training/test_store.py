"""What another device keeps of the images."""

import numpy as np
import pytest
import torch

from snnkd.data.augmentation import moves, variant
from snnkd.data.datasets import Split
from snnkd.data.encoding import Encoding
from snnkd.recipe.tables import Data
from snnkd.training.feed import Feed
from snnkd.training.store import DeviceImages

CPU = torch.device("cpu")


def _images(channels=3):
    return np.random.default_rng(1).integers(1, 256, (40, channels, 7, 5), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("shift", "flip"), [(0, True), (2, False), (4, True)])
def test_variants_are_those_of_the_augmentation(channels, shift, flip):
    images, options = _images(channels), {"shift": shift, "flip": flip, "seed": 7}
    everywhere = np.arange(len(images))
    kept = DeviceImages(images, lambda number: moves(everywhere, number, **options), CPU, most=images.size * 9)
    indices = np.array([3, 39, 3, 0, 20, 21, 22, 23])
    for number in (0, 1, 2, 1):
        moved = kept.read(torch.from_numpy(indices), number)
        assert moved.dtype == torch.uint8
        expected = variant(images[indices], indices, number, **options)
        assert np.array_equal(moved.numpy().transpose(0, 3, 1, 2), expected)


def test_variants_are_made_once_until_the_memory_is_full():
    images, asked = _images(), []

    def asks(number):
        asked.append(number)
        return moves(np.arange(len(images)), number, shift=1, flip=False, seed=0)

    kept = DeviceImages(images, asks, CPU, most=2 * images.size)
    for number in (0, 1, 2, 1, 2, 3, 2, 1):
        kept.read(torch.tensor([5]), number)
    assert asked == [1, 2, 3, 1], "the first that came went first, and the original is always there"


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_events_of_images_on_a_device_are_those_of_the_encoder(bits):
    split = Split(_images(), np.arange(40) % 10)
    options = {"augment": Data(shift=2, flip=True, variants=3), "seed": 5}
    plain = Feed(split, Encoding("direct", 3, bits), CPU, **options)
    there = Feed(split, Encoding("direct", 3, bits), CPU, **options)
    there.__dict__["_device_images"] = DeviceImages(split.images, there._moves, CPU, most=1 << 20)  # as with a GPU
    indices = np.array([7, 0, 39])
    for number in range(3):
        (events, labels), (expected, of) = there.batch(indices, number), plain.batch(indices, number)
        assert torch.equal(events, expected) and events.stride() == expected.stride()
        assert torch.equal(labels, of)
        assert torch.equal(there.pixels(indices, number), plain.pixels(indices, number))


def test_noisy_variants_are_those_of_the_augmentation():
    """In batches too, whatever way they take: as bits, or encoded anew."""
    images = np.random.default_rng(0).integers(0, 256, (40, 1, 12, 12), dtype=np.uint8)
    split, indices = Split(images, np.arange(40) % 3), np.array([7, 3, 31])
    augment = Data(shift=1, variants=3, noise={"gaussian": 4, "blur": 2})
    for encoding in (Encoding("direct", 4), Encoding("rate", 4)):
        feed = Feed(split, encoding, torch.device("cpu"), augment, seed=5)
        noisy = variant(images[indices], indices, 2, shift=1, flip=False, seed=5, noise={"gaussian": 4, "blur": 2})
        moved = variant(images[indices], indices, 2, shift=1, flip=False, seed=5)
        np.testing.assert_array_equal(feed.images(indices, 2), noisy)
        assert (noisy != moved).any()
        expected = torch.from_numpy(encoding.encode(noisy, indices).copy()).float()
        assert torch.equal(feed.batch(indices, 2)[0], expected)
        original = torch.from_numpy(encoding.encode(images[indices], indices).copy()).float()
        assert torch.equal(feed.batch(indices)[0], original)
