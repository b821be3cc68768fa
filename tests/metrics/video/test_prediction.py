from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from genai.core.errors import UserError
from genai.media.clip import Clip
from genai.metrics.base import Result
from genai.metrics.video.prediction import ClipPrediction
from genai.toy.data.video import ToyVideo
from tests.stubs import ClipModality, ClipSource, PackedClips, make_clip, make_context

SOURCE = ToyVideo(items=120)


class ContinuationModel:
    """Model that continues ``init`` with ``predict(init, clip)``, where ``clip`` is the real clip."""

    def __init__(self, predict: Callable[[Clip, np.ndarray], np.ndarray], source: Any = SOURCE) -> None:
        self.modality, self.predict, self.packed = ClipModality(), predict, PackedClips(source.val)
        self.calls: list[tuple[str, int, int]] = []
        self.given: list[np.ndarray] = []

    def sample(self, prompt: str, *, seed: int, init: Clip, frames: int) -> list[Clip]:
        self.calls.append((prompt, seed, frames))
        self.given.append(init.frames)
        given = init.frames.transpose(0, 3, 1, 2)
        clip = next(clip for clip in self.packed.clips if np.array_equal(clip[: len(given)], given))
        return [make_clip(np.concatenate([given, self.predict(init, clip)]))]


def results(model: ContinuationModel, source: Any = SOURCE, **fields: Any) -> dict[str, Result]:
    context = make_context(source, **{"n": 6, **fields})
    context.model = model  # type: ignore[assignment]
    return ClipPrediction().compute(context)


def baseline(result: Result) -> float:
    return float(result.description.rpartition(": ")[2])


def test_perfect_prediction() -> None:
    model = ContinuationModel(lambda init, clip: clip[4:])
    found = results(model)
    assert (found["prediction_psnr"].value or 0) > 75 > 40 > baseline(found["prediction_psnr"]) > 10
    assert (
        found["prediction_ssim"].value == pytest.approx(1, abs=1e-4) and 0.2 < baseline(found["prediction_ssim"]) < 0.95
    )
    assert "of 12 frames after the 4 given ones of 6 held-out clips" in found["prediction_psnr"].description
    assert model.calls == [(model.packed.prompts[index * 2], index, 16) for index in range(6)]


def test_repeating_the_last_frame_equals_the_baseline() -> None:
    found = results(ContinuationModel(lambda init, clip: clip[3:4].repeat(12, 0)))
    for result in found.values():
        assert result.value == pytest.approx(baseline(result), abs=6e-4)


def test_longer_shorter_and_empty_predictions() -> None:
    more = results(ContinuationModel(lambda init, clip: np.concatenate([clip[4:], clip])))
    assert (more["prediction_psnr"].value or 0) > 75 and "of 12 frames" in more["prediction_psnr"].description
    less = results(ContinuationModel(lambda init, clip: clip[4:9]))
    assert (less["prediction_psnr"].value or 0) > 75 and "of 5 frames" in less["prediction_psnr"].description
    with pytest.raises(UserError, match="adds nothing to what is given"):
        results(ContinuationModel(lambda init, clip: clip[:0]))


def test_psnr_value_and_no_ssim_for_small_frames() -> None:
    source = ClipSource([np.full((16, 1, 8, 8), 20 * number, np.uint8) for number in range(8)])
    found = results(ContinuationModel(lambda init, clip: clip[4:] + 5, source), source)
    assert found.keys() == {"prediction_psnr"}
    assert found["prediction_psnr"].value == pytest.approx(20 * np.log10(255 / 5))
    with pytest.raises(UserError, match="2 frames or more, not 1"):
        results(ContinuationModel(lambda init, clip: clip, source), source, options={"frames": 1})
