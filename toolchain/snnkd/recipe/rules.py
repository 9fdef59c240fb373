"""What has to fit in a resolved recipe: networks, data, encoding and files; and what it probably does not mean."""

from __future__ import annotations

from collections.abc import Iterator

from snnkd.base import schema
from snnkd.base.errors import RecipeError
from snnkd.base.schema import Problem
from snnkd.data.recordings.named import SETS
from snnkd.ir.event_encoding import EventEncoding
from snnkd.ir.network import Shape
from snnkd.recipe import crossing, net_files
from snnkd.recipe.tables import DATA_SETS, Data, Recipe, Stage

_COMPARE_SPIKES = ("l1", "l2", "sliding_l1", "sliding_l2")


def misfits(recipe: Recipe) -> list[Problem]:
    """Returns what does not fit between data, encoding and the networks of the stages."""
    problems: list[Problem] = []
    try:
        recipe.encoder()
    except RecipeError as error:
        return [Problem(("encoding",), str(error))]
    if (recipe.encoding.kind == "events") != (recipe.data.set in SETS) and recipe.data.set in DATA_SETS | SETS:
        what = "recordings, which encoding.kind 'events' reads" if recipe.data.set in SETS else "images"
        return [
            schema.unexpected(
                ("encoding", "kind"), f"one for {what}: data.set is '{recipe.data.set}'", recipe.encoding.kind
            )
        ]
    problems += _neuron_misfits(recipe)
    for place, table, sides in _augmented(recipe):
        if table.shift >= min(sides):
            expected = f"less than {min(sides)}, the shorter side of the images, of which nothing is left otherwise"
            problems.append(schema.unexpected((*place, "shift"), expected, table.shift))
    for name, stage in recipe.chain.items():
        if stage.net or stage.start:
            problems += net_files.misfits(recipe, name)
        if stage.network:
            problems += _network_misfits(recipe, name, recipe.read_by(name))
        if stage.neuron == "sigma-delta":
            problems += _sigma_delta_misfits(recipe, name)
        problems += crossing.misfits(recipe, name)
    return problems


def _neuron_misfits(recipe: Recipe) -> Iterator[Problem]:
    """What fields of [neuron] exclude each other; a normalization becomes a bias."""
    neuron = recipe.neuron
    if (neuron.bias or neuron.batch_norm) and neuron.current_decay < 1:
        what = "batch_norm" if neuron.batch_norm else "bias"
        expected = f"1.0, a current that lasts one step, with {what} = true"
        yield schema.unexpected(("neuron", "current_decay"), expected, neuron.current_decay)
    if neuron.per_channel and neuron.kind == "sigma-delta":
        place, text = ("neuron", "per_channel"), "sigma-delta neurons of a layer have one threshold, and no decays"
        yield Problem(place, f"{schema.dotted(place)}: {text}; leave it out")
    if (neuron.bias or neuron.batch_norm) and "current_decay" in neuron.per_channel:
        place, text = ("neuron", "per_channel"), "a current lasts one step where neurons have a bias"
        yield Problem(place, f"{schema.dotted(place)}: {text}; leave 'current_decay' out, or the bias")
    for name, stage in recipe.chain.items():
        if stage.start and neuron.batch_norm and stage.neuron == "cuba":
            place = ("chain", name, "start")
            text = "a file's weights are not normalized; leave it out, or neuron.batch_norm"
            yield Problem(place, f"{schema.dotted(place)}: {text}")


def _sigma_delta_misfits(recipe: Recipe, name: str) -> Iterator[Problem]:
    """What a stage of sigma-delta neurons cannot have."""
    stage, place = recipe.chain[name], ("chain", name)
    if recipe.readout.kind == "count":
        yield schema.unexpected(("readout", "kind"), "'membrane', the sum that sigma-delta outputs hold", "count")
    if name == recipe.student and recipe.encoding.kind == "direct" and recipe.encoding.steps > 1:
        expected = "1 for a sigma-delta student: a still image does not change after its first step"
        yield schema.unexpected(("encoding", "steps"), expected, recipe.encoding.steps)
    if stage.cross is not None:
        where = (*place, "cross")
        yield Problem(
            where, f"{schema.dotted(where)}: cross distillation compares membranes of CUBA neurons; leave it out"
        )
    if recipe.networks[stage.network].max_delay:
        where = (*place, "network")
        text = f"'{stage.network}' has layers with delays, which sigma-delta neurons are trained without"
        yield Problem(where, f"{schema.dotted(where)}: {text}")


def _augmented(recipe: Recipe) -> Iterator[tuple[schema.Place, Data, tuple[int, int]]]:
    """Yields each table of images or recordings with its place and their sides, in pixels."""
    encoder = recipe.encoder()
    sides = encoder.sensor if isinstance(encoder, EventEncoding) else recipe.images[0][1:]
    yield ("data",), recipe.data, sides
    for name, stage in recipe.chain.items():
        if stage.data is not None:
            yield ("chain", name, "data"), stage.data, recipe.read_by(name)[0][1:]


def _network_misfits(recipe: Recipe, name: str, images: tuple[Shape, int]) -> Iterator[Problem]:
    stage, steps = recipe.chain[name], recipe.encoding.steps
    network, (shape, classes) = recipe.networks[stage.network], images
    read = (stage.data or recipe.data).set
    whose = f"the data set '{read}'" if read in DATA_SETS else "the first stage"
    if recipe.quantization.centered and stage.start:
        place = ("chain", name, "start")
        text = "weights would be others once they are centered; leave it out, or quantization.centered"
        yield Problem(place, f"{schema.dotted(place)}: {text}")
    place = ("chain", name, "network")
    if stage.neuron == "relu" and network.max_delay:
        text = f"'{stage.network}' has layers with delays, which an ANN (neuron = 'relu') knows no steps for"
        yield Problem(place, f"{schema.dotted(place)}: {text}; use a network without")
    what = f"{schema.dotted(place)}: '{stage.network}'"
    if network.input != shape:
        yield Problem(place, f"{what} reads {network.input}, expected {shape} as {whose} has")
    if network.outputs != classes:
        yield Problem(place, f"{what} has {network.outputs} outputs, expected {classes} as {whose} has")
    window = stage.distil.window if stage.distil else None
    if window is not None and window > steps:
        yield schema.unexpected(("chain", name, "distil", "window"), f"at most encoding.steps = {steps}", window)


def warnings(recipe: Recipe) -> list[str]:
    """Returns what a valid recipe probably does not mean, as sentences for the user."""
    texts = []
    data = recipe.data
    augments = (
        ("shift", "flip", "drop", "jitter_us") if recipe.encoding.kind == "events" else ("shift", "flip", "noise")
    )
    changed = any(getattr(data, name) for name in augments)
    *others, last = (f"data.{name}" for name in augments)
    if data.variants > 1 and not changed:
        texts.append(f"data.variants = {data.variants} has no effect without {', '.join(others)} or {last}")
    if data.variants == 1 and changed:
        texts.append(f"{', '.join(others)} and {last} have no effect with data.variants = 1, the originals alone")
    for place, table, sides in _augmented(recipe):
        if 2 * table.shift >= min(sides):
            what = f"{schema.dotted((*place, 'shift'))} = {table.shift} moves images of {sides[0]} x {sides[1]}"
            texts.append(
                f"{what} by half of their side or more: variants may show next to nothing of what they are labelled as"
            )
    for name in recipe.chain:
        texts += _stage_warnings(recipe, name)
    return texts


def _stage_warnings(recipe: Recipe, name: str) -> Iterator[str]:
    stage = recipe.chain[name]
    losses = stage.distil.losses if stage.distil else {}
    if stage.distil and not any(losses.values()):
        yield f"chain.{name}.distil.losses are all 0: '{name}' learns from the labels alone"
    if stage.features and not stage.features.weight:
        yield f"chain.{name}.features.weight is 0: '{name}' learns nothing from hidden layers"
    if stage.rate and stage.network and len(recipe.architecture(name).layers) == 1:
        yield f"chain.{name}.rate has no effect: '{stage.network}' has no hidden layer"
    if stage.distil and stage.distil.teacher:
        teacher = recipe.chain[stage.distil.teacher]
        if teacher.neuron == "relu" or teacher.logits:
            who = "an ANN, which gives logits" if teacher.neuron == "relu" else "a file of logits"
            yield from spike_losses(name, stage, who)
        if teacher.logits and recipe.data.variants > 1:
            yield (
                f"chain.{stage.distil.teacher}.logits: are those of the images as they are; all data.variants = "
                f"{recipe.data.variants} of an image get the same"
            )
    longest, steps = recipe.architecture(name).max_delay if stage.network else 0, recipe.encoding.steps
    if longest >= steps:
        yield (
            f"chain.{name}.network: '{stage.network}' has delays of up to {longest} steps, but encoding.steps = {steps}"
            ": what is delayed so long never arrives"
        )
    yield from net_files.warnings(recipe, name)
    if recipe.encoding.kind == "direct" and not stage.frozen and stage.neuron == "cuba":
        yield from _range_warnings(recipe, name)


def spike_losses(name: str, stage: Stage, teacher: str) -> Iterator[str]:
    """Yields which losses of the stage `name` cannot be meant for its teacher, described by `teacher`: it has no
    spikes."""
    losses = stage.distil.losses if stage.distil else {}
    spikes = [loss for loss, weight in losses.items() if weight and loss in _COMPARE_SPIKES]
    if stage.distil and spikes:
        yield (
            f"chain.{name}.distil: {', '.join(spikes)} compare spikes, but the teacher '{stage.distil.teacher}' is "
            f"{teacher}; use kl"
        )


def _range_warnings(recipe: Recipe, name: str) -> Iterator[str]:
    """Direct encoding: float32 sums stay exact below 2^24, and u should stay within 24 bits for usual weights."""
    layer, shape = next(recipe.architecture(name).inputs())
    fan_in, bits = layer.fan_in(shape), recipe.encoding.bits
    peak = (1 << bits) - 1
    memory = min(1 / max(recipe.neuron.current_decay, 1e-9), recipe.encoding.steps)
    # Usual: weights of random sign and a quarter of the range; twice the standard deviation of their sum.
    usual = 2 * fan_in**0.5 * peak * 64 * memory * 64
    what = f"encoding.bits = {bits} with {fan_in} inputs per neuron in the first layer of chain.{name}"
    if fan_in * peak * 256 >= 1 << 24:
        yield f"{what}: sums may reach 2^24, where float32 training is no longer exact; use fewer bits"
    elif usual >= 1 << 23:
        yield f"{what}: the current u may leave its 24 bits with usual weights; use fewer bits"
