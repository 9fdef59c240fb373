"""Teachers from outside in a recipe: how they are named, found and pinned, without anything of theirs being run."""

from pathlib import Path

import pytest

from snnkd import recipe
from snnkd.base.errors import MismatchError, RecipeError
from snnkd.recipe import stage_files
from snnkd.recipe.outside import ModelName, source_of, teacher_table

RECIPE = """
encoding = {steps = 4}
[chain.teacher]
model = "mine.py:build"
weights = "mine.pt"
[chain.student]
network = "dense-8x8-student"
epochs = 1
distil = {losses = {kl = 1.0}}
"""
BOMB = "raise SystemExit('this file was run')\n"


def write(folder: Path, text: str = RECIPE) -> Path:
    """A recipe with the files that it names; the code is never to be run."""
    for name, contents in (("mine.py", BOMB), ("mine.pt", "weights"), ("mine.onnx", "graph"), ("mine.npz", "logits")):
        (folder / name).write_text(contents)
    (folder / "recipe.toml").write_text(text)
    return folder / "recipe.toml"


def refusal(path: Path, *changes: str) -> str:
    with pytest.raises(RecipeError) as refused:
        recipe.load(path, list(changes))
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "where", "name"),
    [
        ("mine.py:build", "mine.py", "build"),
        ("/a/b c/mine.py:Net", "/a/b c/mine.py", "Net"),
        ("torchvision.models:resnet18", "torchvision.models", "resnet18"),
        ("a.onnx", "a.onnx", ""),
    ],
)
def test_names_of_models(text: str, where: str, name: str) -> None:
    model = ModelName.parse(text)
    assert model is not None and (model.where, model.name) == (where, name)
    assert model.is_onnx == text.endswith(".onnx") and model.is_file == ("torchvision" not in text)


@pytest.mark.parametrize("text", ["mine.py", "mine", "mine.py:", ":build", "a b:c", "mine.py:a.b", ""])
def test_what_names_no_model(text: str, tmp_path: Path) -> None:
    assert ModelName.parse(text) is None
    if text:
        expected = "expected 'file.py:name', 'package.module:name' or 'file.onnx', found"
        assert f"chain.teacher.model: {expected}" in refusal(write(tmp_path, RECIPE.replace("mine.py:build", text)))


def test_files_are_found_beside_the_recipe_and_pinned_and_nothing_runs(tmp_path: Path) -> None:
    path = write(tmp_path)
    teacher = recipe.load(path).chain["teacher"]
    assert teacher.model == f"{tmp_path / 'mine.py'}:build" and teacher.weights == str(tmp_path / "mine.pt")
    assert teacher.frozen == "model" and teacher.title == "mine.py:build"
    assert teacher.files == [tmp_path / "mine.py", tmp_path / "mine.pt"]
    stage_files.check("teacher", teacher)
    assert set(recipe.load(path).to_dict()["chain"]["teacher"]) == {
        *("model", "weights", "reads", "by_step", "sha256", "weights_sha256")
    }
    assert not {"reads", "by_step"} & set(recipe.load(path).to_dict()["chain"]["student"])


def test_a_resolved_recipe_needs_no_file_of_the_teacher(tmp_path: Path) -> None:
    resolved = recipe.load(write(tmp_path))
    (tmp_path / "kept.toml").write_text(resolved.to_toml())
    for name in ("mine.py", "mine.pt"):
        (tmp_path / name).unlink()
    kept = recipe.load(tmp_path / "kept.toml")
    assert kept.chain == resolved.chain
    with pytest.raises(MismatchError, match=r"chain.teacher.model: .*mine.py:build: no such file"):
        stage_files.check("teacher", kept.chain["teacher"])


@pytest.mark.parametrize(("field", "file"), [("model", "mine.py"), ("weights", "mine.pt")])
def test_a_changed_file_is_refused(field: str, file: str, tmp_path: Path) -> None:
    teacher = recipe.load(write(tmp_path)).chain["teacher"]
    (tmp_path / file).write_text("another one")
    with pytest.raises(MismatchError, match=rf"chain.teacher.{field}: .*not the file that the recipe means"):
        stage_files.check("teacher", teacher)


def test_a_module_is_pinned_by_its_source_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zoo" / "nets").mkdir(parents=True)
    for name in ("zoo/__init__.py", "zoo/nets/__init__.py", "zoo/nets/small.py"):
        (tmp_path / name).write_text(BOMB)
    monkeypatch.syspath_prepend(tmp_path)
    assert source_of("zoo.nets.small") == tmp_path / "zoo/nets/small.py"
    assert source_of("zoo.nets") == tmp_path / "zoo/nets/__init__.py"
    assert source_of("zoo.none") is None and source_of("nowhere") is None
    path = write(tmp_path, RECIPE.replace("mine.py:build", "zoo.nets.small:build"))
    teacher = recipe.load(path).chain["teacher"]
    assert teacher.model == "zoo.nets.small:build" and teacher.sha256 is not None
    path.write_text(RECIPE.replace("mine.py:build", "nowhere:build"))
    assert "chain.teacher.model: nowhere:build: no such module here; install it" in refusal(path)


def test_weights_beside_an_onnx_file_are_pinned_with_it(tmp_path: Path) -> None:
    path = write(tmp_path, RECIPE.replace("mine.py:build", "mine.onnx").replace('weights = "mine.pt"', ""))
    assert recipe.load(path).chain["teacher"].weights is None
    (tmp_path / "mine.onnx.data").write_text("weights")
    assert recipe.load(path).chain["teacher"].weights == str(tmp_path / "mine.onnx.data")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("mine.py:build", "other.py:build", "chain.teacher.model: other.py: no such file in"),
        ("mine.pt", "other.pt", "chain.teacher.weights: other.pt: no such file in"),
        ('model = "mine.py:build"', 'logits = "other.npz"', "chain.teacher.weights: belongs to a teacher that model"),
        ('weights = "mine.pt"', 'logits = "mine.npz"', "chain.teacher.logits: a stage is one of net, model, logits"),
        ('weights = "mine.pt"', "epochs = 2", "chain.teacher.epochs: a stage with model trains nothing; leave it out"),
        ('model = "mine.py:build"', 'network = "dense-8x8-teacher"\nepochs = 1', "chain.teacher.weights: belongs to a"),
        ("mine.py:build", 'mine.onnx"\nby_step = true\nreads = "images', "by_step: an ONNX model keeps no state"),
        ('weights = "mine.pt"', 'reads = "events"\nsize = 16', "chain.teacher.size: is for images, and this teacher"),
        ('weights = "mine.pt"', 'reads = "spikes"', "chain.teacher.reads: expected 'images' or 'events'"),
        ('weights = "mine.pt"', "channels = 2", "chain.teacher.channels: expected 1 or 3"),
        ('weights = "mine.pt"', "normalize = {mean = 0.5}", "chain.teacher.normalize.std: missing"),
        ('weights = "mine.pt"', "normalize = {mean = 0.5, std = 0}", "chain.teacher.normalize.std"),
        ("[chain.student]", "[chain.last]", "chain.last"),
    ],
)
def test_what_a_teacher_from_outside_may_not_say(tmp_path: Path, old: str, new: str, expected: str) -> None:
    if old == "[chain.student]":  # a frozen stage cannot be deployed
        text = RECIPE.split("[chain.student]")[0]
        assert "the last stage is the student" in refusal(write(tmp_path, text))
    else:
        assert expected in refusal(write(tmp_path, RECIPE.replace(old, new)))


def test_normalize_is_a_number_or_one_for_each_channel(tmp_path: Path) -> None:
    text = RECIPE.replace('weights = "mine.pt"', "normalize = {mean = [0.1, 0.2, 0.3], std = 2}\nsize = 16")
    teacher = recipe.load(write(tmp_path, text)).chain["teacher"]
    assert teacher.normalize is not None and teacher.size == (16, 16)
    assert (teacher.normalize.mean, teacher.normalize.std) == ((0.1, 0.2, 0.3), (2,))


def test_logits_compare_no_spikes_and_know_no_variants(tmp_path: Path) -> None:
    text = RECIPE.replace('model = "mine.py:build"\nweights = "mine.pt"', 'logits = "mine.npz"')
    assert recipe.warnings(recipe.load(write(tmp_path, text))) == []
    changed = recipe.load(write(tmp_path, text.replace("kl", "l2")), ["data.variants=2", "data.shift=1"])
    told = recipe.warnings(changed)
    assert any("l2 compare spikes, but the teacher 'teacher' is a file of logits; use kl" in text for text in told)
    assert any("all data.variants = 2 of an image get the same" in text for text in told)


def test_a_teacher_of_the_command_line_takes_the_first_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    chain = recipe.load("digits", teacher=teacher_table("mine.py:build", "mine.pt")).chain
    assert list(chain) == ["teacher", "ta", "student"]
    assert chain["teacher"].model == f"{tmp_path / 'mine.py'}:build" and chain["teacher"].weights_sha256
    assert chain["ta"].distil is not None and chain["ta"].distil.teacher == "teacher"
    assert recipe.load("digits", ["chain.teacher.size=16"], teacher_table("mine.onnx", None)).chain["teacher"].size
    assert recipe.load("digits", teacher=teacher_table("mine.npz", None)).chain["teacher"].logits
    with pytest.raises(RecipeError, match=r"--teacher mine: expected 'file.py:name'"):
        teacher_table("mine", None)
    with pytest.raises(RecipeError, match=r"--weights mine.pt: mine.npz needs none"):
        teacher_table("mine.npz", "mine.pt")
    (tmp_path / "alone.toml").write_text('encoding = {steps = 4}\n[chain.s]\nnetwork = "dense-8x8-student"\nepochs = 1')
    with pytest.raises(RecipeError, match=r"the student is the only one"):
        recipe.load(tmp_path / "alone.toml", teacher=teacher_table("mine.onnx", None))


def test_a_recipe_that_extends_another_one_may_replace_its_teacher(tmp_path: Path) -> None:
    text = 'extends = "digits"\n[chain.teacher]\nmodel = "mine.py:build"\n[chain.student]\n'
    chain = recipe.load(write(tmp_path, text)).chain
    assert chain["teacher"].frozen == "model" and chain["student"].network == "conv-8x8-student"
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "other.toml").write_text('extends = "../recipe2.toml"\nseed = 5\n')
    write(tmp_path, RECIPE).rename(tmp_path / "recipe2.toml")
    moved = recipe.load(tmp_path / "sub" / "other.toml").chain["teacher"]
    assert Path((moved.model or "").removesuffix(":build")).resolve() == tmp_path / "mine.py"
