from dataclasses import replace

import numpy as np
import pytest

from genai.toy.world.draw import render_scenes
from genai.toy.world.image_oracle import STRICT_OVERLAP, SceneDetection, detect_scenes, is_scene_match, match_scene
from genai.toy.world.scene import COMBINATIONS, PLACES, Scene, Thing, split_scenes

Images = np.ndarray


def random_pictures(
    things: int, count: int, size: int = 32, noise: float = 0.0, seed: int = 0
) -> tuple[list[Scene], Images]:
    """Shuffled scenes (all combinations of one thing) and pictures of them; ``noise`` is a share of the range."""
    rng = np.random.default_rng(seed)
    pool = list(COMBINATIONS) if things == 1 else split_scenes(things=2)[0]
    scenes = [pool[i] for i in rng.permutation(len(pool))[:count]]
    images = render_scenes(scenes, size, rng)
    return scenes, (images + 255 * noise * rng.standard_normal(images.shape)).clip(0, 255) if noise else images


def match_rates(target: list[Scene], images: Images) -> dict[str, float]:
    """Share of pictures that fulfill each attribute."""
    answers = [match_scene(scene, detection) for scene, detection in zip(target, detect_scenes(images), strict=True)]
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
def test_all_attributes(things: int, size: int, noise: float, least: float) -> None:
    rates = match_rates(*random_pictures(things, 400, size, noise))
    names = ["shape", "color", "size", "place"] if things == 1 else ["shape", "color", "size", "binding", "relation"]
    assert list(rates) == names
    assert all(rate >= least for rate in rates.values()), rates


@pytest.mark.parametrize("things", [1, 2])
def test_shuffled_prompts_match_at_random(things: int) -> None:
    scenes, images = random_pictures(things, 400)
    swapped = scenes[1:] + scenes[:1]
    assert np.mean([is_scene_match(*pair) for pair in zip(swapped, detect_scenes(images), strict=True)]) < 0.02
    chance = {"shape": 1 / 5, "color": 1 / 8, "size": 1 / 2, "place": 1 / 5}
    if things == 1:
        assert match_rates(swapped, images) == pytest.approx(chance, abs=0.08)


@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("kind", ["uniform", "gaussian", "faint", "coarse", "constant", "not finite"])
def test_noise_has_no_scene(kind: str, size: int) -> None:
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
    detections = detect_scenes(images)
    assert np.mean([detection == SceneDetection(None) for detection in detections]) >= 0.99
    assert not any(is_scene_match(scene, detection) for scene, detection in zip(COMBINATIONS, detections, strict=False))


def test_overlap() -> None:
    _, images = random_pictures(1, 400)
    overlaps = np.array([detection.overlap for detection in detect_scenes(images)])
    assert (overlaps > STRICT_OVERLAP).mean() > 0.97
    ragged = images.copy()
    ragged[:, 1::2] = np.roll(images[:, 1::2], 3, axis=2)
    assert (np.array([detection.overlap for detection in detect_scenes(ragged)]) > STRICT_OVERLAP).mean() < 0.5


def test_centers() -> None:
    scenes = [scene for scene in COMBINATIONS if scene.things[0].size == "small"]
    detections = detect_scenes(render_scenes(scenes, 32, np.random.default_rng(0), jitter=False))
    for scene, detection in zip(scenes, detections, strict=True):
        assert detection.centers[0] == pytest.approx(PLACES[scene.things[0].place or ""], abs=0.01)


RED_CIRCLE, BLUE_SQUARE = Thing("circle", "red", "small"), Thing("square", "blue", "large")
PAIR_DETECTION = SceneDetection(Scene((RED_CIRCLE, BLUE_SQUARE), "left of"), 0.9, ((0.3, 0.5), (0.7, 0.5)))
PLAIN_CIRCLE, PLAIN_SQUARE = Thing("circle", "red"), Thing("square", "blue")


@pytest.mark.parametrize(
    ("target", "wrong"),
    [
        (Scene((PLAIN_CIRCLE, PLAIN_SQUARE), "left of"), set()),
        (Scene((PLAIN_SQUARE, PLAIN_CIRCLE), "right of"), set()),
        (Scene((PLAIN_SQUARE, PLAIN_CIRCLE), "left of"), {"relation"}),
        (Scene((PLAIN_CIRCLE, PLAIN_SQUARE), "above"), {"relation"}),
        (Scene((Thing("circle", "blue"), Thing("square", "red")), "left of"), {"binding"}),
        (Scene((Thing("circle", "green"), PLAIN_SQUARE), "left of"), {"color", "binding"}),
        (Scene((replace(RED_CIRCLE, size="large"), replace(BLUE_SQUARE, size="small")), "left of"), {"size"}),
        (Scene((Thing("square"), Thing(None, "blue")), "left of"), {"binding"}),
        (Scene((Thing("circle"), Thing("square")), "left of"), set()),
    ],
)
def test_binding_and_relation_of_two_things(target: Scene, wrong: set[str]) -> None:
    answer = match_scene(target, PAIR_DETECTION)
    assert {name for name, rates in answer.items() if not rates} == wrong
    assert is_scene_match(target, PAIR_DETECTION) == (not wrong)
    assert "binding" in answer or all(thing.color is None for thing in target.things)


def test_size_assigns_similar_things() -> None:
    small, large = RED_CIRCLE, replace(RED_CIRCLE, size="large")
    answer = match_scene(Scene((small, large), "left of"), SceneDetection(Scene((large, small), "left of")))
    assert answer == {"shape": True, "color": True, "size": True, "binding": True, "relation": False}


def test_only_set_attributes_are_checked() -> None:
    detection = SceneDetection(Scene((Thing("ring", "white", "small", "top"),)), 0.9, ((0.5, 0.3),))
    assert match_scene(Scene((Thing("ring", "red"),)), detection) == {"shape": True, "color": False}
    assert match_scene(Scene((Thing(None, None, None, "top"),)), detection) == {"place": True}
    assert match_scene(Scene((Thing("ring"),)), PAIR_DETECTION) == {"shape": False}  # two things are not one
    assert is_scene_match(Scene((Thing(None),)), detection) and not is_scene_match(
        Scene((Thing(None),)), SceneDetection(None)
    )


def test_pictures_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="batch, side, side, 3"):
        detect_scenes(np.zeros((32, 32, 3), np.uint8))
