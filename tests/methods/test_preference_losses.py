"""Losses of preferences on hand-made numbers."""

import math

import pytest
import torch

from genai.methods.preference_losses import (
    bradley_terry_loss,
    dpo_loss,
    ipo_loss,
    kto_loss,
    log_odds,
    orpo_loss,
)

CHOSEN, REJECTED = torch.tensor([2.0, -1.0, 0.0]), torch.tensor([-3.0, 4.0, 0.0])
LIKELY = torch.tensor([-3.0, 5.0, 1.0])
"""Rejected answers whose mean change, 1, is not that of the chosen ones, 1 / 3."""


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_dpo_is_the_logistic_loss_of_the_margin() -> None:
    expected = [math.log(1 + math.exp(-0.5)), math.log(1 + math.exp(0.5)), math.log(2)]
    torch.testing.assert_close(dpo_loss(CHOSEN, REJECTED, 0.1), torch.tensor(expected))


def test_the_gradient_of_dpo_is_that_of_the_paper() -> None:
    chosen, rejected = CHOSEN.clone().requires_grad_(), REJECTED.clone().requires_grad_()
    dpo_loss(chosen, rejected, 0.1).sum().backward()
    weight = torch.tensor([0.1 * sigmoid(-0.5), 0.1 * sigmoid(0.5), 0.05])  # beta * sigmoid(r_l - r_w)
    torch.testing.assert_close(chosen.grad, -weight)
    torch.testing.assert_close(rejected.grad, weight)


def test_ipo_has_a_target() -> None:
    torch.testing.assert_close(ipo_loss(CHOSEN, REJECTED, 0.1), torch.tensor([0.0, 100.0, 25.0]))


def test_kto_compares_with_the_mean_change_of_the_other_answers() -> None:
    points = [1, 1 / 3]  # of chosen answers, the mean of the rejected ones, and the other way round
    expected = [
        (1 - sigmoid(0.1 * (w - points[0])) + 1 - sigmoid(0.1 * (points[1] - y))) / 2
        for w, y in zip(CHOSEN.tolist(), LIKELY.tolist(), strict=True)
    ]
    torch.testing.assert_close(kto_loss(CHOSEN, LIKELY, 0.1), torch.tensor(expected))
    falling = kto_loss(torch.tensor([-1.0]), torch.tensor([-5.0]), 0.1)  # a reference point is never below 0
    assert float(falling) == pytest.approx((1 - sigmoid(-0.1) + 1 - sigmoid(0.5)) / 2)
    chosen = CHOSEN.clone().requires_grad_()
    kto_loss(chosen, LIKELY, 0.1)[0].backward()
    assert chosen.grad is not None and chosen.grad[1:].eq(0).all()  # no gradient through the reference points


def test_orpo_is_the_logistic_loss_of_the_odds_ratio() -> None:
    p, q = torch.tensor([0.8]), torch.tensor([0.5])  # odds of 4 and 1
    assert float(orpo_loss(p.log(), q.log(), 0.1)) == pytest.approx(0.1 * math.log(1 + 1 / 4), rel=1e-5)
    torch.testing.assert_close(log_odds(p.log()).exp(), torch.tensor([4.0]))
    certain = torch.zeros(1, requires_grad=True)
    log_odds(certain).backward()
    assert certain.grad is not None and certain.grad.isfinite().all()


def test_bradley_terry() -> None:
    loss = bradley_terry_loss(torch.tensor([1.0]), torch.tensor([0.0]))
    assert float(loss) == pytest.approx(-math.log(sigmoid(1.0)))
