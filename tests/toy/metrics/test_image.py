from typing import Any

import numpy as np
import pytest

from genai.media.picture import Picture
from genai.metrics.base import EvalContext
from genai.modalities.image import Image
from genai.toy.data.image import ToyImages
from genai.toy.metrics.image import Obedience
from genai.toy.world.draw import draw
from genai.toy.world.scene import Scene, parse
from tests.metrics.stubs import Model


def study(source: ToyImages, change: Any = lambda scenes: scenes, jitter: bool = True, **about: Any) -> EvalContext:
    """Of a model that draws what it is asked for, after ``change``."""

    def answer(prompts: list[str]) -> list[Picture]:
        scenes = change([parse(prompt) for prompt in prompts])
        return [Picture(pixels) for pixels in draw(scenes, source.size, np.random.default_rng(5), jitter)]

    return EvalContext(Model(Image(source.size), answer), source, **{"n": 100, **about})  # type: ignore[arg-type]


@pytest.mark.parametrize("things", [1, 2])
def test_a_model_that_draws_what_is_asked_for(things: int) -> None:
    figures = Obedience().compute(study(ToyImages(items=40, things=things)))
    shares = {name: figure.value for name, figure in figures.items() if name != "place_spread"}
    attributes = (
        {"shape", "colour", "size", "place"} if things == 1 else {"shape", "colour", "size", "binding", "relation"}
    )
    assert shares.keys() == {"fulfilment", "fulfilment_held_out", "strict", "strict_held_out"} | attributes
    assert all(value is not None and value >= 0.97 for value in shares.values()), shares
    assert all((figure.beside or 0) >= 0.5 for figure in figures.values())
    if things == 1:
        assert figures["place_spread"].value == pytest.approx(figures["place_spread"].beside, rel=0.25)
        assert figures["place_spread"].value == pytest.approx(0.06 * 32 / 12**0.5, rel=0.15)  # uniform in +-0.03


def test_a_model_that_draws_something_else() -> None:
    def turned(scenes: list[Scene]) -> list[Scene]:
        return scenes[1:] + scenes[:1]

    figures = Obedience().compute(study(ToyImages(items=40), turned, n=200))
    assert figures["fulfilment"].value is not None and figures["fulfilment"].value < 0.04
    assert figures["fulfilment"].beside == pytest.approx(1.0, abs=0.02)
    assert figures["shape"].value == pytest.approx(1 / 5, abs=0.1)
    assert figures["shape"].error == pytest.approx((0.2 * 0.8 / 200) ** 0.5, rel=0.25)


def test_a_model_without_variety_has_no_spread() -> None:
    figures = Obedience().compute(study(ToyImages(items=40), jitter=False))
    assert figures["fulfilment"].value == 1.0
    assert figures["place_spread"].value == pytest.approx(0, abs=0.1)


def test_swapped_colours_break_binding_alone() -> None:
    def swapped(scenes: list[Scene]) -> list[Scene]:
        from dataclasses import replace

        pairs = [(s.things[0], s.things[1]) for s in scenes]
        return [
            Scene((replace(a, colour=b.colour), replace(b, colour=a.colour)), s.relation)
            for s, (a, b) in zip(scenes, pairs, strict=True)
        ]

    figures = Obedience().compute(study(ToyImages(items=40, things=2), swapped))
    assert min(figures[name].value or 0 for name in ("shape", "colour")) > 0.95
    assert (figures["binding"].value or 0) < 0.4  # two equal colours or shapes are bound rightly all the same


def test_of_other_data_nothing_is_called_held_out() -> None:
    figures = Obedience().compute(study(ToyImages(items=40), own=False, n=20))
    assert "fulfilment_held_out" not in figures
    assert "40 prompts of all combinations" in figures["fulfilment"].about


def test_prompts_are_fresh_complete_and_of_their_split() -> None:
    source = ToyImages(items=40)
    for split, scenes in ((source.train, source.train_scenes), (source.val, source.val_scenes)):
        prompts = source.prompts(split, 50, 3)
        assert prompts == source.prompts(split, 50, 3) != source.prompts(split, 50, 4)
        assert all(parse(prompt).is_complete and parse(prompt) in scenes for prompt in prompts)
