"""How much memory a chain takes at least: compared with what is free before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from snnkd.base import memory
from snnkd.recipe.tables import Stage
from snnkd.training.chain import Chain, pick_device

_FLOAT = 4  # bytes
_STATES = {"adam": 4, "sgd": 3}  # floats of a weight while it is trained: itself, its gradient, the optimizer's


def check(chain: Chain, names: Iterable[str]) -> None:
    """Checks the named stages of a chain. Raises LimitError that names the stage and what of it takes too much."""
    device = pick_device(chain.device)
    left = memory.available() if device.type == "cpu" else torch.cuda.mem_get_info(device)[0]
    for name in names:
        stage = chain.stage(name)
        if not stage.frozen:
            for what, size, advice in _parts(chain, name, stage):
                memory.check(f"chain.{name}: {what}", size, advice, left)
            if stage.teachers:
                what, size = _answers(chain, name, stage)
                memory.check(f"chain.{name}: {what}", size, "train fewer epochs, or with fewer data.variants")


def _parts(chain: Chain, name: str, stage: Stage) -> Iterator[tuple[str, int, str]]:
    """What lies on the device: (in words, bytes, what makes it smaller)."""
    plan, images = chain.plan(name), chain.images(name)
    floats = _STATES[stage.optimizer.kind]
    what = f"{plan.parameters:,} weights of '{plan.name}' and what trains them"
    yield what, plan.parameters * floats * _FLOAT, "choose a smaller network"
    steps = 1 if stage.neuron == "relu" else chain.encoder(name).steps
    batch = min(stage.batch, images)
    what = f"a batch of {batch:,} images, {steps:,} steps of {plan.neurons:,} neurons"
    yield what, batch * steps * plan.neurons * _FLOAT, "lower its batch, or choose a smaller network"


def _answers(chain: Chain, name: str, stage: Stage) -> tuple[str, int]:
    """What is kept of a teacher's answers: at least a bit of each class, image and variant, and whether it is there."""
    images, variants = chain.images(name), min(chain.table(name).variants, stage.epochs)
    classes = len(chain.data.classes)
    what = f"a teacher's answers to {images:,} images in {variants:,} variants"
    return what, images * variants * (1 + -(-classes // 8))
