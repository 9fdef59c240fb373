"""Recipes: defaults, messages, overrides, checks before training, and the shipped ones."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnkd import recipe
from snnkd.base import provenance, schema
from snnkd.base.errors import RecipeError, SnnkdWarning
from snnkd.formats import netx
from snnkd.ir.network import Conv, Cuba, Dense, IntNet
from snnkd.ir.readout import Readout
from snnkd.recipe import Recipe, overrides, stages
from snnkd.recipe.tables import Cross, Distil, Features, Frames, Normalize, Rate

MINIMAL = """
encoding = {steps = 10}
[chain.teacher]
network = "dense-8x8-teacher"
epochs = 2
[chain.student]
network = "dense-8x8-student"
epochs = 3
distil = {losses = {kl = 1.0}}
"""


def write(folder: Path, text: str = MINIMAL, extra: str = "") -> Path:
    path = folder / "mine.toml"
    path.write_text(extra + text)
    return path


def refusal(path: Path | str, *changes: str) -> str:
    with pytest.raises(RecipeError) as error:
        recipe.load(path, list(changes))
    return str(error.value)


def test_defaults_are_resolved(tmp_path: Path) -> None:
    loaded = recipe.load(write(tmp_path))
    assert (loaded.name, loaded.seed, loaded.data.set, loaded.student) == ("mine", 1, "digits", "student")
    assert (loaded.encoding.kind, loaded.encoding.bits, loaded.readout.ties) == ("direct", 4, "membrane")
    assert loaded.neuron.threshold is None
    assert list(loaded.chain) == ["teacher", "student"]
    distil = loaded.chain["student"].distil
    assert distil is not None and (distil.teacher, distil.window) == ("teacher", 2)
    assert loaded.architecture("student").parameters == 3552


def test_ties_are_of_a_count_only(tmp_path: Path) -> None:
    path = write(tmp_path)
    rules = {kind: recipe.load(path, [f"readout.kind={kind}"]).readout.rule() for kind in ("count", "membrane")}
    assert rules == {"count": Readout("count", "membrane"), "membrane": Readout("membrane", "first")}
    assert "readout.kind: expected 'count' or 'membrane', found 'voltage'" in refusal(path, "readout.kind=voltage")
    over = recipe.load(path, ["readout.kind=membrane", "readout.over=max"])
    assert over.readout.rule() == Readout("membrane", over="max")
    assert over.to_dict()["readout"]["over"] == "max" and "over" not in recipe.load(path).to_dict()["readout"]
    assert "expected kind 'membrane' with over 'sum', found 'count', over all" in refusal(path, "readout.over=sum")


def test_a_stage_that_teaches_itself_has_no_teacher_and_may_be_the_first(tmp_path: Path) -> None:
    text = MINIMAL.replace("{kl = 1.0}", "{self_ensemble = 1.0, strong_to_weak = 0.5, kl = 0}")
    text = text.replace("epochs = 2", 'epochs = 2\ndistil = {losses = {strong_to_weak = 1.0}, scale = "learned"}')
    loaded = recipe.load(write(tmp_path, text.replace("epochs = 2", 'epochs = 2\nlabel = {scale = "learned"}')))
    for stage in loaded.chain.values():
        assert stage.distil is not None and stage.distil.teacher is None and stage.distil.window == 2
    assert loaded.chain["teacher"].learns_scale and not loaded.chain["student"].learns_scale
    path = tmp_path / "again.toml"
    path.write_text(loaded.to_toml())
    assert recipe.load(path) == loaded


def test_window_never_exceeds_the_steps(tmp_path: Path) -> None:
    distil = recipe.load(write(tmp_path), ["encoding.steps=1"]).chain["student"].distil
    assert distil is not None and distil.window == 1
    distil = recipe.load(write(tmp_path), ["encoding.steps=25"]).chain["student"].distil
    assert distil is not None and distil.window == 5


@pytest.mark.parametrize("name", [name for name in sorted(recipe.names()) if "/" not in name])
def test_shipped_recipes(name: str) -> None:
    loaded = recipe.load(name)
    assert loaded.name == name
    assert list(loaded.chain) == ["teacher", "ta", "student"]
    assert loaded.data.set == name.removesuffix("-sigma-delta")
    assert recipe.warnings(loaded) == []


@pytest.mark.parametrize("name", [name for name in sorted(recipe.names()) if "/" not in name])
def test_resolved_recipe_round_trips_alone(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = recipe.load(name)
    path = tmp_path / "recipe.toml"
    path.write_text(loaded.to_toml())
    monkeypatch.setattr(recipe.architecture, "names", dict)  # the networks come from the recipe itself
    again = recipe.load(path)
    assert again == loaded
    assert again.to_json() == loaded.to_json()
    assert recipe.parse(loaded.to_dict()) == loaded


def test_stages_keep_their_order(tmp_path: Path) -> None:
    chain = "".join(f'[chain.{name}]\nnetwork = "dense-8x8-ta"\nepochs = 1\n' for name in "zab")
    loaded = recipe.load(write(tmp_path, "encoding = {steps = 4}\n" + chain))
    assert list(loaded.chain) == ["z", "a", "b"] and loaded.student == "b"
    path = tmp_path / "again.toml"
    path.write_text(loaded.to_toml())
    assert list(recipe.load(path).chain) == ["z", "a", "b"]


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("sed = 3\n", "unknown key 'sed' in the file: did you mean 'seed'?"),
        ("seed = -1\n", "seed: expected a value greater than or equal to 0, found -1"),
        ('seed = "1"\n', "seed: expected a valid integer, found '1'"),
        ('name = "a/b"\n', "name: expected a name of letters, digits"),
        ("data = {validation = 1.5}\n", "data.validation: expected a fraction in [0, 1) or a number of images, found"),
        ("data = {validation = true}\n", "data.validation: expected a fraction"),
        ('data = {set = ""}\n', "data.set: expected at least 1 character, found ''"),
        ("data = {flip = 1}\n", "data.flip: expected a valid boolean, found 1"),
        ("data = 3\n", "data: expected a table, found 3"),
        ("neuron = {threshold = nan}\n", "neuron.threshold: expected a finite number, found nan"),
        ("neuron = {voltage_decay = 1.5}\n", "neuron.voltage_decay: expected a value less than or equal to 1"),
        ("neuron = {threshold = 2048}\n", "neuron.threshold: expected a value less than or equal to"),
        ("quantization = {weight_bits = 4, weight_step = 24}\n", "expected weight_step a power of two up to 32"),
        ("quantization = {weight_bits = 8, weight_step = 4}\n", "expected weight_step a power of two up to 2"),
        ("quantization = {weight_bits = 9}\n", "quantization.weight_bits: expected a value less than or equal to 8"),
        ('readout = {ties = "frist"}\n', "readout.ties: expected 'membrane' or 'first', found 'frist': did you mean"),
        ("networks = 3\n", "networks: expected tables [networks.<name>], found 3"),
    ],
)
def test_errors_name_file_field_expectation_and_value(tmp_path: Path, extra: str, expected: str) -> None:
    path = write(tmp_path, extra=extra)
    message = refusal(path)
    assert message.startswith(f"{path}: ") and expected in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("epochs = 3", "epoch = 3", "unknown key 'epoch' in chain.student: did you mean 'epochs'?"),
        ("epochs = 3", "batch = 3", "chain.student.epochs: missing; it is the number of epochs"),
        ("steps = 10", "bits = 2", "encoding.steps: missing; it is the number of time steps"),
        ("kl = 1.0", "sliding_l3 = 1.0", "unknown key 'sliding_l3' in chain.student.distil.losses: did you mean 'slid"),
        (
            "kl = 1.0",
            "kl = -1",
            "student.distil.losses.kl: expected a value greater than or equal to 0, found -1",
        ),
        ("{kl = 1.0}", "{}", "chain.student.distil.losses: expected at least 1 item"),
        ("{kl = 1.0}", '{kl = 1.0}, teacher = "techer"', "'techer' is no earlier stage: did you mean 'teacher'?"),
        ("{kl = 1.0}", '{kl = 1.0}, teacher = "student"', "'student' is no earlier stage"),
        ("{kl = 1.0}", "{kl = 1.0}, window = 11", "distil.window: expected at most encoding.steps = 10, found 11"),
        (
            "{kl = 1.0}}",
            "{kl = 0}}\nlabel = {weight = 0}",
            "chain.student: label.weight and all weights of",
        ),
        ("epochs = 2", "epochs = 2\nlabel = {weight = 0}", "chain.teacher: label.weight and all weights"),
        ("epochs = 2", "epochs = 2\ndistil = {losses = {kl = 1}}", "chain.teacher.distil: the first stage has no"),
        ("epochs = 2", "epochs = 2\nlabel = {true_rate = 0.01}", "chain.teacher.label: expected true_rate above"),
        (
            "epochs = 2",
            'epochs = 2\nlabel = {scale = "learnt"}',
            "chain.teacher.label.scale: expected a number greater than 0 or 'learned', found 'learnt'",
        ),
        ("epochs = 2", "epochs = 2\nlabel = {scale = true}", "label.scale: expected a number greater than 0 or"),
        ("epochs = 2", "epochs = 2\nlabel = {scale = nan}", "label.scale: expected a number greater than 0 or"),
        ("epochs = 2", "epochs = 2\nlabel = {scale = 0}", "label.scale: expected a number greater than 0 or"),
        ("{kl = 1.0}", '{l1 = 1.0}, scale = "learned"', "student.distil.scale: no loss learns it; use kl or"),
        ("{kl = 1.0}", '{self_ensemble = 1.0}, scale = "learned"', "student.distil.scale: no loss learns it"),
        ("{kl = 1.0}", "{kl = 1.0}, teacher_temperature = 0", "teacher_temperature: expected a value greater than 0"),
        (
            "{kl = 1.0}}",
            "{self_ensemble = 1}}\nlabel = {weight = 0}",
            "chain.student: label.weight is 0 and no loss has a teacher: it would learn from itself",
        ),
        ("epochs = 2", "epochs = 2\nrate = {max_rate = 0.1}", "chain.teacher.rate.weight: missing; it is the weight"),
        ("epochs = 2", "epochs = 2\nrate = {weight = 1, max_rate = 2}", "rate.max_rate: expected a value less than or"),
        (
            "dense-8x8-student",
            "dense-8x8-studnt",
            "no network is called 'dense-8x8-studnt': did you mean dense-8x8",
        ),
        ("dense-8x8-student", "no.toml", "chain.student.network: no.toml: no such network file"),
        ('"dense-8x8-student"', "[1]", "chain.student.network: expected a valid string, found [1]"),
        ("dense-8x8-student", "dense-28x28-ta", "reads (1, 28, 28), expected (1, 8, 8) as the data set 'digits' has"),
        ("chain.teacher", 'chain."a b"', "chain.a b: expected a name of letters, digits"),
    ],
)
def test_errors_of_stages(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert expected in refusal(write(tmp_path, MINIMAL.replace(old, new)))


def test_all_problems_in_one_message(tmp_path: Path) -> None:
    text = MINIMAL.replace("epochs = 3", "epoch = 3").replace("dense-8x8-teacher", "nothing").replace("10", '"8"')
    message = refusal(write(tmp_path, text, extra="seed = -1\n"))
    assert "5 problems" in message
    for part in ("seed:", "encoding.steps:", "'epoch'", "chain.student.epochs: missing", "no network is called"):
        assert part in message


def test_broken_and_missing_files(tmp_path: Path) -> None:
    assert "not valid TOML" in refusal(write(tmp_path, "a = \n"))
    assert "no such recipe file" in refusal(tmp_path / "none.toml")
    assert "did you mean digits?" in refusal("digit")


def test_own_network_beside_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    (tmp_path / "tiny.toml").write_text('input = [1, 8, 8]\n[[layers]]\nkind = "dense"\nneurons = 10\n')
    loaded = recipe.load(write(tmp_path, MINIMAL.replace("dense-8x8-student", "tiny.toml")))
    assert loaded.architecture("student").parameters == 640


def test_own_network_within_the_recipe(tmp_path: Path) -> None:
    network = '[networks.tiny]\ninput = [1, 8, 8]\n[[networks.tiny.layers]]\nkind = "dense"\nneurons = 10\n'
    text = MINIMAL.replace("dense-8x8-student", "tiny") + network
    assert recipe.load(write(tmp_path, text)).architecture("student").parameters == 640
    message = refusal(write(tmp_path, text.replace('"dense"', '"pool"')))
    assert "networks.tiny.layers[0].kind: 'pool' cannot be deployed" in message
    assert "in [networks] here: tiny" in refusal(write(tmp_path, text.replace('"tiny"', '"tyni"')))


def test_networks_must_fit_each_other_on_unknown_data(tmp_path: Path) -> None:
    text = MINIMAL.replace("dense-8x8-student", "dense-28x28-student")
    message = refusal(write(tmp_path, text, extra='data = {set = "my-data"}\n'))
    assert "reads (1, 28, 28), expected (1, 8, 8) as the first stage has" in message


def test_number_of_classes(tmp_path: Path) -> None:
    network = '[networks.tiny]\ninput = [1, 8, 8]\n[[networks.tiny.layers]]\nkind = "dense"\nneurons = 9\n'
    message = refusal(write(tmp_path, MINIMAL.replace("dense-8x8-student", "tiny") + network))
    assert "has 9 outputs, expected 10 as the data set 'digits' has" in message


def test_overrides() -> None:
    changes = ["encoding.kind=poisson", "chain.student.epochs = 7", "chain.student.distil.losses={l1 = 1, kl=2.5}"]
    loaded = recipe.load("digits", [*changes, 'data.set="digits"', "neuron.threshold=1", "seed=5", "seed=6"])
    assert (loaded.encoding.kind, loaded.chain["student"].epochs, loaded.seed) == ("poisson", 7, 6)
    assert loaded.chain["student"].distil is not None
    assert loaded.chain["student"].distil.losses == {"l1": 1.0, "kl": 2.5}
    assert loaded.neuron.threshold == 1.0
    assert recipe.load("digits", ["chain.teacher.optimizer.lr=0.5"]).chain["teacher"].optimizer.lr == 0.5


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("chain.student.epochs=many", "chain.student.epochs: expected a valid integer, found 'many'"),
        ("chain.student.epoch=3", "unknown key 'epoch' in chain.student: did you mean 'epochs'?"),
        ("chain.studnt.epochs=3", "the chain has no stage 'studnt': did you mean 'student'?"),
        ("encodng.steps=3", "unknown key 'encodng' in the file: did you mean 'encoding'?"),
        ("chain.ta.network=conv-32x32-ta", "reads (3, 32, 32), expected (1, 8, 8)"),
        ("data.set.x=3", "data.set is 'digits', not a table"),
        ("encoding={kind='rate'}", "encoding.steps: missing"),
        ("seed", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("a b=3", "expected KEY=VALUE"),
        ("a..b=3", "expected KEY=VALUE"),
    ],
)
def test_errors_name_the_override(change: str, expected: str) -> None:
    message = refusal("digits", "data.shift=0", change)
    assert expected in message and f"--set {change}" in message
    assert "data.shift" not in message


@given(
    st.recursive(st.booleans() | st.integers(-9, 9) | st.text("ab =\n\"'[]{},.0", max_size=6), st.lists, max_leaves=4)
)
def test_any_override_is_taken_or_refused(value: object) -> None:
    text = f"data.set={value}"
    changed, (override,) = overrides.apply({"data": {"set": "digits"}}, [text])
    assert override == (("data", "set"), text)
    assert list(changed) == ["data"] and list(changed["data"]) == ["set"]
    try:
        assert isinstance(recipe.load("digits", [text]), Recipe)
    except RecipeError as error:
        assert "--set" in str(error)


def test_applying_overrides_leaves_the_data_alone() -> None:
    data = {"a": {"b": 1}}
    assert overrides.apply(data, ["a.b=2", 'a."c.d"=[1]'])[0] == {"a": {"b": 2, "c.d": [1]}}
    assert data == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("data.variants=3", "has no effect without data.shift, data.flip or data.noise"),
        ("data.flip=true", "data.shift, data.flip and data.noise have no effect with data.variants = 1"),
        ("data.shift=4", "moves images of 8 x 8 by half of their side or more"),
        ("chain.student.distil.losses={kl = 0}", "'student' learns from the labels alone"),
    ],
)
def test_warnings(change: str, expected: str) -> None:
    assert any(expected in warning for warning in recipe.warnings(recipe.load("digits", [change])))


def test_what_augments_recordings_is_no_noise_of_images() -> None:
    assert not recipe.warnings(recipe.load("best/shd"))
    still = recipe.load("best/shd", ["data.drop=0", "data.jitter_us=0"])
    assert "without data.shift, data.flip, data.drop or data.jitter_us" in recipe.warnings(still)[0]


def test_a_shift_that_leaves_nothing_is_refused() -> None:
    message = refusal("digits", "data.shift=8", "data.variants=2")
    assert "data.shift: expected less than 8, the shorter side" in message and "found 8" in message


def test_a_current_that_piles_up_is_warned_about() -> None:
    found = recipe.warnings(recipe.load("mnist", ["neuron.current_decay=0.01"]))
    assert found and all("u may leave its 24 bits" in warning for warning in found)


def test_wide_inputs_with_eight_bits_are_warned_about() -> None:
    found = recipe.warnings(recipe.load("mnist", ["encoding.bits=8"]))
    assert found and all("float32 training is no longer exact" in warning for warning in found)


def test_every_field_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    tables = [Recipe, *(f.annotation for f in Recipe.model_fields.values())]
    stage = recipe.Stage
    tables += [
        stage,
        *(f.annotation for f in stage.model_fields.values()),
        Distil,
        Features,
        Rate,
        Normalize,
        Cross,
        Frames,
    ]
    tables += [recipe.architecture.Architecture, recipe.architecture.Conv, recipe.architecture.Dense]
    fields = {name for t in tables if isinstance(t, type) and issubclass(t, schema.Table) for name in t.model_fields}
    assert len(fields) > 40
    assert [name for name in sorted(fields) if f"`{name}`" not in text and f"`[{name}]`" not in text] == []


def test_the_example_of_the_docs_loads(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    extending, *examples = text.split("```toml\n")[1:]
    assert len(examples) == 2
    assert list(recipe.load(write(tmp_path, extending.split("```")[0])).chain) == ["teacher", "student"]
    (tmp_path / "tiny.toml").write_text(examples[0].split("```")[0])
    loaded = recipe.load(write(tmp_path, examples[1].split("```")[0]))
    assert loaded.architecture(loaded.student).name == "tiny"


ANN = MINIMAL.replace("epochs = 2", 'epochs = 2\nneuron = "relu"')


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("epochs = 3", 'epochs = 3\nneuron = "relu"', "student.neuron: the last stage is the student that is trained"),
        (
            '"relu"',
            '"reluu"',
            "chain.teacher.neuron: expected 'cuba', 'sigma-delta' or 'relu', found 'reluu': did you mean 'relu'",
        ),
        ('"relu"', '"relu"\nstart = "a.net"', "chain.teacher.start: an ANN (neuron = 'relu') cannot start from an"),
        ('"relu"', '"relu"\nrate = {weight = 1.0}', "chain.teacher.rate: an ANN (neuron = 'relu') has no spikes"),
        ('"relu"', '"relu"\nbatch = 1', "chain.teacher.batch: expected at least 2"),
        ('"relu"', '"relu"\nlabel = {loss = "spike-rate"}', "chain.teacher.label: an ANN (neuron = 'relu') learns by"),
        (
            "[chain.student]",
            '[chain.ta]\nnetwork = "dense-8x8-ta"\nepochs = 1\nneuron = "relu"\ndistil = {losses = {kl = 1.0}}\n'
            "[chain.student]",
            "chain.ta.distil: an ANN (neuron = 'relu') learns from the labels alone; leave it out",
        ),
        ("epochs = 2", f'epochs = 2\nsha256 = "{"0" * 64}"', "chain.teacher.sha256: it belongs to the file in net or"),
    ],
)
def test_what_a_stage_with_an_ann_may_not_say(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert recipe.load(write(tmp_path, ANN)).chain["teacher"].neuron == "relu"
    assert expected in refusal(write(tmp_path, ANN.replace(old, new)))


def test_an_ann_compares_no_spikes_and_has_no_range(tmp_path: Path) -> None:
    loaded = recipe.load(write(tmp_path, ANN), ["chain.student.distil.losses={kl = 1.0, l2 = 0.1, l1 = 0}"])
    (found,) = recipe.warnings(loaded)
    assert "chain.student.distil: l2 compare spikes, but the teacher 'teacher' is an ANN" in found
    for neuron, expected in (("cuba", True), ("relu", False)):
        wide = recipe.load(write(tmp_path, MINIMAL), ["neuron.current_decay=0.001", f"chain.teacher.neuron={neuron}"])
        ranges = [warning for warning in recipe.warnings(wide) if "u may leave its 24 bits" in warning]
        assert any("chain.student" in warning for warning in ranges)
        assert any("chain.teacher" in warning for warning in ranges) == expected


FILE = """
encoding = {steps = 10}
[chain.teacher]
net = "old.net"
[chain.student]
network = "tiny"
epochs = 3
distil = {losses = {kl = 1.0}}
[networks.tiny]
input = [1, 8, 8]
layers = [{kind = "conv", channels = 2, kernel = 3}, {kind = "dense", neurons = 10}]
"""
STARTED = FILE.replace('[chain.teacher]\nnet = "old.net"\n', "").replace(
    "distil = {losses = {kl = 1.0}}", 'start = "old.net"'
)


def old_net(folder: Path, name: str = "old.net", **changes: Any) -> Path:
    """A network that fits FILE and STARTED, but for `changes`: of IntNet, its last layer or that layer's neurons."""
    random, values = np.random.default_rng(0), {"threshold": 80, "current_decay": 4096, "voltage_decay": 128}
    neuron = Cuba(**{key: np.array(changes.pop(key, value), np.int32) for key, value in values.items()})
    neuron = replace(neuron, bias=changes.pop("bias", None))
    shape = changes.get("input_shape", (1, 8, 8))
    hidden = (2, shape[1] - 2, shape[2] - 2)
    weight = random.integers(-127, 127, (changes.pop("outputs", 10), int(np.prod(hidden)))) * 2
    layer = {key: changes.pop(key) for key in ("weight_exp", "delay") if key in changes}
    dense = Dense((weight + changes.pop("odd", 0)).astype(np.int32), neuron, **layer)
    plain = Cuba(*(np.array(value, np.int32) for value in (4096, 128, 80)))
    conv = Conv((random.integers(-128, 128, (2, 1, 3, 3)) * 2).astype(np.int32), plain, hidden)
    made = {"input_shape": shape, "layers": (conv, dense), "message_bits": 8} | changes
    netx.save(IntNet(**made), folder / name)
    return folder / name


@pytest.mark.parametrize("text", [FILE, STARTED], ids=["net", "start"])
def test_a_file_is_found_beside_the_recipe_or_from_here_and_pinned(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, field = ("teacher", "net") if text == FILE else ("student", "start")
    message = refusal(write(tmp_path, text))
    assert f"chain.{name}.{field}: old.net: no such file in {tmp_path}" in message
    path = old_net(tmp_path)
    loaded = recipe.load(write(tmp_path, text))
    stage = loaded.chain[name]
    assert getattr(stage, field) == str(path) and stage.sha256 == provenance.file_digest(path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    assert recipe.load(write(tmp_path / "elsewhere", text)).chain == loaded.chain
    resolved = tmp_path / "elsewhere" / "resolved.toml"
    resolved.write_text(loaded.to_toml())
    assert recipe.load(resolved) == loaded and recipe.parse(loaded.to_dict()) == loaded
    old_net(tmp_path, odd=1)  # another one, which would not fit as a start
    assert recipe.load(resolved) == loaded, "a run stays usable; what trains it opens the file"
    path.unlink()
    assert recipe.load(resolved) == loaded
    if text == FILE:
        assert set(loaded.to_dict()["chain"]["teacher"]) == {"net", "sha256"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('net = "old.net"', 'net = "old.net"\nepochs = 3', "chain.teacher.epochs: a stage with net trains nothing"),
        ('net = "old.net"', 'net = "old.net"\nnetwork = "tiny"', "chain.teacher.network: a stage with net trains"),
        ('net = "old.net"', 'net = "old.net"\nneuron = "relu"', "chain.teacher.neuron: a stage with net trains"),
        ('net = "old.net"', 'net = ""', "chain.teacher.net: expected at least 1 character"),
        ('net = "old.net"', 'net = "old.net"\nsha256 = "12"', "chain.teacher.sha256: expected"),
        ('net = "old.net"', "batch = 3", "chain.teacher.network: missing; it is a network's name"),
        ("epochs = 3\n", "", "chain.student.epochs: missing; it is the number of epochs"),
        ('network = "tiny"\nepochs = 3\ndistil = {losses = {kl = 1.0}}', 'net = "old.net"', "student.net: the last"),
    ],
)
def test_what_a_stage_with_a_file_may_not_say(tmp_path: Path, old: str, new: str, expected: str) -> None:
    old_net(tmp_path)
    assert old in FILE and expected in refusal(write(tmp_path, FILE.replace(old, new)))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"input_shape": (1, 9, 8)}, "it has to read the images of the data set, (1, 8, 8)"),
        ({"outputs": 9}, "has 9 outputs, expected 10, one for each class"),
        ({"outputs": 20, "readout": Readout(population=2)}, "reads each class from 2 outputs, expected one output"),
        ({"message_bits": 0}, "reads events of 0 and 1, but encoding.kind 'direct' sends graded ones of 8 bits"),
    ],
)
def test_a_teacher_from_a_file_fits_data_and_encoding(tmp_path: Path, changes: dict, expected: str) -> None:
    path = old_net(tmp_path, **changes)
    message = refusal(write(tmp_path, FILE))
    assert f"chain.teacher.net: {path}: " in message and expected in message and "problems" not in message
    old_net(tmp_path, message_bits=0)
    assert recipe.load(write(tmp_path, FILE), ["encoding.kind=rate"]).chain["teacher"].net == str(path)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"threshold": [80] * 9 + [81]}, "layer1.threshold: differs from neuron to neuron, 80 to 81"),
        ({"voltage_decay": list(range(10))}, "layer1.voltage_decay: differs from neuron to neuron, 0 to 9"),
        ({"threshold": 1 << 17}, "layer1.threshold: expected 1 to 131071, found 131072"),
        ({"bias": np.array(3, np.int32)}, "layer1.bias: the recipe trains networks without; set neuron.bias"),
        ({"delay": np.ones((10, 72), np.int32)}, "layer1.delay: this layer is trained without"),
        ({"odd": 1}, "layer1.weight: expected even integers in [-256, 254], found 720 odd ones"),
        ({"outputs": 9}, "layer1 is dense weights (9, 72), expected dense weights (10, 72) as the network 'tiny' has"),
        ({"readout": Readout(population=2), "outputs": 20}, "layer1 is dense weights (20, 72), expected"),
    ],
)
def test_a_start_fits_its_network(tmp_path: Path, changes: dict, expected: str) -> None:
    path = old_net(tmp_path, **changes)
    message = refusal(write(tmp_path, STARTED))
    assert f"chain.student.start: {path}: {expected}" in message
    old_net(tmp_path)
    assert recipe.load(write(tmp_path, STARTED)).chain["student"].start == str(path)
    strided = STARTED.replace("kernel = 3", "kernel = 3, stride = 2")
    assert "layer0 is conv weights (2, 1, 3, 3) stride (1, 1)" in refusal(write(tmp_path, strided))
    deeper = STARTED.replace('[{kind = "conv"', '[{kind = "conv", channels = 1, kernel = 1}, {kind = "conv"')
    assert "has 2 layers, expected 3 as the network 'tiny' has" in refusal(write(tmp_path, deeper))


def test_a_start_may_have_what_its_channels_train(tmp_path: Path) -> None:
    by_channel = np.arange(10, dtype=np.int32)
    text = STARTED + "\n[neuron]\nbias = true\nper_channel = ['threshold', 'voltage_decay']\n"
    old_net(tmp_path, threshold=80 + by_channel, voltage_decay=by_channel, bias=by_channel)
    assert recipe.load(write(tmp_path, text)).chain["student"].start == str(tmp_path / "old.net")
    old_net(tmp_path, current_decay=by_channel)
    assert "or 'current_decay' in neuron.per_channel" in refusal(write(tmp_path, text))


DELAYED = STARTED.replace("neurons = 10}", 'neurons = 10, delays = "output", max_delay = 5}')


def test_a_start_may_have_the_delays_that_its_network_trains(tmp_path: Path) -> None:
    by_output = np.repeat(np.arange(10, dtype=np.int32)[:, None] % 6, 72, axis=1)
    for delay in (None, by_output):
        old_net(tmp_path, delay=delay)
        assert recipe.load(write(tmp_path, DELAYED)).chain["student"].start == str(tmp_path / "old.net")
    old_net(tmp_path, delay=by_output + 1)
    assert "layer1.delay: up to 6, expected at most max_delay = 5" in refusal(write(tmp_path, DELAYED))
    old_net(tmp_path, delay=np.eye(10, 72, dtype=np.int32))
    assert "layer1.delay: expected one of each output" in refusal(write(tmp_path, DELAYED))


def test_an_ann_has_no_delays_and_long_ones_are_warned_of(tmp_path: Path) -> None:
    text = DELAYED.replace('start = "old.net"', "")
    path = write(tmp_path, text)
    loaded = recipe.load(path, ["encoding.steps=5"])
    (warning,) = recipe.warnings(loaded)
    assert "has delays of up to 5 steps, but encoding.steps = 5: what is delayed so long never arrives" in warning
    assert not recipe.warnings(recipe.load(path, ["encoding.steps=6"]))
    assert loaded.to_dict()["networks"]["tiny"]["layers"][1]["max_delay"] == 5
    assert recipe.parse(loaded.to_dict()) == loaded
    first = text.replace(
        "[chain.student]", '[chain.ann]\nnetwork = "tiny"\nepochs = 1\nneuron = "relu"\n\n[chain.student]'
    )
    assert "chain.ann.network: 'tiny' has layers with delays, which an ANN" in refusal(write(tmp_path, first))


def test_a_start_is_read_out_as_the_recipe_does(tmp_path: Path) -> None:
    old_net(tmp_path)
    path = write(tmp_path, STARTED)
    membrane = ["readout.kind=membrane", "readout.ties=first"]
    assert "classes are read by 'count', expected readout.kind 'membrane'" in refusal(path, *membrane)
    old_net(tmp_path, readout=Readout("membrane", "first"))
    assert "its output neurons may fire; expected a threshold of 131071" in refusal(path, *membrane)
    old_net(tmp_path, readout=Readout("membrane", "first"), threshold=131071)
    assert recipe.load(path, membrane).chain["student"].start == str(tmp_path / "old.net")


def test_centered_weights_do_not_start_from_a_file(tmp_path: Path) -> None:
    old_net(tmp_path)
    path, centered = write(tmp_path, STARTED + "\n"), "quantization.centered=true"
    assert "chain.student.start: weights would be others once they are centered; leave" in refusal(path, centered)
    path = write(tmp_path, extra="quantization = {centered = true}\n")
    assert recipe.load(path).quantization.centered


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "old.net").write_bytes(b"no HDF5")
    assert f"chain.teacher.net: {tmp_path / 'old.net'}: " in refusal(write(tmp_path, FILE))


@pytest.mark.parametrize("text", [FILE, STARTED], ids=["net", "start"])
def test_a_file_of_another_encoding_is_warned_about(tmp_path: Path, text: str) -> None:
    old_net(tmp_path, encoding={"kind": "direct", "steps": 30, "bits": 4, "seed": 7})
    path = write(tmp_path, text)
    assert recipe.warnings(recipe.load(path)) == []
    (found,) = recipe.warnings(recipe.load(path, ["encoding.bits=3"]))
    assert "was trained with encoding.bits = 4, the recipe has 3" in found
    (found,) = recipe.warnings(recipe.load(path, ["encoding.kind=rate"]))
    assert "was trained with encoding.kind = 'direct', the recipe has 'rate'" in found


@pytest.mark.parametrize("text", [FILE, STARTED], ids=["net", "start"])
def test_a_file_is_read_once_and_told_of_every_time(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed() -> list[str]:
        with pytest.warns(SnnkdWarning, match="beyond"):
            loaded = recipe.load(write(tmp_path, text))
        with pytest.warns(SnnkdWarning, match="beyond") as told:
            recipe.warnings(loaded)
            for _ in range(2):
                stages.opened(loaded.chain[loaded.student if text == STARTED else "teacher"], (1, 8, 8))
        return [str(warning.message) for warning in told]

    def clipped(value: int) -> None:
        with h5py.File(old_net(tmp_path), "r+") as file:
            file["layer/3/weight"][0, 0] = value

    read = []
    load = netx.load
    monkeypatch.setattr(netx, "load", lambda *arguments: read.append(arguments[0]) or load(*arguments))
    clipped(300)
    assert len(changed()) == 3 and read == [tmp_path / "old.net"]
    clipped(302)
    assert len(changed()) == 3 and len(read) == 2, "another file in its place"


def test_noise_is_named_and_graded() -> None:
    noisy = recipe.load("digits", ["data.noise={gaussian = 3, blur = 1}", "data.variants=4"])
    assert noisy.data.noise == {"gaussian": 3, "blur": 1}
    assert "noise" not in recipe.load("digits").to_dict()["data"], "digests of recipes without it are as before"
    for wrong, expected in (("{fog = 1}", "fog"), ("{blur = 6}", "data.noise.blur"), ("3", "data.noise")):
        with pytest.raises(RecipeError, match=expected):
            recipe.load("digits", [f"data.noise={wrong}"])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            ["readout.kind=count"],
            "readout.kind: expected 'membrane', the sum that sigma-delta outputs hold, found 'count'",
        ),
        (["encoding.steps=4"], "encoding.steps: expected 1 for a sigma-delta student"),
        (["chain.student.network=order-16x1"], "chain.student.network"),
    ],
)
def test_what_sigma_delta_stages_may_not_have(changes: list[str], expected: str) -> None:
    with pytest.raises(RecipeError) as raised:
        recipe.load("digits-sigma-delta", changes)
    assert expected in str(raised.value)


@pytest.mark.parametrize("field", ["bias", "batch_norm"])
def test_a_bias_needs_currents_of_one_step(field: str) -> None:
    with pytest.raises(RecipeError, match=rf"neuron.current_decay: expected 1.0, .* with {field} = true, found 0.7"):
        recipe.load("digits", [f"neuron.{field}=true", "neuron.current_decay=0.7"])


def test_stages_have_the_recipes_neurons_unless_they_say_otherwise() -> None:
    loaded = recipe.load("digits-sigma-delta", ["chain.ta.neuron=cuba"])
    assert [stage.neuron for stage in loaded.chain.values()] == ["sigma-delta", "cuba", "sigma-delta"]
    mixed = recipe.load("digits", ["chain.teacher.neuron=sigma-delta"])
    assert (mixed.encoder("teacher").steps, mixed.encoder("ta").steps, mixed.encoder().steps) == (1, 4, 4)
    assert not {"kind", "bias", "batch_norm", "fold"} & recipe.load("digits").to_dict()["neuron"].keys()
