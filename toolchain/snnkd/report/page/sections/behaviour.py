"""What the network does: samples on their way through the layers, and how much each layer fires."""

from __future__ import annotations

from typing import Any

from snnkd.report.page import charts
from snnkd.report.page.charts import Cell, Plot, Series
from snnkd.report.page.facts import Facts
from snnkd.report.page.seen import Sample
from snnkd.report.terminal import number

_TOLD_APART = 3  # classes of a sample with a colour of their own: the best ones, and the true one


def samples(facts: Facts) -> dict[str, Any] | None:
    """Shows some samples: what the network sees, each layer's raster, and the scores of the classes by step."""
    if facts.seen is None or not facts.seen.shown:
        return None
    names = [*facts.classes, *map(str, range(len(facts.classes), facts.seen.shown[0].scores.shape[1]))]
    return {
        "data": facts.seen.data,
        "steps": facts.seen.rates.shape[1],
        "samples": [_sample(sample, names, facts.net.readout.kind) for sample in facts.seen.shown],
        "reads": facts.net.readout.kind,
    }


def _sample(sample: Sample, names: list[str], readout: str) -> dict[str, Any]:
    return {
        "index": sample.index,
        "true": names[sample.label],
        "answer": names[sample.answer],
        "right": sample.right,
        "picture": sample.picture,
        "panels": sample.panels,
        "scores": _scores(sample, names, readout),
        "end": sample.end,
    }


def _scores(sample: Sample, names: list[str], readout: str) -> Plot | None:
    final = sample.scores[-1]
    best = [int(k) for k in final.argsort()[::-1] if k not in (sample.answer, sample.label)]
    told_apart = list(dict.fromkeys([sample.answer, sample.label, *best]))[:_TOLD_APART]
    others = [k for k in range(len(final)) if k not in told_apart]
    roles = {sample.label: ", the true class", sample.answer: ", the answer"}
    roles |= {sample.label: ", true class and answer"} if sample.right else {}
    series = [Series("", _points(sample, k), faint=True) for k in others]
    series += [Series(f"{names[k]}{roles.get(k, '')}", _points(sample, k), n) for n, k in enumerate(told_apart)]
    up = "spikes so far" if readout == "count" else "voltage"
    note = None if sample.end is None else (float(sample.end), "early exit")
    return charts.plot("Scores of the classes", series, "step", up, note=note)


def _points(sample: Sample, k: int) -> list[tuple[float, float]]:
    return [(step + 1.0, float(score)) for step, score in enumerate(sample.scores[:, k])]


def activity(facts: Facts) -> dict[str, Any] | None:
    """Draws how much each layer fires in each step, and tabulates the counts per inference."""
    if facts.profile is None:
        return None
    return {"chart": _by_step(facts), "rows": _layers(facts.profile), "profile": facts.profile}


def _by_step(facts: Facts) -> Any:
    if facts.seen is None:
        return None
    rates, names = facts.seen.rates, ["input", *facts.net.names]
    largest = float(rates.max()) or 1.0
    rows = [
        (
            name,
            [
                Cell(
                    rate / largest,
                    f"{rate:.2f}".lstrip("0") if rate else "",
                    f"{name}, step {step + 1}: {number(rate)}",
                )
                for step, rate in enumerate(row.tolist())
            ],
        )
        for name, row in zip(names, rates, strict=True)
    ]
    told = "; ".join(f"{name}: {number(row.mean())}" for name, row in zip(names, rates, strict=True))
    columns = [str(step + 1) for step in range(rates.shape[1])]
    title = "Events per neuron and step"
    return charts.matrix(title, rows, columns, "step", "layer", f"{title}; means over all steps: {told}")


def _layers(profile: Any) -> list[dict[str, str]]:
    samples, steps = profile["samples"], profile["steps"]
    return [
        {
            "name": row["name"],
            "kind": "" if row["kind"] == row["name"] else row["kind"],
            "neurons": f"{row['neurons']:,}",
            "spikes": number(row["spikes"] / samples),
            "rate": number(row["spikes"] / (row["neurons"] * samples * steps)),
            "synops": number(row["synops"] / samples),
            "macs": f"{row['macs_ann']:,}",
        }
        for row in profile["layers"]
    ]
