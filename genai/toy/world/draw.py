"""Pictures of scenes: flat shapes with smooth edges on dark, tinted grounds."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genai.toy.world.scene import COLOURS, PLACES, SHAPES, SIZES, Scene

Floats = NDArray[np.float32]

PAIR = 0.66
"""Scale of the sizes where two things share a picture."""
MARGIN = 0.02
GAP = 0.07
"""Least free space at the border and between two things, as a share of the side."""

_SUPERSAMPLING = 4
_DRAWN_ONCE, _DRAWN_PER_THING = 8, 6


def draw(scenes: Sequence[Scene], size: int, rng: np.random.Generator, jitter: bool = True) -> NDArray[np.uint8]:
    """Pictures of complete scenes.

    Args:
        scenes: one a picture.
        size: of a side, in pixels; at least 16.
        rng: each picture takes the same count of numbers from it, so the first pictures do not depend on later ones.
        jitter: vary place, size, colour and ground a little; otherwise they are as ``scene`` has them.

    Returns:
        (scenes, size, size, 3).

    Raises:
        ValueError: a scene with a free attribute; fewer than 16 pixels.
    """
    if size < 16:
        raise ValueError(f"size={size}: at least 16 pixels")
    if incomplete := next((scene for scene in scenes if not scene.is_complete), None):
        raise ValueError(f"only complete scenes can be drawn; this one leaves attributes free: {incomplete}")
    shape = len(scenes), _DRAWN_ONCE + 2 * _DRAWN_PER_THING
    random = rng.random(shape, np.float32) if jitter else np.full(shape, 0.5, np.float32)
    once, each = random[:, :_DRAWN_ONCE], random[:, _DRAWN_ONCE:].reshape(-1, 2, _DRAWN_PER_THING)
    ground = _between(once[:, :1], 15, 45) + _between(once[:, 1:4], -6, 6)
    pictures = np.broadcast_to(ground[:, None, None], (len(scenes), size, size, 3)).copy()
    radii = _radii(scenes, each[..., 0])
    centres = _centres(scenes, radii, once[:, 4:7], each[..., 1:3], size)
    for slot in range(2):
        rows = np.array([row for row, scene in enumerate(scenes) if len(scene.things) > slot], int)
        if not len(rows):
            continue
        things = [scenes[row].things[slot] for row in rows]
        colours = _array([COLOURS[thing.colour or ""] for thing in things]) + _between(each[rows, slot, 3:6], -8, 8)
        covered = coverage([thing.shape or "" for thing in things], centres[rows, slot], radii[rows, slot], size)
        pictures[rows] += covered[..., None] * (colours[:, None, None] - pictures[rows])
    return np.rint(pictures.clip(0, 255)).astype(np.uint8)


def coverage(shapes: Sequence[str], centres: Floats, radii: Floats, size: int) -> Floats:
    """How much of each pixel a shape covers.

    Args:
        shapes: names, one a picture.
        centres: (pictures, 2), x and y as shares of the side.
        radii: (pictures,), as shares of the side.
        size: of a side, in pixels.

    Returns:
        (pictures, size, size) in 0..1.
    """
    out = np.zeros((len(shapes), size, size), np.float32)
    names = np.asarray(shapes)
    fine = size * _SUPERSAMPLING
    grid: Floats = (np.arange(fine, dtype=np.float32) + np.float32(0.5)) / np.float32(fine)
    grid = grid.reshape(size, _SUPERSAMPLING)
    for shape in SHAPES:
        rows = np.flatnonzero(names == shape)
        if not len(rows):
            continue
        xs, ys = ((grid - centres[rows, axis, None, None]) / radii[rows, None, None] for axis in range(2))
        hits = np.zeros((len(rows), size, size), np.uint8)
        for i in range(_SUPERSAMPLING):
            for j in range(_SUPERSAMPLING):
                hits += _inside(shape, xs[:, None, :, i], ys[:, :, None, j])
        out[rows] = hits * np.float32(1 / _SUPERSAMPLING**2)
    return out


def _inside(shape: str, x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Whether points are in a shape of radius 1; x (n, 1, width) and y (n, height, 1) -> (n, height, width)."""
    if shape == "circle":
        return x * x + y * y < 1
    if shape == "square":
        return (np.abs(x) < 0.88) & (np.abs(y) < 0.88)
    if shape == "triangle":
        return (1.8 * np.abs(x) < y + 1) & (y < 0.8)
    if shape == "ring":
        squared = x * x + y * y
        return (squared < 1) & (squared > 0.55**2)
    wide, high = np.abs(x), np.abs(y)
    return ((wide < 0.33) & (high < 1)) | ((high < 0.33) & (wide < 1))


def _radii(scenes: Sequence[Scene], random: Floats) -> Floats:
    """(scenes, 2); 0 where there is no second thing."""
    nominal = np.zeros((len(scenes), 2), np.float32)
    for row, scene in enumerate(scenes):
        scale = PAIR if len(scene.things) == 2 else 1
        for slot, thing in enumerate(scene.things):
            nominal[row, slot] = SIZES[thing.size or ""] * scale
    return nominal * _between(random, 0.93, 1.07)


def _centres(scenes: Sequence[Scene], radii: Floats, once: Floats, each: Floats, size: int) -> Floats:
    """(scenes, 2, 2): x and y of the first and of the second thing."""
    out = np.zeros((len(scenes), 2, 2), np.float32)
    single = np.array([row for row, scene in enumerate(scenes) if scene.relation is None], int)
    places = [PLACES[scenes[row].things[0].place or ""] for row in single]
    out[single, 0] = _array(places).reshape(-1, 2) + _between(each[single, 0], -0.03, 0.03)
    for axis, forward, backward in ((0, "left of", "right of"), (1, "above", "below")):
        for relation, order in ((forward, [0, 1]), (backward, [1, 0])):
            rows = np.array([row for row, scene in enumerate(scenes) if scene.relation == relation], int)
            near, far = radii[rows][:, order].T
            gap = max(GAP, 2 / size)  # so that a whole pixel between them stays empty
            slack = 1 - 2 * MARGIN - gap - 2 * (near + far)
            cuts = np.sort(once[rows, :2], axis=1) * slack[:, None]
            first = MARGIN + cuts[:, 0] + near
            second = first + near + gap + cuts[:, 1] - cuts[:, 0] + far
            out[rows[:, None], order, axis] = np.stack([first, second], 1)
            across = _between(once[rows, 2:], -0.12, 0.12) + _between(each[rows, :, 0], -0.05, 0.05)
            out[rows, :, 1 - axis] = 0.5 + across
    return out


def _between(random: Floats, low: float, high: float) -> Floats:
    """Numbers in 0..1 stretched to low..high."""
    return random * np.float32(high - low) + np.float32(low)


def _array(values: Sequence[Sequence[float]]) -> Floats:
    return np.array(values, np.float32)
