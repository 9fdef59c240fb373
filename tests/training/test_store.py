"""What another device keeps of the images."""

import numpy as np
import torch

from snnkd.training.store import DeviceStore


def test_variants_are_made_once_until_the_memory_is_full():
    asked = []

    def make(indices, variant):
        asked.append(variant)
        return (indices[:, None] + np.array([variant, variant])).astype(np.uint8)

    store = DeviceStore(10, make, torch.device("cpu"), most=2 * 20)
    for variant in (0, 1, 0, 1, 2, 1, 0):
        indices = np.array([3, 9, 3])
        found = store.read(indices, variant)
        assert found.dtype == torch.uint8 and found.tolist() == [[i + variant] * 2 for i in indices]
    assert asked == [0, 1, 2, 0], "the first that came went first"
