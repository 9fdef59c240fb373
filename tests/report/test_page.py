"""`snnkd report`: what its page shows, and that a browser draws all of it, on phones and desks, in both schemes."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import statistics
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from snnkd import recipe as recipes
from snnkd import runs, targets
from snnkd.analysis import evaluation, fit, health
from snnkd.base import files, provenance
from snnkd.base.errors import DataError
from snnkd.data import datasets
from snnkd.engines import conformance
from snnkd.formats import netx
from snnkd.ir.network import IntNet
from snnkd.ir.readout import EarlyExit, Readout
from snnkd.report.page import charts, pictures, seen
from snnkd.report.page.charts import CoreCell
from snnkd.report.page.sections import SECTIONS
from snnkd.runs.results import Exported
from snnkd.runs.subject import opened

EVIL = "<script>"
CLASSES = (EVIL, "bird", "cat")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of images of three classes, one of which has a dangerous name."""
    image = pytest.importorskip("PIL.Image")
    folder, random = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for part, count in (("train", 4), ("test", 7)):
        for name in CLASSES:
            (folder / part / name).mkdir(parents=True)
            for k in range(count):
                image.fromarray(random.integers(0, 256, (8, 8), np.uint8)).save(folder / part / name / f"{k}.png")
    return folder


@pytest.fixture(scope="module")
def make(images, tmp_path_factory):
    """make(name, seed, right): a finished run whose network is random and whose files are those of the stages."""
    folder = tmp_path_factory.mktemp("runs")

    def run(name, seed=1, right=14, weights=1):
        changes = [f"name={name}", f"seed={seed}", f"data.set={images}", "data.validation=3"]
        if weights != 1:
            changes.append(f"quantization.weight_bits={weights}")
        recipe = recipes.load("digits", [*changes, 'description="An <img src=x onerror=alert(1)> & more"'])
        data = datasets.load(images, validation=3, seed=seed)
        made = runs.create(recipe, provenance.collect(recipe.to_dict(), seed, data.digest), folder)
        random = np.random.default_rng(seed)
        layers = (conformance.random_dense(random, (1, 8, 8), 70), conformance.random_dense(random, (70,), 3))
        facts = {"encoding": recipe.encoder().to_json(), "early_exit": EarlyExit(1, 2)}
        net = IntNet((1, 8, 8), layers, 4, 8, readout=Readout("membrane"), **facts)
        made.write("student.net", netx.to_bytes(net))
        _metrics(made, random)
        made.write("summary.json", files.to_json(_summary(made, right / 21)))
        events = opened(made.folder).samples(4).events()
        against = {engine: evaluation.verify(net, events, engine, states=False) for engine in ("fast", "reference")}
        exported = Exported("x.net", "loihi2-sim", "4 images", against["fast"].compared, 0, against, [], None)
        made.write("verification.json", files.to_json(exported.to_json()))
        return made

    return run


def _metrics(run, random):
    rows = []
    for stage in ("teacher", "student"):
        for epoch in range(1, 31):
            layers = {f"{key}.layer{k}": random.random() for key in ("rate", "silent") for k in (0, 1)}
            row = {"stage": stage, "epoch": epoch, "loss.label": 3.0 / epoch, "validation.integer": 1 - 0.5 / epoch}
            rows.append(row | layers)
    runs.write_metrics(run, rows)


def _summary(run, accuracy):
    own, baseline = ({"float": value, "integer": value} for value in (accuracy, accuracy - 1 / 21))
    teacher = {"network": "conv-8x8-teacher", "kind": "ann", "parameters": 1000, "neurons": 100}
    student = {"network": "conv-8x8-student", "kind": "snn", "parameters": 4690, "neurons": 73}
    return {
        "run": str(run.folder),
        "net": str(run.student),
        "accuracy": own,
        "baseline": baseline,
        "by_step": [accuracy / 2, accuracy, accuracy, accuracy],
        "early_exit": {"margin": 1, "first": 2, "accuracy": accuracy, "steps": 2.5},
        "data_set": "shapes",
        "test_images": 21,
        "steps": 4,
        "networks": {
            "teacher": {**teacher, "accuracy": {"float": 0.9, "integer": None}},
            "student": {**student, "accuracy": own},
        },
        "warnings": ["student: layer0 is silent"],
    }


@pytest.fixture(scope="module")
def one(make):
    return make("shapes")


@pytest.fixture(scope="module")
def several(make):
    """Two recipes of two seeds each, of which the second is better by 2 and by 4 of 21 images."""
    return [
        *(make("plain", seed, right) for seed, right in ((1, 10), (2, 11))),
        *(make("better", seed, right, weights=6) for seed, right in ((1, 12), (2, 15))),
    ]


@pytest.fixture
def report(call, tmp_path):
    def write(*made, expected=0, words=()):
        status, output, errors = call(
            "report", *(run.folder for run in made), "--html", tmp_path / "report.html", "--json", *words
        )
        assert status == expected, errors
        return (json.loads(output) if output else {}), tmp_path / "report.html", errors

    return write


class Elements(HTMLParser):
    """names: of all elements. targets: what they would load. text: all that is read, tooltips too."""

    def __init__(self, text):
        super().__init__()
        self.names, self.targets, self.text = set(), set(), ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.names.add(tag)
        self.targets |= {value for name, value in attributes if name in ("src", "href", "srcset", "action", "data")}
        assert not any(name.startswith("on") for name, _ in attributes)

    def handle_data(self, data):
        self.text += data


def test_the_page_holds_the_run_and_needs_nothing_else(one, report):
    told, path, _ = report(one)
    text = path.read_text()
    assert told["file"] == str(path) and told["bytes"] == len(text.encode()) < 3_000_000
    assert told["runs"] == [str(one.folder)] and told["warnings"] == []
    page = Elements(text)
    assert "script" not in page.names and "An <img src=x onerror=alert(1)> & more" in page.text
    assert all(target.startswith(("#", "data:")) for target in page.targets) and "url(" not in text
    for title in ("The network", "What it reaches", "How it learned", "Which classes", "Activity", "Parity"):
        assert title in page.text
    assert "student: layer0 is silent" in page.text and "66.67\N{NO-BREAK SPACE}%" in page.text
    assert provenance.file_digest(one.student) in page.text
    assert "Table 2 (pre-silicon SPICE, a minimum)" in page.text  # the source of a constant


def test_a_class_called_script_is_a_word(one, report):
    page = Elements(report(one)[1].read_text())
    assert "script" not in page.names
    assert page.text.count(EVIL) > 5  # in the selector, the samples, the matrix and its mistakes


def test_the_figures_are_those_of_the_network(one):
    subject = opened(one.folder)
    samples = subject.samples(None)
    run = evaluation.simulate(subject.net, samples.events())
    found = seen.look(subject.net, samples, CLASSES, shown=6)
    np.testing.assert_array_equal(found.answers, run.classes(subject.net))
    assert found.confusion.sum() == 21
    assert np.trace(found.confusion) == (run.classes(subject.net) == samples.labels).sum()
    spikes = run.layers[0].spikes
    np.testing.assert_allclose(found.rates[1], (spikes != 0).mean(axis=(0, 2)))
    assert len(found.shown) == 6
    for sample in found.shown:
        assert sample.panels[1].events == np.count_nonzero(spikes[sample.index])
        assert sample.scores.shape == (4, 3) and sample.scores[-1].argmax() == sample.answer


def test_the_page_tells_the_health_the_cores_and_the_ann(one, report):
    subject = opened(one.folder)
    examined = health.examine(subject.net, [subject.samples(None).events()])
    assert examined.findings
    text = " ".join(Elements(report(one)[1].read_text()).text.split())
    for found in examined.findings:
        assert f"{found.layer}: {found.count:,} of {found.total:,} {found.what}" in text
    for chip in ("loihi1", "loihi2"):  # those that it was profiled for
        placed = fit.fit(subject.net, targets.load(chip)).placement
        assert f"{placed.cores} cores on 1 chip of {chip}" in text
        assert all(f"core {core.core}, {core.layer}: {core.neurons} neurons" in text for core in placed.by_core)
    for words in ("loihi2, static", "loihi2, total", "Latency of an inference", "on loihi2, ANN", "in 45 nm, ANN"):
        assert words in text


def test_an_older_profile_has_fewer_parts(make, report):
    run = make("older")
    newer = evaluation.profile(netx.load(run.student), opened(run.folder).samples(4).events()).to_json()
    older = {key: value for key, value in newer.items() if key not in ("in_memory", "neurobench")}
    older["energy"].pop("loihi1")
    for energy in older["energy"].values():
        for key in ("ann", "latency_us", "static_uJ", "total_uJ"):
            energy.pop(key, None)
    run.write("profile.json", files.to_json(older))
    text = Elements(report(run)[1].read_text()).text
    assert "loihi2, dynamic" in text and "of loihi2" in text and "loihi1" not in text
    assert not any(words in text for words in ("loihi2, static", "Latency", "ANN of the same shape"))


def test_chips_full_of_cores():
    cells = [CoreCell(k / 100, k % 8, f"core {k}") for k in range(300)]
    drawn = charts.core_map("Cores", cells, 128, "300 cores")
    assert [len(chip) for chip in drawn.chips] == [128, 128, 44] and drawn.left_out == 0
    assert max(drawn.at(127)) < drawn.width and drawn.at(127)[1] + drawn.pitch < drawn.step
    assert (cells[0].filled, cells[250].filled, cells[7].colour) == (0.06, 1.0, 1)
    assert charts.core_map("Cores", cells, 10, "300 cores").left_out == 24


def sections(text):
    return re.findall(r'<section id="run0-(\w+)">', text)


def test_what_is_missing_is_left_out_and_said(make, report):
    run = make("lost")
    whole = sections(report(run)[1].read_text())
    (run.folder / "verification.json").unlink()
    (run.folder / "metrics.csv").unlink()
    told, path, _ = report(run)
    assert whole == [section.name for section in SECTIONS]
    assert sections(path.read_text()) == [name for name in whole if name not in ("parity", "learning")]
    (warning,) = told["warnings"]
    assert "parity: `snnkd export`" in warning and "Left out: parity" in path.read_text()


def test_a_run_without_its_images_still_has_a_page(make, report, monkeypatch):
    run = make("moved")
    monkeypatch.setattr(datasets, "load", _gone)
    told, path, _ = report(run)
    assert any("samples" in text and "no such folder" in text for text in told["warnings"])
    assert sections(path.read_text()) == ["structure", "accuracy", "learning", "steps", "cores", "parity", "reproduce"]


def _gone(*_, **__):
    raise DataError("no such folder")


def test_the_confusion_of_the_whole_test_set_is_preferred(make, report):
    run = make("judged")
    counts = [[5, 2, 0], [0, 7, 0], [0, 0, 6_789]]
    run.write(
        "summary.json",
        files.to_json(_summary(run, 0.9) | {"confusion": counts, "classes": [{"name": name} for name in CLASSES]}),
    )
    text = Elements(report(run)[1].read_text()).text
    assert (
        "all 21 test images" in text
        and f"2 of class {EVIL} are taken for bird" in text
        and "6,789 of class cat" in text
    )


def test_unusable(one, make, report, tmp_path):
    assert "expected a name that ends with .html" in report(one, expected=2, words=("--html", tmp_path / "x.pdf"))[2]
    damaged = make("damaged")
    (damaged.folder / "verification.json").write_text("{}")
    assert "damaged, or changed" in report(damaged, expected=2)[2]
    damaged.write("verification.json", "[]")
    assert "verification.json: lacks" in report(damaged, expected=2)[2]
    assert not (tmp_path / "report.html").exists()


def test_seeds_of_one_recipe_are_compared_by_pairs(several, report):
    text = Elements(report(*several)[1].read_text()).text
    gains = [2 / 21, 4 / 21]
    half = 12.7062047 * statistics.stdev(gains) / math.sqrt(2)
    low, high = (statistics.fmean(gains) + sign * half for sign in (-1, 1))
    assert f"{100 * statistics.fmean(gains):+.2f} ({100 * low:+.2f} to {100 * high:+.2f}), 2 seeds" in text
    assert "better less plain" in text and "plain less itself without a teacher" in text
    assert "50.00\N{NO-BREAK SPACE}% (" in text  # the mean of 10 and 11 of 21


def test_two_runs_of_one_seed_stand_side_by_side(one, make, report):
    text = Elements(report(one, make("shapes"))[1].read_text()).text
    assert "2 runs side by side" in text and "shapes-002" in text and "Seeds of one recipe" not in text


# In a browser

_DRAWN = """[...document.querySelectorAll('figure > svg')].map(svg => {
  const box = svg.getBoundingClientRect(), shapes = [...svg.querySelectorAll('path, polyline, rect, circle')];
  const places = shapes.map(shape => shape.getBBox()).flatMap(own => [own.x, own.y, own.width, own.height]);
  return (!svg.checkVisibility() || box.width > 200 && box.height > 50) &&
    shapes.length > 3 && places.every(isFinite) && svg.getAttribute('aria-label').length > 20;
})"""
_WIDER = """[...document.querySelectorAll('body *')].filter(
  e => e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 99))"""
_PICTURES = "[...document.images].every(image => image.complete && image.naturalWidth > 0)"
_SHOWN = "[...document.querySelectorAll('article')].map(a => a.getBoundingClientRect().height > 100)"
_OPEN = "document.querySelectorAll('details').forEach(part => part.open = true)"


@pytest.mark.parametrize("runs_of", [slice(1), slice(2, 4)], ids=["one", "several"])
def test_a_browser_draws_it(runs_of, one, several, report, browser):
    _, path, _ = report(*[one, *several][runs_of])
    grounds = set()
    sizes = [(400, "light"), (1400, "dark"), (400, "dark"), (1400, "light")]
    for width, scheme in sizes if runs_of.stop == 1 else sizes[:2]:
        browser.said.clear()
        browser.open(path, width, scheme)
        browser.value(_OPEN)
        drawn = browser.value(_DRAWN)
        assert len(drawn) >= 8 and all(drawn)
        assert browser.value(_WIDER) == []
        assert browser.value("document.documentElement.scrollWidth") <= width
        assert browser.value(_PICTURES)
        assert browser.said == []
        grounds.add(browser.value("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2


def test_a_sample_is_chosen(one, report, browser):
    browser.open(report(one)[1], 1400)
    shown = browser.value(_SHOWN)
    assert shown == [True, *[False] * (len(shown) - 1)]
    browser.value("document.querySelectorAll('.samples > input')[2].click()")
    assert [k for k, visible in enumerate(browser.value(_SHOWN)) if visible] == [2]


# Its parts


def test_pictures_hold_the_values():
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
    kind, data = pictures.png(pixels).split(",")
    assert kind == "data:image/png;base64"
    np.testing.assert_array_equal(np.asarray(image.open(io.BytesIO(base64.b64decode(data)))), pixels)


def test_large_rasters_are_put_together():
    values = np.arange(10 * 9, dtype=float).reshape(10, 9)
    small = pictures.shrunk(values, (4, 5))
    assert small.shape == (4, 5)
    np.testing.assert_allclose(small[0, 0], values[:3, :2].mean())
    np.testing.assert_allclose(small[-1, -1], values[9, 8])
    many = np.random.default_rng(0).integers(0, 2, (2000, 300))
    assert len(pictures.raster(many, (seen.ROWS, seen.COLUMNS))) < 30_000


def test_samples_to_show_are_of_all_classes_and_some_wrong():
    labels = np.array([0, 0, 1, 2, 0, 1, 2, 2, 1, 0])
    answers = np.array([0, 1, 1, 2, 0, 1, 2, 0, 1, 0])
    assert seen.choose(labels, answers, 5) == [0, 1, 2, 3, 7]
    assert seen.choose(labels, labels, 5) == [0, 1, 2, 3, 4]
    assert seen.choose(labels, 3 - labels, 3) == [0, 2, 3]
    assert seen.choose(np.arange(6), np.array([0, 1, 2, 3, 0, 0]), 6) == [0, 1, 2, 3, 4, 5]
    assert seen.choose(np.repeat([0, 1, 2], 2), np.array([0, 9, 1, 9, 9, 9]), 3) == [0, 2, 4]


@pytest.mark.parametrize(
    ("axis", "texts"),
    [
        (charts.linear([0.8, 0.97], 0, 100, "percent"), ["80 %", "85 %", "90 %", "95 %", "100 %"]),
        (charts.linear([1, 40], 0, 100, whole=True), ["10", "20", "30", "40"]),
        (charts.logarithmic([0.02, 30], 0, 100), ["0.1", "1", "10"]),
        (charts.logarithmic([2000, 3000], 0, 100), ["1,800", "2,000", "2,500", "3,000"]),
        (charts.linear([5], 0, 100), ["4.5", "5", "5.5"]),
    ],
)
def test_axes(axis, texts):
    assert [text for _, text in axis.ticks] == texts
    places = [place for place, _ in axis.ticks]
    assert places == sorted(places) and min(places) >= 0 and max(places) <= 100


def test_a_chart_of_nothing_is_none():
    assert charts.plot("x", [charts.Series("a", [])], "x", "y") is None
    assert charts.plot("x", [charts.Series("a", [(1, 0.0)])], "x", "y", log=True) is None
    assert charts.ranges("x", [], "y") is None
    flat = charts.plot("x", [charts.Series("a", [(1, 0.5)])], "x", "y", percent=True)
    assert flat is not None and all(math.isfinite(place) for place, _ in (*flat.x.ticks, *flat.y.ticks))
    assert replace(flat, note=(1.0, "here")).legend == []
