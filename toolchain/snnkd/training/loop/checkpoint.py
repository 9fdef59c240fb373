"""Checkpoints: one safetensors file of each stage, from which a training goes on or its network is read.

It holds the network, the best network so far, what is trained beside it, the states of the optimizer and of torch's
random numbers, and the history. Its metadata have a digest of all of it, so that a file in which a single bit has
changed is refused. Files without a digest, of earlier versions, are taken as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from snnkd.base.errors import FormatError, MismatchError, SnnkdError
from snnkd.base.files import atomic


@dataclass
class Progress:
    """How far a stage has come.

    key: digest of all that determines its result. epoch: the last one that is over, from 1. best_epoch, best_accuracy:
    of the network that is kept so far. objective: the state of what is minimized. history: one row of metrics of each
    epoch.
    """

    key: str
    epoch: int = 0
    best_epoch: int = 0
    best_accuracy: float = -1.0
    objective: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


def save(
    path: Path,
    progress: Progress,
    network: torch.nn.Module,
    best: dict[str, torch.Tensor],
    optimizer: torch.optim.Optimizer,
    beside: torch.nn.Module | None = None,
) -> None:
    """Writes everything that resuming needs, in one file, whole or not at all.

    best: the state of the best network so far. beside: what else is trained, None for nothing. Raises SnnkdError where
    the file cannot be written.
    """
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    tensors |= {f"beside.{name}": value for name, value in (beside.state_dict() if beside else {}).items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
    tensors["rng"] = torch.get_rng_state()
    contiguous = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    progress_json = json.dumps(vars(progress))
    metadata = {"progress": progress_json, "sha256": digest(progress_json, contiguous)}
    with atomic(path) as temporary:
        try:
            save_file(contiguous, temporary, metadata=metadata)
        except SafetensorError as error:  # what a full disk is to this library
            raise SnnkdError(f"{path}: cannot be written: {error}; an earlier file is intact") from error


def peek(path: Path) -> Progress | None:
    """Reads the progress from the header of a checkpoint, and nothing else; None where that is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return Progress(**json.loads((file.metadata() or {})["progress"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError):
        return None


def check(path: Path) -> None:
    """Reads a whole checkpoint and compares it with its digest. Raises FormatError where it is damaged."""
    _read(path)


@dataclass(frozen=True)
class Read:
    """What is in the checkpoint at `path`."""

    path: Path
    progress: Progress
    tensors: dict[str, torch.Tensor]

    def restore(
        self,
        network: torch.nn.Module,
        optimizer: torch.optim.Optimizer | None = None,
        beside: torch.nn.Module | None = None,
    ) -> tuple[Progress, dict[str, torch.Tensor]]:
        """Restores as `load` does."""
        best = _part(self.tensors, "best.")
        try:
            network.load_state_dict(best)  # is it whole?
            network.load_state_dict(_part(self.tensors, "network."))
            if beside is not None:
                beside.load_state_dict(_part(self.tensors, "beside."))
            if optimizer is not None:
                _restore(optimizer, _part(self.tensors, "optimizer."))
                torch.set_rng_state(self.tensors["rng"])
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            raise _damaged(self.path, error) from error
        return self.progress, best


def load(
    path: Path,
    key: str,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    beside: torch.nn.Module | None = None,
) -> tuple[Progress, dict[str, torch.Tensor]]:
    """Restores network, optimizer, `beside` and torch's random state in place; returns the progress and the best state.

    key: that of the stage. Without an optimizer, the random state stays as well. Raises MismatchError where the file
    belongs to another recipe, FormatError where it is damaged.
    """
    return read(path, key).restore(network, optimizer, beside)


def read(path: Path, key: str) -> Read:
    """Reads what `load` restores, and raises as it does."""
    found = _read(path)
    if found.progress.key != key:
        raise MismatchError(
            f"{path}: belongs to another recipe, data set or seed; train without --resume, or into another --runs"
        )
    return found


def _read(path: Path) -> Read:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            progress = Progress(**json.loads(metadata["progress"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    digests = metadata.keys() - {"progress"}  # a digest whose own name has changed is no file without one
    if digests and (digests != {"sha256"} or metadata["sha256"] != digest(metadata["progress"], tensors)):
        raise _damaged(path, ValueError("its contents are not those of its digest"))
    return Read(path, progress, tensors)


def digest(progress: str, tensors: Mapping[str, torch.Tensor]) -> str:
    """Computes the sha256 (hex) of the progress and of each tensor's name, type, shape and bytes."""
    sha256 = hashlib.sha256(progress.encode())
    for name in sorted(tensors):
        tensor = tensors[name].cpu()
        sha256.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha256.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha256.hexdigest()


def _restore(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    states: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        index, field_name = name.split(".", 1)
        states.setdefault(int(index), {})[field_name] = value
    groups = optimizer.state_dict()["param_groups"]
    missing = {index for group in groups for index in group["params"]} - states.keys()
    if missing:
        raise ValueError(f"no optimizer state of parameter {min(missing)}")
    optimizer.load_state_dict({"state": states, "param_groups": groups})


def _damaged(path: Path, error: Exception) -> FormatError:
    problem = (str(error) or type(error).__name__).splitlines()[0]
    return FormatError(f"{path}: damaged checkpoint ({problem}); delete it to train this stage again")


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
