"""Visual features that predict sound: amount and place of motion, and abrupt changes of direction.

Nothing is learned, and no foreground has to be segmented. A clip is converted to maps (colors, hues, edges), whose
centers of mass move in straight lines while objects do. An object that changes its direction bends the path of the
center in the maps of its own colors and edges. So the bend tells what the object looks like; and its distribution over
two frames tells when, between them, it happened. Sounds occur at abrupt changes of motion: Davis and Agrawala, "Visual
rhythm and beat", 2018.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from genai.core.prompt_features import PromptFeatures
from genai.media.clip import Clip

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

MAX_ANALYSIS_SIDE = 32
"""Pixels of the longer side of the analyzed frames."""
ANALYSIS_FPS = 8
"""Analyzed frames per second, about; the frames of faster clips are averaged in groups."""
MERGE_PIXELS = 7
"""Moving regions that are closer than this are one object."""
MAX_OBJECTS = 4
"""Objects that are analyzed at a time, the largest first."""
DECAY_SECONDS = (0.01, 0.03, 0.1)
"""Time constants of the features that decay after a change of direction."""
NEAR_SECONDS = (0.007, 0.03)
"""Widths of the Gaussian features around a change of direction."""
NUM_HUES = 6

_LOOKS_DECAY = 0.06  # seconds in which the looks of a change give way to those of the next one
_SHARP = 0.25  # sharpness with half weight; changes of half of that have almost none
_MIN_CHANGE = 0.02  # of full contrast
_NUM_EDGE_MAPS = 5


@dataclass(frozen=True)
class DirectionChange:
    """An object changes its direction.

    Attributes:
        time: in s.
        sharpness: from 0 (straight on) to 0.5 (straight back).
        looks: (maps,), what the object looks like: its contrast with the background in red, green and blue, its hues,
            its edges.
    """

    time: float
    sharpness: float
    looks: Floats


class VisualOnsets:
    """Compute features of a clip, ``PromptFeatures.FRAME_RATE`` frames per second."""

    version: ClassVar[int] = 1
    """Part of the cache key of packed data; to be increased when the features change."""

    features: ClassVar[int] = len(DECAY_SECONDS) + len(NEAR_SECONDS) + 1 + (3 + NUM_HUES + _NUM_EDGE_MAPS) + 3
    """Number of features per frame: for changes of direction the time since, nearness, sharpness and looks; for all
    motion its amount, x and y."""

    def frames(self, clip: Clip, count: int) -> Floats:
        """Return (count, features) for the first ``count`` frames of 10 ms; zeros after the end of the clip."""
        maps, map_times = _feature_maps(clip)
        times = (np.arange(count) + 0.5) / PromptFeatures.FRAME_RATE
        timing = np.zeros((count, len(DECAY_SECONDS) + len(NEAR_SECONDS)), np.float32)
        looks = np.zeros((count, 1 + maps.shape[1]), np.float32)
        total_weight = np.full((count, 1), 0.02, np.float32)
        for change in _direction_changes(maps, map_times):
            elapsed = times[:, None] - change.time
            strength = 1 / (1 + (_SHARP / max(change.sharpness, 1e-3)) ** 6)
            decay = (elapsed >= 0) * np.exp(-elapsed.clip(0) / DECAY_SECONDS)
            timing += strength * np.hstack([decay, np.exp(-((elapsed / NEAR_SECONDS) ** 2))])
            weight = strength * (elapsed > -0.01) * np.exp(-elapsed.clip(0) / _LOOKS_DECAY)
            looks += weight * np.append(change.sharpness, change.looks)
            total_weight += weight
        amount, centers = _motion(maps)
        motion = np.stack([np.log1p(amount / _interval(map_times) * 30), *centers.T])
        motion = np.stack([np.interp(times, map_times, row) for row in motion], 1)
        features = np.hstack([timing, looks / total_weight, motion]).astype(np.float32)
        return features * (times < clip.seconds)[:, None]


def direction_changes(clip: Clip) -> list[DirectionChange]:
    """Return all changes of direction in a clip, however small, in temporal order."""
    return _direction_changes(*_feature_maps(clip))


def sharp_direction_changes(clip: Clip) -> list[float]:
    """Return the times in s of the changes of direction that ``VisualOnsets`` marks clearly."""
    return [change.time for change in direction_changes(clip) if change.sharpness >= _SHARP]


# Feature maps.


def _feature_maps(clip: Clip) -> tuple[Floats, Doubles]:
    """Return (steps, maps, height, width) and the time of each step in s."""
    frames = torch.from_numpy(np.ascontiguousarray(clip.frames)).movedim(3, 1)
    sides = frames.shape[2:]
    size = [max(2, round(side * MAX_ANALYSIS_SIDE / max(sides))) for side in sides]
    group_size = max(1, min(int(clip.fps // ANALYSIS_FPS), len(frames)))
    frames = frames[: len(frames) // group_size * group_size]
    steps = []
    for part in frames.split(32 * group_size):  # the whole clip as floats may not fit into memory
        small = F.interpolate(part.float() / 255, size, mode="area").expand(-1, 3, -1, -1)
        steps += [group.mean(0) for group in small.split(group_size)]
    times = (np.arange(len(steps), dtype=np.float64) + (1 - 1 / group_size) / 2) * (group_size / clip.fps)
    return _maps_of_images(torch.stack(steps)).numpy(), times


def _interval(times: Doubles) -> float:
    return float(times[1] - times[0]) if len(times) > 1 else 1.0


def _maps_of_images(images: Tensor) -> Tensor:
    """Convert (steps, 3, height, width) in [0, 1] to maps of colors, of chroma by hue, and of edges by angle."""
    red, green, blue = images.unbind(1)
    hue = torch.atan2(3**0.5 * (green - blue), 2 * red - green - blue) * (NUM_HUES / (2 * torch.pi))
    distance = (hue[:, None] - torch.arange(NUM_HUES)[:, None, None] + NUM_HUES / 2).remainder(NUM_HUES) - NUM_HUES / 2
    hues = (images.amax(1) - images.amin(1))[:, None] * (1 - distance.abs()).clamp(min=0)
    dx, dy = torch.gradient(images, dim=(3, 2))
    size = (dx**2 + dy**2).sum(1, keepdim=True).sqrt() + 1e-6
    double_angle = torch.complex(dx**2 - dy**2, 2 * dx * dy).sum(1, keepdim=True) / size**2
    harmonics = [part for z in (double_angle, double_angle**2) for part in (z.real, z.imag)]
    edges = 2 * size * torch.cat([torch.ones_like(size), *harmonics], 1)
    return torch.cat([images, hues, edges], 1)


def _motion(maps: Floats) -> tuple[Floats, Floats]:
    """Return the mean change around each step (steps,), and its center (steps, 2), x and y from -0.5 to 0.5."""
    changes = np.abs(np.diff(maps[:, :3], axis=0)).mean(1)
    changes = np.concatenate([changes[:1], changes, changes[-1:]]) if len(changes) else np.zeros_like(maps[[0, 0], 0])
    around = (changes[1:] + changes[:-1]) / 2
    total = around.mean((1, 2))
    centers = [(around * coordinate).mean((1, 2)) / (total + 1e-4) for coordinate in _coordinates(maps)]
    return total, np.stack(centers, 1)


def _coordinates(maps: Floats) -> tuple[Floats, Floats]:
    """Return x (1, width) and y (height, 1) of the pixels, from -0.5 to 0.5."""
    x, y = (((np.arange(side) + 0.5) / side - 0.5).astype(np.float32) for side in (maps.shape[3], maps.shape[2]))
    return x[None], y[:, None]


# Changes of direction.


def _direction_changes(maps: Floats, times: Doubles) -> list[DirectionChange]:
    """Search each step, and each region that moves around it, for changes of direction."""
    if len(maps) < 3:
        return []
    first, last = maps[1] - maps[0], maps[-1] - maps[-2]  # linear extrapolation at both ends
    padded = np.stack([maps[0] - 2 * first, maps[0] - first, *maps, maps[-1] + last, maps[-1] + 2 * last])
    found = []
    for step in range(1, len(maps) - 1):
        window = padded[step - 1 : step + 6]
        changes = np.abs(np.diff(window[1:-1, :3], axis=0)).sum((0, 1))
        for mask in _moving_regions(changes):
            centers = [((changes * mask * axis).sum() / (changes * mask).sum(), axis) for axis in _coordinates(maps)]
            moments = np.stack([(window * (mask * (axis - center))).sum((2, 3)) for center, axis in centers])
            found += [
                replace(change, time=float(times[step]) + change.time * _interval(times))
                for change in _changes_of_region(moments)
            ]
    return sorted(found, key=lambda change: change.time)


def _moving_regions(changes: Floats) -> list[Floats]:
    """Return masks (height, width) of the separate moving regions, the largest first."""
    minimum = max(_MIN_CHANGE, 0.05 * float(changes.max()), 3 * float(np.median(changes)))
    moving = torch.from_numpy(changes > minimum).float()[None, None]
    moving = F.max_pool2d(moving, MERGE_PIXELS, 1, MERGE_PIXELS // 2)
    masks = _connected_regions(moving[0, 0].numpy() > 0)
    return sorted(masks, key=lambda mask: -float((changes * mask).sum()))[:MAX_OBJECTS]


def _connected_regions(moving: NDArray[np.bool_]) -> list[Floats]:
    """Return masks of the regions whose pixels touch, also at corners, in the order of their last pixels."""
    edges = np.diff(np.pad(moving, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, begins = np.nonzero(edges > 0)
    runs = list(zip(rows.tolist(), begins.tolist(), np.nonzero(edges < 0)[1].tolist(), strict=True))
    regions: list[list[tuple[int, int, int]]] = []
    for row, begin, end in runs:  # a run of pixels joins all regions that are adjacent to it
        adjacent = [
            region
            for region in regions
            if any(above == row - 1 and start <= end and begin <= stop for above, start, stop in region)
        ]
        joined = [*(run for region in adjacent for run in region), (row, begin, end)]
        regions = [*(region for region in regions if region not in adjacent), joined]
    masks = []
    for region in sorted(regions, key=max):
        mask = np.zeros(moving.shape, np.float32)
        for row, begin, end in region:
            mask[row, begin:end] = 1
        masks.append(mask)
    return masks


def _changes_of_region(moments: Floats) -> list[DirectionChange]:
    """Return the changes of direction at the middle one of seven steps; times are in steps from there.

    An object that changes its direction a fraction s of the way from one step to the next bends the path at these two
    steps in the ratio 1 - s to s.

    Args:
        moments: (axes, 7, maps), first moments of the maps.
    """
    before, after = ((moments[:, step] - moments[:, step - 2]) / 2 for step in (2, 6))
    speed = float(np.linalg.norm(before[:, :3]) + np.linalg.norm(after[:, :3]))
    found = []
    for bends, change in zip(np.diff(moments, 2, axis=1), after - before, strict=True):
        if np.linalg.norm(bends[:, :3], axis=1).argmax() != 2:
            continue
        weights = (bends[1:4, :3] @ bends[2, :3]).clip(1e-12)
        size = float(np.linalg.norm(change[:3])) + 1e-9
        looks = change * np.sign(change[-_NUM_EDGE_MAPS] or 1) / size  # sign such that edges of the object are positive
        time = float(weights @ (-1, 0, 1) / weights.sum())
        found.append(DirectionChange(time, size / (speed + size), looks.clip(-3, 3)))
    return found
