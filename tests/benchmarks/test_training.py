"""The harness of toolchain/benchmarks/training.py: its options, and that all of a system lies where its batch does."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "toolchain/benchmarks"))

import training_systems as systems

pytestmark = pytest.mark.lava


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_one_line_says_so() -> None:
    command = [sys.executable, systems.__file__.replace("_systems", ""), "--device", "cuda"]
    ended = subprocess.run(command, capture_output=True, text=True)
    (line,) = [line for line in ended.stderr.splitlines() if "error" in line]
    assert ended.returncode == 2 and not ended.stdout
    assert line.startswith("error: --device cuda: torch finds no CUDA device") and "Traceback" not in ended.stderr


def test_a_batch_is_the_same_on_every_device() -> None:
    here, there = (systems.work_of("mlp 784-256-10", 3, 4, device) for device in ("cpu", "meta"))
    assert there.device.type == "meta" and all(layer.weight.device.type == "meta" for layer in there.layers)
    assert here.events.shape == there.events.shape and here.events.stride() == there.events.stride()
    assert [layer.threshold for layer in here.layers] == [layer.threshold for layer in there.layers]


@pytest.mark.parametrize("name", ["mlp 784-256-10", "conv 8c5s2-16c3s2-10"])
@pytest.mark.parametrize("system", ["snntorch", "norse", "spikingjelly", "floor"])
def test_all_of_a_system_is_on_the_device_of_its_batch(system: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's device without memory refuses whatever was left on the CPU, as a GPU does."""
    pytest.importorskip({"norse": "norse", "floor": "torch"}.get(system, system))
    monkeypatch.setattr(torch.optim, "Adam", partial(_plain_adam, torch.optim.Adam))  # the fused one needs a memory
    step = systems.make(system, systems.work_of(name, 2, 4, "meta"))
    assert step is not None
    step()


def _plain_adam(adam, weights, lr, fused):
    weights = list(weights)
    assert weights and all(weight.device.type == "meta" for weight in weights)
    return adam(weights, lr=lr)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_ways_to_a_gradient_agree(stride: int) -> None:
    """What a GPU adds up in place of the Numba kernel is the same sum."""
    x, weight = torch.randn(3, 4, 9, 9), torch.randn(5, 4, 3, 3)
    g = torch.randn(3, 5, *[(9 - 3) // stride + 1] * 2)
    expected = torch.nn.grad.conv2d_input(x.shape, weight, g, stride)
    there = systems._folded(weight, [stride] * 2)(g, x)
    torch.testing.assert_close(there, expected)
    channels_last = g.contiguous(memory_format=torch.channels_last)
    here = systems._added_up(weight, [stride] * 2)(channels_last, x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(here, expected)


@pytest.mark.gpu
@pytest.mark.parametrize("system", ["snnkd", "floor"])
def test_steps_on_a_gpu(system: str) -> None:
    work = systems.work_of("conv 8c5s2-16c3s2-10", 2, 4, "cuda")
    step = systems.make(system, work)
    assert step is not None
    step()
    systems.waiting(work.device)()
