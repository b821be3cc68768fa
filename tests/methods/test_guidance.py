"""When samples are guided, by how much, and what that costs."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genai.core.batch import Request
from genai.core.errors import UserError
from genai.core.instantiate import parse_dataclass
from genai.methods.diffusion import DiffusionOptions
from genai.methods.frame_diffusion import FrameDiffusion, FrameDiffusionOptions
from genai.methods.guidance import GuidanceOptions, combine_terms, guidance_terms
from genai.methods.scaling import PixelScaling
from genai.networks.text_encoder import PromptEncoder

SHAPE = (3, 8, 8)


@pytest.mark.parametrize(
    ("options", "at"),
    [
        ({}, {1.0: 2, 0.5: 2, 0.0: 2}),
        ({"guidance_from": 0.9, "guidance_until": 0.3}, {1.0: 1, 0.9: 2, 0.5: 2, 0.3: 2, 0.1: 1}),
        ({"early_guidance": 6.0, "guidance": 1.0}, {1.0: 6, 0.96: 6, 0.95: 1, 0.5: 1}),
        ({"early_guidance": 6.0, "guidance_from": 0.5}, {1.0: 6, 0.9: 1, 0.5: 2, 0.1: 2}),
        ({"early_guidance": 0.0}, {1.0: 0, 0.5: 2}),
    ],
)
def test_early_guidance_goes_before_the_interval(options: dict[str, float], at: dict[float, float]) -> None:
    chosen = GuidanceOptions(**options)
    assert {t: chosen.at(t) for t in at} == at


def test_what_has_no_weight_is_not_predicted() -> None:
    assert guidance_terms(1, 1) == [(1, True, True)]
    assert guidance_terms(3, 1) == [(3, True, True), (-2, False, True)]
    assert guidance_terms(1, 2) == [(1, True, True), (1, False, True), (-1, False, False)]
    assert guidance_terms(0, 1) == [(1, False, True)]


@pytest.mark.parametrize("shape", [(2, *SHAPE), (2, 5, *SHAPE)])
def test_rescaled_guidance_has_the_contrast_of_the_prompt_alone(shape: tuple[int, ...]) -> None:
    prompted, free = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0)).unbind()
    prompted = prompted * torch.rand(*shape[:-3], 1, 1, 1) * 3  # each image, each frame its own

    def contrast(rescale: float) -> Tensor:
        return combine_terms([(4.0, True, True), (-3.0, False, True)], [prompted, free], rescale, len(shape) - 3).std(
            (-3, -2, -1)
        )

    torch.testing.assert_close(contrast(1.0), prompted.std((-3, -2, -1)))
    torch.testing.assert_close(contrast(0.5), (contrast(0.0) + contrast(1.0)) / 2)
    alone = combine_terms([(1.0, True, True)], [prompted], 0.7)
    assert torch.equal(alone, prompted)


def test_an_interval_that_ends_before_it_begins_is_a_mistake() -> None:
    with pytest.raises(UserError, match=r"guidance_from=0.2 comes after guidance_until=0.5"):
        parse_dataclass(DiffusionOptions, {"guidance_from": 0.2, "guidance_until": 0.5})


def test_defaults_of_models_that_were_saved_before_still_load() -> None:
    saved = {"steps": 8, "shift": 12.0, "sampler": "dpmpp_2m", "guidance": 1.0, "early_guidance": 6.0}
    options = parse_dataclass(DiffusionOptions, saved)
    assert (options.at(1.0), options.at(0.9), options.guidance_rescale) == (6, 1, 0)


class Silent(nn.Module):
    """A network that predicts nothing."""

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        return torch.zeros_like(x)


def prompts_at(request: Request, **options: Any) -> dict[float, list[str]]:
    """Prompts for which the network is called at each time, for images or clips of 4 frames."""
    method = FrameDiffusion(Silent(), PromptEncoder(8, 32), PixelScaling(), frames=4).eval()
    prompts_by_time: dict[float, list[str]] = {}
    inner = method.denoise

    def watched(x: Tensor, time: Tensor, prompts: Sequence[Any], *conditioning: Tensor) -> Tensor:
        prompts_by_time[round(float(time.max()), 3)] = list(prompts)
        return inner(x, time, prompts, *conditioning)

    method.denoise = watched  # type: ignore[method-assign]
    method.sample(request, FrameDiffusionOptions(steps=4, shift=1.0, keyframes=0, **options))
    return prompts_by_time


def of_images() -> Request:
    return Request(["a", "b"], [0, 1], SHAPE)


def of_clips(known: bool) -> Request:
    given, held = torch.zeros(4, *SHAPE, dtype=torch.uint8), torch.zeros(4, *SHAPE, dtype=torch.bool)
    held[0] = True
    more: dict[str, Any] = {"init": [given] * 2, "init_mask": [held] * 2} if known else {}
    return Request(["a", "b"], [0, 1], (4, *SHAPE), local=[torch.arange(4)[:, None] / 8] * 2, **more)


@pytest.mark.parametrize("request_of", [of_images, lambda: of_clips(False), lambda: of_clips(True)])
def test_outside_of_the_interval_nothing_is_predicted_without_the_prompt(request_of: Any) -> None:
    both, alone = ["a", "b", "", ""], ["a", "b"]
    assert prompts_at(request_of()) == {1.0: both, 0.75: both, 0.5: both, 0.25: both}
    interval = prompts_at(request_of(), guidance_from=0.8, guidance_until=0.4)
    assert interval == {1.0: alone, 0.75: both, 0.5: both, 0.25: alone}
    early = prompts_at(request_of(), guidance=1.0, early_guidance=3.0)
    assert early == {1.0: both, 0.75: alone, 0.5: alone, 0.25: alone}


def test_known_frames_guide_at_all_times() -> None:
    """Outside of the interval too, by a term without prompt and one without known frames."""
    prompts_by_time = prompts_at(of_clips(True), context_guidance=2.0, guidance=3.0, guidance_until=0.5)
    two, three = ["a", "b", "", ""], ["a", "b", "", "", "", ""]
    assert prompts_by_time == {1.0: three, 0.75: three, 0.5: three, 0.25: three}
    equal = prompts_at(of_clips(True), context_guidance=2.0, guidance=2.0, guidance_until=0.5)
    assert equal == {1.0: two, 0.75: two, 0.5: two, 0.25: three}
