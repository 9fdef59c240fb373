"""Targets: shipped ones are complete, a user's own is read or refused clearly, networks are checked against them."""

import re
from math import prod
from pathlib import Path

import numpy as np
import pytest

from snnkd import targets
from snnkd.analysis import fit, placement
from snnkd.base.errors import FormatError, SnnkdError
from snnkd.ir.network import Conv, Cuba, Dense, Input, IntNet
from snnkd.targets import Target, tables
from snnkd.targets.quantities import KINDS, ErrorFactor, Quantity

LIMIT_UNITS, COST_UNITS = tables.units(tables.Limits), tables.units(tables.Costs)

NEURON = Cuba(*(np.array(value, np.int32) for value in (1024, 128, 80)))
ORIGIN = 'kind = "assumed"\nsource = "made up"\n'


def dense(*shape, low=-128, high=128, step=2, seed=0, **options):
    weight = (step * np.random.default_rng(seed).integers(low, high, shape)).astype(np.int32)
    return Dense(weight, NEURON, **options)


def net_of(*layers, message_bits=0):
    first = layers[0]
    shape = first.shape if isinstance(first, Input) else (first.weight.shape[1],)
    return IntNet(shape, layers, message_bits=message_bits)


def limits(**values):
    return {name: Quantity(value, value, value, LIMIT_UNITS[name], "assumed", name) for name, value in values.items()}


def test_shipped_targets_are_complete():
    shipped = {target.name: target for target in targets.available()}
    assert {"loihi1", "loihi2", "loihi2-sim"} <= shipped.keys()
    for name, target in shipped.items():
        assert targets.load(name) == target, "a target's name is its folder's"
        for entries, units in ((target.limits, LIMIT_UNITS), (target.costs, COST_UNITS)):
            for key, entry in entries.items():
                assert entry.unit == units[key]
                assert entry.kind in KINDS
                assert len(entry.source) > 10
    assert shipped["loihi2-sim"].engine == "lava"
    assert shipped["loihi2-sim"].costs == {}


@pytest.mark.parametrize(
    ("name", "takes"), [("loihi1", ("binary",)), ("loihi2", ("binary", "graded")), ("loihi2-sim", ("binary", "graded"))]
)
def test_graded_events_need_a_payload(name, takes):
    target = targets.load(name)
    assert target.takes == takes
    violations = fit.check(net_of(dense(4, 6), message_bits=8), target)
    assert [violation.limit for violation in violations] == ([] if "graded" in takes else ["payload_bits"])
    assert fit.check(net_of(dense(4, 6)), target) == []
    for violation in violations:
        assert (violation.layer, violation.actual, violation.allowed) == ("input", "8 bit", "0 bit")
        assert "binary encoding" in violation.fix


@pytest.mark.parametrize(
    ("weights", "bits"),
    [
        ([-256, 254], 8),
        ([-256, 255], 9),
        ([-127, 127], 8),
        ([-128, 127], 8),
        ([0, 255], 8),
        ([-255, 0], 8),
        ([0, 0], 1),
        ([-1, 1], 2),
        ([-64, 64], 2),
        ([0, 96], 2),
        ([-2, 1], 2),
        ([-3, 1], 3),
    ],
)
def test_weight_bits(weights, bits):
    assert placement.weight_bits(np.array([weights], np.int32)) == bits


def test_each_violation_names_layer_limit_value_and_fix():
    delay = np.zeros((5, 300), np.int32)
    delay[2, 3] = 20
    net = net_of(dense(300, 8, low=-500, high=500, step=1), dense(5, 300, delay=delay))
    target = Target("small", "test", limits=limits(weight_bits=8, delay=15, synapse_memory_per_core=100, cores=3))
    violations = {(violation.layer, violation.limit): violation for violation in fit.check(net, target)}
    assert violations.keys() == {
        ("layer0", "weight_bits"),
        ("layer1", "delay"),
        ("layer1", "synapse_memory_per_core"),
        ("network", "cores"),
    }
    bits, delays = violations["layer0", "weight_bits"], violations["layer1", "delay"]
    assert (bits.actual, bits.allowed) == ("10 bit", "8 bit")
    assert (delays.actual, delays.allowed) == ("20 step", "15 step")
    assert violations["network", "cores"].allowed == "3 cores"
    for (layer, limit), violation in violations.items():
        assert layer in violation.fix or layer == "network"
        assert violation.source == limit


def test_cores_are_a_lower_bound_from_neurons_and_weights():
    net = net_of(dense(100, 50, step=2), dense(30, 100, low=0, high=2, step=1))  # 8 bit and 1 bit
    assert fit.cores(net, limits(cores=1)) is None
    assert fit.cores(net, limits(neurons_per_core=129)) == 2
    assert fit.cores(net, limits(neurons_per_core=130)) == 1
    stored = sum(np.count_nonzero(layer.weight) * bits for layer, bits in zip(net.layers, (8, 1), strict=True)) / 8
    assert fit.cores(net, limits(synapse_memory_per_core=stored / 3)) == 3
    assert fit.cores(net, limits(synapse_memory_per_core=stored / 3 - 1)) == 4


def test_a_convolution_stores_its_kernel_once():
    kernel = Conv(np.full((8, 2, 3, 3), 254, np.int32), NEURON, (8, 30, 30))
    net = IntNet((2, 32, 32), (kernel,))
    assert fit.cores(net, limits(synapse_memory_per_core=kernel.weight.size)) == 1
    image = IntNet((2, 32, 32), (Input((2, 32, 32), NEURON), kernel))
    assert fit.cores(image, limits(neurons_per_core=2048)) == 5  # 2048 of the input, 7200 of the convolution


@pytest.mark.parametrize(("most", "verdict"), [(1, "refused"), (2, "optimistic"), (3, "likely")])
def test_fit_refuses_or_says_how_it_may_fit(most, verdict):
    net = net_of(dense(100, 50), dense(30, 100))  # 130 neurons, 8000 weights
    bounds = limits(cores=most, neurons_per_core=100, synapse_memory_per_core=6000, stored_bits_per_weight=16)
    answer = fit.fit(net, Target("chip", "test", limits=bounds)).to_json()
    counted = (answer["verdict"], answer["cores"], answer["cores_typical"])
    assert counted == (verdict, 2, 3)  # 130 neurons: 2 cores; 10 kB and 6 kB of weights: 2 + 1
    assert bool(answer["violations"]) == (verdict == "refused")


def test_a_small_network_fits_every_shipped_target():
    for target in targets.available():
        answer = fit.fit(net_of(dense(10, 20)), target).to_json()
        assert answer["violations"] == []
        assert answer["verdict"] == "likely"


def test_a_large_network_is_refused_by_the_chips_and_not_by_the_simulator():
    wide = Conv(np.full((200, 1, 1, 1), 254, np.int32), NEURON, (200, 80, 80))
    net = IntNet((1, 80, 80), (wide,))
    assert prod(wide.shape) > 128 * 8192
    refused = {target.name: [violation.limit for violation in fit.check(net, target)] for target in targets.available()}
    assert refused["loihi1"] == refused["loihi2"] == ["cores"]
    assert refused["loihi2-sim"] == []


LIMIT = f'[limits.cores]\nvalue = 4\nunit = "cores"\n{ORIGIN}'
COST = f'[costs.synop]\nlow = 1\ntypical = 2\nhigh = 3.5\nunit = "pJ"\n{ORIGIN}'
HEAD = 'name = "mine"\ndescription = "my chip"\n'


def test_a_users_target_is_one_file_or_a_folder(tmp_path):
    single = tmp_path / "mine.toml"
    single.write_text(HEAD + LIMIT + COST)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "target.toml").write_text(HEAD + LIMIT)
    (folder / "costs.toml").write_text(COST)
    loaded = targets.load(single)
    assert loaded == targets.load(folder) == targets.load(str(folder / "target.toml"))
    assert (loaded.name, loaded.engine, loaded.limits["cores"].high) == ("mine", None, 4)
    assert loaded.costs["synop"] == Quantity(1, 2, 3.5, "pJ", "assumed", "made up")


def test_the_documented_example_loads(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "add_a_target.md").read_text(encoding="utf-8")
    path = tmp_path / "my_chip.toml"
    path.write_text("\n".join(re.findall(r"```toml\n(.*?)```", page, re.S)))
    target = targets.load(path)
    assert (target.name, target.limits["weight_bits"].high) == ("my-chip", 4)
    assert target.error_factors[0].high == 1.7
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", page, re.M)
    assert {name: unit for name, unit in rows if name in LIMIT_UNITS} == LIMIT_UNITS
    assert {name for name in COST_UNITS if f"`{name}`" not in page} == set()


FACTOR = f'[[error_factors]]\nof = "x"\nlow = 1\nhigh = 2\nunit = "measured / estimate"\n{ORIGIN}'
NO_BAND = "expected either 'value' or all of 'low', 'typical' and 'high', found"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('description = "x"\n', "name: missing; it is the target's name"),
        ('name = "x"\n', "description: missing; it is what the target is, in words"),
        (HEAD.replace("my chip", " "), "description: expected at least 1 character, found ' '"),
        (HEAD + "engine = 3\n", "engine: expected a valid string, found 3"),
        (HEAD + "xyz = 3\n", "unknown key 'xyz' in the file; known: name, description"),
        (HEAD + "limit = 3\n", "unknown key 'limit' in the file: did you mean 'limits'?"),
        (HEAD + "limits = 3\n", "limits: expected a table, found 3"),
        (HEAD + "[limits]\ncores = 4\n", "limits.cores: expected a table, found 4"),
        (HEAD + LIMIT.replace("cores]", "core]"), "unknown key 'core' in limits: did you mean 'cores'?"),
        (HEAD + LIMIT + "page = 3\n", "unknown key 'page' in limits.cores; known: value, low, typical, high, kind"),
        (HEAD + LIMIT.replace('unit = "cores"\n', ""), "limits.cores.unit: missing; it is 'cores'"),
        (
            HEAD + LIMIT.replace('kind = "assumed"\n', ""),
            "limits.cores.kind: missing; it is one of measured, vendor, literature, assumed",
        ),
        (
            HEAD + LIMIT.replace("assumed", "guessed"),
            "limits.cores.kind: expected 'measured', 'vendor', 'literature' or 'assumed', found 'guessed'",
        ),
        (HEAD + LIMIT.replace('source = "made up"', ""), "limits.cores.source: missing; it is where the number comes"),
        (HEAD + LIMIT.replace("made up", " "), "limits.cores.source: expected at least 1 character, found ' '"),
        (HEAD + LIMIT.replace("= 4", "= 0"), "limits.cores.value: expected a finite number above 0, found 0"),
        (HEAD + COST.replace("low = 1", "low = -1"), "costs.synop.low: expected a finite number from 0, found -1"),
        (HEAD + COST.replace("3.5", "inf"), "costs.synop.high: expected a finite number from 0, found inf"),
        (HEAD + COST.replace("3.5", "nan"), "costs.synop.high: expected a finite number from 0, found nan"),
        (HEAD + COST.replace("3.5", "1" + 400 * "0"), "costs.synop.high: expected a finite number from 0, found 10"),
        (HEAD + COST.replace("3.5", "true"), "costs.synop.high: expected a finite number from 0, found true"),
        (HEAD + COST.replace("3.5", "'3.5'"), "costs.synop.high: expected a finite number from 0, found '3.5'"),
        (
            HEAD + COST.replace("low = 1", "low = 2.5"),
            "costs.synop: expected low <= typical <= high, found 2.5, 2, 3.5",
        ),
        (HEAD + COST.replace("low = 1\n", ""), f"costs.synop: {NO_BAND} typical, high"),
        (HEAD + COST.replace("low = 1\n", "value = 1\n"), f"costs.synop: {NO_BAND} value, typical, high"),
        (HEAD + LIMIT.replace("value = 4\n", ""), f"limits.cores: {NO_BAND} none of them"),
        (HEAD + COST.replace("pJ", "nJ"), "costs.synop.unit: expected 'pJ', found 'nJ'"),
        (HEAD + COST.replace("costs.synop", "costs.mac"), "unknown key 'mac' in costs; known: synop, synop_dense"),
        ("error_factors = 3\n" + HEAD, "error_factors: expected a valid list, found 3"),
        (HEAD + FACTOR.replace('of = "x"\n', ""), "error_factors[0].of: missing; it is what was measured"),
        (HEAD + FACTOR.replace("high = 2", ""), "error_factors[0].high: missing; it is the largest measured"),
        (HEAD + FACTOR.replace("high = 2", "high = 0.5"), "error_factors[0]: expected low <= high, found 1, 0.5"),
        (HEAD + FACTOR.replace(" / ", ":"), "error_factors[0].unit: expected 'measured / estimate', found"),
        ("name = \n", "not valid TOML"),
    ],
)
def test_a_bad_target_file_is_refused_with_file_and_entry(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(FormatError) as caught:
        targets.load(path)
    assert str(caught.value).startswith(f"{path}: {message}"), "one problem, and no other"


def test_all_problems_of_a_file_are_told_at_once(tmp_path):
    path = tmp_path / "mine.toml"
    limit = LIMIT.replace("value = 4", "low = 4\ntypical = 3\nhigh = 5").replace('"cores"', '"chips"')
    cost = COST.replace("low = 1\n", "").replace("assumed", "guessed")
    factors = FACTOR + FACTOR.replace("low = 1", "low = 3")
    path.write_text('nmae = "mine"\nengine = ""\n' + limit + cost + factors + "[build]\nflags = []\n")
    with pytest.raises(FormatError) as caught:
        targets.load(path)
    heading, *problems = str(caught.value).splitlines()
    assert heading == f"{path}: {len(problems)} problems:"
    assert sorted(problems) == [
        "  - build.flags: expected at least 1 item, found []",
        "  - build.flash_origin: missing; it is the address at which the flash begins",
        "  - build.machine: missing; it is QEMU's name of a machine with this core",
        "  - build.ram_origin: missing; it is the address at which the RAM begins",
        "  - build: expected the limits flash and ram too, which say how much memory there is",
        "  - costs.synop.kind: expected 'measured', 'vendor', 'literature' or 'assumed', found 'guessed'",
        f"  - costs.synop: {NO_BAND} typical, high",
        "  - description: missing; it is what the target is, in words",
        "  - engine: expected at least 1 character, found ''",
        "  - error_factors[1]: expected low <= high, found 3, 2",
        "  - limits.cores.unit: expected 'cores', found 'chips'",
        "  - limits.cores: expected low <= typical <= high, found 4, 3, 5",
        "  - name: missing; it is the target's name",
        "  - unknown key 'nmae' in the file: did you mean 'name'?",
    ]


def test_problems_of_both_files_of_a_folder_are_told_at_once(tmp_path):
    target, costs = tmp_path / "target.toml", tmp_path / "costs.toml"
    target.write_text('name = "mine"\n' + LIMIT)
    costs.write_text(COST.replace("pJ", "nJ") + LIMIT)
    with pytest.raises(FormatError) as caught:
        targets.load(tmp_path)
    assert str(caught.value).splitlines() == [
        f"{target}: description: missing; it is what the target is, in words",
        f"{costs}: 2 problems:",
        "  - costs.synop.unit: expected 'pJ', found 'nJ'",
        "  - unknown key 'limits' in the file; known: costs, error_factors",
    ]


@pytest.mark.parametrize("name", sorted(LIMIT_UNITS))
def test_only_a_delay_or_a_payload_may_be_none_at_all(tmp_path, name):
    path = tmp_path / "mine.toml"
    path.write_text(f'{HEAD}[limits.{name}]\nlow = 0\ntypical = 0\nhigh = 4\nunit = "{LIMIT_UNITS[name]}"\n{ORIGIN}')
    if name in ("delay", "payload_bits"):
        assert targets.load(path).limits[name].low == 0
    else:
        with pytest.raises(FormatError, match=rf"limits\.{name}\.low: expected a finite number above 0, found 0"):
            targets.load(path)


def test_limits_and_costs_keep_the_order_and_the_numbers_of_their_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(HEAD + COST.replace("synop", "spike") + COST + FACTOR)
    loaded = targets.load(path)
    assert list(loaded.costs) == ["spike", "synop"]
    assert [repr(number) for number in (loaded.costs["synop"].low, loaded.costs["synop"].high)] == ["1", "3.5"]
    assert loaded.error_factors == (ErrorFactor("x", 1, 2, "measured / estimate", "assumed", "made up"),)


def test_costs_are_not_read_from_two_places(tmp_path):
    (tmp_path / "target.toml").write_text(HEAD + COST)
    (tmp_path / "costs.toml").write_text(COST)
    with pytest.raises(FormatError, match=r"target\.toml: unknown key 'costs' in the file"):
        targets.load(tmp_path)


def test_an_unknown_target_is_refused_with_a_suggestion(tmp_path):
    with pytest.raises(SnnkdError, match="did you mean loihi2"):
        targets.load("loihi-2")
    with pytest.raises(SnnkdError, match="no such target file"):
        targets.load(tmp_path / "none.toml")
