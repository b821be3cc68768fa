"""DiffusionNFT on a tiny network: the gradient, what is learned, and what is reported."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genai.core.batch import Batch
from genai.methods.diffusion import Diffusion
from genai.methods.nft import DiffusionNFT
from genai.methods.scaling import PixelScaling
from genai.networks.layers import append_dims
from genai.networks.text_encoder import PromptEncoder
from tests.stubs import StubSampleRewards

SHAPE = (1, 2, 2)


class Linear(nn.Module):
    """A denoiser of four pixels, with a dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.dropout = nn.Linear(4 + 1 + 4, 4), nn.Dropout(0.5)

    def forward(self, x: Tensor, time: Tensor, pooled: Tensor) -> Tensor:
        return self.dropout(self.layer(torch.cat([x.flatten(1), time[:, None], pooled], 1))).view_as(x)


def brightness(sample: Tensor) -> float:
    return float(sample.mean()) / 255


def make_method(function: Callable[[Tensor], float] | None = brightness, **options: Any) -> DiffusionNFT:
    torch.manual_seed(0)
    method = DiffusionNFT(Linear(), PromptEncoder(4, 3), PixelScaling(0.0, 0.5), objective="x0", **options)
    method.sample_rewards = None if function is None else StubSampleRewards(function)
    return method


def plain(method: DiffusionNFT) -> Diffusion:
    """The same network, without rewards."""
    same = Diffusion(nn.Identity(), scaling=method.scaling, objective="x0")
    same.ema_module = method.ema_module
    return same.train(method.training)


def data(count: int = 2) -> Batch:
    x = torch.randint(0, 256, (count, *SHAPE), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    return Batch(x, ["a", "b"][:count])


def test_the_gradient_is_that_of_the_paper() -> None:
    """Equation 5 with the current weights as the old ones, divided by its beta."""
    method = make_method(group=4, noise_levels=1, data_weight=0.0).eval()
    batch = data()
    groups = method.sample_groups(batch, 4)
    torch.manual_seed(2)
    policy_loss, is_live = method._policy_loss(groups)
    assert is_live.all()
    policy_loss.backward()
    layer: Any = method.ema_module.network
    gradient = layer.layer.weight.grad.clone()
    method.zero_grad()
    torch.manual_seed(2)
    time = method._logit_normal((2,), torch.device("cpu")).repeat_interleave(4)
    noise = torch.randn(2, *SHAPE).repeat_interleave(4, 0)
    t, beta = append_dims(time, 4), 0.3
    predicted = method.denoise((1 - t) * groups.x + t * noise, time, groups.prompts)
    old = predicted.detach()
    advantages = (groups.rewards - groups.rewards.mean(1, keepdim=True)).flatten()
    optimality = (1 + advantages / advantages.square().mean().sqrt()) / 2
    errors = [
        ((1 - side * beta) * old + side * beta * predicted - groups.x).square().flatten(1).mean(1) for side in (1, -1)
    ]
    weight = 1 / time.clamp(min=method.floor) ** 2
    ((optimality * errors[0] + (1 - optimality) * errors[1]) * weight).mean().backward()
    assert gradient.allclose(layer.layer.weight.grad / beta, atol=1e-5)


@pytest.mark.parametrize("prompts", [["a", "b"], []])
def test_samples_of_a_prompt_follow_each_other(prompts: list[str]) -> None:
    method = make_method(val_samples=3).eval()
    batch = Batch(data().x, prompts)
    groups = method.sample_groups(batch, 3)
    rewards = method.sample_rewards
    assert isinstance(rewards, StubSampleRewards)
    expected = ["a"] * 3 + ["b"] * 3 if prompts else [""] * 6
    assert rewards.prompts == groups.prompts == expected
    values = torch.stack([method.scaling.unscale(x).float().mean() / 255 for x in groups.x]).view(2, 3)
    assert groups.rewards.allclose(values, atol=1e-6)
    assert groups.metrics["reward"].item() == pytest.approx(values.mean().item(), abs=1e-6)
    assert groups.metrics["reward_std"].item() == pytest.approx(values.std(1).mean().item(), abs=1e-6)
    assert groups.metrics["reward/mine"].item() == pytest.approx(2 * values.mean().item(), abs=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_samples_become_as_bright_or_dark_as_is_rewarded(sign: int) -> None:
    method = make_method(lambda sample: sign * 1000 * brightness(sample), data_weight=0.1, steps=2)
    optimizer = torch.optim.Adam(method.parameters(), 0.02)
    rewards = []
    for step in range(40):
        torch.manual_seed(step)
        losses = method.loss(data())
        rewards.append(losses["reward"].item() / 1000)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
    assert sum(rewards[-10:]) / 10 > sum(rewards[:10]) / 10 + 0.05


def test_equal_rewards_teach_nothing() -> None:
    method = make_method(lambda sample: 0.3, data_weight=0.0)
    losses = method.loss(data())
    losses["loss"].backward()
    assert losses["dead_groups"] == 1 and losses["policy_loss"] == 0
    assert all(p.grad is not None and not p.grad.any() for p in method.parameters())


def test_the_data_have_the_loss_of_diffusion() -> None:
    method = make_method(data_weight=0.5)
    torch.manual_seed(1)
    losses = method.loss(data())
    torch.manual_seed(1)
    expected = plain(method).loss(data())["loss"]
    assert losses["data_loss"] == expected
    assert losses["loss"].item() == pytest.approx((losses["policy_loss"] + 0.5 * expected).item())


def test_without_rewards_it_is_diffusion() -> None:
    method = make_method(None)
    for function in (method.loss, method.validation_loss):
        torch.manual_seed(1)
        losses = function(data())
        torch.manual_seed(1)
        assert losses == plain(method).validation_loss(data())


def test_held_out_prompts_have_a_reward_and_items_a_loss() -> None:
    method = make_method(lambda sample: 0.25, val_samples=3).eval()
    losses = method.validation_loss(data())
    assert losses["loss"].item() == pytest.approx(0.75)
    torch.manual_seed(1)
    item = method.item_loss(data())
    torch.manual_seed(1)
    assert item == plain(method).validation_loss(data())["loss"]


def test_dropout_is_off_while_samples_are_made() -> None:
    method = make_method()
    modes = []
    method.sample_rewards = StubSampleRewards(lambda sample: modes.append(method.training) or 0.0)  # type: ignore[func-returns-value]
    method.train()
    method.loss(data())
    assert method.training and not any(modes) and len(modes) == 16
