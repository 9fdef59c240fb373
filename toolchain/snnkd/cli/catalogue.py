"""`snnkd models`, `recipes`, `datasets` and `targets`: what there is."""

from __future__ import annotations

from snnkd.cli import output
from snnkd.cli.options import DataRoot, Json


def models(as_json: Json = False) -> None:
    """List the network descriptions.

    Example: snnkd models
    """
    from snnkd.recipe import architecture

    networks = []
    for name in architecture.names():
        network = architecture.load(name)
        layers = "-".join(_layer(layer) for layer in network.layers)
        networks.append(
            {
                "name": name,
                "role": network.role,
                "input": list(network.input),
                "layers": layers,
                "parameters": network.parameters,
                "neurons": network.neurons,
            }
        )
    columns = ["name", "role", "input", "layers", "parameters", "neurons"]
    output.result(
        {"models": networks},
        as_json,
        lambda data: output.table(
            "networks",
            columns,
            [
                [
                    network["name"],
                    network["role"],
                    "x".join(map(str, network["input"])),
                    network["layers"],
                    f"{network['parameters']:,}",
                    f"{network['neurons']:,}",
                ]
                for network in data["models"]
            ],
            left=4,
        ),
    )


def recipes(as_json: Json = False) -> None:
    """List the recipes.

    Example: snnkd recipes
    """
    from snnkd import recipe as shipped

    listed = []
    for name in shipped.names():
        recipe = shipped.load(name)
        chain = " -> ".join(stage.title for stage in recipe.chain.values())
        listed.append(
            {
                "name": name,
                "data": recipe.data.set,
                "encoding": recipe.encoding.kind,
                "steps": recipe.encoding.steps,
                "chain": chain,
                "description": recipe.description,
            }
        )
    columns = ["name", "data", "encoding", "steps", "chain"]
    output.result(
        {"recipes": listed},
        as_json,
        lambda data: output.table(
            "recipes", columns, [[str(recipe[column]) for column in columns] for recipe in data["recipes"]], left=5
        ),
    )


def datasets(data_root: DataRoot = None, as_json: Json = False) -> None:
    """List the data sets and whether they are here.

    Example: snnkd datasets --data-root ~/data
    """
    from snnkd.base import packages
    from snnkd.data import datasets as known

    root = known.root_folder(data_root)
    listed, shown = [], []
    for name, source in known.SOURCES.items():
        place = root / (source.place or ".")
        uninstalled, absent = packages.missing(*source.needs), source.missing(place)
        lack = uninstalled or absent
        listed.append(
            {"name": name, "what": source.title, "here": lack is None, "folder": str(place.absolute()), "lacks": lack}
        )
        shown.append([name, source.title, "yes" if lack is None else uninstalled or f"{absent} in {place.absolute()}"])
    output.result(
        {"datasets": listed},
        as_json,
        lambda _: output.table("data sets", ["name", "what", "here"], shown, left=3),
    )


def targets(as_json: Json = False) -> None:
    """List the targets: what they are, whether they can be run here, which encodings they take.

    Example: snnkd targets
    """
    from snnkd import engines
    from snnkd import targets as known

    listed = []
    for target in known.available():
        runs = target.engine is not None and engines.get(target.engine).available() is None
        listed.append(
            {
                "name": target.name,
                "description": target.description,
                "engine": target.engine,
                "runs_here": runs,
                "takes": list(target.takes),
                "costs": bool(target.costs),
            }
        )
    output.result(
        {"targets": listed},
        as_json,
        lambda data: output.table(
            "targets",
            ["name", "description", "engine", "runs here", "encodings", "energy"],
            [
                [
                    target["name"],
                    target["description"],
                    target["engine"] or "none",
                    "yes" if target["runs_here"] else "no",
                    ", ".join(target["takes"]),
                    "yes" if target["costs"] else "no",
                ]
                for target in data["targets"]
            ],
            left=6,
        ),
    )


def _layer(layer: object) -> str:
    """'8c5s2' for a convolution of 8 channels, kernel 5, stride 2; '128' for a dense layer."""
    from snnkd.recipe.architecture import Conv, Dense

    if isinstance(layer, Dense):
        return str(layer.neurons)
    assert isinstance(layer, Conv)
    return f"{layer.channels}c{layer.kernel[0]}s{layer.stride[0]}"
