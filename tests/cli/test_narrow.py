"""At 60 columns every table has all the numbers that it has at 200: none is cut off, or folded."""

import io
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from snnkd.analysis import evaluation, verification
from snnkd.cli import comparison, conversion, deployment, findings, output, training
from snnkd.engines import conformance
from snnkd.formats import netx
from snnkd.ir.network import IntNet
from snnkd.report import robustness_table
from snnkd.report.tables import folded

NARROW, WIDE = 60, 200


def numbers(text):
    return Counter(re.findall(r"\d+(?:[.,]\d+)*", text))


def same_numbers(narrow, wide):
    """What is lacking or cut at 60 columns; the first columns may be there twice."""
    assert "\u2026" not in narrow and max(map(len, narrow.rstrip().splitlines())) <= NARROW
    return numbers(wide) - numbers(narrow)


@pytest.fixture
def printed(call, monkeypatch):
    def run(width, *words):
        monkeypatch.setenv("COLUMNS", str(width))
        output.console.cache_clear()
        try:
            status, text, errors = call(*words)
        finally:
            output.console.cache_clear()
        assert status in (0, 1), errors
        return text

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """x.net, which fires, with delays and graded input; wide.net, too large for small targets."""
    folder = tmp_path_factory.mktemp("narrow")
    net, events = conformance.networks()["delays"]
    netx.save(net, folder / "x.net")
    np.save(folder / "x.npy", events)
    np.save(folder / "labels.npy", np.arange(len(events)) % 2)
    random = np.random.default_rng(0)
    layer = conformance.random_dense(random, (2000,), 300)
    netx.save(IntNet((2000,), (layer,), message_bits=8), folder / "wide.net")
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ("inspect", "x.net", "--input", "x.npy"),
        ("profile", "x.net", "--energy", "--sources", "--input", "x.npy"),
        ("simulate", "x.net", "--input", "x.npy", "--out", "x.npz"),
        ("evaluate", "x.net", "--input", "x.npy", "--labels", "labels.npy"),
        ("quantize", "x.net", "--bits", "3", "--out", "y.net"),
        ("check", "wide.net", "--target", "loihi1"),
        ("handoff", "wide.net", "--target", "cortex-m0plus"),
        ("models",),
        ("targets",),
        ("datasets", "--data-root", "/nowhere"),
    ],
    ids=lambda words: words[0],
)
def test_commands(folder, printed, monkeypatch, words):
    monkeypatch.chdir(folder)
    narrow, wide = (re.sub(r" in \d+\.\d+ s", "", printed(width, *words)) for width in (NARROW, WIDE))
    assert not same_numbers(narrow, wide)


def altered():
    """A verification with a difference, its sums and what is said of it."""
    net, events = conformance.networks()["dense"]
    expected = evaluation.simulate(net, events, "reference", states=True)
    last = expected.layers[-1]
    assert last.v is not None
    layers = (*expected.layers[:-1], replace(last, spikes=1 - last.spikes, v=last.v + 123_456))
    compared = verification.compare(net, expected, replace(expected, layers=layers, engine="other"))
    return {"against": "other", "data": "these", "bias": False, **compared.to_json()}


def evaluated():
    rows = [
        {
            "run": f"runs/a-long-name-{k}",
            "network": "student",
            "data": "digits",
            "corruption": name,
            "severity": severity,
        }
        | {"accuracy": 0.9 - severity / 10 - k / 100, "interval": [0.1, 0.2], "total": 10_000}
        for name, severities in (("none", [0]), ("gaussian", range(1, 6)))
        for severity in severities
        for k in range(2)
    ]
    return {"rows": rows}


def trained():
    row = {"network": "conv-32x32-3m-teacher", "kind": "snn", "parameters": 3_380_928, "neurons": 176_138}
    networks = {name: row | {"accuracy": {"float": 0.98765, "integer": 0.87654}} for name in ("teacher", "assistant")}
    classes = [{"name": name, "images": 10, "accuracy": share} for name, share in (("a", 0.5), ("b", 0.625))]
    told = {"data_set": "cifar10", "test_images": 10_000, "steps": 4, "reused": {}, "by_step": [0.5, 0.75], "net": "x"}
    return (
        told
        | {"networks": networks, "early_exit": None, "classes": classes, "run": "runs/x-001"}
        | {"findings": [{"layer": "layer0", "count": 1234, "total": 176_138, "what": "neurons never fire"}] * 6}
    )


def compared():
    run = {"recipe": "best/cifar10-conv", "seed": 1_234_567, "accuracy": 0.98765, "spikes": 1_234_567.0}
    runs = [run | {"run": f"runs/cifar10-conv-00{k}", "date": f"2026-11-0{k}T12:34:56+00:00"} for k in (1, 2, 3)]
    band = {"low": 0.001234, "typical": 1234.5, "high": 1_234_567.0}
    values = {"field": "chain.student.distil.losses.kl", "values": [1.25, 0.03125, None]}
    pair = {"first": "runs/a-1", "second": "runs/a-2", "difference": 0.0123, "images": 10_000, "first_right": 1_234}
    pair |= {"second_right": 2_345, "interval": [0.01, 0.02], "p": 0.012, "why": None}
    return {
        "runs": runs,
        "recipe": [values],
        "pairs": [pair],
        "by_seed": None,
        "energy": {"loihi2": [band, band, None]},
    }


def converted():
    errors = {"weight": 0.012345, "decay": 0.0}
    row = {"layer": "layer0", "nodes": ["Linear fc", "LIF lif"], "becomes": "dense 1,000 -> 2,000, delays to 62"}
    row |= {"scale": 1234.5, "errors": errors, "notes": []}
    effect = {"layer": "layer0", "float64": 123_456_789, "integers": 123_456_788, "differ": 0.01234, "rate": 0.1234}
    whole = {"data": "x", "layers": [effect], "classes_equal": 0.98765, "samples": 10_000, "accuracy": None}
    return {"layers": [row], "effect": whole, "dt": 0.0001, "why": "said", "not_said": [], "out": "y.net"}


@pytest.mark.parametrize(
    ("render", "make"),
    [
        (findings.render_verification, altered),
        (robustness_table, evaluated),
        (training.summary, trained),
        (comparison._compared, compared),
        (conversion._converted, converted),
        (deployment.difference, lambda: altered()["first_difference"]),
    ],
    ids=["verify", "evaluate", "train", "compare", "convert", "difference"],
)
def test_results(render, make):
    data, texts = make(), []
    for width in (NARROW, WIDE):
        console = Console(width=width, file=io.StringIO())
        console.print(render(data))
        texts.append(console.file.getvalue())
    assert not same_numbers(*texts)


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("12,345 spikes", 8, ["12,345", "spikes"]),
        ("8c5s2-16c5s2-10", 8, ["8c5s2-", "16c5s2-", "10"]),
        ("-36 to 38", 6, ["-36 to", "38"]),
        ("2026-11-30 12:34", 10, ["2026-11-30", "12:34"]),
        ("abcdefghijkl", 5, ["abcde", "fghij", "kl"]),
        ("\u6570\u636e\u96c6", 4, ["\u6570\u636e", "\u96c6"]),
        ("  synops", 10, ["  synops"]),
        ("", 5, [""]),
    ],
)
def test_words_are_folded_between_words(text, width, lines):
    assert folded(text, width).split("\n") == lines
