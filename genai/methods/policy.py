"""The objective of group-relative policy optimization, on plain tensors."""

import torch
from torch import Tensor

MIN_SPREAD = 1e-6
"""Difference of rewards in a group from which they differ."""


def group_advantages(rewards: Tensor) -> tuple[Tensor, Tensor]:
    """Return by how much each answer is better than the others to its prompt (arXiv:2402.03300, section 4.1).

    The standard deviation of the group does not divide the difference: it would weigh prompts by how seldom they are
    answered right (arXiv:2503.20783, section 3.1).

    Args:
        rewards: (prompts, group).

    Returns:
        The advantages (prompts, group), and whether the answers to a prompt have different rewards (prompts,). Equal
        ones say nothing: their group is dead, and its advantages are 0.
    """
    is_live = rewards.amax(1) - rewards.amin(1) > MIN_SPREAD
    advantages = rewards - rewards.mean(1, keepdim=True)
    return advantages.masked_fill(~is_live[:, None], 0.0), is_live  # the mean of equal rewards is rounded


def policy_loss(log_probs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """Return the policy-gradient loss of answers that the current weights have just sampled.

    There is one update for each answer, so the ratio of arXiv:2402.03300, equation 3, is 1, and nothing is clipped. The
    sum is divided by the tokens of live groups alone, so that dead ones do not make the step smaller.

    Args:
        log_probs: (answers, time), of the sampled tokens.
        advantages: (answers,).
        mask: (answers, time) bool, True at tokens of answers.
    """
    return -(log_probs * advantages[:, None] * mask).sum() / mask.sum().clamp(min=1)


def token_entropy(log_probs: Tensor) -> Tensor:
    """Return the entropy (...) in nats of the distributions ``log_probs`` (..., classes)."""
    return -(log_probs.exp() * log_probs).sum(-1)


def answer_mask(answers: Tensor, end_tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return which tokens belong to answers, and which answers have ended.

    Args:
        answers: (answers, time).
        end_tokens: (n,).

    Returns:
        (answers, time) bool, True up to the first end token and at it; (answers,) bool.
    """
    is_end = torch.isin(answers, end_tokens)
    return is_end.long().cumsum(1) - is_end.long() == 0, is_end.any(1)
