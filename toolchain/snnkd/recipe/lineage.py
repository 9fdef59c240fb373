"""What the training of a stage depends on: where it is the same in two recipes, so are the trained networks."""

from __future__ import annotations

from typing import Any

from snnkd.recipe import Recipe, Stage


def lineage(recipe: Recipe, name: str, stage: Stage | None = None) -> dict[str, Any]:
    """Plain data of all in a recipe that the training of the stage `name` depends on, but for its images: the stage,
    or `stage` where it is trained otherwise than the recipe says, those that it learns from, and what all share."""
    stages = {name: stage or recipe.chain[name]}
    while (distil := stages[name].distil) is not None and distil.teacher is not None:
        name = distil.teacher
        stages[name] = recipe.chain[name]
    plans = {one.network: recipe.networks[one.network] for one in stages.values() if one.network}
    shared = {"seed", "data"}
    if any(one.neuron == "cuba" for one in stages.values()):  # an ANN reads images and has no such neurons
        shared |= {"encoding", "neuron", "quantization", "readout"}
    return {
        **recipe.model_dump(mode="json", include=shared),
        "networks": {key: plan.model_dump(mode="json", include={"input", "layers"}) for key, plan in plans.items()},
        "chain": {key: one.model_dump(mode="json") for key, one in stages.items()},
    }
