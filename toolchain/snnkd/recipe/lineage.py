"""What the training of a stage depends on: where it is the same in two recipes, so are the trained networks."""

from __future__ import annotations

from typing import Any

from snnkd.recipe import Recipe, Stage


def lineage(recipe: Recipe, name: str, stage: Stage | None = None) -> dict[str, Any]:
    """Returns all that the training of the stage `name` depends on, but its images, as plain data: the stage (`stage`
    where it is trained otherwise than the recipe says), its teachers and theirs, and what all of them share.

    A teacher of frames depends on its own images alone: it is the same as in a recipe whose `data` these are.
    """
    own = stage or recipe.chain[name]
    if own.data is not None:
        seed = recipe.seed if own.data.seed is None else own.data.seed
        recipe = recipe.model_copy(update={"data": own.data.alone, "seed": seed})
        own = own.model_copy(update={"data": None})
    stages = {name: own}
    waiting = list(stages[name].teachers)
    while waiting:
        teacher = waiting.pop(0)
        if teacher not in stages:
            stages[teacher] = recipe.chain[teacher]
            waiting += stages[teacher].teachers
    plans = {part.network: recipe.networks[part.network] for part in stages.values() if part.network}
    shared = {"seed", "data"}
    if any(part.neuron != "relu" for part in stages.values()):  # an ANN reads images and has no such neurons
        shared |= {"encoding", "neuron", "quantization", "readout"}
    return {
        **recipe.model_dump(mode="json", include=shared),
        "networks": {key: plan.model_dump(mode="json", include={"input", "layers"}) for key, plan in plans.items()},
        "chain": {key: part.model_dump(mode="json") for key, part in stages.items()},
    }
