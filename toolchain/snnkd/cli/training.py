"""`snnkd run` and `snnkd train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snnkd.cli import deployment, output
from snnkd.cli.options import DEFAULT_RUNS, DataRoot, Json, RecipeName, Runs

if TYPE_CHECKING:
    from snnkd.recipe import Recipe

Set = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="Override a field; repeatable.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the run, instead of the recipe's.", show_default=False)]
Teacher = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.py:NAME|MODULE:NAME|FILE",
        help="Your teacher instead of the chain's first stage: a torch module, .onnx, .net, .nir, or .npz of logits.",
        show_default=False,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(metavar="FILE.pt|FILE.safetensors", help="Weights of --teacher.", show_default=False),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the newest run of this recipe.")]
Reuse = Annotated[bool, typer.Option("--reuse", help="Take over stages that another run has trained alike.")]
Baseline = Annotated[bool, typer.Option("--baseline", help="Also train the student without its teacher.")]
Download = Annotated[bool, typer.Option("--download", help="Fetch a missing data set with torchvision.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Devices = Annotated[
    int, typer.Option(min=1, help="Processes that train together, each on a GPU, or on its share of the cores.")
]
Nodes = Annotated[int, typer.Option(min=1, help="Machines that train together, each with so many devices.")]


def run(
    recipe: RecipeName = "digits",
    overrides: Set = None,
    seed: Seed = None,
    teacher: Teacher = None,
    weights: Weights = None,
    resume: Resume = False,
    reuse: Reuse = False,
    baseline: Baseline = False,
    data_root: DataRoot = None,
    download: Download = False,
    device: Device = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Train, distil, quantize, export, verify and profile: all stages.

    Example: snnkd run mnist --data-root ~/data --baseline
    """
    from snnkd import api
    from snnkd.cli.progress import TrainingProgress
    from snnkd.runs.pipeline import TrainingOptions

    loaded = _loaded(recipe, overrides, seed, teacher, weights, runs)
    if _assists(loaded, data_root, device, devices, nodes):
        return
    with TrainingProgress() as bars:
        how = (resume, reuse, baseline, device, bars.on_batch, bars.on_epoch, devices, nodes)
        result = api.run(loaded, TrainingOptions(runs, data_root, download, *how))
    output.result(result.to_json(), as_json, _everything)
    if result.export.differences:
        raise typer.Exit(1)


def train(
    recipe: RecipeName = "digits",
    overrides: Set = None,
    seed: Seed = None,
    teacher: Teacher = None,
    weights: Weights = None,
    resume: Resume = False,
    reuse: Reuse = False,
    baseline: Baseline = False,
    data_root: DataRoot = None,
    download: Download = False,
    device: Device = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Train a recipe's chain, teacher to student; writes a run folder with student.net.

    Example: snnkd train mnist --data-root ~/data --set chain.student.epochs=3
    """
    from snnkd import api
    from snnkd.cli.progress import TrainingProgress
    from snnkd.runs.pipeline import TrainingOptions

    loaded = _loaded(recipe, overrides, seed, teacher, weights, runs)
    if _assists(loaded, data_root, device, devices, nodes):
        return
    with TrainingProgress() as bars:
        how = (resume, reuse, baseline, device, bars.on_batch, bars.on_epoch, devices, nodes)
        result = api.train(loaded, TrainingOptions(runs, data_root, download, *how))
    output.result(result.to_json(), as_json, summary)


def _assists(recipe: Recipe, data_root: Path | None, device: str, devices: int, nodes: int) -> bool:
    """Does this process's part of the training, and says nothing, where another process leads it."""
    from snnkd.runs import processes

    stands = processes.place(devices, nodes)
    if stands.rank:
        processes.assist(recipe, stands, data_root, device)
    return stands.rank > 0


def _loaded(
    recipe: str,
    overrides: list[str] | None,
    seed: int | None,
    teacher: str | None,
    weights: str | None,
    runs: Path,
) -> Recipe:
    """Reads the recipe with its overrides and the user's teacher, and warns of what it probably does not mean."""
    from snnkd import recipe as recipes
    from snnkd.base.errors import RecipeError
    from snnkd.recipe.outside import teacher_table

    if weights is not None and teacher is None:
        raise RecipeError(f"--weights {weights}: are those of --teacher, which is missing")
    own = runs / recipe / "recipe.toml"
    if recipe not in recipes.names() and not recipe.endswith(".toml") and own.is_file():
        raise RecipeError(f"{recipe}: is a run, and this takes a recipe; that of the run is {own}")
    table = None if teacher is None else teacher_table(teacher, weights)
    changes = [*(overrides or []), *([f"seed={seed}"] if seed is not None else [])]
    loaded = recipes.load(recipe, changes, table)
    for warning in recipes.warnings(loaded):
        output.warn(warning)
    return loaded


_FINDINGS = 4  # that the end of a training names
_KINDS = {"snn": "", "ann": " (ANN)", "net": " (frozen)", "model": " (frozen)", "logits": " (frozen)"}


def summary(data: dict[str, Any]) -> Any:
    """Renders the table at the end of a training."""
    rows = [
        [
            name,
            row["network"] + _KINDS[row["kind"]],
            *("-" if value is None else f"{value:,}" for value in (row["parameters"], row["neurons"])),
            *("-" if value is None else f"{value:.2%}" for value in map(row["accuracy"].get, ("float", "integer"))),
        ]
        for name, row in data["networks"].items()
    ]
    title = f"{data['data_set']}: accuracy on all {data['test_images']:,} test images, {data['steps']} steps"
    columns = ["stage", "network", "parameters", "neurons", "float", "integer"]
    reused = [f"{name}: not trained, taken over from {folder}" for name, folder in data["reused"].items()]
    student = [
        *_by_step(data["by_step"]),
        *_early_exit(data),
        *_by_class(data["classes"]),
        *_health(data),
        f"student: {data['net']}",
    ]
    return output.group(output.table(title, columns, rows, left=2), *reused, *student)


def _by_step(accuracy: list[float]) -> list[str]:
    """The student's accuracy after 1, 2, 4, ... and all steps."""
    steps = {2**power for power in range(len(accuracy).bit_length())} | ({len(accuracy)} - {0})
    listed = ", ".join(f"{step}: {accuracy[step - 1]:.2%}" for step in sorted(steps))
    return [f"student by steps: {listed}"] if steps else []


def _by_class(classes: list[dict[str, Any]]) -> list[str]:
    """The classes that are recognized worst and best."""
    known = [row for row in classes if row["accuracy"] is not None]
    if len(known) < 2:
        return []
    worst, best = (of(known, key=lambda row: row["accuracy"]) for of in (min, max))
    told = " to ".join(f"{row['accuracy']:.2%} (class {row['name']})" for row in (worst, best))
    return [f"student by class: {told}"]


def _health(data: dict[str, Any]) -> list[str]:
    """What was found in the student on validation data, without the causes."""
    told = [f"{one['layer']}: {one['count']:,} of {one['total']:,} {one['what']}" for one in data["findings"]]
    more = [f"and {len(told) - _FINDINGS} more"] if len(told) > _FINDINGS else []
    if not told:
        return []
    return [
        "student's health on validation data:",
        *(f"    {text}" for text in [*told[:_FINDINGS], *more]),
        f"    why, and what to change: snnkd inspect {data['run']} --health",
    ]


def _early_exit(data: dict[str, Any]) -> list[str]:
    rule = data["early_exit"]
    if rule is None:
        return []
    end = f"at a lead of {rule['margin']:,} from step {rule['first']} on"
    return [f"student with early exit ({end}): {rule['accuracy']:.2%}, mean steps {rule['steps']:.2f}"]


def _everything(data: dict[str, Any]) -> Any:
    return output.group(
        summary(data["train"]),
        "",
        deployment.render_export(data["export"]),
        "",
        deployment.render_profile(data["profile"]),
    )
