from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from genai.core.errors import UserError
from genai.media.clip import Clip
from genai.metrics.base import Result
from genai.metrics.video.prediction import Prediction
from genai.toy.data.video import ToyVideo
from tests.metrics.video.damaged_clips import Films, PackedDataset, Reel, film, study

SOURCE = ToyVideo(items=120)


class Continuing:
    """A model that goes on from ``init`` as ``go_on`` says, given all of the clip that begins so."""

    def __init__(self, go_on: Callable[[Clip, np.ndarray], np.ndarray], source: Any = SOURCE) -> None:
        self.modality, self.go_on, self.packed = Films(), go_on, PackedDataset(source.val)
        self.modality.frames = 16  # type: ignore[attr-defined]
        self.asked: list[tuple[str, int, int]] = []

    def sample(self, prompt: str, *, seed: int, init: Clip, frames: int) -> list[Clip]:
        self.asked.append((prompt, seed, frames))
        begun = init.frames.transpose(0, 3, 1, 2)
        whole = next(clip for clip in self.packed.clips if np.array_equal(clip[: len(begun)], begun))
        return [film(np.concatenate([begun, self.go_on(init, whole)]))]


def figures(model: Continuing, source: Any = SOURCE, **about: Any) -> dict[str, Result]:
    looked = study(source, **{"n": 6, **about})
    looked.model = model  # type: ignore[assignment]
    return Prediction().compute(looked)


def standing(figure: Result) -> float:
    return float(figure.about.rpartition(": ")[2])


def test_a_model_that_knows_what_comes() -> None:
    model = Continuing(lambda init, whole: whole[4:])
    found = figures(model)
    assert (found["prediction_psnr"].value or 0) > 75 > 40 > standing(found["prediction_psnr"]) > 10
    assert (
        found["prediction_ssim"].value == pytest.approx(1, abs=1e-4) and 0.2 < standing(found["prediction_ssim"]) < 0.95
    )
    assert "of 12 frames after the 4 given ones of 6 held-out clips" in found["prediction_psnr"].about
    assert model.asked == [(model.packed.prompts[index * 2], index, 16) for index in range(6)]


def test_a_model_that_stands_still_is_as_good_as_standing() -> None:
    found = figures(Continuing(lambda init, whole: whole[3:4].repeat(12, 0)))
    for figure in found.values():
        assert figure.value == pytest.approx(standing(figure), abs=6e-4)


def test_a_model_that_makes_more_or_less_or_nothing() -> None:
    more = figures(Continuing(lambda init, whole: np.concatenate([whole[4:], whole])))
    assert (more["prediction_psnr"].value or 0) > 75 and "of 12 frames" in more["prediction_psnr"].about
    less = figures(Continuing(lambda init, whole: whole[4:9]))
    assert (less["prediction_psnr"].value or 0) > 75 and "of 5 frames" in less["prediction_psnr"].about
    with pytest.raises(UserError, match="adds nothing to what is given"):
        figures(Continuing(lambda init, whole: whole[:0]))


def test_psnr_by_hand_and_no_ssim_of_small_frames() -> None:
    reel = Reel([np.full((16, 1, 8, 8), 20 * number, np.uint8) for number in range(8)])
    found = figures(Continuing(lambda init, whole: whole[4:] + 5, reel), reel)
    assert found.keys() == {"prediction_psnr"}
    assert found["prediction_psnr"].value == pytest.approx(20 * np.log10(255 / 5))
    with pytest.raises(UserError, match="2 frames or more, not 1"):
        figures(Continuing(lambda init, whole: whole, reel), reel, options={"frames": 1})
