"""Which hidden layers are compared: found by size, or named and checked before anything is trained."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnkd import recipe
from snnkd.base.errors import RecipeError
from snnkd.recipe.features import by_size


def conv(channels: int, stride: int = 1) -> dict[str, Any]:
    return {"kind": "conv", "channels": channels, "kernel": 3, "stride": stride, "padding": 1}


DENSE, OUT = {"kind": "dense", "neurons": 12}, {"kind": "dense", "neurons": 10}
NETWORKS = {
    "large": {"input": [1, 8, 8], "layers": [conv(8), conv(8), conv(8, 2), DENSE, OUT]},
    "small": {"input": [1, 8, 8], "layers": [conv(4), conv(4, 2), conv(4, 2), OUT]},
    "flat": {"input": [1, 8, 8], "layers": [DENSE, DENSE, OUT]},
    "one": {"input": [1, 8, 8], "layers": [OUT]},
}


def parsed(features: dict[str, Any], student: str = "small", **of_student: Any) -> recipe.Recipe:
    chain = {
        "ann": {"network": "large", "neuron": "relu", "epochs": 1},
        "teacher": {"network": "large", "epochs": 1},
        "student": {"network": student, "epochs": 2, "features": features, **of_student},
    }
    return recipe.parse({"name": "pairs", "encoding": {"steps": 4}, "networks": NETWORKS, "chain": chain})


def features(*arguments: Any, **more: Any) -> Any:
    return parsed(*arguments, **more).chain["student"].features


def test_the_last_layers_of_each_size_are_paired() -> None:
    found = features({})
    assert found.pairs == (("layer0", "layer1"), ("layer1", "layer2"))
    assert (found.teacher, found.maps, found.loss) == ("teacher", "rate", "mse")
    assert features({}, "flat").pairs == (("layer1", "layer3"),)
    assert by_size({"a": (3, 5, 4), "b": (6, 5, 4), "c": (9, 4, 5)}, {"x": (1, 5, 4), "y": (1, 4, 4)}) == (("b", "x"),)


def test_named_pairs_may_have_other_sizes_and_survive_a_round_trip(tmp_path: Path) -> None:
    named = parsed({"pairs": [["layer2", "layer3"], ["layer0", "layer0"]], "teacher": "ann", "loss": "cka"})
    path = tmp_path / "again.toml"
    path.write_text(named.to_toml())
    assert recipe.load(path) == named
    assert named.chain["student"].features is not None
    assert named.chain["student"].features.pairs == (("layer2", "layer3"), ("layer0", "layer0"))


def test_the_teacher_is_that_of_the_response_loss_unless_it_is_named() -> None:
    distil = {"losses": {"kl": 1.0}, "teacher": "ann"}
    both = parsed({}, distil=distil).chain["student"]
    assert both.teachers == ["ann"] and both.features is not None and both.features.teacher == "ann"
    assert parsed({"teacher": "teacher"}, distil=distil).chain["student"].teachers == ["ann", "teacher"]
    assert features({"loss": "membrane"}).maps == "membrane"


def test_epochs_before_all_else() -> None:
    for epochs, until, expected in ((10, 0.3, 3), (10, 0.01, 1), (2, 0.99, 1), (7, 0.5, 4)):
        stage = parsed({"when": "before", "until": until}, epochs=epochs).chain["student"]
        assert stage.epochs_of_features == expected
    assert parsed({}).chain["student"].epochs_of_features == 0


@pytest.mark.parametrize(
    ("table", "student", "expected"),
    [
        ({"loss": "mes"}, "small", "chain.student.features.loss: .*did you mean 'mse'?"),
        (
            {"pairs": [["layer9", "layer1"]]},
            "small",
            r"features.pairs: 'layer9' is no hidden layer of the student, which has hidden layers: layer0 4x8x8, ",
        ),
        ({"pairs": [["layer0", "layer4"]]}, "small", "'layer4' is no hidden layer of its teacher"),
        ({"pairs": ["layer0", "layer4"]}, "small", r"expected pairs of layers such as \[\['layer0', 'layer1'\]\]"),
        ({"pairs": []}, "small", "expected pairs of layers"),
        ({"pairs": [["layer0", "layer0"], ["layer0", "layer1"]]}, "small", "a layer of the student is in two pairs"),
        ({}, "one", "no hidden layers of both networks have the same size: none here, layer0 8x8x8"),
        (
            {"loss": "membrane", "teacher": "ann"},
            "small",
            "the teacher 'ann' is an ANN, which has no membrane potentials",
        ),
        ({"loss": "cka", "maps": "membrane", "teacher": "ann"}, "small", "use maps = 'rate'"),
        ({"loss": "membrane", "maps": "rate"}, "small", "features.maps: expected 'membrane' with loss = 'membrane'"),
        ({"loss": "attention"}, "flat", "attention compares places of a map, and layer1 has one place only"),
        ({"teacher": "tutor"}, "small", "features.teacher: 'tutor' is no earlier stage"),
        ({"when": "before", "until": 1.0}, "small", "features.until: expected a value less than 1"),
    ],
)
def test_what_does_not_fit_is_said_before_training(table: dict[str, Any], student: str, expected: str) -> None:
    with pytest.raises(RecipeError, match=expected):
        parsed(table, student)


def test_one_epoch_cannot_be_before_the_others() -> None:
    with pytest.raises(RecipeError, match=r"features\.when: expected at least 2 epochs"):
        parsed({"when": "before"}, epochs=1)


def test_who_may_not_have_features() -> None:
    with pytest.raises(RecipeError, match="features: the first stage has no teacher before it"):
        recipe.load("digits", ["chain.teacher.features={loss='cka'}"])
    with pytest.raises(RecipeError, match=re.escape("an ANN (neuron = 'relu') learns from the labels alone")):
        recipe.load("digits", ["chain.ta.neuron=relu", "chain.ta.features={loss='cka'}"])


def test_a_teacher_from_a_file_is_paired_by_its_layers(tmp_path: Path) -> None:
    from snnkd.formats import netx
    from snnkd.ir.network import Cuba, Dense, IntNet

    def dense(outputs: int, inputs: int) -> Dense:
        weight = np.ones((outputs, inputs), np.int32)
        return Dense(weight, Cuba(*(np.array(value, np.int32) for value in (4096, 100, 50))))

    path = tmp_path / "old.net"
    netx.save(IntNet((1, 8, 8), (dense(6, 64), dense(10, 6)), message_bits=8), path)
    chain = {
        "old": {"net": str(path)},
        "student": {"network": "flat", "epochs": 1, "features": {"loss": "membrane"}},
    }
    data = {"name": "pairs", "encoding": {"steps": 4}, "networks": NETWORKS, "chain": chain}
    found = recipe.parse(data).chain["student"].features
    assert found is not None and found.pairs == (("layer1", "layer0"),)


@pytest.mark.parametrize("images", ["fashion-mnist", "cifar10"])
def test_rows_of_kdsnn_differ_by_what_is_taught(images: str) -> None:
    rows = {row: recipe.load(f"kdsnn/{images}-{row}") for row in ("alone", "response", "features", "both")}
    assert recipe.warnings(rows["both"]) == []
    tables = ("distil", "features")
    taught = {row: [getattr(loaded.chain["student"], table) for table in tables] for row, loaded in rows.items()}
    assert [[table is not None for table in taught[row]] for row in rows] == [
        *([False, False], [True, False], [False, True], [True, True])
    ]
    assert taught["both"] == [taught["response"][0], taught["features"][1]]
    bare = [loaded.chain["student"].model_copy(update=dict.fromkeys(tables)) for loaded in rows.values()]
    assert all(stage == bare[0] for stage in bare)
    assert len({loaded.chain["teacher"].model_dump_json() for loaded in list(rows.values())[1:]}) == 1
    same = [(loaded.data, loaded.encoding, loaded.neuron) for loaded in rows.values()]
    assert all(settings == same[0] for settings in same)
