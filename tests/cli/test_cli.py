"""The command line as a user meets it: outputs, JSON, exit status and messages, on one tiny trained run."""

import json
import os
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from snnkd import api, bundle, engines, recipe
from snnkd.analysis import fit
from snnkd.base import lock
from snnkd.engines import conformance
from snnkd.engines.reference import definition
from snnkd.formats import netx
from snnkd.ir.network import Cuba, Dense, IntNet
from snnkd.recipe import architecture

ROOT = Path(__file__).resolve().parents[2]
SNNKD = Path(sys.executable).parent / "snnkd"
STAGES = ["teacher", "ta", "student"]
SHORT = [
    word
    for stage in STAGES
    for word in ("--set", f"chain.{stage}.epochs=2", "--set", f"chain.{stage}.network=dense-8x8-{stage}")
]
STEPS = recipe.load("digits").encoding.steps
HIDDEN = architecture.load("dense-8x8-student").layers[0].output((1, 8, 8))[0]

Call = Callable[..., tuple[int, str, str]]
linux = pytest.mark.skipif(sys.platform != "linux", reason="uses what only Linux has")


@pytest.fixture
def data(call: Call) -> Callable[..., dict]:
    """What a command prints with --json: one object on stdout, only notes on stderr, and only documented keys."""

    def read(*arguments: object, status: int = 0) -> dict:
        code, output, errors = call(*arguments, "--json")
        assert code == status and all(line.startswith("note: ") for line in errors.splitlines()), errors
        printed = json.loads(output)
        assert output.count("\n") == 1
        missing = printed.keys() - documented(str(arguments[0]))
        assert not missing, f"{missing}: not in docs/cli.md"
        return printed

    return read


def documented(command: str) -> set[str]:
    """Words in code spans of a command's section of docs/cli.md."""
    _, *parts = re.split(r"^## `snnkd (\w+).*$", (ROOT / "docs/cli.md").read_text(), flags=re.MULTILINE)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    names = ("run", "train", "export", "profile") if command == "run" else (command,)
    text = re.sub(r"^```.*?^```$", "", "".join(map(sections.__getitem__, names)), flags=re.DOTALL | re.MULTILINE)
    return {word for span in re.findall(r"`([^`]+)`", text) for word in re.findall(r"\w+", span)}


def process(*command: object, folder: Path) -> subprocess.CompletedProcess[str]:
    words, environment = (
        list(map(str, command)),
        dict(os.environ),
    )  # without the COLUMNS that readline adds below Python
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An empty folder after `snnkd train`, and what that printed."""
    folder = tmp_path_factory.mktemp("empty")
    done = process(SNNKD, "train", *SHORT, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder, done.stdout


@pytest.fixture
def folder(trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder as the current one."""
    monkeypatch.chdir(trained[0])
    return trained[0]


@pytest.fixture
def net(folder: Path) -> Path:
    return Path("runs/digits-001/student.net")


@pytest.fixture
def untrained(tmp_path: Path) -> Path:
    """A file like the student's, in a folder of its own."""
    random = np.random.default_rng(3)
    layers = (conformance.random_dense(random, (1, 8, 8), HIDDEN), conformance.random_dense(random, (HIDDEN,), 10))
    netx.save(IntNet((1, 8, 8), layers, STEPS, 8), tmp_path / "file" / "x.net")
    return tmp_path / "file" / "x.net"


@pytest.fixture
def events(tmp_path: Path) -> Path:
    np.save(tmp_path / "events.npy", np.random.default_rng(0).integers(0, 16, (3, 8, 64), dtype=np.uint8))
    return tmp_path / "events.npy"


# The three commands, in this order, in an empty folder


@pytest.mark.lava
def test_train_prints_a_table_and_fills_a_run_folder(trained: tuple[Path, str]) -> None:
    folder, printed = trained
    rows = [re.split(r"\s{2,}", line.strip()) for line in printed.splitlines()]
    for stage in STAGES:
        (row,) = [row for row in rows if row[0] == stage]
        assert row[1] == f"dense-8x8-{stage}" and re.fullmatch(r"[\d,]+", row[2]) and row[4].endswith("%")
    assert "all 360 test images" in printed and "student: runs/digits-001/student.net" in printed
    files = {path.name for path in (folder / "runs/digits-001").iterdir()}
    expected = {"SHA256SUMS", "recipe.toml", "provenance.json", "metrics.csv", "student.net", "summary.json"}
    assert files == expected | {"answers.csv", "checkpoints", "tensorboard", "stage-teacher.net", "stage-ta.net"}


@pytest.mark.lava
def test_export_after_a_failed_one_and_again_in_one_process(
    folder: Path, same_net, data: Callable[..., dict], call: Call
) -> None:
    code, output, errors = call("export", "--target", "loihi2")
    assert (code, output) == (2, "") and "'loihi2' cannot be run here" in errors

    code, output, errors = call("export", "--target", "loihi2-sim")
    assert (code, errors) == (0, "")
    assert "exported: runs/digits-001/student-loihi2-sim.net" in output
    assert f"compared: 16 samples of {STEPS} steps" in output and "differences: 0" in output
    first = netx.load("runs/digits-001/student-loihi2-sim.net")

    printed = data("export", "--samples", 4)
    assert printed["file"] == "runs/digits-001/student-loihi2-sim.net"
    assert (printed["target"], printed["differences"]) == ("loihi2-sim", 0)
    compared = printed["compared"]
    assert (compared["samples"], compared["steps"]) == (4, STEPS)
    assert compared["cells"] == 4 * STEPS * (HIDDEN + 10) + compared["states"]
    assert set(printed["against"]) == {"lava", "slayer"}
    assert all(one["equal"] and one["compared"]["cells"] for one in printed["against"].values())
    assert printed["stored"] is None
    kept = json.loads(Path("runs/digits-001/verification.json").read_text())
    assert kept["compared"]["samples"] == 16, "a quick look does not replace the results of the defaults"
    same_net(netx.load(printed["file"]), first)


@pytest.mark.lava
def test_profile_names_what_it_counted_and_needs_no_training(folder: Path) -> None:
    done = process(SNNKD, "profile", "--energy", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("360 samples, digits, first 360 of 360 test images", "loihi1", "loihi2", "not known", "estimate"):
        assert words in done.stdout


# What else they print


@pytest.mark.lava
def test_run_has_what_the_three_commands_print(folder: Path, data: Callable[..., dict]) -> None:
    printed = data("run", *SHORT, "--resume")
    assert set(printed) == {"train", "export", "profile"}
    assert printed["train"]["run"] == "runs/digits-001", "resumed, not trained again"
    assert not (folder / "runs/digits-002").exists()
    summary = json.loads((folder / "runs/digits-001/summary.json").read_text())
    trained = {"epochs": 6, "reused": {}, "parameters": 74 * HIDDEN, "neurons": HIDDEN + 10}
    findings = printed["train"].pop("findings")
    assert printed["train"] == {**trained, **summary}
    assert {one["layer"] for one in findings} <= {"input", "layer0", "layer1", "readout"}
    assert set(summary["accuracy"]) == {"float", "integer"} and list(summary["networks"]) == STAGES
    assert printed["export"] == json.loads((folder / "runs/digits-001/verification.json").read_text())
    written = json.loads((folder / "runs/digits-001/profile.json").read_text())
    assert printed["profile"] == written
    by_class_and_in_all(folder / "runs/digits-001", summary, written)


def by_class_and_in_all(run: Path, summary: dict, profile: dict) -> None:
    """The confusion matrix, what follows from it, and spikes as the profile counts them on the same images."""
    confusion, classes = np.array(summary["confusion"]), summary["classes"]
    assert [row["name"] for row in classes] == [str(k) for k in range(10)]
    assert [row["name"] for row in classes] == list(netx.load(run / "student.net").class_names or ())
    assert [row["images"] for row in classes] == confusion.sum(axis=1).tolist()
    assert summary["accuracy"]["integer"] == pytest.approx(np.trace(confusion) / 360)
    assert [row["accuracy"] for row in classes] == pytest.approx(np.diag(confusion) / confusion.sum(axis=1))
    rows = np.loadtxt(run / "answers.csv", int, delimiter=",", skiprows=1)
    assert rows[:, 0].tolist() == list(range(360)) and (confusion[rows[:, 1], rows[:, 2]] > 0).all()
    fired = sum(row["spikes"] for row in profile["layers"] if row["name"] != "input")
    assert summary["spikes"] == pytest.approx(fired / profile["samples"])


@pytest.mark.lava
def test_profile_json(folder: Path, net: Path, events: Path, data: Callable[..., dict]) -> None:
    printed = data("profile", "--energy", "--samples", 20)
    assert (printed["fidelity"], printed["samples"], printed["steps"]) == ("integer", 20, STEPS)
    assert [row["name"] for row in printed["layers"]] == ["input", "layer0", "layer1"]
    assert all(row.keys() <= documented("profile") for row in printed["layers"])
    assert set(printed["energy"]) == {"loihi1", "loihi2"}
    assert printed["energy"]["loihi2"]["static_uJ"]["typical"] > 0
    teacher = printed["teachers"][0]
    alone = data("profile", "runs/digits-001/stage-teacher.net", "--energy", "--input", events)
    assert (teacher["stage"], teacher["kind"], teacher["not_known"]) == ("teacher", "snn", None)
    assert teacher["energy_uJ"]["loihi2"]["typical"] > printed["energy"]["loihi2"]["dynamic_uJ"]["typical"]
    assert alone["energy"]["loihi2"]["dynamic_uJ"] is not None, "it is a network like others"
    counted = {key: value for key, value in printed.items() if key not in ("in_memory", "teachers")} | {"energy": {}}
    assert data("profile", "--samples", 20) == counted
    one = data("profile", "--samples", 20, "--target", "loihi2")
    assert one["energy"] == {"loihi2": printed["energy"]["loihi2"]}, "--target asks for energy"

    of_file = data("profile", net)
    assert of_file["samples"] == 16 and "seeded random" in of_file["data"]
    assert data("profile", net, "--samples", 20)["samples"] == 20
    given = data("profile", net, "--input", events)
    assert (given["samples"], given["data"]) == (3, str(events))
    assert data("profile", net, "digits-001", "--samples", 2)["profiles"][0] == data("profile", net, "--samples", 2)


def test_profile_beside_a_measurement_and_with_costs_fitted_to_it(
    untrained: Path, no_data: Path, data: Callable[..., dict], call: Call
) -> None:
    where = 'source = "board"\ndate = 2026-11-20\ninstrument = "meter"\nconditions = "none"\n'
    Path("m.toml").write_text(f'target = "loihi2"\n{where}[measured]\ndynamic_uJ = 5.0\nlatency_us = 90\n')
    plain = data("profile", untrained, "--target", "loihi2")
    found = data("profile", untrained, "--measured", "m.toml")
    (one,) = found["energy"]["loihi2"].pop("measured")
    assert found == plain, "the estimate stays what it is"
    assert (one["file"], one["date"], one["conditions"]) == ("m.toml", "2026-11-20", "none")
    assert one["values"][0]["ratio"] == pytest.approx(5 / plain["energy"]["loihi2"]["dynamic_uJ"]["typical"])
    fitted = data("profile", untrained, "--measured", "m.toml", "--calibrate", "--out", "own.toml")["calibration"]
    assert fitted["method"] == "one common factor" and fitted["file"] == "own.toml"
    own = data("profile", untrained, "--target", "own.toml")["energy"]["loihi2-calibrated"]
    assert own["dynamic_uJ"]["typical"] == pytest.approx(5.0, rel=1e-4)
    assert own["latency_us"]["typical"] == pytest.approx(90, rel=1e-4)
    shown = call("profile", untrained, "--measured", "m.toml", "--calibrate", "--out", "own.toml")[1]
    assert "measured / typical" in shown and "written: own.toml" in shown and "one common factor" in shown
    for words, told in (
        (["--calibrate"], "--calibrate: needs measurements"),
        (["--out", "x.toml"], "--out x.toml: is where --calibrate writes"),
        (["--measured", "m.toml", "--calibrate", "--out", "m.toml"], "is an input of this command"),
        (["--measured", "m.toml", "--target", "loihi1"], "m.toml: target: measured on 'loihi2'"),
        (["--measured", "missing.toml"], "missing.toml: cannot be read"),
    ):
        code, output, errors = call("profile", untrained, *words)
        assert (code, output) == (2, "") and told in errors


@pytest.mark.qemu
def test_profile_on_a_micro_controller(untrained: Path, no_data: Path, data: Callable[..., dict]) -> None:
    found = data("profile", untrained, "--target", "cortex-m4")["energy"]["cortex-m4"]
    costs = {cost["name"]: cost for cost in found["costs"]}
    for key in ("low", "typical", "high"):
        cycles = found["instructions"] * costs["cycles_per_instruction"][key]
        assert found["total_uJ"][key] == pytest.approx(cycles * costs["cycle"][key] * 1e-6)
        assert found["latency_us"][key] == pytest.approx(cycles * costs["cycle_time"][key] * 1e-3)
    assert found["instructions_samples"] == 16 and found["dynamic_uJ"] is None
    assert found["ann"]["energy_uJ"]["typical"] > 0
    assert "cortex-m4" not in data("profile", untrained, "--energy")["energy"], "it takes seconds: only where named"


def test_a_micro_controller_without_an_emulator_says_what_to_install(
    untrained: Path, no_data: Path, monkeypatch: pytest.MonkeyPatch, data: Callable[..., dict]
) -> None:
    monkeypatch.setenv("PATH", str(no_data))
    found = data("profile", untrained, "--target", "cortex-m0plus")["energy"]["cortex-m0plus"]
    assert (found["instructions"], found["total_uJ"], found["ann"]["energy_uJ"] is None) == (None, None, False)
    assert "qemu-system-arm" in found["not_known"][0] and "apt-get install" in found["not_known"][0]


@pytest.mark.lava
def test_a_quick_look_changes_no_stored_result(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Callable[..., dict], call: Call
) -> None:
    shutil.copytree("runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    kept = {"profile": Path("runs/digits-001/profile.json"), "export": Path("runs/digits-001/verification.json")}
    for command, path in kept.items():
        printed = data(command, *(["--energy"] if command == "profile" else []))
        assert printed["stored"] == str(path) and json.loads(path.read_text()) == printed
    before = {path: path.read_bytes() for path in kept.values()}
    looks = ["profile --samples 5", "profile --target loihi2", "export --samples 1", "export --out own.net"]
    for look in looks:
        assert data(*look.split())["stored"] is None
        assert "not stored" in call(*look.split())[1]
    assert {path: path.read_bytes() for path in kept.values()} == before
    for name in ("student.net", "recipe.toml", "checkpoints/student.safetensors"):
        code, _, errors = call("export", "--out", f"runs/digits-001/{name}")
        assert code == 2 and "--out" in errors


@pytest.mark.lava
def test_what_a_run_reads_back_is_checked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("recipe.toml", "provenance.json", "student.net", "checkpoints/student.safetensors"):
        shutil.rmtree("runs", ignore_errors=True)
        shutil.copytree(folder / "runs", "runs")
        path = Path("runs/digits-001") / name
        changed = bytearray(path.read_bytes())
        changed[-20] ^= 1
        path.write_bytes(changed)
        code, output, errors = call("export")
        assert (code, output) == (2, "") and f"{path}: damaged" in errors and errors.count("\n") == 1
    damaged = Path("runs/digits-001/checkpoints/student.safetensors").read_bytes()
    code, _, errors = call("train", *SHORT, "--reuse")
    assert code == 0 and "--reuse passes over it: runs/digits-001/checkpoints/student.safetensors" in errors
    assert Path("runs/digits-001/checkpoints/student.safetensors").read_bytes() == damaged
    code, _, errors = call("train", *SHORT, "--resume")
    assert code == 0 and "goes on with runs/digits-002: teacher 2 of 2 epochs" in errors
    same = [path.read_bytes() for path in (folder / "runs/digits-001/student.net", Path("runs/digits-002/student.net"))]
    assert netx.load(folder / "runs/digits-001/student.net").parameters and len(same[0]) == len(same[1])


@pytest.mark.lava
def test_a_second_process_is_refused_in_a_run_folder(folder: Path, call: Call) -> None:
    with lock.held(folder / "runs/digits-001", "train"):
        code, output, errors = call("profile")
        assert (code, output) == (2, "") and f"in use by process {os.getpid()}" in errors
        assert call("profile", "--samples", 5)[0] == 0, "which writes nothing there"
    assert call("profile")[0] == 0


def test_simulate_writes_the_documented_arrays(
    untrained: Path, events: Path, tmp_path: Path, data: Callable[..., dict], call: Call
) -> None:
    printed = data("simulate", untrained, "--input", events, "--out", tmp_path / "new/trace.npz", "--states")
    expected = definition.simulate(netx.load(untrained), np.load(events), states=True)
    rows = [(row.name, int(row.spikes.sum()), row.overflows, row.saturations) for row in expected.layers]
    assert [tuple(row.values()) for row in printed["layers"]] == rows
    assert list(printed["layers"][0]) == ["name", "spikes", "overflows", "saturations"]
    assert (printed["samples"], printed["steps"]) == (3, 8) and printed["seconds"] > 0
    with np.load(tmp_path / "new/trace.npz") as arrays:
        shapes = {name: (array.dtype.name, array.shape) for name, array in arrays.items()}
        for layer in expected.layers:
            for name, array in ((layer.name, layer.spikes), (f"{layer.name}_u", layer.u), (f"{layer.name}_v", layer.v)):
                np.testing.assert_array_equal(arrays[name], array)
    states = {f"layer{k}_{name}": ("int32", (3, 8, size)) for k, size in enumerate((HIDDEN, 10)) for name in "uv"}
    spikes = {f"layer{k}": ("uint8", (3, 8, size)) for k, size in enumerate((HIDDEN, 10))}
    assert shapes == {"input": ("uint8", (3, 8, 1, 8, 8)), **spikes, **states}

    code, output, _ = call("simulate", untrained, "--input", events, "--out", tmp_path / "trace.npz")
    assert code == 0 and "3 samples of 8 steps" in output
    with np.load(tmp_path / "trace.npz") as arrays:
        assert set(arrays) == {"input", "layer0", "layer1"}


@pytest.mark.lava
def test_verify_a_file_against_lava(net: Path, events: Path, data: Callable[..., dict]) -> None:
    printed = data("verify", net, "--against", "lava", "--input", events)
    assert (printed["equal"], printed["first_difference"], printed["bias"]) == (True, None, False)
    cells = 3 * 8 * (HIDDEN + 10)
    assert printed["compared"]["cells"] == 3 * cells and printed["compared"]["states"] == 2 * cells
    assert printed["differences"] == {"layer0": 0, "layer1": 0}


@pytest.mark.lava
def test_inspect_shows_the_layers(net: Path, data: Callable[..., dict], call: Call) -> None:
    printed = data("inspect")
    assert data("inspect", "digits-001") == data("inspect", net) == printed
    assert [(row["layer"], row["kind"], row["shape"]) for row in printed["layers"]] == [
        ("layer0", "dense", [HIDDEN]),
        ("layer1", "dense", [10]),
    ]
    assert all(row.keys() <= documented("inspect") for row in printed["layers"])
    assert (printed["input_shape"], printed["steps"], printed["message_bits"]) == ([1, 8, 8], STEPS, 8)
    assert printed["encoding"]["kind"] == "direct"
    assert printed["provenance"]["recipe_name"] == "digits" and printed["provenance"]["device"]
    code, output, _ = call("inspect")
    assert code == 0 and "layer1" in output and "threshold" in output and "provenance" in output


@pytest.mark.parametrize("command", ["models", "recipes", "datasets", "targets"])
def test_what_there_is(no_data: Path, command: str, data: Callable[..., dict], call: Call) -> None:
    rows = data(command)[command]
    assert rows and all(row.keys() <= documented(command) for row in rows)
    code, output, errors = call(command)
    assert (code, errors) == (0, "")
    for row in rows:
        assert row["name"] in output, "names are whole, however narrow the output is"


def test_data_that_is_missing_is_shown_with_its_folder(
    no_data: Path, tmp_path: Path, data: Callable[..., dict]
) -> None:
    rows = {row["name"]: row for row in data("datasets", "--data-root", tmp_path)["datasets"]}
    assert rows["digits"]["here"] and not rows["mnist"]["here"]
    assert rows["mnist"]["folder"] == str(tmp_path / "MNIST/raw") and "train-images" in rows["mnist"]["lacks"]


# Exit status 1: a check found something


@pytest.mark.lava
def test_export_of_a_changed_file(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    """The file no longer is what was trained: Lava agrees with it, SLAYER does not."""
    shutil.copytree("runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    student = netx.load("runs/digits-001/student.net")
    first = student.layers[0]
    assert isinstance(first, Dense)
    netx.save(replace(student, layers=(replace(first, weight=-first.weight), student.layers[1])), _student())
    code, output, errors = call("export")
    assert (code, output) == (2, "") and "student.net: damaged, or changed since it was written" in errors
    Path("runs/digits-001/SHA256SUMS").unlink()
    code, output, errors = call("export")
    assert (code, errors) == (1, "")
    assert re.search(r"first with slayer: s of layer0, sample \d, step \d, neuron \[\d+\]: expected", output)
    assert "first with lava" not in output
    assert json.loads(Path("runs/digits-001/verification.json").read_text())["differences"] > 0


def _student() -> Path:
    return Path("runs/digits-001/student.net")


def test_verify_names_the_first_difference(
    untrained: Path, events: Path, monkeypatch: pytest.MonkeyPatch, data: Callable[..., dict], call: Call
) -> None:
    wrong = types.ModuleType("an_engine_that_is_wrong")

    def run(net, spikes, states=False):
        trace = definition.simulate(net, spikes, states)
        spikes = trace.layers[1].spikes.copy()
        spikes[2, 5, 7] ^= 1
        return replace(trace, layers=(trace.layers[0], replace(trace.layers[1], spikes=spikes)))

    vars(wrong).update(available=lambda: None, refuses=lambda net: None, run=run)
    monkeypatch.setitem(sys.modules, wrong.__name__, wrong)
    monkeypatch.setitem(engines.ENGINES, "wrong", wrong.__name__)
    printed = data("verify", untrained, "--against", "wrong", "--input", events, status=1)
    assert not printed["equal"] and printed["differences"] == {"layer0": 0, "layer1": 1}
    where = {key: printed["first_difference"][key] for key in ("quantity", "layer", "sample", "step", "neuron")}
    assert where == {"quantity": "s", "layer": "layer1", "sample": 2, "step": 5, "neuron": [7]}
    assert {printed["first_difference"][key] for key in ("expected", "actual")} == {0, 1}
    code, output, _ = call("verify", untrained, "--against", "wrong", "--input", events)
    assert code == 1 and "DIFFERENT" in output and "s of layer1, sample 2, step 5, neuron [7]" in output


@pytest.mark.lava
def test_check_says_what_to_change(net: Path, data: Callable[..., dict], call: Call) -> None:
    fits = data("check", net, "--target", "loihi2")
    assert (fits["verdict"], fits["violations"]) == ("likely", [])
    refused = data("check", "--target", "loihi1", status=1)
    (violation,) = refused["violations"]
    assert violation.keys() <= documented("check")
    assert (violation["layer"], violation["limit"]) == ("input", "payload_bits")
    code, output, _ = call("check", "--target", "loihi1")
    assert code == 1 and "does not fit" in output and "binary encoding" in output


# Exit status 2: one clear message


LAVA = pytest.mark.lava
POOL = """
[encoding]
steps = 4
[chain.student]
network = "pooled"
epochs = 1
[networks.pooled]
input = [1, 8, 8]
layers = [{kind = "avgpool", kernel = 2}, {kind = "dense", neurons = 10}]
"""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "digit"], ["no recipe is called 'digit'", "did you mean digits"]),
        (
            ["train", "--set", "chain.student.epoch=3"],
            ["'epoch'", "did you mean 'epochs'", "--set chain.student.epoch"],
        ),
        (["train", "--set", "chain.studnet.epochs=3"], ["'studnet'", "did you mean 'student'"]),
        (["train", "--set", "chain.student.epochs=few"], ["chain.student.epochs", "valid integer", "'few'"]),
        (["train", "--set", "epochs"], ["--set epochs: expected KEY=VALUE"]),
        (["train", "--seed", "-1"], ["seed", "-1"]),
        pytest.param(
            ["train", "mnist", "--data-root", "nowhere"],
            ["mnist", "nowhere/MNIST/raw", "--data-root", "--download"],
            marks=LAVA,
        ),
        (["train", "pool.toml"], ["pool.toml", "layers[0].kind", "'avgpool'", "stride 2 instead"]),
        (["train", "none.toml"], ["none.toml: no such recipe file"]),
        (["train", "."], [".: is a folder: expected a name, or a file that ends with .toml"]),
        (["train", "unfit"], ["unfit: is a folder; its recipe is unfit/recipe.toml"]),
        (["train", "begun"], ["begun: is a run", "runs/begun/recipe.toml"]),
        (["train", "STUDENT"], ["is an HDF5 file: expected a TOML file"]),
        (["train", "utf16.toml"], ["utf16.toml: is text in UTF-16: save it as UTF-8"]),
        (["train", "onnx.toml"], ["chain.a.network", "teacher.onnx is a model from outside: say model = "]),
        (["train", "net.toml"], ["chain.a.net", "teacher.onnx is a model from outside: say model = "]),
        (["simulate", "begun", "--input", "ok.npy", "--out", "x.npz"], ["begun: is a run", "runs/begun/student.net"]),
        (["quantize", "runs/begun", "--bits", "4", "--out", "x.net"], ["is a run", "runs/begun/student.net"]),
        (["convert", "runs/begun", "x.nir"], ["is a run", "runs/begun/student.net"]),
        (["check", "runs"], ["runs: holds run folders", "runs/begun", "--runs runs"]),
        (["check", "file"], ["file: is a folder without recipe.toml", "known in"]),
        (["check", "teacher.onnx"], ["teacher.onnx: no such file"]),
        (["check", "bad.npy"], ["bad.npy: is text: expected a network"]),
        (["export", "STUDENT"], ["is a file, and this takes a run folder or its name"]),
        (["handoff", "--verify", "none.zip"], ["none.zip: no such file"]),
        pytest.param(["train", "--device", "tpu"], ["--device tpu", "auto, cpu, cuda"], marks=LAVA),
        (["run", "--set", "target.name=loihi9"], ["loihi9", "did you mean loihi2"]),
        (["run", "--set", "target.name=loihi2"], ["'loihi2' cannot be run here", "snnkd targets"]),
        pytest.param(["export", "digits-009"], ["digits-009", "known: digits-001"], marks=LAVA),
        pytest.param(["export", "unfinished"], ["this run is not finished", "--resume"], marks=LAVA),
        pytest.param(
            ["export", "--target", "loihi3"],
            ["no target is called 'loihi3'", "did you mean loihi2"],
            marks=pytest.mark.lava,
        ),
        (["export", "--runs", "elsewhere"], ["no finished run in", "elsewhere", "snnkd train"]),
        pytest.param(["profile", "--input", "events.npy"], ["--input", "student.net"], marks=LAVA),
        pytest.param(["profile", "--energy", "--target", "loihi9"], ["loihi9", "did you mean"], marks=LAVA),
        (["simulate", "STUDENT", "--input", "bad.npy", "--out", "x.npz"], ["bad.npy: is text", "numpy.loadtxt"]),
        (["simulate", "STUDENT", "--input", "cut.npy", "--out", "x.npz"], ["cut.npy: its header claims", "cut off"]),
        (["simulate", "STUDENT", "--input", "none.npy", "--out", "x.npz"], ["none.npy: no such file"]),
        (
            ["simulate", "STUDENT", "--input", "float.npy", "--out", "x.npz"],
            ["float.npy: expected integers", "found float64", "astype"],
        ),
        (["simulate", "STUDENT", "--input", "wide.npy", "--out", "x.npz"], ["(N, T, 64)", "found int64 (2, 4, 65)"]),
        (["simulate", "STUDENT", "--input", "ok.npy", "--out", "x.npz", "--engine", "fst"], ["'fst'", "reference"]),
        pytest.param(["verify", "--against", "luva"], ["no engine is called 'luva'", "lava"], marks=LAVA),
        (["inspect", "text.net"], ["text.net", "HDF5"]),
        (["inspect", "none.net"], ["none.net: no such file"]),
        (["check", "zeros.net"], ["zeros.net", "layer/2: weight", "all weights are 0"]),
        pytest.param(
            ["check", "--target", "loihi9"],
            ["no target is called 'loihi9'", "did you mean loihi2"],
            marks=pytest.mark.lava,
        ),
    ],
    ids=lambda value: " ".join(value[:3]) if value[0] in ("train", "run") else None,
)
def test_unusable_input(
    arguments: list[str], words: list[str], untrained: Path, no_data: Path, request: pytest.FixtureRequest, call: Call
) -> None:
    if request.node.get_closest_marker("lava"):  # with a run, and with one that is not finished
        for name in ("digits-001", "unfinished"):
            shutil.copytree(request.getfixturevalue("trained")[0] / "runs/digits-001", f"runs/{name}")
        Path("runs/unfinished/summary.json").unlink()
    else:
        for made in ("unfit", "runs/begun"):
            Path(made).mkdir(parents=True)
            Path(made, "recipe.toml").write_text(POOL)
    Path("pool.toml").write_text(POOL)
    Path("utf16.toml").write_text(POOL, encoding="utf-16")
    for name, field in (("onnx", "network"), ("net", "net")):
        text = POOL.replace("[chain.student]\n", f'[chain.a]\n{field} = "teacher.onnx"\n[chain.student]\n')
        Path(f"{name}.toml").write_text(text.replace("pooled", "conv-8x8-student").partition("[networks")[0])
    Path("text.net").write_text("hello")
    Path("bad.npy").write_text("hello")
    np.save("float.npy", np.zeros((2, 4, 64)))
    np.save("wide.npy", np.zeros((2, 4, 65), int))
    np.save("ok.npy", np.zeros((2, 4, 64), int))
    Path("cut.npy").write_bytes(Path("wide.npy").read_bytes()[:300])
    shutil.copy(untrained, "zeros.net")
    with h5py.File("zeros.net", "r+") as file:
        file["layer/2/weight"][...] = 0
    before = sorted(Path().rglob("*"))
    code, output, errors = call(*(str(untrained) if word == "STUDENT" else word for word in arguments))
    assert (code, output) == (2, "")
    assert errors.startswith("error: ") and ("problems:" in errors or errors.count("\n") == 1)
    for word in words:
        assert word in errors
    assert sorted(Path().rglob("*")) == before, "nothing is left of it"


@pytest.mark.parametrize("arguments", [["simulate", "x.net"], ["nonsense"], ["train", "--epochs", "3"]])
def test_wrong_usage(no_data: Path, arguments: list[str], call: Call) -> None:
    code, output, errors = call(*arguments)
    assert (code, output) == (2, "") and "Usage: " in errors and "--help" in errors


def test_a_name_with_brackets_is_printed_as_it_is(untrained: Path, tmp_path: Path, call: Call) -> None:
    shutil.copy(untrained, tmp_path / "[bold]x[red].net")
    code, output, _ = call("inspect", tmp_path / "[bold]x[red].net")
    assert code == 0 and "[bold]x[red].net" in output
    code, _, errors = call("inspect", tmp_path / "[red]none.net")
    assert code == 2 and "[red]none.net: no such file" in errors


def test_warnings_are_one_line(tmp_path: Path, call: Call) -> None:
    neuron = Cuba(*(np.array(value, np.int32) for value in (1024, 128, 80)))
    netx.save(IntNet((2,), (Dense(np.array([[2, -2]], np.int32), neuron),)), tmp_path / "x.net")
    with h5py.File(tmp_path / "x.net", "r+") as file:
        file["layer/1/weight"][...] = [[300, -2]]
    code, output, errors = call("inspect", tmp_path / "x.net")
    assert code == 0 and "-2 to 254" in output
    assert re.fullmatch(r"warning: \S+x\.net: layer/1: weight: 1 of 2 beyond \[-256, 254\] are clipped.*\n", errors)


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["train"], "`snnkd train --resume`"),
        (["run", "mnist"], "`snnkd run --resume`"),
        (["export"], "was not compared: export it again"),
        (["handoff", "x.net"], "no bundle was written or proved"),
        (["check", "x.net"], "nothing was written: run it again"),
    ],
)
def test_ctrl_c(
    words: list[str], advice: str, untrained: Path, no_data: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    shutil.copy(untrained, "x.net")
    for where, name in ((api, "train"), (api, "run"), (api, "export"), (bundle, "pack"), (fit, "fit")):
        monkeypatch.setattr(where, name, interrupted)
    code, output, errors = call(*words)
    assert (code, output) == (130, "") and errors.startswith("error: interrupted; ") and advice in errors
    assert ("--resume" in errors) == (words[0] in ("train", "run"))


def test_memory_that_is_not_there_is_one_line(no_data: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    def empty(*_, **__):
        raise MemoryError("Unable to allocate 931. GiB")

    monkeypatch.setattr(api, "train", empty)
    code, output, errors = call("train")
    assert (code, output) == (2, "") and errors.startswith("error: out of memory (Unable to allocate 931. GiB); ask")


def test_samples_without_end(untrained: Path, no_data: Path, call: Call) -> None:
    for command in (["verify", "--against", "fast"], ["profile"], ["inspect"]):
        code, output, errors = call(command[0], untrained, *command[1:], "--samples", "999999999999")
        assert (code, output) == (2, "") and "ask for fewer samples" in errors and "iB of memory" in errors


def test_an_error_of_the_system_is_one_line(no_data: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    def full(*_, **__):
        raise OSError(28, "No space left on device", "events.out")

    monkeypatch.setattr(api, "train", full)
    assert call("train") == (2, "", "error: events.out: No space left on device\n")


# Places that cannot be written to


@linux
@pytest.mark.lava
def test_export_into_a_read_only_folder(folder: Path, tmp_path: Path) -> None:
    prefix = ()
    if os.geteuid() == 0:  # root may write anywhere: without this capability it is like everyone else
        prefix = ("setpriv", "--bounding-set", "-dac_override")
        if not shutil.which("setpriv"):
            pytest.skip("root may write to any folder, and needs setpriv to give that up")
    kept = tmp_path / "kept" / "x.net"
    kept.parent.mkdir()
    shutil.copy(folder / _student(), kept)
    before = kept.read_bytes()
    kept.parent.chmod(0o555)
    try:
        done = process(*prefix, SNNKD, "export", "--out", kept, folder=folder)
    finally:
        kept.parent.chmod(0o755)
    expected = f"error: {kept}: cannot be written: Permission denied; choose another folder\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)
    assert kept.read_bytes() == before and list(kept.parent.iterdir()) == [kept]


@linux
@pytest.mark.lava
def test_export_onto_a_full_disk(folder: Path, tmp_path: Path) -> None:
    """A file system of its own with room for one file, which is there already."""
    unshare = ("unshare", "--map-root-user", "--mount", "sh", "-c")
    if not shutil.which("unshare"):
        pytest.skip("needs unshare to mount a small file system")
    if process(*unshare, f"mount -t tmpfs none '{tmp_path}'", folder=folder).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    size = -(-(folder / _student()).stat().st_size // 4096) * 4
    script = (
        f"mount -t tmpfs -o size={size + 4}k none '{tmp_path}' && cp {_student()} '{tmp_path}/x.net' && "
        f"'{SNNKD}' export --out '{tmp_path}/x.net'; echo $?; cmp {_student()} '{tmp_path}/x.net' && ls -A '{tmp_path}'"
    )
    done = process(*unshare, script, folder=folder)
    problem = "cannot be written: No space left on device; an earlier file is intact"
    assert done.stderr == f"error: {tmp_path}/x.net: {problem}\n"
    assert done.stdout == "2\nx.net\n"


# Nothing heavy where nothing heavy is needed


@pytest.mark.parametrize(
    "arguments", ["--help", "targets", "models", "check STUDENT", "profile --energy STUDENT", "inspect STUDENT"]
)
def test_no_torch_and_no_lava(untrained: Path, no_data: Path, arguments: str) -> None:
    code = (
        "import sys; from snnkd.cli import main\n"
        "try: main()\n"
        "finally: print({'torch', 'lava.magma', 'lava.lib.dl'} & sys.modules.keys(), file=sys.stderr)"
    )
    done = process(sys.executable, "-c", code, *arguments.replace("STUDENT", str(untrained)).split(), folder=no_data)
    assert (done.returncode, done.stderr) == (0, "set()\n")
    assert done.stdout


@pytest.mark.parametrize("arguments", ["--help", "profile STUDENT", "check STUDENT"])
def test_what_starts_quickly_loads_no_numba(untrained: Path, no_data: Path, arguments: str) -> None:
    """Nor typer's boxes; a small network is profiled by the definition, to the same figures."""
    code = (
        "import sys; from snnkd.cli import main\n"
        "try: main()\n"
        "finally: print({'numba', 'typer.rich_utils'} & sys.modules.keys(), file=sys.stderr)"
    )
    words = [*arguments.replace("STUDENT", str(untrained)).split(), *(["--json"] if "STUDENT" in arguments else [])]
    done = process(sys.executable, "-c", code, *words, folder=no_data)
    assert (done.returncode, done.stderr) == (0, "set()\n")
    if "profile" in words:
        numba = process(sys.executable, "-c", f"import numba\n{code}", *words, folder=no_data)
        assert json.loads(numba.stdout) == json.loads(done.stdout)
        assert "numba" in numba.stderr


def test_version(no_data: Path, call: Call) -> None:
    import snnkd

    assert call("--version") == (0, f"{snnkd.__version__}\n", "")
