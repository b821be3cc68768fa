"""Samplers against data that is normal, whose denoiser and whose way from noise to data are known."""

from collections.abc import Callable
from itertools import pairwise
from typing import get_args

import pytest
import torch
from torch import Tensor

from genai.methods.samplers import Denoise, SamplerName, as_generator, euler, get_sampler

MEAN, STD = 0.7, 0.5
NAMES = get_args(SamplerName)


def mean_of_normal_data(std: float) -> Callable[[Tensor, float], Tensor]:
    """The mean of data N(MEAN, std^2) where they are seen as x at t."""

    def denoise(x: Tensor, t: float) -> Tensor:
        signal = (1 - t) * std**2 / ((1 - t) ** 2 * std**2 + t**2)
        return MEAN + signal * (x - (1 - t) * MEAN)

    return denoise


def of_normal_data(std: float) -> Denoise:
    return as_generator(mean_of_normal_data(std))


def evenly_spaced(steps: int, shift: float = 1.0) -> list[float]:
    even = [1 - step / steps for step in range(steps + 1)]
    return [shift * t / (1 + (shift - 1) * t) for t in even]


def sample_data(name: SamplerName, steps: int, count: int = 20_000, shift: float = 1.0) -> Tensor:
    fresh = torch.Generator().manual_seed(1)
    x = torch.randn(count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    take = get_sampler(name, lambda x: torch.randn(x.shape, generator=fresh, dtype=x.dtype))
    for _, moved, _ in take(of_normal_data(STD), x, evenly_spaced(steps, shift)):
        x = moved
    return x


@pytest.mark.parametrize("shift", [1.0, 7.0])
@pytest.mark.parametrize("name", NAMES)
def test_enough_steps_reach_the_moments_of_the_data(name: SamplerName, shift: float) -> None:
    output = sample_data(name, 400, shift=shift)
    assert output.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert output.std().item() == pytest.approx(STD, rel=0.05)


@pytest.mark.parametrize("shift", [1.0, 7.0, 1000.0])
@pytest.mark.parametrize("name", NAMES)
def test_any_number_of_steps_stays_near_the_data(name: SamplerName, shift: float) -> None:
    for steps in range(1, 101):
        output = sample_data(name, steps, 500, shift)
        assert output.mean().item() == pytest.approx(MEAN, abs=0.1), steps
        assert output.std().item() < 1.2 * STD, steps


@pytest.mark.parametrize("name", NAMES)
def test_one_step_gives_what_is_predicted(name: SamplerName) -> None:
    torch.testing.assert_close(sample_data(name, 1), torch.full((20_000,), MEAN, dtype=torch.float64))


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("heun", 2), ("dpmpp_2m", 2)])
def test_errors_fall_with_the_order_of_the_sampler(name: SamplerName, order: int) -> None:
    """Of normal data the flow is x_0 = mean + std x_1."""
    noise = torch.randn(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = MEAN + STD * noise
    few, many = ((sample_data(name, steps) - exact).abs().mean().item() for steps in (40, 80))
    assert few / many == pytest.approx(2**order, rel=0.25)


def test_the_spread_of_ancestral_samples_nears_that_of_the_data() -> None:
    few, many = (abs(sample_data("euler_ancestral", steps, 200_000).std().item() - STD) for steps in (10, 20))
    assert few / many == pytest.approx(2, rel=0.25)


def test_fresh_noise_keeps_the_marginals() -> None:
    """Of one picture they are N((1 - t) picture, t^2), however noise is exchanged."""
    first = torch.randn(50_000, generator=torch.Generator().manual_seed(0))
    fresh = torch.Generator().manual_seed(1)
    take = get_sampler("euler_ancestral", lambda x: torch.randn(x.shape, generator=fresh))
    for t, x, _ in take(of_normal_data(0.0), first, evenly_spaced(8)):
        assert x.mean().item() == pytest.approx((1 - t) * MEAN, abs=0.02)
        assert x.std().item() == pytest.approx(t, abs=0.01)
        if t > 0:
            assert abs(torch.corrcoef(torch.stack([first, x]))[0, 1].item()) < 0.03  # of pure noise nothing is kept


@pytest.mark.peers
def test_euler_steps_are_those_of_diffusers() -> None:
    diffusers, denoise = pytest.importorskip("diffusers"), mean_of_normal_data(STD)
    x, times = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), [1.0, 0.8, 0.55, 0.2, 0.0]
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=times[:-1])
    sample = x
    for step, end, expected in zip(
        scheduler.timesteps, pairwise(times), euler(as_generator(denoise), x, times), strict=True
    ):
        velocity = (sample - denoise(sample, end[0])) / end[0]
        sample = scheduler.step(velocity, step, sample).prev_sample
        torch.testing.assert_close(expected[1], sample)
