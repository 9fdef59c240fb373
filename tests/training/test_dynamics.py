"""The quick implementations of the neuron's dynamics against the plain one: all bits forward, float32 backward."""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkd.training.dynamics import Cuba, implementation, plain
from snnkd.training.dynamics.parameters import gradients as gradients_of_parameters

# Triton's interpreter has to be chosen before anything imports Triton: test_triton starts another process for it.
NEEDS_TRITON = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
INTERPRETED = "TRITON_INTERPRET" in os.environ

# Of small sums, in parts of the magnitudes of their terms: exp(-x) has an error of x units in the last place, and
# 2^-80, where x is 55, may be 0.
ROUNDING = 2 * 55 * torch.finfo(torch.float32).eps
FLAT = 2.0**-80


@pytest.fixture(scope="module")
def quick():
    return importlib.import_module(f"snnkd.training.dynamics.{'gpu' if INTERPRETED else 'compiled'}")


@pytest.mark.skipif(INTERPRETED, reason="this is that process")
@NEEDS_TRITON
def test_triton():
    """The tests below with the kernels for CUDA."""
    command = [sys.executable, "-m", "pytest", __file__, "-p", "no:cacheprovider", "-k", "equals or count"]
    done = subprocess.run(command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def run(kernels, a, neurons, steps, states, keep=True):
    u, v = (state.clone() for state in states)
    spikes = torch.full((steps, a.shape[1]), -1.0)
    voltage = torch.full_like(spikes, -1.0) if keep else None
    counts = kernels.forward(a, neurons, u, v, spikes, voltage)
    return spikes, voltage, u, v, torch.as_tensor(counts)


def gradients(kernels, grad, of_voltage, voltage, neurons, distinct):
    out = torch.full((distinct, grad.shape[1]), torch.nan)
    kernels.backward(grad, of_voltage, voltage, neurons, out)
    return out


def by_autograd(a, grad, of_voltage, voltage, neurons, steps):
    """The gradients of u and v as torch finds them step by step, in float64: leaks that no reset interrupts, and the
    surrogate as the gradient of a spike."""
    leaf = torch.zeros_like(a, dtype=torch.float64, requires_grad=True)
    distance = (voltage.double() - neurons.level).abs() / 4096
    slope = neurons.scale / (2 * neurons.tau) * torch.exp(-distance / neurons.tau)
    (keep_current, keep_voltage), total = neurons.keeps, 0.0
    u = v = torch.zeros(a.shape[1], dtype=torch.float64)
    for t in range(steps):
        u = keep_current * u + leaf[t if len(a) > 1 else 0]
        v = keep_voltage * v + u
        total = total + (v * (slope[t] * grad[t] + (0 if of_voltage is None else of_voltage[t]))).sum()
    (of_a,) = torch.autograd.grad(total, leaf)
    return of_a.float()


@settings(max_examples=5 if INTERPRETED else 40, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    size=st.sampled_from([1, 7, 300, 2048, 2500]),
    steps=st.integers(1, 5),
    still=st.booleans(),
    decays=st.tuples(st.integers(0, 4096), st.integers(0, 4096)) | st.sampled_from([(0, 0), (4096, 4096), (0, 4096)]),
    level=st.sampled_from([1, 64, 5000, (1 << 17) - 1]),
    largest=st.sampled_from([1 << 8, 1 << 14, 1 << 18, (1 << 25) - 1]),
    tau=st.sampled_from([0.01, 1.0, 30.0]),
    each=st.booleans(),
)
def test_equals_the_plain_definition(quick, seed, size, steps, still, decays, level, largest, tau, each):
    random = torch.Generator().manual_seed(seed)
    neurons = Cuba(*decays, level << 6, tau * 64 / level, 1.5)
    if each:  # parameters of neurons that differ
        signs = torch.randint(0, 2, (3, size), generator=random, dtype=torch.int32)
        drawn = (sign * decay for sign, decay in zip(signs, decays, strict=False))
        neurons = Cuba(*drawn, (level << 6) + signs[2] * 64, tau * 64 / level, 1.5)
    a = torch.randint(-largest, largest + 1, (1 if still else steps, size), generator=random) / 64
    states = [torch.randint(-(1 << 22), 1 << 22, (size,), generator=random, dtype=torch.int32) for _ in "uv"]
    expected = run(plain, a, neurons, steps, states)
    for of_plain, of_quick in zip(expected, run(quick, a, neurons, steps, states), strict=True):
        assert torch.equal(of_plain, of_quick)
    bare = run(quick, a, neurons, steps, states, keep=False)
    assert torch.equal(bare[0], expected[0]) and torch.equal(bare[4], expected[4])
    if not still:
        aliased = a.clone()
        voltage = expected[1]
        u, v = (state.clone() for state in states)
        quick.forward(aliased, neurons, u, v, torch.empty_like(a), aliased)
        assert torch.equal(aliased, voltage), "voltage may be the memory of a"

    grad = torch.randn((steps, size), generator=random)
    close = {"rtol": 1e-5, "atol": 5e-6 * max(1.0, 1 / tau)}
    flat = FLAT * neurons.scale / (2 * tau) * steps**2 * grad.abs().sum(dim=0)  # each is added so many times at most
    for of_voltage in (None, torch.randn((steps, size), generator=random)):
        whole = None if of_voltage is None else of_voltage.abs()
        terms = gradients(plain, grad.abs(), whole, expected[1], neurons, len(a))  # they may cancel, so does no error
        wanted = gradients(plain, grad, of_voltage, expected[1], neurons, len(a))
        computed = gradients(quick, grad, of_voltage, expected[1], neurons, len(a))
        torch.testing.assert_close(computed, wanted, **close)
        assert ((computed - wanted).abs() <= ROUNDING * terms + flat).all()
        exact = by_autograd(a, grad, of_voltage, expected[1], neurons, steps)
        torch.testing.assert_close(wanted, exact, rtol=1e-4, atol=2 * close["atol"])
        assert ((wanted - exact).abs() <= ROUNDING * terms + flat).all()
        if not still:
            aliased = expected[1].clone()
            quick.backward(grad, of_voltage, aliased, neurons, aliased)
            assert torch.equal(aliased, computed), "out may be the memory of voltage"


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1 << 32), steps=st.integers(1, 6), leaks=st.booleans(), biased=st.booleans())
@pytest.mark.skipif(INTERPRETED, reason="plain torch, on any device")
def test_gradients_of_parameters(seed, steps, leaks, biased):
    """As torch finds them step by step, in float64, of what u and v really were: what a reset sets to 0 passes its
    gradient, which is SLAYER's rule, but brings none to the decay."""
    random, size = torch.Generator().manual_seed(seed), 50
    decays = torch.randint(0, 4097, (2, size), generator=random, dtype=torch.int32) * leaks
    neurons = Cuba(*decays, torch.randint(1000, 90000, (size,), generator=random, dtype=torch.int32), 0.5, 1.5)
    a = torch.randint(-1000, 2000, (steps, size), generator=random) / 64
    grad, of_voltage = torch.randn((2, steps, size), generator=random)
    bias = torch.randint(-30000, 60000, (size,), generator=random, dtype=torch.int32) if biased else None
    spikes, voltage = torch.empty(2, steps, size)
    us, vs = (torch.zeros(steps + 1, size, dtype=torch.int32) for _ in "uv")
    for t in range(steps):
        us[t + 1], vs[t + 1] = us[t], vs[t]
        plain.forward(a[t : t + 1], neurons, us[t + 1], vs[t + 1], spikes[t : t + 1], voltage[t : t + 1], bias)

    threshold, keeps = torch.zeros(size, dtype=torch.float64), torch.stack(list(neurons.keeps)).double()
    leaves = [threshold.requires_grad_(), keeps.requires_grad_()]
    slope = (
        neurons.scale / (2 * neurons.tau) * torch.exp(-(voltage.double() - neurons.level).abs() / 4096 / neurons.tau)
    )
    u = v = torch.zeros(size, dtype=torch.float64)
    total = torch.zeros((), dtype=torch.float64)
    for t in range(steps):
        u = keeps[0] * (us[t] / 4096 + u - u.detach())
        v = keeps[1] * (vs[t] / 4096 + v - v.detach()) + u
        total = total + (slope[t] * grad[t] * (v - threshold) + of_voltage[t] * v).sum()
    of_threshold, of_keeps = torch.autograd.grad(total, leaves)

    of_a, computed = torch.empty(steps, size), torch.empty(3, size)
    plain.backward(grad, of_voltage, voltage, neurons, of_a)
    gradients_of_parameters(of_a, of_voltage, voltage, neurons, bias, computed)
    wanted = torch.stack([of_threshold / 64, *-of_keeps / 4096])
    torch.testing.assert_close(computed.double(), wanted, rtol=1e-3, atol=1e-5)


def test_every_count_is_reached(quick):
    a = torch.full((6, 40), ((1 << 25) - 2) / 64)
    counts = run(quick, a, Cuba(0, 0, 1 << 23, 1 / 2048, 1.0), 6, [torch.zeros(40, dtype=torch.int32)] * 2)[4]
    assert counts.min() > 0


def test_the_device_chooses():
    assert implementation(torch.device("cpu")).__name__.endswith("compiled")
    assert implementation(torch.device("meta")) is plain


@NEEDS_TRITON
def test_a_gpu_has_kernels_of_its_own():
    assert implementation(torch.device("cuda")).__name__.endswith("gpu")


@pytest.mark.gpu
def test_on_a_gpu():
    """In a process of its own: the interpreter, once chosen, stays."""
    code = """
import torch
from snnkd.training.dynamics import Cuba, gpu, plain
a = torch.randint(-(1 << 20), 1 << 20, (9, 5000)) / 64
neurons, made = Cuba(700, 123, 5000 << 6, 0.02, 1.0), {}
for device, kernels in (("cpu", plain), ("cuda", gpu)):
    u, v = (torch.zeros(5000, dtype=torch.int32, device=device) for _ in "uv")
    spikes, voltage = (torch.empty(9, 5000, device=device) for _ in "sv")
    counts = kernels.forward(a.to(device), neurons, u, v, spikes, voltage)
    made[device] = [x.cpu() for x in (spikes, voltage, u, v, counts)]
assert all(map(torch.equal, made["cpu"], made["cuda"]))
"""
    subprocess.run([sys.executable, "-c", code], check=True)
