"""Diffusion against distributions whose answer is known."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from genai.core.batch import Batch, Request
from genai.methods.diffusion import CONTEXT_TIME, Diffusion, DiffusionOptions
from genai.methods.frame_schedule import clip_windows, keyframe_stages
from genai.methods.samplers import SamplerName, get_sampler
from genai.networks.text_encoder import PromptEncoder
from genai.networks.unet import UNet

SHAPE = (3, 8, 8)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable bfloat16, in which samples are computed on machines that are fast at it."""
    monkeypatch.setattr("genai.methods.diffusion.fast_bfloat16", lambda device: False)


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
    method.ema_module.network = Perfect(method.scale(image))
    return method.eval()


def request(count: int = 2, **more: Any) -> Request:
    return Request(["a"] * count, list(range(count)), SHAPE, **more)


def test_scale_is_undone_exactly(image: Tensor) -> None:
    method = Diffusion(nn.Identity(), mean=-0.65, std=0.375)
    every = torch.arange(256).to(torch.uint8)
    assert torch.equal(method.unscale(method.scale(every)), every)


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
        denoise, torch.full((1, *SHAPE), 1.0), method.times(method.Options(steps=20))
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


def test_strength_goes_from_all_of_init_to_none(image: Tensor) -> None:
    method = perfect(image)
    method.denoise = lambda x, time, prompts, seconds: x  # type: ignore[method-assign]  # takes no noise away

    def change(strength: float) -> float:
        output = method.sample(request(1, init=[image]), DiffusionOptions(steps=8, guidance=1.0, strength=strength))[0]
        return float((output.float() - image.float()).abs().mean())

    assert change(0.0) == 0
    assert 0 < change(0.1) < change(0.3) < change(0.9)


@pytest.mark.parametrize("name", ["euler", "euler_ancestral"])
def test_an_item_depends_on_its_own_seed_alone(name: SamplerName) -> None:
    torch.manual_seed(0)
    method = Diffusion(UNet(SHAPE, 8, width=16, blocks=1), PromptEncoder(8, 32)).eval()
    for parameter in method.parameters():
        nn.init.normal_(parameter, std=0.05)
    options = DiffusionOptions(steps=4, sampler=name)
    together = method.sample(Request(["a", "b", "c"], [5, 6, 7], SHAPE), options)
    alone = method.sample(Request(["b"], [6], SHAPE), options)
    assert (together[1].float() - alone[0].float()).abs().max() <= 1
    assert not torch.equal(together[0], together[1])


def test_where_bfloat16_is_fast_samples_are_drawn_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    method, options = Diffusion(UNet(SHAPE, width=16)).eval(), DiffusionOptions(steps=4)
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
    method = Diffusion(UNet(SHAPE, 8, width=16, blocks=1), PromptEncoder(8, 32)).eval()
    for parameter in method.parameters():
        nn.init.normal_(parameter, std=0.05)
    x = torch.randn(1, *SHAPE)
    time = torch.full((1,), 0.5)
    prompted, free = method.denoise(x, time, ["a"]), method.denoise(x, time, [""])
    guided = method._guided_denoiser(["a"], None, None, DiffusionOptions(guidance=3.0))(x, 0.5)
    torch.testing.assert_close(guided, free + 3 * (prompted - free), rtol=1e-4, atol=1e-4)


CLIP = (6, *SHAPE)


def of_clips(frames: int = 6) -> Diffusion:
    torch.manual_seed(0)
    method = Diffusion(
        UNet(SHAPE, frames, 8, width=16, patch=2), PromptEncoder(8, 32), frames=frames, keyframes=3
    ).eval()
    for parameter in method.parameters():
        nn.init.normal_(parameter, std=0.05)
    return method


def clip_request(frames: int, known: Sequence[int] = (), count: int = 2) -> Request:
    """Clips of which frames ``known`` are given."""
    given = torch.randint(0, 256, (frames, *SHAPE), generator=torch.Generator().manual_seed(1)).byte()
    held = torch.zeros(frames, *SHAPE, dtype=torch.bool)
    held[list(known)] = True
    return Request(
        ["a", "b"][:count],
        [3, 4][:count],
        (frames, *SHAPE),
        init=[given] * count if known else None,
        init_mask=[held] * count if known else None,
        local=[torch.arange(frames)[:, None] / 8] * count,
    )


@pytest.mark.parametrize("keyframes", [0, 2, None])
@pytest.mark.parametrize("known", [(), (0,), (0, 1, 2), (0, 5)])
def test_known_frames_come_back_bit_for_bit(keyframes: int | None, known: tuple[int, ...]) -> None:
    request = clip_request(6, known)
    output = of_clips().sample(request, DiffusionOptions(steps=3, keyframes=keyframes))
    assert [clip.shape for clip in output] == [CLIP] * 2
    for clip in output:
        for at in known:
            assert request.init is not None and torch.equal(clip[at], request.init[0][at])
    assert not torch.equal(output[0], output[1])


@pytest.mark.parametrize("overlap", [None, 1, 5])
def test_a_long_clip_goes_on_from_what_was_made(overlap: int | None) -> None:
    method, options = of_clips(), DiffusionOptions(steps=2, overlap=overlap)
    chunks = [piece.x for piece in method.stream(clip_request(15), options)]
    lengths = [piece.shape[1] for piece in chunks]
    fractions = [piece.progress or 0 for piece in method.stream(clip_request(15), options)]
    assert fractions == sorted(fractions) and 0 < fractions[0] < 0.2 and fractions[-1] == 1
    assert lengths == sorted(lengths) and lengths[0] == 6 and lengths[-1] == 15
    for length in set(lengths):  # what was made of a window stays as it is
        assert torch.equal(chunks[-1][:, :length], [piece for piece in chunks if piece.shape[1] == length][-1])


@pytest.mark.parametrize(("fps", "frames"), [(8, 20), (4, 20), (3, 2), (1, 20)])
def test_no_frame_has_a_time_that_was_not_trained_on(fps: float, frames: int) -> None:
    method = of_clips()
    method.horizon = 7 / 8
    earliest, latest = list[float](), list[float]()
    inner = method.denoise

    def watched(x: Tensor, time: Tensor, prompts: Sequence[str], seconds: Tensor | None = None) -> Tensor:
        assert seconds is not None
        earliest.append(float(seconds.min()))
        latest.append(float(seconds.max()))
        return inner(x, time, prompts, seconds)

    method.denoise = watched  # type: ignore[method-assign]
    slow = replace(clip_request(frames), local=[torch.arange(frames)[:, None] / fps] * 2)
    method.sample(slow, DiffusionOptions(steps=1))
    assert min(earliest) == 0
    assert max(latest) <= max(7 / 8, 1 / fps)  # two frames there are, however far apart


def test_windows_overlap_and_end_with_the_clip() -> None:
    assert clip_windows(6, 6, None) == [(0, 6)]
    assert clip_windows(4, 6, None) == [(0, 4)]
    assert clip_windows(16, 8, None) == [(0, 8), (4, 12), (8, 16)]
    assert clip_windows(9, 8, 20) == [(0, 8), (1, 9)]
    assert clip_windows(15, 8, 2) == [(0, 8), (6, 14), (7, 15)]


def test_stages_go_from_one_frame_to_all() -> None:
    assert [each.tolist() for each in keyframe_stages(7, 0)] == [list(range(7))]
    assert [each.tolist() for each in keyframe_stages(7, 3)] == [[0], [0, 3, 6], list(range(7))]
    assert [each.tolist() for each in keyframe_stages(3, 4)] == [[0], [0, 1, 2]]


def test_known_frames_are_hardly_noisy_and_count_nothing() -> None:
    method = of_clips()
    torch.manual_seed(0)
    time, counts = method._sample_times((2000, 6), torch.device("cpu"))
    known = time == CONTEXT_TIME
    assert torch.equal(counts == 0, known)
    assert known.any(1).float().mean().item() == pytest.approx(method.context_prob, abs=0.05)
    assert not known.all(1).any()
    alike = (time.masked_fill(known, -1).amax(1, keepdim=True) == time)[~known]
    assert 0.8 < alike.float().mean() < 0.97  # one time for all of a clip, except in a fraction ``per_frame_prob``
    assert (method._sample_times((50, 1), torch.device("cpu"))[1] == 1).all()


def test_what_is_padding_costs_nothing() -> None:
    method = of_clips()
    x = torch.randint(0, 256, (2, *CLIP)).byte()
    local = torch.arange(6).expand(2, 6)[..., None] / 8
    valid = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])

    def loss(x: Tensor, valid: Tensor) -> float:
        torch.manual_seed(1)
        method.denoise = lambda x, time, prompts, seconds: x  # type: ignore[method-assign]
        return float(method.loss(Batch(x, ["a", "b"], valid, local))["loss"])

    changed = x.clone()
    changed[1, 3:] = 0
    assert loss(x, valid) == loss(changed, valid)
    assert loss(x, torch.ones_like(valid)) != loss(x, valid)


def test_guidance_by_known_frames_goes_beyond_them() -> None:
    method, seconds = of_clips(), torch.arange(6)[None] / 8
    x, data, noise = torch.randn(3, 1, *CLIP).unbind()
    known = torch.zeros(1, *CLIP, dtype=torch.bool)
    known[:, 0] = True

    def guided(**options: float) -> Tensor:
        return method._guided_denoiser(["a"], seconds, (data, known, noise), DiffusionOptions(**options))(x, 0.5)  # type: ignore[arg-type]

    time = torch.full((1, 6), 0.5)
    free = method.denoise(x, time, [""], seconds)
    held = guided(guidance=0.0)
    torch.testing.assert_close(
        guided(guidance=0.0, context_guidance=3.0), free + 3 * (held - free), rtol=1e-3, atol=1e-3
    )
