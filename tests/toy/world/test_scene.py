from collections import Counter
from itertools import product

import numpy as np
import pytest

from genai.toy.world.scene import (
    ATTRIBUTES,
    COLOURS,
    COMBINATIONS,
    RELATIONS,
    SHAPES,
    SIZES,
    VOCABULARY,
    Scene,
    Thing,
    caption,
    complete,
    held_out,
    hide,
    parse,
)

FREE = (None,)
RED_CIRCLE, BLUE_SQUARE = Thing("circle", "red"), Thing("square", "blue")


def some_pairs(count: int, seed: int = 0) -> list[Scene]:
    """Two-thing scenes with attributes left out at random."""
    rng = np.random.default_rng(seed)
    train, _ = held_out(things=2)
    return [hide(train[index], rng, 0.6) for index in rng.integers(len(train), size=count)]


def test_every_caption_of_every_scene_is_read_back() -> None:
    rng = np.random.default_rng(0)
    alone = [Scene((Thing(*values),)) for values in product(*(FREE + values for values in ATTRIBUTES.values()))]
    assert len(alone) == 6 * 9 * 3 * 6
    for scene in alone[1:]:
        for said in {caption(scene, rng) for _ in range(20)}:
            assert parse(said) == scene, said
    for scene in some_pairs(1500):
        said = caption(scene, rng)
        assert parse(said) == scene, said


@pytest.mark.parametrize(
    "scene", [COMBINATIONS[0], Scene((Thing("circle", "red", "small"), BLUE_SQUARE), "left of")], ids=["one", "two"]
)
def test_captions_vary_in_words_and_in_their_order(scene: Scene) -> None:
    rng = np.random.default_rng(0)
    said = {caption(scene, rng) for _ in range(1000)}
    orders = {tuple(word for word in text.replace(",", "").split() if word in (*SHAPES, *COLOURS)) for text in said}
    assert len(said) >= 6 * 3
    assert len(orders) >= 2
    assert {word for text in said for word in text.replace(",", "").split()} <= set(VOCABULARY)


@pytest.mark.parametrize(
    ("text", "scene"),
    [
        ("A SMALL, red Circle on the left of the picture!", Scene((Thing("circle", "red", "small", "left"),))),
        ("there's an orange hoop in the middle", Scene((Thing("ring", "orange", None, "centre"),))),
        ("big disc", Scene((Thing("circle", None, "large"),))),
        ("something white", Scene((Thing(None, "white"),))),
        ("Red circle, to the left of the blue box.", Scene((RED_CIRCLE, BLUE_SQUARE), "left of")),
        ("beneath a blue square there is a red circle", Scene((RED_CIRCLE, BLUE_SQUARE), "below")),
    ],
)
def test_what_people_write_is_understood(text: str, scene: Scene) -> None:
    assert parse(text) == scene


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a red cirle and a dragon", "unknown word 'cirle', did you mean 'circle'"),
        ("a red dragon", "unknown word 'dragon'$"),
        ("", "no thing"),
        ("a ring above", "no thing"),
        ("a red blue ring", "two values of colour: red, blue"),
        ("a ring and a cross", "need a relation: left of"),
        ("a ring above a cross below a circle", "two relations"),
        ("a ring above a cross on the left", "no places"),
    ],
)
def test_what_cannot_be_understood_is_said(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("things", "relation"),
    [((), None), ((RED_CIRCLE,), "above"), ((RED_CIRCLE, BLUE_SQUARE), None), ((RED_CIRCLE,) * 3, "above")],
)
def test_impossible_scenes_are_refused(things: tuple[Thing, ...], relation: str | None) -> None:
    with pytest.raises(ValueError):
        Scene(things, relation)


def test_unknown_values_are_refused() -> None:
    with pytest.raises(ValueError, match="colour='pink': there are red"):
        Thing("circle", "pink")


def test_held_out_combinations_are_a_tenth_and_leave_every_value_in_training() -> None:
    train, held = held_out()
    assert len(held) == 40 and sorted(map(repr, train + held)) == sorted(map(repr, COMBINATIONS))
    assert len(set(COMBINATIONS)) == 400
    assert held_out() == (train, held)
    assert held_out(seed=8)[1] != held
    for few in (train, *(held_out(0.97, seed)[0] for seed in range(5))):
        for name, values in ATTRIBUTES.items():
            assert {getattr(scene.things[0], name) for scene in few} == set(values)
    assert len(held_out(0.97)[0]) == 12
    with pytest.raises(ValueError, match="fraction"):
        held_out(0.999)


def test_held_out_pairs_are_a_tenth_in_either_order() -> None:
    def pairs(scenes: list[Scene]) -> set[frozenset[tuple[str | None, str | None]]]:
        return {frozenset((thing.shape, thing.colour) for thing in scene.things) for scene in scenes}

    train, held = held_out(things=2)
    assert not pairs(train) & pairs(held)
    assert len(pairs(held)) == 82 and len(pairs(train) | pairs(held)) == 40 * 41 // 2
    assert len(set(train + held)) == 40**2 * len(SIZES) ** 2 * len(RELATIONS)
    assert len({kind for pair in pairs(train) for kind in pair}) == 40
    assert all(scene.is_complete for scene in train)


def test_completing_fills_what_is_free_at_random_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    scenes = [complete(Scene((Thing("ring", None, "small"),)), rng) for _ in range(300)]
    assert all(scene.is_complete for scene in scenes)
    assert {(scene.things[0].shape, scene.things[0].size) for scene in scenes} == {("ring", "small")}
    assert {scene.things[0].colour for scene in scenes} == set(COLOURS)
    pair = complete(Scene((Thing(None), BLUE_SQUARE), "above"), rng)
    assert pair.is_complete and pair.things[1].colour == "blue" and pair.relation == "above"


def test_hiding_keeps_a_share_and_never_all_is_lost() -> None:
    rng = np.random.default_rng(0)
    scene = COMBINATIONS[123]
    hidden = [hide(scene, rng, 0.7).things[0] for _ in range(1000)]
    kept = Counter(name for thing in hidden for name in ATTRIBUTES if getattr(thing, name) is not None)
    assert all(0.65 < kept[name] / 1000 < 0.75 for name in ATTRIBUTES)
    assert all(getattr(t, name) in (None, getattr(scene.things[0], name)) for t in hidden for name in ATTRIBUTES)
    assert hide(scene, rng, 1) == scene
    assert hide(scene, rng, 0) == Scene((Thing(scene.things[0].shape),))
