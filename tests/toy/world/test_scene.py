from collections import Counter
from itertools import product

import numpy as np
import pytest

from genai.toy.world.scene import (
    ATTRIBUTES,
    COLORS,
    COMBINATIONS,
    RELATIONS,
    SHAPES,
    SIZES,
    VOCABULARY,
    Scene,
    Thing,
    caption_scene,
    complete_scene,
    drop_attributes,
    parse_scene,
    split_scenes,
)

FREE = (None,)
RED_CIRCLE, BLUE_SQUARE = Thing("circle", "red"), Thing("square", "blue")


def some_pairs(count: int, seed: int = 0) -> list[Scene]:
    """Two-thing scenes with attributes left out at random."""
    rng = np.random.default_rng(seed)
    train, _ = split_scenes(things=2)
    return [drop_attributes(train[index], rng, 0.6) for index in rng.integers(len(train), size=count)]


def test_captions_parse_to_their_scene() -> None:
    rng = np.random.default_rng(0)
    singles = [Scene((Thing(*values),)) for values in product(*(FREE + values for values in ATTRIBUTES.values()))]
    assert len(singles) == 6 * 9 * 3 * 6
    for scene in singles[1:]:
        for caption in {caption_scene(scene, rng) for _ in range(20)}:
            assert parse_scene(caption) == scene, caption
    for scene in some_pairs(1500):
        caption = caption_scene(scene, rng)
        assert parse_scene(caption) == scene, caption


@pytest.mark.parametrize(
    "scene", [COMBINATIONS[0], Scene((Thing("circle", "red", "small"), BLUE_SQUARE), "left of")], ids=["one", "two"]
)
def test_captions_vary_in_words_and_order(scene: Scene) -> None:
    rng = np.random.default_rng(0)
    captions = {caption_scene(scene, rng) for _ in range(1000)}
    orders = {tuple(word for word in text.replace(",", "").split() if word in (*SHAPES, *COLORS)) for text in captions}
    assert len(captions) >= 6 * 3
    assert len(orders) >= 2
    assert {word for text in captions for word in text.replace(",", "").split()} <= set(VOCABULARY)


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
def test_parse_free_text(text: str, scene: Scene) -> None:
    assert parse_scene(text) == scene


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a red cirle and a dragon", "unknown word 'cirle', did you mean 'circle'"),
        ("a red dragon", "unknown word 'dragon'$"),
        ("", "no thing"),
        ("a ring above", "no thing"),
        ("a red blue ring", "two values of color: red, blue"),
        ("a ring and a cross", "need a relation: left of"),
        ("a ring above a cross below a circle", "two relations"),
        ("a ring above a cross on the left", "no places"),
    ],
)
def test_parse_errors(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_scene(text)


@pytest.mark.parametrize(
    ("things", "relation"),
    [((), None), ((RED_CIRCLE,), "above"), ((RED_CIRCLE, BLUE_SQUARE), None), ((RED_CIRCLE,) * 3, "above")],
)
def test_invalid_scenes_raise(things: tuple[Thing, ...], relation: str | None) -> None:
    with pytest.raises(ValueError):
        Scene(things, relation)


def test_unknown_values_raise() -> None:
    with pytest.raises(ValueError, match="color='pink': there are red"):
        Thing("circle", "pink")


def test_val_split_is_a_tenth_and_all_values_are_in_train() -> None:
    train, val = split_scenes()
    assert len(val) == 40 and sorted(map(repr, train + val)) == sorted(map(repr, COMBINATIONS))
    assert len(set(COMBINATIONS)) == 400
    assert split_scenes() == (train, val)
    assert split_scenes(seed=8)[1] != val
    for subset in (train, *(split_scenes(0.97, seed)[0] for seed in range(5))):
        for name, values in ATTRIBUTES.items():
            assert {getattr(scene.things[0], name) for scene in subset} == set(values)
    assert len(split_scenes(0.97)[0]) == 12
    with pytest.raises(ValueError, match="fraction"):
        split_scenes(0.999)


def test_val_pairs_are_a_tenth_in_any_order() -> None:
    def pairs(scenes: list[Scene]) -> set[frozenset[tuple[str | None, str | None]]]:
        return {frozenset((thing.shape, thing.color) for thing in scene.things) for scene in scenes}

    train, val = split_scenes(things=2)
    assert not pairs(train) & pairs(val)
    assert len(pairs(val)) == 82 and len(pairs(train) | pairs(val)) == 40 * 41 // 2
    assert len(set(train + val)) == 40**2 * len(SIZES) ** 2 * len(RELATIONS)
    assert len({kind for pair in pairs(train) for kind in pair}) == 40
    assert all(scene.is_complete for scene in train)


def test_complete_sets_only_free_attributes() -> None:
    rng = np.random.default_rng(0)
    scenes = [complete_scene(Scene((Thing("ring", None, "small"),)), rng) for _ in range(300)]
    assert all(scene.is_complete for scene in scenes)
    assert {(scene.things[0].shape, scene.things[0].size) for scene in scenes} == {("ring", "small")}
    assert {scene.things[0].color for scene in scenes} == set(COLORS)
    pair = complete_scene(Scene((Thing(None), BLUE_SQUARE), "above"), rng)
    assert pair.is_complete and pair.things[1].color == "blue" and pair.relation == "above"


def test_drop_attributes_keeps_a_fraction_and_at_least_one() -> None:
    rng = np.random.default_rng(0)
    scene = COMBINATIONS[123]
    hidden = [drop_attributes(scene, rng, 0.7).things[0] for _ in range(1000)]
    counts = Counter(name for thing in hidden for name in ATTRIBUTES if getattr(thing, name) is not None)
    assert all(0.65 < counts[name] / 1000 < 0.75 for name in ATTRIBUTES)
    assert all(getattr(t, name) in (None, getattr(scene.things[0], name)) for t in hidden for name in ATTRIBUTES)
    assert drop_attributes(scene, rng, 1) == scene
    assert drop_attributes(scene, rng, 0) == Scene((Thing(scene.things[0].shape),))
