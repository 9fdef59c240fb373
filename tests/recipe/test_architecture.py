"""Network descriptions: sizes, what is refused and why, and the shipped families."""

from pathlib import Path

import pytest

from snnkd.base.errors import RecipeError
from snnkd.recipe import architecture
from snnkd.recipe.architecture import Architecture, Conv, Dense

CONV = '[[layers]]\nkind = "conv"\nchannels = 4\nkernel = 3\n'
DENSE = '[[layers]]\nkind = "dense"\nneurons = 10\n'


def write(folder: Path, layers: str, head: str = "input = [1, 8, 8]\n") -> Path:
    path = folder / "mine.toml"
    path.write_text(head + layers)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(RecipeError) as error:
        architecture.load(path)
    assert str(path) in str(error.value)
    return str(error.value)


def test_sizes_of_a_conv_net(tmp_path: Path) -> None:
    conv = CONV + "stride = 2\npadding = [1, 0]\n"
    net = architecture.load(write(tmp_path, conv + DENSE, 'role = "ta"\ninput = [2, 8, 8]\n'))
    assert (net.name, net.role, net.input) == ("mine", "ta", (2, 8, 8))
    assert isinstance(net.layers[0], Conv) and isinstance(net.layers[1], Dense)
    assert (net.layers[0].kernel, net.layers[0].stride, net.layers[0].padding) == ((3, 3), (2, 2), (1, 0))
    assert net.shapes() == [(4, 4, 3), (10,)]
    assert net.parameters == 4 * 2 * 9 + 48 * 10
    assert net.neurons == 48 + 10
    assert net.outputs == 10


def test_groups_and_dilation() -> None:
    net = Architecture(name="x", input=(4, 9, 9), layers=(Conv(channels=8, kernel=(3, 3), dilation=(2, 2), groups=4),))
    assert net.shapes() == [(8, 5, 5)]
    assert net.parameters == 8 * 1 * 9
    assert net.layers[0].fan_in(net.input) == 9


def test_delays_of_dense_layers(tmp_path: Path) -> None:
    delays = 'delays = "input"\nmax_delay = 12\n'
    net = architecture.load(write(tmp_path, CONV + DENSE + delays))
    assert net.max_delay == 12 and architecture.parse(net.to_dict()) == (net, [])
    plain = architecture.load(write(tmp_path, CONV + DENSE))
    assert plain.max_delay == 0
    assert plain.to_dict()["layers"][1] == {"kind": "dense", "neurons": 10}, "digests stay"


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (
            CONV + 'delays = "input"\n',
            "layers[0].delays: Lava ignores the delays of a convolution; leave it out, or delay",
        ),
        (CONV + "max_delay = 3\n", "layers[0].max_delay: Lava ignores the delays"),
        (DENSE + 'delays = "input"\n', "layers[0]: delays and max_delay go together"),
        (DENSE + "max_delay = 3\n", "layers[0]: delays and max_delay go together"),
        (
            DENSE + 'delays = "input"\nmax_delay = 63\n',
            "layers[0].max_delay: expected a value less than or equal to 62, found 63",
        ),
        (DENSE + 'delays = "synapse"\nmax_delay = 3\n', "layers[0].delays: expected"),
    ],
)
def test_refused_delays(tmp_path: Path, layers: str, expected: str) -> None:
    assert expected in refusal(write(tmp_path, layers))


def test_plain_data_round_trip() -> None:
    net = architecture.load("conv-28x28-ta")
    assert architecture.parse(net.to_dict()) == (net, [])


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("pool", "a conv layer with stride 2"),
        ("MaxPool2d", "a conv layer with stride 2"),
        ("avg_pool", "a conv layer with stride 2"),
        ("convT", "use conv and dense layers"),
        ("ConvTranspose2d", "use conv and dense layers"),
        ("unpool", "use a conv layer"),
        ("average", "use a dense layer"),
        ("concat", "one chain of layers"),
        ("residual", "one chain of layers"),
        ("kwta", "use a dense layer"),
        ("dense_rec", "use a dense layer"),
        ("recurrent", "use a dense layer"),
        ("alif", "[neuron]"),
        ("adrf", "[neuron]"),
        ("rf", "[neuron]"),
        ("sigma-delta", "[neuron]"),
        ("sdnn", "[neuron]"),
        ("lif", "[neuron]"),
        ("affine", "use a dense layer"),
        ("BatchNorm2d", "leave it out"),
        ("dropout", "leave it out"),
        ("flatten", "leave it out"),
        ("input", "input = [C, H, W]"),
        ("linear", "'dense'"),
        ("conv2d", "'conv'"),
    ],
)
def test_kinds_that_cannot_be_deployed_say_what_to_use_instead(tmp_path: Path, kind: str, advice: str) -> None:
    message = refusal(write(tmp_path, f'[[layers]]\nkind = "{kind}"\n' + DENSE))
    assert f"layers[0].kind: '{kind}' cannot be deployed" in message
    assert advice in message


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ('[[layers]]\nkind = "dens"\n', "layers[0].kind: unknown layer kind 'dens': did you mean 'dense'?"),
        ('[[layers]]\nkind = "Conv"\n', "layers[0].kind: unknown layer kind 'Conv': did you mean 'conv'?"),
        ("[[layers]]\nneurons = 3\n", "layers[0].kind: missing"),
        ('[[layers]]\nkind = "dense"\n', "layers[0].neurons: missing"),
        (CONV + "stride = 0\n", "layers[0].stride: expected an integer of at least 1"),
        (CONV + "padding = [1, 2, 3]\n", "layers[0].padding: expected an integer of at least 0 or a pair [h, w]"),
        (CONV + "kernel_size = 5\n", "unknown key 'kernel_size' in layers[0]: did you mean 'kernel'?"),
        (CONV + "groups = 3\n", "layers[0].groups: expected a divisor of both its 1 input and 4 output channels"),
        (CONV + CONV.replace("3", "7"), "layers[1].kernel: expected at most the padded input [6, 6]"),
        (CONV + "dilation = 4\n", "the kernel spans [9, 9]"),
        (DENSE + CONV, "layers[1]: a conv layer cannot follow a dense one"),
        ("layers = []\n", "layers: expected at least one [[layers]] table"),
        ("layers = [3]\n", "layers[0]: expected a table, found 3"),
        ("", "layers: missing"),
    ],
)
def test_errors_name_file_layer_and_field(tmp_path: Path, layers: str, expected: str) -> None:
    assert expected in refusal(write(tmp_path, layers))


def test_all_problems_in_one_message(tmp_path: Path) -> None:
    message = refusal(
        write(tmp_path, '[[layers]]\nkind = "pool"\n' + CONV + "strid = 2\n", "input = [8, 8]\nrol = 1\n")
    )
    assert "4 problems" in message
    for part in ("input: expected [C, H, W]", "did you mean 'role'?", "layers[0].kind", "did you mean 'stride'?"):
        assert part in message


def test_instances_are_checked_too() -> None:
    with pytest.raises(ValueError, match="a conv layer cannot follow"):
        Architecture(name="x", input=(1, 8, 8), layers=(Dense(neurons=3), Conv(channels=1, kernel=(1, 1))))


def test_unknown_name_gives_the_closest() -> None:
    with pytest.raises(RecipeError, match="did you mean dense-8x8-student"):
        architecture.load("dense-8x8-studnt")
    with pytest.raises(RecipeError, match="no such network file"):
        architecture.load("nowhere.toml")


@pytest.mark.parametrize("name", sorted(architecture.names()))
def test_shipped_networks(name: str) -> None:
    net = architecture.load(name)
    family, size, *_, role = name.split("-")
    assert (net.name, net.role) == (name, role)
    assert net.input[1:] == tuple(map(int, size.split("x")))
    assert isinstance(net.layers[0], Conv if family == "conv" else Dense)
    assert net.outputs == (20 if size == "1x700" else 10)  # SHD has digits of two languages
    assert f"{net.parameters:,} weights" in net.description


@pytest.mark.parametrize("family", ["dense-8x8", "conv-8x8", "dense-28x28", "conv-28x28", "conv-32x32"])
def test_a_student_has_at_most_a_quarter_of_its_teachers_weights(family: str) -> None:
    teacher, ta, student = (architecture.load(f"{family}-{role}").parameters for role in ("teacher", "ta", "student"))
    assert student < ta < teacher
    assert student <= teacher / 4
