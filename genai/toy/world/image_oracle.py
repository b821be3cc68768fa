"""Image oracle: detects the scene in a picture by rules, and tells which attributes of a prompt it fulfills.

The background is the median color; pixels that differ from it are the outline of the things. Two things are separated
by an empty row or column. Each outline is compared with templates of all shapes and sizes; the best overlap
(intersection over union) gives shape and size. The color is the nearest one to the mean color of the core.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from genai.toy.world.draw import PAIR_SCALE, coverage
from genai.toy.world.scene import COLORS, PLACES, SHAPES, SIZES, Scene, Thing

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
DetectedThing = tuple[Thing, float, tuple[float, float]]
"""A thing without place, its overlap, and its center."""

MIN_CONTRAST = 25.0
"""RGB distance (0 to 255) between the background and the brightest pixels of a thing."""
MIN_OVERLAP = 0.4
"""An outline with a smaller overlap is not a thing; noise reaches 0.16."""
STRICT_OVERLAP = 0.77
"""Overlap of a cleanly drawn outline. With templates at whole pixels only, 0.75 is equally strict on rough outlines."""
SPLIT_CONTRAST = 60.0
"""RGB distance from the background of the pixels that count in the search for a gap between two things."""
MIN_THING_FRACTION = 0.08
"""Smallest fraction of these pixels that can be a second thing."""

_SHIFT_STEP = 1 / 3  # pixels
_BATCH_SIZE = 64
_SHIFTS = tuple(product((-1, 0, 1), repeat=2))
_TEMPLATE_KINDS = tuple(product(SHAPES, SIZES))
_INVERSE_RELATIONS = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


@dataclass(frozen=True)
class SceneDetection:
    """The scene detected in a picture.

    Attributes:
        scene: complete; of two things the first is the left or upper one. ``None`` if nothing was detected.
        overlap: of an outline with its template (intersection over union), in [0, 1]; the smaller one of two things.
        centers: x and y of each thing as fractions of the side; empty if nothing was detected.
    """

    scene: Scene | None
    overlap: float = 0.0
    centers: tuple[tuple[float, float], ...] = ()


def detect_scenes(images: NDArray[np.uint8] | NDArray[np.floating]) -> list[SceneDetection]:
    """Detect the scenes in ``images`` (batch, side, side, 3) in 0..255. Raises ``ValueError`` for another shape."""
    if images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] != 3:
        raise ValueError(f"images of shape {images.shape}: it should be (batch, side, side, 3)")
    detections: list[SceneDetection] = []
    for start in range(0, len(images), _BATCH_SIZE):
        detections += _detect_batch(images[start : start + _BATCH_SIZE].astype(np.float32))
    return detections


def match_scene(target: Scene, detection: SceneDetection) -> dict[str, bool]:
    """Check each attribute that ``target`` sets: attribute -> whether the picture has it.

    Two things are assigned to those of the prompt by shape and color, then by size, then by relation. For two things
    ``shape`` and ``color`` only require that both are in the picture; ``binding``, if both are set, that each color is
    on its own shape.
    """
    names = [name for name in ("shape", "color", "size", "place") if any(getattr(t, name) for t in target.things)]
    has_binding = len(target.things) == 2 and "shape" in names and "color" in names
    scene = detection.scene
    if scene is None or len(scene.things) != len(target.things):
        extra = ["binding"] * has_binding + ["relation"] * (target.relation is not None)
        return dict.fromkeys([*names, *extra], False)

    def attribute_matches(order: tuple[int, ...], name: str) -> list[bool]:
        pairs = zip(target.things, (scene.things[i] for i in order), strict=True)
        return [getattr(a, name) in (None, getattr(b, name)) for a, b in pairs]

    def relation_matches(order: tuple[int, ...]) -> bool:
        relation = scene.relation or ""
        return target.relation == (relation if order == (0, 1) else _INVERSE_RELATIONS.get(relation))

    def order_score(order: tuple[int, ...]) -> tuple[int, int, bool]:
        kind_score = sum(attribute_matches(order, "shape") + attribute_matches(order, "color"))
        return kind_score, sum(attribute_matches(order, "size")), relation_matches(order)

    orders = list(permutations(range(len(target.things))))
    best = max(orders, key=order_score)
    matches = {name: all(attribute_matches(best, name)) for name in names}
    for name in {"shape", "color"} & set(names):
        matches[name] = any(all(attribute_matches(order, name)) for order in orders)
    if has_binding:
        matches["binding"] = all(attribute_matches(best, "shape") + attribute_matches(best, "color"))
    if target.relation is not None:
        matches["relation"] = relation_matches(best)
    return matches


def is_scene_match(target: Scene, detection: SceneDetection) -> bool:
    """Tell whether the number of things and all attributes of ``target`` match."""
    same_count = detection.scene is not None and len(detection.scene.things) == len(target.things)
    return same_count and all(match_scene(target, detection).values())


def _detect_batch(images: Floats) -> list[SceneDetection]:
    images = np.where(np.isfinite(images).all((1, 2, 3), keepdims=True), images, 0)
    background = np.median(images.reshape(len(images), -1, 3), 1)
    distance = np.sqrt(((images - background[:, None, None]) ** 2).sum(-1))
    noise: Floats = np.median(distance.reshape(len(images), -1), 1)
    threshold = np.maximum(SPLIT_CONTRAST, 3 * noise)
    foreground: Bools = distance > threshold[:, None, None]
    axis, sides = _split_things(foreground)
    single, double = (np.flatnonzero(rows).tolist() for rows in (axis < 0, axis >= 0))
    detections: dict[int, SceneDetection] = {}
    for row, thing in zip(single, _match_templates(images[single], distance[single], noise[single], 1), strict=True):
        detections[row] = _single_detection(*thing) if thing else SceneDetection(None)
    first_things, second_things = (
        _match_templates(images[double], np.where(side, distance[double], 0), noise[double], PAIR_SCALE)
        for side in sides
    )
    for row, first, second in zip(double, first_things, second_things, strict=True):
        detections[row] = _pair_detection(first, second, axis[row]) if first and second else SceneDetection(None)
    return [detections[row] for row in range(len(images))]


def _single_detection(thing: Thing, overlap: float, center: tuple[float, float]) -> SceneDetection:
    place = min(PLACES, key=lambda name: sum((a - b) ** 2 for a, b in zip(PLACES[name], center, strict=True)))
    return SceneDetection(Scene((Thing(thing.shape, thing.color, thing.size, place),)), overlap, (center,))


def _pair_detection(first: DetectedThing, second: DetectedThing, axis: int) -> SceneDetection:
    scene = Scene((first[0], second[0]), ("left of", "above")[axis])
    return SceneDetection(scene, min(first[1], second[1]), (first[2], second[2]))


def _split_things(foreground: Bools) -> tuple[NDArray[np.int64], tuple[Bools, Bools]]:
    """Separate two things at the widest empty row or column.

    Args:
        foreground: (images, side, side).

    Returns:
        (images,) 0: left and right, 1: upper and lower, -1: one thing; and masks (pairs, side, side) of the sides of
        the first and of the second thing, for the images with two.
    """
    cuts, widths = [], []
    for counts in (foreground.sum(1), foreground.sum(2)):  # of columns, of rows
        before = counts.cumsum(1)
        fraction = before / np.maximum(before[:, -1:], 1)
        gap = (counts == 0) & (fraction > MIN_THING_FRACTION) & (fraction < 1 - MIN_THING_FRACTION)
        widths.append(gap.sum(1))
        cuts.append((gap * np.arange(gap.shape[1])).sum(1) / np.maximum(gap.sum(1), 1))
    axis = np.where(np.max(widths, 0) > 0, np.argmax(widths, 0), -1)
    pairs = np.flatnonzero(axis >= 0)
    cut = np.stack(cuts)[axis[pairs], pairs][:, None, None]
    line = np.arange(foreground.shape[1])
    coordinate = np.where(axis[pairs, None, None] == 0, line[None, None, :], line[None, :, None])
    return axis, (coordinate <= cut, coordinate > cut)


def _match_templates(images: Floats, distance: Floats, noise: Floats, scale: float) -> list[DetectedThing | None]:
    """Detect the thing in each of ``images`` (n, side, side, 3); its outline is where ``distance`` is large."""
    side = images.shape[1]
    distance = np.maximum(distance - noise[:, None, None], 0)
    contrast = np.quantile(distance.reshape(len(images), side * side), 0.995, axis=1)
    outline = (distance / np.maximum(contrast, 1e-6)[:, None, None]).clip(0, 1)
    outline[outline < 0.25] = 0
    core = (outline > 0.75)[..., None]
    colors = (images * core).sum((1, 2)) / np.maximum(core.sum((1, 2)), 1)
    palette = np.array(list(COLORS.values()), np.float32)
    nearest = ((colors[:, None] - palette) ** 2).sum(-1).argmin(1)
    area = np.maximum(outline.sum((1, 2)), 1e-6)
    line = np.arange(side)
    centroid = np.stack([(outline.sum(1) * line).sum(1), (outline.sum(2) * line).sum(1)], 1) / area[:, None]
    rows, columns = ((line + np.rint(centroid[:, axis, None]).astype(int) - side // 2) % side for axis in (1, 0))
    centered = outline[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]
    templates, offsets = _templates(side, scale)
    intersection = np.minimum(centered[:, None], templates).sum((2, 3))
    overlaps = intersection / (area[:, None] + templates.sum((1, 2)) - intersection)
    detected: list[DetectedThing | None] = []
    for row, best in enumerate(overlaps.argmax(1)):
        shape, size = _TEMPLATE_KINDS[best // len(_SHIFTS)]
        x, y = ((centroid[row] + 0.5) / side - offsets[best // len(_SHIFTS)]).tolist()
        overlap = float(overlaps[row, best])
        if contrast[row] >= MIN_CONTRAST and overlaps[row, best] >= MIN_OVERLAP:
            detected.append((Thing(shape, list(COLORS)[nearest[row]], size), overlap, (x, y)))
        else:
            detected.append(None)
    return detected


@lru_cache(maxsize=8)
def _templates(side: int, scale: float) -> tuple[Floats, Floats]:
    """Return outlines of all kinds in all shifts (kinds * shifts, side, side), and (kinds, 2) centroid minus center."""
    shapes = [shape for shape, _ in _TEMPLATE_KINDS]
    radius = np.array([SIZES[size] * scale for _, size in _TEMPLATE_KINDS], np.float32)
    ones = np.ones((len(_TEMPLATE_KINDS), 2), np.float32)
    line = (np.arange(side) + 0.5) / side
    middle = coverage(shapes, 0.5 * ones, radius, side)
    area = middle.sum((1, 2))
    offsets = np.stack([(middle.sum(1) * line).sum(1), (middle.sum(2) * line).sum(1)], 1) / area[:, None] - 0.5
    center = (side // 2 + 0.5) / side - offsets.astype(np.float32)
    shifts = [np.array(shift, np.float32) * _SHIFT_STEP / side for shift in _SHIFTS]
    templates = [coverage(shapes, center + shift, radius, side) for shift in shifts]
    return np.stack(templates, 1).reshape(-1, side, side), offsets
