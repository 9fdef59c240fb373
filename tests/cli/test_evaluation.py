"""`snnkd evaluate`: rows of runs and files, clean and corrupted, with intervals; what it refuses; the plot."""

import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from snnkd import recipe
from snnkd.analysis import evaluation, proportion
from snnkd.data import datasets, event_corruption
from snnkd.data.corruption import CORRUPTIONS, corrupt
from snnkd.data.encoding import Encoding
from snnkd.data.recordings import cells
from snnkd.engines import conformance
from snnkd.formats import netx
from snnkd.ir.event_encoding import EventEncoding
from snnkd.ir.network import IntNet

SHORT = [f"chain.{stage}.epochs=1" for stage in ("teacher", "ta", "student")]
ANN = ["chain.teacher.neuron=relu", "chain.ta.distil.losses={kl = 1.0}", "name=taught-by-an-ann"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with runs/digits-001, its baseline too, and runs/taught-by-an-ann-001, trained for an epoch each."""
    pytest.importorskip("torch")
    import snnkd

    folder = tmp_path_factory.mktemp("evaluate")
    for changes, baseline in ((SHORT, True), ([*SHORT, *ANN], False)):
        options = snnkd.TrainingOptions(folder=folder / "runs", baseline=baseline)
        snnkd.train(recipe.load("digits", changes), options)
    return folder


@pytest.fixture
def folder(finished, monkeypatch):
    monkeypatch.chdir(finished)
    return finished


@pytest.fixture
def rows(call):
    def read(*words):
        status, output, errors = call("evaluate", *words, "--json")
        assert status == 0, errors
        return json.loads(output)["rows"]

    return read


@pytest.fixture
def file(tmp_path, monkeypatch):
    """x.net reads digits by the encoding that it names; bare.net has none."""
    random = np.random.default_rng(3)
    layers = (conformance.random_dense(random, (1, 8, 8), 12), conformance.random_dense(random, (12,), 10))
    for name, encoding in (("x", Encoding("rate", 6).to_json()), ("bare", None)):
        netx.save(IntNet((1, 8, 8), layers, 6, 0, encoding), tmp_path / f"{name}.net")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(rows, **wanted):
    (row,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return row


@pytest.mark.lava
def test_clean_accuracies_are_those_of_the_training(folder, rows):
    summary = json.loads((folder / "runs/digits-001/summary.json").read_text())
    printed = rows("digits-001", "--networks", "student,teacher,ta,baseline")
    assert [row["network"] for row in printed] == ["student", "teacher", "ta", "baseline"]
    for row in printed:
        assert row["accuracy"] == summary["networks"][row["network"]]["accuracy"]["integer"]
        assert (row["corruption"], row["severity"], row["constant"], row["total"]) == ("none", 0, None, 360)
        assert row["interval"] == list(proportion.interval(row["correct"], 360))
    ann = json.loads((folder / "runs/taught-by-an-ann-001/summary.json").read_text())["networks"]["teacher"]
    assert rows("taught-by-an-ann-001", "--networks", "teacher")[0]["accuracy"] == ann["accuracy"]["float"]


@pytest.mark.lava
def test_the_integer_network_answers_on_corrupted_images(folder, rows):
    printed = rows("digits-001", "--corrupt", "shot,occlusion", "--severity", "2,5", "--samples", "100")
    assert [(row["corruption"], row["severity"]) for row in printed[1:]] == [
        (name, severity) for name in ("shot", "occlusion") for severity in (2, 5)
    ]
    net = netx.load(folder / "runs/digits-001/student.net")
    test, encoder = datasets.load("digits", seed=1).test, recipe.load(folder / "runs/digits-001/recipe.toml").encoder()
    images = corrupt(test.images[:100], np.arange(100), "shot", 5)
    classes = evaluation.simulate(net, encoder.encode(images, np.arange(100))).classes(net)
    row = found(printed, corruption="shot", severity=5)
    assert row["correct"] == (classes == test.labels[:100]).sum() and row["total"] == 100 and row["constant"] == 3


@pytest.mark.lava
def test_several_runs_stand_side_by_side_in_tables_of_any_width(folder, call, monkeypatch):
    words = ("evaluate", "digits-001", "taught-by-an-ann-001", "--corrupt", "gaussian", "--networks", "teacher,student")
    for width in ("60", "120"):
        monkeypatch.setenv("COLUMNS", width)
        from snnkd.cli import output

        output.console.cache_clear()
        status, printed, errors = call(*words)
        output.console.cache_clear()
        assert status == 0, errors
        lines = printed.splitlines()
        assert max(map(len, lines)) <= int(width)
        figures = [re.findall(r"\d+\.\d\d", line) for line in lines]
        assert sum(len(cells) for cells in figures if len(cells) > 1) == 6 * 4, "no figure is cut"
    assert "digits-001 teacher" in printed and "taught-by-an-ann-001 student" in printed


@pytest.mark.lava
def test_the_plot_holds_its_table(folder, call, tmp_path):
    every = ",".join(CORRUPTIONS)
    plot = tmp_path / "noise.svg"
    status, output, errors = call(
        "evaluate", "digits-001", "--corrupt", every, "--samples", 50, "--plot", plot, "--json"
    )
    assert status == 0, errors
    printed = json.loads(output)
    assert printed["plot"] == str(plot)
    svg = ET.parse(plot).getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert svg.get("role") == "img"
    title, described = svg.find(f"{space}title"), svg.find(f"{space}desc")
    assert title is not None and described is not None and described.text is not None
    assert svg.get("aria-labelledby", "").split() == [title.get("id"), described.get("id")]
    lines = dict(line.split(", ", 1) for line in described.text.splitlines()[1:])
    assert list(lines) == list(CORRUPTIONS)
    for row in printed["rows"][1:]:
        assert f"{row['severity']}: {100 * row['accuracy']:.2f} (" in lines[row["corruption"]]
    marks = svg.findall(f".//{space}g/{space}g/{space}title")
    assert len(marks) == 6 * 6
    width, height = float(svg.get("width", 0)), float(svg.get("height", 0))
    for line in svg.iter(f"{space}polyline"):
        points = [tuple(map(float, point.split(","))) for point in line.get("points", "").split()]
        assert len(points) == 6 and all(0 <= x <= width and 0 <= y <= height for x, y in points)


def test_a_file_reads_the_images_of_a_data_set(file, rows):
    printed = rows("x.net", "--data", "digits", "--corrupt", "impulse", "--severity", "3", "--samples", "40")
    net, test = netx.load(file / "x.net"), datasets.load("digits").test
    for row, images in zip(printed, (test.images, corrupt(test.images, np.arange(360), "impulse", 3)), strict=True):
        events = Encoding("rate", 6).encode(images[:40], np.arange(40))
        assert row["correct"] == (evaluation.simulate(net, events).classes(net) == test.labels[:40]).sum()
        assert (row["run"], row["total"]) == ("x.net", 40)


def test_recordings_are_corrupted_by_what_a_camera_adds(tmp_path, monkeypatch, rows, call, shaken):
    """A FILE.net with a set of recordings; what is of images is refused there, and the other way round."""
    for part in ("train", "test"):
        for label in range(2):
            for number in range(3):
                folder = tmp_path / "mine" / part / str(label)
                folder.mkdir(parents=True, exist_ok=True)
                one = shaken(200, seed=6 * label + number)
                np.save(folder / f"{number}.npy", np.stack([one.t, one.x, one.y, one.p], axis=1).astype(np.int64))
    encoding = EventEncoding(5, (12, 16), window_us=900)
    layer = conformance.random_dense(np.random.default_rng(2), (2, 12, 16), 2, thresholds=(300, 300))
    netx.save(IntNet((2, 12, 16), (layer,), 5, 0, encoding.to_json()), tmp_path / "x.net")
    monkeypatch.chdir(tmp_path)
    printed = rows("x.net", "--data", "mine", "--corrupt", "background", "--severity", "1,5")
    assert [(row["severity"], row["constant"], row["total"]) for row in printed] == [
        (0, None, 6),
        (1, 1, 6),
        (5, 10, 6),
    ]
    net, test = netx.load(tmp_path / "x.net"), datasets.load("mine", sensor=(12, 16)).test
    noisy = event_corruption.corrupt(test.images, np.arange(6), "background", 5)
    classes = evaluation.simulate(net, cells.encode(encoding, noisy)).classes(net)
    assert printed[2]["correct"] == (classes == test.labels).sum()
    status, _, error = call("evaluate", "x.net", "--data", "mine", "--corrupt", "blur")
    assert status == 2 and "are recordings, which take background" in error


def test_a_file_reads_events_and_labels(file, rows):
    events = np.random.default_rng(0).integers(0, 2, (7, 6, 1, 8, 8), dtype=np.uint8)
    net = netx.load(file / "bare.net")
    labels = evaluation.simulate(net, events).classes(net)
    labels[2] = (labels[2] + 1) % 10
    np.save("events.npy", events)
    np.save("labels.npy", labels)
    (row,) = rows("bare.net", "--input", "events.npy", "--labels", "labels.npy")
    assert (row["correct"], row["total"]) == (6, 7)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["x.net"], "--data SET, or --input and --labels"),
        (["x.net", "--data", "digits", "--corrupt", "fog"], "--corrupt fog: expected some of gaussian,impulse,"),
        (["x.net", "--data", "digits", "--severity", "6"], "--severity 6: expected numbers from 1 to 5"),
        (["x.net", "--data", "digits", "--severity", "4-2"], "--severity 4-2"),
        (["x.net", "--data", "digits", "--plot", "a.svg"], "--plot: draws accuracy on corrupted images"),
        (["x.net", "--data", "digits", "--corrupt", "blur", "--plot", "a.png"], "a.png"),
        (["x.net", "--input", "e.npy", "--labels", "l.npy", "--corrupt", "blur"], "--corrupt: changes images"),
        (["bare.net", "--data", "digits"], "does not say how images become its events"),
        (["x.net", "--data", "other.npz"], "(1, 4, 4)"),
    ],
)
def test_what_cannot_be_evaluated_is_said(file, call, words, expected):
    np.savez("other.npz", x=np.zeros((40, 4, 4), np.uint8), y=np.arange(40) % 2)
    np.save("e.npy", np.zeros((2, 6, 1, 8, 8), np.uint8))
    np.save("l.npy", np.zeros(2, np.int64))
    status, output, errors = call("evaluate", *words)
    assert (status, output) == (2, "") and expected in errors and "Traceback" not in errors
    assert not (file / "a.svg").exists()


@pytest.mark.lava
def test_what_a_run_has_not_is_said(folder, call):
    status, _, errors = call("evaluate", "digits-001", "--networks", "professor")
    assert status == 2 and "--networks professor" in errors and "teacher, ta, student, baseline" in errors
    status, _, errors = call("evaluate", "digits-001", "--data", "digits")
    assert status == 2 and "--data: a run has its own test images" in errors
