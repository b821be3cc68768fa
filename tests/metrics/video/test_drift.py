from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from genai.core.data import Source
from genai.core.errors import UserError
from genai.metrics.base import EvalContext, Result, chosen
from genai.metrics.video.drift import MOST, Drift
from genai.toy.data.video import ToyVideo
from genai.toy.world.motion import COLOURS, parse
from genai.toy.world.trajectories import draw
from tests.metrics.video.damaged_clips import Reel, film, study

SOURCE = ToyVideo(items=120)
NAMES = ("contrast", "motion", "warp", "shape", "colour")


def shown(prompts: list[str], frames: int = 128) -> np.ndarray:
    """(prompts, frames, 3, 32, 32): what they ask for."""
    return draw([parse(prompt) for prompt in prompts], np.random.default_rng(5), 32, frames)[0]


def looked_at(answer: Callable[[list[str]], np.ndarray], source: Source = SOURCE, **about: Any) -> EvalContext:
    """Of a model that answers prompts with (prompts, time, ...)."""
    looked = study(source, lambda prompts: [film(clip) for clip in answer(prompts)], **about)
    looked.model.modality.frames = 16  # type: ignore[attr-defined]
    return looked


def figures(spoil: Callable[[np.ndarray], np.ndarray] = np.copy, n: int = 6) -> dict[str, Result]:
    """Of a model that shows what it is asked for; ``spoil`` is done to it."""
    return Drift().compute(looked_at(lambda prompts: spoil(shown(prompts)), n=n))


def test_clips_that_go_on_as_they_began_do_not_drift() -> None:
    found = figures(n=12)
    assert list(found) == [f"drift_{name}_{mark}" for name in NAMES[:3] for mark in (16, 32, 64, 128)] + [
        f"drift_{name}_{mark}" for mark in (16, 32, 64, 128) for name in NAMES[3:]
    ]
    for name, figure in found.items():
        tolerance = 0.4 if "motion" in name or "warp" in name else 0.15
        assert figure.value == pytest.approx(figure.beside, rel=tolerance), (name, figure)
    assert (found["drift_shape_128"].value or 0) > 0.9 < (found["drift_colour_128"].value or 0)
    assert "frames 113 to 128 of 12 clips" in found["drift_warp_128"].about


def faded(pixels: np.ndarray) -> np.ndarray:
    """To a third of the contrast from frame 40 on."""
    ground = pixels.mean((3, 4), keepdims=True)
    return np.where(np.arange(128)[:, None, None, None] < 40, pixels, ground + (pixels - ground) / 3).astype(np.uint8)


def frozen(pixels: np.ndarray) -> np.ndarray:
    return pixels[:, np.minimum(np.arange(128), 40)]


def noisy(pixels: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 40, pixels.shape) * (np.arange(128)[:, None, None, None] >= 40)
    return (pixels + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("spoil", "name", "least", "most"),
    [(faded, "contrast", 0.3, 0.4), (frozen, "motion", 0, 0), (noisy, "warp", 2, 20)],
)
def test_what_goes_wrong_later_is_seen_later(
    spoil: Callable[[np.ndarray], np.ndarray], name: str, least: float, most: float
) -> None:
    whole, found = figures(), figures(spoil)
    for mark in (16, 32, 64, 128):
        key = f"drift_{name}_{mark}"
        value, before = found[key].value or 0, whole[key].value or 0
        low, high = (least, most) if mark > 32 else (1, 1)
        assert low * before * 0.999 <= value <= high * before * 1.001, key


def test_another_colour_from_the_middle_on() -> None:
    names = list(COLOURS)

    def answer(prompts: list[str]) -> np.ndarray:
        colours = [parse(prompt).things[0].colour or "" for prompt in prompts]
        others = [
            text.replace(colour, names[names.index(colour) - 1]) for text, colour in zip(prompts, colours, strict=True)
        ]
        return np.concatenate([shown(prompts, 64)[:, :40], shown(others, 64)[:, 40:]], 1)

    found = Drift().compute(looked_at(answer, n=8, options={"frames": 64}))
    assert not any(name.endswith("128") for name in found)
    assert min(found[f"drift_{name}"].value or 0 for name in ("colour_16", "colour_32", "shape_64")) > 0.8
    assert (found["drift_colour_64"].value or 0) < 0.2


def test_long_samples_are_others_than_the_usual_ones() -> None:
    asked: list[int] = []
    looked = looked_at(lambda prompts: asked.append(len(prompts)) or shown(prompts), n=MOST + 1, batch=64)
    looked.samples(["a red circle moving left fast"] * 3)
    Drift().compute(looked)
    assert asked == [3, MOST] and len(looked._drawn) == 1


def test_of_other_data_shapes_and_colours_are_not_asked() -> None:
    reel = Reel(list(np.random.default_rng(0).integers(0, 256, (16, 64, 1, 8, 8), np.uint8)))
    found = Drift().compute(looked_at(lambda prompts: np.stack(reel.clips[:4]), reel, n=4, options={"frames": 64}))
    assert {name.split("_")[1] for name in found} == {"contrast", "motion", "warp"}


def test_what_is_too_short_is_refused() -> None:
    with pytest.raises(UserError, match="32 frames or more, not 16"):
        Drift().compute(looked_at(shown, options={"frames": 16}))


def test_it_is_asked_for_by_name() -> None:
    metrics, _ = chosen(["drift"], SOURCE, own=False)
    assert isinstance(metrics["drift"], Drift) and "drift" not in chosen(None, SOURCE, own=True)[0]
