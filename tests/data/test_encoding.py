"""Encoders against plain loops over pixels, independence of the batch, and the parameters' JSON form."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkd.base.errors import FormatError, RecipeError
from snnkd.base.hashing import hash64
from snnkd.data.encoding import Encoding

DOCS = Path(__file__).resolve().parents[2] / "docs"
BINARY = ("rate", "poisson", "latency")
MASK = (1 << 64) - 1


def images(count=5, shape=(2, 3, 4), seed=0):
    values = np.random.default_rng(seed).integers(0, 256, size=(count, *shape), dtype=np.uint8)
    values[0].flat[:2] = 0, 255
    return values


def splitmix(state):
    state = (state + 0x9E3779B97F4A7C15) & MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


def plain_hash(*parts):
    state = 0
    for part in parts:
        state = splitmix(state ^ (part & MASK))
    return state


def train_of(encoding, x, index, pixel):
    """The T events of one pixel, written from docs/encodings.md without arrays."""
    total, events = 127, []
    for step in range(encoding.steps):
        if encoding.kind == "direct":
            events.append(x >> (8 - encoding.bits))
        elif encoding.kind == "rate":
            total += x
            events.append(int(total >= 255))
            total -= 255 * events[-1]
        elif encoding.kind == "poisson":
            events.append(int(plain_hash(encoding.seed, index, step, pixel) >> 32 < (x << 32) // 255))
        else:
            events.append(int(x > 0 and step == (255 - x) * encoding.steps // 256))
    return events


def test_hash_is_splitmix64():
    assert int(hash64(0)[0]) == 0xE220A8397B1DCDAF  # first output of the published generator for seed 0


@given(st.lists(st.integers(-(1 << 63), MASK), min_size=1, max_size=4))
def test_hash_equals_plain_integers(parts):
    assert int(hash64(*parts)[0]) == plain_hash(*parts)


@pytest.mark.parametrize("steps", [1, 5, 16])
@pytest.mark.parametrize("kind", ["direct", *BINARY])
def test_every_event_equals_a_plain_loop(kind, steps):
    encoding = Encoding(kind, steps, bits=3, seed=11)
    pictures, indices = images(), np.array([3, 0, 70000, 1, 2])
    events = encoding.encode(pictures, indices)
    assert events.shape == (5, steps, 2, 3, 4) and events.dtype == np.uint8
    for n, index in enumerate(indices.tolist()):
        for pixel, place in enumerate(np.ndindex(2, 3, 4)):
            expected = train_of(encoding, int(pictures[(n, *place)]), index, pixel)
            assert events[(n, slice(None), *place)].tolist() == expected


@pytest.mark.parametrize("kind", ["direct", *BINARY])
def test_an_image_becomes_the_same_in_every_batch(kind):
    encoding, pictures, indices = Encoding(kind, 12, seed=5), images(40, (1, 60, 60)), np.arange(40)
    whole = encoding.encode(pictures, indices)
    order = np.random.default_rng(1).permutation(40)
    np.testing.assert_array_equal(encoding.encode(pictures[order], indices[order]), whole[order])
    np.testing.assert_array_equal(encoding.encode(pictures[7:8], indices[7:8]), whole[7:8])


@pytest.mark.parametrize("kind", BINARY)
def test_binary_encoders_send_zeros_and_ones(kind):
    encoding = Encoding(kind, 9)
    assert encoding.message_bits == 0
    assert set(np.unique(encoding.encode(images(), np.arange(5)))) == {0, 1}


def test_direct_is_graded_and_copies_nothing():
    encoding = Encoding("direct", 1000, bits=4)
    events = encoding.encode(images(), np.arange(5))
    assert encoding.message_bits == 8 and events.max() == 15
    assert events.strides[1] == 0 and not events.flags.writeable


@settings(max_examples=200)
@given(st.integers(0, 255), st.integers(1, 300))
def test_rate_counts_are_rounded_to_the_nearest(x, steps):
    count = int(Encoding("rate", steps).encode(np.full((1, 1, 1, 1), x, dtype=np.uint8), np.zeros(1, int)).sum())
    assert abs(2 * (255 * count - x * steps)) <= 255


@pytest.mark.parametrize("x", [0, 51, 128, 255])
def test_poisson_rates(x):
    picture = np.full((1, 1, 64, 64), x, dtype=np.uint8)
    mean = Encoding("poisson", 32, seed=2).encode(picture, np.array([9])).mean()
    assert mean == x / 255 if x in (0, 255) else abs(mean - x / 255) < 0.005


def test_poisson_depends_on_seed_index_step_and_pixel():
    picture = np.full((2, 1, 8, 8), 128, dtype=np.uint8)
    first = Encoding("poisson", 4, seed=1).encode(picture, np.arange(2))
    other = Encoding("poisson", 4, seed=2).encode(picture, np.arange(2))
    assert (first != other).any()
    assert (first[0] != first[1]).any() and (first[0, 0] != first[0, 1]).any()


def test_latency_sends_bright_pixels_first_and_black_ones_never():
    picture = np.array([255, 128, 1, 0], dtype=np.uint8).reshape(1, 1, 1, 4)
    events = Encoding("latency", 8).encode(picture, np.zeros(1, int))[0, :, 0, 0]
    assert events.sum(axis=0).tolist() == [1, 1, 1, 0]
    assert events.argmax(axis=0)[:3].tolist() == [0, 3, 7]


def test_no_images_give_no_events():
    for kind in ("direct", *BINARY):
        assert Encoding(kind, 3).encode(np.zeros((0, 1, 2, 2), np.uint8), np.zeros(0, int)).shape == (0, 3, 1, 2, 2)


def test_json_round_trip():
    encoding = Encoding("poisson", 20, bits=2, seed=7)
    assert Encoding.from_json(encoding.to_json()) == encoding
    assert Encoding.from_json({"kind": "rate", "steps": 4}) == Encoding("rate", 4)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"steps": 4}, "encoding.kind: missing"),
        ({"kind": "rate"}, "encoding.steps: missing"),
        ({"kind": "morse", "steps": 4}, "encoding.kind 'morse'"),
        ({"kind": ["rate"], "steps": 4}, "encoding.kind"),
        ({"kind": "rate", "steps": 0}, "encoding.steps 0"),
        ({"kind": "rate", "steps": True}, "encoding.steps True"),
        ({"kind": "rate", "steps": 4.0}, "encoding.steps 4.0"),
        ({"kind": "direct", "steps": 4, "bits": 9}, "encoding.bits 9"),
        ({"kind": "poisson", "steps": 4, "seed": -1}, "encoding.seed -1"),
        ({"kind": "rate", "steps": 4, "speed": 1}, "encoding.speed: unknown"),
        ([], "expected an object"),
    ],
)
def test_bad_json_is_refused_by_field(data, words):
    with pytest.raises(FormatError, match=re.escape(words)):
        Encoding.from_json(data)


def test_bad_parameters_are_recipe_errors():
    with pytest.raises(RecipeError, match=r"encoding\.kind 'morse': expected direct, rate, poisson, latency"):
        Encoding("morse", 4)


@pytest.mark.parametrize(
    ("pictures", "indices"),
    [
        (np.zeros((2, 4, 4), np.uint8), np.arange(2)),
        (np.zeros((2, 1, 4, 4), np.float32), np.arange(2)),
        (np.zeros((2, 1, 4, 4), np.uint8), np.arange(3)),
        (np.zeros((2, 1, 4, 4), np.uint8), np.array([0.0, 1.0])),
        (np.zeros((2, 1, 4, 4), np.uint8), np.array([0, -1])),
    ],
)
def test_other_arrays_are_refused(pictures, indices):
    with pytest.raises(FormatError, match=r"images: expected uint8|indices: expected"):
        Encoding("rate", 4).encode(pictures, indices)


@pytest.mark.parametrize("page", ["encodings.md", "data.md"])
def test_examples_in_the_docs_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), {})
