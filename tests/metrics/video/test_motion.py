from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from genai.core.errors import UserError
from genai.media.clip import Clip
from genai.metrics.video import corruptions
from genai.metrics.video.clips import real_clips, shrink, stack_clips
from genai.metrics.video.motion import MotionStatistics, change_and_warp_error
from genai.toy.data.video import ToyVideo
from tests.stubs import ClipSource, corrupted, make_clip, make_context

SOURCE, OTHERS = ToyVideo(items=240), ToyVideo(items=24, seed=1)
CLIPS = [OTHERS.train[index].media for index in range(24)]


def test_real_clips_are_close_to_the_reference() -> None:
    found = MotionStatistics().compute(make_context(SOURCE, lambda prompts: CLIPS, n=24))
    assert found.keys() == {"motion_ratio", "warp_error", "first_jump"}
    for result in found.values():
        assert result.value == pytest.approx(result.reference, rel=0.4)
    assert found["motion_ratio"].value == pytest.approx(1, abs=0.3)
    assert 0 < (found["motion_ratio"].standard_error or 0) < 0.2


def replace_first_frame(clips: Tensor) -> Tensor:
    """Replace the first frame of each clip with that of another one."""
    return torch.cat([clips.roll(1, 0)[:, :1], clips[:, 1:]], 1)


@pytest.fixture(scope="module")
def baseline() -> tuple[float, float, float]:
    return statistics(lambda clips: clips)


def statistics(corruption: Callable[[Tensor], Tensor]) -> tuple[float, float, float]:
    """Change, warp error and jump."""
    change, warp_error = change_and_warp_error(stack_clips(corrupted(corruption, CLIPS)))
    return float(change.mean()), float(warp_error.mean()), float(warp_error[:, 0].mean() / warp_error[:, 1:].mean())


@pytest.mark.parametrize(
    ("corruption", "minimum", "maximum"),
    [
        (corruptions.shuffle_frames, (2, 1.7, 0.5), (4, 4, 2)),
        (corruptions.repeat_frames, (0.4, 0.2, 0), (0.85, 0.6, 0)),
        (corruptions.freeze, (0.1, 0.1, 1), (0.4, 0.5, 9)),
        (corruptions.reverse, (0.99, 0.9, 0.7), (1.01, 1.1, 1.4)),
        (corruptions.switch_clips, (1.1, 1.4, 0), (2, 4, 1)),
        (corruptions.add_noise, (3, 3, 0.8), (20, 30, 1.2)),
        (corruptions.blur, (0.6, 0.6, 0.8), (1, 1.1, 1.2)),
        (corruptions.flicker, (1.2, 2, 0.8), (5, 9, 1.2)),
        (replace_first_frame, (1.1, 1.4, 5), (3, 3, 99)),
    ],
)
def test_effect_of_corruptions(
    corruption: Callable[[Tensor], Tensor],
    minimum: tuple[float, ...],
    maximum: tuple[float, ...],
    baseline: tuple[float, float, float],
) -> None:
    found = [value / before for value, before in zip(statistics(corruption), baseline, strict=True)]
    assert all(low <= value <= high for low, value, high in zip(minimum, found, maximum, strict=True)), found


def test_warp_error_of_moving_and_appearing_blocks() -> None:
    clip = torch.zeros(2, 5, 3, 32, 32, dtype=torch.uint8)
    for time in range(5):
        clip[0, time, :, 8:16, 8 + 3 * time : 16 + 3 * time] = 255
        clip[1, time, :, 8:16, 8 + 3 * time : 16 + 3 * time] = 255 if time >= 2 else 0
    change, warp_error = change_and_warp_error(clip)
    assert change[0] == pytest.approx([2 * 3 * 8 / 32**2] * 4)
    assert (
        warp_error[0].tolist() == [0, 0, 0, 0]
        and warp_error[1][0] == warp_error[1][2] == warp_error[1][3] == 0 < warp_error[1][1]
    )
    assert change[1][:2] == pytest.approx([0, 8 * 8 / 32**2])


def test_still_clips_have_no_motion() -> None:
    source = ClipSource(list(np.full((8, 4, 1, 8, 8), 100, np.uint8)))
    found = MotionStatistics().compute(
        make_context(source, lambda prompts: [make_clip(source.clips[0])] * len(prompts), n=4)
    )
    assert found["warp_error"].value == 0 and found["first_jump"].value is None and found["motion_ratio"].value == 0


def test_lengths_and_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="3 frames or more, not 2"):
        MotionStatistics().compute(
            make_context(SOURCE, lambda prompts: [Clip(clip.frames[:2], 8.0) for clip in CLIPS], n=4)
        )
    clips = [np.zeros((length, 3, 8, 10), np.uint8) + length for length in (4, 9, 6, 7, 12, 5)]
    packed = (
        make_context(ClipSource([clips[0]] * 4)).train,
        make_context(ClipSource([clips[number // 2] for number in range(12)])).train,
    )
    assert real_clips(packed[1], 6).unique().tolist() == [6, 7, 9, 12]
    assert len(real_clips(packed[1], 6, 3)) == 3
    with pytest.raises(UserError, match="no clip of the data has 6 frames"):
        real_clips(packed[0], 6)
    assert stack_clips([make_clip(clip) for clip in clips[:2]]).shape == (2, 4, 3, 8, 10)
    assert shrink(torch.full((1, 2, 3, 8, 10), 51, dtype=torch.uint8), 5).shape == (1, 2, 3, 4, 5)
    assert shrink(torch.full((1, 2, 3, 8, 10), 51, dtype=torch.uint8), 5).unique().item() == pytest.approx(0.2)
