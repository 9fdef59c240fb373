"""Losses on spiking activation tensors (SAT): what student and teacher put out at each step, (T, classes, B).

The first five distillation losses are those of "Distilling Spikes" (Kushawaha et al. 2020). The paper gives one
equation (the sliding window) and no settings, so the readings that it allows are a parameter; `docs/losses.md` lists
them. Each loss is a sum over the tensor divided by the batch size B (the norm of the whole tensor by its root), so that
a learning rate does not depend on B.

The temporal losses are means over the steps t of a loss on what an inference that stops after t steps has read: the sum
of the first t steps times T / t, which for t = T is what a whole inference reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

Reading = str  # 'literal' | 'norm' | 'count' | 'psp'
Scale = float | torch.Tensor  # logit per unit of activation


@dataclass(frozen=True)
class SatSettings:
    """reading: what is compared, see `docs/losses.md`. window: the sliding window Delta in steps.

    Of the losses with a softmax: temperature; teacher_temperature, None for the same; scale, logit per unit of the
    student's activation, a number or a tensor () that may have a gradient; and kl_axis ('counts' | 'step' | 'time') of
    `full_kl`.
    """

    reading: Reading = "literal"
    window: int = 2
    temperature: float = 2.0
    kl_axis: str = "counts"
    teacher_temperature: float | None = None
    scale: Scale = 1.0


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
    """L_KL = tau_T tau_S KL(softmax(z_T / tau_T) || softmax(scale z_S / tau_S)), mean over the batch.

    z is, by `kl_axis`: 'counts' the spike counts over classes; 'step' the spikes of each step over classes; 'time'
    the spikes of each class over time. With equal temperatures it is that of Hinton et al. 2015; those that differ are
    of Lee et al. 2021 (arXiv 2106.07172).
    """
    axis = {"counts": 0, "step": 1, "time": 0}[settings.kl_axis]
    if settings.kl_axis == "counts":
        student, teacher = student.sum(dim=0), teacher.sum(dim=0)
    return _kl(settings.scale * student, teacher, settings, axis) / student.shape[-1]


def _kl(student: torch.Tensor, teacher: torch.Tensor, settings: SatSettings, axis: int) -> torch.Tensor:
    """tau_T tau_S KL(softmax(teacher / tau_T) || softmax(student / tau_S)), classes or steps along `axis`, summed."""
    tau = settings.temperature
    tau_teacher = settings.teacher_temperature or tau
    log_student = F.log_softmax(student / tau, dim=axis)
    log_teacher = F.log_softmax(teacher / tau_teacher, dim=axis)
    return tau_teacher * tau * (log_teacher.exp() * (log_teacher - log_student)).sum()


def _so_far(sat: torch.Tensor) -> torch.Tensor:
    """(T, classes, B): at step t the sum of the steps up to it times T / t."""
    steps = torch.arange(1, len(sat) + 1, dtype=sat.dtype, device=sat.device)
    return sat.cumsum(dim=0) * (len(sat) / steps)[:, None, None]


def temporal_kl(student: torch.Tensor, teacher: torch.Tensor, settings: SatSettings) -> torch.Tensor:
    """tau_T tau_S KL(softmax(z_T / tau_T) || softmax(scale z_S(t) / tau_S)), mean over the steps t and the batch.

    z_T: the teacher's whole sum; z_S(t): what the student has put out up to step t. As in TWKD (Yu et al. 2025, arXiv
    2501.15925), where z_S(t) is the logit of step t alone.
    """
    made, goal = settings.scale * _so_far(student), teacher.sum(dim=0, keepdim=True)
    return _kl(made, goal, settings, 1) / made[:, 0].numel()


SatLoss = Callable[[torch.Tensor, torch.Tensor, SatSettings], torch.Tensor]

SAT_LOSSES: dict[str, SatLoss] = {
    "l1": full_l1,
    "l2": full_l2,
    "kl": full_kl,
    "sliding_l1": sliding_l1,
    "sliding_l2": sliding_l2,
    "temporal_kl": temporal_kl,
}


def self_ensemble(student: torch.Tensor, labels: torch.Tensor, settings: SatSettings) -> torch.Tensor:
    """tau^2 KL(softmax(z_ens / tau) || softmax(z(t) / tau)), mean over the steps t and the batch; labels (B,) int64.

    z(t): scale x what the student has put out up to step t; z_ens: the mean of z(t) over the steps at which the label
    has the most alone, over all steps where it never has. No gradient goes through z_ens or the scale. The
    self-distillation of TWKD (Yu et al. 2025, arXiv 2501.15925), with z(t) as in `temporal_kl`.
    """
    made = _constant(settings.scale) * _so_far(student)
    with torch.no_grad():
        label = labels.expand(len(made), 1, -1)
        right = made.gather(1, label) > made.scatter(1, label, -torch.inf).amax(dim=1, keepdim=True)
        right |= ~right.any(dim=0)
        ensemble = (made * right).sum(dim=0, keepdim=True) / right.sum(dim=0, keepdim=True)
    return _kl(made, ensemble, _of_itself(settings), 1) / made[:, 0].numel()


def strong_to_weak(student: torch.Tensor, labels: torch.Tensor, settings: SatSettings) -> torch.Tensor:
    """tau^2 KL(softmax(z(strong) / tau) || softmax(z(weak) / tau)), mean over the batch; needs no labels.

    z(t): scale x what the student has put out up to step t. strong, weak: the steps with the highest and the lowest
    confidence, which is the largest entry of softmax(z(t)), mean over the batch. No gradient goes through z(strong) or
    the scale. Strong2Weak (Ding et al. 2025, arXiv 2510.07924), where z(t) is the logit of step t alone.
    """
    made = _constant(settings.scale) * _so_far(student)
    confidence = made.detach().softmax(dim=1).amax(dim=1).mean(dim=1)
    strong, weak = made[confidence.argmax()].detach(), made[confidence.argmin()]
    return _kl(weak, strong, _of_itself(settings), 0) / made.shape[2]


def _constant(scale: Scale) -> Scale:
    """A scale without its gradient: a student agrees best with itself where the scale is 0."""
    return scale.detach() if isinstance(scale, torch.Tensor) else scale


def _of_itself(settings: SatSettings) -> SatSettings:
    return replace(settings, teacher_temperature=None)


SelfLoss = Callable[[torch.Tensor, torch.Tensor, SatSettings], torch.Tensor]  # of student, labels, settings

SELF_LOSSES: dict[str, SelfLoss] = {"self_ensemble": self_ensemble, "strong_to_weak": strong_to_weak}


def cross_entropy(sat: torch.Tensor, labels: torch.Tensor, scale: Scale = 1.0) -> torch.Tensor:
    """Cross-entropy of softmax(scale x spike count) over classes, mean over the batch. labels: (B,) int64."""
    return F.cross_entropy(scale * sat.sum(dim=0).T, labels)


def temporal_cross_entropy(sat: torch.Tensor, labels: torch.Tensor, scale: Scale = 1.0) -> torch.Tensor:
    """Cross-entropy of softmax(scale x z(t)) over classes, mean over the steps t and the batch.

    z(t): what has been put out up to step t, as in `temporal_kl`; labels: (B,) int64. As in TWKD (Yu et al. 2025, arXiv
    2501.15925), where z(t) is the logit of step t alone.
    """
    return F.cross_entropy(scale * _so_far(sat), labels.expand(len(sat), -1))


def spike_rate(sat: torch.Tensor, labels: torch.Tensor, true_rate: float, false_rate: float) -> torch.Tensor:
    """Squared distance of spike rates to `true_rate` for the label and `false_rate` else, summed over classes, mean
    over the batch (SLAYER's SpikeRate, with reduction 'sum' divided by the batch size)."""
    rates = sat.mean(dim=0).T
    target = torch.full_like(rates, false_rate).scatter_(1, labels[:, None], true_rate)
    return (rates - target).square().sum() / rates.shape[0]


def rate_excess(rates: torch.Tensor, max_rate: float) -> torch.Tensor:
    """Sum over layers of relu(rate - max_rate)^2, rates (layers,) in spikes per neuron and step (lava-dl's
    SparsityEnforcer)."""
    return (rates - max_rate).relu().square().sum()
