"""Recipes: defaults, messages, overrides, checks before training, and the shipped ones."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnkd import overrides, recipe, schema
from snnkd.errors import RecipeError
from snnkd.recipe import Recipe

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


def test_window_never_exceeds_the_steps(tmp_path: Path) -> None:
    distil = recipe.load(write(tmp_path), ["encoding.steps=1"]).chain["student"].distil
    assert distil is not None and distil.window == 1
    distil = recipe.load(write(tmp_path), ["encoding.steps=25"]).chain["student"].distil
    assert distil is not None and distil.window == 5


@pytest.mark.parametrize("name", sorted(recipe.names()))
def test_shipped_recipes(name: str) -> None:
    loaded = recipe.load(name)
    assert loaded.name == name
    assert list(loaded.chain) == ["teacher", "ta", "student"]
    assert loaded.data.set == name
    assert recipe.warnings(loaded) == []


@pytest.mark.parametrize("name", sorted(recipe.names()))
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
    stages = "".join(f'[chain.{name}]\nnetwork = "dense-8x8-ta"\nepochs = 1\n' for name in "zab")
    loaded = recipe.load(write(tmp_path, "encoding = {steps = 4}\n" + stages))
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
            "dense-8x8-student",
            "dense-8x8-studnt",
            "no network is called 'dense-8x8-studnt': did you mean dense-8x8",
        ),
        ("dense-8x8-student", "no.toml", "chain.student.network: no.toml: no such network file"),
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
        ("data.variants=3", "has no effect without data.shift or data.flip"),
        ("data.flip=true", "no effect with data.variants = 1"),
        ("chain.student.distil.losses={kl = 0}", "'student' learns from the labels alone"),
    ],
)
def test_warnings(change: str, expected: str) -> None:
    assert any(expected in warning for warning in recipe.warnings(recipe.load("digits", [change])))


def test_a_current_that_piles_up_is_warned_about() -> None:
    found = recipe.warnings(recipe.load("mnist", ["neuron.current_decay=0.01"]))
    assert found and all("u may leave its 24 bits" in warning for warning in found)


def test_wide_inputs_with_eight_bits_are_warned_about() -> None:
    found = recipe.warnings(recipe.load("mnist", ["encoding.bits=8"]))
    assert found and all("float32 training is no longer exact" in warning for warning in found)


def test_every_field_is_documented() -> None:
    text = (Path(__file__).parent.parent / "docs" / "recipes.md").read_text()
    tables = [Recipe, *(f.annotation for f in Recipe.model_fields.values())]
    stage = recipe.Stage
    tables += [stage, *(f.annotation for f in stage.model_fields.values()), recipe.Distil]
    tables += [recipe.architecture.Architecture, recipe.architecture.Conv, recipe.architecture.Dense]
    fields = {name for t in tables if isinstance(t, type) and issubclass(t, schema.Table) for name in t.model_fields}
    assert len(fields) > 40
    assert [name for name in sorted(fields) if f"`{name}`" not in text and f"`[{name}]`" not in text] == []


def test_the_example_of_the_docs_loads(tmp_path: Path) -> None:
    text = (Path(__file__).parent.parent / "docs" / "recipes.md").read_text()
    examples = text.split("```toml\n")[1:]
    assert len(examples) == 2
    (tmp_path / "tiny.toml").write_text(examples[0].split("```")[0])
    loaded = recipe.load(write(tmp_path, examples[1].split("```")[0]))
    assert loaded.architecture(loaded.student).name == "tiny"
