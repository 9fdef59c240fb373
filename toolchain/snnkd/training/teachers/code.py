"""Models in torch that somebody else wrote: their code, which runs here, and their weights, which never do.

This is the only place where code that is not snnkd's is imported, and a recipe's `model` or `--teacher` has named it.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from snnkd.base import recognition
from snnkd.base.errors import FormatError
from snnkd.recipe.outside import ModelName

_SHOWN = 3  # keys of weights that a message lists


def load_module(model: ModelName, weights: Path | None) -> torch.nn.Module:
    """Imports what `model` names, calls it if it is no module yet, and loads its weights: in eval mode, on the CPU.

    Raises FormatError that says what is missing, what came back, what its code raised, or which weights do not fit.
    """
    with _torch_as_it_was():
        return _made(model, weights).eval()


def _made(model: ModelName, weights: Path | None) -> torch.nn.Module:
    where = f"{model.where}:{model.name}"
    try:
        home = _imported(model)
    except (Exception, SystemExit) as error:
        raise FormatError(f"{model.where}: its import fails: {raised(error)}") from error
    if not hasattr(home, model.name):
        names = ", ".join(name for name in vars(home) if not name.startswith("_") and callable(getattr(home, name)))
        raise FormatError(f"{where}: it has no '{model.name}'; it has {names or 'nothing that can be called'}")
    made = getattr(home, model.name)
    if not isinstance(made, torch.nn.Module):
        try:
            made = made()
        except (Exception, SystemExit) as error:
            raise FormatError(f"{where}: {model.name}() fails: {raised(error)}") from error
    if not isinstance(made, torch.nn.Module):
        raise FormatError(f"{where}: expected a torch.nn.Module or a function that makes one, found {described(made)}")
    if weights is not None:
        _load(made, weights, where)
    return made


def raised(error: BaseException) -> str:
    """Writes an exception of somebody's code as 'ValueError: text (mine.py, line 3)'."""
    place, trace = "", error.__traceback__
    while trace is not None:
        place, trace = f" ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})", trace.tb_next
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'without a text'}{place}"


def described(value: Any) -> str:
    """Writes what something is: a tensor by its shape and type, all else by its type."""
    if isinstance(value, torch.Tensor):
        return f"a tensor {tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}: {', '.join(map(described, value[:_SHOWN]))}"
    return f"a {type(value).__name__}" if value is not None else "None"


def _imported(model: ModelName) -> ModuleType:
    if not model.is_file:
        return importlib.import_module(model.where)
    path = Path(model.where)
    spec = importlib.util.spec_from_file_location(f"snnkd_teacher_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # as its dataclasses want it
    with _beside(path.parent):
        spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _torch_as_it_was() -> Iterator[None]:
    """Puts back what a researcher's file likes to set for the whole process, and the training relies on."""
    dtype, gradients, threads = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[None]:
    """Lets a file import those beside it meanwhile, as Python does for a script."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _load(module: torch.nn.Module, path: Path, where: str) -> None:
    state = _state(path)
    own = module.state_dict()
    missing, unexpected = [key for key in own if key not in state], [key for key in state if key not in own]
    other = [key for key in own if key in state and own[key].shape != state[key].shape]
    wrong = [f"lacks {_listed(missing)}"] if missing else []
    wrong += [f"has {_listed(unexpected)}, which {where} does not have"] if unexpected else []
    wrong += [f"{key} is {tuple(state[key].shape)}, expected {tuple(own[key].shape)}" for key in other[:_SHOWN]]
    if wrong:
        raise FormatError(f"{path}: not the weights of {where}: {'; '.join(wrong)}")
    try:
        module.load_state_dict(state)
    except (Exception, SystemExit) as error:  # of a load_state_dict of its own
        raise FormatError(f"{path}: {where} does not take these weights: {raised(error)}") from error


def _listed(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else "")


def _state(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file by name, read without running anything that is in it."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if what := recognition.sentence(path, "weights"):
            raise FormatError(f"{path}: {what}") from error
        raise FormatError(
            f"{path}: expected a state_dict alone, and it holds Python objects, which could run code; save it with "
            "torch.save(model.state_dict(), ...) or as .safetensors"
        ) from error
    except (SafetensorError, OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        what = recognition.sentence(path, "weights") or f"cannot be read as weights: {raised(error)}"
        raise FormatError(f"{path}: {what}") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        keys = f" with {_listed(list(map(str, state)))}" if isinstance(state, dict) else ""
        raise FormatError(
            f"{path}: expected a state_dict, tensors by name, found {described(state)}{keys}; save model.state_dict() "
            "alone"
        )
    return dict(state)
