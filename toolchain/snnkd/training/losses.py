"""Losses on spiking activation tensors (SAT): what a network puts out at each step, (T, classes, B) float32.

`student` and `teacher` are such tensors, S_S and S_T in formulas, of T steps, C classes and B images; every loss
returns a tensor (). d = S_S - S_T; z is a network's spike count, the sum of its SAT over all steps, (C, B).

The first five distillation losses are those of "Distilling Spikes" (Kushawaha et al. 2020, arXiv 2005.00288). The paper
gives one equation, the sliding window, and no settings, so the readings that it allows are a parameter;
`docs/losses.md` lists them. Each loss is divided by B (the norm of a whole tensor by its root), so that a learning rate
does not depend on it.

Temporal losses are means over the steps t of a loss on z(t) = T / t * (sum of the first t steps): what an inference
that stops after t steps has read, made as large as a whole one.
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
    """Settings of the distillation losses, as a recipe's table `distil` has them.

    reading: what is compared, see `docs/losses.md`. window: the length D of the sliding window, in steps.
    temperature, teacher_temperature: tau_S and tau_T; None stands for the same. scale: logit per unit of the student's
    activation, a number or a tensor () that may have a gradient. kl_axis: 'counts', 'step' or 'time', see `full_kl`.
    """

    reading: Reading = "literal"
    window: int = 2
    temperature: float = 2.0
    kl_axis: str = "counts"
    teacher_temperature: float | None = None
    scale: Scale = 1.0


def _potentials(sat: torch.Tensor, keep: float = 0.5) -> torch.Tensor:
    """Post-synaptic potentials (T, C, B): each spike train filtered by p[t] = keep p[t-1] + s[t]."""
    potential, potentials = torch.zeros_like(sat[0]), []
    for spikes in sat:
        potential = keep * potential + spikes
        potentials.append(potential)
    return torch.stack(potentials)


def _difference(student: torch.Tensor, teacher: torch.Tensor, reading: Reading) -> torch.Tensor:
    difference = student - teacher
    return _potentials(difference) if reading == "psp" else difference


def _power(difference: torch.Tensor, m: int, reading: Reading, dims: tuple[int, ...]) -> torch.Tensor:
    """The sum of ||difference||_1 (m = 1) or ||difference||_2^2 (m = 2) over `dims`; not squared for reading 'norm'."""
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
    """Computes L_L1 = 1/B sum |d[t, c, b]| of "Distilling Spikes".

    Reading 'count' sums d over t first; settings: `reading`.
    """
    return _full(student, teacher, 1, settings.reading)


def full_l2(student: torch.Tensor, teacher: torch.Tensor, settings: SatSettings) -> torch.Tensor:
    """Computes L_L2 = 1/B sum d[t, c, b]^2 of "Distilling Spikes".

    Reading 'norm' is the root of that sum over the root of B; 'count' sums d over t first. settings: `reading`.
    """
    return _full(student, teacher, 2, settings.reading)


def _sliding(student: torch.Tensor, teacher: torch.Tensor, m: int, settings: SatSettings) -> torch.Tensor:
    windows = _difference(student, teacher, settings.reading).unfold(0, settings.window, 1)  # (T-D+1, C, B, D)
    if settings.reading == "count":
        windows = windows.sum(dim=-1, keepdim=True)
    return _power(windows, m, settings.reading, (-1,)) / student.shape[2]


def sliding_l1(student: torch.Tensor, teacher: torch.Tensor, settings: SatSettings) -> torch.Tensor:
    """Computes L_sL1 = 1/B sum over b, c and t of ||d[t : t + D, c, b]||_1, the equation of "Distilling Spikes".

    t runs over the windows of D steps that fit into T. Reading 'count' sums d over each window first, so that a spike
    which is late by less than a window costs little. settings: `reading`, `window`, which is D.
    """
    return _sliding(student, teacher, 1, settings)


def sliding_l2(student: torch.Tensor, teacher: torch.Tensor, settings: SatSettings) -> torch.Tensor:
    """Computes L_sL2: `sliding_l1` with the squared 2-norm of each window, the plain one for reading 'norm'."""
    return _sliding(student, teacher, 2, settings)


def full_kl(student: torch.Tensor, teacher: torch.Tensor, settings: SatSettings) -> torch.Tensor:
    """Computes L_KL = tau_T tau_S / B sum KL(softmax(z_T / tau_T) || softmax(scale z_S / tau_S)).

    What is in the place of z, and along which axis softmax goes, says `kl_axis`: 'counts' the spike counts, over
    classes; 'step' the spikes of each step, over classes; 'time' the spikes of each class, over time. With equal
    temperatures this is the loss of Hinton et al. 2015 (arXiv 1503.02531); those that differ are of Lee et al. 2021
    (arXiv 2106.07172). settings: all but `reading` and `window`.
    """
    axis = {"counts": 0, "step": 1, "time": 0}[settings.kl_axis]
    if settings.kl_axis == "counts":
        student, teacher = student.sum(dim=0), teacher.sum(dim=0)
    return _kl(settings.scale * student, teacher, settings, axis) / student.shape[-1]


def _kl(student: torch.Tensor, teacher: torch.Tensor, settings: SatSettings, axis: int) -> torch.Tensor:
    """tau_T tau_S KL(softmax(teacher / tau_T) || softmax(student / tau_S)) along `axis`, summed over the other axes."""
    tau = settings.temperature
    tau_teacher = settings.teacher_temperature or tau
    log_student = F.log_softmax(student / tau, dim=axis)
    log_teacher = F.log_softmax(teacher / tau_teacher, dim=axis)
    return tau_teacher * tau * (log_teacher.exp() * (log_teacher - log_student)).sum()


def _so_far(sat: torch.Tensor) -> torch.Tensor:
    """z(t), (T, classes, B): at step t the sum of the first t steps, times T / t."""
    steps = torch.arange(1, len(sat) + 1, dtype=sat.dtype, device=sat.device)
    return sat.cumsum(dim=0) * (len(sat) / steps)[:, None, None]


def temporal_kl(student: torch.Tensor, teacher: torch.Tensor, settings: SatSettings) -> torch.Tensor:
    """Computes tau_T tau_S KL(softmax(z_T / tau_T) || softmax(scale z_S(t) / tau_S)), mean over t and the batch.

    z_T: the teacher's count of all steps; z_S(t): see the module. As in TWKD (Yu et al. 2025, arXiv 2501.15925), where
    z_S(t) is the logit of step t alone. settings: temperatures and `scale`.
    """
    logits, goal = settings.scale * _so_far(student), teacher.sum(dim=0, keepdim=True)
    return _kl(logits, goal, settings, 1) / logits[:, 0].numel()


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
    """Computes tau^2 KL(softmax(z_ens / tau) || softmax(z(t) / tau)), mean over the steps t and the batch.

    z(t): the student's, times `scale`. z_ens: the mean of z(t) over the steps at which the label alone has the most,
    over all steps where it never has. labels: (B,) int64. No gradient goes through z_ens or the scale. This is the
    self-distillation of TWKD (Yu et al. 2025, arXiv 2501.15925), where z(t) is the logit of step t alone.
    settings: `temperature` and `scale`.
    """
    logits = _constant(settings.scale) * _so_far(student)
    with torch.no_grad():
        label = labels.expand(len(logits), 1, -1)
        right = logits.gather(1, label) > logits.scatter(1, label, -torch.inf).amax(dim=1, keepdim=True)
        right |= ~right.any(dim=0)
        ensemble = (logits * right).sum(dim=0, keepdim=True) / right.sum(dim=0, keepdim=True)
    return _kl(logits, ensemble, _of_itself(settings), 1) / logits[:, 0].numel()


def strong_to_weak(student: torch.Tensor, labels: torch.Tensor, settings: SatSettings) -> torch.Tensor:
    """Computes tau^2 KL(softmax(z(strong) / tau) || softmax(z(weak) / tau)), mean over the batch.

    z(t): the student's, times `scale`. strong, weak: the steps with the highest and the lowest confidence, which is the
    largest entry of softmax(z(t)), mean over the batch. labels: not needed. No gradient goes through z(strong) or the
    scale. Strong2Weak (Ding et al. 2025, arXiv 2510.07924), where z(t) is the logit of step t alone.
    settings: `temperature` and `scale`.
    """
    logits = _constant(settings.scale) * _so_far(student)
    confidence = logits.detach().softmax(dim=1).amax(dim=1).mean(dim=1)
    strong, weak = logits[confidence.argmax()].detach(), logits[confidence.argmin()]
    return _kl(weak, strong, _of_itself(settings), 0) / logits.shape[2]


def _constant(scale: Scale) -> Scale:
    """A scale without its gradient: a student agrees best with itself where the scale is 0."""
    return scale.detach() if isinstance(scale, torch.Tensor) else scale


def _of_itself(settings: SatSettings) -> SatSettings:
    return replace(settings, teacher_temperature=None)


SelfLoss = Callable[[torch.Tensor, torch.Tensor, SatSettings], torch.Tensor]  # of student, labels, settings

SELF_LOSSES: dict[str, SelfLoss] = {"self_ensemble": self_ensemble, "strong_to_weak": strong_to_weak}


def cross_entropy(sat: torch.Tensor, labels: torch.Tensor, scale: Scale = 1.0) -> torch.Tensor:
    """Computes the cross-entropy of softmax(scale z) over classes, mean over the batch.

    sat: (T, classes, B); z is its sum over the steps. labels: (B,) int64. scale: logit per unit of activation.
    """
    return F.cross_entropy(scale * sat.sum(dim=0).T, labels)


def temporal_cross_entropy(
    sat: torch.Tensor, labels: torch.Tensor, scale: Scale = 1.0, shares: torch.Tensor | None = None
) -> torch.Tensor:
    """Computes the cross-entropy of softmax(scale z(t)) over classes, mean over the steps t and the batch.

    sat: (T, classes, B); z(t): see the module. labels: (B,) int64. scale: logit per unit of activation. shares: (T,),
    of each step before the mean, None for 1. As in TWKD (Yu et al. 2025, arXiv 2501.15925), where z(t) is the logit of
    step t alone.
    """
    logits, labels = scale * _so_far(sat), labels.expand(len(sat), -1)
    if shares is None:
        return F.cross_entropy(logits, labels)
    return (shares * F.cross_entropy(logits, labels, reduction="none").mean(dim=1)).mean()


def spike_rate(sat: torch.Tensor, labels: torch.Tensor, true_rate: float, false_rate: float) -> torch.Tensor:
    """Computes the squared distance of spike rates from their targets, summed over classes, mean over the batch.

    sat: (T, classes, B); a rate is its mean over the steps. labels: (B,) int64. The target is `true_rate` for the
    label, `false_rate` for other classes, in spikes per step. This is SLAYER's `SpikeRate` with reduction 'sum',
    divided by B.
    """
    rates = sat.mean(dim=0).T
    target = torch.full_like(rates, false_rate).scatter_(1, labels[:, None], true_rate)
    return (rates - target).square().sum() / rates.shape[0]


def rate_excess(rates: torch.Tensor, max_rate: float) -> torch.Tensor:
    """Computes the sum over layers of relu(rate - max_rate)^2, as lava-dl's SparsityEnforcer.

    rates: (layers,) in spikes per neuron and step, as is max_rate.
    """
    return (rates - max_rate).relu().square().sum()
