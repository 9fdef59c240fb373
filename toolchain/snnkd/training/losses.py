"""Losses on spiking activation tensors (SAT): student and teacher spikes of the output layer, (T, classes, B).

The distillation losses are those of "Distilling Spikes" (Kushawaha et al. 2020). The paper gives one equation (the
sliding window) and no settings, so the readings that it allows are a parameter; `docs/losses.md` lists them. Each loss
is a sum over the tensor divided by the batch size B (the norm of the whole tensor by its root), so that a learning
rate does not depend on B.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

Reading = str  # 'literal' | 'norm' | 'count' | 'psp'


@dataclass(frozen=True)
class SatSettings:
    """reading: what is compared, see `docs/losses.md`. window: the sliding window Delta in steps. temperature and
    kl_axis ('counts' | 'step' | 'time'): of the softmax in `full_kl`."""

    reading: Reading = "literal"
    window: int = 2
    temperature: float = 2.0
    kl_axis: str = "counts"


def _traces(sat: torch.Tensor, keep: float = 0.5) -> torch.Tensor:
    """Post-synaptic potentials: each spike train filtered by p[t] = keep p[t-1] + s[t]."""
    trace, traces = torch.zeros_like(sat[0]), []
    for spikes in sat:
        trace = keep * trace + spikes
        traces.append(trace)
    return torch.stack(traces)


def _difference(student: torch.Tensor, teacher: torch.Tensor, reading: Reading) -> torch.Tensor:
    difference = student - teacher
    return _traces(difference) if reading == "psp" else difference


def _power(difference: torch.Tensor, m: int, reading: Reading, dims: tuple[int, ...]) -> torch.Tensor:
    """||difference||_1, ||.||_2^2, or for reading 'norm' and m = 2 the un-squared ||.||_2, over `dims`; then summed."""
    if m == 1:
        return difference.abs().sum()
    if reading == "norm":
        return torch.linalg.vector_norm(difference, dim=dims).sum()  # unlike a root of squares, 0 with gradient 0 at 0
    return difference.square().sum()


def _full(student: torch.Tensor, teacher: torch.Tensor, m: int, reading: Reading) -> torch.Tensor:
    difference = _difference(student, teacher, reading)
    if reading == "count":
        difference = difference.sum(dim=0, keepdim=True)
    of_all = m == 2 and reading == "norm"  # grows with the root of B only
    return _power(difference, m, reading, (0, 1, 2)) / student.shape[2] ** (0.5 if of_all else 1)


def full_l1(student: torch.Tensor, teacher: torch.Tensor, settings: SatSettings) -> torch.Tensor:
    """L_L1: the L1 distance of the whole tensors; of the spike counts over time for reading 'count'."""
    return _full(student, teacher, 1, settings.reading)


def full_l2(student: torch.Tensor, teacher: torch.Tensor, settings: SatSettings) -> torch.Tensor:
    """L_L2: the squared L2 distance of the whole tensors; un-squared (Frobenius) for reading 'norm'."""
    return _full(student, teacher, 2, settings.reading)


def _sliding(student: torch.Tensor, teacher: torch.Tensor, m: int, settings: SatSettings) -> torch.Tensor:
    windows = _difference(student, teacher, settings.reading).unfold(0, settings.window, 1)  # (T-D+1, C, B, D)
    if settings.reading == "count":
        windows = windows.sum(dim=-1, keepdim=True)
    return _power(windows, m, settings.reading, (-1,)) / student.shape[2]


def sliding_l1(student: torch.Tensor, teacher: torch.Tensor, settings: SatSettings) -> torch.Tensor:
    """L_sL1 = sum_b sum_c sum_t || S_T[t:t+D; c; b] - S_S[t:t+D; c; b] ||_1 over the valid windows of D steps.

    For reading 'count' the spikes of each window are summed first: tolerant of jitter within the window.
    """
    return _sliding(student, teacher, 1, settings)


def sliding_l2(student: torch.Tensor, teacher: torch.Tensor, settings: SatSettings) -> torch.Tensor:
    """L_sL2: as `sliding_l1` with the squared L2 norm of each window, un-squared for reading 'norm'."""
    return _sliding(student, teacher, 2, settings)


def full_kl(student: torch.Tensor, teacher: torch.Tensor, settings: SatSettings) -> torch.Tensor:
    """L_KL = tau^2 KL(softmax(z_T / tau) || softmax(z_S / tau)), mean over the batch (Hinton et al. 2015).

    z is, by `kl_axis`: 'counts' the spike counts over classes; 'step' the spikes of each step over classes; 'time'
    the spikes of each class over time.
    """
    tau = settings.temperature
    axis = {"counts": 0, "step": 1, "time": 0}[settings.kl_axis]
    if settings.kl_axis == "counts":
        student, teacher = student.sum(dim=0), teacher.sum(dim=0)
    log_student = F.log_softmax(student / tau, dim=axis)
    log_teacher = F.log_softmax(teacher / tau, dim=axis)
    return tau**2 * (log_teacher.exp() * (log_teacher - log_student)).sum() / student.shape[-1]


SatLoss = Callable[[torch.Tensor, torch.Tensor, SatSettings], torch.Tensor]

SAT_LOSSES: dict[str, SatLoss] = {
    "l1": full_l1,
    "l2": full_l2,
    "kl": full_kl,
    "sliding_l1": sliding_l1,
    "sliding_l2": sliding_l2,
}


def cross_entropy(sat: torch.Tensor, labels: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    """Cross-entropy of softmax(scale x spike count) over classes, mean over the batch. labels: (B,) int64."""
    return F.cross_entropy(scale * sat.sum(dim=0).T, labels)


def spike_rate(sat: torch.Tensor, labels: torch.Tensor, true_rate: float, false_rate: float) -> torch.Tensor:
    """Squared distance of spike rates to `true_rate` for the label and `false_rate` else, summed over classes, mean
    over the batch (SLAYER's SpikeRate, with reduction 'sum' divided by the batch size)."""
    rates = sat.mean(dim=0).T
    target = torch.full_like(rates, false_rate).scatter_(1, labels[:, None], true_rate)
    return (rates - target).square().sum() / rates.shape[0]
