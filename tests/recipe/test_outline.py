"""Networks before they are trained: of the shape, the width and the delays that their description says."""

import numpy as np
import pytest

from snnkd import recipe, targets
from snnkd.analysis import fit
from snnkd.analysis.placement import weight_bits
from snnkd.base.errors import RecipeError
from snnkd.recipe import architecture, outline


@pytest.mark.parametrize("name", list(architecture.names()))
def test_an_outline_has_the_shapes_and_sizes_of_its_description(name):
    described = architecture.load(name)
    made = outline.outline(described)
    assert [layer.shape for layer in made.layers] == described.shapes()
    assert (made.parameters, made.neurons) == (described.parameters, described.neurons)
    assert all(np.all(layer.weight) for layer in made.layers)
    assert {weight_bits(layer.weight) for layer in made.layers if layer.weight.size > 1} == {8}
    longest = [layer.longest_delay for layer in made.layers if layer.kind == "dense"]
    assert max(longest, default=0) == described.max_delay


def test_a_recipe_is_the_outline_of_its_student(tmp_path):
    read = recipe.load("best/cifar10-conv")
    made = outline.named("best/cifar10-conv")
    assert [layer.shape for layer in made.layers] == read.architecture(read.student).shapes()
    assert made.message_bits == 8
    assert (made.steps, made.encoding["kind"], made.readout.name) == (4, "direct", read.readout.rule().name)
    assert [violation.limit for violation in fit.check(made, targets.load("loihi1"))] == ["payload_bits"]
    few = tmp_path / "few.toml"
    few.write_text('extends = "best/mnist-dense"\n[quantization]\nweight_bits = 4\n')
    assert {weight_bits(layer.weight) for layer in outline.named(str(few)).layers} == {4}
    own = tmp_path / "own.toml"
    own.write_text('input = [1, 5, 5]\n[[layers]]\nkind = "dense"\nneurons = 3\n')
    assert outline.named(str(own)).parameters == 75
    assert outline.named("digits-001") is None
    own.write_text("layers = 3\n")
    with pytest.raises(RecipeError, match="input"):
        outline.named(str(own))
