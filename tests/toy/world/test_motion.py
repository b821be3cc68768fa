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
    Mover,
    caption,
    complete,
    held_out,
    parse,
)
from genai.toy.world.scene import COLOURS, SHAPES

FREE = (None,)
RED_CIRCLE = Mover("circle", "red", "left", "fast")
EVERY = [Mover(*values) for values in product(*(FREE + values for values in ATTRIBUTES.values()))]


def test_directions_are_45_degrees_apart_and_speeds_do_not_meet() -> None:
    angles = [np.degrees(np.arctan2(y, x)) % 360 for x, y in DIRECTIONS.values()]
    assert angles == pytest.approx(np.arange(0, 360, 45))
    assert SPEEDS["fast"][0] > 2 * SPEEDS["slow"][1]


def test_every_caption_of_every_motion_is_read_back() -> None:
    rng = np.random.default_rng(0)
    assert len(EVERY) == 6 * 9 * 9 * 3
    for thing in EVERY:
        for said in {caption(Motion((thing,)), rng) for _ in range(12)}:
            assert parse(said) == Motion((thing,)), said
            assert parse(f"{said.upper()}!") == Motion((thing,)), said
    for first, second in rng.integers(len(EVERY), size=(3000, 2)):
        motion = Motion((EVERY[first], EVERY[second]))
        said = caption(motion, rng)
        assert parse(said) == motion, said


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_captions_vary_in_words_and_in_their_order_and_are_read_back(direction: str) -> None:
    rng = np.random.default_rng(0)
    motion = Motion((Mover("circle", "red", direction, "fast"),))
    said = {caption(motion, rng) for _ in range(1000)}
    assert "a red circle moving left fast" in said or direction != "left"
    words = [tuple(text.replace(",", "").replace("-", " ").split()) for text in said]
    orders = {tuple(word for word in text if word in ("circle", "red", "fast")) for text in words}
    assert len(said) >= 15 and len(orders) >= 3
    assert {word for text in words for word in text} <= set(VOCABULARY)
    assert {parse(text) for text in said} == {motion}


def test_captions_say_what_is_set_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    said = {caption(Motion((Mover("ring", "orange"),)), rng) for _ in range(200)}
    assert {word for text in said for word in text.split()} <= set(
        "a an orange ring moving going the is and moves there that".split()
    )
    assert "an orange ring moving" in said


@pytest.mark.parametrize(
    ("text", "things"),
    [
        ("a red circle moving left fast", (RED_CIRCLE,)),
        ("A RED, quick disc going to the left!", (RED_CIRCLE,)),
        ("red ball flying up and to the right", (Mover("circle", "red", "up-right"),)),
        ("a ring travels right and downwards", (Mover("ring", None, "down-right"),)),
        ("something goes up", (Mover(None, None, "up"),)),
        ("white", (Mover(None, "white"),)),
        ("the circle is red and moves left and fast", (RED_CIRCLE,)),
        (
            "a red circle moves left fast while a box goes up and right",
            (RED_CIRCLE, Mover("square", None, "up-right")),
        ),
        ("a ring and a slow thing", (Mover("ring"), Mover(None, None, None, "slow"))),
    ],
)
def test_what_people_write_is_understood(text: str, things: tuple[Mover, ...]) -> None:
    assert parse(text) == Motion(things)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a red cirle and a dragon", "unknown word 'cirle', did you mean 'circle'"),
        ("a red zebra", "unknown word 'zebra'$"),
        ("a red circle moving lefft", "unknown word 'lefft', did you mean 'left"),
        ("a red circle at the top", "unknown word 'at'"),
        ("", "no thing"),
        ("moving", "no thing"),
        ("a red blue ring", "two values of colour: red, blue"),
        ("a ring going left and right", "two values of direction: left, right"),
        ("a slow ring moving fast", "two values of speed: slow, fast"),
        ("a ring, a cross", "two values of shape: ring, cross; two things need an 'and'"),
        ("a ring and a cross and a circle", "not 3"),
    ],
)
def test_what_cannot_be_understood_is_said(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


def test_impossible_motions_are_refused() -> None:
    with pytest.raises(ValueError, match="direction='top': there are right, down-right"):
        Mover("circle", "red", "top")
    for things in ((), (RED_CIRCLE,) * 3):
        with pytest.raises(ValueError, match=f"not {len(things)}"):
            Motion(things)


def test_held_out_combinations_are_a_tenth_and_leave_every_value_in_training() -> None:
    train, held = held_out()
    assert len(COMBINATIONS) == len(set(COMBINATIONS)) == len(SHAPES) * len(COLOURS) * 8 * 2 == 640
    assert len(held) == 64 and not set(train) & set(held) and set(train) | set(held) == set(COMBINATIONS)
    assert held_out() == (train, held) and held_out(seed=8)[1] != held
    for few in (train, *(held_out(0.97, seed)[0] for seed in range(3))):
        for name, values in ATTRIBUTES.items():
            assert {getattr(motion.things[0], name) for motion in few} == set(values)
    with pytest.raises(ValueError, match="fraction"):
        held_out(0.999)


def test_completing_fills_what_is_free_at_random_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    motions = [complete(Motion((Mover("ring", None, "up"), RED_CIRCLE)), rng) for _ in range(300)]
    assert all(motion.is_complete for motion in motions) and not Motion((Mover("ring"),)).is_complete
    assert {(motion.things[0].shape, motion.things[0].direction) for motion in motions} == {("ring", "up")}
    assert {motion.things[0].colour for motion in motions} == set(COLOURS)
    assert {motion.things[1] for motion in motions} == {RED_CIRCLE}
