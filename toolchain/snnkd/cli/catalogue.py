"""`snnkd models`, `recipes`, `datasets` and `targets`: what there is."""

from __future__ import annotations

from snnkd.cli import output
from snnkd.cli.options import DataRoot, Json


def models(as_json: Json = False) -> None:
    """List the network descriptions.

    Example: snnkd models
    """
    from snnkd.recipe import architecture

    found = []
    for name in architecture.names():
        one = architecture.load(name)
        layers = "-".join(_layer(layer) for layer in one.layers)
        found.append(
            {
                "name": name,
                "role": one.role,
                "input": list(one.input),
                "layers": layers,
                "parameters": one.parameters,
                "neurons": one.neurons,
            }
        )
    columns = ["name", "role", "input", "layers", "parameters", "neurons"]
    output.result(
        {"models": found},
        as_json,
        lambda data: output.table(
            "networks",
            columns,
            [
                [
                    one["name"],
                    one["role"],
                    "x".join(map(str, one["input"])),
                    one["layers"],
                    f"{one['parameters']:,}",
                    f"{one['neurons']:,}",
                ]
                for one in data["models"]
            ],
            left=4,
        ),
    )


def recipes(as_json: Json = False) -> None:
    """List the recipes.

    Example: snnkd recipes
    """
    from snnkd import recipe as shipped

    found = []
    for name in shipped.names():
        one = shipped.load(name)
        chain = " -> ".join(stage.network for stage in one.chain.values())
        found.append(
            {
                "name": name,
                "data": one.data.set,
                "encoding": one.encoding.kind,
                "steps": one.encoding.steps,
                "chain": chain,
                "description": one.description,
            }
        )
    columns = ["name", "data", "encoding", "steps", "chain"]
    output.result(
        {"recipes": found},
        as_json,
        lambda data: output.table(
            "recipes", columns, [[str(one[column]) for column in columns] for one in data["recipes"]], left=5
        ),
    )


def datasets(data_root: DataRoot = None, as_json: Json = False) -> None:
    """List the data sets and whether they are here.

    Example: snnkd datasets --data-root ~/data
    """
    from snnkd.data import datasets as known

    root = known.root_folder(data_root)
    found = []
    for name, source in known.SOURCES.items():
        place = root / (source.place or ".")
        lack = source.missing(place)
        found.append(
            {"name": name, "what": source.title, "here": lack is None, "folder": str(place.absolute()), "lacks": lack}
        )
    output.result(
        {"datasets": found},
        as_json,
        lambda data: output.table(
            "data sets",
            ["name", "what", "here"],
            [
                [one["name"], one["what"], "yes" if one["here"] else f"{one['lacks']} in {one['folder']}"]
                for one in data["datasets"]
            ],
            left=3,
        ),
    )


def targets(as_json: Json = False) -> None:
    """List the targets: what they are, whether they can be run here, which encodings they take.

    Example: snnkd targets
    """
    from snnkd import engines
    from snnkd import targets as known

    found = []
    for one in known.available():
        runs = one.engine is not None and engines.get(one.engine).available() is None
        found.append(
            {
                "name": one.name,
                "description": one.description,
                "engine": one.engine,
                "runs_here": runs,
                "takes": list(one.takes),
                "costs": bool(one.costs),
            }
        )
    output.result(
        {"targets": found},
        as_json,
        lambda data: output.table(
            "targets",
            ["name", "description", "engine", "runs here", "encodings", "energy"],
            [
                [
                    one["name"],
                    one["description"],
                    one["engine"] or "none",
                    "yes" if one["runs_here"] else "no",
                    ", ".join(one["takes"]),
                    "yes" if one["costs"] else "no",
                ]
                for one in data["targets"]
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
