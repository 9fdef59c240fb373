"""Corrupted images: noise, blur and occlusion in integer arithmetic, the same bits on every machine.

Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR 2019
(CIFAR-10-C), and Mu and Gilmer, "MNIST-C: A Robustness Benchmark for Computer Vision", 2019, draw their noise from
floating-point generators, which other versions and machines need not repeat. Here a random word of 14 bits, which
depends on (seed, corruption, image, pixel) alone, looks up the new value of a pixel in a table that is computed in
integers and in decimal arithmetic, whose every digit is defined. A word does not depend on the severity: a severity
is the noise of the one before it, stronger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import lru_cache
from typing import TypeVar

import numpy as np

from snnkd.base.errors import FormatError, RecipeError
from snnkd.base.hashing import hash64, mix

SEVERITIES = (1, 2, 3, 4, 5)
SMALL = 32  # images with a side below it, such as MNIST's, take the stronger constants
WORD = 14  # bits of a random word
_WORDS = 1 << WORD
_MIDDLES = 2 * np.arange(_WORDS) + 1  # the middles of the words' shares of [0, 1], in units of 1 / (2 _WORDS)
_BLOCK = 1 << 18  # pixels that are drawn together, so that their words stay in the cache
_KERNEL = 14  # bits of a blur's weights
_NORMAL = 256  # steps of a standard deviation in which normal noise is drawn

Numbers = TypeVar("Numbers", int, np.ndarray)
Apply = Callable[[np.ndarray, int, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Corruption:
    """What is done to the images, and how strongly.

    meaning: of the constants, which are integers in units of 1 / `per`. constants: by severity for images from 32
    pixels on (CIFAR-10-C); small: for smaller ones (MNIST-C), None for the same. apply(images, constant, words): new
    uint8 images (N, C, H, W) of such ones; words: (N,) uint64, random, of each image.
    """

    meaning: str
    per: int
    constants: tuple[int, ...]
    small: tuple[int, ...] | None
    apply: Apply

    def constant(self, severity: int, shape: tuple[int, ...]) -> int:
        """Returns the constant of a severity, 1 to 5, for images of `shape` (..., H, W), in units of 1 / `per`."""
        small = self.small is not None and min(shape[-2:]) < SMALL
        return (self.small if small and self.small else self.constants)[severity - 1]


def corrupt(images: np.ndarray, indices: np.ndarray, name: str, severity: int, seed: int = 0) -> np.ndarray:
    """Corrupts images: a new uint8 array (N, C, H, W).

    images: uint8 (N, C, H, W). indices: (N,), the position of each image in its split, on which its noise depends.
    name: one of CORRUPTIONS. severity: 1 to 5. The result does not depend on the batch that an image is in.

    Raises FormatError for arrays that do not fit, RecipeError for another name or severity.
    """
    if images.ndim != 4 or images.dtype != np.uint8 or np.shape(indices) != images.shape[:1]:
        raise FormatError(
            "corruption: expected uint8 images (N, C, H, W) and indices (N,), found "
            f"{images.dtype} {images.shape} and {np.shape(indices)}"
        )
    if name not in CORRUPTIONS:
        raise RecipeError(f"corruption '{name}': expected {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise RecipeError(f"severity {severity} of '{name}': expected 1 to {SEVERITIES[-1]}")
    if not images.size:
        return images.copy()
    how = CORRUPTIONS[name]
    words = hash64(seed, int.from_bytes(name.encode()[:8], "little"), np.asarray(indices))
    return how.apply(images, how.constant(severity, images.shape), words)


def strength(name: str, severity: int, shape: tuple[int, ...]) -> float:
    """Returns the constant of a corruption's severity for images of `shape`, as the papers write it: 0.08."""
    how = CORRUPTIONS[name]
    return how.constant(severity, shape) / how.per


# Noise: a table says what becomes of each pixel value with each word


def _by_table(table: Callable[[int], np.ndarray]) -> Apply:
    """table(constant): (256, words) uint8."""

    def apply(images: np.ndarray, constant: int, words: np.ndarray) -> np.ndarray:
        flat, values = images.reshape(len(images), -1), table(constant).reshape(-1)
        result = np.empty_like(flat, order="C")
        pixel = np.arange(flat.shape[1], dtype=np.uint64)
        for part in _blocks(len(flat), flat.shape[1]):
            drawn = mix(words[part, None] ^ pixel) >> np.uint64(64 - WORD)
            np.take(values, flat[part].astype(np.int64) << WORD | drawn.astype(np.int64), out=result[part])
        return result.reshape(images.shape)

    return apply


def _blocks(images: int, pixels: int) -> Iterator[slice]:
    size = max(1, _BLOCK // pixels)
    return (slice(start, start + size) for start in range(0, images, size))


@lru_cache(maxsize=8)
def _gaussian(sigma: int) -> np.ndarray:
    """x + N(0, sigma), sigma in thousandths of white."""
    return _clipped(np.arange(256)[:, None] + _rounded(_normal() * sigma * 255, _NORMAL * 1000))


@lru_cache(maxsize=8)
def _speckle(sigma: int) -> np.ndarray:
    """x + x N(0, sigma), sigma in thousandths."""
    pixels = np.arange(256)[:, None]
    return _clipped(pixels + _rounded(pixels * _normal() * sigma, _NORMAL * 1000))


@lru_cache(maxsize=8)
def _impulse(share: int) -> np.ndarray:
    """0 or 255, each with share / 2, in thousandths, in place of x."""
    table = np.repeat(np.arange(256, dtype=np.uint8)[:, None], _WORDS, axis=1)
    salted, replaced = (_rounded(share * part * _WORDS, 2000) for part in (1, 2))
    table[:, :replaced], table[:, :salted] = 0, 255
    return table


@lru_cache(maxsize=8)
def _shot(photons: int) -> np.ndarray:
    """Poisson(x photons) / photons, x in [0, 1]: `photons` is the mean count of a white pixel."""
    levels = np.minimum(_rounded(255 * np.arange(photons + 1), photons), 255).astype(np.uint8)
    table = np.zeros((256, _WORDS), dtype=np.uint8)
    for pixel in range(1, 256):
        counts = np.searchsorted(_poisson(pixel * photons, 255, photons), _MIDDLES, side="right")
        table[pixel] = levels[counts]
    return table


def _poisson(mean: int, per: int, most: int) -> np.ndarray:
    """How many words, in halves, have a count of at most 0, 1, ..., `most` - 1; mean / per: of the distribution."""
    edges = []
    with localcontext(_EXACT):
        share = Decimal(mean) / per
        term = total = (-share).exp()
        for count in range(1, most + 1):
            edges.append(_ceiled(total))
            term = term * share / count
            total += term
    return np.array(edges)


@lru_cache(maxsize=1)
def _normal() -> np.ndarray:
    """The normal deviate of each word, (words,) int64 in units of a standard deviation / 256.

    Deviates of a word w and of the last one less w are opposite, so only those from 0 up are looked for.
    """
    edges, middle = [], Decimal(1) / 2
    with localcontext(_EXACT):
        while not edges or edges[-1] < 2 * _WORDS:
            edges.append(_ceiled(_normal_share((len(edges) + middle) / _NORMAL)))
    above = np.searchsorted(np.array(edges), _MIDDLES[_WORDS // 2 :], side="right")
    return np.concatenate([-above[::-1], above])


def _normal_share(z: Decimal) -> Decimal:
    """P(N(0, 1) < z) by the series of Marsaglia, "Evaluating the Normal Distribution", J. Stat. Software 11, 2004."""
    term = total = z
    count = 1
    while term > _SMALLEST:
        count += 2
        term = term * z * z / count
        total += term
    return Decimal(1) / 2 + total * (-z * z / 2).exp() / (2 * _PI).sqrt()


# Each operation is rounded as IEEE 854 says, exp and sqrt too: the same digits everywhere.
_EXACT = Context(prec=30, rounding=ROUND_HALF_EVEN, Emin=-999999, Emax=999999)
_PI = Decimal("3.14159265358979323846264338328")
_SMALLEST = Decimal("1e-25")


def _ceiled(share: Decimal) -> int:
    """The least integer that is not below `share` in units of half a word."""
    return -int((-share * 2 * _WORDS).to_integral_value("ROUND_FLOOR"))


def _rounded(numerator: Numbers, denominator: int) -> Numbers:
    """numerator / denominator to the nearest integer, halves up."""
    return (2 * numerator + denominator) // (2 * denominator)


def _clipped(values: np.ndarray) -> np.ndarray:
    return values.clip(0, 255).astype(np.uint8)


# Blur and occlusion


def _blur(images: np.ndarray, sigma: int, _: np.ndarray) -> np.ndarray:
    """A Gaussian of sigma tenths of a pixel, cut off at 4 sigma; beyond the border pixels are those at it."""
    down, across = (_band(size, _weights(sigma)) for size in images.shape[2:])
    result = np.empty_like(images, order="C")
    for part in _blocks(len(images), images[0].size):
        result[part] = _rounded(down @ images[part].astype(np.int64) @ across.T, 1 << 2 * _KERNEL)
    return result


@lru_cache(maxsize=8)
def _weights(sigma: int) -> list[int]:
    """The weights of a Gaussian, integers that add up to 2^14; what rounding leaves over is in the middle."""
    radius = (8 * sigma + 10) // 20
    with localcontext(_EXACT):
        bells = [(-Decimal(50 * x * x) / (sigma * sigma)).exp() for x in range(1, radius + 1)]
        whole = 1 + 2 * sum(bells)
        side = [int((bell / whole * (1 << _KERNEL)).to_integral_value()) for bell in bells]
    return [*side[::-1], (1 << _KERNEL) - 2 * sum(side), *side]


def _band(size: int, kernel: list[int]) -> np.ndarray:
    """(size, size) int64: its product with an image convolves the image's columns with the kernel."""
    band, places = np.zeros((size, size), dtype=np.int64), np.arange(size)
    for offset, weight in enumerate(kernel, start=-(len(kernel) // 2)):
        band[places, (places + offset).clip(0, size - 1)] += weight
    return band


def _occlusion(images: np.ndarray, side: int, words: np.ndarray) -> np.ndarray:
    """A black square anywhere within the image, its side in sixteenths of the shorter side of the image (Cutout:
    DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017, has 8)."""
    height, width = images.shape[2:]
    size = _rounded(min(height, width) * side, 16)
    top, left = (
        ((words >> np.uint64(bit) & np.uint64(0xFFFF)).astype(np.int64) * (room - size + 1) >> 16)[:, None]
        for bit, room in ((0, height), (16, width))
    )
    rows, columns = np.arange(height), np.arange(width)
    covered = (
        (((rows >= top) & (rows < top + size))[:, :, None]) & (((columns >= left) & (columns < left + size))[:, None])
    )
    return np.where(covered[:, None], np.uint8(0), images)


_SIGMA = "standard deviation, white is 1"

CORRUPTIONS: dict[str, Corruption] = {
    "gaussian": Corruption(_SIGMA, 1000, (40, 60, 80, 90, 100), (80, 120, 180, 260, 380), _by_table(_gaussian)),
    "impulse": Corruption("share of pixels", 1000, (10, 20, 30, 50, 70), (30, 60, 90, 170, 270), _by_table(_impulse)),
    "shot": Corruption("photons of a white pixel", 1, (500, 250, 100, 75, 50), (60, 25, 12, 5, 3), _by_table(_shot)),
    "speckle": Corruption(
        "standard deviation, the pixel's value is 1",
        1000,
        (60, 100, 120, 160, 200),
        (150, 200, 350, 450, 600),
        _by_table(_speckle),
    ),
    "blur": Corruption("standard deviation in pixels", 10, (4, 6, 7, 8, 10), (10, 20, 30, 40, 60), _blur),
    "occlusion": Corruption("side of the square, the image's is 1", 16, (3, 4, 5, 6, 8), None, _occlusion),
}
