"""Diffusion of clips, whose frames have noise levels of their own."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genai.core.batch import Batch, Request
from genai.methods.diffusion import Diffusion, DiffusionOptions
from genai.methods.frame_diffusion import CONTEXT_TIME, FrameDiffusion, FrameDiffusionOptions, KnownFrames
from genai.methods.frame_schedule import clip_windows, keyframe_stages
from genai.methods.scaling import PatchScaling, PixelScaling
from genai.modalities.patch_codec import default_basis
from genai.networks.refiner import Refiner
from genai.networks.text_encoder import PromptEncoder
from genai.networks.unet import UNet
from tests.methods.test_diffusion import prediction

SHAPE = (3, 8, 8)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable bfloat16, in which samples are computed on machines that are fast at it."""
    monkeypatch.setattr("genai.methods.diffusion.fast_bfloat16", lambda device: False)


CLIP = (6, *SHAPE)


def of_clips(frames: int = 6) -> FrameDiffusion:
    torch.manual_seed(0)
    method = FrameDiffusion(
        UNet(SHAPE, frames, 8, width=16, patch=2), PromptEncoder(8, 32), PixelScaling(), frames=frames, keyframes=3
    ).eval()
    for parameter in method.parameters():
        nn.init.normal_(parameter, std=0.05)
    return method


def clip_request(
    frames: int, known: Sequence[int] = (), count: int = 2, shape: tuple[int, int, int] = SHAPE
) -> Request:
    """Clips of which frames ``known`` are given."""
    given = torch.randint(0, 256, (frames, *shape), generator=torch.Generator().manual_seed(1)).byte()
    held = torch.zeros(frames, *shape, dtype=torch.bool)
    held[list(known)] = True
    return Request(
        ["a", "b"][:count],
        [3, 4][:count],
        (frames, *shape),
        init=[given] * count if known else None,
        init_mask=[held] * count if known else None,
        local=[torch.arange(frames)[:, None] / 8] * count,
    )


@pytest.mark.parametrize(("keyframes", "until"), [(0, 0.0), (2, 0.0), (None, 0.0), (None, 0.6), (None, 1.0)])
@pytest.mark.parametrize("known", [(), (0,), (0, 1, 2), (0, 5)])
def test_known_frames_come_back_bit_for_bit(keyframes: int | None, until: float, known: tuple[int, ...]) -> None:
    request = clip_request(6, known)
    options = FrameDiffusionOptions(steps=3, keyframes=keyframes, keyframes_until=until)
    output = of_clips().sample(request, options)
    assert [clip.shape for clip in output] == [CLIP] * 2
    for clip in output:
        for at in known:
            assert request.init is not None and torch.equal(clip[at], request.init[0][at])
    assert not torch.equal(output[0], output[1])


@pytest.mark.parametrize("known", [(0,), (0, 1, 5)])
def test_known_frames_come_back_bit_for_bit_from_a_codec_of_patches(known: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    state = {name: value.tolist() for name, value in default_basis(3).items()}
    scaling, refiner = PatchScaling(std=0.5, **state), Refiner(3, 32, 8, width=8, blocks=1)
    network = UNet((32, 2, 2), 6, 8, width=16, patch=1)
    method = FrameDiffusion(
        network, PromptEncoder(8, 32), scaling, frames=6, keyframes=3, horizon=5 / 8, refiner=refiner
    ).eval()
    for parameter in method.parameters():
        nn.init.normal_(parameter, std=0.05)
    for frames in (6, 9):  # also in the windows after the first
        request = clip_request(frames, known, shape=(3, 16, 16))
        output = method.sample(request, FrameDiffusionOptions(steps=2))
        assert [clip.shape for clip in output] == [(frames, 3, 16, 16)] * 2
        for clip in output:
            for at in known:
                assert request.init is not None and torch.equal(clip[at], request.init[0][at])
        assert not torch.equal(output[0], output[1])
    batch = Batch(torch.stack(request.init or []), ["a", "b"], local=torch.stack(request.local or []))
    losses = method.train().loss(batch)
    losses["loss"].backward()
    assert losses.keys() == {"loss", "denoiser", "refiner"} and refiner.stem.weight.grad is not None


def test_keyframes_change_with_the_other_frames_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frame 0 is given, 2 and 5 are keyframes: known while the time is above 0.5."""
    method, times = of_clips(), list[list[float]]()
    inner = method.denoise

    def record(x: Tensor, time: Tensor, *args: Any) -> Tensor:
        times.append([round(each, 2) for each in time[0].tolist()])
        return inner(x, time, *args)

    monkeypatch.setattr(method, "denoise", record)
    options = FrameDiffusionOptions(steps=4, shift=1.0, sampler="dpmpp_2m", keyframes_until=0.5)
    changed = method.sample(clip_request(6, [0]), options)
    known = CONTEXT_TIME
    assert times[:4] == [[known, t, t] for t in (1.0, 0.75, 0.5, 0.25)]  # the keyframes
    assert times[4:6] == [[known, t, known, t, t, known] for t in (1.0, 0.75)]  # uniform_indices(6, 3) is 0, 2, 5
    assert times[6:] == [[known, t, t, t, t, t] for t in (0.5, 0.25)]
    fixed = method.sample(clip_request(6, [0]), replace(options, keyframes_until=0.0))
    assert not torch.equal(changed[0][2], fixed[0][2])


@pytest.mark.parametrize("until", [0.0, 0.9])
@pytest.mark.parametrize("overlap", [None, 1, 5])
def test_a_long_clip_goes_on_from_what_was_made(overlap: int | None, until: float) -> None:
    method, options = of_clips(), FrameDiffusionOptions(steps=2, overlap=overlap, keyframes_until=until)
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

    def watched(x: Tensor, time: Tensor, prompts: Sequence[Any], *conditioning: Tensor) -> Tensor:
        (seconds,) = conditioning
        earliest.append(float(seconds.min()))
        latest.append(float(seconds.max()))
        return inner(x, time, prompts, *conditioning)

    method.denoise = watched  # type: ignore[method-assign]
    slow = replace(clip_request(frames), local=[torch.arange(frames)[:, None] / fps] * 2)
    method.sample(slow, FrameDiffusionOptions(steps=1))
    assert min(earliest) == 0
    assert max(latest) <= max(7 / 8, 1 / fps)  # two frames there are, however far apart


@pytest.mark.parametrize(("horizon", "starts"), [(5 / 8, [0.0, 0.0, 0.0]), (11 / 8, [0.0, 3 / 8, 6 / 8])])
def test_windows_of_long_training_clips_are_later_in_the_clip(horizon: float, starts: list[float]) -> None:
    """After training on clips of one window each window seems to begin a clip, after longer ones it does not."""
    method, seen = of_clips(), list[float]()
    method.horizon, inner = horizon, method.denoise

    def watched(x: Tensor, time: Tensor, prompts: Sequence[Any], *conditioning: Tensor) -> Tensor:
        seen.append(float(conditioning[0].min()))
        return inner(x, time, prompts, *conditioning)

    method.denoise = watched  # type: ignore[method-assign]
    method.sample(clip_request(15), FrameDiffusionOptions(steps=1, keyframes=0))
    assert seen[:3] == pytest.approx(starts) and max(seen) == pytest.approx(max(starts))


def test_the_prompt_is_guided_otherwise_in_the_windows_after_the_first() -> None:
    method, scales = of_clips(), list[float]()
    inner = method._prompt_scale

    def watched(options: DiffusionOptions, t: float) -> float:
        scales.append(inner(options, t))
        return scales[-1]

    method._prompt_scale = watched  # type: ignore[method-assign]
    early = FrameDiffusionOptions(steps=2, keyframes=0, guidance=1.5, early_guidance=6.0)
    method.sample(clip_request(9), early)
    assert scales == [6.0, 1.5, 6.0, 1.5]
    scales.clear()
    method.sample(clip_request(9), replace(early, later_guidance=0.0))
    assert scales == [6.0, 1.5, 0.0, 0.0]
    scales.clear()
    method.sample(clip_request(6, (0, 1)), replace(early, later_guidance=0.0))  # the first window, though it is begun
    assert scales == [6.0, 1.5]


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
        method.denoise = lambda x, *others: x  # type: ignore[method-assign, assignment, misc]
        return float(method.loss(Batch(x, ["a", "b"], valid, local))["loss"])

    changed = x.clone()
    changed[1, 3:] = 0
    assert loss(x, valid) == loss(changed, valid)
    assert loss(x, torch.ones_like(valid)) != loss(x, valid)


def test_guidance_by_known_frames_goes_beyond_them() -> None:
    method, seconds = of_clips(), torch.arange(6)[None] / 8
    x, data, noise = torch.randn(3, 1, *CLIP).unbind()
    known = torch.zeros(1, 6, 1, 1, 1, dtype=torch.bool)
    known[:, 0] = True
    context = KnownFrames(data, known, known, noise)

    def guided(**options: float) -> Tensor:
        denoise = method._guided_denoiser(["a"], FrameDiffusionOptions(**options), seconds, context)  # type: ignore[arg-type]
        predicted = prediction(method, denoise(x, 0.5, 0.1))
        assert torch.equal(predicted[:, 0], data[:, 0])
        return predicted[:, 1:]

    time = torch.full((1, 6), 0.5)
    free = method.denoise(x, time, [""], seconds)[:, 1:]
    held = guided(guidance=0.0)
    torch.testing.assert_close(
        guided(guidance=0.0, context_guidance=3.0), free + 3 * (held - free), rtol=1e-3, atol=1e-3
    )


def test_of_images_it_is_plain_diffusion() -> None:
    network, prompt = UNet(SHAPE, 1, 8, width=16), PromptEncoder(8, 32)
    methods = [cls(network, prompt, PixelScaling()) for cls in (Diffusion, FrameDiffusion)]
    batch = Batch(torch.randint(0, 256, (4, *SHAPE)).byte(), ["a"] * 4)
    request = Request(["a"], [3], SHAPE)
    both = []
    for method in methods:
        torch.manual_seed(0)
        options = method.Options(steps=2)
        both.append((method.train().loss(batch)["loss"], method.eval().sample(request, options)[0]))
    assert torch.equal(both[0][0], both[1][0]) and torch.equal(both[0][1], both[1][1])
    assert not {"keyframes", "overlap", "context_guidance"} & vars(DiffusionOptions()).keys()
