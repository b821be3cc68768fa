"""Diffusion against distributions whose answer is known."""

from collections.abc import Generator
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from genai.core.batch import Batch, Request
from genai.methods.diffusion import Diffusion, DiffusionOptions
from genai.methods.samplers import SamplerName, as_generator, get_sampler
from genai.methods.scaling import PixelScaling, Scaling
from genai.networks.text_encoder import PromptEncoder
from genai.networks.unet import UNet

SHAPE = (3, 8, 8)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable bfloat16, in which samples are computed on machines that are fast at it."""
    monkeypatch.setattr("genai.methods.diffusion.fast_bfloat16", lambda device: False)


class Perfect(nn.Module):
    """The ideal denoiser of data that is one image, in the parametrization that Diffusion asks of a network."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.image = nn.Parameter(image)

    def forward(self, x: Tensor, time: Tensor, pooled: Tensor | None) -> Tensor:
        return self.image.expand_as(x)


@pytest.fixture
def image() -> Tensor:
    return torch.randint(0, 256, SHAPE, generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def perfect(image: Tensor, **more: Any) -> Diffusion:
    method = Diffusion(nn.Identity(), scaling=PixelScaling(-0.3, 0.4), objective="x0", **more)
    method.ema_module.network = Perfect(method.scaling.scale(image))
    return method.eval()


def request(count: int = 2, **more: Any) -> Request:
    return Request(["a"] * count, list(range(count)), SHAPE, **more)


def prediction(method: Diffusion, steps: Generator[Any, Any, Tensor]) -> Tensor:
    """What ``steps`` return when their only network call is answered."""
    with pytest.raises(StopIteration) as stop:
        steps.send(method.call_network([next(steps)])[0])
    result: Tensor = stop.value.value
    return result


def test_scale_is_undone_exactly(image: Tensor) -> None:
    scaling, every = PixelScaling(-0.65, 0.375), torch.arange(256).to(torch.uint8)
    assert torch.equal(scaling.unscale(scaling.scale(every)), every)


@pytest.mark.parametrize("name", get_args(SamplerName))
@pytest.mark.parametrize("steps", [1, 5, 20])
def test_a_perfect_denoiser_gives_the_data(name: SamplerName, steps: int, image: Tensor) -> None:
    samples = perfect(image).sample(request(), DiffusionOptions(steps=steps, guidance=1.0, sampler=name))
    for output in samples:
        assert torch.equal(output, image)


def test_its_loss_is_zero(image: Tensor) -> None:
    assert perfect(image).loss(Batch(image[None].expand(4, *SHAPE), ["a"] * 4))["loss"] < 1e-10


@pytest.mark.parametrize("objective", ["x0", "velocity"])
def test_both_objectives_follow_the_flow(objective: str) -> None:
    """Data that is normal has the exact flow x_t = x_1 * sqrt((1 - t)^2 s^2 + t^2)."""

    class Normal(nn.Module):
        def forward(self, x: Tensor, time: Tensor, pooled: Tensor | None) -> Tensor:
            t = time[:, None, None, None]
            noisy = x * ((1 - t) ** 2 + t**2).sqrt()
            x0 = noisy * (1 - t) * 0.25 / ((1 - t) ** 2 * 0.25 + t**2)
            return x0 if objective == "x0" else (noisy - x0) / t

    method = Diffusion(Normal(), objective=objective, logit_mean=0.0)  # type: ignore[arg-type]

    def denoise(x: Tensor, t: float) -> Tensor:
        return method.denoise(x, torch.full((len(x),), t), [""])

    *_, (_, moved, _) = get_sampler("heun")(
        as_generator(denoise), torch.full((1, *SHAPE), 1.0), method.times(method.Options(steps=20))
    )
    assert moved.mean().item() == pytest.approx(0.5, abs=0.01)


def test_what_is_known_comes_back_bit_for_bit(image: Tensor) -> None:
    other = 255 - image
    known = torch.zeros(SHAPE, dtype=torch.bool)
    known[:, :4] = True
    samples = perfect(image).sample(
        request(init=[other] * 2, init_mask=[known] * 2), DiffusionOptions(steps=6, guidance=1.0)
    )
    for output in samples:
        assert torch.equal(output[:, :4], other[:, :4])
        assert torch.equal(output[:, 4:], image[:, 4:])


def test_strength_changes_nothing_without_an_image_and_with_a_mask(image: Tensor) -> None:
    method = Diffusion(UNet(SHAPE, 0, width=16, blocks=1), None, PixelScaling())
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    assert method.unused_options(request(1), DiffusionOptions()) == {"strength": "there is no init="}
    assert method.unused_options(request(1, init=[image]), DiffusionOptions()) == {}
    masked = request(1, init=[image], init_mask=[mask])
    assert list(method.unused_options(masked, DiffusionOptions())) == ["strength"]


def test_strength_goes_from_all_of_init_to_none(image: Tensor) -> None:
    method = perfect(image)
    method.denoise = lambda x, *others: x  # type: ignore[method-assign, assignment, misc]  # takes no noise away

    def change(strength: float) -> float:
        output = method.sample(request(1, init=[image]), DiffusionOptions(steps=8, guidance=1.0, strength=strength))[0]
        return float((output.float() - image.float()).abs().mean())

    assert change(0.0) == 0
    assert 0 < change(0.1) < change(0.3) < change(0.9)


@pytest.mark.parametrize("name", ["euler", "euler_ancestral"])
def test_an_item_depends_on_its_own_seed_alone(name: SamplerName) -> None:
    torch.manual_seed(0)
    method = Diffusion(UNet(SHAPE, 8, width=16, blocks=1), PromptEncoder(8, 32), PixelScaling()).eval()
    for parameter in method.parameters():
        nn.init.normal_(parameter, std=0.05)
    options = DiffusionOptions(steps=4, sampler=name)
    together = method.sample(Request(["a", "b", "c"], [5, 6, 7], SHAPE), options)
    alone = method.sample(Request(["b"], [6], SHAPE), options)
    assert (together[1].float() - alone[0].float()).abs().max() <= 1
    assert not torch.equal(together[0], together[1])


def test_where_bfloat16_is_fast_samples_are_drawn_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    method, options = Diffusion(UNet(SHAPE, width=16), scaling=PixelScaling()).eval(), DiffusionOptions(steps=4)
    for parameter in method.parameters():
        nn.init.normal_(parameter, std=0.05)
    exactly = method.sample(Request([""], [0], SHAPE), options)[0].float()
    monkeypatch.setattr("genai.methods.diffusion.fast_bfloat16", lambda device: True)
    roughly = method.sample(Request([""], [0], SHAPE), options)[0].float()
    assert 0 < (exactly - roughly).abs().mean() < 3


def test_steps_are_shifted_towards_noise() -> None:
    method = Diffusion(UNet(SHAPE, width=16), logit_mean=2.0)
    assert method.times(DiffusionOptions(steps=4, shift=1)) == [1, 0.75, 0.5, 0.25, 0]
    assert method.times(DiffusionOptions(steps=2, shift=3)) == [1, 0.75, 0]
    assert method.times(DiffusionOptions(steps=2))[1] == pytest.approx(torch.tensor(2.0).sigmoid().item())


def test_guidance_reaches_beyond_the_prompt() -> None:
    torch.manual_seed(0)
    method = Diffusion(UNet(SHAPE, 8, width=16, blocks=1), PromptEncoder(8, 32), PixelScaling()).eval()
    for parameter in method.parameters():
        nn.init.normal_(parameter, std=0.05)
    x = torch.randn(1, *SHAPE)
    time = torch.full((1,), 0.5)
    prompted, free = method.denoise(x, time, ["a"]), method.denoise(x, time, [""])
    guided = prediction(method, method._guided_denoiser(["a"], DiffusionOptions(guidance=3.0))(x, 0.5, 0.1))
    torch.testing.assert_close(guided, free + 3 * (prompted - free), rtol=1e-4, atol=1e-4)


class PointNetwork(nn.Module):
    """Moves points (batch, points, 3) by what each, the mean of all, the time and the prompt say."""

    def __init__(self, width: int = 32, context: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(7 + context, width), nn.SiLU(), nn.Linear(width, 3))

    def forward(self, x: Tensor, time: Tensor, pooled: Tensor) -> Tensor:
        everywhere = torch.cat([x.mean(1), time[:, None], pooled], -1)[:, None].expand(-1, x.shape[1], -1)
        return self.layers(torch.cat([x, everywhere], -1))


def test_items_of_any_rank_train_and_sample() -> None:
    torch.manual_seed(0)
    method = Diffusion(PointNetwork(), PromptEncoder(8, 32), Scaling(5.0, 2.0), objective="x0")
    batch = Batch(5 + 2 * torch.nn.functional.one_hot(torch.randint(0, 3, (4, 128))).float(), ["a"] * 4)
    optimizer = torch.optim.Adam(method.parameters(), 0.01)
    losses = list[float]()
    for _ in range(60):
        loss = method.loss(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-10:]) < sum(losses[:10]) / 2
    method.eval()
    known = torch.zeros(128, 3, dtype=torch.bool)
    known[:7] = True
    request = Request(["a", "a"], [0, 1], (128, 3), init=[batch.x[0]] * 2, init_mask=[known] * 2)
    for sample in method.sample(request, DiffusionOptions(steps=4, guidance=3.0, guidance_rescale=0.5)):
        assert sample.shape == (128, 3) and sample.dtype == torch.float32
        assert torch.equal(sample[:7], batch.x[0, :7]) and not torch.equal(sample[7:], batch.x[0, 7:])
        assert sample.mean().item() == pytest.approx(batch.x.mean().item(), abs=1)


def test_pixels_without_their_scaling_are_refused() -> None:
    with pytest.raises(TypeError, match="PixelScaling"):
        Diffusion(nn.Identity()).loss(Batch(torch.zeros(2, *SHAPE, dtype=torch.uint8)))
