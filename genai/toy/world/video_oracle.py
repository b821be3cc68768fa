"""Video oracle: detects the motion in a clip by rules, and tells which attributes of a prompt it fulfills.

The image oracle reads each frame on its own. Shape and color are those of most frames. The path between the walls is
fitted to all centers at once; its velocity at the first frame gives direction and speed. So shuffled, frozen or slowed
frames change the result.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from genai.toy.world.draw import MARGIN, PAIR_SCALE
from genai.toy.world.image_oracle import SceneDetection, detect_scenes
from genai.toy.world.motion import ATTRIBUTES, DIRECTIONS, SPEEDS, Motion, MovingThing
from genai.toy.world.scene import Thing
from genai.toy.world.trajectories import RADIUS, Bounce, Path, reflect

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
TrackPoint = tuple[Thing, tuple[float, float]]
"""A thing in a frame, and its center."""

MIN_CONSISTENCY = 0.9
"""Fraction of the frames that must show the same thing, or pair: 15 of 16."""
MAX_PATH_ERROR = 0.03
"""RMS distance from the path, as a fraction of the side, of a valid motion: 1 pixel of 32."""
MAX_STATIC_FRACTION = 0.2
"""Fraction of the time in which a thing may stand still, as it does if it bounces between two frames."""
MIN_FRAME_FRACTION = 0.25
"""Fraction of the frames that must show as many things for a detection; two things may hide each other."""
SPEED_RANGES = {"slow": (0.108, 0.274), "fast": (0.274, 0.65)}
"""Sides per second that count as a speed: geometric means between neighboring speeds, half of "slow", twice "fast"."""

_MAX_SPEED = 0.8  # sides per second
_GRID_STEP = 0.008  # error at the last frame as a fraction of the side: a quarter of a pixel of 32
_ANCHOR_FRAMES = 3
_MAX_OUTSIDE = 0.03
_FIT_ITERATIONS = 3


@dataclass(frozen=True)
class MotionDetection:
    """The motion detected in a clip.

    Attributes:
        motion: direction and speed are ``None`` for things that stand still or creep, speed for things that are too
            fast. Of two things the first is the left or upper one in the first frame that shows both. ``None`` if
            nothing was detected.
        path_error: RMS distance of the centers from the paths, as a fraction of the side.
        static_fraction: fraction of the intervals of 1/8 s in which a thing moves less than a quarter of the distance
            its path says; the larger one of two things.
        consistency: fraction of the frames that show the shapes and colors of ``motion``; for two things, of the frames
            in which their paths are separated.
        speeds: of each thing, in pixels per frame.
        bounces: of the paths, sorted by time.
    """

    motion: Motion | None
    path_error: float = float("inf")
    static_fraction: float = 1.0
    consistency: float = 0.0
    speeds: tuple[float, ...] = ()
    bounces: tuple[Bounce, ...] = ()

    @property
    def on_path(self) -> bool:
        """Whether all things move as in the toy world: on straight lines from wall to wall, without a stop."""
        moves = self.motion is not None and all(thing.direction for thing in self.motion.things)
        return moves and self.path_error <= MAX_PATH_ERROR and self.static_fraction <= MAX_STATIC_FRACTION


def detect_motions(clips: NDArray[np.uint8] | NDArray[np.floating], fps: float = 8) -> list[MotionDetection]:
    """Detect the motions in ``clips`` (batch, frames, 3, side, side) in 0..255, of ``fps`` frames per second.

    Two things of the same shape and color may be swapped after they meet.

    Raises:
        ValueError: for another shape, or a single frame.
    """
    if clips.ndim != 5 or clips.shape[2] != 3 or clips.shape[3] != clips.shape[4] or clips.shape[1] < 2:
        raise ValueError(f"clips of shape {clips.shape}: it should be (batch, frames, 3, side, side), 2 frames or more")
    return [_detect_motion(detect_scenes(clip.transpose(0, 2, 3, 1)), clips.shape[-1], fps) for clip in clips]


def match_motion(target: Motion, detection: MotionDetection) -> dict[str, bool]:
    """Check each attribute that ``target`` sets, ``identity`` and ``path``: name -> whether the clip has it.

    ``identity`` requires that the things keep shape and color, ``path`` that they are ``on_path``. Two things are
    assigned to those of the prompt by shape and color, then by the other attributes.
    """
    names = [name for name in ATTRIBUTES if any(getattr(thing, name) for thing in target.things)]
    if detection.motion is None or len(detection.motion.things) != len(target.things):
        return dict.fromkeys([*names, "identity", "path"], False)

    def attribute_matches(things: Sequence[MovingThing]) -> dict[str, list[bool]]:
        pairs = list(zip(target.things, things, strict=True))
        return {name: [getattr(a, name) in (None, getattr(b, name)) for a, b in pairs] for name in names}

    def order_score(matches: dict[str, list[bool]]) -> tuple[int, int]:
        counts = {name: sum(values) for name, values in matches.items()}
        return counts.get("shape", 0) + counts.get("color", 0), sum(counts.values())

    best = max((attribute_matches(things) for things in permutations(detection.motion.things)), key=order_score)
    matches = {name: all(values) for name, values in best.items()}
    return matches | {"identity": detection.consistency >= MIN_CONSISTENCY, "path": detection.on_path}


def is_motion_match(target: Motion, detection: MotionDetection) -> bool:
    """Tell whether the number of things and all attributes of ``target`` match, and identity and path are right."""
    return all(match_motion(target, detection).values())


def _detect_motion(frames: Sequence[SceneDetection], side: int, fps: float) -> MotionDetection:
    """Detect the motion in one clip from the detections in its frames."""
    counts = np.array([len(frame.scene.things) if frame.scene else 0 for frame in frames])
    min_frames = max(2, MIN_FRAME_FRACTION * len(counts))
    num_things = next((count for count in (2, 1) if (counts == count).sum() >= min_frames), 0)
    if not num_things:
        return MotionDetection(None)
    indices = np.flatnonzero(counts == num_things)
    radius = RADIUS * (PAIR_SCALE if num_things == 2 else 1)
    point_tracks = _link_tracks([frames[index] for index in indices.tolist()])
    tracks = [_fit_track(points, indices, radius + MARGIN, fps) for points in point_tracks]
    paths = [track.path for track in tracks]
    consistent = np.zeros(len(counts), bool)
    consistent[indices] = np.all([track.consistent for track in tracks], 0)
    separated = _is_separated(paths, np.arange(len(counts)) / fps, 2 * radius + 2 / side)
    until = (len(counts) - 1) / fps
    return MotionDetection(
        Motion(tuple(track.thing for track in tracks)),
        float(np.sqrt(np.mean([track.squared_error for track in tracks]))),
        max(track.static_fraction for track in tracks),
        float(consistent[separated].mean()) if separated.any() else 0.0,
        tuple(float(np.hypot(*path.velocity)) * side / fps for path in paths),
        tuple(sorted(bounce for i, path in enumerate(paths) for bounce in path.bounces(until, i))),
    )


def _is_separated(paths: Sequence[Path], times: Doubles, min_distance: float) -> Bools:
    """Tell at which of ``times`` an empty row or column can be between two things; always for one thing."""
    positions = [path.positions(times) for path in paths]
    return (np.abs(positions[0] - positions[-1]).max(1) > min_distance) | (len(paths) == 1)


# Tracking of one thing over the frames.


def _link_tracks(frames: Sequence[SceneDetection]) -> list[list[TrackPoint]]:
    """Return the points of each thing; those of a frame go to the tracks with the nearest kind and position."""

    def cost(points: Sequence[TrackPoint], previous: Sequence[TrackPoint]) -> float:
        total = 0.0
        for (thing, center), (previous_thing, previous_center) in zip(points, previous, strict=True):
            total += 0.5 * ((thing.shape != previous_thing.shape) + (thing.color != previous_thing.color))
            total += float(np.hypot(center[0] - previous_center[0], center[1] - previous_center[1]))
        return total

    frame_points: list[Sequence[TrackPoint]] = []
    for frame in frames:
        points = list(zip(frame.scene.things if frame.scene else (), frame.centers, strict=True))
        orders = [points] if not frame_points or len(points) == 1 else list(permutations(points))
        frame_points.append(min(orders, key=lambda order: cost(order, frame_points[-1] if frame_points else order)))
    return [list(track) for track in zip(*frame_points, strict=True)]


@dataclass(frozen=True)
class _Track:
    """A thing over several frames; ``squared_error`` is the mean square of its distance from its path."""

    thing: MovingThing
    path: Path
    squared_error: float
    static_fraction: float
    consistent: Bools
    """(frames,): whether it has the shape and color of ``thing``."""


def _fit_track(points: Sequence[TrackPoint], frames: NDArray[np.int64], margin: float, fps: float) -> _Track:
    """Fit the thing with ``points``, one in each of ``frames``."""
    positions = np.array([center for _, center in points])
    path = _fit_path(frames / fps, positions, margin)
    squared_error = ((path.positions(frames / fps) - positions) ** 2).sum(1).mean()
    lag = max(1, round(fps / 8))
    steps, seconds = positions[lag:] - positions[:-lag], (frames[lag:] - frames[:-lag]) / fps
    static = np.hypot(*steps.T) < np.hypot(*path.velocity) * seconds / 4
    shapes, colors = ([getattr(thing, name) for thing, _ in points] for name in ("shape", "color"))
    shape, color = (Counter(values).most_common(1)[0][0] for values in (shapes, colors))
    consistent = np.array([(thing.shape, thing.color) == (shape, color) for thing, _ in points])
    thing = MovingThing(shape, color, *_name_velocity(path))
    return _Track(thing, path, float(squared_error), float(static.mean()) if len(static) else 1.0, consistent)


def _name_velocity(path: Path) -> tuple[str | None, str | None]:
    """Return the names of direction and speed; ``None`` if the toy world has no such velocity."""
    x, y = path.velocity
    speed = np.hypot(x, y)
    if speed < SPEED_RANGES["slow"][0]:
        return None, None
    direction = max(DIRECTIONS, key=lambda name: np.dot(DIRECTIONS[name], (x, y)) / np.hypot(*DIRECTIONS[name]))
    return direction, next((name for name in SPEEDS if SPEED_RANGES[name][0] <= speed < SPEED_RANGES[name][1]), None)


def _fit_path(times: Doubles, positions: Doubles, margin: float) -> Path:
    """Fit a path to ``positions`` (times, 2).

    A grid search gives the initial start and velocity of each axis. With the bounces of this path, positions are linear
    in start x, velocity v and margin m (of which only the nominal value is known): after k walls, x + v t + 2 k m
    equals k + position for even k, k + 1 - position for odd k. Solve by least squares; repeat with the new bounces.
    """
    estimates = np.array([_initial_guess(times, line, margin) for line in positions.T])
    for _ in range(_FIT_ITERATIONS):
        rows, values = [], []
        for axis, (start, velocity) in enumerate(estimates):
            num_walls = np.floor((start + velocity * times - margin) / (1 - 2 * margin))
            row = np.zeros((len(times), 5))
            row[:, 2 * axis : 2 * axis + 2] = np.stack([np.ones(len(times)), times], 1)
            row[:, 4] = 2 * num_walls
            rows.append(row)
            values.append(num_walls + np.where(num_walls % 2, 1 - positions[:, axis], positions[:, axis]))
        rows.append(np.eye(5)[4:])
        solution = np.linalg.lstsq(np.concatenate(rows), np.append(np.concatenate(values), margin), rcond=None)[0]
        estimates, margin = solution[:4].reshape(2, 2), float(solution[4])
    starts, velocities = estimates.T
    inside = starts.clip(margin, 1 - margin)
    flipped = (starts - inside) * velocities > 0  # starts behind a wall and moves away: reflect it into the picture
    inside = np.where(flipped, reflect(starts, margin), inside)
    velocities = np.where(flipped, -velocities, velocities)
    return Path(tuple(inside.tolist()), tuple(velocities.tolist()), margin)


def _initial_guess(times: Doubles, line: Doubles, margin: float) -> tuple[float, float]:
    """Find start and velocity on one axis: of many velocities through the first positions, the best fit to ``line``."""
    step = _GRID_STEP / (times[-1] - times[0])
    velocities = np.arange(-_MAX_SPEED, _MAX_SPEED + step, step)
    starts = line[:_ANCHOR_FRAMES, None] - velocities * times[:_ANCHOR_FRAMES, None]
    errors = np.abs(reflect(starts[..., None] + velocities[:, None] * times, margin) - line).mean(2)
    errors[(starts < margin - _MAX_OUTSIDE) | (starts > 1 - margin + _MAX_OUTSIDE)] = np.inf
    anchor, index = np.unravel_index(errors.argmin(), errors.shape)
    return float(starts[anchor, index]), float(velocities[index])
