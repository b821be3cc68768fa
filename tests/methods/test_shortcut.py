"""Shortcut models: targets of large steps, the network's step size, and samples in few steps."""

from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import genai
from genai.core.batch import Batch, Request
from genai.core.errors import UserError
from genai.methods.diffusion import Diffusion, DiffusionOptions
from genai.methods.frame_diffusion import FrameDiffusion
from genai.methods.shortcut import (
    LEARNED_STEPS,
    LEVELS,
    StepTriples,
    guided_target,
    num_consistency_rows,
    sample_triples,
    two_step_target,
)
from genai.networks.text_encoder import PromptEncoder
from genai.networks.unet import UNet

SHAPE = (3, 8, 8)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai.methods.diffusion.fast_bfloat16", lambda device: False)


def method(seed: int = 0, shortcut: bool = True, **more: Any) -> Diffusion:
    """A small method with a trained look: no layer of its network is zero, and the step size matters."""
    torch.manual_seed(seed)
    network = UNet(SHAPE, context=16, width=16)
    result = Diffusion(network, PromptEncoder(16), shortcut=shortcut, **more)
    generator = torch.Generator().manual_seed(seed)
    for parameter in result.parameters():
        if not parameter.any():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.05
    return result


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class MeanVelocity(nn.Module):
    """The exact mean velocity of normal data, whose flow is x_t = x_1 * sqrt((1 - t)^2 s^2 + t^2)."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = nn.Parameter(torch.tensor(std))

    def add_step_size(self) -> None:
        """It has one."""

    def forward(self, x: Tensor, time: Tensor, pooled: Tensor | None, step_size: Tensor) -> Tensor:
        def width(t: Tensor) -> Tensor:
            return ((1 - t) ** 2 * self.std**2 + t**2).sqrt()

        t, size = (each[:, None, None, None].double() for each in (time, step_size.clamp(min=1e-6)))
        noisy = x.double() * ((1 - t) ** 2 + t**2).sqrt()
        return (noisy * (width(t) - width(t - size)) / width(t) / size).float()


def test_a_large_step_ends_where_two_small_ones_do() -> None:
    """Equation 4 of the paper: s(x, t, 2 d) = s(x, t, d) / 2 + s(x', t + d, d) / 2."""
    x, start = noise(3, *SHAPE), torch.tensor([1.0, 0.5, 0.75])
    steps = StepTriples(start, start - 0.25, start - 0.5, torch.tensor([False, False, True]))
    seen = []

    def velocity(x: Tensor, time: Tensor, step_size: Tensor) -> Tensor:
        seen.append((time.tolist(), step_size.tolist()))
        return torch.tanh(x) * (time + 2 * step_size + 0.1)[:, None, None, None]

    def predict(x: Tensor, time: Tensor, step_size: Tensor) -> Tensor:
        return x - time[:, None, None, None] * velocity(x, time, step_size)

    size = torch.tensor([0.25, 0.25, 0.0])  # the smallest steps follow the velocity itself
    first = velocity(x, start, size)
    expected = (first + velocity(x - 0.25 * first, start - 0.25, size)) / 2
    seen.clear()
    target = two_step_target(predict, x, steps)
    torch.testing.assert_close((x - target) / start[:, None, None, None], expected)
    assert seen == [(start.tolist(), size.tolist()), ((start - 0.25).tolist(), size.tolist())]


@pytest.mark.parametrize("shift", [1.0, 7.0])
def test_mean_velocities_agree_with_their_own_targets(shift: float) -> None:
    """Also where steps are spaced unevenly; only the smallest ones, which follow the velocity, are a little off."""
    exact = Diffusion(MeanVelocity(0.5), shortcut=True)
    steps = sample_triples(64, shift, torch.device("cpu"))
    x, large = noise(64, *SHAPE), ~steps.is_smallest

    def predict(x: Tensor, time: Tensor, step_size: Tensor) -> Tensor:
        return exact.denoise(x, time, [""] * len(x), step_size=step_size)

    target, own = two_step_target(predict, x, steps), predict(x, steps.start, steps.size)
    torch.testing.assert_close(target[large], own[large], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(target, own, atol=1e-3)


def test_steps_are_those_of_the_sampler() -> None:
    torch.manual_seed(0)
    steps, of_sampler = sample_triples(300, 7.0, torch.device("cpu")), Diffusion(nn.Identity())

    def grid(count: int) -> set[tuple[float, float]]:
        times = of_sampler.times(DiffusionOptions(steps=count, shift=7.0))
        return {(round(start, 5), round(end, 5)) for start, end in pairwise(times)}

    def spans(first: Tensor, last: Tensor) -> set[tuple[float, float]]:
        return {(round(float(a), 5), round(float(b), 5)) for a, b in zip(first, last, strict=True)}

    assert spans(steps.start, steps.end) == set.union(*(grid(2**level) for level in range(LEVELS)))
    smallest = steps.is_smallest
    assert int(smallest.sum()) == 100 and spans(steps.start[smallest], steps.end[smallest]) == grid(max(LEARNED_STEPS))
    halves = spans(steps.start[smallest], steps.middle[smallest]) | spans(steps.middle[smallest], steps.end[smallest])
    assert halves == grid(2 * max(LEARNED_STEPS))


def test_a_quarter_of_the_batch_learns_large_steps() -> None:
    assert {num_consistency_rows(32) for _ in range(20)} == {8}
    counts = [num_consistency_rows(1) for _ in range(400)]
    assert 60 < sum(counts) < 140 and set(counts) == {0, 1}


def test_targets_are_of_the_average_and_guided_at_the_smallest_steps() -> None:
    trained, average = method(0, sampling={"guidance": 3.0}), method(1)
    trained.set_average(average.ema_module)
    denoise = partial(trained.denoise, module=average.ema_module)
    assert not any(name.startswith("_average") for name, _ in trained.named_parameters())
    start, middle, end = torch.tensor([[1.0, 0.5, 0.5], [0.75, 0.25, 0.25], [0.5, 0.0, 0.0]])
    steps = StepTriples(start, middle, end, torch.tensor([False, True, True]))
    x, prompts = noise(3, *SHAPE), ["a", "b", ""]

    def predict(x: Tensor, time: Tensor, step_size: Tensor) -> Tensor:
        plain = average.denoise(x, time, prompts, step_size=step_size)
        unconditional = average.denoise(x, time, ["", "", ""], step_size=step_size)
        guided = unconditional + 3 * (plain - unconditional)
        return torch.stack([plain[0], guided[1], plain[2]])

    expected = two_step_target(predict, x, steps)
    torch.testing.assert_close(guided_target(denoise, x, prompts, steps, trained.step_guidance), expected)
    assert not torch.allclose(guided_target(trained.denoise, x, prompts, steps, 3.0), expected, atol=1e-3)


def test_the_loss_is_that_of_the_flow_and_of_the_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of eight examples two learn large steps, the others the velocity at step size 0."""
    trained, calls, data = method(), [], noise(8, *SHAPE)
    original = Diffusion.denoise

    def denoise(self: Diffusion, x: Tensor, time: Tensor, *others: Any, **named: Any) -> Tensor:
        calls.append((time, named["step_size"], original(self, x, time, *others, **named)))
        return calls[-1][-1]

    monkeypatch.setattr(Diffusion, "denoise", denoise)
    monkeypatch.setattr(
        "genai.methods.diffusion.guided_target", lambda denoise, x, prompts, steps, guidance: 2 * data[: len(x)]
    )
    loss = trained.train().loss(Batch(data, ["a"] * 8))["loss"].detach()
    ((time, sizes, predicted),) = calls
    assert bool((sizes[:2] > 0).all()) and not sizes[2:].any()
    target = torch.cat([2 * data[:2], data[2:]])
    errors = (predicted.detach() - target).square().flatten(1).mean(1) / time.clamp(min=0.1) ** 2
    torch.testing.assert_close(loss, errors.mean())


def test_it_is_validated_as_a_plain_model() -> None:
    """The same noise, times and weights have the same loss."""
    learned, plain, batch = method(), method(shortcut=False), Batch(noise(4, *SHAPE), ["a"] * 4)
    plain.load_state_dict(learned.state_dict(), strict=False)
    torch.nn.init.zeros_(learned.ema_module.network.step_size[-1].weight)  # type: ignore[index,union-attr]
    torch.nn.init.zeros_(learned.ema_module.network.step_size[-1].bias)  # type: ignore[index,union-attr]
    losses = []
    for each in (learned, plain):
        torch.manual_seed(1)
        losses.append(each.eval().loss(batch)["loss"])
    assert torch.equal(*losses)


def test_the_step_size_changes_nothing_until_it_is_trained() -> None:
    torch.manual_seed(0)
    plain = Diffusion(UNet(SHAPE, context=16, width=16), PromptEncoder(16))
    torch.manual_seed(0)
    network, x, time = UNet(SHAPE, context=16, width=16), noise(2, *SHAPE), torch.tensor([0.3, 0.9])
    torch.nn.init.normal_(network.out.weight)
    before = network(x, time, noise(2, 16))
    network.add_step_size()
    for size in (None, torch.zeros(2), torch.tensor([0.1, 0.5])):
        assert torch.equal(network(x, time, noise(2, 16), step_size=size), before)
    assert network.step_size is not None
    torch.nn.init.normal_(network.step_size[-1].weight)
    assert torch.equal(network(x, time, noise(2, 16)), network(x, time, noise(2, 16), step_size=torch.zeros(2)))
    large = network(x, time, noise(2, 16), step_size=torch.tensor([0.0, 0.5]))
    assert torch.equal(large[0], network(x, time, noise(2, 16))[0])
    assert not torch.allclose(large[1], network(x, time, noise(2, 16))[1])
    assert not any("step_size" in name for name in plain.state_dict())


@pytest.mark.parametrize("steps", LEARNED_STEPS)
def test_exact_mean_velocities_make_exact_samples(steps: int) -> None:
    exact = Diffusion(MeanVelocity(0.5), shortcut=True).eval()
    request = Request(["", ""], [0, 1], SHAPE)
    start = torch.stack([torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)])
    (*_, last) = exact.stream(request, DiffusionOptions(steps=steps))
    torch.testing.assert_close(last.x, start * 0.5, rtol=1e-3, atol=1e-4)
    for sampler in ("heun", "euler_ancestral", "dpmpp_2m"):
        (*_, other) = exact.stream(request, DiffusionOptions(steps=steps, sampler=sampler))
        assert torch.equal(other.x, last.x)
        assert "sampler" in exact.unused_options(request, DiffusionOptions(steps=steps))
    assert "sampler" not in exact.unused_options(request, DiffusionOptions(steps=max(LEARNED_STEPS) + 1))


def test_variations_of_a_picture_follow_the_velocity(monkeypatch: pytest.MonkeyPatch) -> None:
    """They begin at a time for which no large step was learned; a mask changes no times."""
    learned, sizes = method().eval(), []
    original = Diffusion.denoise

    def denoise(self: Diffusion, *inputs: Any, step_size: Tensor) -> Tensor:
        sizes.append(float(step_size.max()))
        return original(self, *inputs, step_size=step_size)

    monkeypatch.setattr(Diffusion, "denoise", denoise)
    for mask, is_learned in ((None, False), ([torch.ones(SHAPE, dtype=torch.bool)], True)):
        sizes.clear()
        request, options = Request(["a"], [0], SHAPE, init=[noise(*SHAPE)], init_mask=mask), DiffusionOptions(steps=4)
        learned.sample(request, options)
        assert all((size > 0) == is_learned for size in sizes) and sizes
        assert ("sampler" in learned.unused_options(request, options)) == is_learned


def test_learned_steps_have_their_guidance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guidance of the training needs one prediction a step, any other two; more steps are guided as ever."""
    learned, calls = method(sampling={"guidance": 3.0}).eval(), []
    original = Diffusion.denoise

    def denoise(self: Diffusion, x: Tensor, time: Tensor, prompts: Any, **named: Any) -> Tensor:
        calls.append((list(prompts), named["step_size"].tolist()))
        return original(self, x, time, prompts, **named)

    monkeypatch.setattr(Diffusion, "denoise", denoise)

    def last(steps: int, guidance: float) -> Tensor:
        calls.clear()
        (*_, chunk) = learned.stream(Request(["a"], [0], SHAPE), DiffusionOptions(steps=steps, guidance=guidance))
        return chunk.x

    last(1, 3.0)
    assert calls == [(["a"], [1.0])]
    last(2, 1.0)
    assert [prompts for prompts, _ in calls] == [["a", ""]] * 2 and calls[0][1] == calls[0][1][:1] * 2
    assert calls[0][1][0] > 0
    last(max(LEARNED_STEPS) + 1, 3.0)
    assert calls[0] == (["a", ""], [0.0, 0.0])
    with_prompt, without, half = last(1, 3.0), last(1, 0.0), last(1, 1.5)
    torch.testing.assert_close(half, (with_prompt + without) / 2, rtol=1e-4, atol=1e-4)


def test_what_cannot_learn_steps_is_refused(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="Identity cannot know the size of a step"):
        Diffusion(nn.Identity(), shortcut=True)
    with pytest.raises(ValueError, match=r"sampling\.guidance, which has to be above 0"):
        method(sampling={"guidance": 0.0})
    with pytest.raises(TypeError, match="shortcut"):
        FrameDiffusion(nn.Identity(), shortcut=True)  # type: ignore[call-arg]
    with pytest.raises(UserError, match=r"model\.shortcut: FrameDiffusion has no such option"):
        genai.fit("modality=video", "model.shortcut=true", "steps=1", f"runs={tmp_path}")


def test_a_batch_without_large_steps_learns_the_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai.methods.diffusion.num_consistency_rows", lambda count: 0)
    assert method().train().loss(Batch(noise(1, *SHAPE), ["a"]), "model")["loss"].isfinite()


def test_steps_that_were_not_learned_follow_the_flow() -> None:
    request = Request(["a"], [0], SHAPE)
    options = [DiffusionOptions(steps=steps) for steps in range(1, 9)]
    learned = [each.steps for each in options if "sampler" in method().unused_options(request, each)]
    assert learned == [1, 2, 4]
    assert "sampler" not in method().unused_options(request, DiffusionOptions(steps=2, shift=3.0))
