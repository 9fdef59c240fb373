"""Arrays that are laid out otherwise are told with the line that turns them, and that line does it."""

import numpy as np
import pytest

from snnkd.base.errors import FormatError
from snnkd.ir import events as inputs
from snnkd.ir.network import Cuba, Dense, IntNet

NEURON = Cuba(np.array(1024, np.int32), np.array(128, np.int32), np.array(80, np.int32))


def net(*shape: int) -> IntNet:
    return IntNet(shape, (Dense(np.ones((3, int(np.prod(shape))), np.int32), NEURON),))


def events(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, shape, dtype=np.uint8)


IMAGES, FEATURES = (2, 4, 5), (6,)
# The array, the shape of the input, and the words in front of the line that gives back what `right` is.
TURNED = {
    "time last": (lambda right: np.moveaxis(right, 1, -1), IMAGES, "with time last, as SLAYER has it: "),
    "features, time last": (lambda right: np.moveaxis(right, 1, -1), FEATURES, "with time last, as SLAYER has it: "),
    "one sample": (lambda right: right[0], IMAGES, "looks like one sample of 7 steps: "),
    "one sample of features": (lambda right: right[0], FEATURES, "looks like one sample of 7 steps: "),
    "one sample, time last": (lambda right: np.moveaxis(right[0], 0, -1), IMAGES, "one sample with time last: "),
    "channels last": (lambda right: np.moveaxis(right, 2, -1), IMAGES, "with channels last: "),
    "as NetX": (lambda right: right.transpose(0, 1, 4, 3, 2), IMAGES, "as NetX has them: "),
    "no channel": (lambda right: right[:, :, 0], (1, 4, 5), "without the axis of the one channel: "),
    "channels, time last": (lambda right: right.transpose(0, 3, 4, 2, 1), IMAGES, "channels and then time last: "),
    "float": (lambda right: right.astype(np.float32), IMAGES, "its numbers are whole: "),
}


@pytest.mark.parametrize("name", TURNED)
def test_the_line_turns_it(name: str) -> None:
    turned, shape, words = TURNED[name]
    right = events(3, 7, *shape)
    with pytest.raises(FormatError) as error:
        inputs.check_input(net(*shape), turned(right), "given.npy")
    text = str(error.value)
    assert text.startswith("given.npy: expected integers of shape (N, T, ") and words in text
    line = text.partition(words)[2].partition("; or")[0]
    found = eval(line, {"numpy": np, "events": turned(right)})
    expected = right[:1] if "one sample" in name else right
    assert np.array_equal(inputs.check_input(net(*shape), found), expected)


RAW = np.zeros(5, [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "i1")])


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (events(0, 7, *IMAGES), "there are no samples in it"),
        (events(3, 0, *IMAGES), "there are no time steps in it"),
        (RAW, "found records (5,); looks like one recording, raw events with the fields t, x, y, p: `snnkd encode"),
        (np.zeros((9, 4), np.int64), "raw events (t, x, y, p): `snnkd encode"),
        (np.full((3, 7, *IMAGES), 0.5), "looks like images or rates in [0, 1]"),
        (np.full((3, 7, *IMAGES), -0.5), "round or encode it first"),
        (np.full((3, 7, *IMAGES), np.nan), "round or encode it first"),
        (events(*IMAGES), "looks like one image without samples and steps"),
        (events(3, *IMAGES), "like 3 images without steps: `snnkd encode`"),
        (np.array(["a"]), "found <U1 (1,)"),
        (np.array(3), "found int64 ()"),
        (events(3, 7, 99), "found uint8 (3, 7, 99)"),
    ],
)
def test_what_it_looks_like(array: np.ndarray, words: str) -> None:
    with pytest.raises(FormatError) as error:
        inputs.check_input(net(*IMAGES), array)
    assert words in str(error.value)


LABELS = np.array([2, 0, 1])


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.eye(4, dtype=int)[LABELS], "looks like one-hot rows: labels.argmax(axis=1)"),
        (np.eye(4)[LABELS], "looks like one-hot rows: labels.argmax(axis=1)"),
        (LABELS[:, None], "labels.reshape(-1)"),
        (LABELS.astype(float), "labels.astype(int)"),
        (np.array(["c", "a", "b"]), "numpy.unique(labels, return_inverse=True)[1]"),
    ],
)
def test_the_line_turns_labels(labels: np.ndarray, words: str) -> None:
    with pytest.raises(FormatError, match=r"labels.npy: expected \(3,\) integers, one for each sample") as error:
        inputs.check_labels(labels, 3, 7, source="labels.npy")
    assert words in str(error.value)
    line = next(
        part for part in ("labels.argmax(axis=1)", "labels.reshape(-1)", "labels.astype(int)", words) if part in words
    )
    assert eval(line, {"numpy": np, "labels": labels}).tolist() == LABELS.tolist()


def test_other_labels() -> None:
    inputs.check_labels(LABELS, 3, 7, 3)
    for labels, words in (
        (np.zeros(7, int), r"are the events \(T, N, ...\), with time first"),
        (events(3, 7, 6), "are --input and --labels exchanged"),
        (LABELS + 1, r"expected classes 0 to 2, as the network has, found 1 to 3; do they count from 1\? labels - 1"),
        (LABELS - 1, "expected classes 0 to 2, as the network has, found -1 to 1$"),
        (np.zeros(4, int), r"found int64 \(4,\)$"),
    ):
        with pytest.raises(FormatError, match=words):
            inputs.check_labels(labels, 3, 7, 3)
