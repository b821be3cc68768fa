import numpy as np
import pytest

from genai.toy.world.draw import coverage, render_scenes
from genai.toy.world.scene import COLORS, COMBINATIONS, SHAPES, Scene, Thing, split_scenes

EXAMPLES = [*COMBINATIONS[::23], *split_scenes(things=2)[0][::997]]


@pytest.mark.parametrize("size", [16, 31, 32, 48, 64])
def test_images_depend_only_on_the_seed(size: int) -> None:
    images = render_scenes(EXAMPLES, size, np.random.default_rng(3))
    assert images.shape == (len(EXAMPLES), size, size, 3) and images.dtype == np.uint8
    assert np.array_equal(images, render_scenes(EXAMPLES, size, np.random.default_rng(3)))
    assert np.array_equal(images[:5], render_scenes(EXAMPLES[:5], size, np.random.default_rng(3)))
    assert not np.array_equal(images, render_scenes(EXAMPLES, size, np.random.default_rng(4)))


def test_without_jitter_the_palette_is_exact() -> None:
    scene = Scene((Thing("square", "cyan", "large", "centre"),))
    a, b = (render_scenes([scene], 32, np.random.default_rng(seed), jitter=False) for seed in (0, 1))
    assert np.array_equal(a, b)
    assert tuple(a[0, 16, 16]) == COLORS["cyan"] and tuple(a[0, 0, 0]) == (30, 30, 30)


def test_coverage_has_the_area_of_the_shapes() -> None:
    r = 0.3
    areas = {"circle": np.pi, "square": 1.76**2, "triangle": 1.8, "ring": np.pi * (1 - 0.55**2)}
    areas["cross"] = 4 * 0.33 * 2 - 4 * 0.33**2
    alpha = coverage(SHAPES, np.full((5, 2), 0.51, np.float32), np.full(5, r, np.float32), 64)
    assert alpha.sum((1, 2)) / 64**2 == pytest.approx([areas[shape] * r**2 for shape in SHAPES], rel=0.02)
    assert ((alpha > 0) & (alpha < 1)).any((1, 2)).all()  # smooth edges


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize(
    ("relation", "axis", "sign"), [("left of", 2, 1), ("right of", 2, -1), ("above", 1, 1), ("below", 1, -1)]
)
def test_two_things_have_their_relation_and_a_gap(size: int, relation: str, axis: int, sign: int) -> None:
    scenes = [
        Scene((Thing(a, "red", size_a), Thing(b, "blue", size_b)), relation)
        for a in SHAPES
        for b in SHAPES
        for size_a in ("small", "large")
        for size_b in ("small", "large")
    ]
    images = render_scenes(scenes * 3, size, np.random.default_rng(0)).astype(int)
    red, blue = (images[..., i] - images[..., j] > 25 for i, j in ((0, 2), (2, 0)))
    other = 3 - axis
    for first_mask, second_mask in zip(red.any(other), blue.any(other), strict=True):  # along the axis of the relation
        first, second = np.flatnonzero(first_mask), np.flatnonzero(second_mask)
        assert (first.max() + 1 < second.min()) if sign > 0 else (second.max() + 1 < first.min())
        assert min(first.min(), second.min()) >= int(0.02 * size)
        assert max(first.max(), second.max()) <= 0.98 * size


@pytest.mark.parametrize("scene", [Scene((Thing("ring", "red"),)), Scene((Thing("ring"), Thing("ring")), "above")])
def test_scenes_with_free_attributes_raise(scene: Scene) -> None:
    with pytest.raises(ValueError, match="complete"):
        render_scenes([scene], 32, np.random.default_rng(0))


def test_small_size_raises() -> None:
    with pytest.raises(ValueError, match="16"):
        render_scenes(EXAMPLES, 15, np.random.default_rng(0))
