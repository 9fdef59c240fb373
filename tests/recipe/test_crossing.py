"""Recipes whose teacher learns from frames and whose student from events: what is filled in, and what is refused."""

import pytest

from snnkd import recipe
from snnkd.base.errors import RecipeError
from snnkd.recipe.lineage import lineage


def crossed(*changes: str) -> recipe.Recipe:
    return recipe.load("ckd/nmnist-cross", list(changes))


def test_pairs_teacher_and_layers_are_filled_in_and_kept() -> None:
    plan = crossed()
    cross, frames = plan.chain["student"].cross, plan.chain["teacher"].data
    assert cross is not None and frames is not None
    assert (cross.teacher, cross.layers, frames.pair) == ("teacher", ("layer1",), "class")
    assert recipe.parse(plan.to_dict()) == plan
    assert plan.chain["student"].teachers == ["teacher"]
    by_sample = recipe.load("ckd/nmnist-logits").chain["teacher"].data
    assert by_sample is not None and by_sample.pair == "sample", "it is known which images N-MNIST has recorded"
    other = recipe.load("ckd/nmnist-logits", ["chain.teacher.data.set=fashion-mnist"]).chain["teacher"].data
    assert other is not None and other.pair == "class"


def test_a_teacher_of_frames_is_that_of_a_recipe_of_these_images() -> None:
    """So --reuse takes it over, whatever its students read, and with `data.seed` whatever their seeds are."""
    plain = recipe.load("best/mnist-conv", ["seed=1"])
    for name in ("ckd/nmnist-logits", "ckd/nmnist-cross"):
        assert lineage(recipe.load(name, ["seed=7"]), "teacher") == lineage(plain, "teacher")
    drawn = recipe.load("ckd/nmnist-cross", ["chain.teacher.data.seed=2"])
    assert lineage(drawn, "teacher") != lineage(plain, "teacher")
    assert lineage(drawn, "student") != lineage(crossed(), "student")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["chain.student.data={set = 'mnist'}"], r"chain.student.data: only an ANN \(neuron = 'relu'\) learns from"),
        (["chain.student.cross.teacher=nobody"], "chain.student.cross.teacher: 'nobody' is no earlier stage"),
        (
            ["chain.student.cross.layers=['layer2']"],
            "cross.layers: 'layer2' is no hidden layer; there are: layer0, layer1",
        ),
        (["chain.student.cross.layers=[]"], "cross.layers: expected layers such as"),
        (["chain.student.cross.steps=learned"], "cross.steps: 'learned' needs label.loss = 'temporal-cross-entropy'"),
        (["chain.student.label.weight=0"], "label.weight: expected more than 0: nothing else teaches the stream of"),
        (["chain.student.features={loss = 'cka'}"], "student.features: does not go together with cross"),
        (["chain.teacher.cross={}"], r"chain.teacher.cross: an ANN \(neuron = 'relu'\) learns from the labels alone"),
        (["chain.teacher.data.set=cifar10"], r"reads \(1, 28, 28\), expected \(3, 32, 32\) as the data set 'cifar10'"),
        (["chain.teacher.data.pair=luck"], "chain.teacher.data.pair: expected"),
    ],
)
def test_what_does_not_fit_is_named(changes: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        crossed(*changes)


def test_frames_are_for_students_of_recordings() -> None:
    with pytest.raises(RecipeError, match=r"chain.teacher.data: is for teachers of students that read recordings"):
        recipe.load("best/mnist-dense", ["chain.teacher.data={set = 'mnist'}"])
    data = recipe.load("ckd/nmnist-logits").to_dict()
    del data["chain"]["teacher"]["data"]
    with pytest.raises(RecipeError, match=r"chain.teacher.data: missing; an ANN reads images, and data.set has rec"):
        recipe.parse(data)
    data = recipe.load("ckd/nmnist-cross").to_dict()
    data["chain"] = {"student": data["chain"]["student"] | {"distil": None}}
    del data["chain"]["student"]["distil"]
    with pytest.raises(RecipeError, match=r"chain.student.cross: the first stage has no frames before it"):
        recipe.parse(data)


def test_recipes_without_it_are_in_digests_what_they_were() -> None:
    for stage in recipe.load("ckd/nmnist-alone").to_dict()["chain"].values():
        assert not {"data", "cross"} & stage.keys()
