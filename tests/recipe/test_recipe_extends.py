"""`extends`: a recipe that is another one with changes, and the shipped ones that are."""

from pathlib import Path

import pytest

from snnkd import recipe
from snnkd.base.errors import RecipeError

BASE = """
name = "base"
description = "the base"
encoding = {steps = 10, bits = 2}
[chain.teacher]
network = "dense-8x8-teacher"
epochs = 2
optimizer = {lr = 0.5, weight_decay = 0.1}
[chain.ta]
network = "dense-8x8-ta"
epochs = 3
[chain.student]
network = "dense-8x8-student"
epochs = 4
distil = {losses = {kl = 1.0, l2 = 0.5}, reading = "count"}
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def loaded(folder: Path, text: str, base: str = BASE) -> recipe.Recipe:
    write(folder / "base.toml", base)
    return recipe.load(write(folder / "mine.toml", 'extends = "base.toml"\n' + text))


def refusal(path: Path) -> str:
    with pytest.raises(RecipeError) as error:
        recipe.load(path)
    return str(error.value)


def test_tables_are_merged_field_by_field(tmp_path: Path) -> None:
    mine = loaded(
        tmp_path, "[encoding]\nsteps = 5\n[chain.teacher.optimizer]\nlr = 0.25\n[chain.ta]\n[chain.student]\n"
    )
    assert (mine.encoding.steps, mine.encoding.bits) == (5, 2)
    optimizer = mine.chain["teacher"].optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (0.25, 0.1)
    assert [stage.epochs for stage in mine.chain.values()] == [2, 3, 4]


def test_name_and_description_are_its_own(tmp_path: Path) -> None:
    mine = loaded(tmp_path, "")
    assert (mine.name, mine.description) == ("mine", "")
    assert mine.chain == recipe.load(tmp_path / "base.toml").chain


def test_its_chain_says_which_stages_there_are(tmp_path: Path) -> None:
    mine = loaded(tmp_path, "[chain.ta]\n[chain.student]\n")
    assert list(mine.chain) == ["ta", "student"] and set(mine.networks) == {"dense-8x8-ta", "dense-8x8-student"}
    with pytest.raises(RecipeError, match=r"chain\.other\.network: missing"):
        loaded(tmp_path, "[chain.other]\nepochs = 1\n")


def test_losses_are_replaced(tmp_path: Path) -> None:
    distil = loaded(tmp_path, "[chain.ta]\n[chain.student.distil]\nlosses = {l1 = 2.0}\n").chain["student"].distil
    assert distil is not None and (distil.losses, distil.reading) == ({"l1": 2.0}, "count")


def test_a_resolved_recipe_stands_alone(tmp_path: Path) -> None:
    mine = loaded(tmp_path, "")
    assert "extends" not in mine.to_toml()
    assert recipe.load(write(tmp_path / "else" / "resolved.toml", mine.to_toml())) == mine


def test_shipped_recipes_can_be_extended_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.toml", 'extends = "digits"\n[encoding]\nsteps = 3\n')
    assert recipe.load(path).encoding.steps == 3
    assert recipe.load(path, ["encoding.steps=4"]).encoding.steps == 4


def test_networks_are_those_beside_the_extended_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    write(tmp_path / "a" / "tiny.toml", 'input = [1, 8, 8]\n[[layers]]\nkind = "dense"\nneurons = 10\n')
    write(tmp_path / "a" / "base.toml", BASE.replace("dense-8x8-student", "tiny.toml"))
    mine = recipe.load(write(tmp_path / "b" / "mine.toml", 'extends = "../a/base.toml"\n'))
    assert mine.architecture("student").parameters == 640


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"none.toml"', "none.toml: no such recipe file"),
        ('"digit"', "did you mean digits?"),
        ("3", "expected the path of a recipe's .toml or a recipe's name, found 3"),
        ('"mine.toml"', "'mine.toml' is this file itself"),
        ('"middle.toml"', "'middle.toml' itself extends 'digits'; extend a recipe that stands alone"),
        ('"circle.toml"', "'circle.toml' itself extends 'mine.toml'"),
        ('"broken.toml"', "broken.toml: not valid TOML"),
    ],
)
def test_what_cannot_be_extended(tmp_path: Path, value: str, expected: str) -> None:
    write(tmp_path / "middle.toml", 'extends = "digits"\n')
    write(tmp_path / "circle.toml", 'extends = "mine.toml"\n')
    write(tmp_path / "broken.toml", "a = \n")
    message = refusal(write(tmp_path / "mine.toml", f"extends = {value}\n"))
    assert message.startswith(f"{tmp_path / 'mine.toml'}: extends: ") and expected in message


def test_problems_of_the_whole_are_reported_for_the_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"mine\.toml.*chain\.student\.epochs"):
        loaded(tmp_path, "[chain.teacher]\n[chain.student]\nepochs = 0\n")


@pytest.mark.parametrize("name", [name for name in sorted(recipe.names()) if "/" in name])
def test_shipped_recipes_in_folders(name: str) -> None:
    folder, _, own = name.rpartition("/")
    plan = recipe.load(name)
    assert plan.name == own and plan.description and own.startswith(plan.data.set)
    assert recipe.warnings(plan) == []
    assert recipe.parse(plan.to_dict()) == plan
    if folder == "distilling-spikes" and own != plan.data.set:
        stages = {"t": "teacher", "ta": "ta", "s": "student"}
        assert list(plan.chain) == [stages[key] for key in own.removeprefix(plan.data.set).split("-") if key in stages]
        alone = recipe.load(f"{folder}/{plan.data.set}")
        for stage, table in plan.chain.items():  # the same but for the teacher
            assert table.model_copy(update={"distil": None}) == alone.chain[stage]
