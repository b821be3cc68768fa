from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from genai.media.picture import Picture
from genai.metrics.base import EvalContext
from genai.modalities.image import Image
from genai.toy.data.image import ToyImages
from genai.toy.metrics.image import ScenePromptAccuracy
from genai.toy.world.draw import render_scenes
from genai.toy.world.scene import COLORS, Scene, parse_scene
from tests.stubs import StubModel


def context(
    source: ToyImages, change: Any = lambda scenes: scenes, jitter: bool = True, **description: Any
) -> EvalContext:
    """Of a model that draws what it is asked for, after ``change``."""

    def answer(prompts: list[str]) -> list[Picture]:
        scenes = change([parse_scene(prompt) for prompt in prompts])
        return [Picture(pixels) for pixels in render_scenes(scenes, source.size, np.random.default_rng(5), jitter)]

    return EvalContext(StubModel(Image(source.size), answer), source, **{"n": 100, **description})  # type: ignore[arg-type]


@pytest.mark.parametrize("things", [1, 2])
def test_perfect_model(things: int) -> None:
    results = ScenePromptAccuracy().compute(context(ToyImages(items=40, things=things)))
    shares = {
        name: result.value for name, result in results.items() if name not in ("place_spread", "relation_shuffled")
    }
    attributes = (
        {"shape", "color", "size", "place"} if things == 1 else {"shape", "color", "size", "binding", "relation"}
    )
    assert shares.keys() == {"fulfilment", "fulfilment_held_out", "strict", "strict_held_out"} | attributes
    assert all(value is not None and value >= 0.97 for value in shares.values()), shares
    assert all((result.reference or 0) >= 0.5 for name, result in results.items() if name != "relation_shuffled")
    if things == 2:
        assert results["relation_shuffled"].value == pytest.approx(1 / 4, abs=0.15)
    else:
        assert results["place_spread"].value == pytest.approx(results["place_spread"].reference, rel=0.25)
        assert results["place_spread"].value == pytest.approx(0.06 * 32 / 12**0.5, rel=0.15)  # uniform in +-0.03


def test_model_that_ignores_prompts() -> None:
    def rolled(scenes: list[Scene]) -> list[Scene]:
        return scenes[1:] + scenes[:1]

    results = ScenePromptAccuracy().compute(context(ToyImages(items=40), rolled, n=200))
    assert results["fulfilment"].value is not None and results["fulfilment"].value < 0.04
    assert results["fulfilment"].reference == pytest.approx(1.0, abs=0.02)
    assert results["shape"].value == pytest.approx(1 / 5, abs=0.1)
    assert results["shape"].standard_error == pytest.approx((0.2 * 0.8 / 200) ** 0.5, rel=0.25)


def test_model_without_jitter_has_no_spread() -> None:
    results = ScenePromptAccuracy().compute(context(ToyImages(items=40), jitter=False))
    assert results["fulfilment"].value == 1.0
    assert results["place_spread"].value == pytest.approx(0, abs=0.1)


def test_swapped_colors_break_only_binding() -> None:
    def swapped(scenes: list[Scene]) -> list[Scene]:
        pairs = [(s.things[0], s.things[1]) for s in scenes]
        return [
            Scene((replace(a, color=b.color), replace(b, color=a.color)), s.relation)
            for s, (a, b) in zip(scenes, pairs, strict=True)
        ]

    results = ScenePromptAccuracy().compute(context(ToyImages(items=40, things=2), swapped))
    assert min(results[name].value or 0 for name in ("shape", "color")) > 0.95
    assert (results["binding"].value or 0) < 0.4  # two equal colors or shapes are bound rightly all the same


def test_the_relation_is_counted_where_both_things_are_shown() -> None:
    def changed(scenes: list[Scene]) -> list[Scene]:
        """Every second picture shows the wrong relation, every third one other colors."""
        inverse = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
        result = []
        for number, scene in enumerate(scenes):
            a, b = scene.things
            relation = inverse[scene.relation or ""] if number % 2 else scene.relation
            a = replace(a, color=next(c for c in COLORS if c not in (a.color, b.color))) if number % 3 == 0 else a
            result.append(Scene((a, b), relation))
        return result

    results = ScenePromptAccuracy().compute(context(ToyImages(items=40, things=2), changed, n=120))
    assert results["binding"].value == pytest.approx(2 / 3, abs=0.05)
    assert results["relation"].value == pytest.approx(1 / 2, abs=0.1)
    count = round((results["binding"].value or 0) * 120)
    assert f"of the {count} samples" in results["relation"].description


def test_other_data_have_no_held_out_results() -> None:
    results = ScenePromptAccuracy().compute(context(ToyImages(items=40), own_data=False, n=20))
    assert "fulfilment_held_out" not in results
    assert "40 prompts of all combinations" in results["fulfilment"].description


def test_prompts_are_new_complete_and_from_their_split() -> None:
    source = ToyImages(items=40)
    for split, scenes in ((source.train, source.scenes["train"]), (source.val, source.scenes["val"])):
        prompts = source.prompts(split, 50, 3)
        assert prompts == source.prompts(split, 50, 3) != source.prompts(split, 50, 4)
        assert all(parse_scene(prompt).is_complete and parse_scene(prompt) in scenes for prompt in prompts)
