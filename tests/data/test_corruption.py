"""Corrupted images: the same bits everywhere, the distributions of their formulas, independent of the batch."""

import hashlib
from typing import get_args

import numpy as np
import pytest
from scipy import stats

from snnkd.base.errors import FormatError, RecipeError
from snnkd.data import corruption
from snnkd.data.corruption import CORRUPTIONS, SEVERITIES, corrupt, strength
from snnkd.recipe import tables

RGB, SMALL = (3, 32, 32), (1, 28, 28)
EVERY = pytest.mark.parametrize("name", CORRUPTIONS)


def pictures(count: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Smooth ones, from integers alone: a digest of what becomes of them depends on nothing else."""
    n, c, y, x = np.ogrid[:count, : shape[0], : shape[1], : shape[2]]
    return ((n * 37 + c * 71 + y * y * (n + 1) + 5 * x * (y + 3)) % 256).astype(np.uint8)


def flat(value: int, count: int = 60, shape: tuple[int, int, int] = RGB) -> np.ndarray:
    return np.full((count, *shape), value, np.uint8)


# sha256 of severities 1 to 5 of 7 images from index 100 on, RGB and small ones; other bits are another data set.
DIGESTS = {
    "gaussian": "34642a456d1ac4b1",
    "impulse": "88c60315226f81a6",
    "shot": "7dbba6f86346ad41",
    "speckle": "620cd639602899f0",
    "blur": "862d5f6f4c4a8606",
    "occlusion": "9b6b66808782f526",
}


@EVERY
def test_the_bits_are_these(name: str) -> None:
    state = hashlib.sha256()
    for shape in (RGB, SMALL):
        for severity in SEVERITIES:
            state.update(corrupt(pictures(7, shape), np.arange(100, 107), name, severity, seed=3).tobytes())
    assert state.hexdigest()[:16] == DIGESTS[name]


@EVERY
def test_does_not_depend_on_the_batch(name: str) -> None:
    images, indices = pictures(30, SMALL), np.arange(30)
    whole, order = corrupt(images, indices, name, 3), np.random.default_rng(1).permutation(30)
    np.testing.assert_array_equal(corrupt(images[order], indices[order], name, 3), whole[order])
    np.testing.assert_array_equal(corrupt(images[5:6], indices[5:6], name, 3), whole[5:6])
    assert whole.dtype == np.uint8 and whole.shape == images.shape
    assert (images == pictures(30, SMALL)).all(), "the images are the caller's"


@EVERY
def test_a_higher_severity_changes_more(name: str) -> None:
    images = pictures(20, SMALL).astype(int)
    corrupted = [corrupt(pictures(20, SMALL), np.arange(20), name, severity).astype(int) for severity in SEVERITIES]
    changes = [np.abs(other - images).mean() for other in corrupted]
    assert changes[0] > 0 and (np.diff(changes) > 0).all()


@pytest.mark.parametrize("name", ["gaussian", "impulse", "shot", "speckle", "occlusion"])
def test_image_and_seed_choose_the_noise(name: str) -> None:
    images = flat(128, 8)
    first = corrupt(images, np.arange(8), name, 5)
    assert len({image.tobytes() for image in first}) == 8
    assert (corrupt(images, np.arange(8), name, 5, seed=1) != first).any()


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", ["gaussian", "speckle"])
def test_normal_noise(name: str, severity: int) -> None:
    sigma = strength(name, severity, RGB) * 255 * (1 if name == "gaussian" else 100 / 255)
    noise = corrupt(flat(100), np.arange(60), name, severity).astype(int) - 100
    assert abs(noise.mean()) < 0.3 and noise.std() == pytest.approx(np.hypot(sigma, 12**-0.5), rel=0.01)
    inside = np.abs(noise) <= round(sigma)  # a normal deviate, rounded
    share = stats.norm.cdf((round(sigma) + 0.5) / sigma) * 2 - 1
    assert inside.mean() == pytest.approx(share, abs=0.01)


def test_normal_deviates_are_those_of_scipy() -> None:
    exact = stats.norm.ppf((np.arange(1 << 14) + 0.5) / (1 << 14))
    assert np.abs(corruption._normal() / 256 - exact).max() <= 0.5001 / 256


@pytest.mark.parametrize("shape", [RGB, SMALL])
@pytest.mark.parametrize("pixel", [1, 60, 255])
def test_shot_noise_is_poissons(pixel: int, shape: tuple[int, int, int]) -> None:
    photons = int(strength("shot", 2, shape))
    found = corrupt(flat(pixel, shape=shape), np.arange(60), "shot", 2).reshape(-1)
    count = np.arange(photons + 1)
    values = np.minimum((2 * 255 * count + photons) // (2 * photons), 255)
    for level in np.unique(values)[:-1]:
        share = stats.poisson.cdf(count[values <= level].max(), pixel / 255 * photons)
        assert (found <= level).mean() == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_impulse_noise(severity: int) -> None:
    share = strength("impulse", severity, RGB)
    found = corrupt(flat(77), np.arange(60), "impulse", severity)
    assert set(np.unique(found)) == {0, 77, 255}
    for value in (0, 255):
        assert (found == value).mean() == pytest.approx(share / 2, abs=0.002)


def test_blur_is_a_gaussian() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    for severity in SEVERITIES:
        for shape in (RGB, SMALL):
            found = corrupt(pictures(4, shape), np.arange(4), "blur", severity).astype(float)
            sigma = strength("blur", severity, shape)
            expected = ndimage.gaussian_filter(pictures(4, shape).astype(float), (0, 0, sigma, sigma), mode="nearest")
            assert np.abs(found - expected).max() <= 0.6
    assert (corrupt(flat(200), np.arange(60), "blur", 5) == 200).all()


def test_occlusion_is_one_square_anywhere() -> None:
    found = corrupt(flat(9, 500, SMALL), np.arange(500), "occlusion", 2)[:, 0] == 0
    side = round(strength("occlusion", 2, SMALL) * 28)
    assert (found.sum(axis=(1, 2)) == side * side).all()
    rows, columns = found.any(axis=2), found.any(axis=1)
    assert (rows.sum(axis=1) == side).all() and (columns.sum(axis=1) == side).all()
    assert set(rows.argmax(axis=1)) == set(columns.argmax(axis=1)) == set(range(28 - side + 1))


def test_constants_are_the_papers() -> None:
    assert [strength("gaussian", s, RGB) for s in SEVERITIES] == [0.04, 0.06, 0.08, 0.09, 0.10]
    assert [strength("impulse", s, RGB) for s in SEVERITIES] == [0.01, 0.02, 0.03, 0.05, 0.07]
    assert [strength("shot", s, RGB) for s in SEVERITIES] == [500, 250, 100, 75, 50]
    assert [strength("speckle", s, RGB) for s in SEVERITIES] == [0.06, 0.1, 0.12, 0.16, 0.2]
    assert [strength("blur", s, RGB) for s in SEVERITIES] == [0.4, 0.6, 0.7, 0.8, 1.0]
    assert [strength("gaussian", s, SMALL) for s in SEVERITIES] == [0.08, 0.12, 0.18, 0.26, 0.38]
    assert [strength("shot", s, SMALL) for s in SEVERITIES] == [60, 25, 12, 5, 3]


def test_recipes_know_the_same_names() -> None:
    assert set(get_args(tables.CorruptionName)) == set(CORRUPTIONS)


def test_no_images() -> None:
    assert corrupt(flat(0, 0), np.zeros(0, int), "shot", 1).shape == (0, *RGB)


def test_other_arguments_are_refused() -> None:
    with pytest.raises(RecipeError, match="corruption 'fog': expected gaussian"):
        corrupt(flat(0), np.arange(60), "fog", 1)
    with pytest.raises(RecipeError, match="severity 6 of 'blur': expected 1 to 5"):
        corrupt(flat(0), np.arange(60), "blur", 6)
    with pytest.raises(FormatError, match="uint8 images"):
        corrupt(flat(0).astype(float), np.arange(60), "blur", 1)
