from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from genai.core.errors import UserError
from genai.media.clip import Clip
from genai.metrics.video import corruptions as damaged
from genai.metrics.video.clips import real, smaller, stacked
from genai.metrics.video.motion import Motion, looked_at
from genai.toy.data.video import ToyVideo
from tests.metrics.video.damaged_clips import Reel, after, film, study

SOURCE, OTHERS = ToyVideo(items=240), ToyVideo(items=24, seed=1)
CLIPS = [OTHERS.train[index].media for index in range(24)]


def test_real_clips_move_like_real_ones() -> None:
    found = Motion().compute(study(SOURCE, lambda prompts: CLIPS, n=24))
    assert found.keys() == {"motion_ratio", "warp_error", "first_jump"}
    for figure in found.values():
        assert figure.value == pytest.approx(figure.beside, rel=0.4)
    assert found["motion_ratio"].value == pytest.approx(1, abs=0.3)
    assert 0 < (found["motion_ratio"].error or 0) < 0.2


def begun(clips: Tensor) -> Tensor:
    """Clips that leave the frame that they began with."""
    return torch.cat([clips.roll(1, 0)[:, :1], clips[:, 1:]], 1)


@pytest.fixture(scope="module")
def plain() -> tuple[float, float, float]:
    return seen(lambda clips: clips)


def seen(damage: Callable[[Tensor], Tensor]) -> tuple[float, float, float]:
    """Change, warp error and jump."""
    change, left = looked_at(stacked(after(damage, CLIPS)))
    return float(change.mean()), float(left.mean()), float(left[:, 0].mean() / left[:, 1:].mean())


@pytest.mark.parametrize(
    ("damage", "least", "most"),
    [
        (damaged.shuffled, (2, 1.7, 0.5), (4, 4, 2)),
        (damaged.stuttered, (0.4, 0.2, 0), (0.85, 0.6, 0)),
        (damaged.frozen, (0.1, 0.1, 1), (0.4, 0.5, 9)),
        (damaged.backwards, (0.99, 0.9, 0.7), (1.01, 1.1, 1.4)),
        (damaged.switched, (1.1, 1.4, 0), (2, 4, 1)),
        (damaged.noisy, (3, 3, 0.8), (20, 30, 1.2)),
        (damaged.blurred, (0.6, 0.6, 0.8), (1, 1.1, 1.2)),
        (damaged.flickering, (1.2, 2, 0.8), (5, 9, 1.2)),
        (begun, (1.1, 1.4, 5), (3, 3, 99)),
    ],
)
def test_what_damages_do(
    damage: Callable[[Tensor], Tensor],
    least: tuple[float, ...],
    most: tuple[float, ...],
    plain: tuple[float, float, float],
) -> None:
    found = [value / before for value, before in zip(seen(damage), plain, strict=True)]
    assert all(low <= value <= high for low, value, high in zip(least, found, most, strict=True)), found


def test_a_block_that_moves_is_explained_and_one_that_appears_is_not() -> None:
    clip = torch.zeros(2, 5, 3, 32, 32, dtype=torch.uint8)
    for time in range(5):
        clip[0, time, :, 8:16, 8 + 3 * time : 16 + 3 * time] = 255
        clip[1, time, :, 8:16, 8 + 3 * time : 16 + 3 * time] = 255 if time >= 2 else 0
    change, left = looked_at(clip)
    assert change[0] == pytest.approx([2 * 3 * 8 / 32**2] * 4)
    assert left[0].tolist() == [0, 0, 0, 0] and left[1][0] == left[1][2] == left[1][3] == 0 < left[1][1]
    assert change[1][:2] == pytest.approx([0, 8 * 8 / 32**2])


def test_still_clips_have_neither_motion_nor_a_jump() -> None:
    reel = Reel(list(np.full((8, 4, 1, 8, 8), 100, np.uint8)))
    found = Motion().compute(study(reel, lambda prompts: [film(reel.clips[0])] * len(prompts), n=4))
    assert found["warp_error"].value == 0 and found["first_jump"].value is None and found["motion_ratio"].value == 0


def test_lengths_and_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="3 frames or more, not 2"):
        Motion().compute(study(SOURCE, lambda prompts: [Clip(clip.frames[:2], 8.0) for clip in CLIPS], n=4))
    clips = [np.zeros((length, 3, 8, 10), np.uint8) + length for length in (4, 9, 6, 7, 12, 5)]
    packed = study(Reel([clips[0]] * 4)).train, study(Reel([clips[number // 2] for number in range(12)])).train
    assert real(packed[1], 6).unique().tolist() == [6, 7, 9, 12]
    assert len(real(packed[1], 6, 3)) == 3
    with pytest.raises(UserError, match="no clip of the data has 6 frames"):
        real(packed[0], 6)
    assert stacked([film(clip) for clip in clips[:2]]).shape == (2, 4, 3, 8, 10)
    assert smaller(torch.full((1, 2, 3, 8, 10), 51, dtype=torch.uint8), 5).shape == (1, 2, 3, 4, 5)
    assert smaller(torch.full((1, 2, 3, 8, 10), 51, dtype=torch.uint8), 5).unique().item() == pytest.approx(0.2)
