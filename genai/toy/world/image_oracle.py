"""The oracle: reads a picture back into a scene, by rules, and says which attributes of a prompt it fulfils.

The ground is the median colour; what differs from it is the outline of the things. Two things are told apart by an
empty row or column between them. Each outline is laid over the templates of all shapes and sizes; the best overlap
(intersection over union) names both. The colour is the nearest one to the mean of the core.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from genai.toy.world.draw import PAIR, coverage
from genai.toy.world.scene import COLOURS, PLACES, SHAPES, SIZES, Scene, Thing

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Found = tuple[Thing, float, tuple[float, float]]
"""A thing without place, its overlap, its centre."""

LEAST_CONTRAST = 25.0
"""Distance from the ground, in RGB of 0..255, of the brightest pixels of a thing."""
LEAST_OVERLAP = 0.4
"""An outline that fits no template better is no thing; noise reaches 0.16."""
STRICT = 0.77
"""Overlap of a well drawn outline: as strict on lumpy ones as 0.75 is where templates move by whole pixels only."""
SPLIT_CONTRAST = 60.0
"""Distance from the ground of what counts when looking for the gap between two things."""
LEAST_SHARE = 0.08
"""Least part of all such pixels that can be a second thing."""

_STEP = 1 / 3  # of a pixel
_CHUNK = 64
_SHIFTS = tuple(product((-1, 0, 1), repeat=2))
_KINDS = tuple(product(SHAPES, SIZES))
_OPPOSITES = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


@dataclass(frozen=True)
class Reading:
    """What is to be seen in a picture.

    Attributes:
        scene: complete; of two things the first is the left or the upper one. None: nothing that the world has.
        overlap: in 0..1, of an outline with its template (intersection over union); of two things the lesser one.
        centres: x and y of each thing as shares of the side; empty where nothing is seen.
    """

    scene: Scene | None
    overlap: float = 0.0
    centres: tuple[tuple[float, float], ...] = ()


def read(images: NDArray[np.uint8] | NDArray[np.floating]) -> list[Reading]:
    """Readings of square ``images`` (batch, side, side, 3) in 0..255. Raises ``ValueError`` for another shape."""
    if images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] != 3:
        raise ValueError(f"images of shape {images.shape}: it should be (batch, side, side, 3)")
    parts = range(0, len(images), _CHUNK)
    return [reading for at in parts for reading in _read(images[at : at + _CHUNK].astype(np.float32))]


def fulfilled(asked: Scene, reading: Reading) -> dict[str, bool]:
    """Whether a picture has what was asked for: an entry for each attribute that ``asked`` sets, and no other.

    Which of two things in the picture is meant by which in the prompt is decided by shape and colour, then by size,
    then by relation. ``shape`` and ``colour`` of two things ask only that both are in the picture; ``binding``, where
    both were asked for, that each colour is on its own shape.
    """
    names = [name for name in ("shape", "colour", "size", "place") if any(getattr(t, name) for t in asked.things)]
    bound = len(asked.things) == 2 and "shape" in names and "colour" in names
    seen = reading.scene
    if seen is None or len(seen.things) != len(asked.things):
        return dict.fromkeys([*names, *["binding"] * bound, *["relation"] * (asked.relation is not None)], False)

    def fits(order: tuple[int, ...], name: str) -> list[bool]:
        pairs = zip(asked.things, (seen.things[i] for i in order), strict=True)
        return [getattr(a, name) in (None, getattr(b, name)) for a, b in pairs]

    def stands(order: tuple[int, ...]) -> bool:
        relation = seen.relation or ""
        return asked.relation == (relation if order == (0, 1) else _OPPOSITES.get(relation))

    def merit(order: tuple[int, ...]) -> tuple[int, int, bool]:
        return sum(fits(order, "shape") + fits(order, "colour")), sum(fits(order, "size")), stands(order)

    orders = list(permutations(range(len(asked.things))))
    best = max(orders, key=merit)
    result = {name: all(fits(best, name)) for name in names}
    for name in {"shape", "colour"} & set(names):
        result[name] = any(all(fits(order, name)) for order in orders)
    if bound:
        result["binding"] = all(fits(best, "shape") + fits(best, "colour"))
    if asked.relation is not None:
        result["relation"] = stands(best)
    return result


def all_right(asked: Scene, reading: Reading) -> bool:
    """Whether something was seen, as many things as were asked for, with every attribute that was."""
    same = reading.scene is not None and len(reading.scene.things) == len(asked.things)
    return same and all(fulfilled(asked, reading).values())


def _read(images: Floats) -> list[Reading]:
    """Readings of a few images."""
    images = np.where(np.isfinite(images).all((1, 2, 3), keepdims=True), images, 0)
    ground = np.median(images.reshape(len(images), -1, 3), 1)
    distance = np.sqrt(((images - ground[:, None, None]) ** 2).sum(-1))
    noise: Floats = np.median(distance.reshape(len(images), -1), 1)
    least = np.maximum(SPLIT_CONTRAST, 3 * noise)
    seen: Bools = distance > least[:, None, None]
    axis, sides = _split(seen)
    single, double = (np.flatnonzero(there).tolist() for there in (axis < 0, axis >= 0))
    readings: dict[int, Reading] = {}
    for row, found in zip(single, _things(images[single], distance[single], noise[single], 1), strict=True):
        readings[row] = _one(*found) if found else Reading(None)
    halves = [_things(images[double], np.where(side, distance[double], 0), noise[double], PAIR) for side in sides]
    for row, first, second in zip(double, *halves, strict=True):
        readings[row] = _two(first, second, axis[row]) if first and second else Reading(None)
    return [readings[row] for row in range(len(images))]


def _one(thing: Thing, overlap: float, centre: tuple[float, float]) -> Reading:
    place = min(PLACES, key=lambda name: sum((a - b) ** 2 for a, b in zip(PLACES[name], centre, strict=True)))
    return Reading(Scene((Thing(thing.shape, thing.colour, thing.size, place),)), overlap, (centre,))


def _two(first: Found, second: Found, axis: int) -> Reading:
    scene = Scene((first[0], second[0]), ("left of", "above")[axis])
    return Reading(scene, min(first[1], second[1]), (first[2], second[2]))


def _split(seen: Bools) -> tuple[NDArray[np.int64], tuple[Bools, Bools]]:
    """Where two things are told apart.

    Args:
        seen: (images, side, side), where something is.

    Returns:
        (images,) 0: left and right, 1: upper and lower, -1: one thing; and masks (pairs, side, side) of the first
        and the second thing's side, of the images that have two.
    """
    cuts, widths = [], []
    for lines in (seen.sum(1), seen.sum(2)):  # of columns, of rows
        before = lines.cumsum(1)
        share = before / np.maximum(before[:, -1:], 1)
        gap = (lines == 0) & (share > LEAST_SHARE) & (share < 1 - LEAST_SHARE)
        widths.append(gap.sum(1))
        cuts.append((gap * np.arange(gap.shape[1])).sum(1) / np.maximum(gap.sum(1), 1))
    axis = np.where(np.max(widths, 0) > 0, np.argmax(widths, 0), -1)
    pairs = np.flatnonzero(axis >= 0)
    cut = np.stack(cuts)[axis[pairs], pairs][:, None, None]
    line = np.arange(seen.shape[1])
    along = np.where(axis[pairs, None, None] == 0, line[None, None, :], line[None, :, None])
    return axis, (along <= cut, along > cut)


def _things(images: Floats, distance: Floats, noise: Floats, scale: float) -> list[Found | None]:
    """The thing in each of ``images`` (n, side, side, 3), its outline being where ``distance`` is large."""
    side = images.shape[1]
    distance = np.maximum(distance - noise[:, None, None], 0)
    brightest = np.quantile(distance.reshape(len(images), side * side), 0.995, axis=1)
    outline = (distance / np.maximum(brightest, 1e-6)[:, None, None]).clip(0, 1)
    outline[outline < 0.25] = 0
    core = (outline > 0.75)[..., None]
    colours = (images * core).sum((1, 2)) / np.maximum(core.sum((1, 2)), 1)
    palette = np.array(list(COLOURS.values()), np.float32)
    nearest = ((colours[:, None] - palette) ** 2).sum(-1).argmin(1)
    total = np.maximum(outline.sum((1, 2)), 1e-6)
    line = np.arange(side)
    middle = np.stack([(outline.sum(1) * line).sum(1), (outline.sum(2) * line).sum(1)], 1) / total[:, None]
    rows, columns = ((line + np.rint(middle[:, axis, None]).astype(int) - side // 2) % side for axis in (1, 0))
    centred = outline[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]
    templates, offsets = _templates(side, scale)
    common = np.minimum(centred[:, None], templates).sum((2, 3))
    overlaps = common / (total[:, None] + templates.sum((1, 2)) - common)
    best = overlaps.argmax(1)
    found: list[Found | None] = []
    for i, at in enumerate(best):
        shape, size = _KINDS[at // len(_SHIFTS)]
        x, y = ((middle[i] + 0.5) / side - offsets[at // len(_SHIFTS)]).tolist()
        good = brightest[i] >= LEAST_CONTRAST and overlaps[i, at] >= LEAST_OVERLAP
        found.append((Thing(shape, list(COLOURS)[nearest[i]], size), float(overlaps[i, at]), (x, y)) if good else None)
    return found


@lru_cache(maxsize=8)
def _templates(side: int, scale: float) -> tuple[Floats, Floats]:
    """Outlines of all kinds in all shifts (kinds * shifts, side, side), and of each kind centroid minus centre."""
    shapes = [shape for shape, _ in _KINDS]
    radii = np.array([SIZES[size] * scale for _, size in _KINDS], np.float32)
    ones = np.ones((len(_KINDS), 2), np.float32)
    line = (np.arange(side) + 0.5) / side
    middle = coverage(shapes, 0.5 * ones, radii, side)
    total = middle.sum((1, 2))
    offsets = np.stack([(middle.sum(1) * line).sum(1), (middle.sum(2) * line).sum(1)], 1) / total[:, None] - 0.5
    centre = (side // 2 + 0.5) / side - offsets.astype(np.float32)
    shifted = [coverage(shapes, centre + np.array(shift, np.float32) * _STEP / side, radii, side) for shift in _SHIFTS]
    return np.stack(shifted, 1).reshape(-1, side, side), offsets


STEP = 1
