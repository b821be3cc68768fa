from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from genai.core.errors import UserError
from genai.media.clip import Clip
from genai.metrics.base import Result, chosen
from genai.metrics.video.corruptions import frozen, shuffled, switched
from genai.toy.data.video import ToyVideo
from genai.toy.metrics.video import Moving
from genai.toy.world.motion import DIRECTIONS, Motion, parse
from genai.toy.world.trajectories import draw
from tests.metrics.video.damaged_clips import after, film, study

SINGLE = {"shape", "colour", "direction", "speed", "direction_45", "identity", "path"}
SHARES = SINGLE | {"fulfilment", "fulfilment_held_out", "strict", "strict_held_out"}


def figures(
    change: Callable[[Motion], Motion] = lambda motion: motion,
    spoil: Callable[[list[Clip]], list[Clip]] = lambda clips: clips,
    things: int = 1,
    **about: Any,
) -> dict[str, Result]:
    """Of a model that shows what it is asked for, after ``change``; ``spoil`` is done to what it shows."""

    def answer(prompts: list[str]) -> list[Clip]:
        clips, _ = draw([change(parse(prompt)) for prompt in prompts], np.random.default_rng(5))
        return spoil([film(pixels) for pixels in clips])

    return Moving().compute(study(ToyVideo(items=10, things=things), answer, **{"n": 32, **about}))


@pytest.mark.parametrize("things", [1, 2])
def test_a_model_that_shows_what_is_asked_for(things: int) -> None:
    found = figures(things=things)
    assert found.keys() == SHARES
    assert all((figure.value or 0) >= (0.96 if things == 1 else 0.8) for figure in found.values()), found
    assert all((figure.beside or 0) >= (0.96 if things == 1 else 0.8) for figure in found.values()), found
    assert "of 32 prompts of trained combinations" in found["fulfilment"].about


@pytest.mark.parametrize(("turn", "near"), [(1, True), (7, True), (2, False), (4, False)])
@pytest.mark.parametrize("things", [1, 2])
def test_a_wrong_direction_is_wrong_alone(turn: int, near: bool, things: int) -> None:
    names = list(DIRECTIONS)

    def turned(motion: Motion) -> Motion:
        ways = [names[(names.index(thing.direction or "") + turn) % 8] for thing in motion.things]
        return Motion(tuple(replace(thing, direction=way) for thing, way in zip(motion.things, ways, strict=True)))

    found = {name: figure.value or 0 for name, figure in figures(turned, things=things, n=16).items()}
    assert found["direction"] <= 0.1 and found["fulfilment"] <= 0.1 and found["fulfilment_held_out"] <= 0.1
    assert (found["direction_45"] > 0.8) if near else (found["direction_45"] <= 0.2)
    assert min(found[name] for name in ("shape", "colour", "speed", "identity", "path")) > 0.8


def test_what_damages_do() -> None:
    still = figures(spoil=lambda clips: after(frozen, clips))
    assert all((still[name].value or 0) > 0.9 for name in ("shape", "colour", "identity"))
    assert still["path"].value == still["strict"].value == 0
    order = figures(spoil=lambda clips: after(shuffled, clips))
    assert (order["shape"].value or 0) > 0.9 and (order["strict"].value or 0) < 0.05 < 0.5 > (order["path"].value or 0)
    other = figures(spoil=lambda clips: after(switched, clips))
    assert (other["identity"].value or 0) < 0.2 and (other["strict"].value or 0) < 0.05


def test_of_other_data_nothing_is_called_held_out() -> None:
    found = figures(own=False, n=8)
    assert "fulfilment_held_out" not in found and "16 prompts of all combinations" in found["strict"].about


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        (lambda frames: frames[..., :1], "grey clips"),
        (lambda frames: frames[:, :8, :8], "not 16 frames of 8 x 8"),
        (lambda frames: frames[:1], "not 1 frames of 32 x 32"),
    ],
)
def test_clips_that_the_world_has_not_are_refused(cut: Callable[[np.ndarray], np.ndarray], said: str) -> None:
    with pytest.raises(UserError, match=said):
        figures(spoil=lambda clips: [Clip(cut(clip.frames), 8.0) for clip in clips], n=4)


def test_it_is_what_the_clips_of_the_world_are_measured_by() -> None:
    metrics, _ = chosen(None, ToyVideo(items=10), own=True)
    assert list(metrics) == ["val_loss", "motion", "moving", "nearest_film"]
    with pytest.raises(UserError, match=r"'nearest' does not fit ToyVideo.*motion, moving, nearest_film"):
        chosen(["nearest"], ToyVideo(items=10), own=True)
