from itertools import product

import numpy as np
import pytest

from genai.toy.world.motion import (
    ATTRIBUTES,
    COMBINATIONS,
    DIRECTIONS,
    SPEEDS,
    VOCABULARY,
    Motion,
    MovingThing,
    caption_motion,
    complete_motion,
    parse_motion,
    split_motions,
)
from genai.toy.world.scene import COLORS, SHAPES

FREE = (None,)
RED_CIRCLE = MovingThing("circle", "red", "left", "fast")
ALL_THINGS = [MovingThing(*values) for values in product(*(FREE + values for values in ATTRIBUTES.values()))]


def test_directions_and_speeds() -> None:
    angles = [np.degrees(np.arctan2(y, x)) % 360 for x, y in DIRECTIONS.values()]
    assert angles == pytest.approx(np.arange(0, 360, 45))
    assert SPEEDS["fast"][0] > 2 * SPEEDS["slow"][1]


def test_captions_parse_to_their_motion() -> None:
    rng = np.random.default_rng(0)
    assert len(ALL_THINGS) == 6 * 9 * 9 * 3
    for thing in ALL_THINGS:
        for caption in {caption_motion(Motion((thing,)), rng) for _ in range(12)}:
            assert parse_motion(caption) == Motion((thing,)), caption
            assert parse_motion(f"{caption.upper()}!") == Motion((thing,)), caption
    for first, second in rng.integers(len(ALL_THINGS), size=(3000, 2)):
        motion = Motion((ALL_THINGS[first], ALL_THINGS[second]))
        caption = caption_motion(motion, rng)
        assert parse_motion(caption) == motion, caption


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_captions_vary_in_words_and_order(direction: str) -> None:
    rng = np.random.default_rng(0)
    motion = Motion((MovingThing("circle", "red", direction, "fast"),))
    captions = {caption_motion(motion, rng) for _ in range(1000)}
    assert "a red circle moving left fast" in captions or direction != "left"
    words = [tuple(text.replace(",", "").replace("-", " ").split()) for text in captions]
    orders = {tuple(word for word in text if word in ("circle", "red", "fast")) for text in words}
    assert len(captions) >= 15 and len(orders) >= 3
    assert {word for text in words for word in text} <= set(VOCABULARY)
    assert {parse_motion(text) for text in captions} == {motion}


def test_captions_name_only_set_attributes() -> None:
    rng = np.random.default_rng(0)
    captions = {caption_motion(Motion((MovingThing("ring", "orange"),)), rng) for _ in range(200)}
    assert {word for text in captions for word in text.split()} <= set(
        "a an orange ring moving going the is and moves there that".split()
    )
    assert "an orange ring moving" in captions


@pytest.mark.parametrize(
    ("text", "things"),
    [
        ("a red circle moving left fast", (RED_CIRCLE,)),
        ("A RED, quick disc going to the left!", (RED_CIRCLE,)),
        ("red ball flying up and to the right", (MovingThing("circle", "red", "up-right"),)),
        ("a ring travels right and downwards", (MovingThing("ring", None, "down-right"),)),
        ("something goes up", (MovingThing(None, None, "up"),)),
        ("white", (MovingThing(None, "white"),)),
        ("the circle is red and moves left and fast", (RED_CIRCLE,)),
        (
            "a red circle moves left fast while a box goes up and right",
            (RED_CIRCLE, MovingThing("square", None, "up-right")),
        ),
        ("a ring and a slow thing", (MovingThing("ring"), MovingThing(None, None, None, "slow"))),
    ],
)
def test_parse_free_text(text: str, things: tuple[MovingThing, ...]) -> None:
    assert parse_motion(text) == Motion(things)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a red cirle and a dragon", "unknown word 'cirle', did you mean 'circle'"),
        ("a red zebra", "unknown word 'zebra'$"),
        ("a red circle moving lefft", "unknown word 'lefft', did you mean 'left"),
        ("a red circle at the top", "unknown word 'at'"),
        ("", "no thing"),
        ("moving", "no thing"),
        ("a red blue ring", "two values of color: red, blue"),
        ("a ring going left and right", "two values of direction: left, right"),
        ("a slow ring moving fast", "two values of speed: slow, fast"),
        ("a ring, a cross", "two values of shape: ring, cross; two things need an 'and'"),
        ("a ring and a cross and a circle", "not 3"),
    ],
)
def test_parse_errors(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_motion(text)


def test_invalid_motions_raise() -> None:
    with pytest.raises(ValueError, match="direction='top': there are right, down-right"):
        MovingThing("circle", "red", "top")
    for things in ((), (RED_CIRCLE,) * 3):
        with pytest.raises(ValueError, match=f"not {len(things)}"):
            Motion(things)


def test_val_split_is_a_tenth_and_all_values_are_in_train() -> None:
    train, val = split_motions()
    assert len(COMBINATIONS) == len(set(COMBINATIONS)) == len(SHAPES) * len(COLORS) * 8 * 2 == 640
    assert len(val) == 64 and not set(train) & set(val) and set(train) | set(val) == set(COMBINATIONS)
    assert split_motions() == (train, val) and split_motions(seed=8)[1] != val
    for subset in (train, *(split_motions(0.97, seed)[0] for seed in range(3))):
        for name, values in ATTRIBUTES.items():
            assert {getattr(motion.things[0], name) for motion in subset} == set(values)
    with pytest.raises(ValueError, match="fraction"):
        split_motions(0.999)


def test_complete_sets_only_free_attributes() -> None:
    rng = np.random.default_rng(0)
    motions = [complete_motion(Motion((MovingThing("ring", None, "up"), RED_CIRCLE)), rng) for _ in range(300)]
    assert all(motion.is_complete for motion in motions) and not Motion((MovingThing("ring"),)).is_complete
    assert {(motion.things[0].shape, motion.things[0].direction) for motion in motions} == {("ring", "up")}
    assert {motion.things[0].color for motion in motions} == set(COLORS)
    assert {motion.things[1] for motion in motions} == {RED_CIRCLE}
