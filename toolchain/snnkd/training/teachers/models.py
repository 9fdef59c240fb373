"""Models that can be asked, and looked into: a module of torch with its layers, an ONNX graph with its values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from snnkd.base.errors import FormatError
from snnkd.engines.onnx.classifier import Classifier
from snnkd.training.teachers.code import described

Features = dict[str, torch.Tensor]  # what layers put out, by their names


class Model(Protocol):
    """A model that can be asked."""

    @property
    def parameters(self) -> int:
        """Counts the numbers in it."""
        ...

    def __call__(self, inputs: torch.Tensor, layers: Sequence[str]) -> tuple[Any, Features]:
        """Answers inputs, as the protocol of `outside` has them, and gives what its layers of these names put out."""
        ...


@dataclass(eq=False)
class TorchModel:
    """A module of torch, of any framework that builds on it. by_step: it is called once a step, with its state."""

    module: torch.nn.Module
    by_step: bool

    @property
    def parameters(self) -> int:
        """Counts what it trains."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def __call__(self, inputs: torch.Tensor, layers: Sequence[str]) -> tuple[Any, Features]:
        """Answers as `Model` does. Raises what the module raises, FormatError for a layer that it does not have."""
        module = self.module.to(inputs.device)
        seen: dict[str, list[Any]] = {name: [] for name in layers}
        hooks = [_submodule(module, name).register_forward_hook(_keeper(seen[name])) for name in layers]
        try:
            answer = self._by_step(module, inputs) if self.by_step else module(inputs)
        finally:
            for hook in hooks:
                hook.remove()
        return answer, {name: _feature(name, calls) for name, calls in seen.items()}

    def _by_step(self, module: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        state, answers = None, []
        for step in inputs:
            answer = module(step, state)
            if not isinstance(answer, tuple | list) or len(answer) != 2 or not isinstance(answer[0], torch.Tensor):
                raise FormatError(f"by_step expects (output, state) of each step, found {described(answer)}")
            answers.append(answer[0])
            state = answer[1]
        return torch.stack(answers)


@dataclass(eq=False)
class OnnxModel:
    """An ONNX classifier, on the CPU."""

    classifier: Classifier

    @property
    def parameters(self) -> int:
        """Counts the numbers in its file."""
        return self.classifier.parameters()

    def __call__(self, inputs: torch.Tensor, layers: Sequence[str]) -> tuple[torch.Tensor, Features]:
        """Answers as `Model` does; layers are values of its graph. Raises FormatError as the classifier does."""
        answer, features = self.classifier(inputs.cpu().numpy(), layers)
        return (
            torch.from_numpy(answer).to(inputs.device),
            {name: torch.from_numpy(value).to(inputs.device) for name, value in features.items()},
        )


def _submodule(module: torch.nn.Module, name: str) -> torch.nn.Module:
    known = dict(module.named_modules())
    if name not in known or not name:
        listed = ", ".join(filter(None, known))
        raise FormatError(f"it has no layer '{name}'; its named_modules are {listed}")
    return known[name]


def _feature(name: str, calls: list[Any]) -> torch.Tensor:
    """What a layer put out in all its calls, those of several steps stacked."""
    if not calls or not all(isinstance(call, torch.Tensor) for call in calls):
        found = described(calls[0]) if calls else "no call of it: its forward goes around this module"
        raise FormatError(f"its layer '{name}': expected a tensor, found {found}")
    return torch.stack(calls) if len(calls) > 1 else calls[0]


def _keeper(calls: list[Any]) -> Any:
    """A forward hook that keeps a layer's output, of a layer with a state the first one."""

    def hook(_: torch.nn.Module, __: Any, output: Any) -> None:
        calls.append(output[0] if isinstance(output, tuple | list) else output)

    return hook
