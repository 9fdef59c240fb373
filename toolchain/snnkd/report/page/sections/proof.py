"""That the figures are those of the network that is deployed, and how to make them again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snnkd.report.page.facts import Facts

_ENGINES = {
    "slayer": "SLAYER, the network that was trained",
    "lava": "Lava's simulation of Loihi 2",
    "fast": "compiled kernels, which the accuracy is measured with",
    "c99": "the generated C",
    "onnx": "onnxruntime",
}


def parity(facts: Facts) -> dict[str, Any] | None:
    """Lists the engines that were compared with the definition, and what came of it."""
    if facts.verification is None:
        return None
    rows = []
    for engine, outcome in facts.verification["against"].items():
        compared, differing = outcome["compared"], sum(outcome["differences"].values())
        rows.append(
            {
                "engine": engine,
                "what": _ENGINES.get(engine, ""),
                "cells": compared["cells"],
                "spikes": compared["spikes"],
                "differing": differing,
                "first": outcome["first_difference"],
            }
        )
    return {"rows": rows, "data": facts.verification["data"], "warnings": facts.verification.get("warnings", [])}


def reproduce(facts: Facts) -> dict[str, Any]:
    """Gives the commands, digests and versions that lead to the same figures."""
    recipe, provenance = facts.run.recipe, facts.provenance
    return {
        "commands": [
            f"snnkd train {facts.name}/recipe.toml --data-root DIR",
            f"snnkd export {facts.name}",
            f"snnkd profile {facts.name} --energy",
            f"snnkd report {facts.name} --html report.html",
        ],
        "facts": {
            "seed": provenance.get("seed", recipe.seed),
            "trained on": provenance.get("device"),
            "data set": facts.summary.get("data_set", Path(recipe.data.set).name),
            "digest of the data": provenance.get("data"),
            "digest of the recipe": provenance.get("recipe"),
            "revision of snnkd": provenance.get("git"),
        },
        "versions": provenance.get("versions", {}),
        "digests": facts.digests,
        "recipe": recipe.to_toml(),
    }
