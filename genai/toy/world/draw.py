"""Pictures of scenes: flat, anti-aliased shapes on dark, tinted backgrounds."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genai.toy.world.scene import COLORS, PLACES, SHAPES, SIZES, Scene

Floats = NDArray[np.float32]

PAIR_SCALE = 0.66
"""Factor on the sizes of two things in one picture."""
MARGIN = 0.02
"""Least free space at the border, as a fraction of the side."""
MIN_GAP = 0.07
"""Least free space between two things, as a fraction of the side."""

_SAMPLES_PER_AXIS = 4  # supersampling of a pixel
_SCENE_RANDOMS, _THING_RANDOMS = 8, 6  # random numbers per scene, and per thing


def render_scenes(
    scenes: Sequence[Scene], size: int, rng: np.random.Generator, jitter: bool = True
) -> NDArray[np.uint8]:
    """Render pictures of complete scenes.

    Args:
        scenes: one per picture.
        size: side in pixels; at least 16.
        rng: each picture takes the same number of random numbers, so the first pictures do not depend on later ones.
        jitter: vary place, size, color and background a little; otherwise they are nominal.

    Returns:
        (scenes, size, size, 3).

    Raises:
        ValueError: for a scene with a free attribute, or less than 16 pixels.
    """
    if size < 16:
        raise ValueError(f"size={size}: at least 16 pixels")
    if incomplete := next((scene for scene in scenes if not scene.is_complete), None):
        raise ValueError(f"only complete scenes can be rendered; this one has free attributes: {incomplete}")
    shape = len(scenes), _SCENE_RANDOMS + 2 * _THING_RANDOMS
    random = rng.random(shape, np.float32) if jitter else np.full(shape, 0.5, np.float32)
    scene_random, thing_random = random[:, :_SCENE_RANDOMS], random[:, _SCENE_RANDOMS:].reshape(-1, 2, _THING_RANDOMS)
    background = _rescale(scene_random[:, :1], 15, 45) + _rescale(scene_random[:, 1:4], -6, 6)
    images = np.broadcast_to(background[:, None, None], (len(scenes), size, size, 3)).copy()
    radius = _thing_radius(scenes, thing_random[..., 0])
    centers = _thing_centers(scenes, radius, scene_random[:, 4:7], thing_random[..., 1:3], size)
    for slot in range(2):
        rows = np.array([row for row, scene in enumerate(scenes) if len(scene.things) > slot], int)
        if not len(rows):
            continue
        things = [scenes[row].things[slot] for row in rows]
        colors = _float_array([COLORS[thing.color or ""] for thing in things])
        colors = colors + _rescale(thing_random[rows, slot, 3:6], -8, 8)
        alpha = coverage([thing.shape or "" for thing in things], centers[rows, slot], radius[rows, slot], size)
        images[rows] += alpha[..., None] * (colors[:, None, None] - images[rows])
    return np.rint(images.clip(0, 255)).astype(np.uint8)


def coverage(shapes: Sequence[str], centers: Floats, radius: Floats, size: int) -> Floats:
    """Compute the fraction of each pixel that a shape covers.

    Args:
        shapes: names, one per picture.
        centers: (pictures, 2), x and y as fractions of the side.
        radius: (pictures,), as fractions of the side.
        size: side in pixels.

    Returns:
        (pictures, size, size) in [0, 1].
    """
    result = np.zeros((len(shapes), size, size), np.float32)
    names = np.asarray(shapes)
    fine_size = size * _SAMPLES_PER_AXIS
    grid: Floats = (np.arange(fine_size, dtype=np.float32) + np.float32(0.5)) / np.float32(fine_size)
    grid = grid.reshape(size, _SAMPLES_PER_AXIS)
    for shape in SHAPES:
        rows = np.flatnonzero(names == shape)
        if not len(rows):
            continue
        xs, ys = ((grid - centers[rows, axis, None, None]) / radius[rows, None, None] for axis in range(2))
        hits = np.zeros((len(rows), size, size), np.uint8)
        for i in range(_SAMPLES_PER_AXIS):
            for j in range(_SAMPLES_PER_AXIS):
                hits += _inside_shape(shape, xs[:, None, :, i], ys[:, :, None, j])
        result[rows] = hits * np.float32(1 / _SAMPLES_PER_AXIS**2)
    return result


def _inside_shape(shape: str, x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Test whether points are in a shape of radius 1; x (n, 1, width) and y (n, height, 1) -> (n, height, width)."""
    if shape == "circle":
        return x * x + y * y < 1
    if shape == "square":
        return (np.abs(x) < 0.88) & (np.abs(y) < 0.88)
    if shape == "triangle":
        return (1.8 * np.abs(x) < y + 1) & (y < 0.8)
    if shape == "ring":
        squared = x * x + y * y
        return (squared < 1) & (squared > 0.55**2)
    abs_x, abs_y = np.abs(x), np.abs(y)
    return ((abs_x < 0.33) & (abs_y < 1)) | ((abs_y < 0.33) & (abs_x < 1))


def _thing_radius(scenes: Sequence[Scene], random: Floats) -> Floats:
    """Return (scenes, 2); 0 if there is no second thing."""
    base_radius = np.zeros((len(scenes), 2), np.float32)
    for row, scene in enumerate(scenes):
        scale = PAIR_SCALE if len(scene.things) == 2 else 1
        for slot, thing in enumerate(scene.things):
            base_radius[row, slot] = SIZES[thing.size or ""] * scale
    return base_radius * _rescale(random, 0.93, 1.07)


def _thing_centers(
    scenes: Sequence[Scene], radius: Floats, scene_random: Floats, thing_random: Floats, size: int
) -> Floats:
    """Return (scenes, 2, 2): x and y of the first and of the second thing."""
    centers = np.zeros((len(scenes), 2, 2), np.float32)
    single = np.array([row for row, scene in enumerate(scenes) if scene.relation is None], int)
    places = [PLACES[scenes[row].things[0].place or ""] for row in single]
    centers[single, 0] = _float_array(places).reshape(-1, 2) + _rescale(thing_random[single, 0], -0.03, 0.03)
    for axis, forward, backward in ((0, "left of", "right of"), (1, "above", "below")):
        for relation, order in ((forward, [0, 1]), (backward, [1, 0])):
            rows = np.array([row for row, scene in enumerate(scenes) if scene.relation == relation], int)
            first_radius, second_radius = radius[rows][:, order].T
            gap = max(MIN_GAP, 2 / size)  # so that one whole pixel between them stays empty
            free_space = 1 - 2 * MARGIN - gap - 2 * (first_radius + second_radius)
            cuts = np.sort(scene_random[rows, :2], axis=1) * free_space[:, None]
            first = MARGIN + cuts[:, 0] + first_radius
            second = first + first_radius + gap + cuts[:, 1] - cuts[:, 0] + second_radius
            centers[rows[:, None], order, axis] = np.stack([first, second], 1)
            offsets = _rescale(scene_random[rows, 2:], -0.12, 0.12) + _rescale(thing_random[rows, :, 0], -0.05, 0.05)
            centers[rows, :, 1 - axis] = 0.5 + offsets
    return centers


def _rescale(random: Floats, low: float, high: float) -> Floats:
    """Map [0, 1] to [low, high]."""
    return random * np.float32(high - low) + np.float32(low)


def _float_array(values: Sequence[Sequence[float]]) -> Floats:
    return np.array(values, np.float32)
