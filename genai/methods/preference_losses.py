r"""Losses of preferences: functions of log-probabilities of a chosen answer y_w and a rejected one y_l to a prompt x.

The arguments are tensors (batch,), and so are the results, one loss for each pair. Sums of the log-probabilities of an
answer's tokens are called ``chosen`` and ``rejected`` here; their changes, log pi(y|x) - log pi_ref(y|x), where pi_ref
is the model that training begins with, ``chosen_change`` and ``rejected_change``.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def dpo_loss(chosen_change: Tensor, rejected_change: Tensor, beta: float) -> Tensor:
    """Direct preference optimization (Rafailov et al. 2023, arXiv:2305.18290, equation 7).

    -log sigmoid(beta * (chosen_change - rejected_change)); log 2 = 0.693 before the first step.
    """
    return -F.logsigmoid(beta * (chosen_change - rejected_change))


def ipo_loss(chosen_change: Tensor, rejected_change: Tensor, beta: float) -> Tensor:
    """Identity preference optimization (Azar et al. 2023, arXiv:2310.12036, equation 17).

    (chosen_change - rejected_change - 1 / (2 * beta)) ** 2: the difference has a target, so it does not grow forever.
    """
    return (chosen_change - rejected_change - 1 / (2 * beta)).square()


def kto_loss(chosen_change: Tensor, rejected_change: Tensor, beta: float) -> Tensor:
    """Kahneman-Tversky optimization (Ethayarajh et al. 2024, arXiv:2402.01306, section 4.1, both lambda = 1).

    Mean of 1 - sigmoid(beta * (chosen_change - z)) and 1 - sigmoid(beta * (z - rejected_change)). The reference point
    z = max(0, KL(pi || pi_ref)) is estimated without a gradient: for one kind of answers by the batch's mean change of
    the other kind, as in the authors' code for pairs. So it depends on the batch.
    """
    chosen_point = rejected_change.detach().mean().clamp(min=0)
    rejected_point = chosen_change.detach().mean().clamp(min=0)
    chosen_losses = 1 - torch.sigmoid(beta * (chosen_change - chosen_point))
    rejected_losses = 1 - torch.sigmoid(beta * (rejected_point - rejected_change))
    return (chosen_losses + rejected_losses) / 2


def orpo_loss(chosen_mean: Tensor, rejected_mean: Tensor, beta: float) -> Tensor:
    """Odds ratio preference optimization without its SFT term (Hong et al. 2024, arXiv:2403.07691, equations 3 and 7).

    -beta * log sigmoid(log odds(y_w) - log odds(y_l)), where odds(y) = p / (1 - p), and p is the geometric mean of the
    probabilities of an answer's tokens. ``beta`` is the paper's lambda. There is no reference.

    Args:
        chosen_mean, rejected_mean: mean log-probabilities of a token, log p.
        beta: weight.
    """
    return -beta * F.logsigmoid(log_odds(chosen_mean) - log_odds(rejected_mean))


def log_odds(log_p: Tensor) -> Tensor:
    """Return log(p / (1 - p)) of log p; log p of 0 or more counts as the largest number below 0."""
    log_p = log_p.clamp(max=-1e-7)
    return log_p - torch.log(-torch.expm1(log_p))


def bradley_terry_loss(chosen_score: Tensor, rejected_score: Tensor) -> Tensor:
    """Loss of a reward model (Bradley & Terry 1952; Ouyang et al. 2022, arXiv:2203.02155, equation 1).

    -log sigmoid(r(x, y_w) - r(x, y_l)): the chosen answer wins with the probability sigmoid(r_w - r_l).
    """
    return -F.logsigmoid(chosen_score - rejected_score)
