"""Clips from a given first frame, made by hand: a texture that moves on, becomes blurred, jumps, or stands still."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from genai.core.errors import UserError
from genai.metrics.base import Result
from genai.metrics.video.first_frame import FirstFrame, first_frame_results, frame_details
from tests.metrics.video.test_prediction import ContinuationModel
from tests.stubs import ClipSource, make_context


def moving_texture(seed: int, frames: int = 10) -> Tensor:
    """A smooth texture that moves by half a pixel a frame: (time, 3, 32, 32) uint8."""
    large = torch.rand(1, 3, 16, 50, generator=torch.Generator().manual_seed(seed))
    large = interpolate(large, scale_factor=4, mode="bilinear")  # (1, 3, 64, 200), half pixels
    parts = [avg_pool2d(large[..., time : time + 64], 2) for time in range(frames)]
    return torch.cat(parts).mul(255).round().byte()


CLIPS = torch.stack([moving_texture(seed) for seed in range(4)])


def blurred(frames: Tensor) -> Tensor:
    return avg_pool2d(frames.float().flatten(0, 1), 5, 1, 2, count_include_pad=False).round().byte().view_as(frames)


def results(change: Callable[[Tensor], Tensor]) -> dict[str, float | None]:
    """Measure ``CLIPS`` with the frames after the first changed."""
    samples = torch.cat([CLIPS[:, :1], change(CLIPS[:, 1:])], 1)
    return {name: result.value for name, result in first_frame_results(samples, CLIPS, torch.device("cpu")).items()}


def test_a_texture_that_moves_on_neither_jumps_nor_blurs() -> None:
    for value in results(lambda frames: frames).values():
        assert value == pytest.approx(1, abs=0.12)


def test_a_blur_after_the_first_frame_shows_as_a_jump_and_as_lost_detail() -> None:
    found = results(blurred)
    assert (found["first_jump_i2v"] or 0) > 2
    assert (found["detail_kept_i2v"] or 1) < 0.6 and (found["detail_later_i2v"] or 1) < 0.6


def test_a_blur_that_grows_shows_in_later_frames_alone() -> None:
    found = results(lambda frames: torch.cat([frames[:, :4], blurred(frames[:, 4:])], 1))
    assert found["detail_kept_i2v"] == pytest.approx(1, abs=0.05) and (found["detail_later_i2v"] or 1) < 0.6


def test_another_picture_after_the_first_frame_is_a_jump_without_lost_detail() -> None:
    found = results(lambda frames: frames.roll(1, 0))
    assert (found["first_jump_i2v"] or 0) > 2 and found["detail_kept_i2v"] == pytest.approx(1, abs=0.15)


def test_a_frozen_clip_has_no_motion() -> None:
    found = results(lambda frames: CLIPS[:, :1].expand_as(frames))
    assert found == {"first_jump_i2v": None, "detail_kept_i2v": 1, "detail_later_i2v": 1, "motion_ratio_i2v": 0}


def test_frames_without_any_detail_have_no_ratio() -> None:
    flat = torch.full((2, 4, 1, 8, 8), 90, dtype=torch.uint8)
    assert frame_details(flat).max() < 1e-6
    found = first_frame_results(flat, flat, torch.device("cpu"))
    assert found["detail_kept_i2v"].value is None and found["first_jump_i2v"].value is None


SOURCE = ClipSource([moving_texture(seed, 16).numpy() for seed in range(16)])


def evaluate(predict: Callable[[Any, NDArray[np.uint8]], NDArray[np.uint8]], **fields: Any) -> dict[str, Result]:
    model = ContinuationModel(predict, SOURCE)
    context = make_context(SOURCE, **{"n": 3, **fields})
    context.model = model  # type: ignore[assignment]
    model.method = torch.nn.Identity()  # type: ignore[attr-defined]
    model.method.device = torch.device("cpu")  # type: ignore[attr-defined]
    found = FirstFrame().compute(context)
    assert all(len(frames) == 1 for frames in model.given)
    return found


def test_samples_start_from_the_first_frames_of_held_out_clips() -> None:
    found = evaluate(lambda init, clip: clip[1:])
    for result in found.values():
        assert result.reference is None or result.value == pytest.approx(result.reference)
    assert found["motion_ratio_i2v"].value == 1
    assert "of 3 clips from their first frame" in found["first_jump_i2v"].description


def test_models_that_add_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="continues clips"):
        evaluate(lambda init, clip: clip[:0])
    with pytest.raises(UserError, match="3 frames or more, not 2"):
        evaluate(lambda init, clip: clip, options={"frames": 2})
