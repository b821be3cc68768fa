import numpy as np
import pytest

from genai.toy.world.draw import coverage, draw
from genai.toy.world.scene import COLOURS, COMBINATIONS, SHAPES, Scene, Thing, held_out

SOME = [*COMBINATIONS[::23], *held_out(things=2)[0][::997]]


@pytest.mark.parametrize("size", [16, 31, 32, 48, 64])
def test_pictures_follow_from_the_generator(size: int) -> None:
    pictures = draw(SOME, size, np.random.default_rng(3))
    assert pictures.shape == (len(SOME), size, size, 3) and pictures.dtype == np.uint8
    assert np.array_equal(pictures, draw(SOME, size, np.random.default_rng(3)))
    assert np.array_equal(pictures[:5], draw(SOME[:5], size, np.random.default_rng(3)))
    assert not np.array_equal(pictures, draw(SOME, size, np.random.default_rng(4)))


def test_without_jitter_the_palette_is_exact() -> None:
    scene = Scene((Thing("square", "cyan", "large", "centre"),))
    a, b = (draw([scene], 32, np.random.default_rng(seed), jitter=False) for seed in (0, 1))
    assert np.array_equal(a, b)
    assert tuple(a[0, 16, 16]) == COLOURS["cyan"] and tuple(a[0, 0, 0]) == (30, 30, 30)


def test_coverage_has_the_area_of_the_shapes() -> None:
    r = 0.3
    areas = {"circle": np.pi, "square": 1.76**2, "triangle": 1.8, "ring": np.pi * (1 - 0.55**2)}
    areas["cross"] = 4 * 0.33 * 2 - 4 * 0.33**2
    covered = coverage(SHAPES, np.full((5, 2), 0.51, np.float32), np.full(5, r, np.float32), 64)
    assert covered.sum((1, 2)) / 64**2 == pytest.approx([areas[shape] * r**2 for shape in SHAPES], rel=0.02)
    assert ((covered > 0) & (covered < 1)).any((1, 2)).all()  # smooth edges


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize(
    ("relation", "axis", "sign"), [("left of", 2, 1), ("right of", 2, -1), ("above", 1, 1), ("below", 1, -1)]
)
def test_two_things_stand_as_said_apart_and_inside(size: int, relation: str, axis: int, sign: int) -> None:
    scenes = [
        Scene((Thing(a, "red", size_a), Thing(b, "blue", size_b)), relation)
        for a in SHAPES
        for b in SHAPES
        for size_a in ("small", "large")
        for size_b in ("small", "large")
    ]
    pictures = draw(scenes * 3, size, np.random.default_rng(0)).astype(int)
    warm, cold = (pictures[..., i] - pictures[..., j] > 25 for i, j in ((0, 2), (2, 0)))
    other = 3 - axis
    for mine, yours in zip(warm.any(other), cold.any(other), strict=True):  # along the axis of the relation
        first, second = np.flatnonzero(mine), np.flatnonzero(yours)
        assert (first.max() + 1 < second.min()) if sign > 0 else (second.max() + 1 < first.min())
        assert min(first.min(), second.min()) >= int(0.02 * size)
        assert max(first.max(), second.max()) <= 0.98 * size


@pytest.mark.parametrize("scene", [Scene((Thing("ring", "red"),)), Scene((Thing("ring"), Thing("ring")), "above")])
def test_scenes_with_free_attributes_are_refused(scene: Scene) -> None:
    with pytest.raises(ValueError, match="complete"):
        draw([scene], 32, np.random.default_rng(0))


def test_too_small_a_size_is_refused() -> None:
    with pytest.raises(ValueError, match="16"):
        draw(SOME, 15, np.random.default_rng(0))
