"""The objective on numbers made by hand."""

import math

import pytest
import torch

from genai.methods.policy import answer_mask, group_advantages, policy_loss, token_entropy


def test_an_advantage_is_the_difference_to_the_mean_of_the_group() -> None:
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.5, 0.5, 0.5, 0.5], [3.0, 0.0, 0.0, 1.0]])
    advantages, is_live = group_advantages(rewards)
    assert advantages.tolist() == [[0.5, -0.5, -0.5, 0.5], [0, 0, 0, 0], [2, -1, -1, 0]]
    assert is_live.tolist() == [True, False, True]


def test_equal_rewards_have_an_advantage_of_exactly_zero() -> None:
    rewards = torch.full((1, 7), 0.3)
    assert (rewards - rewards.mean(1, keepdim=True)).any()  # the mean is rounded
    assert not group_advantages(rewards)[0].any()


def test_the_loss_is_divided_by_the_tokens_of_the_answers() -> None:
    log_probs = torch.tensor([[-1.0, -2.0, -9.0], [-3.0, -4.0, -5.0]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    loss = policy_loss(log_probs, torch.tensor([0.5, -0.5]), mask)
    assert loss.item() == pytest.approx(-(0.5 * -3 - 0.5 * -12) / 5)
    assert policy_loss(log_probs, torch.zeros(2), torch.zeros(2, 3, dtype=torch.bool)).item() == 0


def test_the_gradient_is_that_of_the_policy() -> None:
    """The gradient of E[reward] of one token: p_i (reward_i - mean reward), here by summing over all tokens."""
    logits = torch.tensor([0.3, -0.2, 0.5], requires_grad=True)
    rewards = torch.tensor([1.0, 0.0, 0.25])
    (expected,) = torch.autograd.grad((logits.softmax(0) * rewards).sum(), logits)
    weights = logits.detach().softmax(0)
    mean = (weights * rewards).sum()
    sampled = torch.zeros(3)
    for token in range(3):
        loss = policy_loss(
            logits.log_softmax(0)[token][None, None], (rewards[token] - mean)[None], torch.ones(1, 1) > 0
        )
        sampled -= weights[token] * torch.autograd.grad(loss, logits, retain_graph=True)[0]
    assert sampled.allclose(expected, atol=1e-6)


def test_an_answer_goes_up_to_its_first_end_token() -> None:
    mask, has_ended = answer_mask(torch.tensor([[5, 9, 9, 9], [5, 6, 8, 9], [1, 2, 3, 4]]), torch.tensor([9, 8]))
    assert mask.tolist() == [[True, True, False, False], [True, True, True, False], [True] * 4]
    assert has_ended.tolist() == [True, True, False]


def test_the_entropy_of_a_uniform_distribution_is_the_logarithm_of_its_size() -> None:
    assert token_entropy(torch.zeros(2, 8).log_softmax(-1)).tolist() == pytest.approx([math.log(8)] * 2)
