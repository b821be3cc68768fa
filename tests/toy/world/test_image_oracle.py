from dataclasses import replace

import numpy as np
import pytest

from genai.toy.world.draw import draw
from genai.toy.world.image_oracle import STRICT, Reading, all_right, fulfilled, read
from genai.toy.world.scene import COMBINATIONS, PLACES, Scene, Thing, held_out

Pictures = np.ndarray


def drawn(things: int, count: int, size: int = 32, noise: float = 0.0, seed: int = 0) -> tuple[list[Scene], Pictures]:
    """Shuffled scenes (all combinations of one thing) and pictures of them; ``noise`` is a share of the range."""
    rng = np.random.default_rng(seed)
    pool = list(COMBINATIONS) if things == 1 else held_out(things=2)[0]
    scenes = [pool[i] for i in rng.permutation(len(pool))[:count]]
    pictures = draw(scenes, size, rng)
    return scenes, (pictures + 255 * noise * rng.standard_normal(pictures.shape)).clip(0, 255) if noise else pictures


def rates(asked: list[Scene], pictures: Pictures) -> dict[str, float]:
    """Share of pictures that fulfil each attribute."""
    answers = [fulfilled(scene, reading) for scene, reading in zip(asked, read(pictures), strict=True)]
    return {name: float(np.mean([answer[name] for answer in answers])) for name in answers[0]}


@pytest.mark.parametrize(
    ("things", "size", "noise", "least"),
    [
        (1, 32, 0.0, 0.99),
        (1, 32, 0.05, 0.95),
        (1, 32, 0.1, 0.95),
        (1, 16, 0.0, 0.95),
        (1, 48, 0.0, 0.99),
        (1, 64, 0.0, 0.99),
        (2, 32, 0.0, 0.98),
        (2, 32, 0.05, 0.95),
        (2, 48, 0.0, 0.98),
    ],
)
def test_every_attribute_is_read_back(things: int, size: int, noise: float, least: float) -> None:
    right = rates(*drawn(things, 400, size, noise))
    names = ["shape", "colour", "size", "place"] if things == 1 else ["shape", "colour", "size", "binding", "relation"]
    assert list(right) == names
    assert all(share >= least for share in right.values()), right


@pytest.mark.parametrize("things", [1, 2])
def test_swapped_prompts_are_fulfilled_by_chance(things: int) -> None:
    scenes, pictures = drawn(things, 400)
    swapped = scenes[1:] + scenes[:1]
    assert np.mean([all_right(*pair) for pair in zip(swapped, read(pictures), strict=True)]) < 0.02
    chance = {"shape": 1 / 5, "colour": 1 / 8, "size": 1 / 2, "place": 1 / 5}
    if things == 1:
        assert rates(swapped, pictures) == pytest.approx(chance, abs=0.08)


@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("kind", ["uniform", "gaussian", "faint", "coarse", "constant", "not finite"])
def test_nothing_is_read_where_nothing_is(kind: str, size: int) -> None:
    rng = np.random.default_rng(0)
    shape = (200, size, size, 3)
    images = {
        "uniform": 255 * rng.random(shape),
        "gaussian": (128 + 50 * rng.standard_normal(shape)).clip(0, 255),
        "faint": 30 + 12 * rng.standard_normal(shape),
        "coarse": 255 * rng.random((200, 8, 8, 3)).repeat(size // 8, 1).repeat(size // 8, 2),
        "constant": np.broadcast_to(255 * rng.random((200, 1, 1, 3)), shape),
        "not finite": np.full(shape, np.nan),
    }[kind]
    readings = read(images)
    assert np.mean([reading == Reading(None) for reading in readings]) >= 0.99
    assert not any(all_right(scene, reading) for scene, reading in zip(COMBINATIONS, readings, strict=False))


def test_overlap_is_high_on_drawings_and_falls_with_the_outline() -> None:
    _, pictures = drawn(1, 400)
    overlaps = np.array([reading.overlap for reading in read(pictures)])
    assert (overlaps > STRICT).mean() > 0.97
    ragged = pictures.copy()
    ragged[:, 1::2] = np.roll(pictures[:, 1::2], 3, axis=2)
    assert (np.array([reading.overlap for reading in read(ragged)]) > STRICT).mean() < 0.5


def test_centres_are_where_things_were_put() -> None:
    scenes = [scene for scene in COMBINATIONS if scene.things[0].size == "small"]
    readings = read(draw(scenes, 32, np.random.default_rng(0), jitter=False))
    for scene, reading in zip(scenes, readings, strict=True):
        assert reading.centres[0] == pytest.approx(PLACES[scene.things[0].place or ""], abs=0.01)


RED_CIRCLE, BLUE_SQUARE = Thing("circle", "red", "small"), Thing("square", "blue", "large")
SEEN = Reading(Scene((RED_CIRCLE, BLUE_SQUARE), "left of"), 0.9, ((0.3, 0.5), (0.7, 0.5)))
PLAIN_CIRCLE, PLAIN_SQUARE = Thing("circle", "red"), Thing("square", "blue")


@pytest.mark.parametrize(
    ("asked", "wrong"),
    [
        (Scene((PLAIN_CIRCLE, PLAIN_SQUARE), "left of"), set()),
        (Scene((PLAIN_SQUARE, PLAIN_CIRCLE), "right of"), set()),
        (Scene((PLAIN_SQUARE, PLAIN_CIRCLE), "left of"), {"relation"}),
        (Scene((PLAIN_CIRCLE, PLAIN_SQUARE), "above"), {"relation"}),
        (Scene((Thing("circle", "blue"), Thing("square", "red")), "left of"), {"binding"}),
        (Scene((Thing("circle", "green"), PLAIN_SQUARE), "left of"), {"colour", "binding"}),
        (Scene((replace(RED_CIRCLE, size="large"), replace(BLUE_SQUARE, size="small")), "left of"), {"size"}),
        (Scene((Thing("square"), Thing(None, "blue")), "left of"), {"binding"}),
        (Scene((Thing("circle"), Thing("square")), "left of"), set()),
    ],
)
def test_binding_and_relation_of_two_things(asked: Scene, wrong: set[str]) -> None:
    answer = fulfilled(asked, SEEN)
    assert {name for name, right in answer.items() if not right} == wrong
    assert all_right(asked, SEEN) == (not wrong)
    assert "binding" in answer or all(thing.colour is None for thing in asked.things)


def test_of_two_alike_the_size_tells_which_is_meant() -> None:
    small, large = RED_CIRCLE, replace(RED_CIRCLE, size="large")
    answer = fulfilled(Scene((small, large), "left of"), Reading(Scene((large, small), "left of")))
    assert answer == {"shape": True, "colour": True, "size": True, "binding": True, "relation": False}


def test_only_what_was_asked_is_judged() -> None:
    seen = Reading(Scene((Thing("ring", "white", "small", "top"),)), 0.9, ((0.5, 0.3),))
    assert fulfilled(Scene((Thing("ring", "red"),)), seen) == {"shape": True, "colour": False}
    assert fulfilled(Scene((Thing(None, None, None, "top"),)), seen) == {"place": True}
    assert fulfilled(Scene((Thing("ring"),)), SEEN) == {"shape": False}  # two things are not one
    assert all_right(Scene((Thing(None),)), seen) and not all_right(Scene((Thing(None),)), Reading(None))


def test_pictures_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="batch, side, side, 3"):
        read(np.zeros((32, 32, 3), np.uint8))
