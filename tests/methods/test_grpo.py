"""GRPO on a tiny network: what is sampled, what is learned, and what is reported."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from genai.core.batch import Batch, PromptBatch
from genai.methods.autoregressive import Autoregressive
from genai.methods.grpo import GRPO
from genai.networks.gpt import GPT
from tests.stubs import StubRewards

END, VOCAB = StubRewards.end_tokens[0], 9  # token 8 is reserved


def make_method(function: Callable[[list[int]], float], native: bool = False, **options: float) -> GRPO:
    torch.manual_seed(0)
    network = GPT(VOCAB, 16, layers=1, heads=1, width=8, ngrams=1)
    network.has_native_loop = native
    nn.init.normal_(network.readout.weight, std=0.3)
    method = GRPO(network, **{"group": 4, "length": 5, **options})
    method.answer_rewards = StubRewards(function)
    return method


def prompts() -> PromptBatch:
    valid = torch.tensor([[True, True, True], [True, False, False]])
    return PromptBatch(torch.tensor([[1, 2, 3], [4, 0, 0]]), ["first", "second"], valid)


def test_answers_follow_their_prompts() -> None:
    method = make_method(len)
    roll_out = method.roll_out(prompts(), 4)
    rewards = method.answer_rewards
    assert isinstance(rewards, StubRewards) and rewards.prompts == ["first"] * 4 + ["second"] * 4
    for row, mask, answer, start in zip(
        roll_out.x, roll_out.mask, rewards.answers, [[1, 2, 3]] * 4 + [[4]] * 4, strict=True
    ):
        assert row[: len(start)].tolist() == start
        assert row[1:][mask].tolist() == answer
        assert 8 not in answer and END not in answer[:-1]
        assert len(answer) == 5 or answer[-1] == END


@pytest.mark.parametrize("native", [False, True])
def test_the_gradient_is_that_of_the_objective(native: bool) -> None:
    """As by hand: one row at a time, without padding, all tokens, then the sum over live groups."""
    method = make_method(lambda answer: -answer[0], native, temperature=0.7)
    batch = prompts()
    torch.manual_seed(3)
    losses = method.loss(batch)
    losses["loss"].backward()
    gradient = method.ema_module.embedding.weight.grad.clone()  # type: ignore[union-attr, operator]
    method.zero_grad()
    answers = method.answer_rewards.answers  # type: ignore[union-attr]
    rewards = torch.tensor([-float(answer[0]) for answer in answers]).view(2, 4)
    live = [bool(group.max() > group.min()) for group in rewards]
    assert any(live)
    total, tokens = torch.zeros(()), 0
    for number, answer in enumerate(answers):
        group, start = number // 4, ([1, 2, 3], [4])[number // 4]
        if live[group]:
            x = torch.tensor([[*start, *answer]])
            log_probs = (method.ema_module(x[:, :-1])[0, len(start) - 1 :, :8] / 0.7).log_softmax(-1)
            chosen = log_probs[torch.arange(len(answer)), torch.tensor(answer)].sum()
            total = total - (rewards[group] - rewards[group].mean())[number % 4] * chosen
            tokens += len(answer)
    (total / tokens).backward()
    assert losses["loss"].item() == pytest.approx((total / tokens).item(), abs=1e-6)
    assert gradient.allclose(method.ema_module.embedding.weight.grad, atol=1e-6)  # type: ignore[union-attr, arg-type]
    assert losses["dead_groups"].item() == 1 - sum(live) / 2


def test_dead_groups_alone_give_a_gradient_of_zero_for_all_parameters() -> None:
    method = make_method(lambda answer: 0.3, group=7, length=60)
    losses = method.loss(prompts())
    losses["loss"].backward()
    assert losses["dead_groups"] == 1 and losses["truncated"] == 0 and losses["entropy"] > 0
    assert all(p.grad is not None and not p.grad.any() for p in method.parameters())


def test_an_answer_that_is_cut_gets_no_reward_but_a_penalty() -> None:
    for value, expected in ((1.0, 0.0), (-1.0, -1.0)):
        method = make_method(lambda answer, value=value: value, length=1)
        nn.init.zeros_(method.ema_module.readout.weight[END])  # type: ignore[union-attr, arg-type, index]
        roll_out = method.roll_out(prompts(), 32)
        has_ended = torch.tensor([answer[-1] == END for answer in method.answer_rewards.answers])  # type: ignore[union-attr]
        assert roll_out.rewards[~has_ended].eq(expected).all() and roll_out.rewards[has_ended].eq(value).all()
        assert roll_out.metrics["reward/mine"].item() == pytest.approx(value)  # parts are as they are
        assert roll_out.metrics["truncated"].item() == pytest.approx(1 - has_ended.float().mean().item())


def test_the_noise_is_that_of_torch() -> None:
    method = make_method(len)
    for function in (lambda: method.loss(prompts()), lambda: method.validation_loss(prompts())):
        torch.manual_seed(1)
        first = function()
        torch.manual_seed(1)
        assert function() == first
        assert function() != first


def test_held_out_prompts_have_a_reward() -> None:
    method = make_method(lambda answer: 0.25, length=12, val_samples=3)
    losses = method.validation_loss(prompts())
    assert losses["loss"].item() == pytest.approx(1 - losses["reward"].item())
    assert len(method.answer_rewards.answers) == 6  # type: ignore[union-attr]


def test_other_batches_have_the_loss_of_the_model() -> None:
    method = make_method(len)
    batch = Batch(torch.tensor([[1, 2, 3, 4]]))
    assert method.loss(batch) == Autoregressive(method.ema_module).loss(batch)
    assert method.validation_loss(batch) == method.loss(batch)


def test_the_reward_rises() -> None:
    method = make_method(lambda answer: answer.count(3) / 5, group=16)
    optimizer = torch.optim.Adam(method.parameters(), 0.01)
    rewards = []
    for step in range(60):
        torch.manual_seed(step)
        losses = method.loss(prompts())
        rewards.append(losses["reward"].item())
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
    assert sum(rewards[-10:]) > 3 * sum(rewards[:10])


def test_dropout_is_off_while_answers_are_sampled() -> None:
    method = make_method(len)
    modes = []
    method.answer_rewards.function = lambda answer: modes.append(method.training) or 0.0  # type: ignore[union-attr]
    method.train()
    method.loss(prompts())
    assert method.training and not any(modes)
