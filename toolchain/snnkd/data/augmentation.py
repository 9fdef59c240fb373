"""Augmentation as data: a fixed pool of shifted, flipped and corrupted variants of each image.

What an image gets in a variant depends on (seed, image index, variant number) alone, so a teacher's outputs
on the pool can be computed once, and a run is the same for every batch size, device and number of workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from snnkd.base.errors import FormatError, RecipeError
from snnkd.base.hashing import hash64
from snnkd.data import corruption

# Of each image, (N,) int64: by how many pixels it is moved down and to the right, and 1 where it is mirrored before.
Moves = tuple[np.ndarray, np.ndarray, np.ndarray]
NO_NOISE: Mapping[str, int] = MappingProxyType({})


def variant(
    images: np.ndarray,
    indices: np.ndarray,
    number: int,
    *,
    shift: int,
    flip: bool,
    seed: int,
    noise: Mapping[str, int] = NO_NOISE,
) -> np.ndarray:
    """Makes variant `number` of each image: a new uint8 array (N, C, H, W).

    images: uint8 (N, C, H, W). indices: (N,) position of each image in its split. Variant 0 is the original; any
    other one is mirrored left to right with probability 1/2 if `flip`, then moved by up to `shift` pixels in each
    direction, with zeros coming in. With h = hash64(seed, index, number): down by (h[0:16] * (2 shift + 1) >> 16)
    - shift, right by the same of h[16:32], mirrored where bit 63 of h is set. Then it gets one of the corruptions in
    `noise`, by h[32:48], at a severity from 1 to the one that `noise` has for it, by h[48:63] (`corruption.corrupt`).

    Raises RecipeError for a shift, a number or a noise that makes no sense, FormatError for arrays that do not fit.
    """
    _check(images, indices, number, shift)
    if number == 0 or not len(images):
        return images.copy()
    result = images.copy()
    if shift or flip:
        result = _moved(images, moves(indices, number, shift=shift, flip=flip, seed=seed), shift)
    return _corrupted(result, indices, number, noise, seed) if noise else result


def _moved(images: np.ndarray, how: Moves, shift: int) -> np.ndarray:
    down, right, mirrored = how
    # Images that move alike are copied together: (2 shift + 1)^2 * 2 slices instead of an index per pixel.
    side = 2 * shift + 1
    group = ((down + shift) * side + right + shift) * 2 + mirrored
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    result = np.zeros(images.shape, dtype=np.uint8)
    for members in np.split(order, starts[1:]):
        first = members[0]
        _move(images, result, members, int(down[first]), int(right[first]), bool(mirrored[first]))
    return result


def moves(indices: np.ndarray, number: int, *, shift: int, flip: bool, seed: int) -> Moves:
    """Draws how each image is moved in a variant other than the original. The arguments are those of `variant`."""
    word = hash64(seed, np.asarray(indices), number)
    down, right = (_offset(word >> np.uint64(bit), shift) for bit in (0, 16))
    mirrored = (word >> np.uint64(63)).astype(np.int64) if flip else np.zeros(len(indices), dtype=np.int64)
    return down, right, mirrored


def _corrupted(images: np.ndarray, indices: np.ndarray, number: int, noise: Mapping[str, int], seed: int) -> np.ndarray:
    """The pixels' noise is of a seed of the variant's own, so that two variants never share it."""
    word = hash64(seed, np.asarray(indices), number)
    name = (word >> np.uint64(32) & np.uint64(0xFFFF)).astype(np.int64) * len(noise) >> 16
    most = np.array(list(noise.values()))[name]
    severity = 1 + ((word >> np.uint64(48) & np.uint64(0x7FFF)).astype(np.int64) * most >> 15)
    own = int(hash64(seed, number)[0])
    result = np.empty_like(images, order="C")
    for pair in np.unique(np.stack([name, severity], axis=1), axis=0):
        chosen = (name == pair[0]) & (severity == pair[1])
        kind = list(noise)[pair[0]]
        result[chosen] = corruption.corrupt(images[chosen], np.asarray(indices)[chosen], kind, int(pair[1]), own)
    return result


def _check(images: np.ndarray, indices: np.ndarray, number: int, shift: int) -> None:
    if images.ndim != 4 or images.dtype != np.uint8 or np.shape(indices) != images.shape[:1]:
        raise FormatError(
            "augmentation: expected uint8 images (N, C, H, W) and indices (N,), found "
            f"{images.dtype} {images.shape} and {np.shape(indices)}"
        )
    if not 0 <= shift < min(images.shape[2:]):
        raise RecipeError(f"augmentation shift {shift}: expected 0 to {min(images.shape[2:]) - 1} pixels")
    if number < 0:
        raise RecipeError(f"augmentation variant {number}: expected 0 (the original) or more")


def _offset(word: np.ndarray, shift: int) -> np.ndarray:
    """Offsets (N,) int64 in [-shift, shift] from the low 16 bits of each word."""
    return ((word & np.uint64(0xFFFF)).astype(np.int64) * (2 * shift + 1) >> 16) - shift


def _move(images: np.ndarray, result: np.ndarray, members: np.ndarray, down: int, right: int, mirror: bool) -> None:
    """Writes the images `members`, mirrored and moved, to the same places of `result`."""
    height, width = images.shape[2:]
    picked = images[members]
    if mirror:
        picked = picked[..., ::-1]
    moved = np.zeros_like(picked, order="C")
    moved[:, :, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = picked[
        :, :, max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)
    ]
    result[members] = moved
