"""The figures of a bundle: what the integer network reaches and costs on all samples, which run once, on `fast`."""

from __future__ import annotations

from snnkd.analysis import cautions, evaluation
from snnkd.analysis.evaluation import Survey
from snnkd.bundle.manifest import Accuracy, Work
from snnkd.data.samples import Samples
from snnkd.ir import trace
from snnkd.ir.network import IntNet

GOLDEN_SAMPLES = 16  # the first ones, which a bundle carries


def measure(net: IntNet, samples: Samples) -> tuple[Accuracy | None, Work, list[str]]:
    """Measures the accuracy where there are labels, and the work of an inference, over all samples; with what these
    figures do not show, as sentences."""
    answers = samples.labels is not None or net.early_exit is not None
    seen = evaluation.survey(net, samples.blocks(evaluation.BLOCK), answers)
    counts = {row.name: row for row in seen.counts}
    layers = [row for row in seen.counts if row.name != "input"]
    exit_steps = None
    if seen.exits is not None:
        exit_steps = float(seen.exits[1].mean())
    work = Work(
        data=samples.data,
        samples=seen.samples,
        steps=seen.steps,
        input_events=counts["input"].spikes / seen.samples,
        spikes=sum(row.spikes for row in layers) / seen.samples,
        synops=sum(row.synops for row in layers) / seen.samples,
        synops_most=_synops_most(net) * seen.steps,
        updates=net.neurons * seen.steps,
        early_exit_steps=exit_steps,
    )
    silent = cautions.silent_layers(net, [row.spikes for row in seen.counts], f"these {seen.samples:,} samples")
    accuracy, doubts = _accuracy(samples, seen)
    return accuracy, work, [*silent, *doubts]


def _accuracy(samples: Samples, seen: Survey) -> tuple[Accuracy | None, list[str]]:
    labels, classes = samples.labels, seen.classes
    if labels is None or classes is None or seen.undecided is None:
        return None, []
    accuracy = Accuracy(
        data=samples.data,
        samples=len(samples),
        integer=float((classes == labels).mean()),
        early_exit=None if seen.exits is None else float((seen.exits[0] == labels).mean()),
    )
    return accuracy, cautions.of_classes(classes, seen.undecided, labels, f"the {len(samples):,} samples")


def _synops_most(net: IntNet) -> int:
    """Synops of one step in which every input and neuron sends an event."""
    return sum(int(trace.fan_out(layer, shape)[0].sum()) for _, shape, layer in net.inputs())
