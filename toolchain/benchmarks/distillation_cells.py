"""The cells of the benchmark `distillation`: which recipes are trained, what each is compared with, and with whose
figure."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from snnkd import recipe
from snnkd.base import provenance
from snnkd.recipe import Recipe

# "Distilling Spikes" (Kushawaha et al. 2020), Tables I to III: accuracy on the test set in percent, by cell and set.
SETS = ("mnist", "fashion-mnist", "cifar10")
PAPER = {
    "t": (98.35, 89.72, 45.43),
    "ta": (98.17, 89.4, 45.98),
    "s": (98.00, 88.64, 42.9),
    "t-s-l1": (96.20, 86.99, 37.90),
    "t-s-l2": (96.80, 87.50, 38.70),
    "t-s-kl": (97.36, 88.15, 39.21),
    "t-s-sl1": (96.09, 87.28, 38.31),
    "t-s-sl2": (96.29, 87.08, 38.89),
    "t-s": (97.46, 88.30, 41.28),
    "t-ta": (98.36, 89.82, 45.33),
    "t-ta-s": (97.56, 88.74, 42.38),
}
TABLES = {
    "Table I: each trained alone": ("t", "ta", "s"),
    "Table II: one loss, teacher to student": ("t-s-l1", "t-s-l2", "t-s-kl", "t-s-sl1", "t-s-sl2", "t-s"),
    "Table III: one or several steps": ("t-ta", "t-s", "t-ta-s"),
}
SHOWN = {
    "t": "teacher alone",
    "ta": "assistant alone",
    "s": "student alone",
    "t-s-l1": "Full L1",
    "t-s-l2": "Full L2",
    "t-s-kl": "Full KL",
    "t-s-sl1": "Sliding L1",
    "t-s-sl2": "Sliding L2",
    "t-s": "T -> S, proposed",
    "t-ta": "T -> TA",
    "t-ta-s": "T -> TA -> S",
}
_GAIN = "neuron.threshold_gain=2.0"


def _four_bits(step: int) -> tuple[str, ...]:
    return ("quantization.weight_bits=4", f"quantization.weight_step={step}")


def _logits(scale: float) -> tuple[str, ...]:
    """So large a logit for each unit of the output."""
    return tuple(f"chain.student.{table}.scale={scale}" for table in ("label", "distil"))


def _wide(scale: float) -> tuple[str, ...]:
    """A smaller logit for each unit of the output, so that output weights grow, and a threshold to match."""
    return (_GAIN, *_logits(scale), "chain.student.optimizer.lr=0.01")


def _price(max_rate: float) -> str:
    """A price for spikes above `max_rate`."""
    return f"chain.student.rate={{max_rate={max_rate}, weight=400.0}}"


def _few_spikes(max_rate: float, tau_grad: float) -> tuple[str, ...]:
    """A price for spikes above `max_rate`, and a surrogate gradient as narrow as `tau_grad` says."""
    return (_price(max_rate), _GAIN, f"neuron.tau_grad={tau_grad}")


def _two_steps(scale: float, max_rate: float) -> tuple[str, ...]:
    """Two steps in place of four, more epochs, and a price for spikes above `max_rate`; logits are sums of half as many
    steps, so `scale` is larger."""
    return ("encoding.steps=2", *_logits(scale), "chain.student.epochs=40", _price(max_rate))


# Weight decay lets those weights go first whose inputs are always 0.
_PRUNED = ("chain.student.prune={share=0.8}", "chain.student.optimizer.weight_decay=3e-6")
_EVERY_STEP = ("chain.student.label.loss=temporal-cross-entropy", "chain.student.distil.losses={temporal_kl=1.0}")
# The curve of Lee et al.: further ratios of the teacher's temperature to the student's, which is 2.
_RATIOS = {f"teacher-{tau}": (f"chain.student.distil.teacher_temperature={tau}",) for tau in (1, 8)}
# What else is trained of shipped recipes: overrides, by the recipe's name and by what the cell's ends in.
FURTHER = {
    "best/mnist-dense": {
        "4-bit": (*_four_bits(8), _GAIN),
        "sparse": _few_spikes(0.052, 0.005),
        "pruned": (*_PRUNED, "chain.student.epochs=80"),
        "any-steps": _EVERY_STEP,
    },
    "best/fashion-mnist-dense": {
        "4-bit": (*_four_bits(16), *_wide(0.75), "chain.student.epochs=240"),
        "sparse": _few_spikes(0.06, 0.0035),
    },
    "best/fashion-mnist-conv": {
        "sparse": _two_steps(4.5, 0.115),
        "bias": ("neuron.bias=true",),
        "batch-norm": ("neuron.batch_norm=true", "neuron.fold=0.5"),
        "slow-currents": ("neuron.current_decay=0.7",),
        "channels": ("neuron.per_channel=['threshold', 'voltage_decay']",),
    },
    "best/fashion-mnist-conv-sigma-delta": {"4-bit": ("quantization.weight_bits=4",)},
    "best/fashion-mnist-dense-sigma-delta": {"4-bit": ("quantization.weight_bits=4",)},
    "best/cifar10-conv": {"sparse": _two_steps(1.0, 0.165)},
    "best/cifar10-dense": {"4-bit": (*_four_bits(16), "neuron.tau_grad=0.01")},
    "lee2022/mnist": _RATIOS,
    "lee2022/fashion-mnist": _RATIOS,
}
# Recipes are chosen for their distilled students. What was chosen for the student alone, by the recipe's name.
OWN_SETTINGS = {
    "best/mnist-dense": (*_wide(1.5), "neuron.tau_grad=0.005"),
    "best/fashion-mnist-dense": _wide(1.5),
    "best/fashion-mnist-conv": (*_logits(1.0), "chain.student.optimizer.lr=0.02"),
}
# KDSNN (Xu et al. 2023): what a student is taught, by the end of its recipe's name.
KDSNN = {"alone": "alone", "response": "response", "features": "features", "both": "response and features"}
# What else the papers' text allows, as further cells: imitation without labels, and the formulas as they are written.
VARIANTS = {"faithful": "label.weight=0", "literal": "distil.reading=literal"}


@dataclass(frozen=True)
class Cell:
    """One network to be trained with several seeds.

    recipe: a shipped one's name; overrides: as of `--set`; undistilled: train its last stage alone, from the labels.
    beside: the cell that it is compared with, None where there is none: of a distilled one, that which trains the same
    network alone, so that both differ by the teacher alone; in the group `further`, the student that it is a change
    of. paper: accuracy in percent. group: the heading that it is listed under; label: in its row.
    """

    name: str
    recipe: str
    group: str
    label: str
    overrides: tuple[str, ...] = ()
    undistilled: bool = False
    beside: str | None = None
    paper: float | None = None


def _distilling_spikes() -> Iterator[Cell]:
    for number, images in enumerate(SETS):
        for key, figures in PAPER.items():
            name, shipped = f"{images}-{key}", f"distilling-spikes/{images}-{key}"
            distilled = key.startswith("t-")
            alone = f"{images}-{'ta' if key.endswith('ta') else 's'}" if distilled else None
            stages = [stage for stage in recipe.load(shipped).chain if stage != "teacher"] if distilled else []
            yield Cell(name, shipped, images, SHOWN[key], beside=alone, paper=figures[number])
            for variant, change in VARIANTS.items():
                if distilled and (key, variant) != ("t-s-kl", "literal"):  # kl has no readings
                    overrides = tuple(f"chain.{stage}.{change}" for stage in stages)
                    label = f"{SHOWN[key]}, {variant}"
                    yield Cell(
                        f"{name}-{variant}", shipped, images, label, overrides, beside=alone, paper=figures[number]
                    )


def _kdsnn() -> Iterator[Cell]:
    """The four students of each set; three of them are compared with the one that is trained alone."""
    for images in SETS[1:]:
        for row, what in KDSNN.items():
            name, alone = f"kdsnn/{images}-{row}", f"kdsnn/{images}-alone"
            yield Cell(name, name, "kdsnn", f"{images}, {what}", beside=None if row == "alone" else alone)


def _shipped(folder: str, known: dict[str, str]) -> Iterator[Cell]:
    """Each recipe of a folder, and its student alone unless `known`, names of cells by digest, has the same."""
    for name in recipe.names():
        if name.startswith(f"{folder}/"):
            label = name.removeprefix(f"{folder}/")
            alone = Cell(f"{name}-alone", name, folder, f"{label}, alone", undistilled=True)
            first = known.setdefault(digest(plan(alone, 1)), alone.name)
            if first == alone.name:
                yield alone
            yield Cell(name, name, folder, label, beside=first)
            for variant, overrides in FURTHER.get(name, {}).items():
                cell = Cell(f"{name}-{variant}", name, folder, f"{label}, {variant}", overrides, beside=first)
                if digest(plan(replace(cell, undistilled=True), 1)) not in known:  # more than the teacher changes
                    cell = replace(cell, group="further", beside=name)
                yield cell
            if overrides := OWN_SETTINGS.get(name):
                shown = f"{label}, alone, settings of its own"
                yield Cell(f"{name}-alone-own", name, "further", shown, overrides, undistilled=True, beside=name)


@lru_cache(maxsize=1)
def every() -> dict[str, Cell]:
    """All cells by name, in the order of the page."""
    cells = list(_distilling_spikes())
    known = {digest(plan(cell, 1)): cell.name for cell in cells if cell.beside is None}
    cells += _shipped("lee2022", known)
    cells += _kdsnn()
    cells += _shipped("best", known)
    return {cell.name: cell for cell in cells}


def quick() -> dict[str, Cell]:
    """Three cells on data that is always there."""
    short = tuple(f"chain.{stage}.epochs=2" for stage in recipe.load("digits").chain)
    direct = (*short, "chain.student.distil.teacher=teacher")
    cells = (
        Cell("digits-s", "digits", "quick", SHOWN["s"], short, undistilled=True),
        Cell("digits-t-s", "digits", "quick", SHOWN["t-s"], direct, beside="digits-s"),
        Cell("digits-t-ta-s", "digits", "quick", SHOWN["t-ta-s"], short, beside="digits-s"),
    )
    return {cell.name: cell for cell in cells}


def chosen(cells: dict[str, Cell], names: list[str]) -> list[Cell]:
    """Those of the given names, and where a name is no cell's, those that begin with it; all for no names.

    Exits where nothing begins with a name.
    """
    selected: dict[str, Cell] = {} if names else cells
    for name in names:
        some = (
            {name: cells[name]} if name in cells else {key: cell for key, cell in cells.items() if key.startswith(name)}
        )
        if not some:
            sys.exit(f"no cell is called '{name}' or begins with it; there are: {', '.join(cells)}")
        selected |= some
    return [cell for key, cell in cells.items() if key in selected]


def plan(cell: Cell, seed: int, images: str | None = None) -> Recipe:
    """The recipe that is trained for a cell, on the data set `images` instead of the recipe's own where given."""
    name = f"{cell.name.replace('/', '-')}-seed{seed}"
    changes = [*cell.overrides, f'name="{name}"', f"seed={seed}"]
    if images is not None:
        changes.append(f"data.set={images!r}")
    loaded = recipe.load(cell.recipe, changes)
    if not cell.undistilled:
        return loaded
    data = loaded.to_dict()
    stage = {key: value for key, value in data["chain"][loaded.student].items() if key not in ("distil", "features")}
    stage["label"]["weight"] = stage["label"]["weight"] or 1.0  # as of `snnkd train --baseline`
    return recipe.parse({**data, "chain": {loaded.student: stage}})


def digest(plan: Recipe) -> str:
    """Of all in a recipe that its result depends on, but for the images; fields at their defaults do not count, so
    that rows stay valid when recipes get further fields."""
    data = plan.model_dump(mode="json", exclude_defaults=True, exclude={"name", "description", "target", "networks"})
    data.get("data", {}).pop("set", None)
    networks = {
        name: network.model_dump(mode="json", include={"input", "layers"}) for name, network in plan.networks.items()
    }
    return provenance.digest({**data, "networks": networks})[:16]
