"""The files that a recipe's stages name: where they are, and whether they are still what they were."""

from __future__ import annotations

from pathlib import Path

from snnkd.base import provenance, schema
from snnkd.base.errors import MismatchError
from snnkd.base.schema import Problem
from snnkd.recipe.outside import ModelName, source_of
from snnkd.recipe.tables import FILES, Stage

_KINDS = {
    "net": "a .net or .nir file",
    "start": "a .net or .nir file",
    "model": "the model's file",
    "weights": "the file with its weights",
    "logits": "an .npz file",
}


def located(name: str, stage: Stage, folder: Path) -> tuple[Stage, list[Problem]]:
    """Returns the stage `name` with the absolute paths of its files and their digests, and what is missing.

    A file is looked up in `folder`, then in the current one; of a module its source. Where the digest is there already,
    as in the recipe of a run, the file may be gone: only a training needs it.
    """
    problems: list[Problem] = []
    for field, digest in FILES.items():
        if field == "weights":
            stage = _with_data_of_onnx(stage)
        text, known = getattr(stage, field), getattr(stage, digest)
        file = _search(field, text, folder) if text else None
        place = ("chain", name, field)
        try:
            if file is not None:
                named = _named(field, text, file.absolute())
                stage = stage.model_copy(update={field: named, digest: known or provenance.file_digest(file)})
            elif text and not known:
                problems.append(Problem(place, f"{schema.dotted(place)}: {_absent(field, text, folder)}"))
        except OSError as error:
            problems.append(Problem(place, f"{schema.dotted(place)}: {file}: cannot be read: {error.strerror}"))
    return stage, problems


def check(name: str, stage: Stage) -> None:
    """Raises MismatchError where a file of the resolved stage `name` is gone or another one than it was."""
    for field, digest in FILES.items():
        text = getattr(stage, field)
        if text is None:
            continue
        where, file = f"chain.{name}.{field}: {text}", _search(field, text, Path())
        if file is None:
            raise MismatchError(f"{where}: no such file or module; a stage of the recipe needs it to be trained")
        check_digest(where, file, getattr(stage, digest))


def check_digest(where: object, file: Path, sha256: str | None) -> None:
    """Raises MismatchError, which names `where`, unless `file` has that digest."""
    if provenance.file_digest(file) != sha256:
        raise MismatchError(
            f"{where}: not the file that the recipe means (its sha256 is another one); put that file back, or leave "
            "sha256 out of the recipe"
        )


def _model(field: str, text: str) -> ModelName | None:
    return ModelName.parse(text) if field == "model" else None


def _search(field: str, text: str, folder: Path) -> Path | None:
    """The file that a field names."""
    model = _model(field, text)
    if model is not None and not model.is_file:
        return source_of(model.where)
    path = Path(model.where if model is not None else text)
    return next((candidate for candidate in (folder / path, path) if candidate.is_file()), None)


def _named(field: str, text: str, file: Path) -> str:
    """What names `file` from everywhere; a module is named as it was."""
    model = _model(field, text)
    if model is None:
        return str(file)
    return model.at(file) if model.is_file else text


def _absent(field: str, text: str, folder: Path) -> str:
    model = _model(field, text)
    if model is not None and not model.is_file:
        return f"{text}: no such module here; install it, or give the path of a .py file"
    path = Path(model.where if model is not None else text)
    where = f"in {folder.absolute()} nor in {Path.cwd()}" if not path.is_absolute() else "there"
    return f"{path}: no such file {where}; give the path of {_KINDS[field]}"


def _with_data_of_onnx(stage: Stage) -> Stage:
    """Names the file beside an ONNX model that its weights are in, as torch writes it: model.onnx.data."""
    if stage.weights is None and (stage.model or "").endswith(".onnx") and Path(f"{stage.model}.data").is_file():
        return stage.model_copy(update={"weights": f"{stage.model}.data"})
    return stage
