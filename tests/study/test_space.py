"""Spaces: what is drawn from them, and what is wrong with them before anything is trained."""

from pathlib import Path

import pytest

from snnkd.base.errors import RecipeError
from snnkd.study import candidate, measures, space
from snnkd.study.space import Choice, Range


@pytest.mark.parametrize("name", space.names())
def test_shipped_spaces_make_candidates(name: str) -> None:
    opened = space.load(name)
    first = candidate.check(opened)
    measures.check(opened.space, first)
    assert candidate.refused(first, opened.space.constraints) is None


def test_what_is_varied(make_space) -> None:
    varied = space.load(make_space()).space.set
    assert varied["neuron.voltage_decay"] == Range(low=0.01, high=0.5, log=True)
    assert varied["chain.student.distil.losses"] == Choice(({"kl": 1.0}, {"l2": 0.5}))


def test_layers_are_drawn_one_by_one(make_space) -> None:
    conv = '[[network]]\nkind = "conv"\nrepeat = [2]\nchannels = [4, 8]\nkernel = [5, 3]\npadding = "same"\n'
    opened = space.load(
        make_space(('[[network]]\nkind = "dense"\nrepeat', f'{conv}\n[[network]]\nkind = "dense"\nrepeat'))
    )
    asked = []

    def ask(name, varied):
        asked.append(name)
        return varied.ends[name.startswith("layer0.1")]

    drawn = candidate.draw(opened, ask)
    first, second, last = drawn.layers
    assert (first["channels"], first["kernel"], first["padding"]) == (4, 5, [2, 2])
    assert (second["channels"], second["kernel"], second["padding"]) == (8, 3, [1, 1])
    assert last == {"kind": "dense", "neurons": 3} and "layer1.repeat" in asked and "layer1.neurons" not in asked
    recipe = candidate.recipe_of(opened, drawn, economy=False)
    assert recipe.architecture("student").shapes() == [(4, 6, 6), (8, 6, 6), (3,)]
    assert recipe.chain["student"].epochs == 40
    assert candidate.recipe_of(opened, drawn, economy=True).chain["student"].epochs == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("low = 0.01, high = 0.5, log", "low = 0.5, high = 0.01, log", "expected low below high"),
        ("low = 0.01", "low = 0", "a range with log starts above 0"),
        ("[{kl = 1.0}, {l2 = 0.5}]", "[]", "expected at least one value to choose from"),
        ("epochs = [1]", "epochs = [2, 2]", "expected rising numbers"),
        ('"flash"]', '"size"]', "objectives[1]: expected"),
        ("max_flash = 1000", "max_flsh = 1000", "did you mean 'max_flash'?"),
        ('recipe = "bars.toml"', 'recipe = "bar"', "no recipe is called"),
        ("neuron.voltage_decay", "neuron.voltage_decoy", "unknown key 'voltage_decoy'"),
        ("chain.student.distil", "chain.pupil.distil", "the chain has no stage 'pupil'"),
        ('kind = "dense"\nneurons = 3', 'kind = "pool"', "cannot be deployed"),
        ('"flash"]', '"latency"]\ntarget = "c99"', "'latency' is not known on c99"),
        ('fits = "cortex-m4"', "max_energy_uJ = 1.0", "max_energy_uJ: the energy is not known without a target"),
    ],
)
def test_mistakes_are_named(make_space, old: str, new: str, said: str) -> None:
    path = make_space((old, new))
    with pytest.raises(RecipeError) as raised:
        opened = space.load(path)
        measures.check(opened.space, candidate.check(opened))
    assert said in str(raised.value)


def test_a_space_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no space is called"):
        space.load("fashion")
