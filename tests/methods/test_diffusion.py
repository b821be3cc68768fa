"""Diffusion against distributions whose answer is known."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genai.batch import Batch, Request
from genai.methods.diffusion import SAMPLERS, Diffusion, DiffusionOptions
from genai.networks.prompt import PromptEncoder
from genai.networks.unet import UNet

SHAPE = (3, 8, 8)


class Perfect(nn.Module):
    """The ideal denoiser of data that is one image, in the parametrisation that Diffusion asks of a network."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.image = nn.Parameter(image)

    def forward(self, x: Tensor, time: Tensor, pooled: Tensor | None) -> Tensor:
        return self.image.expand_as(x)


@pytest.fixture
def image() -> Tensor:
    return torch.randint(0, 256, SHAPE, generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def perfect(image: Tensor, **more: Any) -> Diffusion:
    method = Diffusion(nn.Identity(), mean=-0.3, std=0.4, objective="x0", **more)
    method.sampled.network = Perfect(method.scale(image))
    return method.eval()


def request(count: int = 2, **more: Any) -> Request:
    return Request(["a"] * count, list(range(count)), SHAPE, **more)


def test_scale_is_undone_exactly(image: Tensor) -> None:
    method = Diffusion(nn.Identity(), mean=-0.65, std=0.375)
    every = torch.arange(256).to(torch.uint8)
    assert torch.equal(method.unscale(method.scale(every)), every)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 5, 20])
def test_a_perfect_denoiser_gives_the_data(sampler: str, steps: int, image: Tensor) -> None:
    drawn = perfect(image).sample(request(), DiffusionOptions(steps, 1.0, sampler))  # type: ignore[arg-type]
    for made in drawn:
        assert torch.equal(made, image)


def test_its_loss_is_zero(image: Tensor) -> None:
    assert perfect(image).loss(Batch(image[None].expand(4, *SHAPE), ["a"] * 4))["loss"] < 1e-10


@pytest.mark.parametrize("objective", ["x0", "velocity"])
def test_second_order_samplers_come_nearer(objective: str) -> None:
    """Data that is normal has the exact flow x_t = x_1 * sqrt((1 - t)^2 s^2 + t^2)."""

    class Normal(nn.Module):
        def forward(self, x: Tensor, time: Tensor, pooled: Tensor | None) -> Tensor:
            t = time[:, None, None, None]
            noisy = x * ((1 - t) ** 2 + t**2).sqrt()
            x0 = noisy * (1 - t) * 0.25 / ((1 - t) ** 2 * 0.25 + t**2)
            return x0 if objective == "x0" else (noisy - x0) / t

    method = Diffusion(Normal(), objective=objective, time_mean=0.0)  # type: ignore[arg-type]
    method.device_probe = nn.Parameter(torch.zeros(1))
    errors = {}
    for name, sampler in SAMPLERS.items():
        moved = torch.full((1, *SHAPE), 1.0)

        def denoise(x: Tensor, t: float) -> Tensor:
            return method.denoise(x, torch.full((len(x),), t), [""])

        *_, (_, moved, _) = sampler(denoise, moved, method.times(20))
        errors[name] = abs(float(moved.mean()) - 0.5)
    assert errors["euler"] < 0.05
    assert errors["heun"] < errors["euler"] / 4
    assert errors["dpmpp_2m"] < errors["euler"] / 2


def test_what_is_known_comes_back_bit_for_bit(image: Tensor) -> None:
    other = 255 - image
    known = torch.zeros(SHAPE, dtype=torch.bool)
    known[:, :4] = True
    drawn = perfect(image).sample(request(init=[other] * 2, known=[known] * 2), DiffusionOptions(6, 1.0))
    for made in drawn:
        assert torch.equal(made[:, :4], other[:, :4])
        assert torch.equal(made[:, 4:], image[:, 4:])


def test_strength_goes_from_all_of_init_to_none(image: Tensor) -> None:
    method = perfect(image)
    method.denoise = lambda x, time, prompts, seconds: x  # type: ignore[method-assign]  # takes no noise away

    def change(strength: float) -> float:
        made = method.sample(request(1, init=[image]), DiffusionOptions(8, 1.0, strength=strength))[0]
        return float((made.float() - image.float()).abs().mean())

    assert change(0.0) == 0
    assert 0 < change(0.1) < change(0.3) < change(0.9)


def test_an_item_depends_on_its_own_seed_alone() -> None:
    torch.manual_seed(0)
    method = Diffusion(UNet(SHAPE, 8, width=16, blocks=1), PromptEncoder(8, 32)).eval()
    for parameter in method.parameters():
        nn.init.normal_(parameter, std=0.05)
    options = DiffusionOptions(4)
    together = method.sample(Request(["a", "b", "c"], [5, 6, 7], SHAPE), options)
    alone = method.sample(Request(["b"], [6], SHAPE), options)
    assert (together[1].float() - alone[0].float()).abs().max() <= 1
    assert not torch.equal(together[0], together[1])


def test_guidance_reaches_beyond_the_prompt() -> None:
    torch.manual_seed(0)
    method = Diffusion(UNet(SHAPE, 8, width=16, blocks=1), PromptEncoder(8, 32)).eval()
    for parameter in method.parameters():
        nn.init.normal_(parameter, std=0.05)
    x = torch.randn(1, *SHAPE)
    time = torch.full((1,), 0.5)
    prompted, free = method.denoise(x, time, ["a"]), method.denoise(x, time, [""])
    guided = method._guided(["a"], None, None, DiffusionOptions(guidance=3.0))(x, 0.5)
    torch.testing.assert_close(guided, free + 3 * (prompted - free), rtol=1e-4, atol=1e-4)
