"""Teachers from outside: what they are asked and what is made of their answers, and that each fault is named."""

import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from snnkd.base.errors import FormatError, MismatchError
from snnkd.base.provenance import file_digest
from snnkd.data.datasets import DataSet, Split
from snnkd.data.encoding import Encoding
from snnkd.data.logits import save_logits
from snnkd.recipe import tables
from snnkd.recipe.tables import Stage
from snnkd.training.feed import Feed
from snnkd.training.teachers.outside import Outside, OutsideTeacher, check, opened, prepared

CLASSES, STEPS, IMAGES = 3, 4, 24


def split(count: int, seed: int, channels: int = 1) -> Split:
    random = np.random.default_rng(seed)
    return Split(random.integers(0, 256, (count, channels, 6, 6)).astype(np.uint8), np.arange(count) % CLASSES)


def data_set(channels: int = 1) -> DataSet:
    parts = (split(IMAGES, 1, channels), split(9, 2, channels), split(12, 3, channels))
    return DataSet("bars", ("a", "b", "c"), *parts, "digest")


DATA = data_set()


def feed(data: DataSet = DATA, variants: int = 1) -> Feed:
    augment = tables.Data(shift=2, variants=variants)
    return Feed(data.train, Encoding("rate", STEPS, seed=4), torch.device("cpu"), augment, seed=9)


HEAD = """
import torch
from torch import nn
"""
LINEAR = """
def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3))
"""


def module(body: str) -> str:
    """The source of a module `build` whose forward has this body."""
    text = textwrap.indent(textwrap.dedent(body).strip(), " " * 8)
    return f"class build(nn.Module):\n    def forward(self, x, state=None):\n{text}\n"


@pytest.fixture
def made(tmp_path: Path):
    """Opens the teacher of a source text."""

    def make(source: str, data: DataSet = DATA, **fields) -> Outside:
        path = tmp_path / "mine.py"
        path.write_text(HEAD + source)
        return opened("teacher", Stage(model=f"{path}:build", sha256=file_digest(path), **fields), data)

    return make


@pytest.fixture
def refused(made):
    """The message of a teacher that cannot be opened, or asked."""

    def message(source: str, **fields) -> str:
        with pytest.raises(FormatError) as error:
            made(source, **fields).answers(feed())
        return str(error.value)

    return message


def linear() -> torch.nn.Module:
    namespace: dict = {}
    exec(HEAD + LINEAR, namespace)
    return namespace["build"]()


def test_logits_are_spread_over_the_steps(made):
    outside = made(LINEAR)
    images = torch.from_numpy(DATA.train.images).float() / 255
    expected = linear()(images).detach()
    teacher, indices = OutsideTeacher(outside, feed()), np.array([5, 0, 17])
    sat = teacher.sat(indices, 0)
    assert sat.shape == (STEPS, CLASSES, 3) and sat.dtype == torch.float32
    torch.testing.assert_close(sat.sum(dim=0).T, expected[indices])
    assert torch.equal(sat[0], sat[-1])
    assert outside.parameters == 36 * 8 + 8 + 8 * 3 + 3


def test_each_variant_is_asked_about(made):
    source = feed(variants=2)
    sat = OutsideTeacher(made(LINEAR), source).sat(np.arange(IMAGES), 1)
    moved = torch.from_numpy(source.images(np.arange(IMAGES), 1)).float() / 255
    torch.testing.assert_close(sat.sum(dim=0).T, linear()(moved).detach())
    assert not torch.equal(source.pixels(np.arange(IMAGES), 1), source.pixels(np.arange(IMAGES), 0))


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_weights_are_loaded(made, tmp_path, suffix):
    torch.manual_seed(7)
    state = {name: torch.randn_like(value) for name, value in linear().state_dict().items()}
    path = tmp_path / f"w.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    answers = made(LINEAR, weights=str(path)).answers(feed())
    other = linear()
    other.load_state_dict(state)
    torch.testing.assert_close(answers, other(torch.from_numpy(DATA.train.images).float() / 255).detach())


def test_events_go_in_and_an_activation_tensor_comes_out(made):
    outside = made(module("return x.flatten(2)[:, :, :3]"), reads="events")
    events = feed().events(np.arange(IMAGES)).reshape(IMAGES, STEPS, -1)[:, :, :3]
    sat = OutsideTeacher(outside, feed()).sat(np.arange(IMAGES), 0)
    np.testing.assert_array_equal(sat.numpy(), events.transpose(1, 2, 0))
    assert 0 < events.mean() < 1


@pytest.mark.parametrize("reads", ["images", "events"])
def test_by_step_a_state_is_handed_on(made, reads):
    body = """
    state = 0 if state is None else state
    state = state + x.flatten(1)[:, :3]
    return state, state
    """
    answers = made(module(body), reads=reads, by_step=True).answers(feed())
    if reads == "images":
        seen = (torch.from_numpy(DATA.train.images).float() / 255).expand(STEPS, -1, -1, -1, -1)
    else:
        seen = torch.from_numpy(feed().events(np.arange(IMAGES)).astype(np.float32)).transpose(0, 1)
    torch.testing.assert_close(answers, seen.flatten(2)[:, :, :3].cumsum(dim=0))


def test_a_module_in_train_mode_answers_in_eval_mode(made):
    source = """
def build():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(36), nn.Dropout(0.5), nn.Linear(36, 3))
    return net.train()
"""
    outside = made(source)
    assert torch.equal(outside.answers(feed()), outside.answers(feed()))
    norm = outside.model.module[1]
    assert not norm.training and norm.num_batches_tracked == 0


def test_random_numbers_are_the_same_each_time_and_leave_those_of_the_training_alone(made):
    outside = made(module("return torch.rand(4, len(x), 3)"))
    before = torch.get_rng_state()
    first = outside.answers(feed())
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert torch.equal(outside.answers(feed()), first)


def test_layers_of_modules(made):
    teacher = OutsideTeacher(made(LINEAR), feed())
    features = teacher.features(np.array([3, 1]), 0, ["1", "2"])
    assert {name: tuple(value.shape) for name, value in features.items()} == {"1": (2, 8), "2": (2, 8)}
    assert torch.equal(features["2"], features["1"].relu()) and (features["1"] < 0).any()
    infinite = OutsideTeacher(
        made(LINEAR.replace("nn.ReLU()", "nn.Threshold(9.0, float('inf')), nn.Hardtanh()")), feed()
    )
    with pytest.raises(FormatError, match=r"its layer '2' gives a tensor \(1, 8\) of float32 with NaN or infinite"):
        infinite.features(np.array([0]), 0, ["2"])
    with pytest.raises(FormatError, match=r"chain.teacher \(mine.py:build\): it has no layer '7'.* 0, 1, 2, 3"):
        teacher.features(np.array([0]), 0, ["7"])
    source = """
class build(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.unused = nn.LSTMCell(36, 3), nn.Linear(1, 1)
    def forward(self, x, state):
        state = self.cell(x.flatten(1), state)
        return state[0], state
"""
    teacher = OutsideTeacher(made(source, by_step=True), feed())
    assert teacher.features(np.arange(2), 0, ["cell"])["cell"].shape == (STEPS, 2, 3)
    steps, rate = (teacher.features(np.arange(2), 0, ["cell"], maps)["cell"] for maps in ("spikes", "rate"))
    assert torch.equal(rate, steps.mean(dim=0))
    with pytest.raises(FormatError, match=r"its membrane potentials are not known; use maps = 'rate'"):
        teacher.features(np.arange(2), 0, ["cell"], "membrane")
    with pytest.raises(FormatError, match=r"layer 'unused': expected a tensor, found no call of it"):
        teacher.features(np.arange(2), 0, ["unused"])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return torch.zeros(len(x), 5)", "gives a tensor (24, 5) of float32; expected logits (24, 3) = (images"),
        ("return torch.zeros(len(x), 5)", "the data set has 3 classes"),
        ("return torch.zeros(len(x), 4, 3)", "put time first: y.transpose(0, 1)"),
        ("return torch.zeros(len(x), 3, 4)", "put time first: y.transpose(0, 1)"),
        ("return torch.zeros(9, len(x), 3)", "it has 9 steps: set encoding.steps, or return their sum, y.sum(0)"),
        ("return torch.full((len(x), 3), float('nan'))", "with 72 NaN or infinite values of 72; do its weights belong"),
        ("return torch.full((len(x), 3), float('inf'))", "with 72 NaN or infinite values of 72"),
        ("return torch.zeros(len(x), 3), None", "gives a tuple of 2: a tensor (24, 3) of float32, None; expected"),
        ("return None", "gives None; expected logits (24, 3)"),
        ("return x.numpy()", "gives a ndarray; expected logits"),
        ("return torch.zeros(len(x), 3, dtype=torch.complex64)", "of complex64; expected real numbers"),
        ("return x.no_such_thing", "given images (24, 1, 6, 6), it fails: AttributeError: 'Tensor' object has no"),
        ("return x.view(-1, 7)", "it fails: RuntimeError: shape '[-1, 7]' is invalid for input of size 864 (mine"),
    ],
)  # fmt: skip
def test_answers_that_do_not_fit_are_named(refused, body, expected):
    message = refused(module(body))
    assert message.startswith("chain.teacher (mine.py:build): ") and expected in message


def test_a_state_is_expected_of_each_step(refused):
    message = refused(module("return torch.zeros(len(x), 3)"), by_step=True)
    assert "by_step expects (output, state) of each step, found a tensor (24, 3) of float32" in message
    message = refused(module("return torch.zeros(len(x), 5), None"), by_step=True)
    assert "gives a tensor (4, 24, 5) of float32; expected an activation tensor (4, 24, 3)" in message


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def other(): pass", "mine.py:build: it has no 'build'; it has other"),
        ("build = 3", "mine.py:build: build() fails: TypeError: 'int' object is not callable"),
        ("def build(): return 3", "expected a torch.nn.Module or a function that makes one, found a int"),
        ("def build(size): return nn.Linear(size, 3)", "build() fails: TypeError: build() missing 1 required"),
        ("def build(): raise OSError('no disk')", "build() fails: OSError: no disk (mine.py, line 4)"),
        ("import no_such_package", "its import fails: ModuleNotFoundError: No module named 'no_such_package'"),
        ("raise SystemExit(3)", "its import fails: SystemExit: 3"),
        ("def build(:", "its import fails: SyntaxError"),
    ],
)
def test_code_that_makes_no_model_is_named(refused, source, expected):
    message = refused(source)
    assert message.startswith("chain.teacher (mine.py:build): ") and expected in message


def test_weights_that_do_not_fit_are_named(refused, tmp_path):
    path, state = tmp_path / "w.pt", linear().state_dict()

    def told(contents: object) -> str:
        torch.save(contents, path)
        return refused(LINEAR, weights=str(path))

    message = told({**{name: value for name, value in state.items() if name != "1.bias"}, "9.bias": torch.zeros(3)})
    assert f"{path}: not the weights of" in message and "lacks 1.bias; has 9.bias, which" in message
    assert "3.weight is (4, 8), expected (3, 8)" in told({**state, "3.weight": torch.zeros(4, 8)})
    assert "expected a state_dict, tensors by name, found a dict with epoch, model" in told(
        {"epoch": 3, "model": state}
    )
    assert "expected a state_dict, tensors by name, found a tensor (2,)" in told(torch.zeros(2))
    assert "expected a state_dict alone, and it holds Python objects, which could run code" in told(linear())
    for suffix in ("pt", "safetensors"):
        broken = tmp_path / f"broken.{suffix}"
        broken.write_bytes(b"no weights")
        assert f"{broken}: " in refused(LINEAR, weights=str(broken))


def test_a_pickle_in_the_weights_does_not_run(refused, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "it-ran",))

    torch.save({"1.weight": Bomb()}, tmp_path / "bomb.pt")
    assert "could run code" in refused(LINEAR, weights=str(tmp_path / "bomb.pt"))
    assert not (tmp_path / "it-ran").exists()


def test_a_file_may_import_those_beside_it(made, tmp_path):
    (tmp_path / "beside_mine.py").write_text("CLASSES = 3\n")
    source = "from beside_mine import CLASSES\ndef build(): return nn.Sequential(nn.Flatten(), nn.Linear(36, CLASSES))"
    assert made(source).answers(feed()).shape == (IMAGES, CLASSES)


def test_what_a_file_sets_in_torch_is_put_back(made):
    before = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(), torch.get_rng_state())
    settings = "torch.set_default_dtype(torch.float64)\ntorch.set_grad_enabled(False)\ntorch.manual_seed(3)\n"
    assert made(settings + "torch.set_num_threads(1)\n" + LINEAR).parameters
    after = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(), torch.get_rng_state())
    assert before[:3] == after[:3] and torch.equal(before[3], after[3])


def test_probabilities_become_logits_and_chance_is_told(made):
    outside = made(LINEAR.replace("nn.Linear(8, 3))", "nn.Linear(8, 3), nn.Softmax(1))"))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert check(outside, feed())
    assert any("it gives probabilities; their logarithms are taken" in str(entry.message) for entry in told)
    expected = linear()(torch.from_numpy(DATA.train.images).float() / 255).detach().log_softmax(1)
    torch.testing.assert_close(outside.answers(feed()), expected)
    with pytest.warns(UserWarning, match=r"right, hardly more than chance: are its classes in the order of the set"):
        check(made(module("return torch.eye(3)[torch.zeros(len(x), dtype=int)]")), feed())


def test_images_are_made_what_a_model_reads():
    grey, colour = (torch.from_numpy(data_set(channels).train.images) for channels in (1, 3))
    assert torch.equal(prepared(grey, Stage(model="a:b"), "t"), grey / 255)
    wide = prepared(grey, Stage(model="a:b", channels=3, size=(12, 9)), "t")
    assert wide.shape == (IMAGES, 3, 12, 9) and torch.equal(wide[:, 0], wide[:, 2])
    ones = torch.full((1, 3, 4, 4), 255, dtype=torch.uint8)
    torch.testing.assert_close(prepared(ones, Stage(model="a:b", channels=1), "t"), torch.ones(1, 1, 4, 4))
    normalize = tables.Normalize(mean=(0.1, 0.2, 0.3), std=(2.0,))
    found = prepared(colour, Stage(model="a:b", normalize=normalize), "t")
    torch.testing.assert_close(found[:, 1], (colour[:, 1] / 255 - 0.2) / 2)
    with pytest.raises(MismatchError, match=r"t: normalize.mean: expected one number or 1, .* found 3"):
        prepared(grey, Stage(model="a:b", normalize=normalize), "t")


def test_logits_of_a_file_find_their_images(tmp_path):
    """Whatever split is taken out of the set, and however few images of it."""
    from snnkd.data import datasets

    whole = datasets.load("digits", validation=0)
    random = np.random.default_rng(0)
    train, test = (random.normal(size=(len(part), 10)).astype(np.float32) for part in (whole.train, whole.test))
    save_logits(tmp_path / "l.npz", whole, train, test)
    data = datasets.load("digits", validation=0.2, seed=3)
    outside = opened("teacher", Stage(logits=str(tmp_path / "l.npz")), data)
    few = Feed(data.train.take(np.array([7, 2, 90])), Encoding("rate", STEPS), torch.device("cpu"))
    by_image = {image.tobytes(): row for image, row in zip(whole.train.images, train, strict=True)}
    expected = np.stack([by_image[image.tobytes()] for image in few.split.images])
    np.testing.assert_array_equal(outside.answers(few).numpy(), expected)
    held = Feed(data.test, Encoding("rate", STEPS), torch.device("cpu"))
    assert outside.accuracy(held) == (test.argmax(1) == data.test.labels).mean()
    assert outside.parameters is None
    with pytest.raises(FormatError, match=r"l.npz\): logits have no layers"):
        outside.ask(few, np.arange(3))


def test_logits_that_do_not_fit_are_named(tmp_path):
    path, rows = tmp_path / "l.npz", len(DATA.train) + len(DATA.validation)
    whole = DataSet("bars", ("a", "b", "c"), split(33, 1), split(0, 2), split(12, 3), "digest")
    good = {"train": np.zeros((rows, 3)), "test": np.zeros((12, 3))}

    def told(**arrays: np.ndarray) -> str:
        np.savez(path, **arrays)
        opened.cache_clear()
        with pytest.raises(FormatError) as error:
            opened("teacher", Stage(logits=str(path)), whole)
        return str(error.value)

    assert "expected the arrays train and test, found train" in told(train=good["train"])
    assert "train: expected numbers (33, 3), one row for each image of 'bars'" in told(
        **{**good, "train": np.zeros((5, 3))}
    )
    assert "test: expected numbers (12, 3)" in told(**{**good, "test": np.zeros((12, 4))})
    assert "train: row 2 is not finite: [" in told(
        **{**good, "train": np.where(np.arange(33)[:, None] == 2, np.nan, 0) * np.ones(3)}
    )
    assert "images: these are the logits of other images" in told(**good, images=np.array("0" * 64))
    path.write_bytes(b"no zip")
    with pytest.raises(FormatError, match=r"chain.teacher \(l.npz\): .*not a readable .npz file"):
        opened("teacher", Stage(logits=str(path), sha256="0" * 64), whole)
    np.savez(path, **good)  # without a digest the number of rows has to do
    opened.cache_clear()
    assert opened("teacher", Stage(logits=str(path)), whole).logits is not None
